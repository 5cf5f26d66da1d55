"""What a cell gave, as a page shows it: pictures as files, with their words; widgets; progress bars at rest."""

import base64
import re
from html import escape
from io import BytesIO
from pathlib import Path

from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from PIL import Image

from course_lib.lesson import widgets

ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def prepare(notebook: NotebookNode, name: str, figures: Path) -> None:
    """Rewrites the notebook's outputs in place. Pictures go into the folder `figures`, ../figures to a page."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            # of a line that was written over, a progress bar say, this keeps the last state
            CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, number)
            for place, output in enumerate(cell.outputs):
                if output.output_type == "stream":
                    output.text = ANSI.sub("", output.text)
                elif output.output_type in ("display_data", "execute_result"):
                    _show(output, figures / f"{name}-{number}-{place}")


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
        if "text/html" in output.data:  # an empty heading tells whoever listens nothing
            output.data["text/html"] = output.data["text/html"].replace("<th></th>", "<td></td>")
        return
    output.data, output.metadata = NotebookNode({"text/html": html}), NotebookNode()
