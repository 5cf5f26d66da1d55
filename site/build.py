"""Writes the site: `python site/build.py` stages the sources, lets Sphinx build them, and looks at every link.

The site takes the place of the old one as a whole, or not at all: a warning is a failure, and then the old one stays.
"""

import argparse
import os
import re
import signal
import sys
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import check  # noqa: E402
import outputs  # noqa: E402
import stage  # noqa: E402

from course_lib import language  # noqa: E402

MARKS = ("vq-course site", "course_lib.pages")  # a folder that may be replaced has one in its index.html


def build(project: Path, notebooks: Path, out: Path) -> list[stage.Page]:
    """Writes the site of these lessons; once all is well, it takes the place of `out`. SystemExit says what is not."""
    index = out / "index.html"
    ours = index.is_file() and any(mark in index.read_text(encoding="utf-8") for mark in MARKS)
    if out.exists() and any(out.iterdir()) and not ours:
        raise SystemExit(f"{out} holds something else than the course; name another folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        sources, pages, old = (Path(temporary, name) for name in ("sources", "new", "old"))
        lessons, wrong = every_language(project, notebooks, sources, pages)
        wrong = wrong or check.broken_links(pages)
        if wrong:
            raise SystemExit("\n".join([*wrong, f"The site was not written; {out} is as it was."]))
        try:
            if out.exists():
                out.rename(old)
            pages.rename(out)
        except BaseException:  # Ctrl-C between the two, too, must leave a site in its place
            if old.exists() and not out.exists():
                old.rename(out)
            raise
    return lessons


def every_language(project: Path, notebooks: Path, sources: Path, pages: Path) -> tuple[list[stage.Page], list[str]]:
    """Writes the English pages, and below them those of each language with a notebook; gives all lessons and warnings.

    The lessons of a language lie in a folder of its name: notebooks/de/.
    """
    before, lessons, wrong, names = os.environ.get("COURSE_LANG", ""), [], [], {}
    translated = {file.parent.name for file in notebooks.glob("*/[0-9][0-9]_*.ipynb")} & language.languages()
    spoken = ["en", *sorted(translated)]
    try:
        for name in spoken:
            language.speak(name)
            folder, into = (notebooks, pages) if name == "en" else (notebooks / name, pages / name)
            lessons += stage.stage(project, folder, sources / name, into / "figures")
            files = [file.relative_to(sources / name) for file in (sources / name).rglob("*.*")]
            names[name] = {file.with_suffix("").as_posix() for file in files}
        for name in spoken:
            language.speak(name)
            prefix = "" if name == "en" else f"{name}/"
            wrong += [prefix + line for line in written(project, sources / name, pages / prefix, names)]
    finally:
        os.environ["COURSE_LANG"] = before
    return lessons, wrong


def written(project: Path, sources: Path, pages: Path, names: dict[str, set[str]]) -> list[str]:
    """Lets Sphinx write the pages; gives its warnings, 'notebooks/01.ipynb, cell 3: what is wrong'."""
    told = StringIO()
    with patch_docutils(str(HERE)), docutils_namespace():
        settings = {"course_project": str(project), "course_pages": names}
        trees = sources.with_name(f"{sources.name}-doctrees")
        Sphinx(sources, HERE, pages, trees, "html", settings, status=None, warning=told).build()
    plain = outputs.ANSI.sub("", told.getvalue()).replace(f"{sources}/", "")
    # MyST-NB counts a notebook's lines as 10,000 for each cell
    plain = re.sub(r"\.ipynb:(\d+)\d{4}: WARNING", r".ipynb, cell \1", plain)
    return plain.splitlines()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python site/build.py", description="Write the course as a site.")
    parser.add_argument("--project", type=Path, default=HERE.parent, help="where exercises/ and docs/ are")
    parser.add_argument("--notebooks", type=Path, help="where the lessons are (notebooks/ of the project)")
    parser.add_argument("--out", type=Path, default=Path("build/course"), help="what the site replaces (%(default)s)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended cleans up as Ctrl-C does
    project, out = options.project.resolve(), options.out.resolve()
    try:
        lessons = build(project, (options.notebooks or project / "notebooks").resolve(), out)
    except KeyboardInterrupt:
        print(f"\nInterrupted; {options.out} is as it was.", file=sys.stderr)
        return 130
    failed = [lesson for lesson in lessons if lesson.stopped()]
    for lesson in failed:
        print(f"{lesson.path.name} stopped at {lesson.stopped()[1]}")
    print(f"The course is written. Open {out / 'index.html'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
