"""The pages' words in the language that is being written, and the links from a page to the same one in others.

English pages lie at the root of the site, those of a language in a folder of its name: `de/notebooks/00_topic.html`.
"""

from pathlib import Path

from babel import Locale

from course_lib import language

FOLDER = Path(__file__).resolve().parent.parent / "locale"


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


def setup(app) -> dict:
    app.add_config_value("course_pages", {}, "env")  # language -> the names of its pages
    app.connect("html-page-context", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
