"""Bring the catalogues of every language to what the sources say: `make messages`; LANGUAGE=fr begins a language.

A message that has gone is dropped, a new one waits for its words; what is translated stays. No guess is made.
"""

import sys
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from course_lib import files

PROJECT = Path(__file__).resolve().parent.parent
# What is looked through for a domain, and where its catalogues are: those of course_lib are part of the installation.
DOMAINS = {"course": ("course_lib", "course_lib/locale"), "pages": ("site", "locale")}
METHODS = [("**.py", "python"), ("**.js", "javascript"), ("**.j2", "jinja2")]
OPTIONS = {"**.j2": {"trimmed": "true", "silent": "false"}}
KEYWORDS = {"_": None, "gettext": None, "N_": None, "t": None, "ngettext": (1, 2), "tn": (1, 2)}


def extracted(domain: str) -> Catalog:
    """All messages of a domain's sources, each with the files that say it."""
    folder, _ = DOMAINS[domain]
    catalogue = Catalog()
    found = extract_from_dir(PROJECT / folder, METHODS, OPTIONS, KEYWORDS, comment_tags=("Translators:",))
    for file, _line, message, comments, context in found:
        catalogue.add(message, None, [(f"{folder}/{file}", None)], auto_comments=comments, context=context)
    return catalogue


def catalogues(domain: str) -> list[Path]:
    """The .po of each language."""
    return sorted((PROJECT / DOMAINS[domain][1]).glob(f"*/LC_MESSAGES/{domain}.po"))


def updated(file: Path, template: Catalog) -> Catalog:
    """A catalogue with the messages that the sources have now."""
    language = file.parts[-3]
    if file.exists():
        with file.open("rb") as content:
            catalogue = read_po(content, locale=language)
    else:
        catalogue = Catalog(locale=language, fuzzy=False)
    catalogue.header_comment = f"# {catalogue.locale.english_name}. `make messages` keeps it in step with the sources."
    catalogue.project, catalogue.version = "vq-course", ""
    catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = ""
    dates = catalogue.creation_date, catalogue.revision_date
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.creation_date, catalogue.revision_date = dates  # a run that changes no message changes nothing
    return catalogue


def translated(message) -> bool:
    return all(message.string if message.pluralizable else [message.string])


def main(arguments: list[str]) -> None:
    for domain, (_, folder) in DOMAINS.items():
        template = extracted(domain)
        new = [PROJECT / folder / language / "LC_MESSAGES" / f"{domain}.po" for language in arguments]
        for file in sorted({*catalogues(domain), *new}):
            catalogue = updated(file, template)
            file.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(file) as content:
                write_po(content, catalogue, width=120, sort_by_file=True, include_lineno=False)
            waiting = sum(bool(message.id) and not translated(message) for message in catalogue)
            print(f"{file.relative_to(PROJECT)}: {len(catalogue)} messages, {waiting} wait for a translation")


if __name__ == "__main__":
    main(sys.argv[1:])
