"""An exercise of an instructor's own, from one file: --new-exercise begins it, --try proves it, --hand-out makes of it
what students get."""

import shutil
import sys
import textwrap
from pathlib import Path

import torch

from course_lib import files
from course_lib.check import handout, own, template
from course_lib.check.exercises import EXERCISES
from course_lib.check.proof import Proof

UNNOTICED = """
The check takes these for right, though each differs from the right answer in one place:
{}
Either a call is missing on which they differ (other sizes, ties, negative numbers, a gradient asked with
differentiate=(0,)): add it to draw. Or one does the same whatever the input: list it, with the reason,
    SAME = {{"why it is the same": ["the line  |  the change"]}}"""
REFUSED = """
The check refuses right answers. Compare in a view what all right answers share, or take them out of RIGHT:
{}"""
TAKEN = """
Known mistakes that are not told by name in every draw. One that is taken for right needs a call on which it differs;
one that is called by another's name, a plainest call that is large enough to tell the two apart:
{}"""
STALE = """
Listed in SAME, and not among the mutants that survive: take them out.
{}"""


def begin(options) -> int:
    """-> the exit status: 0, or 2 where nothing was written."""
    name, path = options.new_exercise, options.to / f"{options.new_exercise}.py"
    try:
        text = template.begin(name, options.lesson, own=True)
        if name in EXERCISES:
            raise ValueError(f"the course has an exercise {name}; a name belongs to one answer")
        if path.exists():
            raise ValueError(f"there is a {path} already; nothing was written")
        options.to.mkdir(parents=True, exist_ok=True)
        files.write(path, text)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{path} is whole, and passes; change it into what you want to ask, then")
    print(f"    python -m course_lib.grade --try {path}")
    return 0


def try_out(options) -> int:
    """-> the exit status: 0 where everything holds, 1 where something does not, 2 where nothing could be tried."""
    torch.set_num_threads(1)
    try:
        exercise = own.load(options.try_file)
        proof = own.measure(exercise, options.draws)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    points = f"{exercise.points:g} point{'s' if exercise.points != 1 else ''}"
    print(f"{exercise.name}, in {exercise.lesson}, {points}\n\n{proof.in_words()}")
    if notes := list(own.overlooked(exercise)):
        print("\nLook at, as nothing above shows it:\n" + textwrap.indent("\n".join(notes), "    "))
    print(
        "\n".join(advice(proof))
        or f"\nEverything holds.\n    python -m course_lib.grade --hand-out {options.try_file} --to FOLDER"
    )
    return 0 if proof.holds else 1


def advice(proof: Proof) -> list[str]:
    """What does not hold, and what is to be done, in the order in which to do it."""
    faults = {REFUSED: proof.refused, TAKEN: proof.taken, UNNOTICED: proof.holes, STALE: proof.stale}
    return [text.format(textwrap.indent("\n".join(lines), "    ")) for text, lines in faults.items() if lines]


def hand_out(options) -> int:
    """-> the exit status: 0, or 2 where nothing was written."""
    torch.set_num_threads(1)
    try:
        exercises = [own.load(path) for path in options.hand_out]
        for exercise, path in zip(exercises, options.hand_out):
            own.try_out(exercise, path)
        lessons = sorted({exercise.lesson for exercise in exercises})
        if len(lessons) > 1:
            raise ValueError(f"these belong to {', '.join(lessons)}; hand out one lesson at a time")
        notebook = handout.from_files(exercises, options.with_check)
        target = options.to / f"{lessons[0]}.ipynb"
        if target.exists() and not handout.is_untouched(target, notebook["metadata"]["course"]["generated_from"]):
            raise ValueError(f"{target} was made of something else, or somebody worked in it; nothing was written")
        options.to.mkdir(parents=True, exist_ok=True)
        files.write(target, handout.as_text(notebook))
        for path in options.hand_out if options.with_check else ():
            if path.resolve() != (options.to / path.name).resolve():
                shutil.copyfile(path, options.to / path.name)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for line in _what_to_do(target, options.hand_out, options.with_check):
        print(line)
    return 0


def _what_to_do(target: Path, paths: list[Path], with_check: bool) -> list[str]:
    names = ", ".join(path.name for path in paths)
    private = ", ".join(f'"{path.name}"' for path in paths)
    if with_check:
        first = [f"give students {target} and {names}, which must lie beside it: the right answer can be read there"]
    else:
        first = [f"give students {target}; it knows no values, so keep {names} to yourself"]
    return [
        *first,
        f"to grade it: a settings file beside {names}, with this line at its top",
        f"    private = [{private}]",
    ]
