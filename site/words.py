"""The pages' words in the language that is being written, and the links from a page to the same one in others.

English pages lie at the root of the site, those of a language in a folder of its name: `de/notebooks/00_topic.html`.
"""

import re
from pathlib import Path

from babel import Locale

from course_lib import language
from course_lib.language import N_

FOLDER = Path(__file__).resolve().parent.parent / "locale"
# What Sphinx and the theme say in English whatever the language, as titles and labels; and no catalogue can change it.
FIXED = (
    N_("Launch interactive content"), N_("Launch on"), N_("Link to this heading"), N_("Main"), N_("Open an issue"),
    N_("Page"), N_("Search..."), N_("Source repositories"), N_("Source repository"), N_("Toggle hidden content"),
    N_("Toggle primary sidebar"), N_("Toggle secondary sidebar"),
)  # fmt: skip


def catalogue() -> Path:
    """Where the pages' words are translated; for English there is no such file."""
    return FOLDER / language.language() / "LC_MESSAGES" / "pages.po"


def _(message: str) -> str:
    return language.translations(catalogue()).gettext(message)


def ngettext(one: str, many: str, n: int) -> str:
    return language.translations(catalogue()).ngettext(one, many, n)


def _link(app, page, template, context, doctree) -> None:
    """Tells the page's template under which addresses the same page lies in other languages."""
    here = app.config.language
    up = "../" * (page.count("/") + (here != "en"))
    context["elsewhere"] = [
        (
            spoken,
            Locale(spoken).get_language_name(spoken).title(),
            f"{up}{'' if spoken == 'en' else spoken + '/'}{page}.html",
        )
        for spoken, pages in app.config.course_pages.items()
        if spoken != here and page in pages
    ]


def _say_the_rest(app, error) -> None:
    """The last English labels of a page in another language."""
    if error or app.config.language == "en":
        return
    fixed = re.compile(rf'(?<=(?:abel|itle|lder)=")({"|".join(map(re.escape, FIXED))})(?=[" ])')
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(fixed.sub(lambda found: _(found[0]), text), encoding="utf-8")


def setup(app) -> dict:
    app.connect("build-finished", _say_the_rest)
    app.add_config_value("course_pages", {}, "env")  # language -> the names of its pages
    app.connect("html-page-context", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
