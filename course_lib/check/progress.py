"""What a learner has tried, passed, and been told, kept from day to day: one small file for each answer.

The files lie in `$COURSE_PROGRESS`, else in the folder `progress/` of the project. With COURSE_PROGRESS=off nothing is
kept, nor where nbgrader runs a notebook: one student's progress is not the next one's. A file is written beside the old
one and takes its place, so that two notebooks open at once lose nothing.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

from course_lib import files

PROJECT = Path(__file__).parent.parent.parent


@dataclass
class Progress:
    attempts: int = 0
    hints: int = 0
    passed: str = ""  # the day, "2026-11-20"


def folder() -> Path | None:
    place = os.environ.get("COURSE_PROGRESS") or "progress"
    return None if place == "off" or under_nbgrader() else PROJECT / place


def under_nbgrader() -> bool:
    """Whether nbgrader runs this notebook. It tells the kernel's process so; a cell that takes it out of `os.environ`
    takes it out of Python's copy alone, where the system keeps what a process was started with."""
    try:
        started_with = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:  # no Linux
        started_with = []
    return bool(os.environ.get("NBGRADER_EXECUTION")) or any(
        setting.startswith(b"NBGRADER_EXECUTION=") and not setting.endswith(b"=") for setting in started_with
    )


_unkept: dict[tuple[Path | None, str], Progress] = {}  # what this process could not keep, or was told not to


def load(name: str) -> Progress:
    """What is known of an answer; a file that cannot be read counts as none and is put aside, not overwritten."""
    place = folder()
    if place is None or (place, name) in _unkept:
        return _unkept.get((place, name), Progress())
    path = place / f"{name}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        kept = Progress(**{field.name: kept[field.name] for field in fields(Progress)})
        if [type(value) for value in asdict(kept).values()] == [int, int, str] and min(kept.attempts, kept.hints) >= 0:
            return kept
        raise ValueError("values of other kinds")
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        aside = path.with_suffix(".json.unreadable")
        try:
            path.replace(aside)
            _say_once(f"{path} cannot be read ({error}); it is put aside as {aside.name}, and counting starts anew")
        except OSError as denied:
            _say_once(f"progress cannot be read from {place}: {denied.strerror}")
    return Progress()


def save(name: str, progress: Progress) -> None:
    """Keeps it; where the folder cannot be written, for this process only, and says so once."""
    place = folder()
    _unkept[place, name] = progress
    if place is None:
        return
    try:
        place.mkdir(parents=True, exist_ok=True)
        files.write(place / f"{name}.json", json.dumps(asdict(progress)))
        del _unkept[place, name]  # now the file is what counts, and whoever removes it starts anew
    except OSError as error:
        _say_once(f"progress is not kept in {place}: {error.strerror}. Another folder, or off: set COURSE_PROGRESS")


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        print(text)


def attempted(name: str, passed: bool) -> Progress:
    known = load(name)
    known.attempts += 1
    if passed and not known.passed:
        known.passed = date.today().isoformat()
    save(name, known)
    return known


def line(answers: list[tuple[str, str]]) -> str:
    """From (number of the lesson, name of the answer), the whole course on one line: "03 ■□  04 □ · 1 of 3 right".

    Empty where nothing is kept.
    """
    if folder() is None:
        return ""
    marks: dict[str, str] = {}
    for number, name in answers:
        marks[number] = marks.get(number, "") + ("■" if load(name).passed else "□")
    right = "".join(marks.values()).count("■")
    short = {number: mark if len(mark) < 5 else f"{mark.count('■')}/{len(mark)}" for number, mark in marks.items()}
    return f"{'  '.join(f'{number} {mark}' for number, mark in short.items())} · {right} of {len(answers)} right"
