"""The sources of the site: lessons, exercises and documents, laid out as in the project, so that their links hold."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path

import jinja2
import links
import nbformat
import outputs
import predictions
from babel import dates, numbers
from PIL import Image
from words import _, ngettext

from course_lib import language
from course_lib.language import N_
from course_lib.lesson import widgets

HERE = Path(__file__).parent
DOCUMENTS = ("gpu", "instructors", "trust", "symptoms", "glossary")  # in this order, those that are there
NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "fsdd": N_("spoken digits")}

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)  # fmt: skip
_TEMPLATES.policies["ext.i18n.trimmed"] = True
_TEMPLATES.install_gettext_callables(_, ngettext, newstyle=True)


@dataclass
class Page:
    """A notebook on its way to the site: a lesson, or an exercise."""

    path: Path
    notebook: nbformat.NotebookNode

    @property
    def title(self) -> str:
        """The first heading of level 1, without its markup: '01 · Why discrete?'."""
        prose = "\n".join(cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")
        heading = re.search(r"^# +(.+?)[ #]*$", prose, flags=re.MULTILINE)
        return re.sub(r"[`*$]", "", heading[1]) if heading else self.path.stem

    @property
    def course(self) -> dict:
        """What the notebook's metadata says: minutes, difficulty, and under `made` how its outputs came about."""
        return self.notebook.metadata.get("course", {})

    @property
    def made(self) -> str:
        """When, with which data and on what machine the outputs were made."""
        if "made" not in self.course:
            return ""
        made = self.course["made"]
        sample = _("{data} (a sample)")
        data = [
            (sample if kind == "sample" else "{data}").format(data=_name(data)) for data, kind in made["data"].items()
        ]
        when = _("Outputs of {day}").format(day=_day(made["date"]))
        machine = re.sub(r"(\d+) cores\b", lambda found: _("{n} cores").format(n=found[1]), made["machine"])
        return " · ".join([when, *data, machine, _("ran in {seconds} s").format(seconds=made["seconds"])])

    @property
    def samples(self) -> list[str]:
        """The data sets in whose place a sample was used."""
        data = self.course.get("made", {}).get("data", {})
        return [_name(name) for name, kind in data.items() if kind == "sample"]

    def stopped(self) -> tuple[int, str] | None:
        """Where the notebook's run stopped: the cell's position, and 'cell 3: NameError: ...', counting code cells."""
        number = 0
        for position, cell in enumerate(self.notebook.cells):
            number += cell.cell_type == "code"
            if "raises-exception" not in cell.metadata.get("tags", []):
                for output in cell.get("outputs", []):
                    if output.output_type == "error":
                        where = _("cell {number}").format(number=number)
                        return position, f"{where}: {output.ename}: {output.evalue}".strip().splitlines()[0]
        return None


def read(folder: Path) -> list[Page]:
    """The notebooks NN_topic.ipynb of a folder in the order of their numbers; SystemExit names an unreadable one."""
    pages = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        try:
            pages.append(Page(path, nbformat.read(path, as_version=4)))
        except Exception as error:  # nbformat lets through whatever its JSON and schema checks raise
            raise SystemExit(f"{path} cannot be read as a notebook: {error}") from error
    return pages


def stage(project: Path, notebooks: Path, folder: Path, figures: Path) -> list[Page]:
    """Writes the sources of the site into `folder`, its pictures into `figures`, and gives the lessons.

    project: where exercises/, docs/ and README.md are. notebooks: where the lessons are. Where another language than
    English is spoken, they alone become pages, beside a front page; the rest is linked to in English.
    """
    lessons, english = read(notebooks), language.language() == "en"
    exercises = read(project / "exercises") if english else []
    if not lessons:
        raise SystemExit(f"there is no lesson (NN_topic.ipynb) in {notebooks}")
    figures.mkdir(parents=True)
    for kind, pages in {"notebooks": lessons, "exercises": exercises}.items():
        for page in pages:
            text = nbformat.writes(_as_page(page, figures))
            # notebooks/de/ is a folder deeper than what lies beside it; its pages are not
            _write(folder / kind / page.path.name, text if english else text.replace("](../", "]("))
    documents = [f"docs/{name}" for name in DOCUMENTS if english and (project / "docs" / f"{name}.md").exists()]
    for document in documents:
        _write(folder / f"{document}.md", (project / f"{document}.md").read_text(encoding="utf-8"))
    if english and project == HERE.parent:
        shutil.copytree(HERE / "reference", folder / "reference")
    parts = {
        _("Lessons"): [f"notebooks/{page.path.stem}" for page in lessons],
        _("Exercises"): [f"{page.title.removeprefix('Exercise ')} <exercises/{page.path.stem}>" for page in exercises],
        _("Guides"): documents,
        _("Reference"): [
            f"course_lib.{file.stem} <reference/{file.stem}>"
            for file in sorted((folder / "reference").glob("*.md"), reverse=True)
        ],
    }
    index = _TEMPLATES.get_template("index.md.j2").render(
        english=english,
        lessons=lessons,
        exercises=exercises,
        begin=f"notebooks/{lessons[0].path.stem}",
        parts=parts,
        anchor=links.anchor(_("Lessons")),
        seen=_what_you_will_see(project / "README.md") if english else {},
        repository=os.environ.get("COURSE_URL", "").rstrip("/"),
        touch=_grid() if project == HERE.parent else "",
        first=_first_training(project / "build" / "first", figures),
        preview=_preview(project / "docs/preview.png", figures),
    )
    _write(folder / "index.md", index)
    return lessons


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _what_you_will_see(readme: Path) -> dict[str, str]:
    """README's tables of lessons and exercises: path of a notebook -> what stands beside it, as HTML."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    rows = re.findall(r"^\| \d\d \| \[.+?\]\((.+?)\) \| (.+?) \|", text, flags=re.MULTILINE)
    return {path: re.sub("`(.+?)`", r"<code>\1</code>", escape(words)) for path, words in rows}


def _grid() -> str:
    """The widget to begin with: a model of digits whose codes can be changed."""
    from course_lib.lesson.widgets.grid import Grid  # imports PyTorch

    data, _ = Grid()._repr_mimebundle_()
    return widgets.element(data[widgets.MIME], data["image/png"], data["text/plain"])


def _first_training(folder: Path, figures: Path) -> dict | None:
    """What tools/first_training.py left, where it was run; its picture is put among the others."""
    if not (folder / "first.json").exists():
        return None
    shutil.copy(folder / "digits.png", figures / "first.png")
    first = json.loads((folder / "first.json").read_text(encoding="utf-8"))
    images = numbers.format_decimal(first["images"], locale=language.language())
    return {**first, "date": _day(first["date"]), "images": images}


def _preview(file: Path, figures: Path) -> tuple[int, int] | None:
    """Width and height of the course's first picture, which is put among the others; None where there is none."""
    if not file.exists():
        return None
    shutil.copy(file, figures / "preview.png")
    return Image.open(file).size


def _name(data: str) -> str:
    return _(NAMES[data]) if data in NAMES else data


def _day(iso: str) -> str:
    """'2026-11-27' -> '27 November 2026'."""
    return dates.format_date(date.fromisoformat(iso), "d MMMM y", locale=language.language())


def _as_page(page: Page, figures: Path) -> nbformat.NotebookNode:
    """The notebook with what a page has besides: facts under the title, and a box where the run stopped."""
    cells = page.notebook.cells
    stopped = page.stopped()
    outputs.prepare(page.notebook, page.path.stem, figures)
    predictions.prepare(page.notebook)
    for cell in cells:
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    head = _facts(page) + [_box("sample", _sample(page))] * bool(page.samples)
    if stopped:
        position, where = stopped
        told = _("This lesson stopped at {cell}. The cells after it were not run.").format(cell=escape(where))
        show = _("Show it")
        cells.insert(position + 1, nbformat.v4.new_markdown_cell(_box("failure", f'<span id="stopped"></span>{told}')))
        head.append(_box("failure", f'{told} <a href="#stopped">{show}</a>'))
    if head and cells and cells[0].cell_type == "markdown":
        title, *rest = cells[0].source.split("\n", 1)
        cells[0].source = "\n\n".join([title, *head, re.sub(_stated(), "", "".join(rest), flags=re.M)])
    return page.notebook


def _stated() -> str:
    """How the facts stand in the notebook's own text: 'About 45 minutes. Difficulty: 1 of 3.', a regular expression."""
    minutes, difficulty = (
        re.escape(words).replace(r"\{\}", r"\d+") for words in (_("About {} minutes."), _("Difficulty: {} of 3."))
    )
    return f"^{minutes} ?({difficulty} ?)?"


def _facts(page: Page) -> list[str]:
    parts = {"minutes": _("{} minutes"), "difficulty": _("difficulty {} of 3")}
    stated = [text.format(page.course[name]) for name, text in parts.items() if name in page.course]
    lines = [f'<p class="facts">{" · ".join(stated)}</p>'] * bool(stated)
    return lines + [f'<p class="made">{escape(page.made)}</p>'] * bool(page.made)


def _sample(page: Page) -> str:
    words = _(
        "This page was made with a small sample that comes with the course, not with {data}: neither a copy nor a "
        "network was found. For the real data run <code>make run</code> with a network, or put the files into "
        "<code>data/</code> first."
    )
    return words.format(data=_(" and ").join(page.samples))


def _box(kind: str, html: str) -> str:
    return f'<div class="notice {kind}" role="note"><p>{html}</p></div>'
