"""Predictions on a page: inputs where the notebook has a guess to fill in, the outcome folded until it is asked for.

predictions.js makes the form from the questions that `compare` left in its output. Without scripts the outcome can be
opened all the same: it is a <details>.
"""

import json
import re
from html import escape

import formulas
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from nbformat.v4 import new_output
from words import _

from course_lib.lesson.predict import MIME

_MARKDOWN = MarkdownIt().use(dollarmath_plugin, renderer=lambda tex, _: formulas.to_mathml(tex, "inline"))
_GUESS = re.compile(r"^guess = ", flags=re.MULTILINE)
_GUESS_ALONE = re.compile(r"guess = \{[^{}]*\}( *#.*)?\s*")


def prepare(notebook: NotebookNode) -> None:
    """Puts a form under each guess, and folds every output up to the next text. Outputs are already as on a page.

    In a lesson that stopped, a guess without an outcome stays as it is, and an error is not folded.
    """
    for number, (guess, cells) in enumerate(_predictions(notebook), start=1):
        questions = next((output.data[MIME] for cell in cells for output in cell.outputs if _asks(output)), None)
        if questions is None:
            continue
        guess.outputs.append(_html(_form(questions, number)))
        if _GUESS_ALONE.fullmatch(guess.source):
            guess.metadata["tags"] = [*guess.metadata.get("tags", []), "remove-input"]
        for cell in cells:
            if cell.outputs and not any(output.output_type == "error" for output in cell.outputs):
                cell.outputs = [_html(_fold(map(_shown, cell.outputs), number))]
                if ".backward()" not in cell.source:  # its captions may tell; how a model is trained stands open
                    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "waits"]


def _predictions(notebook: NotebookNode) -> list[tuple[NotebookNode, list[NotebookNode]]]:
    """Each cell with a guess, and the code cells from there to the next text or guess."""
    found, within = [], False
    for cell in notebook.cells:
        if cell.cell_type != "code":
            within = False
        elif _GUESS.search(cell.source):
            found.append((cell, []))
            within = True
        elif within:
            found[-1][1].append(cell)
    return found


def _asks(output: NotebookNode) -> bool:
    return MIME in output.get("data", {})


def _html(html: str) -> NotebookNode:
    return new_output("display_data", data={"text/html": html})


def _form(questions: dict, number: int) -> str:
    data = escape(json.dumps(questions, ensure_ascii=False))
    first = _("Make your guess before you open the outcome.")
    without_scripts = f"<noscript><p>{first}</p></noscript>"
    return f'<div class="vq-prediction" data-number="{number}" data-prediction="{data}">{without_scripts}</div>'


def _fold(outputs, number: int) -> str:
    content, summary = "\n".join(outputs), _("Show the outcome")
    return f'<details class="vq-outcome" data-number="{number}"><summary>{summary}</summary>{content}</details>'


def _shown(output: NotebookNode) -> str:
    if _asks(output):
        return _table(output.data[MIME])
    if html := output.get("data", {}).get("text/html"):
        return html
    if words := output.get("data", {}).get("text/markdown"):  # what is below a figure
        return _MARKDOWN.render(words)
    text = output.text if output.output_type == "stream" else output.data["text/plain"]
    return f'<div class="highlight"><pre tabindex="0">{escape(text.strip())}</pre></div>' if text.strip() else ""


def _table(questions: dict) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(question["name"])}</th><td>{escape(question["text"])}</td></tr>'
        for question in questions["questions"]
    )
    question, outcome = _("question"), _("outcome")
    head = f"<thead><tr><th>{question}</th><th>{outcome}</th></tr></thead>"
    return f'<table class="vq-outcomes">{head}{rows}</table>'
