"""The instructor's one small file: points, late work, private exercises. TOML; every table may be left out.

course = "Deep learning, winter"     # as students' pages name it
pages = "https://example.org/course" # where students find the course's own pages: theirs then link to its sections
private = ["hidden/e90_mine.py"]     # files with exercises of one's own, seen from this file's folder
roster = "class.csv"                 # who is in the class: a name on each line, as the folders are called
partial_credit = true                # an answer gets the share of its parts that hold; else all its points or none

[points]
straight_through = 5                 # of one answer; 0: it is not asked
"05_three_losses" = 10               # of a whole exercise: its answers share it in their usual proportion

[late]
due = 2026-12-01T23:59:00            # or one for each exercise, in a table [late.due]
stamps = true                        # a timestamp.txt beside the notebook counts, not the file's own time
grace_minutes = 15
lost_per_day = 0.1                   # share of the points, for every day begun
most_lost = 0.5

[late.extra_days]
alice = 3
"""

import csv
import hashlib
import importlib.metadata
import itertools
import math
import platform
import re
import tomllib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from course_lib.check import own
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise
from course_lib.grade.given import COURSE, MODULES

NO_JUDGES = {"handout", "mutation", "proof", "template"}  # files of `check` that no verdict depends on
FROM_ANOTHER = re.compile(r"course_lib\.check\.exercises\.(\w+) import")
OF_THE_FILE = {"course", "pages", "private", "roster", "partial_credit"}  # which stand above the tables
LONG_AGO, FAR = datetime(1990, 1, 1), datetime(4000, 1, 1)  # what files say lies between, or is taken to


class BadSettings(ValueError):
    """Something in the settings cannot be used. The message names the file and the entry, and says what was wanted."""


@dataclass(frozen=True)
class Settings:
    """exercises: all that can be graded, by the name of the answer. points: of each answer, 0 where it is not asked.
    course: its name, for students. pages: the address of its pages, without a slash at the end."""

    exercises: dict[str, Exercise] = field(default_factory=lambda: dict(EXERCISES))
    points: dict[str, float] = field(default_factory=lambda: {e.name: float(e.points) for e in EXERCISES.values()})
    named: tuple[str, ...] = ()  # the lessons that the settings give points
    course: str = "VQ-VAEs in PyTorch: an open course"
    pages: str = ""
    private: tuple[Path, ...] = ()
    partial_credit: bool = False
    due: dict[str, datetime] = field(default_factory=dict)  # by lesson; "" for those that are not named
    grace: timedelta = timedelta()
    lost_per_day: float = 0.0
    most_lost: float = 1.0
    stamps: bool = False
    extra_days: dict[str, float] = field(default_factory=dict)  # by student
    roster: tuple[str, ...] = ()  # who is in the class, whether or not anything was handed in

    def lessons(self) -> dict[str, list[str]]:
        """The answers that are asked, by lesson, in the order of the course."""
        lessons: dict[str, list[str]] = {}
        for exercise in sorted(self.exercises.values(), key=lambda exercise: exercise.lesson):
            if self.points[exercise.name] > 0:
                lessons.setdefault(exercise.lesson, []).append(exercise.name)
        return lessons

    def lost_by(self, student: str, lesson: str, handed_in: datetime | None) -> float:
        """The share of the points that is lost since the work was late, in [0, 1]."""
        due = self.due.get(lesson, self.due.get(""))
        if due is None or handed_in is None:
            return 0.0
        late = _local(handed_in) - _local(due) - timedelta(days=self.extra_days.get(student, 0))
        if late <= self.grace:
            return 0.0
        return min(self.most_lost, self.lost_per_day * math.ceil(late / timedelta(days=1)))

    def fingerprints(self) -> dict[str, str]:
        """By answer. One changes when its exercise does, or one that it takes something from; all of them when what
        asks and judges every answer does. Verdicts with another fingerprint are not taken over."""
        folders = [sorted((COURSE / name).glob("*.py")) for name in ("check", "grade/inside")]
        alone = [COURSE / f"{name}.py" for name in (*MODULES, "models", "grade/given", "grade/examiner")]
        common = b"\0".join(
            path.read_bytes() for path in [*itertools.chain(*folders), *alone] if path.stem not in NO_JUDGES
        )
        private = [name for name in self.exercises if name not in EXERCISES]  # in the order of their files
        own = {name: COURSE / "check/exercises" / f"{name}.py" for name in EXERCISES} | dict(zip(private, self.private))
        return {name: hashlib.sha256(common + _with_others(own[name])).hexdigest()[:16] for name in self.exercises}

    def fingerprint(self) -> str:
        """Of all checks at once."""
        return hashlib.sha256(" ".join(self.fingerprints().values()).encode()).hexdigest()[:16]

    def environment(self) -> str:
        """What a verdict depends on besides the answer, in words: it is written beside each."""
        return f"checks {self.fingerprint()}, {versions()}, {platform.platform(terse=True)}"


def versions() -> str:
    """Of what runs an answer, in words."""
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "vector-quantize-pytorch")]
    return ", ".join([f"Python {platform.python_version()}", *libraries])


def table_of(path: Path, fault: type[ValueError]) -> dict:
    """What a TOML file says. `fault` where it is missing, or is none. A mark of the editor's is no part."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise fault(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise fault(f"{path} is not TOML: {error}") from None


def load(path: Path | None) -> Settings:
    """`BadSettings` for a file that is missing or says what nobody understands."""
    if path is None:
        return Settings()
    table = table_of(path, BadSettings)
    _known(path, "the file", table, OF_THE_FILE | {"points", "late"})
    private = tuple(
        (path.parent / _of_kind(path, "private", name, str)).resolve()
        for name in _of_kind(path, "private", table.get("private", []), list)
    )
    exercises = dict(EXERCISES)
    for file in private:
        exercise = _exercise_of(file)
        if exercise.name in exercises:
            raise BadSettings(f"{file}: there is an exercise {exercise.name} already; a name belongs to one answer")
        exercises[exercise.name] = exercise
    late = table.get("late", {})
    _known(path, "[late]", late, {"due", "stamps", "grace_minutes", "lost_per_day", "most_lost", "extra_days"})
    due = late.get("due", {})
    lessons = {exercise.lesson for exercise in exercises.values()}
    due = due if isinstance(due, dict) else {"": due}
    _known(path, "[late.due]", due, lessons | {""})
    points = table.get("points", {})
    _known(path, "[points]", points, lessons | exercises.keys())
    for name, value in points.items():
        _number(path, f"points.{name}", value)
    return Settings(
        exercises=exercises,
        points=_shared_out(exercises, points),
        named=tuple(sorted({exercises[name].lesson if name in exercises else name for name, p in points.items() if p})),
        course=_of_kind(path, "course", table.get("course", Settings.course), str),
        pages=_address(path, table.get("pages", "")),
        private=private,
        partial_credit=_of_kind(path, "partial_credit", table.get("partial_credit", False), bool),
        due={lesson: _moment(path, when) for lesson, when in due.items()},
        stamps=_of_kind(path, "late.stamps", late.get("stamps", False), bool),
        grace=timedelta(minutes=_number(path, "late.grace_minutes", late.get("grace_minutes", 0), 10_000)),
        lost_per_day=_number(path, "late.lost_per_day", late.get("lost_per_day", 0), 1),
        most_lost=_number(path, "late.most_lost", late.get("most_lost", 1), 1),
        extra_days={
            student: _number(path, f"late.extra_days.{student}", days, 1000)
            for student, days in _of_kind(path, "late.extra_days", late.get("extra_days", {}), dict).items()
        },
        roster=_names_in(path.parent / _of_kind(path, "roster", table["roster"], str)) if "roster" in table else (),
    )


def _shared_out(exercises: dict[str, Exercise], wanted: dict[str, float]) -> dict[str, float]:
    points = {name: float(wanted.get(name, exercise.points)) for name, exercise in exercises.items()}
    for lesson in wanted.keys() - exercises.keys():
        names = [name for name, exercise in exercises.items() if exercise.lesson == lesson]
        total = sum(points[name] for name in names) or 1.0
        points |= {name: points[name] / total * wanted[lesson] for name in names}
    return points


def _with_others(file: Path) -> bytes:
    """The file of an exercise, and those of the exercises from which it imports."""
    files = [file]
    for one in files:  # which grows meanwhile
        others = {COURSE / "check/exercises" / f"{name}.py" for name in FROM_ANOTHER.findall(one.read_text("utf-8"))}
        files += sorted(others - set(files))
    return b"\0".join(one.read_bytes() for one in files)


def _names_in(path: Path) -> tuple[str, ...]:
    """What stands first on each line of a text, or of a table whose first line may begin with `student`."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"roster: {path} cannot be read: {error}") from None
    names = [line[0].strip() for line in lines if line and line[0].strip()]
    names = names[names[:1] == ["student"] :]
    if not names:
        raise BadSettings(
            f"roster: {path} names nobody; wanted a student's name on each line, as the folders are called"
        )
    return tuple(dict.fromkeys(names))


def _exercise_of(path: Path) -> Exercise:
    """Of a private file, tried out before anybody is graded."""
    try:
        exercise = own.load(path)
        own.try_out(exercise, path)
    except ValueError as error:
        raise BadSettings(str(error)) from error
    return exercise


def _known(path: Path, where: str, table, wanted: set[str]) -> None:
    if not isinstance(table, dict):
        raise BadSettings(f"{path}: {where} is {type(table).__name__}; wanted a table")
    for name in table.keys() - wanted:
        above = f"; {name} belongs above the first [table]" if name in OF_THE_FILE else ""
        raise BadSettings(f"{path}: {where} has {name!r}{above}; wanted one of {', '.join(sorted(wanted - {''}))}")


def _of_kind(path: Path, name: str, value, kind: type):
    if not isinstance(value, kind):
        raise BadSettings(f"{path}: {name} is {value!r}; wanted {kind.__name__}")
    return value


def _address(path: Path, value) -> str:
    address = _of_kind(path, "pages", value, str)
    if address and not re.fullmatch(r"https?://[^\s\"'<>]+", address):
        raise BadSettings(f"{path}: pages is {address!r}; wanted an address that begins with http:// or https://")
    return address.rstrip("/")


def _number(path: Path, name: str, value, most: float = math.inf) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most or math.isinf(value):
        limit = f" to {most:g}" if math.isfinite(most) else " up"
        raise BadSettings(f"{path}: {name} is {value!r}; wanted a number from 0{limit}")
    return float(value)


def _moment(path: Path, value) -> datetime:
    when = _of_kind(path, "late.due", value, datetime)
    if not 2000 <= when.year <= 3000:
        raise BadSettings(f"{path}: late.due is {value}; wanted a year from 2000 to 3000")
    return when


def _local(when: datetime) -> datetime:
    """With a time zone: the machine's own where none is said."""
    when = max(min(when, FAR.replace(tzinfo=when.tzinfo)), LONG_AGO.replace(tzinfo=when.tzinfo))
    return when if when.tzinfo else when.astimezone()
