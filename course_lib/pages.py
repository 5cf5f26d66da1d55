"""Run every lesson in a fresh kernel and write the course as HTML pages: `python -m course_lib.pages`.

The pages need neither scripts nor a network: formulas become MathML, styles and figures lie inside. The notebooks
themselves are left as they are. Pages go into a folder beside the old ones and take their place once all are written.
"""

import argparse
import base64
import mimetypes
import os
import platform
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from html import escape, unescape
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import nbformat
from bs4 import BeautifulSoup
from jinja2 import FileSystemLoader, pass_context
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from tqdm import tqdm

TITLE = "VQ-VAEs in PyTorch, from one vector to trained models"
GENERATOR = "course_lib.pages"  # marks a folder that may be replaced
SECONDS_PER_CELL = 3600


@dataclass
class Lesson:
    """A lesson's notebook, and how its run went."""

    path: Path
    notebook: nbformat.NotebookNode = field(repr=False)
    seconds: float = 0.0
    failure: str = ""  # "cell 3: NameError: name 'x' is not defined"

    @property
    def page(self) -> str:
        return self.path.stem + ".html"

    @property
    def title(self) -> str:
        """The first heading of level 1, without its markup."""
        prose = "\n".join(cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")
        heading = re.search(r"^# +(.+?)[ #]*$", prose, flags=re.MULTILINE)
        return re.sub(r"[`*$]", "", heading[1]) if heading else self.path.stem

    @property
    def effort(self) -> str:
        """What the notebook says it asks of a learner, and what it took to run."""
        stated = self.notebook.metadata.get("course", {})
        parts = [f"{'failed after' if self.failure else 'ran in'} {self.seconds:.0f} s"]
        if "difficulty" in stated:
            parts.insert(0, f"difficulty {stated['difficulty']} of 3")
        if "minutes" in stated:
            parts.insert(0, f"{stated['minutes']} minutes")
        return " · ".join(parts)


def read_lessons(folder: Path) -> list[Lesson]:
    """The lessons of a folder in the order of their numbers."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise SystemExit(f"there is no lesson (NN_topic.ipynb) in {folder}")
    lessons = []
    for path in paths:
        try:
            lessons.append(Lesson(path, nbformat.read(path, as_version=4)))
        except Exception as error:  # nbformat lets through whatever its JSON and schema checks raise
            raise SystemExit(f"{path} cannot be read as a notebook: {error}") from error
    return lessons


def run(lesson: Lesson, environment: dict[str, str]) -> None:
    """Run a lesson in a new kernel of this interpreter, in the lesson's folder, up to the first error."""
    code = [cell for cell in lesson.notebook.cells if cell.cell_type == "code"]
    for cell in code:  # what is committed must not pass for what this run gave
        cell.outputs, cell.execution_count = [], None
    # With no folders to search, the only kernel left is that of the running interpreter.
    kernels = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        lesson.notebook,
        km=AsyncKernelManager(kernel_spec_manager=kernels, transport_encryption="auto"),
        timeout=SECONDS_PER_CELL,
        shutdown_kernel="immediate",
    )
    start = time.perf_counter()
    with tqdm(total=len(code), desc=lesson.path.stem, unit="cell", leave=False, disable=None) as bar:
        try:
            # Not client.execute(): that turns Ctrl-C into a dead kernel, which here would be a lesson that failed.
            with client.setup_kernel(cwd=str(lesson.path.parent), env=environment, cleanup_kc=True):
                for index, cell in enumerate(lesson.notebook.cells):
                    client.execute_cell(cell, index)
                    bar.update(cell.cell_type == "code")
        except CellExecutionError as error:
            lesson.failure = f"{error.ename}: {error.evalue}"
        except (CellTimeoutError, RuntimeError) as error:  # a kernel that died is a RuntimeError
            lesson.failure = str(error)
    lesson.seconds = time.perf_counter() - start
    if lesson.failure:
        lesson.failure = f"cell {client.code_cells_executed}: {lesson.failure.strip().splitlines()[0]}"


# --- Formulas ---------------------------------------------------------------------------------------------------------

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
    """Convert a formula to MathML; ValueError for one that would be drawn wrong."""
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


class LessonRenderer(IPythonRenderer):
    """nbconvert's Markdown, with formulas as MathML; those that resist stay as TeX and are told to `report`."""

    def __init__(self, report, **options):
        super().__init__(**options)
        self.report = report

    def _formula(self, tex: str, display: str, delimiter: str) -> str:
        try:
            return to_mathml(tex, display)
        except ValueError as error:
            self.report(f"not converted, {error}: {delimiter}{tex.strip()}{delimiter}")
            return f"<code>{escape(delimiter + tex.strip() + delimiter)}</code>"

    def inline_math(self, body: str) -> str:
        return self._formula(body, "inline", "$")

    def block_math(self, body: str) -> str:
        return self._formula(body, "block", "$$")

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def block_html(self, html: str) -> str:
        """Pass HTML on, but for formulas: the one in a <summary> is a formula too."""
        return re.sub(r"\$([^$\n]+)\$", lambda match: self.inline_math(unescape(match[1])), super().block_html(html))


# --- Pages ------------------------------------------------------------------------------------------------------------


class LessonExporter(HTMLExporter):
    """Writes notebooks as pages of the course, after pages.html.j2 and pages.css."""

    def __init__(self, lessons: list[Lesson], **frame: str):
        super().__init__(
            template_name="classic",
            template_file="pages.html.j2",
            extra_loaders=[FileSystemLoader(Path(__file__).parent)],
        )
        self.pages = {lesson.path: lesson.page for lesson in lessons}
        self.folder = lessons[0].path.parent
        self.frame = {"generator": GENERATOR, **frame}
        self.problems: list[str] = []

    @property
    def default_config(self):
        config = super().default_config
        config.NbConvertBase.display_data_priority.insert(0, "image/gif")
        config.CoalesceStreamsPreprocessor.enabled = True  # of a progress bar, its last state
        return config

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        """The template's filter for Markdown."""
        renderer = LessonRenderer(
            self.problems.append, escape=False, attachments=context.get("cell", {}).get("attachments", {})
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    def write(self, notebook: nbformat.NotebookNode, file: Path, **page) -> None:
        """Write a notebook as a page. The template finds `page`, and the frame, in resources.page."""
        text, _ = self.from_notebook_node(notebook, {"page": {**self.frame, **page}})
        soup = BeautifulSoup(text, "html.parser")
        for link in soup.select("main a[href]"):
            self._mend(link)
        for image in soup.select("main img[src]"):
            self._embed(image)
        file.write_text(str(soup), encoding="utf-8")

    def _mend(self, link) -> None:
        """Lead a link to a lesson to its page; a link to another file of the project becomes that file's name."""
        path, hash_mark, fragment = link["href"].partition("#")
        if not path or urlsplit(path).scheme:
            return
        target = Path(os.path.normpath(self.folder / unquote(path)))
        if target in self.pages:
            link["href"] = self.pages[target] + hash_mark + fragment
            return
        name = os.path.relpath(target, self.folder.parent).replace(os.sep, "/")
        if link.get_text() != name:
            link.insert_before(*list(link.contents), " (")
            link.insert_after(")")
        link.name, link.attrs, link.string = "code", {}, name

    def _embed(self, image) -> None:
        """Take an image file into the page. nbconvert's own embedding tears up HTML that spans paragraphs."""
        if urlsplit(image["src"]).scheme:  # data: or https:
            return
        file = self.folder / unquote(image["src"])
        if file.is_file():
            data = base64.b64encode(file.read_bytes()).decode()
            image["src"] = f"data:{mimetypes.guess_type(file.name)[0]};base64,{data}"


def index_notebook(lessons: list[Lesson]) -> nbformat.NotebookNode:
    """The index as a notebook, so that its page is written like the others."""
    rows = [
        f'<li><a href="{lesson.path.name}">{escape(lesson.title)}</a>'
        f"<small{' class=failed' * bool(lesson.failure)}>{escape(lesson.effort)}</small></li>"
        for lesson in lessons
    ]
    source = "\n".join([f"# {TITLE}", "", '<ul class="lessons">', *rows, "</ul>"])
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])


def build(folder: Path, out: Path, environment: dict[str, str], **frame: str) -> list[Lesson]:
    """Run the lessons in `folder`; once all have run, their pages take the place of `out`."""
    out = out.resolve()
    index = out / "index.html"
    ours = index.is_file() and GENERATOR in index.read_text(encoding="utf-8")
    if out.exists() and any(out.iterdir()) and not ours:
        raise SystemExit(f"{out} holds something else than a course; name another folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    lessons = read_lessons(folder.resolve())
    links = [None, *({"href": lesson.page, "title": lesson.title} for lesson in lessons), None]
    exporter = LessonExporter(lessons, **frame)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        pages, old = Path(temporary, "new"), Path(temporary, "old")
        pages.mkdir()
        for lesson, before, after in zip(lessons, links, links[2:]):
            run(lesson, environment)
            stopped = lesson.failure and f"This lesson stopped at {lesson.failure}. The cells after it were not run."
            exporter.write(
                lesson.notebook, pages / lesson.page, title=lesson.title, previous=before, next=after, failure=stopped
            )
            failure = lesson.failure and f", failed in {lesson.failure}"
            print(f"{lesson.path.stem}: {lesson.seconds:.0f} s{failure}", flush=True)
            for problem in exporter.problems:
                print(f"    formula {problem}")
            exporter.problems.clear()
        exporter.write(index_notebook(lessons), pages / "index.html", title=TITLE)
        try:
            if out.exists():
                out.rename(old)
            pages.rename(out)
        except BaseException:  # Ctrl-C between the two, too, must leave a course in its place
            if old.exists() and not out.exists():
                old.rename(out)
            raise
    return lessons


NOTICE = (
    "This page was run with the embedded sample of handwritten digits, not with MNIST: neither a copy of MNIST nor a "
    "network was found. For the real data run “make course” with a network, or put mnist.npz into data/ first."
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m course_lib.pages", description="Run the course, write its pages.")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="where the lessons are (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/course"), help="what the pages replace (%(default)s)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended cleans up as Ctrl-C does

    from course_lib import data  # after the options, as it imports PyTorch

    try:
        try:
            source = data.load("mnist").source  # a download happens once, here, and not unseen in a kernel
        except ValueError as error:  # data that is there but cannot be used
            raise SystemExit(str(error)) from error
        shown = {"local": "MNIST, from disk", "download": "MNIST, downloaded", "sample": "the embedded sample"}[source]
        sample = source == "sample"
        lessons = build(
            options.notebooks,
            options.out,
            {**os.environ, "COURSE_OFFLINE": "1"} if sample else dict(os.environ),  # kernels need not try the network
            notice=NOTICE if sample else "",
            provenance=f"Run with {shown}, Python {platform.python_version()} and PyTorch {version('torch')}.",
        )
    except KeyboardInterrupt:
        print(f"\nInterrupted; {options.out} is as it was.", file=sys.stderr)
        return 130

    failed = [lesson for lesson in lessons if lesson.failure]
    print(f"{len(lessons)} lessons in {sum(lesson.seconds for lesson in lessons):.0f} s, {len(failed)} failed")
    for lesson in failed:
        print(f"  {lesson.path.name}, {lesson.failure}")
    print(f"Open {options.out / 'index.html'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
