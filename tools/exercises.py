"""Make exercises/NN_topic.ipynb from solutions/NN_topic.ipynb: `make exercises` calls it.

    python tools/exercises.py            # writes what is missing or out of date, removes what has no solution any more
    python tools/exercises.py --check    # writes nothing; says what is missing, out of date or left over

In a solution, the cell tagged `answer:NAME` shows the right answer of course_lib/check/exercises/NAME.py, letter for
letter, and the cell below it checks it; both are written by this tool, with nbgrader's metadata. In the exercise each
region from `### BEGIN SOLUTION` to `### END SOLUTION` becomes a line that raises NotImplementedError, in a cell tagged
`workspace` a comment, or the text that its metadata name as `stub`: questions in place of a worked report; a bug hunt
shows the program with its planted fault. An exercise says in its metadata what it was made from, with a fingerprint of
its cells: one in which somebody has worked is never overwritten, nor removed.
"""

import argparse
import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from nbformat.validator import iter_validate  # noqa: E402

from course_lib import files  # noqa: E402
from course_lib.check.author import planted_in, text_of  # noqa: E402
from course_lib.check.exercises import EXERCISES  # noqa: E402
from course_lib.check.judge import Exercise  # noqa: E402

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
YOURS = "# YOUR CODE HERE"
ANSWER_STUB = (YOURS, "raise NotImplementedError()")
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}  # no version: it is nobody's machine


class Fault(ValueError):
    """Something that keeps an exercise from being made. Names the file, and the cell where there is one."""


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


def as_text(notebook: dict) -> str:
    """As Jupyter writes notebooks, and the same each time."""
    cells = [cell | {"source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps(notebook | {"cells": cells}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def states(project: Path, notebooks: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """The files that are not as they should be, each with a key of `STATES`."""
    for path, text in notebooks.items():
        if not path.exists():
            yield path, "missing"
        elif path.read_text(encoding="utf-8", errors="replace") != text:
            yield path, "out of date" if path.parent.name == "solutions" or is_untouched(path) else "worked in"
    for path in sorted((project / "exercises").glob("*.ipynb")):
        if path not in notebooks:
            yield path, "left over" if is_untouched(path) else "foreign"


STATES = {
    "missing": "{0} is missing: run make exercises",
    "out of date": "{0} differs from what it is made from: run make exercises",
    "worked in": "{0} differs from what solutions/{1} gives, and somebody worked in it: move it away, then run make "
    "exercises",
    "left over": "{0} has no solution: run make exercises, which removes it",
    "foreign": "{0} has no solution, and was not generated or somebody worked in it: move it away",
}


def is_untouched(path: Path) -> bool:
    """Whether this file was generated, and its cells are still what was generated; outputs do not count."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook["metadata"]["course"].items() >= mark(f"solutions/{path.name}", notebook["cells"]).items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def mark(name: str, cells: list[dict]) -> dict[str, str]:
    """What the metadata of a generated file say: what it was made from, and its text in brief."""
    text = json.dumps([(cell["cell_type"], "".join(cell["source"])) for cell in cells])
    return {"generated_from": name, "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16]}


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


def check_cell(exercise: Exercise) -> dict:
    name = exercise.name
    nbgrader = grading(grade_id=f"check-{name}", grade=True, locked=True, points=exercise.points)
    return {
        "cell_type": "code",
        "id": f"check-{name}",
        "metadata": {"tags": [f"check:{name}"], "nbgrader": nbgrader},
        # imported once more: nbgrader runs a notebook in which a cell above may have given the name another meaning
        "source": f'from course_lib.check import check\n\ncheck("{name}", {name})',
        "outputs": [],
        "execution_count": None,
    }


def grading(**settings) -> dict:
    """nbgrader's metadata of a cell, schema 3."""
    return {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False} | settings


# ----------------------------------------------------------------------------------------------------------------------
# The exercise


def exercise_of(solution: dict, exercises: dict[str, Exercise], name: str) -> dict:
    """The exercise of a solution. `Fault` with every fault of its cells."""
    faults, cells = [], []
    for number, cell in enumerate(solution["cells"], 1):
        try:
            cells.append(shown(cell, exercises))
        except Fault as fault:
            faults.append(f"{name}, cell {number}: {fault}")
    ids = [cell["id"] for cell in solution["cells"]]
    faults += [f"{name}: id {each} is given to several cells" for each in sorted({i for i in ids if ids.count(i) > 1})]
    if faults:
        raise Fault("\n".join(faults))
    course = solution["metadata"].get("course", {}) | mark(name, cells)
    course.pop("made", None)  # how the solution's outputs came about
    metadata = {"course": course, "kernelspec": PYTHON, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def shown(cell: dict, exercises: dict[str, Exercise]) -> dict:
    """The cell as the exercise shows it: the solution cut out, nothing run."""
    source, metadata, answer = cell["source"], dict(cell["metadata"]), answer_of(cell)
    metadata.pop("execution", None)  # when it was run
    regions = count_regions(source)
    stub = planted_in(exercises[answer]) if answer else metadata.pop("stub", None)
    if not (cell["cell_type"] == "code" and (answer or "workspace" in tags_of(cell))):
        if answer or regions or stub:
            raise Fault("holds a solution, but is no code cell tagged answer:NAME or workspace")
    elif stub is not None:
        source = stub
        count_regions(stub)  # none of whose marks may be left
    elif answer and not regions:
        raise Fault(f"answer {answer} has neither {BEGIN} .. {END} nor a planted fault")
    else:
        source = cut(source, [ANSWER_STUB] * regions if answer else workspace_stubs(source, regions))
    if source != cell["source"] and not is_python(source):
        raise Fault("what the exercise would show is not Python")
    run = {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {}
    return cell | {"source": source, "metadata": metadata} | run


def tags_of(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def answer_of(cell: dict) -> str | None:
    """The NAME of a cell tagged `answer:NAME`."""
    return next((tag.removeprefix("answer:") for tag in tags_of(cell) if tag.startswith("answer:")), None)


def count_regions(source: str) -> int:
    regions, inside = 0, False
    for line in source.splitlines():
        if line.strip() in (BEGIN, END):
            begins = line.strip() == BEGIN
            if begins == inside:
                raise Fault(f"{BEGIN} inside a solution" if begins else f"{END} without {BEGIN}")
            regions, inside = regions + begins, begins
        elif re.search(r"\b(begin|end)[ _-]*solution", line, re.IGNORECASE):  # unrecognised, it would show the solution
            raise Fault(f"{line.strip()!r} is no marker; those are {BEGIN} and {END}, alone on their lines")
    if inside:
        raise Fault(f"{BEGIN} without {END}")
    return regions


def cut(source: str, stubs: list[tuple[str, ...]]) -> str:
    """The source with the stubs in place of its regions, indented as these were."""
    lines, stubs, inside = [], iter(stubs), False
    for line in source.splitlines():
        if line.strip() == BEGIN:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + text for text in next(stubs)]
        inside = line.strip() == BEGIN or (inside and line.strip() != END)
        if not inside and line.strip() != END:
            lines.append(line)
    return "\n".join(lines)


def workspace_stubs(source: str, regions: int) -> list[tuple[str, ...]]:
    """A comment for each region, with `...` below it where Python wants a statement."""
    stubs = [(YOURS, "...")] * regions
    for index in range(regions):
        shorter = [*stubs[:index], (YOURS,), *stubs[index + 1 :]]
        if is_python(cut(source, shorter)):
            stubs = shorter
    return stubs


def is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
