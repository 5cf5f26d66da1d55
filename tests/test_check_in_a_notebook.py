"""A check in a real kernel: it knows which cells could not be read."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.check.progress import PROJECT

pytestmark = pytest.mark.slow
RIGHT = "import math\n\ndef bits_per_image(grid, k):\n    return math.prod(grid) * math.log2(k)"
BROKEN = "def bits_per_image(grid, k):\n    return math.prod(grid * math.log2(k)"
OUTSIDE = "def bits_per_image(grid, k):\n    return 1\nreturn 2"  # read by Python's parser, refused by its compiler
MAGIC = "%precision 3\n" + RIGHT
OTHER = "print(2"
CHECK = 'check("bits_per_image", bits_per_image)'


def said(*cells: str, monkeypatch) -> list[str]:
    """What the checks say, the text of their cards."""
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    cells = [new_code_cell(text) for text in ("from course_lib.check import check", *cells)]
    notebook = new_notebook(cells=cells)
    resources = {"metadata": {"path": str(PROJECT)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True, resources=resources).execute()
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells if cell.source == CHECK for output in cell.outputs]
    return [output.data["text/plain"] for output in outputs if output.output_type == "display_data"]


def test_a_cell_that_cannot_be_read_is_told_and_the_older_answer_is_not_judged(monkeypatch):
    cells = RIGHT, CHECK, BROKEN, CHECK, OTHER, CHECK, RIGHT, CHECK, OTHER, CHECK, OUTSIDE, CHECK, MAGIC, CHECK
    first, broken, still, mended, unrelated, outside, magic = said(*cells, monkeypatch=monkeypatch)
    for card in (first, mended, unrelated, magic):
        assert card.startswith("bits_per_image: right")
    for card in (broken, still, outside):
        assert card.startswith("bits_per_image: not judged") and "SyntaxError" in card
    assert "line 2: return math.prod(grid * math.log2(k)" in broken
    assert "line 3: return 2" in outside
