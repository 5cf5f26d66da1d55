"""The docstrings of course_lib, plain text for those who read the code, as reStructuredText for the reference.

Its conventions: `names` in backticks, [marks] of sources that the module's docstring lists, shapes such as (B, D, *S),
and lists of the form "name: what it is", with further lines indented.
"""

import re
import sys

ITEM = re.compile(r"(\[[^\]]+\]|\w+(?:, \w+)*:) +(.*)")


def _translate(app, what, name, thing, options, lines: list[str]) -> None:
    """Rewrites the lines of a docstring in place."""
    module = "course_lib." + name.split(".")[1]
    sources = set(re.findall(r"^\[([^\]]+)\]", sys.modules["course_lib.quantize"].__doc__, re.MULTILINE))
    paragraphs = "\n".join(lines).strip("\n").split("\n\n")
    lines[:] = [line for paragraph in paragraphs for line in (*_block(paragraph, module, sources, what), "")]


def _block(paragraph: str, module: str, sources: set[str], what: str) -> list[str]:
    """A list of items as a list of definitions; anything else as a paragraph."""
    entries = re.split(r"\n(?! )", paragraph)
    if not all(map(ITEM.match, entries)):
        return [_inline(" ".join(paragraph.split()), module, sources)]
    block = []
    for entry in entries:
        head, text = ITEM.match(" ".join(entry.split())).groups()
        if head.startswith("[") and what == "module":
            block += [f".. _source-{head[1:-1].lower()}:", "", f"{head}", f"    {_inline(text, module, sources)}", ""]
        else:
            head = head if head.startswith("[") else f"``{head[:-1]}``"
            block += [head, f"    {_inline(text, module, sources)}"]
    return block


def _inline(text: str, module: str, sources: set[str]) -> str:
    """Plain text between backticks is escaped; a name that the reference knows becomes a link to it."""
    pieces = text.split("`")
    pieces[::2] = [_marks(re.sub(r"([\\*|_<>])", r"\\\1", piece), sources) for piece in pieces[::2]]
    pieces[1::2] = [_name(piece, module) for piece in pieces[1::2]]
    return "".join(pieces)


def _name(name: str, module: str) -> str:
    known = vars(sys.modules[module]).get(name)
    if getattr(known, "__module__", None) == module and not name.startswith("_"):
        return f":py:obj:`~{module}.{name}`"
    return f"``{name}``"


def _marks(text: str, sources: set[str]) -> str:
    def linked(match) -> str:
        marks = match[1].split(", ")
        if not sources.issuperset(marks):
            return match[0]
        return "[" + ", ".join(f":ref:`{mark} <source-{mark.lower()}>`" for mark in marks) + "]"

    return re.sub(r"\[([^\]]+)\]", linked, text)


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", _translate)
    return {"parallel_read_safe": True}
