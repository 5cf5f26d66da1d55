"""Marks by hand, a gradebook that a person changed, and grading once more after a check was mended."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import hostile
import pytest
import torch
from test_grade import PRIVATE, Here, a_finding, options_of

from course_lib.check.exercises import EXERCISES
from course_lib.grade import changes, command, journal, overrides, settings
from course_lib.grade.examiner import Examiner

ANSWERS = ("straight_through", "clipped_straight_through")  # of exercise 04, with 2 points each


def an_entry(student="bob", answer="straight_through", points="1.5", reason='"told me"', by='"Kim"', more="") -> str:
    lines = {"student": f'"{student}"', "answer": f'"{answer}"', "points": points, "reason": reason, "by": by}
    return "[[mark]]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items() if value) + more + "\n"


def hand_in(place: Path, source: str, lesson: str = hostile.LESSON, name: str = hostile.NAME) -> None:
    place.mkdir(parents=True, exist_ok=True)
    text = hostile.notebook(hostile.cell(source, f"answer:{name}"))
    (place / f"{lesson}.ipynb").write_text(text, encoding="utf-8")


class Class:
    """A folder with submissions, graded by the command, but for the process in which answers run."""

    def __init__(self, folder: Path, capsys):
        self.folder, self.out, self.capsys = folder, folder / "out", capsys
        hand_in(folder / "in/ann", hostile.RIGHT)
        hand_in(folder / "in/bob", hostile.WRONG)
        (folder / "in/cyd").mkdir()
        (folder / f"in/cyd/{hostile.LESSON}.ipynb").write_text("cut off")

    def grade(self, *more: str, status: int = 0) -> str:
        """What was said, to whom it may concern. `asked`: how many questions came to the sandbox."""
        here, threads = Here(), torch.get_num_threads()
        try:
            assert command.grade(options_of(self.folder / "in", *more), [here]) == status
        finally:
            torch.set_num_threads(threads)
        self.asked = here.asked
        return "".join(self.capsys.readouterr())

    def by_hand(self, *entries: str) -> Path:
        self.out.mkdir(exist_ok=True)
        (self.out / overrides.NAME).write_text("".join(entries), encoding="utf-8")
        return self.out / overrides.NAME

    def settings(self, text: str) -> list[str]:
        (self.folder / "grading.toml").write_text(text, encoding="utf-8")
        return ["--settings", str(self.folder / "grading.toml")]

    def table(self, name: str = "gradebook.csv") -> list[dict]:
        with open(self.out / name, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def row(self, student: str) -> dict:
        return next(row for row in self.table() if row["student"] == student)

    def change(self, student: str, column: str, value: str, path: str = "gradebook.csv") -> str:
        """As a person does in a spreadsheet; -> what the file holds now."""
        rows = self.table(path)
        next(row for row in rows if row["student"] == student)[column] = value
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (self.out / path).write_text(text.getvalue(), encoding="utf-8")
        return text.getvalue()


@pytest.fixture
def room(tmp_path, capsys):
    return Class(tmp_path, capsys)


# ----------------------------------------------------------------------------------------------------------------------
# Marks by hand


def test_a_mark_by_hand_is_in_every_report_and_lasts(room):
    room.grade("--nbgrader", "--canvas")
    assert room.row("bob")[hostile.LESSON] == "0"
    comment = '[[comment]]\nstudent = "bob"\nanswer = "straight_through"\ntext = "Look at <lesson> 04."\nby = "Kim"\n'
    room.by_hand(an_entry(), comment)
    for _ in range(2):  # and when all is graded once more
        room.grade("--nbgrader", "--canvas", "--again", "bob")
        row = room.row("bob")
        assert (row[hostile.LESSON], row["total"], row["out of"]) == ("1.5", "1.5", "4")
        assert "straight_through: 1.5 by hand: told me (Kim)" in row["notes"] and "Look at <lesson> 04." in row["notes"]
        assert "straight_through: wrong" in row["notes"]
        page = (room.out / "bob.html").read_text()
        assert (
            "1.5 by hand: told me (Kim)" in page and "1.5 of 2" in page and "Look at &lt;lesson&gt; 04. (Kim)" in page
        )
        result = json.loads((room.out / "bob.json").read_text())
        assert result["score"] == 1.5 and "1.5 by hand: told me (Kim)" in result["output"]
        assert "Look at <lesson> 04." in result["output"]
        assert [(test["score"], test["max_score"], test["status"]) for test in result["tests"]] == [
            (1.5, 2, "failed"), (0, 2, "failed"),
        ]  # fmt: skip
        assert [line for line in room.table("canvas.csv") if line["Student"] == "bob"][0][hostile.LESSON] == "1.5"
        (line,) = [line for line in room.table("nbgrader.csv") if line["student_id"] == "bob"]
        assert (line["raw_score"], line["late_submission_penalty"], line["score"]) == ("1.5", "0", "1.5")
    assert room.row("ann")["total"] == "2" and "by hand" not in room.row("ann")["notes"]


def test_a_whole_exercise_by_hand_is_shared_out_as_its_points_are(room):
    room.by_hand(an_entry(answer=hostile.LESSON, points="3"))
    room.grade(*room.settings("[points]\nstraight_through = 4\n"))
    assert (
        room.row("bob")["total"] == "3" and "04_straight_through: 3 by hand: told me (Kim)" in room.row("bob")["notes"]
    )
    tests = json.loads((room.out / "bob.json").read_text())["tests"]
    assert [test["score"] for test in tests] == [2, 1]  # of 4 and 2


def test_what_could_not_be_graded_gets_a_mark_by_hand(room):
    room.by_hand(an_entry("cyd", hostile.LESSON, "4"))
    assert "cyd, not graded" not in room.grade()
    row = room.row("cyd")
    assert (row[hostile.LESSON], row["total"], row["out of"]) == ("4", "4", "4") and "cannot be read" in row["notes"]
    result = json.loads((room.out / "cyd.json").read_text())
    assert result["score"] == 4 and {test["status"] for test in result["tests"]} == {"passed"}


def test_lateness_takes_nothing_from_a_mark_by_hand(room):
    late = room.settings("[late]\ndue = 2020-01-01T00:00:00\nlost_per_day = 1\nmost_lost = 0.5\n")
    room.by_hand(an_entry("ann", "clipped_straight_through", "1.5"))
    room.grade(*late, "--nbgrader")
    assert room.row("ann")["total"] == "2.5"  # half of 2, and 1.5
    (line,) = [line for line in room.table("nbgrader.csv") if line["student_id"] == "ann"]
    assert (line["raw_score"], line["late_submission_penalty"], line["score"]) == ("3.5", "1", "2.5")
    assert sum(test["score"] for test in json.loads((room.out / "ann.json").read_text())["tests"]) == 2.5


BAD = {
    "no TOML": ("[[mark]", "is not TOML"),
    "another table": ("[[marks]]\n", "has 'marks'; wanted [[mark]] and [[comment]]"),
    "one bracket": ('[mark]\nstudent = "bob"\n', "mark is no list of tables; wanted [[mark]], with two brackets"),
    "another name": (an_entry(more='grade = "1"'), "[[mark]] 1 has 'grade'; wanted answer, by, points"),
    "nobody": (an_entry("bop"), "there is no student 'bop'; there are bob, ann, cyd. Whoever handed in nothing"),
    "no such answer": (an_entry(answer="straight_trough"), "no exercise 'straight_trough' with points; there are"),
    "worth nothing": (an_entry(answer="my_rows"), "no exercise 'my_rows' with points"),
    "too many": (an_entry(points="2.5"), "points is 2.5; wanted a number from 0 to 2, straight_through's all"),
    "too many for all": (an_entry(answer=hostile.LESSON, points="5"), "wanted a number from 0 to 4"),
    "negative": (an_entry(points="-1"), "points is -1; wanted"),
    "a word": (an_entry(points='"1"'), "points is '1'; wanted"),
    "true": (an_entry(points="true"), "points is True; wanted"),
    "nan": (an_entry(points="nan"), "points is nan; wanted"),
    "no reason": (an_entry(reason=""), "[[mark]] 1 has no reason; wanted"),
    "empty reason": (an_entry(reason='" "'), "reason is ' '; wanted a text that says something"),
    "by nobody": (an_entry(by=""), "has no by"),
    "twice": (an_entry() + an_entry(points="2"), "2: [[mark]] 1 gives points for bob and straight"),
    "answer and exercise": (an_entry() + an_entry(answer=hostile.LESSON), "2: [[mark]] 1 gives points for bob"),
    "exercise and answer": (an_entry(answer=hostile.LESSON) + an_entry(), "2: [[mark]] 1 gives points for bob"),
    "comment of nobody": ('[[comment]]\nstudent = "x"\ntext = "y"\nby = "z"\n', "1: there is no student 'x'"),
    "comment on nothing": (
        '[[comment]]\nstudent = "bob"\nanswer = "x"\ntext = "y"\nby = "z"\n', "[[comment]] 1: there is no answer"
    ),
    "no comment": ('[[comment]]\nstudent = "bob"\nby = "z"\n', "[[comment]] 1 has no text"),
}  # fmt: skip


@pytest.mark.parametrize("text, said", BAD.values(), ids=BAD)
def test_entries_that_cannot_be_used_are_told_before_anything_is_graded(room, text, said):
    path = room.by_hand(text)
    words = room.grade(status=2)
    assert said in words and words.startswith("nothing was graded: ") and str(path) in words
    assert [file.name for file in room.out.iterdir()] == [overrides.NAME] and room.asked == 0


def test_a_large_class_is_not_listed_whole(tmp_path):
    (tmp_path / overrides.NAME).write_text(an_entry("s0700x"))
    students = [f"s{number:04}" for number in range(1000)]
    with pytest.raises(overrides.BadOverrides, match="there are s0700, .* and 970 more"):
        overrides.load(tmp_path / overrides.NAME, students, settings.Settings())


def test_a_student_may_be_named_as_the_gradebook_writes_it(room):
    hand_in(room.folder / "in/=x", hostile.WRONG)
    room.by_hand(an_entry("'=x"))
    room.grade()
    assert room.row("'=x")["total"] == "1.5"


def test_the_file_may_lie_elsewhere_and_there_is_one_of_it(room):
    elsewhere = room.folder / "mine.toml"
    elsewhere.write_text(an_entry())
    room.grade("--overrides", str(elsewhere))
    assert room.row("bob")["total"] == "1.5"
    room.by_hand(an_entry(points="2"))
    words = room.grade("--overrides", str(elsewhere), status=2)
    assert "there are two files of marks by hand" in words and str(elsewhere) in words and overrides.NAME in words
    room.grade("--overrides", str(room.out / overrides.NAME))
    assert room.row("bob")["total"] == "2"
    (room.out / overrides.NAME).unlink()
    assert "mine_too.toml cannot be read" in room.grade("--overrides", str(room.folder / "mine_too.toml"), status=2)


def test_a_mark_for_what_is_not_asked_this_time_is_told_and_harmless(room):
    room.by_hand(an_entry(answer="codebook_loss", points="1"))
    assert "look at: marks by hand for what is not asked this time: codebook_loss" in room.grade()
    assert room.row("bob")["total"] == "0"


# ----------------------------------------------------------------------------------------------------------------------
# A gradebook that a person changed


def test_a_gradebook_that_a_person_changed_is_kept_and_made_to_last(room):
    room.grade()
    changed = room.change("bob", hostile.LESSON, "3")
    words = room.grade()
    assert (room.out / "gradebook.csv.by-hand-1").read_text() == changed and room.row("bob")[hostile.LESSON] == "0"
    assert "gradebook.csv was changed by hand" in words and "bob, 04_straight_through: 0 -> 3\n" in words
    assert "ann, " not in words
    room.by_hand(words[words.index("[[mark]]") :])  # as the instructor is told to
    room.grade()
    assert room.row("bob")[hostile.LESSON] == "3" and "by hand" in room.row("bob")["notes"]
    words = room.grade()
    assert "changed by hand" not in words and not (room.out / "gradebook.csv.by-hand-2").exists()


def test_a_second_change_is_kept_beside_the_first_and_names_the_entry_in_the_way(room):
    room.by_hand(an_entry())
    room.grade()
    room.change("bob", hostile.LESSON, "3")
    room.grade()
    room.change("bob", hostile.LESSON, "4")
    words = room.grade()
    assert {path.name for path in room.out.glob("*.by-hand-*")} == {f"gradebook.csv.by-hand-{n}" for n in (1, 2)}
    assert "1.5 -> 4" in words and "# in place of what is there about bob and 04_straight_through\n[[mark]]" in words


def test_what_cannot_be_a_mark_is_told_without_an_entry(room):
    room.grade()
    room.change("bob", hostile.LESSON, "5")  # of 4
    room.change("ann", "total", "4")
    room.change("cyd", "notes", "ill")
    words = room.grade()
    assert "bob, 04_straight_through: 0 -> 5" in words and "ann, total: 2 -> 4" in words and "-> ill" in words
    assert "a [[comment]] lasts" in words
    assert "[[mark]]" not in words and "ill" in (room.out / "gradebook.csv.by-hand-1").read_text()


AS_SAVED = {
    "by Windows": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "other zeros": lambda text: text.replace(",0.5,0.5,2.5,", ",.5,0.50,2.500,"),
    "semicolons": lambda text: "".join(
        ";".join(value.replace("0.5", "0,5") for value in row) + "\n" for row in csv.reader(io.StringIO(text))
    ),
    "other order": lambda text: "".join(text.splitlines(keepends=True)[index] for index in (0, 3, 2, 1)),
}


@pytest.mark.parametrize("as_saved", AS_SAVED.values(), ids=AS_SAVED)
def test_a_gradebook_that_was_only_saved_in_another_way_is_no_change(room, as_saved):
    half = room.settings("[points]\nstraight_through = 0.5\n")
    room.grade(*half)
    path = room.out / "gradebook.csv"
    before = path.read_bytes()
    path.write_bytes(as_saved(before.decode()).encode())
    assert path.read_bytes() != before
    assert "by hand" not in room.grade(*half) and path.read_bytes() == before


def test_new_verdicts_are_no_change_by_hand(room):
    room.grade()
    hand_in(room.folder / "in/bob", hostile.RIGHT)
    assert "by hand" not in room.grade() and room.row("bob")["total"] == "2"


def test_a_grader_killed_between_the_gradebook_and_its_record_says_the_same_again(room):
    room.grade()
    record = (room.out / changes.NAME).read_bytes()
    hand_in(room.folder / "in/bob", hostile.RIGHT)
    room.grade()
    changed = (room.out / changes.CHANGED).read_bytes()
    (room.out / changes.NAME).write_bytes(record)
    assert "by hand" not in room.grade() and (room.out / changes.CHANGED).read_bytes() == changed


@pytest.mark.parametrize("text", ["", "nonsense", "{}\n", '{"gradebook": "x"}\n{"student": 3}\n', "[]\n"])
def test_without_a_record_a_gradebook_that_differs_is_kept_too(room, text):
    """Of an older version of the course, for instance."""
    room.grade()
    (room.out / changes.NAME).write_text(text)
    assert "by hand" not in room.grade()
    changed = room.change("bob", hostile.LESSON, "3")
    (room.out / changes.NAME).write_text(text)
    words = room.grade()
    assert "bob, 04_straight_through: 0 -> 3" in words and "it is not known who wrote it" in words
    assert (room.out / "gradebook.csv.by-hand-1").read_text() == changed


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\0\n\0;", b'"' + b"x" * 200_000])
def test_a_gradebook_that_is_no_table_is_kept(room, data):
    room.grade()
    (room.out / "gradebook.csv").write_bytes(data)
    assert "was changed by hand" in room.grade()
    assert (room.out / "gradebook.csv.by-hand-1").read_bytes() == data and room.row("ann")["total"] == "2"


# ----------------------------------------------------------------------------------------------------------------------
# Once more, after a check was mended


@pytest.fixture
def examined(room):
    """With an exercise of one's own, whose check takes a sum for a mean; everybody handed in the mean over dim 0."""
    faulty = PRIVATE.replace("codebook.mean(dim=0)", "codebook.mean(dim=1)").replace("dim=0 -> dim=1", "dim=1 -> dim=0")
    (room.folder / "e90.py").write_text(faulty)
    for student in ("ann", "bob"):
        source = "def mean_code(codebook):\n    return codebook.mean(0)\n"
        hand_in(room.folder / "in" / student, source, "90_mine", "mean_code")
    room.options = room.settings('private = ["e90.py"]\n')
    room.mend = lambda: (room.folder / "e90.py").write_text(PRIVATE)
    return room


def lines_of(room) -> list[dict]:
    return list(map(json.loads, (room.out / journal.NAME).read_text().splitlines()))


def test_after_a_check_was_mended_that_answer_alone_is_asked_again(examined):
    examined.grade(*examined.options)
    before = lines_of(examined)
    assert {row["90_mine"] for row in examined.table()} == {"0"} and not (examined.out / changes.CHANGED).exists()
    examined.grade(*examined.options)
    assert examined.asked == 0
    examined.mend()
    words = examined.grade(*examined.options)
    assert examined.asked == 2 and "the check of mean_code has changed: asked again" in words
    after = lines_of(examined)
    assert after[: len(before)] == before, "what was known stays"
    asked = [line for line in after[len(before) :] if line["notebook"]]
    assert {line["check"] for line in asked} == {"mean_code"} and {line["verdict"] for line in asked} == {"pass"}
    seeds = {line["student"]: line["seed"] for line in before[1:] if line["check"] == "mean_code"}
    assert all(line["seed"] == seeds[line["student"]] for line in asked)
    assert examined.table(changes.CHANGED) == [
        {"student": student, "answer": "mean_code", "before": "0", "after": "3", "verdict before": "wrong",
         "verdict after": "pass", "why": "the check changed"} for student in ("ann", "bob")
    ]  # fmt: skip
    assert "marks-changed.csv: 2 marks are others than the last time" in words
    examined.grade(*examined.options)
    assert not (examined.out / changes.CHANGED).exists() and examined.asked == 0


def test_whoever_takes_a_mended_check_back_asks_nobody(examined):
    """The old verdicts are still there."""
    examined.grade(*examined.options)
    faulty = (examined.folder / "e90.py").read_text()
    examined.mend()
    examined.grade(*examined.options)
    (examined.folder / "e90.py").write_text(faulty)
    examined.grade(*examined.options)
    assert examined.asked == 0 and examined.table(changes.CHANGED)[0]["after"] == "0"


def test_why_a_mark_changed(examined):
    (examined.folder / "in/dan").mkdir()
    examined.grade(*examined.options)
    hand_in(examined.folder / "in/dan", hostile.RIGHT)
    examined.by_hand(an_entry("bob", "mean_code", "2"))
    examined.mend()
    more = examined.settings('private = ["e90.py"]\n[points]\nstraight_through = 6\n')
    examined.grade(*more)
    why = {(line["student"], line["answer"]): (line["before"], line["after"], line["why"]) for line in
           examined.table(changes.CHANGED)}  # fmt: skip
    assert why == {
        ("ann", "straight_through"): ("2", "6", "settings: points"),
        ("ann", "mean_code"): ("0", "3", "the check changed"),
        ("bob", "mean_code"): ("0", "2", "by hand"),
        ("dan", "straight_through"): ("0", "6", "the file changed, settings: points"),
    }
    examined.by_hand()
    examined.grade(*more, *["--exercise", "90"])
    assert [line["why"] for line in examined.table(changes.CHANGED)] == ["no longer by hand"]


def test_again_asks_whom_it_names_and_nobody_else(room):
    room.grade()
    before = lines_of(room)
    room.grade("--again", "bob")
    new = {line["student"] for line in lines_of(room)[len(before) :]}
    assert room.asked == 1 and new == {"bob", "cyd"}  # whose file cannot be read, which is looked at every time
    room.grade("--again", "straight_through")
    assert room.asked == 2
    room.grade("--again", hostile.LESSON, "--again", "ann")
    assert room.asked == 2
    words = room.grade("--again", "eve", status=2)
    assert "--again eve: wanted a student's name, or one of 04_straight_through, straight_through" in words


def test_a_verdict_that_comes_out_otherwise_is_told(room, monkeypatch):
    weigh = Examiner.weigh
    monkeypatch.setattr(Examiner, "weigh", lambda self, name, *more: (
        a_finding("", "timeout", allowed=10.0), 1) if name == hostile.NAME else weigh(self, name, *more))  # fmt: skip
    room.grade()
    monkeypatch.undo()
    room.grade("--again", "ann")
    (line,) = room.table(changes.CHANGED)
    assert (line["student"], line["verdict before"], line["verdict after"], line["why"]) == (
        "ann", "timeout", "pass", "asked again",
    )  # fmt: skip


def test_each_answer_has_a_fingerprint_of_its_own(tmp_path, monkeypatch):
    """A file that others take something from counts for them too; what judges every answer counts for all."""
    import shutil

    course = tmp_path / "course_lib"
    shutil.copytree(settings.COURSE, course, ignore=shutil.ignore_patterns("__pycache__", "data", "lesson", "weights"))
    monkeypatch.setattr(settings, "COURSE", course)
    chosen = settings.Settings()

    def changed_by(name: str) -> set[str]:
        before, path = chosen.fingerprints(), course / name
        text = path.read_bytes()
        path.write_bytes(text + b"\n# mended\n")
        after = chosen.fingerprints()
        path.write_bytes(text)
        assert chosen.fingerprints() == before
        return {name for name in before if before[name] != after[name]}

    assert changed_by("check/exercises/look_up.py") == {"look_up", "my_product"}
    assert changed_by("check/exercises/codebook_loss.py") == {"codebook_loss", "commitment_loss", "gradient_matrix"}
    for name in ("check/judge.py", "quantize.py", "grade/inside/program.py"):
        assert changed_by(name) == EXERCISES.keys()
    assert changed_by("grade/pages.py") == set()


def test_a_grader_killed_while_it_asks_again_goes_on_with_what_is_left(tmp_path):
    first = journal.Journal(tmp_path, {hostile.NAME: "old"})
    for student in ("ann", "bob"):
        first.write(a_finding(student, "wrong", checks="old"))
    first.close()
    second = journal.Journal(tmp_path, {hostile.NAME: "new"})
    assert second.seed == first.seed and second.outdated == {hostile.NAME} and second.taken_over == 0
    second.write(a_finding("ann", checks="new"))
    second.close()  # killed here, in the middle of the next line
    with open(tmp_path / journal.NAME, "a", encoding="utf-8") as file:
        file.write('{"student": "bob", "ver')
    third = journal.Journal(tmp_path, {hostile.NAME: "new"})
    assert third.find("ann", hostile.NAME, "digest", 10) == a_finding("ann", checks="new")
    assert third.find("bob", hostile.NAME, "digest", 10) is None and third.outdated == {hostile.NAME}
    third.write(a_finding("bob", checks="new"))
    third.close()
    lines = [json.loads(line) for line in (tmp_path / journal.NAME).read_text().splitlines()]
    assert [(line["student"], line["verdict"]) for line in lines[1:]] == [
        ("ann", "wrong"), ("bob", "wrong"), ("ann", "pass"), ("bob", "pass"),
    ]  # fmt: skip


def test_one_folder_for_another_exercise_says_what_is_no_longer_there(room):
    hand_in(room.folder / "in/ann", "def codebook_loss(x, q):\n    return 0\n", "05_three_losses", "codebook_loss")
    room.grade()
    words = room.grade("--exercise", "04")
    assert "the gradebook is about 04_straight_through alone; the last one was about 05_three_losses too" in words
    assert "alone" not in room.grade("--exercise", "04")
    words += room.grade(*room.settings("[points]\ncodebook_loss = 9\nstraight_through = 3\n"))
    assert words.count("alone") == 1 and "changed by hand" not in words
    hand_in(room.folder / "in/ann", "def codebook_loss(x, q):\n    return (x.detach() - q).pow(2).mean()\n",
            "05_three_losses", "codebook_loss")  # fmt: skip
    room.grade("--exercise", "04")
    room.grade()
    (line,) = room.table(changes.CHANGED)
    assert line["answer"] == "codebook_loss", "what was not asked in between is not forgotten"


# ----------------------------------------------------------------------------------------------------------------------
# Who is in the class


def test_whoever_canvas_knows_and_handed_in_nothing_has_a_row(room):
    export = room.folder / "export.csv"
    export.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"
        '"A, Ann",17,u1,ann,1\n"B, Bob",18,u2,bob,1\n"C, Cyd",19,cyd,,1\n"D, Dan",20,u4,dan,1\n"E, Eve",21,,,1\n'
    )
    hand_in(room.folder / "in/eve_21", hostile.RIGHT)
    words = room.grade("--canvas", str(export))
    row = room.row("dan")
    assert (row["total"], row["out of"]) == ("0", "4") and "nothing was handed in" in row["notes"]
    assert "look at: in the class, and nothing was handed in, which is 0 points: dan\n" in words
    given = {line["Student"]: line[hostile.LESSON] for line in room.table("canvas.csv")}
    assert given == {
        "    Points Possible": "4",
        "A, Ann": "2",
        "B, Bob": "0",
        "C, Cyd": "",
        "D, Dan": "0",
        "E, Eve": "2",
    }


@pytest.mark.parametrize("text", ["ann\ndan\n", "\ufeffstudent,section\nann,1\ndan,2\ndan,2\n\n"])
def test_a_list_names_the_class_too_and_whom_marks_by_hand_may_be_about(room, text):
    (room.folder / "class.csv").write_text(text, encoding="utf-8")
    room.by_hand(an_entry("dan", hostile.LESSON, "2"))
    words = room.grade(*room.settings('roster = "class.csv"\n'))
    assert [row["student"] for row in room.table()] == ["ann", "bob", "cyd", "dan"] and room.row("dan")["total"] == "2"
    assert "nothing was handed in, which is 0 points: dan\n" in words


@pytest.mark.parametrize("entry, said", [
    ('roster = "none.csv"', "none.csv cannot be read"), ("roster = 3", "roster is 3; wanted str"),
    ('roster = "empty.csv"', "names nobody; wanted a student's name on each line"), ('roster = ""', "cannot be read"),
])  # fmt: skip
def test_a_list_that_names_nobody_is_refused(room, entry, said):
    (room.folder / "empty.csv").write_text("student\n\n")
    assert said in room.grade(*room.settings(entry), status=2)


# ----------------------------------------------------------------------------------------------------------------------
# The whole way, by the real command


@pytest.mark.slow
def test_the_whole_way_by_the_real_command(examined):
    from test_grade_class import skip_or_fail, why_not

    kind = "bubblewrap" if not why_not("bubblewrap") else "process"
    if reason := why_not(kind):
        skip_or_fail(reason)
    arguments = [examined.folder / "in", "--out", examined.out, "--sandbox", kind, "--jobs", 1, *examined.options]

    def run(*more) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "course_lib.grade", *map(str, [*arguments, *more])], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run()
    assert examined.row("bob")["total"] == "0"
    examined.change("bob", hostile.LESSON, "1")
    words = run()
    examined.by_hand(words[words.index("[[mark]]") :])
    assert "10 answers, 9 of them known before" not in run() and examined.row("bob")["total"] == "1"
    examined.mend()
    words = run()
    assert "the check of mean_code has changed: asked again" in words and examined.row("bob")["total"] == "4"
    changed = [(line["student"], line["answer"], line["why"]) for line in examined.table(changes.CHANGED)]
    assert changed == [(student, "mean_code", "the check changed") for student in ("ann", "bob")]
