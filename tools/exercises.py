"""Make exercises/NN_topic.ipynb from solutions/NN_topic.ipynb: `make exercises` calls it.

    python tools/exercises.py            # writes what is missing or out of date, removes what has no solution any more
    python tools/exercises.py --check    # writes nothing; says what is missing, out of date or left over

In a cell tagged `answer:NAME` each region from `### BEGIN SOLUTION` to `### END SOLUTION` becomes a line that raises
NotImplementedError, in one tagged `workspace` a comment; a cell with `stub` in its metadata shows that text instead. An
exercise says in its metadata what it was made from, with a fingerprint of its cells: one in which somebody has worked
is never overwritten, nor removed.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from nbformat.validator import iter_validate

PROJECT = Path(__file__).parent.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
YOURS = "# YOUR CODE HERE"
ANSWER_STUB = (YOURS, "raise NotImplementedError()")
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}  # no version: it is nobody's machine


class Fault(ValueError):
    """Something that keeps an exercise from being made. Names the file, and the cell where there is one."""


def main(arguments: list[str] | None = None, project: Path = PROJECT) -> int:
    """-> the exit status: 0, or 1 where something has to be done by hand (with --check: or by `make exercises`)."""
    parser = argparse.ArgumentParser(description="Make the exercises from the solutions.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something would be written")
    check = parser.parse_args(arguments).check
    try:
        wanted = make_all(project)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    status = 0
    for path, finding in findings(project, wanted):
        if check or finding in ("worked in", "foreign"):
            print(SAID[finding].format(path.name), file=sys.stderr)
            status = 1
        elif finding == "left over":
            path.unlink()
            print(f"exercises/{path.name} removed: it has no solution any more")
        else:
            write(path, wanted[path])
            print(f"exercises/{path.name} written")
    return status


# ----------------------------------------------------------------------------------------------------------------------
# Files


def make_all(project: Path) -> dict[Path, str]:
    """The exercise of each solution, as text. `Fault` with every fault of every solution, a line each."""
    wanted, faults, homes = {}, [], {}
    for solution in sorted((project / "solutions").glob("*.ipynb")):
        name = f"solutions/{solution.name}"
        try:
            notebook = read(solution, name)
            wanted[project / "exercises" / solution.name] = as_text(exercise_of(notebook, name))
        except Fault as fault:
            faults.append(str(fault))
            continue
        for answer in filter(None, map(answer_of, notebook["cells"])):
            if answer in homes:
                faults.append(f"{name}: answer {answer} is in {homes[answer]} already; a name belongs to one answer")
            homes[answer] = name
    if faults:
        raise Fault("\n".join(faults))
    if not wanted:  # handed out without solutions, for instance: no reason to remove the exercises
        raise Fault("there is no notebook in solutions/")
    return wanted


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


def findings(project: Path, wanted: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """The files that are not as they should be, each with a key of `SAID`."""
    for path, text in wanted.items():
        if not path.exists():
            yield path, "missing"
        elif path.read_text(encoding="utf-8", errors="replace") != text:
            yield path, "out of date" if is_untouched(path) else "worked in"
    for path in sorted((project / "exercises").glob("*.ipynb")):
        if path not in wanted:
            yield path, "left over" if is_untouched(path) else "foreign"


SAID = {
    "missing": "exercises/{0} is missing: run make exercises",
    "out of date": "exercises/{0} differs from what solutions/{0} gives: run make exercises",
    "worked in": "exercises/{0} differs from what solutions/{0} gives, and somebody worked in it: move it away, then "
    "run make exercises",
    "left over": "exercises/{0} has no solution: run make exercises, which removes it",
    "foreign": "exercises/{0} has no solution, and was not generated or somebody worked in it: move it away",
}


def write(path: Path, text: str) -> None:
    """Beside the old file, then in its place: whoever interrupts finds the old or the new, and nothing between."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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
# One notebook


def exercise_of(solution: dict, name: str) -> dict:
    """The exercise of a solution. `Fault` with every fault of its cells."""
    faults, cells = [], []
    for number, cell in enumerate(solution["cells"], 1):
        try:
            cells.append(shown(cell))
        except Fault as fault:
            faults.append(f"{name}, cell {number}: {fault}")
    faults += [f"{name}{fault}" for fault in contract_faults(solution["cells"])]
    if faults:
        raise Fault("\n".join(faults))
    course = solution["metadata"].get("course", {}) | mark(name, cells)
    metadata = {"course": course, "kernelspec": PYTHON, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def shown(cell: dict) -> dict:
    """The cell as the exercise shows it: the solution cut out, nothing run."""
    source, metadata = cell["source"], dict(cell["metadata"])
    stub = metadata.pop("stub", None)
    metadata.pop("execution", None)  # when it was run
    answer = answer_of(cell)
    regions = count_regions(source)
    if not (cell["cell_type"] == "code" and (answer or "workspace" in tags_of(cell))):
        if answer or regions or stub is not None:
            raise Fault("holds a solution or a stub, but is no code cell tagged answer:NAME or workspace")
    elif stub is not None:
        source = stub
        if mentions_a_marker(stub):
            raise Fault("its stub holds a marker of a solution")
    elif answer and not regions:
        raise Fault(f"answer {answer} has neither {BEGIN} .. {END} nor a stub")
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


def mentions_a_marker(text: str) -> bool:
    """Any spelling of one: a marker that is not recognised would show the solution."""
    return re.search(r"\b(begin|end)[ _-]*solution", text, re.IGNORECASE) is not None


def count_regions(source: str) -> int:
    regions, inside = 0, False
    for line in source.splitlines():
        if line.strip() in (BEGIN, END):
            begins = line.strip() == BEGIN
            if begins == inside:
                raise Fault(f"{BEGIN} inside a solution" if begins else f"{END} without {BEGIN}")
            regions, inside = regions + begins, begins
        elif mentions_a_marker(line):
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


def contract_faults(cells: list[dict]) -> list[str]:
    """What checks and graders rely on: ids, one check below each answer, nbgrader's metadata on both."""
    ids = [cell["id"] for cell in cells]
    faults = [f": id {cell_id} is given to several cells" for cell_id in sorted({i for i in ids if ids.count(i) > 1})]
    answers = [answer_of(cell) for cell in cells]
    neighbours = zip(cells, answers, [None, *answers], [*cells[1:], {"metadata": {}, "source": ""}])
    for number, (cell, name, above, below) in enumerate(neighbours, 1):
        found = []
        if name:
            if answers.index(name) < number - 1:
                found.append(f"answer {name} is in cell {answers.index(name) + 1} already")
            if f"check:{name}" not in tags_of(below) or below["source"].strip() != f'check("{name}", {name})':
                found.append(f'answer {name} is not followed by check("{name}", {name}), tagged check:{name}')
            found += grading_faults(cell, grade_id=name, solution=True, grade=False)
        for tag in tags_of(cell):
            if tag.startswith("check:"):
                if tag != f"check:{above}":
                    found.append(f"{tag} does not stand below its answer")
                found += grading_faults(cell, grade_id=tag.replace(":", "-"), solution=False, grade=True, locked=True)
        faults += [f", cell {number}: {fault}" for fault in found]
    return faults


def grading_faults(cell: dict, **wanted) -> list[str]:
    """What nbgrader's metadata (schema 3) should say of this cell and do not."""
    said = cell["metadata"].get("nbgrader")
    if not isinstance(said, dict):
        return ["its nbgrader metadata are missing"]
    wanted |= {"schema_version": 3, "task": False}
    wrong = {key: wish for key, wish in wanted.items() if said.get(key) != wish}
    faults = [f"nbgrader's {key} is {said.get(key)!r}, not {wish!r}" for key, wish in wrong.items()]
    if wanted["grade"] and not (type(said.get("points")) is int and said["points"] > 0):
        faults.append(f"nbgrader's points are {said.get('points')!r}, not a whole number above 0")
    return faults


if __name__ == "__main__":
    sys.exit(main())
