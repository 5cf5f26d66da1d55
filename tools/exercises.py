"""Make exercises/NN_topic.ipynb from solutions/NN_topic.ipynb: `make exercises` calls it.

    python tools/exercises.py            # writes what is missing or out of date, removes what has no solution any more
    python tools/exercises.py --check    # writes nothing; says what is missing, out of date or left over

In a solution, the cell tagged `answer:NAME` shows the right answer of course_lib/check/exercises/NAME.py, letter for
letter, and the cell below it checks it; both are written by this tool, with nbgrader's metadata. What the exercise
shows of it, course_lib/check/handout.py says. An exercise says in its metadata what it was made from, with a
fingerprint of its cells: one in which somebody has worked is never overwritten, nor removed.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from nbformat.validator import iter_validate  # noqa: E402

from course_lib import files  # noqa: E402
from course_lib.check import handout  # noqa: E402
from course_lib.check.author import text_of  # noqa: E402
from course_lib.check.exercises import EXERCISES  # noqa: E402
from course_lib.check.handout import Fault, answer_of, as_text, check_cell, exercise_of, grading, tags_of  # noqa: E402
from course_lib.check.judge import Exercise  # noqa: E402


def main(
    arguments: list[str] | None = None, project: Path = PROJECT, exercises: dict[str, Exercise] = EXERCISES
) -> int:
    """-> the exit status: 0, or 1 where something has to be done by hand (with --check: or by `make exercises`)."""
    parser = argparse.ArgumentParser(description="Make the exercises from the solutions.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something would be written")
    check = parser.parse_args(arguments).check
    try:
        notebooks = make_all(project, exercises)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    status = 0
    for path, state in states(project, notebooks):
        name = path.relative_to(project)
        if check or state in ("worked in", "foreign"):
            print(STATES[state].format(name, path.name), file=sys.stderr)
            status = 1
        elif state == "left over":
            path.unlink()
            print(f"{name} removed: it has no solution any more")
        else:
            path.parent.mkdir(exist_ok=True)
            files.write(path, notebooks[path])
            print(f"{name} written")
    return status


# ----------------------------------------------------------------------------------------------------------------------
# Files


def make_all(project: Path, exercises: dict[str, Exercise] = EXERCISES) -> dict[Path, str]:
    """Each solution with its answers, and the exercise of each, as text. `Fault` with every fault, a line each."""
    notebooks, faults, homes = {}, [], {}
    for path in sorted((project / "solutions").glob("*.ipynb")):
        name = f"solutions/{path.name}"
        try:
            solution = with_answers(read(path, name), exercises, path.stem, name)
            notebooks[path] = as_text(solution)
            notebooks[project / "exercises" / path.name] = as_text(exercise_of(solution, exercises, name))
        except Fault as fault:
            faults.append(str(fault))
            continue
        for answer in filter(None, map(answer_of, solution["cells"])):
            if answer in homes:
                faults.append(f"{name}: answer {answer} is in {homes[answer]} already; a name belongs to one answer")
            homes[answer] = name
    if faults:
        raise Fault("\n".join(faults))
    if not notebooks:  # handed out without solutions, for instance: no reason to remove the exercises
        raise Fault("there is no notebook in solutions/")
    return notebooks


def read(path: Path, name: str) -> dict:
    """The notebook as plain dictionaries, the source of each cell as one string."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        version = notebook["nbformat"], notebook["nbformat_minor"]
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(f"{name}: not a notebook: {error}") from None
    if version < (4, 5):
        raise Fault(f"{name}: a notebook of format {version[0]}.{version[1]}, without cell ids; save it as 4.5")
    for error in iter_validate(notebook):
        raise Fault(f"{name}: not a valid notebook: {error.message}")
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def states(project: Path, notebooks: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """The files that are not as they should be, each with a key of `STATES`."""
    for path, text in notebooks.items():
        if not path.exists():
            yield path, "missing"
        elif path.read_text(encoding="utf-8", errors="replace") != text:
            yield (
                path,
                "out of date"
                if path.parent.name == "solutions" or handout.is_untouched(path, f"solutions/{path.name}")
                else "worked in",
            )
    for path in sorted((project / "exercises").glob("*.ipynb")):
        if path not in notebooks:
            yield path, "left over" if handout.is_untouched(path, f"solutions/{path.name}") else "foreign"


STATES = {
    "missing": "{0} is missing: run make exercises",
    "out of date": "{0} differs from what it is made from: run make exercises",
    "worked in": "{0} differs from what solutions/{1} gives, and somebody worked in it: move it away, then run make "
    "exercises",
    "left over": "{0} has no solution: run make exercises, which removes it",
    "foreign": "{0} has no solution, and was not generated or somebody worked in it: move it away",
}


# ----------------------------------------------------------------------------------------------------------------------
# The solution


def with_answers(notebook: dict, exercises: dict[str, Exercise], lesson: str, name: str) -> dict:
    """The notebook with the right answers and their checks written into it."""
    cells, answers, above = [], [], None
    for cell, below in zip(notebook["cells"], [*notebook["cells"][1:], {"metadata": {}}]):
        answer, checks = answer_of(cell), [tag for tag in tags_of(cell) if tag.startswith("check:")]
        if answer:
            exercise = exercises.get(answer)
            if exercise is None or exercise.lesson != lesson or exercise.in_lesson or answer in answers:
                raise Fault(
                    f"{name}: answer {answer} stands there twice, or no file of check/exercises has it and {lesson}"
                )
            metadata = cell["metadata"] | {"nbgrader": grading(grade_id=answer, solution=True)}
            check = check_cell(exercise)
            if f"check:{answer}" in tags_of(below):  # it was run
                check |= {key: below[key] for key in ("id", "outputs", "execution_count")}
            cells += [cell | {"source": text_of(exercise.reference), "metadata": metadata}, check]
            answers.append(answer)
        elif not checks:
            cells.append(cell)
        elif checks != [f"check:{above}"]:
            raise Fault(f"{name}: {checks[0]} does not stand below its answer")
        above = answer
    missing = [
        one.name for one in exercises.values() if one.lesson == lesson and not one.in_lesson and one.name not in answers
    ]
    if missing:
        raise Fault(f"{name}: there is no cell tagged answer:{missing[0]}")
    return notebook | {"cells": cells}


if __name__ == "__main__":
    sys.exit(main())
