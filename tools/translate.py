"""Lessons in other languages: `make messages` brings catalogues and notebooks into step with the English lessons.

    python tools/translate.py

A lesson has one catalogue for each language, locale/LANGUAGE/LC_MESSAGES/LESSON.po; an empty file begins one. Its
messages are what somebody reads: headings, paragraphs, list items and cells of tables; in code the comments, and the
strings that are printed, plotted or asked; and the sentences of course_lib/lesson/tempting. Each names its cell. A
message whose English has changed keeps its translation and is marked fuzzy, until a translator has looked at it.

From the catalogue follow notebooks/LANGUAGE/LESSON.ipynb and tempting/TOPIC.LANGUAGE.toml, which nobody edits. What is
not translated is English there. A cell keeps its outputs while its code is the same; `make outputs` makes new ones.
"""

import ast
import copy
import functools
import io
import json
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable
from pathlib import Path

import nbformat
from babel.messages import Catalog, Message, pofile
from nbformat import NotebookNode

from course_lib import files

PROJECT = Path(__file__).resolve().parents[1]
TEMPTING = Path("course_lib/lesson/tempting")
WIDTH = 96  # of a piece of a long string, so that a line has at most 120 characters
# Arguments in which a single word is read, too. Elsewhere it is a name: "codes", "off", "nearest".
SHOWN = {"title", "xlabel", "ylabel", "label", "choices"}

Say = Callable[[str], str]  # English -> what stands in its place


def prose(source: str, say: Say) -> str:
    """Markdown with other words. The lines of a paragraph are one message, and become one line."""
    pieces, fenced = [], False  # each [mark, words], without words as it is; the last one may go on
    for line in source.split("\n"):
        fence = line.lstrip().startswith("```")
        mark, words = re.fullmatch(r"(\s*(?:#+ |[-*] |\d+\. )?)(.*)", line).groups()
        goes_on = pieces and pieces[-1][1] and not mark.strip() and not re.match("[#|]", "".join(pieces[-1]))
        if line.startswith("|") and not fenced:
            pieces.append(["", line])
        elif fenced or fence or not _has_words(words):
            pieces.append([line, ""])
        elif goes_on:
            pieces[-1][1] += f" {words.strip()}"
        else:
            pieces.append([mark, words.strip()])
        fenced ^= fence
    return "\n".join(
        "".join(say(cell) if _has_words(cell) else cell for cell in re.split(r"(\s*\|\s*)", words))
        if words.startswith("|")
        else mark + (words and say(words))
        for mark, words in pieces
    )


def _has_words(markdown: str) -> bool:
    bare = re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>|\$[^$]*\$", "", markdown)
    return re.search(r"[^\W\d_]{2}", bare) is not None


def code(source: str, say: Say, language: str) -> str:
    """Code with other comments and strings. Its layout is that of the English; `laid_out` comes after."""
    strings = _Strings()
    strings.visit(ast.parse(source))
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    shown = {_text(node) for node, is_shown in strings.found if is_shown}
    found = []  # (start, end, what it says, what of the syntax tree it is; None of a comment)
    for node, _ in strings.found:
        text = _text(node)
        if node in strings.places or text in shown or re.search(r"\s", text):
            span = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            found.append((*span, text, node))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string.lstrip("# ")
        if token.type == tokenize.COMMENT and re.search("[a-z]{2}", text) and not re.match(r"fmt:|noqa", text):
            start = starts[token.start[0] - 1] + len(token.line[: token.start[1]].encode())
            found.append((start, start + len(token.string.encode()), text, None))
    done, rest = b"", 0
    for start, end, text, node in sorted(found, key=lambda each: each[0]):
        new = text.replace("/", f".{language}/") if node in strings.places else say(text)
        if new != text:
            new = _as_code(new, node, node in strings.docstrings) if node else f"# {new}"
            done += source.encode()[rest:start] + new.encode()
            rest = end
    return (done + source.encode()[rest:]).decode()


class _Strings(ast.NodeVisitor):
    """The strings with words in them, each with whether it is in one of the SHOWN arguments."""

    def __init__(self):
        self.found, self.docstrings, self.places, self.is_shown = [], [], [], False

    def visit_keyword(self, node: ast.keyword) -> None:
        before, self.is_shown = self.is_shown, self.is_shown or node.arg in SHOWN
        if node.arg == "tempting":
            self.places.append(node.value)
        self.visit(node.value)
        self.is_shown = before

    def visit_Expr(self, node: ast.Expr) -> None:
        self.docstrings.append(node.value)
        self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and re.search(r"[^\W\d_]{2}", node.value):
            self.found.append((node, self.is_shown))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        literal = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
        if re.search(r"[^\W\d_]{2}", literal):
            self.found.append((node, self.is_shown))


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    """What a string says; an f-string with its values in braces, as it is written."""
    if isinstance(node, ast.Constant):
        return node.value
    return "".join(
        part.value.replace("{", "{{").replace("}", "}}")
        if isinstance(part, ast.Constant)
        else ast.unparse(ast.JoinedStr([part]))[2:-1]
        for part in node.values
    )


def values(text: str) -> list[str]:
    """The expressions in an f-string's braces, sorted. How a number is written is the language's affair."""
    try:
        (string,) = ast.parse("f" + json.dumps(text, ensure_ascii=False)).body
    except SyntaxError:
        return ["?"]
    return sorted(ast.unparse(part.value) for part in string.value.values if isinstance(part, ast.FormattedValue))


def _as_code(text: str, node: ast.Constant | ast.JoinedStr, is_docstring: bool) -> str:
    if is_docstring:
        return f'"""{text}"""'
    is_f = isinstance(node, ast.JoinedStr)
    if is_f and values(text) != values(_text(node)):
        raise ValueError(f"wanted the values in braces of {_text(node)!r}, not those of {text!r}")
    pieces = [""]
    for word in re.findall(r"(?:\{\{|\}\}|\{[^{}]*\}|[^\s{}])+\s*|\s+", text) if is_f else re.findall(r"\S*\s*", text):
        if len(pieces[-1] + word) > WIDTH:
            pieces.append("")
        pieces[-1] += word
    return " ".join("f" * (is_f and "{" in piece) + json.dumps(piece, ensure_ascii=False) for piece in pieces)


def laid_out(notebook: str, path: Path) -> str:
    """The notebook as `ruff format` leaves it."""
    command = [sys.executable, "-m", "ruff", "format", "--config", str(PROJECT / "pyproject.toml")]
    command += ["--stdin-filename", str(path), "-"]
    done = subprocess.run(command, input=notebook, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{path} would be no Python any more: {done.stderr.strip()}")
    return done.stdout


def _translate(lesson: NotebookNode, tempting: dict, language: str, say: Callable[[str, str], str]) -> dict:
    """Says every message, with the cell's id, and puts the answers into the lesson and the tempting sentences."""
    for cell in lesson.cells:
        here = functools.partial(say, place=cell.id)
        try:
            cell.source = (
                prose(cell.source, here) if cell.cell_type == "markdown" else code(cell.source, here, language)
            )
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"cell {cell.id}: {error}") from error
    return {
        prediction: {say(name, prediction): say(sentence, prediction) for name, sentence in table.items()}
        for prediction, table in tempting.items()
    }


def read_catalogue(path: Path, language: str) -> Catalog:
    """The catalogue; SystemExit says what is wrong with it and where."""
    try:
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):  # Babel takes a quote that is missing for there
            if not re.fullmatch(r'#.*|\s*|(msg\w+(\[\d\])? )?"(\\.|[^"\\])*"', line):
                raise ValueError(f"line {number}: {line}")
        catalogue = pofile.read_po(io.StringIO(text), locale=language, domain=path.stem, abort_invalid=True)
    except (pofile.PoFileError, UnicodeError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read as a gettext catalogue: {error}") from error
    catalogue.fuzzy = False  # this is the header's mark alone
    return catalogue


def waits(message: Message) -> str:
    """Why a message is not used: "not translated", "fuzzy", or nothing."""
    return "not translated" if not message.string else "fuzzy" if message.fuzzy else ""


def translation(path: Path, project: Path = PROJECT) -> tuple[Catalog, dict[Path, str]]:
    """The catalogue at `path`, in step with its lesson, and the files that follow from it."""
    language, name = path.parts[-3], path.stem
    english = project / "notebooks" / f"{name}.ipynb"
    if not english.exists():
        raise SystemExit(f"{path} is for no lesson: there is no {english}")
    sentences = project / TEMPTING / f"{name[3:]}.toml"
    tempting = tomllib.loads(sentences.read_text(encoding="utf-8")) if sentences.exists() else {}
    catalogue, template = read_catalogue(path, language), Catalog()

    def collect(words, place):
        template.add(words, locations=[(place, 0)])
        return words

    def say(words, place):
        message = catalogue.get(words)
        return words if waits(message) else message.string

    lesson = nbformat.read(english, as_version=4)
    try:
        _translate(copy.deepcopy(lesson), tempting, language, collect)
        catalogue.update(template, update_creation_date=False)
        tempting = _translate(lesson, tempting, language, say)
    except ValueError as error:
        raise SystemExit(f"{path}, {error}") from error
    there = {file.stem for file in path.parent.glob("*.po")}
    _speaking(next(cell for cell in lesson.cells if cell.cell_type == "code"), language)
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"\]\((?!https?:|#)([^)#]+)",
                lambda link: f"]({'' if Path(link[1]).stem in there else '../'}{link[1]}",
                cell.source,
            )
    to = project / "notebooks" / language / f"{name}.ipynb"
    lesson = nbformat.reads(laid_out(nbformat.writes(lesson), to), as_version=4)
    _keep_outputs(lesson, nbformat.read(to, as_version=4) if to.exists() else nbformat.v4.new_notebook())
    done = {to: nbformat.writes(lesson) + "\n"}
    if tempting:
        done[sentences.with_suffix(f".{language}.toml")] = _as_toml(tempting, path.relative_to(project))
    return catalogue, done


def _speaking(first: NotebookNode, language: str) -> None:
    """The one thing that the code has besides: in which language course_lib speaks."""
    first.source, imported = re.subn(
        r"^(?=from course_lib\.lesson )", "from course_lib.language import speak\n", first.source, count=1, flags=re.M
    )
    first.source, called = re.subn(
        r"^(?=plots\.use_style\(\))", f'speak("{language}")\n', first.source, count=1, flags=re.M
    )
    if not (imported and called):
        raise SystemExit(f"cell {first.id}: wanted `from course_lib.lesson import plots` and `plots.use_style()`")


def _keep_outputs(lesson: NotebookNode, old: NotebookNode) -> None:
    """Puts the outputs of the cells whose code is the same into the lesson, and removes the English ones."""
    before = {cell.id: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in lesson.cells:
        if cell.cell_type == "code":
            kept = before.get(cell.id, {})
            same = kept.get("source") == cell.source
            cell.outputs, cell.execution_count = (kept.outputs, kept.execution_count) if same else ([], None)
    course = lesson.metadata.get("course", {})
    course.pop("made", None)
    if made := old.metadata.get("course", {}).get("made"):
        course["made"] = made


def _as_toml(tables: dict, source: Path) -> str:
    lines = [f"# Generated from {source.as_posix()} by `make messages`."]
    for name, table in tables.items():
        entries = [
            f"{json.dumps(q, ensure_ascii=False)} = {json.dumps(s, ensure_ascii=False)}" for q, s in table.items()
        ]
        lines += ["", f"[{name}]", *entries]
    return "\n".join(lines) + "\n"


def main(project: Path = PROJECT) -> None:
    for path in sorted(project.glob("locale/*/LC_MESSAGES/[0-9][0-9]_*.po")):
        catalogue, done = translation(path, project)
        waiting = [message for message in catalogue if message.id and waits(message)]
        with files.replacing(path) as file:  # what is obsolete may still serve whoever translates what waits
            pofile.write_po(file, catalogue, width=110, ignore_obsolete=not waiting)
        for file, text in done.items():
            file.parent.mkdir(exist_ok=True)
            files.write(file, text)
        print(f"{path.relative_to(project)}: {len(catalogue)} messages, {len(waiting)} wait for a translator")
        for message in waiting:
            print(f"  {waits(message)}, cell {message.locations[0][0]}: {message.id}")


if __name__ == "__main__":
    main()
