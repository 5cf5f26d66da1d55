"""Checks an exercise's answer, names the mistake, and gives hints one rung at a time.

    check("straight_through", straight_through)
    hint("straight_through")
    rows = check("my_rows", my_rows).answer  # within a lesson: yours once it is right, until then one that is
    picture("pca_colours", pca_colours)      # where there is one: the target beside your own
    add("mean_code.py")                      # an instructor's own exercise, from its file: the others then know it

Which answers there are stands in `course_lib.check.exercises`.
"""

import contextlib
import difflib
import io
import secrets
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from course_lib.check import feedback, own, progress
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise, draw_calls, judge
from course_lib.check.notebook import unread_cell
from course_lib.check.observe import Call, observe

__all__ = ["CheckFailed", "Report", "add", "check", "hint", "picture"]


class CheckFailed(AssertionError):
    """An answer was wrong where a grader runs the notebook: nbgrader takes a cell's error as no marks."""


@dataclass(frozen=True)
class Report:
    """What a check found. messages: what was printed, line by line; the mistake's own message among them.

    answer: what was checked if it is right, else one that is: a lesson goes on with it.
    """

    name: str
    passed: bool
    score: float  # in [0, 1]
    status: str  # "right", "wrong", "raised" or "not attempted"
    messages: tuple[str, ...]
    answer: Callable = field(repr=False)

    def _ipython_display_(self):
        """Shown already, by `check`: a cell that ends in `check(...)` must not show it twice."""


def check(name: str, answer, *, seed: int | None = None) -> Report:
    """Runs `answer` on fresh random inputs, shows what it did, and gives back a `Report`.

    seed: draws the same inputs again. `ValueError` for a name that no exercise has, `TypeError` for an answer that
    cannot be called. What the answer itself raises is shown, not raised; of what it prints, the first lines are.

    In a notebook, an answer whose newest cell Python could not read is not judged: the name still means an older one.
    """
    if callable(name) and isinstance(answer, str):
        raise TypeError(f'the two are exchanged: wanted check("{answer}", {answer}), first the name, in quotes')
    exercise = _find(name)
    if not callable(answer):
        raise TypeError(
            f'check("{name}", ...) got {type(answer).__name__}; wanted the function or class itself, not what it gives'
        )
    grading = progress.under_nbgrader()
    unread = None if grading else unread_cell(name, getattr(answer, "__name__", name))
    if unread:
        title = f"{name}: not judged"
        rows = [
            ("came", unread),
            ("wanted", "a cell that Python can read; what you defined before it still stands, and would be judged"),
        ]
        _show(title, rows, feedback.AMBER)
        messages = (title, *(f"{heading}: {text}" for heading, text in rows))
        return Report(name, False, 0.0, "raised", messages, exercise.reference)
    calls = draw_calls(exercise, secrets.randbelow(2**31) if seed is None else seed)
    quiet = (
        contextlib.redirect_stderr(io.StringIO()) if grading else contextlib.nullcontext()
    )  # a warning costs all marks
    with _one_thread_for_toys(calls):
        printed = _FirstLines(sys.stdout)
        with quiet, contextlib.redirect_stdout(printed):
            observations = [observe(answer, call) for call in calls]
        printed.say_the_rest()
        verdict = judge(exercise, calls, observations)
    passed = verdict.status == "right"
    known = progress.load(name) if verdict.status == "not attempted" else progress.attempted(name, passed)
    title, rows = feedback.title_of(exercise, verdict), feedback.rows_of(exercise, verdict, known.hints)
    _show(title, rows, feedback.colour_of(verdict), feedback.picture_of(verdict.difference) if not passed else "")
    messages = (title, *(f"{heading}: {text}" for heading, text in rows))
    if not passed and grading:
        raise CheckFailed("\n".join(messages))
    return Report(name, passed, verdict.score, verdict.status, messages, answer if passed else exercise.reference)


def hint(name: str) -> None:
    """Shows the next rung of the ladder: a question, then the concept, then near-code. After the last, it stays."""
    exercise = _find(name)
    known = progress.load(name)
    known.hints = min(known.hints + 1, len(exercise.hints))
    progress.save(name, known)
    first = 0 if known.hints == len(exercise.hints) else known.hints - 1  # all of them, once all are taken
    rows = [(f"hint {rung + 1}", exercise.hints[rung]) for rung in range(first, known.hints)]
    rows.append(("next", feedback.what_next(exercise, known.hints)))
    _show(f"{name}: hint {known.hints} of {len(exercise.hints)}", rows, "#0969da")


def picture(name: str, answer) -> None:
    """Draws what the reference does beside what `answer` does. `ValueError` where the exercise has no picture."""
    from matplotlib import pyplot  # here, as a check must not wait for it

    from course_lib.lesson import plots

    exercise = _find(name)
    if exercise.picture is None:
        drawn = ", ".join(other.name for other in EXERCISES.values() if other.picture)
        raise ValueError(f"{name} has no picture; those that have one: {drawn}")
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for panel, title, drawn in zip(panels, ("the target", "yours"), (exercise.reference, answer)):
        try:
            exercise.picture(panel, drawn)
        except Exception as error:
            if drawn is exercise.reference:
                raise
            panel.clear()
            panel.set_axis_off()
            panel.text(0.5, 0.5, feedback.without_a_picture(error), ha="center", va="center", wrap=True)
        panel.set_title(title)
    plots.show(figure, f"Two panels for {name}: what the reference gives, and what your answer gives.")


def add(file: str | Path) -> None:
    """Makes an instructor's own exercise known to `check`, `hint` and `picture`, by the name of its answer.

    Runs the file. `ValueError` where it gives no exercise, or one whose name belongs to an answer of the course.
    """
    exercise = own.load(Path(file))
    if not EXERCISES.get(exercise.name, exercise).source:
        raise ValueError(f"{file}: the course has an exercise {exercise.name}; a name belongs to one answer")
    EXERCISES[exercise.name] = exercise


class _FirstLines(io.TextIOBase):
    """What an answer prints, call after call: the first lines of it, and how many more there were."""

    LINES, WIDTH = 20, 500

    def __init__(self, shown):
        self.shown, self.room, self.more = shown, self.LINES * self.WIDTH, 0
        self.lines = self.LINES

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            if self.lines > 0 and self.room > 0:
                self.shown.write(line[: self.room])
            elif line.endswith("\n"):
                self.more += 1
            self.room -= len(line)
            self.lines -= line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self.shown.flush()

    def say_the_rest(self) -> None:
        if self.more:
            print(f"... and {self.more} more lines, as the check calls your answer several times", file=self.shown)


@contextlib.contextmanager
def _one_thread_for_toys(calls: list[Call]):
    """Handing a dozen numbers to several threads takes longer than the work."""
    threads = torch.get_num_threads()
    if not any(call.train for call in calls):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _find(name: str) -> Exercise:
    if name not in EXERCISES:
        near = difflib.get_close_matches(str(name), EXERCISES, n=3, cutoff=0.4) or list(EXERCISES)
        raise ValueError(f"there is no exercise {name!r}; did you mean {', '.join(near)}?")
    return EXERCISES[name]


def _show(title: str, rows: list[tuple[str, str]], colour: str, picture: str = "") -> None:
    line = progress.line(
        [(exercise.lesson[:2], name) for name, exercise in EXERCISES.items() if not exercise.in_lesson]
    )
    text = feedback.as_text(title, rows, line)
    if _in_a_notebook():
        from IPython.display import display

        link = not progress.under_nbgrader()  # its feedback pages lie where no solution does
        html = feedback.as_html(title, rows, line, colour, picture, link)
        display({"text/html": html, "text/plain": text}, raw=True)
    else:
        print(text)


def _in_a_notebook() -> bool:
    """IPython is asked only where it is at work already: importing it takes longer than most checks."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class _Sealed(types.ModuleType):
    """This module, while nbgrader grades: a cell cannot put a `check` of its own in place of the real one."""

    def __setattr__(self, name, value):
        if name in __all__ and progress.under_nbgrader():
            raise AttributeError(f"course_lib.check.{name} cannot be replaced while nbgrader grades")
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Sealed
