"""An exercise of an instructor's own: one file outside the course, in the form of those in `check/exercises/`.

Beside EXERCISE it may hold TEXT, the Markdown that stands above the answer; RIGHT, a list of right answers in other
styles; and SAME, by the reason, the mutants that do the same as the right answer.
"""

import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from course_lib.check import proof
from course_lib.check.author import program_of
from course_lib.check.judge import Exercise, draw_calls, judge
from course_lib.check.observe import observe


def load(path: Path) -> Exercise:
    """Runs the file. `ValueError`, with the line at fault, where it gives no exercise."""
    name = f"private_{path.stem}"
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        exercise = module.EXERCISE
    except Exception as error:
        line = next(
            (frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)), None
        )
        where = f"line {line}: " if line else ""
        raise ValueError(f"{path} gives no EXERCISE: {where}{type(error).__name__}: {error}") from error
    if not isinstance(exercise, Exercise):
        raise ValueError(f"{path}: EXERCISE is {type(exercise).__name__}; wanted what `author.exercise` gives")
    for what, kind in (("TEXT", str), ("RIGHT", list), ("SAME", dict)):
        if not isinstance(getattr(module, what, kind()), kind):
            raise ValueError(f"{path}: {what} is {type(getattr(module, what)).__name__}; wanted {kind.__name__}")
    return replace(exercise, source=path.name)


def try_out(exercise: Exercise, path: Path) -> None:
    """`ValueError` where the reference raises something, the check refuses it, or takes a known mistake for right."""
    for seed in range(1 if exercise.slow else 3):
        calls = draw_calls(exercise, seed)

        def verdict(answer, calls=calls):
            return judge(exercise, calls, [observe(answer, call) for call in calls])

        for call in calls:
            if raised := observe(exercise.reference, call).get("raised"):
                where = f" in line {raised.line}, {raised.source}" if raised.line else ""
                raise ValueError(
                    f"{path}: the reference of {exercise.name} raises {raised.kind}: {raised.message}{where}"
                )
        if verdict(exercise.reference).status != "right":
            raise ValueError(f"{path}: the check of {exercise.name} refuses its own reference")
        for mistake in exercise.mistakes:
            if verdict(mistake.answer).status == "right":
                raise ValueError(f"{path}: the check of {exercise.name} takes the mistake {mistake.name} for right")


def measure(exercise: Exercise, draws: int = proof.DRAWS) -> proof.Proof:
    """The proof of one's own, from what its file says."""
    module = file_of(exercise)
    gradients = any(call.differentiate for call in draw_calls(exercise, 0))
    return proof.measure(exercise, getattr(module, "RIGHT", ()), getattr(module, "SAME", None), gradients, draws)


def overlooked(exercise: Exercise) -> Iterator[str]:
    """What mutants cannot show, in words: helpers beside the right answer, arguments that no call hands over."""
    right, module = exercise.reference, file_of(exercise)
    used = {node.id for node in ast.walk(ast.parse(program_of(right))) if isinstance(node, ast.Name)}
    for name in sorted(used - {right.__name__}):
        if getattr(vars(module).get(name), "__module__", None) == module.__name__:
            yield f"{name} stands beside the right answer: it is not handed out, and no small change of it was tried"
    if inspect.isfunction(right):
        given = max(len(call.args) for call in draw_calls(exercise, 0))
        for name in list(inspect.signature(right).parameters)[given:]:
            yield f"no call hands over {name}: an answer that never looks at it is right"


def file_of(exercise: Exercise) -> ModuleType:
    return sys.modules[exercise.reference.__module__]
