"""What a cell gave, as a page shows it: pictures as files, with their words; widgets; progress bars at rest."""

import base64
import re
from html import escape
from io import BytesIO
from pathlib import Path

from myst_nb.core.utils import coalesce_streams
from nbformat import NotebookNode
from PIL import Image

from course_lib.lesson import widgets

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def prepare(notebook: NotebookNode, name: str, figures: Path) -> None:
    """Rewrites the notebook's outputs in place. Pictures go into the folder `figures`, ../figures to a page."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = coalesce_streams(cell.outputs)
            for place, output in enumerate(cell.outputs):
                if output.output_type == "stream":
                    output.text = _at_rest(output.text)
                elif output.output_type in ("display_data", "execute_result"):
                    _show(output, figures / f"{name}-{number}-{place}")


def _at_rest(text: str) -> str:
    """Of a line that was written over, the last state, without colours: a progress bar as it ended."""
    lines = _ANSI.sub("", text).split("\n")
    return "\n".join(next(filter(None, reversed(line.split("\r"))), "") for line in lines)


def _show(output: NotebookNode, file: Path) -> None:
    bundle = output.data.get(widgets.MIME)
    if bundle:
        html = widgets.element(bundle, output.data["image/png"], output.data["text/plain"])
    elif kind := next((kind for kind in output.data if kind in ("image/png", "image/jpeg", "image/gif")), None):
        content = base64.b64decode(output.data[kind])
        file = file.with_suffix("." + kind.partition("/")[2])
        file.write_bytes(content)
        width, height = Image.open(BytesIO(content)).size
        alt = escape(output.metadata.get(kind, {}).get("alt", ""))
        html = f'<img class="figure" src="../figures/{file.name}" alt="{alt}" width="{width}" height="{height}">'
    else:
        output.data.pop("application/vnd.jupyter.widget-view+json", None)  # its model was in the kernel
        return
    output.data, output.metadata = NotebookNode({"text/html": html}), NotebookNode()
