"""The notebooks that were handed in. Reading one runs nothing of it, and nothing in it can stop the others.

A folder for each student, with notebooks named as they were handed out; or, as Canvas downloads them, files side by
side: doeann_1234_5678_04_straight_through-2.ipynb is Canvas's user 1234, and her second try.
"""

import hashlib
import itertools
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from course_lib.grade.finding import printable

MOST_FILE, MOST_CODE = 2**25, 2**20  # bytes of a notebook, characters of its code
MOST_FILES, MOST_DEPTH = 10_000, 10  # files and folders of a student, folders in each other
MOST_CELLS, MOST_TAGS, MOST_LISTS = 2000, 20, 500_000  # of lists and dictionaries, which take 60 bytes or more each
HANDED_OUT = [Path(__file__).resolve().parent.parent.parent / name for name in ("exercises", "notebooks")]
PASSED_OVER = {"__MACOSX", ".ipynb_checkpoints", ".git"}


@dataclass(frozen=True)
class Notebook:
    """One exercise of one student. problem: why there is nothing to grade; then it has no cells.

    there:     False where there is no such file, which is an answer: a blank one.
    digest:    of the file's bytes: what was graded once need not be graded again.
    handed_in: when, by the file's own time, or by a timestamp.txt beside it, as nbgrader writes one.
    """

    student: str
    lesson: str
    cells: tuple[dict, ...] = ()
    digest: str = ""
    there: bool = True
    problem: str = ""
    handed_in: datetime | None = None


NOTEBOOK = (
    r"\.(?:ipynb(?:\.txt|\.json)?|json)"  # the ends of a notebook's name, as browsers and mail programs make them
)
FROM_CANVAS = re.compile(rf"(?P<who>.+?)_(?P<late>LATE_)?(?P<user>\d+)_\d+_(?P<name>.+{NOTEBOOK})", re.IGNORECASE)
# At the end, after `_`: of Jupyter, browsers, Windows, macOS, Canvas. A second `+` takes nothing back, so that no
# name is tried in more ways than one.
MARK_OF_A_COPY = r"copy(?:_?\d+)?+|\d++|\(\d+\)"
MOST_NAMED = 20  # files that a note names


def exercise_of(name: str, lessons: Iterable[str]) -> str | None:
    """The exercise that a file is by its name, whatever systems and students do to names: other case, blanks, a copy's
    marks, other ends, the student's own name behind."""
    known = {_plain(lesson): lesson for lesson in lessons}
    plain, ends = re.subn(rf"_?{NOTEBOOK}_?$", "", _plain(name))
    if not ends or plain in known:
        return known.get(plain) if ends else None
    bare = re.sub(rf"(?:_(?:{MARK_OF_A_COPY})|\(\d+\))++$", "", re.sub(r"^(?:copy_of_)+", "", plain))
    return known.get(max((one for one in known if f"{bare}_".startswith(f"{one}_")), key=len, default=""))


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", unicodedata.normalize("NFKC", name).casefold().strip())


@dataclass
class Student:
    """Somebody's files, by the names they were handed in with. notes: what else is to be said, in words. problem: why
    the files are not known. lessons: all exercises that there are. strange: notebooks that are none of them by their
    names, and may be one all the same."""

    name: str
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    lessons: tuple[str, ...] = ()
    strange: list[str] = field(default_factory=list)

    def files_of(self, lesson: str) -> dict[str, Path]:
        """Those that may be this exercise: what lies in a folder of its own counts where nothing lies above."""
        lessons = self.lessons or (lesson,)
        fits = {name: path for name, path in self.files.items() if exercise_of(own_name(name), lessons) == lesson}
        return {name: path for name, path in fits.items() if "/" not in name} or fits


def own_name(name: str) -> str:
    """Of a file in a folder of the student's folder, without that, and without what Canvas puts before it."""
    name = name.rpartition("/")[2]
    canvas = FROM_CANVAS.fullmatch(name)
    return canvas["name"] if canvas else name


def students_in(folder: Path, leave_out: Path) -> list[Student]:
    """Whoever has a folder in it, whatever it is called, or a file as Canvas names them. `OSError` where it cannot be
    read. What a student packed is looked at without following links, and only so far: see `files_below`."""
    students: dict[str, Student] = {}
    left_out = {os.path.realpath(leave_out), os.path.join(os.path.realpath(leave_out.parent), leave_out.name)}
    for entry in _entries(folder):
        canvas = FROM_CANVAS.fullmatch(entry.name)
        if entry.name in PASSED_OVER or os.path.join(os.path.realpath(folder), entry.name) in left_out:
            continue
        if entry.is_dir(follow_symlinks=False):
            student = students.setdefault(entry.name, Student(entry.name))
            _add_files(student, Path(entry.path))
        elif canvas:
            who = f"{canvas['who']}_{canvas['user']}"
            student = students.setdefault(who, Student(who))
            student.files[canvas["name"]] = Path(entry.path)
            if canvas["late"]:
                student.notes.append(f"{printable(canvas['name'])}: late, says Canvas")
        elif entry.is_symlink():
            students[entry.name] = Student(entry.name, problem="it is a link, not a folder")
    return list(students.values())


def _add_files(student: Student, folder: Path) -> None:
    """Those of the folder itself and of the folders in it, and the names of those in which a notebook lies deeper."""
    try:
        paths, problem = files_below(folder)
    except OSError as error:
        student.problem = f"the folder cannot be read: {error.strerror}"
        return
    for path in paths:
        *above, name = path.relative_to(folder).parts
        if len(above) < 2:
            student.files["/".join([*above, name])] = path
        elif path.suffix == ".ipynb" and f"{above[0]}/..." not in student.strange:
            student.strange.append(f"{above[0]}/...")
    if problem:
        student.notes.append(problem)


def files_below(folder: Path) -> tuple[list[Path], str]:
    """Whatever is no folder, or has a notebook's name, without following links; and what kept the rest from being
    looked at, in words. `OSError` where the folder itself cannot be read."""
    paths, problem, folders = [], "", [(0, folder)]
    for depth, place in folders:  # which grows meanwhile
        try:
            entries = _entries(place, MOST_FILES if depth else None)
        except OSError as error:
            if place == folder:
                raise
            problem = f"{printable(os.path.basename(place))} cannot be read: {error.strerror}"
            continue
        for entry in entries:
            if depth and len(paths) + len(folders) >= MOST_FILES:  # its own files are all looked at
                return paths, f"{MOST_FILES:,} files and folders are in it or more; the rest was not looked at"
            if entry.name.endswith(".ipynb") or not entry.is_dir(follow_symlinks=False):
                paths.append(Path(entry.path))
            elif depth == MOST_DEPTH:
                problem = f"folders in it lie more than {MOST_DEPTH} deep; the rest was not looked at"
            elif entry.name not in PASSED_OVER:
                folders.append((depth + 1, entry.path))
    return paths, problem


def _entries(folder, most: int | None = None) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(itertools.islice(entries, most), key=lambda entry: entry.name)


def name_unknown_files(students: Iterable[Student], lessons: Iterable[str]) -> None:
    """Notes each notebook whose name is no exercise's, or that lies deeper: work that would be lost in silence."""
    lessons = tuple(lessons)
    for student in students:
        student.lessons = lessons
        for name in student.files:
            if exercise_of(own_name(name), lessons) is None and _may_be_one(own_name(name), lessons):
                student.strange.append(name)
        if student.strange:
            student.notes.append(f"not graded, as no exercise has this name: {_named(sorted(student.strange))}")


def _may_be_one(name: str, lessons: Iterable[str]) -> bool:
    """Whether somebody should look: it says that it is a notebook, or begins as an exercise does."""
    plain = _plain(name)
    return ".ipynb" in plain or any(re.match(rf"{re.escape(_plain(lesson))}(?![^\W_])", plain) for lesson in lessons)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(printable, names[:MOST_NAMED])) + more


def unused_files(folder: Path) -> list[str]:
    """What lies beside the students' folders and is nobody's."""
    files = [entry.name for entry in _entries(folder) if entry.is_file(follow_symlinks=False)]
    return [name for name in files if not (FROM_CANVAS.fullmatch(name) or name.startswith("."))]


def read(student: Student, lesson: str, stamps: bool = False) -> Notebook:
    """Never raises for what a student did to the file. stamps: whether a timestamp.txt beside it is believed."""
    if student.problem:
        return Notebook(student.name, lesson, problem=student.problem)
    path, problem = _chosen(student, lesson)
    if problem:
        return Notebook(student.name, lesson, problem=problem)
    if path is None and student.strange:  # perhaps it is that: somebody has to look, and there is no zero meanwhile
        names = _named(student.strange)
        return Notebook(student.name, lesson, problem=f"no {lesson}.ipynb was handed in; is it one of {names}?")
    if path is None:
        return Notebook(student.name, lesson, there=False, problem=f"no {lesson}.ipynb was handed in")
    try:
        data, changed = _regular_file(path)
        cells = _code_cells(data)
        if not cells:
            raise ValueError("it has no code cells")
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return Notebook(student.name, lesson, problem=f"{path.name} cannot be read: {why}")
    digest = hashlib.sha256(data).hexdigest()[:16]
    handed_in = (_stamp(student) if stamps else None) or changed
    return Notebook(student.name, lesson, tuple(cells), digest, handed_in=handed_in)


def _chosen(student: Student, lesson: str) -> tuple[Path | None, str]:
    """The file that is graded as this exercise, or why it is not clear which one. A note says what is not obvious.

    Of several it is the one with the original name, unless that was never worked on and just one other was.
    """
    fits = student.files_of(lesson)
    if len(fits) < 2:
        worked_on = list(fits)
    else:
        worked_on = [name for name, path in fits.items() if not _untouched(path, lesson)] or list(fits)
    original = [name for name in worked_on if name.rpartition("/")[2] == f"{lesson}.ipynb"]
    chosen, *more = original if len(original) == 1 else worked_on or [None]
    if more:
        names = _named(worked_on)
        return None, f"which of {names} is {lesson}.ipynb? Leave the one that counts"
    others = _named([name for name in fits if name != chosen])
    if chosen and (others or chosen != f"{lesson}.ipynb"):
        taken = f"{printable(chosen)} was taken as {lesson}.ipynb"
        student.notes.append(f"{taken}, and not {others}" if others else taken)
    return fits.get(chosen), ""


def _untouched(path: Path, lesson: str) -> bool:
    """Whether its code is what was handed out, and nothing else. False where nobody knows what that was."""
    handed_out = [place / f"{lesson}.ipynb" for place in HANDED_OUT]
    try:
        known = {cell["source"] for file in handed_out if file.exists() for cell in _code_cells(file.read_bytes())}
        return {cell["source"] for cell in _code_cells(_regular_file(path)[0])} <= known
    except (OSError, ValueError, RecursionError, MemoryError):
        return False


def _regular_file(path: Path) -> tuple[bytes, datetime]:
    """Its bytes and when it was changed. No link is followed, no pipe is waited for."""
    if path.is_symlink():
        raise ValueError("it is a link, not a file")
    as_it_is = getattr(os, "O_BINARY", 0)  # Windows would change the ends of lines otherwise
    descriptor = os.open(path, os.O_RDONLY | as_it_is | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        about, data = os.fstat(descriptor), b""
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no regular file")
        while len(data) <= MOST_FILE and (piece := os.read(descriptor, MOST_FILE + 1 - len(data))):
            data += piece
    finally:
        os.close(descriptor)
    if len(data) > MOST_FILE:
        raise ValueError(
            f"it has {about.st_size:,} bytes; {MOST_FILE:,} are the most. Clear the outputs and save it again"
        )
    return data, datetime.fromtimestamp(about.st_mtime, UTC)


def _code_cells(data: bytes) -> list[dict]:
    """Number, source and tags of each code cell that can be understood."""
    if not data.strip():
        raise ValueError("it is empty")
    if data.count(b"[") + data.count(b"{") > MOST_LISTS and _lists(data) > MOST_LISTS:
        raise ValueError("it holds too many lists; clear the outputs and save it again")
    try:
        notebook = json.loads(data)
    except ValueError:  # UnicodeDecodeError is one
        raise ValueError("it is not JSON, or was cut off") from None
    if isinstance(notebook, dict) and "worksheets" in notebook:
        raise ValueError("it is a notebook of format 3, as before 2015; open it in Jupyter and save it again")
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("it is not a notebook of format 4")
    cells = []
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if not isinstance(source, str):
            continue
        metadata = cell.get("metadata")
        tags = metadata.get("tags") if isinstance(metadata, dict) else None
        tags = [tag[:100] for tag in tags[:MOST_TAGS] if isinstance(tag, str)] if isinstance(tags, list) else []
        cells.append({"number": number, "source": source, "tags": tags})
    if len(cells) > MOST_CELLS:
        raise ValueError(f"it has {len(cells):,} cells of code; {MOST_CELLS:,} are the most")
    length = sum(len(cell["source"]) for cell in cells)
    if length > MOST_CODE:
        raise ValueError(f"its cells hold {length:,} characters of code; {MOST_CODE:,} are the most")
    return cells


def _lists(data: bytes) -> int:
    """How many lists and dictionaries JSON would make of it: brackets outside of strings, since a printed tensor is no
    list."""
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
    except ValueError:
        return 0  # as many as `json.loads` makes of it
    # a string without an end goes to the end of the file, or each quotation mark in it would begin another
    outside = re.sub(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', "", text, flags=re.DOTALL)
    return outside.count("[") + outside.count("{")


def _stamp(student: Student) -> datetime | None:
    """What nbgrader writes on collecting: "2026-11-25 13:05:00.123456 UTC"."""
    if "timestamp.txt" not in student.files:
        return None
    try:
        text = _regular_file(student.files["timestamp.txt"])[0][:100].decode().strip().removesuffix("UTC").strip()
        when = datetime.fromisoformat(text)
    except (OSError, ValueError) as error:
        student.notes.append(f"timestamp.txt is no time: {printable(str(error))}")
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
