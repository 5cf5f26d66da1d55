"""nbgrader's whole way with two students: generate, autograde, feedback, export, as an instructor would type it.

Skipped where nbgrader is not installed, but not in CI.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if not os.environ.get("CI"):  # there, what is not tried is not known to hold
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install 'vq-course[nbgrader]'")

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent.parent
LESSON, ANSWER = "04_straight_through", "straight_through"
RIGHT = "def straight_through(latents, quantized):\n    return latents + (quantized - latents).detach()"
WRONG = "def straight_through(latents, quantized):\n    return latents + (quantized - latents)"


def nbgrader(folder: Path, *arguments: str) -> str:
    settings = {f"JUPYTER_{name}": str(folder / name) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    settings |= {"COURSE_PROGRESS": str(folder / "progress")}
    settings |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}  # it calls alembic
    result = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=folder, env=os.environ | settings, capture_output=True,
        text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stderr


def answer_cell(notebook: dict) -> dict:
    (cell,) = [cell for cell in notebook["cells"] if f"answer:{ANSWER}" in cell["metadata"].get("tags", [])]
    return cell


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    (folder / "nbgrader_config.py").write_text("c = get_config()\nc.ExecutePreprocessor.timeout = 300\n")
    source = folder / "source/ps1"
    source.mkdir(parents=True)
    (source / f"{LESSON}.ipynb").write_bytes((PROJECT / f"solutions/{LESSON}.ipynb").read_bytes())
    nbgrader(folder, "generate_assignment", "ps1", "--create")
    released = json.loads((folder / f"release/ps1/{LESSON}.ipynb").read_text())
    for student, answer in {"ann": RIGHT, "bob": WRONG}.items():
        notebook = json.loads(json.dumps(released))
        cell = answer_cell(notebook)
        assert "raise NotImplementedError()" in "".join(cell["source"])
        cell["source"] = answer
        place = folder / "submitted" / student / "ps1"
        place.mkdir(parents=True)
        (place / f"{LESSON}.ipynb").write_text(json.dumps(notebook))
    nbgrader(folder, "autograde", "ps1", "--create")
    nbgrader(folder, "generate_feedback", "ps1")
    nbgrader(folder, "export")
    return folder


def test_marks_are_exported(course):
    with open(course / "grades.csv", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"ann", "bob"}
    assert float(rows["ann"]["score"]) > 0 == float(rows["bob"]["score"])
    assert float(rows["ann"]["max_score"]) > float(rows["ann"]["score"]), "one of the two answers is still a stub"


def test_feedback_names_the_mistake(course):
    page = (course / f"feedback/bob/ps1/{LESSON}.html").read_text()
    assert "which of the two terms should be detached?" in page


def test_no_students_progress_is_kept_or_shown(course):
    assert not (course / "progress").exists()
    assert " right, " not in (course / f"feedback/bob/ps1/{LESSON}.html").read_text()


def test_only_the_work_asked_for_is_in_what_was_released(course):
    released = (course / f"release/ps1/{LESSON}.ipynb").read_text()
    assert "raise NotImplementedError()" in released and ".detach()" not in "".join(
        answer_cell(json.loads(released))["source"]
    )
