"""Formulas as MathML, written when the site is built: a page needs no script for them, and no network.

What would be drawn wrong is a warning, which `build.py` turns into a failure.
"""

import re
from html import unescape
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

# What authors write, as what latex2mathml knows or browsers draw upright and without stray spaces.
_REWRITTEN = [
    (re.compile(r"\\begin\{aligned\}(.*?)\\end\{aligned\}", re.DOTALL), r"\\begin{align*}\1\\end{align*}"),
    (re.compile(r"\\operatorname\*?\{\s*arg\s*(?:\\,)?\s*(min|max)\s*\}"), r"\\arg\1"),
    (re.compile(r"\\arg\s*\\(min|max)(?![A-Za-z])"), r"\\arg\1"),
    (re.compile(r"\\operatorname\*"), r"\\operatorname"),
    (re.compile(r"\\mathrm\{([A-Za-z]+)\}"), r"\\text{\1}"),
    (re.compile(r"\\!"), ""),
]
_CHILDREN = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}


def to_mathml(tex: str, display: str) -> str:
    """Convert a formula to MathML; `display` is "inline" or "block". ValueError for one that would be drawn wrong."""
    for pattern, replacement in _REWRITTEN:
        tex = pattern.sub(replacement, tex)
    try:
        formula = ElementTree.fromstring(convert(tex, xmlns="", display=display))
    except Exception as error:  # the converter raises a dozen kinds, StopIteration among them
        raise ValueError(f"{type(error).__name__} {error}") from error
    for node in formula.iter():
        if (node.text or "").startswith("\\"):
            raise ValueError(f"unknown command {node.text}")
        if len(node) != _CHILDREN.get(node.tag, len(node)):
            raise ValueError("unbalanced braces")
    for node in formula.iter():
        if node.tag == "mo" and node.text in ("|", "\u2016"):
            node.attrib.setdefault("stretchy", "false")  # else the left bar of a norm grows and the right one does not
        if node.tag in ("math", "mrow", "mtd"):
            _set_off_names(node)
    return ElementTree.tostring(formula, encoding="unicode")


def _set_off_names(row: ElementTree.Element) -> None:
    """Part a name such as log from its neighbours by a thin space, but not from a bracket that follows, as TeX does."""
    for place in range(len(row) - 1, -1, -1):
        name = row[place][0] if row[place].tag in _CHILDREN else row[place]
        if name.tag not in ("mi", "mo") or not re.fullmatch(r"[A-Za-z\u2009]{2,}", name.text or ""):
            continue
        name.tag = "mi"  # as an operator it would get a wide space on both sides
        if place + 1 < len(row) and row[place + 1].tag not in ("mo", "mspace"):
            row.insert(place + 1, ElementTree.Element("mspace", width="0.167em"))
        if place and row[place - 1].tag not in ("mo", "mspace"):
            row.insert(place, ElementTree.Element("mspace", width="0.167em"))


def _written(tex: str, display: str, location) -> str:
    try:
        return to_mathml(tex, display)
    except ValueError as error:
        logging.getLogger(__name__).warning("a formula cannot be drawn, %s: %s", error, tex.strip(), location=location)
        return ""


def _visit_math(translator, node) -> None:
    translator.body.append(_written(node.astext(), "inline", node))
    raise nodes.SkipNode


def _visit_math_block(translator, node) -> None:
    translator.body.append(f'<div class="formula">{_written(node.astext(), "block", node)}</div>\n')
    raise nodes.SkipNode


def _in_raw_html(app, doctree) -> None:
    """The formula in a <summary>, which is HTML to Markdown, is a formula too. What a cell gave is left alone."""
    for raw in doctree.findall(nodes.raw):
        if not any(node.get("nb_element") == "cell_code_output" for node in _ancestors(raw)):
            pieces = re.split(r"\$([^$\n]+)\$", raw.astext())
            pieces[1::2] = [_written(unescape(tex), "inline", raw) for tex in pieces[1::2]]
            raw.children = [nodes.Text("".join(pieces))]


def _ancestors(node):
    while isinstance(node := node.parent, nodes.Element):
        yield node


def setup(app) -> dict:
    app.add_html_math_renderer("mathml", (_visit_math, None), (_visit_math_block, None))
    app.connect("doctree-read", _in_raw_html)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
