"""All that the author of an exercise imports. One answer is one file, `check/exercises/NAME.py`, which ends in

    EXERCISE = exercise(
        straight_through,               # the right answer: its text is the solution's cell, letter for letter
        lesson="04_straight_through",
        draw=draw,                      # from a generator, the calls to make, the plainest first
        wrong=WRONG,                    # known mistakes, as changes of the right answer, with the words for them
        hints=("a question", "the concept", "almost the code"),
    )

With `points=0` the answer, by custom `my_...`, is written within the lesson: a cell tagged `answer:NAME` holds the
stub, the next one `x = check("NAME", NAME).answer`, and a text below it the solution, folded.

A known mistake is a change of the right answer, and what to say to somebody who made it:

    WRONG = r'''
    (quantized - latents).detach() -> (quantized - latents)  # zoo 21
        the gradient reaches q: which of the two terms should be detached?
    return quantized.detach()
        the values are right, and nobody gets a gradient
    '''

Lines at the margin are the change, the indented ones below them the words. A line `old -> new` replaces what stands in
the answer exactly once; several lines are several replacements; `\\n` in `new` begins a line. A line without an arrow
takes the place of the last statement. `-> name` takes another answer of the file as a whole. Behind `  # ` stands where
the mistake was met, or `planted`: the program that a bug hunt hands out.
"""

import ast
import contextlib
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call, Seed, pattern

__all__ = [
    "SPATIAL",
    "Call",
    "Observation",
    "Seed",
    "as_a_number",
    "exercise",
    "normal",
    "number",
    "pattern",
    "scattered",
    "whole",
    "without_a_generator",
]

MARKER = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
DOCSTRING = re.compile(r'"""(.|\n)*?"""')  # what it says is no part of the program


def exercise(
    right: Callable, *, lesson: str, draw, wrong: str, hints: tuple[str, str, str], ways: tuple[str, ...] = (), **more
) -> Exercise:
    """The exercise whose right answer this is. more: further fields of `Exercise`.

    ways: changes of the right answer that stay right and draw otherwise. Each known mistake is tried beside each of
    them too, where both fit, so that it is named however a learner draws.
    """
    return Exercise(right.__name__, lesson, right, draw, known_mistakes(right, wrong, ways), hints, **more)


def known_mistakes(right: Callable, table: str, ways: tuple[str, ...] = ()) -> tuple[Mistake, ...]:
    """The entries of a table. `ValueError` names one that does not fit, does not compile, or repeats another."""
    entries: list[tuple[list[str], list[str]]] = []  # the lines of the change, the lines of the words
    for line in filter(None, textwrap.dedent(table).splitlines()):
        at_the_margin = not line.startswith(" ")
        if not at_the_margin and not entries:
            raise ValueError(f"{right.__name__}: a table begins with a change, at the margin; came {line!r}")
        if at_the_margin and (not entries or entries[-1][1]):
            entries.append(([], []))
        entries[-1][0 if at_the_margin else 1].append(line.strip())
    mistakes, programs = [], {}
    for lines, words in entries:
        change = tuple(line.partition("  # ")[0].rstrip() for line in lines)
        answer, program = _changed(right, change)
        if not words:
            raise ValueError(f"{right.__name__}: {change} has no words below it")
        if program in programs:
            raise ValueError(f"{right.__name__}: {change} makes the same program as {programs[program]}")
        programs[program] = change
        planted = "planted" in lines[0].partition("  # ")[2]
        mistakes.append(Mistake(answer, " ".join(words), planted, change, _otherwise(right, change, ways)))
    return tuple(mistakes)


def _otherwise(right: Callable, change: tuple[str, ...], ways: tuple[str, ...]) -> tuple[Callable, ...]:
    """A known mistake beside each of the ways to draw; none for a change that is no change of the right answer, or
    that is of what is drawn."""
    made = []
    for way in ways:
        with contextlib.suppress(ValueError):
            made.append(_changed(right, (*way.strip().splitlines(), *change))[0])
    return tuple(made)


@functools.cache  # each known mistake asks, and Python looks through the whole file every time
def text_of(right: Callable) -> str:
    """The right answer as the solution's cell shows it."""
    return textwrap.dedent(inspect.getsource(right)).rstrip()


def program_of(right: Callable) -> str:
    """The right answer without the marks around what a learner has to write."""
    return MARKER.sub("", text_of(right) + "\n").rstrip()


def planted_in(exercise: Exercise) -> str | None:
    """The program that a bug hunt hands out; None where an exercise hands out a stub."""
    planted = next((mistake for mistake in exercise.mistakes if mistake.planted), None)
    if planted is None:
        return None
    if planted.change[0].startswith("-> "):  # a function of the file, handed out under the name of the answer
        return program_of(planted.answer).replace(planted.answer.__name__, exercise.name, 1)
    return changed(program_of(exercise.reference), planted.change)


def changed(program: str, change: tuple[str, ...]) -> str:
    """The program with each line of a change carried out. `ValueError` for one that does not fit exactly once."""
    for line in change:
        old, arrow, new = (part.strip() for part in line.partition("->"))
        if not arrow:
            last = _body(program)[-1]
            program = "\n".join(program.splitlines()[: last.lineno - 1])
            program += "\n" + textwrap.indent(line.replace("\\n", "\n"), " " * last.col_offset)
            continue
        words = DOCSTRING.search(program)
        start, end = words.span() if words else (0, 0)
        places = [m.start() for m in re.finditer(re.escape(old), program) if not start <= m.start() < end]
        if len(places) != 1:
            raise ValueError(f"{old!r} stands there {len(places)} times; wanted once")
        margin = re.match(" *", program[program.rfind("\n", 0, places[0]) + 1 :])[0]
        program = program[: places[0]] + new.replace("\\n", "\n" + margin) + program[places[0] + len(old) :]
    return program


def answer_from(program: str, right: Callable) -> Callable:
    """What a changed program of `right` defines, among the names of the file that `right` is from."""
    space = dict(vars(sys.modules[right.__module__]))
    exec(compile(program, f"<{right.__name__}, changed>", "exec"), space)
    return space[right.__name__]


def _changed(right: Callable, change: tuple[str, ...]) -> tuple[Callable, str]:
    """The answer after a change, and its program without layout and comments."""
    if change[0].startswith("-> "):
        answer = vars(sys.modules[right.__module__])[change[0].removeprefix("-> ")]
        return answer, answer.__name__
    try:
        program = changed(program_of(right), change)
        return answer_from(program, right), ast.dump(ast.parse(program))
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{right.__name__}: {change}: {error}") from None


def _body(program: str) -> list[ast.stmt]:
    """The statements of a function, or of a class's last method."""
    node = ast.parse(program).body[-1]
    return node.body if isinstance(node, ast.FunctionDef) else node.body[-1].body


# ----------------------------------------------------------------------------------------------------------------------
# Draws that several exercises make: latents of any number of axes, and small whole numbers that make exact ties

SPATIAL = [(), (5,), (3, 4), (2, 3, 2)]  # none, T, H W, T H W


def normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def whole(generator: Generator, *shape: int, low: int = -2, high: int = 2) -> Tensor:
    """Whole numbers from low to high as float32: sums of their products are exact, so equal distances are equal."""
    return torch.randint(low, high + 1, shape, generator=generator).float()


def number(generator: Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def scattered(values: Tensor) -> Tensor:
    """The same values, with the last axis not the fastest in memory: `.view` refuses what `.reshape` takes."""
    return values.transpose(0, -1).contiguous().transpose(0, -1)


def without_a_generator(call: Call, observation: Observation) -> Observation:
    """Of a call `again` and `reseeded` with no generator among its arguments: what its further runs, after another
    torch.manual_seed and after the same, say about PyTorch's own random numbers."""
    if not call.reseeded or any(isinstance(value, Seed) for value in call.args):
        return observation
    observation = dict(observation)
    for said, meant in (
        ("the same from the same generator", "other results after another torch.manual_seed"),
        ("other results from another generator", "the same results after the same torch.manual_seed"),
        ("PyTorch's own random numbers untouched", "PyTorch's own random numbers used"),
    ):
        observation[meant] = not observation.pop(said)
    return observation


def as_a_number(call: Call, observation: Observation) -> Observation:
    """A view for one number: a tensor without axes counts as the number in it, in a known mistake too."""
    (name,) = call.gives
    value = observation.get(name)
    if not isinstance(value, Tensor) or value.ndim:
        return observation
    return observation | {"kind of result": "number", name: value.item()}
