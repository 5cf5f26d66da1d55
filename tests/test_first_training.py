"""`make course` trains lesson 00's model by the lesson's own cells; README's picture is what that lesson shows."""

import importlib.util
import json
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PROJECT = Path(__file__).parent.parent
LESSON = PROJECT / "notebooks/00_the_whole_game.ipynb"


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, PROJECT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shortened(folder: Path) -> Path:
    """Lesson 00 with few updates of its training loop, on the first thousand digits."""
    notebook = nbformat.read(LESSON, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("range(1201)", "range(12)").replace("digits.train[:", "digits.train[:1000][:")
    path = folder / LESSON.name
    nbformat.write(notebook, path)
    return path


def test_the_lessons_own_cells_are_trained(tmp_path, capsys):
    tool("first_training").main(tmp_path / "first", shortened(tmp_path))
    facts = json.loads((tmp_path / "first/first.json").read_text())
    assert facts["images"] == 1000 and facts["codes_per_image"] == 49
    assert 1 <= facts["codes_in_use"] <= facts["codebook_size"] == 64
    assert facts["error"] < 2 * facts["error_of_the_mean"]
    assert plt.imread(tmp_path / "first/digits.png").shape[:2] == (120, 960)
    assert "words in use" in capsys.readouterr().out


def test_cells_without_the_tag_are_left_out(tmp_path):
    cells = [
        new_markdown_cell("# A lesson"),
        new_code_cell("a = 1", metadata={"tags": ["first-training"]}),
        new_code_cell("a = 1 / 0"),
        new_code_cell("b = a + 1", metadata={"tags": ["first-training"]}),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "00_lesson.ipynb")
    names = tool("first_training").trained(tmp_path / "00_lesson.ipynb")
    assert (names["a"], names["b"]) == (1, 2) and names["seconds"] >= 0


def test_a_cell_that_fails_is_named(tmp_path):
    cell = new_code_cell("1 / 0", id="00-11", metadata={"tags": ["first-training"]})
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "00_lesson.ipynb")
    with pytest.raises(ZeroDivisionError) as raised:
        tool("first_training").trained(tmp_path / "00_lesson.ipynb")
    assert "00_lesson.ipynb, 00-11" in [str(entry.path) for entry in raised.traceback]


def test_the_first_picture_is_what_the_lesson_shows():
    picture = tool("preview").picture(LESSON)
    assert (PROJECT / "docs/preview.png").read_bytes() == picture, "run tools/preview.py, as `make outputs` does"
