"""Marks that a person gives, and comments: one file in the instructor's hands, which is read here and never written.

[[mark]]
student = "ann"                      # as her folder is called
answer = "straight_through"          # or a whole exercise, "04_straight_through": its answers share the points
points = 1.5                         # what counts in the end, whatever came of the answer and whenever it came
reason = "explained it at the board" # which the student reads too
by = "Kim"

[[comment]]
student = "ann"
answer = "straight_through"          # may be left out, or be an exercise
text = "Have a look at lesson 04 again."
by = "Kim"
"""

import difflib
import json
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from course_lib.grade.finding import printable
from course_lib.grade.marks import ByHand, Comment
from course_lib.grade.settings import Settings, table_of
from course_lib.grade.tables import cell

NAME = "overrides.toml"
MOST_LISTED = 30  # students that an error names


class BadOverrides(ValueError):
    """An entry cannot be used. The message names the file and the entry, and says what was wanted."""


@dataclass(frozen=True)
class Overrides:
    """What the file says. No entry is about a student or an answer that does not exist."""

    marks: tuple[ByHand, ...] = ()
    comments: tuple[Comment, ...] = ()

    def of(self, student: str, lesson: str, points: dict[str, float]) -> dict[str, ByHand]:
        """What a person gave for the answers of a lesson, by answer; points: what each can bring. Those of a whole
        exercise are shared out in proportion."""
        given, most = {}, sum(points.values())
        for mark in self.marks:
            if mark.student == student and mark.answer in points:
                given[mark.answer] = mark
            elif mark.student == student and mark.answer == lesson:
                given |= {name: replace(mark, points=mark.points * part / most) for name, part in points.items()}
        return given

    def comments_for(self, student: str) -> list[Comment]:
        return [comment for comment in self.comments if comment.student == student]


def place(named: Path | None, out: Path) -> Path | None:
    """The file to read: the one that was named, or the one that lies in `out`. `BadOverrides` where it cannot be told
    which of two is meant."""
    usual = out / NAME
    if named is None:
        return usual if usual.exists() else None
    if usual.exists() and not (named.exists() and named.samefile(usual)):
        raise BadOverrides(f"there are two files of marks by hand, {named} and {usual}: put all into one of them")
    return named


def load(path: Path | None, students: Collection[str], chosen: Settings) -> Overrides:
    """`BadOverrides` for a file that is missing, and for the first entry that cannot be used."""
    if path is None:
        return Overrides()
    table = table_of(path, BadOverrides)
    for name in table.keys() - {"mark", "comment"}:
        raise BadOverrides(f"{path} has {name!r}; wanted [[mark]] and [[comment]]")
    names = {cell(student): student for student in students} | {student: student for student in students}
    marks, comments, places = [], [], {}
    for where, entry in _entries(path, table, "mark", {"student", "answer", "points", "reason", "by"}, set()):
        mark = ByHand(**entry | {"student": _student(where, entry["student"], names, students)})
        mark = replace(mark, points=_points(where, mark, chosen))
        lesson = chosen.exercises[mark.answer].lesson if mark.answer in chosen.exercises else mark.answer
        for other in (mark.answer, lesson) if mark.answer != lesson else (lesson, *_answers_of(lesson, chosen)):
            if first := places.get((mark.student, other)):
                about = f"{printable(mark.student)} and {mark.answer}"
                raise BadOverrides(f"{where}: {first} gives points for {about} already; one of them has to go")
        places[mark.student, mark.answer] = where.removeprefix(f"{path}: ")
        marks.append(mark)
    for where, entry in _entries(path, table, "comment", {"student", "text", "by"}, {"answer"}):
        comment = Comment(**entry | {"student": _student(where, entry["student"], names, students)})
        if comment.answer:
            _known_answer(where, comment.answer, chosen)
        comments.append(comment)
    return Overrides(tuple(marks), tuple(comments))


def entry(student: str, answer: str, points: float, reason: str, by: str) -> str:
    """A [[mark]], as TOML."""
    texts = {"student": student, "answer": answer, "reason": reason, "by": by}
    lines = {name: json.dumps(text, ensure_ascii=False) for name, text in texts.items()}  # TOML's escapes are JSON's
    return (
        f"[[mark]]\nstudent = {lines['student']}\nanswer = {lines['answer']}\npoints = {cell(float(points))}\n"
        f"reason = {lines['reason']}\nby = {lines['by']}\n"
    )


def _entries(path: Path, table: dict, kind: str, wanted: set[str], allowed: set[str]) -> Iterator[tuple[str, dict]]:
    """Where each stands, in words, and what it says: texts that say something, and points."""
    entries = table.get(kind, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadOverrides(
            f"{path}: {kind} is no list of tables; wanted [[{kind}]], with two brackets, above each entry"
        )
    for number, entry in enumerate(entries, 1):
        where = f"{path}: [[{kind}]] {number}"
        for name in sorted(entry.keys() - wanted - allowed):
            raise BadOverrides(f"{where} has {name!r}; wanted {', '.join(sorted(wanted | allowed))}")
        for name in sorted(wanted - entry.keys()):
            raise BadOverrides(f"{where} has no {name}; wanted {', '.join(sorted(wanted))}")
        for name, value in entry.items():
            if name != "points" and not (isinstance(value, str) and value.strip()):
                raise BadOverrides(f"{where}: {name} is {value!r}; wanted a text that says something")
        yield (
            where,
            {name: _clean(value) if name in ("reason", "by", "text") else value for name, value in entry.items()},
        )


def _clean(text: str) -> str:
    return "\n".join(printable(line) for line in text.strip().splitlines())


def _student(where: str, name: str, names: dict[str, str], students: Collection[str]) -> str:
    if name in names:
        return names[name]
    listed = _nearest_first(name, map(printable, students))
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    there = ", ".join(listed[:MOST_LISTED]) + more
    raise BadOverrides(f"{where}: there is no student {name!r}; there are {there}. {ABSENT}")


ABSENT = "Whoever handed in nothing is known by a roster (settings), or by --canvas with an export"


def _points(where: str, mark: ByHand, chosen: Settings) -> float:
    _known_answer(where, mark.answer, chosen)
    names = [mark.answer] if mark.answer in chosen.exercises else _answers_of(mark.answer, chosen)
    most = sum(chosen.points[name] for name in names)
    points = mark.points
    if type(points) not in (int, float) or not 0 <= points <= most + 1e-9 or math.isnan(points):
        raise BadOverrides(
            f"{where}: points is {points!r}; wanted a number from 0 to {cell(most)}, {mark.answer}'s all. "
            "Points are set in the settings: is --settings missing?"
        )
    return float(points)


def _known_answer(where: str, name: str, chosen: Settings) -> None:
    lessons = chosen.lessons()
    if name in lessons or any(name in names for names in lessons.values()):
        return
    all_names = [*lessons, *(name for names in lessons.values() for name in names)]
    there = ", ".join(_nearest_first(name, all_names))
    raise BadOverrides(f"{where}: there is no answer and no exercise {name!r} with points; there are {there}")


def _answers_of(lesson: str, chosen: Settings) -> list[str]:
    return chosen.lessons()[lesson]


def _nearest_first(name: str, names: Iterable[str]) -> list[str]:
    """The likeliest to have been meant before the others."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=3)
    return [*near, *(other for other in names if other not in near)]
