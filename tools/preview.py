"""Takes the README's first picture from lesson 00: what its cell tagged `preview` shows, as docs/preview.png.

python tools/preview.py
"""

import base64
from pathlib import Path

import nbformat

from course_lib import files

PROJECT = Path(__file__).resolve().parents[1]


def picture(lesson: Path) -> bytes:
    """The PNG that the cell tagged `preview` shows."""
    cells = nbformat.read(lesson, as_version=4).cells
    (cell,) = [cell for cell in cells if "preview" in cell.metadata.get("tags", [])]
    (png,) = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return base64.b64decode(png)


if __name__ == "__main__":
    files.write(PROJECT / "docs/preview.png", picture(PROJECT / "notebooks/00_the_whole_game.ipynb"))
