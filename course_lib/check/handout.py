"""What is handed out: a notebook in which the answers are cut out, and the cells that check them.

A cell tagged `answer:NAME` shows the right answer; the one below it checks it, with nbgrader's metadata. Handed out,
each region from `### BEGIN SOLUTION` to `### END SOLUTION` is a line that raises NotImplementedError, in a cell tagged
`workspace` a comment, or the text that its metadata name as `stub`: questions in place of a worked report; a bug hunt
shows the program with its planted fault.

    exercise_of   of a solution's notebook
    from_files    of exercises of an instructor's own, each of which is one file
"""

import ast
import hashlib
import json
import math
import pprint
import re
import textwrap
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from course_lib.check import own
from course_lib.check.author import planted_in, text_of
from course_lib.check.judge import Exercise, draw_calls
from course_lib.check.observe import Call, Seed, observe

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
YOURS = "# YOUR CODE HERE"
ANSWER_STUB = (YOURS, "raise NotImplementedError()")
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}  # no version: it is nobody's machine


class Fault(ValueError):
    """Something that keeps an exercise from being made. Names the file, and the cell where there is one."""


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


def mark(name: str, cells: list[dict]) -> dict[str, str]:
    """What the metadata of a generated file say: what it was made from, and its text in brief."""
    text = json.dumps([(cell["cell_type"], "".join(cell["source"])) for cell in cells])
    return {"generated_from": name, "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16]}


def is_untouched(path: Path, made_from: str) -> bool:
    """Whether this file was generated from that, and its cells are still what was generated; outputs do not count."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook["metadata"]["course"].items() >= mark(made_from, notebook["cells"]).items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def as_text(notebook: dict) -> str:
    """As Jupyter writes notebooks, and the same each time."""
    cells = [cell | {"source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps(notebook | {"cells": cells}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


# ----------------------------------------------------------------------------------------------------------------------
# An exercise of an instructor's own


def from_files(exercises: list[Exercise], with_check: bool) -> dict:
    """The notebook for students, of exercises of one lesson that `own.load` gave. `Fault` where one cannot be cut.

    with_check: below each answer stands the check itself, whose file then has to lie beside the notebook. Without it,
        the cell below runs the answer once and looks at the form of what comes, and knows nothing of its values.
    """
    number, _, topic = exercises[0].lesson.partition("_")
    added = [f'add("{exercise.source}")' for exercise in exercises] if with_check else []
    known = ["", "from course_lib.check import add, check, hint", "", *added] if with_check else []
    cells = [
        markdown("title", f"# Exercise {number} · {topic.replace('_', ' ').capitalize()}"),
        code("imports", "\n".join(["import torch", *imports_of(exercises), *known])),
    ]
    for exercise in exercises:
        name = exercise.name
        text = getattr(own.file_of(exercise), "TEXT", "").strip() or f"## `{name}`"
        by_hand = (
            {} if with_check else {"grade": True, "points": exercise.points}
        )  # no machine that students have marks it
        answer = grading(grade_id=name, solution=True, **by_hand)
        below = check_cell(exercise) if with_check else form_cell(exercise)
        metadata = {"tags": [f"answer:{name}"], "nbgrader": answer}
        cells += [
            markdown(f"text-{name}", text),
            code(f"answer-{name}", text_of(exercise.reference), **metadata),
            below,
        ]
    made_from = ", ".join(exercise.source for exercise in exercises)
    return exercise_of({"cells": cells, "metadata": {}}, {exercise.name: exercise for exercise in exercises}, made_from)


def markdown(identity: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": identity, "metadata": {}, "source": source}


def code(identity: str, source: str, **metadata) -> dict:
    return {
        "cell_type": "code", "id": identity, "metadata": metadata, "source": source, "outputs": [],
        "execution_count": None,
    }  # fmt: skip


def imports_of(exercises: list[Exercise]) -> list[str]:
    """The lines of the files that import what the answers name, but nothing that checks them."""
    lines = []
    for exercise in exercises:
        used = {node.id for node in ast.walk(ast.parse(text_of(exercise.reference))) if isinstance(node, ast.Name)}
        for node in ast.parse(Path(own.file_of(exercise).__file__).read_text(encoding="utf-8")).body:
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            module = getattr(node, "module", None) or ""
            names = [one for one in node.names if (one.asname or one.name.split(".")[0]) in used]
            if names and not module.startswith("course_lib.check"):
                node.names = names
                lines.append(ast.unparse(node))
    return [line for line in dict.fromkeys(lines) if line != "import torch"]


def form_cell(exercise: Exercise) -> dict:
    """A cell that runs the answer on the plainest of some inputs, and asks for kind, shape and dtype of the results."""
    call = draw_calls(exercise, seed=0)[0]
    try:
        lines = [*_call(exercise.name, call), *_asserts(exercise, call)]
        source = FORM.format(name=exercise.name, body=textwrap.indent("\n".join(lines), "    "))
    except Unwritable as error:
        source = f"# {exercise.name} is looked at when it is graded. ({error})"
    metadata = {"nbgrader": grading(grade_id=f"form-{exercise.name}", locked=True)}
    return code(f"form-{exercise.name}", source, **metadata)


FORM = """\
# This runs {name} once, and looks at the form of what it gives.
# Whether it is right is found out when it is graded.
def form_of_{name}():  # a function, so that it takes no name that an answer may need
{body}
    print("{name} runs, and what it gives has the right form")


form_of_{name}()"""


class Unwritable(ValueError):
    """A value that no short line of Python makes."""


def _call(name: str, call: Call) -> list[str]:
    made = name
    if isinstance(call.build, dict):
        made = f"{name}({', '.join(f'{key}={_literal(value)}' for key, value in call.build.items())})"
    elif call.build is not None:
        made = f"{name}({', '.join(map(_literal, call.build))})"
    lines = [f"    {_literal(value)},  # {what}" for value, what in zip(call.args, call.names)]
    return [f"{', '.join(_names(name, call))} = {made}(", *lines, ")"]


def _names(answer: str, call: Call) -> list[str]:
    plain = [f"result_{number}" for number in range(1, len(call.gives) + 1)] if len(call.gives) > 1 else ["result"]
    return plain if answer in call.gives or not all(map(str.isidentifier, call.gives)) else list(call.gives)


def _asserts(exercise: Exercise, call: Call) -> list[str]:
    bare = replace(
        call, differentiate=(), train=0, watch=None, elsewhere=False, again=False, reseeded=False, beside=None
    )
    seen, lines = observe(exercise.reference, bare), []
    for name, what in zip(_names(exercise.name, call), call.gives):
        value = seen.get(what)
        if isinstance(value, Tensor):
            shape, dtype = tuple(value.shape), value.dtype
            lines += [
                f'assert isinstance({name}, torch.Tensor), f"{name} is {{type({name}).__name__}}; wanted a tensor"',
                f'assert {name}.shape == {shape}, f"{name} has shape {{tuple({name}.shape)}}; wanted {shape}"',
                f'assert {name}.dtype == {dtype}, f"{name} is {{{name}.dtype}}; wanted {dtype}"',
            ]
            if value.isfinite().all():
                lines.append(f'assert {name}.isfinite().all(), "{name} holds inf or nan"')
        elif type(value) in (bool, int, float):
            kind = "bool" if type(value) is bool else "(int, float)"
            lines.append(f'assert isinstance({name}, {kind}), f"{name} is {{type({name}).__name__}}; wanted {kind}"')
        else:
            raise Unwritable("what it gives is neither a tensor nor a number")
    return lines


def _literal(value) -> str:
    if isinstance(value, Tensor):
        if not value.numel() or not value.isfinite().all():
            raise Unwritable("its inputs cannot be written here")
        numbers = pprint.pformat(_rounded(value.tolist()), width=90, compact=True)
        return f"torch.tensor({numbers}, dtype={value.dtype})"
    if isinstance(value, Seed):
        return f"torch.Generator().manual_seed({value.number})"
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, tuple):
        return f"({''.join(f'{_literal(each)}, ' for each in value)})"
    raise Unwritable("its inputs cannot be written here")


def _rounded(numbers):
    """float32 as a list would show digits that it does not have."""
    if isinstance(numbers, list):
        return [_rounded(each) for each in numbers]
    return round(numbers, 4) if isinstance(numbers, float) else numbers
