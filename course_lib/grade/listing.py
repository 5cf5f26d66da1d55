"""The code of an answer as a page shows it: which cell it stands in, and its lines, coloured and cut to length."""

import ast
import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, String

from course_lib.grade.finding import Finding
from course_lib.grade.marks import Mark
from course_lib.grade.submissions import Notebook

WINDOW, ABOVE = 60, 20  # lines that are seen at once; of them, above the one that an error names
MOST_COLOURED, MOST_IN_A_LINE = 20_000, 1000  # characters of a cell, of a line: what is longer stays plain, as Pygments
MOST_LINE = 400  # takes seconds for some texts; characters of a line that are shown
KINDS = ((Comment, "comment"), (String, "string"), (Number, "number"), (Keyword, "keyword"))
KINDS += ((Name.Function, "name"), (Name.Class, "name"))
INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
MARK = "mark"  # the kind of what stands for a character that nobody would see

Piece = tuple[str, str]  # the kind, which becomes a class in HTML, and the text


@dataclass(frozen=True)
class Part:
    """Lines of a listing that are seen at once, or folded. first: the number of the first one."""

    lines: list[list[Piece]]
    first: int
    folded: bool


def cell_of(notebook: Notebook | None, name: str, number: int = 0) -> dict | None:
    """The cell that was taken for an answer: the one of this number where it is known; else of those that define the
    name, or have its tag, the likeliest."""
    cells = notebook.cells if notebook else ()
    defines = re.compile(
        rf"^[ \t]*(async[ \t]+)?(def|class)[ \t]+{re.escape(name)}\b|^{re.escape(name)}[ \t]*[:=]", re.MULTILINE
    )
    best = None
    for place, cell in enumerate(cells):
        worth = (cell["number"] == number, bool(defines.search(cell["source"])), f"answer:{name}" in cell["tags"])
        if any(worth) and (best is None or (*worth, place) > best[0]):
            best = (*worth, place), cell
    return best and best[1]


def builds_on(mark: Mark, finding: Finding) -> list[str]:
    """The other answers of the notebook that this one uses and that are not right: it is judged with them."""
    cell = cell_of(mark.notebook, finding.check, finding.cell)
    wrong = {other.check for other in mark.findings if other.verdict != "pass"} - {finding.check}
    if not cell or not wrong or finding.verdict == "pass":
        return []
    try:
        used = {node.id for node in ast.walk(ast.parse(cell["source"])) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return sorted(wrong & used)


def lines_of(source: str) -> list[list[Piece]]:
    """Every line in pieces. What nobody sees, or what changes the order of the rest, is shown by its Unicode number."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    source = "\n".join(line.rstrip() for line in source.split("\n"))  # lines of blanks take Pygments for ever
    if len(source) <= MOST_COLOURED and max(map(len, source.split("\n"))) <= MOST_IN_A_LINE:
        lines = _coloured(source)
    else:
        lines = [[("", line)] if line else [] for line in source.split("\n")]
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [
        [piece for kind, text in _cut(line) for piece in _made_visible(kind, text)] if line else line for line in lines
    ]


def _coloured(source: str) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for token, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(source):
        kind = next((kind for group, kind in KINDS if token in group), "")
        first, *more = text.split("\n")
        lines[-1] += [(kind, first)] if first else []
        lines += [[(kind, part)] if part else [] for part in more]
    return lines


def _cut(line: list[Piece]) -> Iterable[Piece]:
    room = MOST_LINE
    for kind, text in line:
        yield kind, text[:room]
        room -= len(text)
        if room < 0:
            yield "", " …"
            return


def _made_visible(kind: str, text: str) -> Iterable[Piece]:
    if text.isprintable() and not INVISIBLE.search(text):
        yield kind, text
        return
    for seen, part in itertools.groupby(text, lambda c: c == "\t" or c.isprintable() and not INVISIBLE.match(c)):
        if seen:
            yield kind, "".join(part)
        else:
            yield from ((MARK, f"U+{ord(character):04X}") for character in part)


def name_of(mark: str) -> str:
    """Of a character, from what stands for it: RIGHT-TO-LEFT OVERRIDE of U+202E."""
    return unicodedata.name(chr(int(mark.removeprefix("U+"), 16)), "a control character")


def parts_of(lines: list[list[Piece]], seen: int = 0, room: int = 10**9) -> tuple[list[Part], int, int]:
    """The lines as parts, of which one is seen at once; how many of the lines had no room; the room that was taken.

    seen: the number of a line that must be seen at once; 0: the first. room: bytes of HTML for all of them, about.
    """
    start = max(0, seen - ABOVE) if seen > WINDOW else 0
    end = start + WINDOW if len(lines) > start + WINDOW + ABOVE else len(lines)  # a fold of few lines is not worth it
    parts, kept, taken = [], 0, 0
    for first, last, folded in ((start, end, False), (end, len(lines), True), (0, start, True)):
        there = []
        for line in lines[first:last]:
            width = 60 + sum(_width(kind, text) for kind, text in line)
            if taken + width > room:
                break
            taken += width
            there.append(line)
        kept += len(there)
        if there:
            parts.append(Part(there, first + 1, folded))
    return sorted(parts, key=lambda part: part.first), len(lines) - kept, taken


def _width(kind: str, text: str) -> int:
    escaped = len(text.encode(errors="backslashreplace")) + 5 * sum(map(text.count, "&<>\"'"))
    return escaped + (90 if kind == MARK else 30 if kind else 0)
