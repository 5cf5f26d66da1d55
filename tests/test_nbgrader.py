"""nbgrader takes the exercises as they are: its schema, and marks for right answers alone.

Skipped where nbgrader is not installed, but not in CI. `make test` installs it from nbgrader.lock where there is a
network.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

if not os.environ.get("CI"):  # there, what is not tried is not known to hold
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install 'vq-course[nbgrader]'")

from nbgrader.nbgraderformat import SCHEMA_VERSION, MetadataValidator

from course_lib.grade.__main__ import main

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent.parent
SOLUTIONS = sorted((PROJECT / "solutions").glob("*.ipynb"))
KINDS = (
    "02",
    "09",
    "15",
)  # answers to write, a draw among them, programs to mend; nbval runs all, their cells are alike
EXERCISE = PROJECT / "exercises/04_straight_through.ipynb"
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()"


def validate(folder: Path, *paths: Path) -> list[str]:
    """What `nbgrader validate` says of each notebook."""
    settings = {f"JUPYTER_{name}": str(folder / name) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    result = subprocess.run(
        [sys.executable, "-m", "nbgrader", "validate", "--Execute.timeout=600", *map(str, paths)],
        cwd=folder, env=os.environ | settings | {"COURSE_PROGRESS": "off"}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    said = re.split(r"(?=Success! Your notebook|VALIDATION FAILED ON)", result.stdout)[1:]
    assert len(said) == len(paths), result.stdout
    return said


@pytest.mark.parametrize("folder", ["solutions", "exercises"])
@pytest.mark.parametrize("name", [path.name for path in SOLUTIONS])
def test_metadata_are_of_nbgraders_schema(folder, name):
    assert SCHEMA_VERSION == 3
    notebook = nbformat.read(PROJECT / folder / name, as_version=4)
    MetadataValidator().validate_nb(notebook)
    assert any(cell.metadata.get("nbgrader", {}).get("grade") for cell in notebook.cells)


def test_solutions_are_accepted(tmp_path):
    paths = [path for path in SOLUTIONS if path.name[:2] in KINDS]
    for path, said in zip(paths, validate(tmp_path, *paths)):
        assert said.startswith("Success!"), (path.name, said)


HANDED_IN = {  # lines in place of the stub, and what nbgrader says first
    "untouched": (STUB, "VALIDATION FAILED ON 1 CELL"),
    "wrong": ("    return (quantized - latents) + latents", "VALIDATION FAILED ON 1 CELL"),
    "warns": (
        "    import warnings; warnings.warn('!')\n    return latents + (quantized - latents).detach()",
        "Success!",
    ),
}


def is_answer(cell) -> bool:
    return "answer:straight_through" in cell.metadata.get("tags", [])


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What nbgrader says of the solution, one answer of which is each of `HANDED_IN`, by name."""
    folder = tmp_path_factory.mktemp("handed_in")
    (stub,) = [cell for cell in nbformat.read(EXERCISE, as_version=4).cells if is_answer(cell)]
    for name, (lines, _) in HANDED_IN.items():
        notebook = nbformat.read(PROJECT / "solutions" / EXERCISE.name, as_version=4)
        (cell,) = [cell for cell in notebook.cells if is_answer(cell)]
        cell.source = stub.source
        assert STUB in cell.source
        cell.source = cell.source.replace(STUB, lines)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return dict(zip(HANDED_IN, validate(folder, *(folder / f"{name}.ipynb" for name in HANDED_IN))))


@pytest.mark.parametrize("name", HANDED_IN)
def test_marks_are_for_right_answers_alone(said, name):
    assert said[name].startswith(HANDED_IN[name][1])


def test_what_is_refused_says_why(said):
    assert "CheckFailed: straight_through: not attempted" in said["untouched"]
    assert "CheckFailed: straight_through: not yet" in said["wrong"]


FORGED = {  # a cell at the beginning of a notebook, in which nothing is solved
    "another check": "check = lambda *a, **k: None",
    "in the module": "import course_lib.check\ncourse_lib.check.check = lambda *a, **k: None",
    "another exception": "import course_lib.check\ncourse_lib.check.CheckFailed = lambda *a: None",
    "no exercises": "from course_lib.check.exercises import EXERCISES\nEXERCISES.clear()",
    "not under nbgrader": "import os\nos.environ.pop('NBGRADER_EXECUTION', None)",
}


@pytest.fixture(scope="module")
def autograded(tmp_path_factory):
    """nbgrader's whole way: the folder it worked in, and the marks of each student, who is called as what he did."""
    course = tmp_path_factory.mktemp("course")
    solution = nbformat.read(PROJECT / "solutions" / EXERCISE.name, as_version=4)
    needed = {"answer:straight_through", "check:straight_through"}
    imports = nbformat.v4.new_code_cell("import torch\nfrom course_lib.check import check", id="imports")
    cells = [imports, *(cell for cell in solution.cells if needed & set(cell.metadata.get("tags", [])))]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=solution.metadata)
    (course / "source/ps1").mkdir(parents=True)
    nbformat.write(notebook, course / "source/ps1" / EXERCISE.name)
    (course / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'x'\n")
    settings = {f"JUPYTER_{name}": str(course / name) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # nbgrader calls alembic by its name
    environment = (
        os.environ | settings | {"COURSE_PROGRESS": str(course / "kept"), "PATH": path, "PYTHONPATH": str(PROJECT)}
    )
    # without COURSE_PROGRESS=off: it is nbgrader's own mark that keeps students apart
    (course / "kept").mkdir()
    (course / "kept/straight_through.json").write_text('{"attempts": 1, "hints": 0, "passed": "2026-01-01"}')

    def nbgrader(*arguments: str, status: int = 0):
        command = [sys.executable, "-m", "nbgrader", *arguments]
        result = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
        assert result.returncode == status, result.stderr[-3000:]

    nbgrader("generate_assignment", "ps1")
    released = nbformat.read(course / "release/ps1" / EXERCISE.name, as_version=4)
    (answer,) = [cell for cell in released.cells if is_answer(cell)]
    assert STUB in answer.source and "detach" not in answer.source
    stub = answer.source
    worked = {"right": cells[1].source, "wrong": stub.replace(STUB, HANDED_IN["wrong"][0]), "blank": stub}
    for name in [*FORGED, *worked]:
        answer.source = worked.get(name, stub)
        added = [nbformat.v4.new_code_cell(FORGED[name])] if name in FORGED else []
        handed_in = released.copy()
        place = course / "submitted" / name.replace(" ", "_") / "ps1"
        place.mkdir(parents=True)
        handed_in.cells = [released.cells[0], *added, *released.cells[1:]]
        if name == "not under nbgrader":
            handed_in.cells = [*added, *released.cells]
        nbformat.write(handed_in, place / EXERCISE.name)
    nbgrader("autograde", "ps1", "--ExecutePreprocessor.timeout=300")
    (course / "submitted/broken/ps1").mkdir(parents=True)
    (course / "submitted/broken/ps1" / EXERCISE.name).write_text(nbformat.writes(released)[:-20])
    nbgrader("autograde", "ps1", status=1)  # of whom is left
    nbgrader("generate_feedback", "ps1")
    nbgrader("export")
    return course, marks_in(course / "grades.csv")


def marks_in(path: Path) -> dict[str, float | None]:
    with open(path, newline="", encoding="utf-8") as table:
        return {
            row["student_id"].replace("_", " "): float(row["score"]) if row["score"] else None
            for row in csv.DictReader(table)
        }


@pytest.mark.parametrize("name", FORGED)
def test_the_obvious_forgeries_get_no_marks(autograded, name):
    assert autograded[1][name] == 0


def test_the_right_answer_gets_its_marks_and_no_other(autograded):
    assert [autograded[1][name] for name in ("right", "wrong", "blank")] == [2, 0, 0]
    pages = {path.parts[-3] for path in autograded[0].glob("feedback/*/ps1/*.html")}
    assert pages == {path.name for path in autograded[0].glob("submitted/*")} - {"broken"}


def test_make_grade_takes_what_nbgrader_collected(autograded, tmp_path):
    """As docs/instructors.md says: copied by its line, then graded into a table with the columns of the export."""
    course, marks = autograded
    (line,) = re.findall(r"^ *(for s in submitted.*done)$", (PROJECT / "docs/instructors.md").read_text(), re.MULTILINE)
    subprocess.run(["bash", "-ec", line], cwd=course, check=True)
    command = [course / "submissions", "--out", tmp_path, "--nbgrader", "--exercise", "04", "--jobs", "1"]
    assert main(list(map(str, command))) == 0
    assert marks_in(tmp_path / "nbgrader.csv") == marks | {"broken": None}  # nobody's zero, which it is in nbgrader
    assert marks["broken"] == 0


def test_the_exercises_are_handed_out_as_they_are(tmp_path):
    (tmp_path / "source/ps1").mkdir(parents=True)
    for path in (PROJECT / "exercises").glob("*.ipynb"):
        shutil.copy(path, tmp_path / "source/ps1")
    (command,) = re.findall("`nbgrader (generate_assignment [^`]*)`", (PROJECT / "docs/instructors.md").read_text())
    settings = {f"JUPYTER_{name}": str(tmp_path / name) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "nbgrader", *command.split(), "--CourseDirectory.course_id=x"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | settings | {"PATH": path}, check=True, capture_output=True)
    for solution in SOLUTIONS:
        released, wanted = (
            nbformat.read(folder / solution.name, as_version=4)
            for folder in (tmp_path / "release/ps1", PROJECT / "exercises")
        )
        assert [cell.source for cell in released.cells] == [cell.source for cell in wanted.cells], solution.name


def test_feedback_names_the_mistake(autograded):
    page = (autograded[0] / f"feedback/wrong/ps1/{EXERCISE.stem}.html").read_text(encoding="utf-8")
    assert "which of the two terms should be detached?" in page


def test_nobodys_progress_is_in_anybodys_feedback(autograded):
    course, _ = autograded
    for path in [*course.glob("autograded/*/ps1/*.ipynb"), *course.glob("feedback/*/ps1/*.html")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"of \d+ right|href=\W*\.\./solutions", text)
    assert [path.name for path in (course / "kept").iterdir()] == ["straight_through.json"]
