"""Open JupyterLab at the list of lessons, in my/, where a learner has copies of the course: `make lab` calls it.

    python tools/lab.py                  # options of JupyterLab may follow: --no-browser, --ip 0.0.0.0

What a learner changes in my/ is never written over. A copy that is as the course gave it, or was removed, follows the
course's newest version. Where the learner has worked, in running it too, and the course has moved on, the new version
is laid beside as NAME.new.ipynb, once. my/.given.json remembers what was given: a killed run loses nothing, and a lost
memory takes each copy that differs from the course for the learner's work.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from course_lib import files  # noqa: E402
from course_lib.check import handout, progress  # noqa: E402

NOTEBOOKS = ("notebooks", "exercises", "solutions")
READ = ("docs/glossary.md", "docs/symptoms.md", "docs/gpu.md", "benchmarks/RESULTS.md")  # what notebooks link to


def main(options: list[str]) -> None:
    mine = PROJECT / "my"
    if not mine.exists():
        print(
            "my/ is yours: copies of lessons and exercises, in which nothing of what you change is ever written over."
        )
    for line in bring(PROJECT, mine):
        print(line)
    from jupyterlab.labapp import LabApp  # here, as a test of the copies needs no server

    root = ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []  # a container, say
    LabApp.launch_instance(
        [f"--ServerApp.root_dir={PROJECT}", "--LabApp.default_url=/lab/tree/my/Lessons.md",
         f"--LabApp.app_settings_dir={PROJECT / 'tools/jupyterlab'}", *root, *options]
    )  # fmt: skip


def bring(project: Path, mine: Path) -> Iterator[str]:
    """Bring the learner's folder up to the course; a line for each new version that had to be laid beside."""
    record = mine / ".given.json"
    given = {}  # path below `mine` -> fingerprint of the last version that the course gave there, or laid beside
    with suppress(OSError, ValueError):
        given = dict(json.loads(record.read_text(encoding="utf-8")))
    notebooks = [path for folder in NOTEBOOKS for path in sorted((project / folder).rglob("[0-9][0-9]_*.ipynb"))]
    for source in [*notebooks, *(project / name for name in READ)]:
        if source.exists() and ".ipynb_checkpoints" not in source.parts:
            name = source.relative_to(project)
            worked_in = name.parts[0] == "exercises" and not handout.is_untouched(source, f"solutions/{name.name}")
            yield from give(source.read_bytes(), mine / name, given, mine)
            if worked_in:  # in exercises/ itself, before there was my/: the copy holds it from now on
                given.pop(name.as_posix(), None)
    yield from give(lessons(project).encode(), mine / "Lessons.md", given, mine)
    files.write(record, json.dumps(given, indent=1))


def give(content: bytes, place: Path, given: dict[str, str], mine: Path) -> Iterator[str]:
    name, new = place.relative_to(mine).as_posix(), fingerprint(content)
    there = fingerprint(place.read_bytes()) if place.exists() else None
    if there is None or (there != new and there == given.get(name)):
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write(place, content)
    elif there != new and given.get(name) != new:
        beside = place.with_name(f"{place.stem}.new{place.suffix}")
        yield from give(content, beside, given, mine)
        yield f"my/{name} is as you left it; the course's new version lies beside it: {beside.name}"
    given[name] = new


def fingerprint(content: bytes) -> str:
    """Of a notebook its cells alone: where somebody only looks, JupyterLab writes other metadata, and 0 for 0.0."""
    with suppress(ValueError, KeyError, TypeError):
        content = json.dumps(json.loads(content, parse_int=float)["cells"], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def lessons(project: Path) -> str:
    """The list that JupyterLab opens at: each lesson beside its exercise, minutes, and what has been passed."""
    rows = {}
    for column, folder in enumerate(("notebooks", "exercises")):
        for path in sorted((project / folder).glob("[0-9][0-9]_*.ipynb")):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            row = rows.setdefault(path.name[:2], ([""] * 2, [], []))
            row[0][column] = f"[{title(notebook) or path.stem}]({folder}/{path.name})"
            row[1].append(str(notebook["metadata"].get("course", {}).get("minutes", "")))
            row[2].extend(filter(None, map(handout.answer_of, notebook["cells"])))
    lines = [
        f"| {number} | {lesson} | {exercise} | {' + '.join(minutes)} | {right(answers)} |"
        for number, ((lesson, exercise), minutes, answers) in rows.items()
    ]
    return LESSONS.format(rows="\n".join(lines))


def title(notebook: dict) -> str:
    """The first heading without its number and markup: 'Why discrete?'."""
    heading = re.search(r"^# +(?:.*? · )?(.+?)[ #]*$", "\n".join(map(text, notebook["cells"])), flags=re.MULTILINE)
    return re.sub(r"[`*$|\[\]]", "", heading[1]) if heading else ""


def text(cell: dict) -> str:
    return "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""


def right(answers: list[str]) -> str:
    passed = sum(bool(progress.load(answer).passed) for answer in answers)
    if not answers or progress.folder() is None:
        return ""
    return f"✓ all {passed}" if passed == len(answers) else f"{passed} of {len(answers)}"


LESSONS = """\
# Lessons

Begin with lesson 00, and take each exercise after its lesson. All notebooks here are your own copies: change what you
like. Remove one, and the next `make lab` brings it back as the course has it.

| | lesson | exercise | minutes | right |
|---|---|---|---|---|
{rows}

*Right* counts the answers of both notebooks whose check has passed, as it was when JupyterLab was started. A word that
you do not know stands in the [glossary](docs/glossary.md); when a codebook of your own misbehaves, look at
[symptoms and cures](docs/symptoms.md).
"""


if __name__ == "__main__":
    main(sys.argv[1:])
