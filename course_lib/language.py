"""Words in the reader's language: English, or the one that COURSE_LANG names, whose catalogues stand in locale/.

A message is named by its English words, which stand wherever a catalogue has no others. The system's own locale is not
asked, so that a notebook gives the same everywhere. Catalogues are read as translators write them, .po.
"""

import functools
import os
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent / "locale"  # LANGUAGE/LC_MESSAGES/course.po


def languages() -> set[str]:
    """English, and those with a catalogue."""
    return {"en", *(file.parts[-3] for file in FOLDER.glob("*/LC_MESSAGES/course.po"))}


def language() -> str:
    """'en', or what COURSE_LANG names. ValueError for a language without a catalogue."""
    wanted = os.environ.get("COURSE_LANG") or "en"
    if wanted not in languages():
        raise ValueError(f"the language is {wanted!r}; wanted one of {', '.join(sorted(languages()))}")
    return wanted


def speak(wanted: str) -> None:
    """From here on this language: a translated notebook's first cell says so. ValueError as above."""
    before = os.environ.get("COURSE_LANG", "")
    os.environ["COURSE_LANG"] = wanted
    try:
        language()
    except ValueError:
        os.environ["COURSE_LANG"] = before
        raise


@functools.cache
def catalogue(file: Path) -> Catalog:
    """What translators wrote into a .po."""
    with file.open("rb") as content:
        return read_po(content, locale=file.parts[-3])


@functools.cache
def translations(file: Path) -> NullTranslations:
    """The same as the standard library takes it; fuzzy messages are left out. English where there is no such file."""
    if not file.exists():
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, catalogue(file))
    compiled.seek(0)
    return GNUTranslations(compiled)


def table(file: Path, *scripts: str) -> dict:
    """What these JavaScript files say, as words.js takes it: language, plural rule, message -> its form or forms.

    {} where there is no such catalogue: a script speaks English by itself.
    """
    if not file.exists():
        return {}
    read = catalogue(file)
    wanted = [
        message
        for message in read
        if message.string and not message.fuzzy and any(Path(place).name in scripts for place, _ in message.locations)
    ]
    messages = {
        message.id[0] if message.pluralizable else message.id: list(message.string)
        if message.pluralizable
        else message.string
        for message in wanted
        if message.id
    }
    return {"language": file.parts[-3], "plural": read.plural_expr, "messages": messages}


def file_of(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / "course.po"


def _(message: str) -> str:
    """These words in the reader's language."""
    return translations(file_of(language())).gettext(message)


def ngettext(one: str, many: str, n: int) -> str:
    """The words for a count of n in the reader's language."""
    return translations(file_of(language())).ngettext(one, many, n)


def N_(message: str) -> str:
    """Marks words for the catalogues that `_` is asked for later."""
    return message
