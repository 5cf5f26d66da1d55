"""What is handed in: under which names and in which forms honest work is taken, and what becomes of it.

Nobody gets a zero for what a browser, a system or Jupyter did to a file. What is not clear is told, and not graded.
"""

import dataclasses
import json
import os
import stat
import sys
import time
from pathlib import Path

import hostile
import nbformat
import pytest
from test_grade import Here, a_finding, grade, notebook_of, reopened, row_of

from course_lib.check.author import program_of
from course_lib.check.exercises import EXERCISES
from course_lib.grade import classroom, journal, sandbox, submissions, tables
from course_lib.grade.examiner import Examiner
from course_lib.grade.inside import limits, program
from course_lib.grade.sandbox import Reply

PROJECT = Path(__file__).resolve().parent.parent
LESSONS = ["04_straight_through", "05_three_losses", "90_mine", "90_mine_2"]
RIGHT = hostile.notebook(hostile.cell(hostile.RIGHT, hostile.TAG))
WRONG = hostile.notebook(hostile.cell(hostile.WRONG, hostile.TAG))
AS_HANDED_OUT = (PROJECT / f"exercises/{hostile.LESSON}.ipynb").read_text(encoding="utf-8")

# ----------------------------------------------------------------------------------------------------------------------
# Names

NAMES = {  # of a file: the exercise that it is
    "04_straight_through.ipynb": hostile.LESSON,
    "04_straight_through.IPYNB": hostile.LESSON,
    "04_straight_through.ipynb.txt": hostile.LESSON,
    "04_straight_through.json": hostile.LESSON,
    "04_straight_through.ipynb.json": hostile.LESSON,
    "Copy of 04_straight_through.ipynb": hostile.LESSON,
    "Copy of Copy of 04_straight_through (1).ipynb": hostile.LESSON,
    "04_straight_through - Copy.ipynb": hostile.LESSON,
    "04_straight_through - Copy (2).ipynb": hostile.LESSON,
    "04_straight_through copy.ipynb": hostile.LESSON,
    "04_straight_through copy 2.ipynb": hostile.LESSON,
    "04_straight_through-Copy1.ipynb": hostile.LESSON,
    "04_straight_through-Copy1-Copy1.ipynb": hostile.LESSON,
    "04_straight_through(1).ipynb": hostile.LESSON,
    "04_straight_through (1).ipynb": hostile.LESSON,
    "04_straight_through-3.ipynb": hostile.LESSON,
    "04_Straight_Through.ipynb": hostile.LESSON,
    " 04_straight_through .ipynb": hostile.LESSON,
    "04 straight through.ipynb": hostile.LESSON,
    "04-straight-through.ipynb": hostile.LESSON,
    "04_straight_through_ann.ipynb": hostile.LESSON,
    "04_straight_through Ann Doe.ipynb": hostile.LESSON,
    "90_mine.ipynb": "90_mine",
    "90_mine_2.ipynb": "90_mine_2",
    "90_mine (2).ipynb": "90_mine",
    "90_mine_2_ann.ipynb": "90_mine_2",
    "04_straight_throughout.ipynb": None,
    "04_straight_through.pdf": None,
    "04.ipynb": None,
    "my_solution.ipynb": None,
    "notes.txt": None,
    "ipynb": None,
}


@pytest.mark.parametrize("name, lesson", NAMES.items(), ids=NAMES)
def test_a_name_is_an_exercise_or_none(name, lesson):
    assert submissions.exercise_of(name, LESSONS) == lesson


def handed_in(tmp_path, files: dict[str, str]) -> tuple[submissions.Student, submissions.Notebook]:
    """Of one student, and what is read of it."""
    for name, text in files.items():
        path = tmp_path / "in/ann" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (student,) = submissions.students_in(tmp_path / "in", tmp_path / "out")
    submissions.name_unknown_files([student], LESSONS)
    return student, submissions.read(student, hostile.LESSON)


@pytest.mark.parametrize("name", [name for name, lesson in NAMES.items() if lesson == hostile.LESSON])
def test_whatever_became_of_its_name_work_is_read_and_the_name_is_told(tmp_path, name):
    student, notebook = handed_in(tmp_path, {name: RIGHT})
    assert [cell["source"] for cell in notebook.cells] == [hostile.RIGHT] and not student.strange
    told = [] if name == f"{hostile.LESSON}.ipynb" else [f"{name} was taken as {hostile.LESSON}.ipynb"]
    assert student.notes == told


ORIGINAL = f"{hostile.LESSON}.ipynb"
COPY, SECOND = f"{hostile.LESSON} (1).ipynb", f"Copy of {hostile.LESSON}.ipynb"
SEVERAL = {  # files of one student: what is read, and what is told
    "the original wins": (
        {ORIGINAL: RIGHT, COPY: WRONG},
        hostile.RIGHT,
        f"{ORIGINAL} was taken as {ORIGINAL}, and not",
    ),
    "unless it is untouched": ({ORIGINAL: AS_HANDED_OUT, COPY: RIGHT}, hostile.RIGHT, f"{COPY} was taken as"),
    "even where the copy is untouched too": ({ORIGINAL: AS_HANDED_OUT, COPY: AS_HANDED_OUT}, "import ", ORIGINAL),
    "a broken one was worked on": ({ORIGINAL: RIGHT, COPY: "{"}, hostile.RIGHT, f"and not {COPY}"),
    "two copies": ({COPY: RIGHT, SECOND: WRONG}, None, f"which of {COPY}, {SECOND} is {ORIGINAL}?"),
    "two copies, one worked on": ({COPY: RIGHT, SECOND: AS_HANDED_OUT}, hostile.RIGHT, f"and not {SECOND}"),
    "an untouched one and two copies": ({ORIGINAL: AS_HANDED_OUT, COPY: RIGHT, SECOND: WRONG}, None, "which of"),
    "in a folder": ({f"deeper/{ORIGINAL}": RIGHT}, hostile.RIGHT, f"deeper/{ORIGINAL} was taken as"),
    "a copy in a folder": ({f"deeper/{COPY}": RIGHT}, hostile.RIGHT, f"deeper/{COPY} was taken as"),
    "in two folders": ({f"a/{ORIGINAL}": RIGHT, f"b/{ORIGINAL}": WRONG}, None, f"which of a/{ORIGINAL}, b/{ORIGINAL}"),
    "above and in a folder": ({ORIGINAL: RIGHT, f"old/{ORIGINAL}": WRONG}, hostile.RIGHT, ""),
    "in a folder of a folder": ({f"a/b/{ORIGINAL}": RIGHT}, None, "is it one of a/...?"),
    "a name that nobody knows": ({"my_solution.IPYNB": RIGHT}, None, "is it one of my_solution.IPYNB?"),
}


@pytest.mark.parametrize("files, source, told", SEVERAL.values(), ids=SEVERAL)
def test_of_several_files_one_is_clear_or_none_is_graded(tmp_path, files, source, told):
    student, notebook = handed_in(tmp_path, files)
    assert notebook.there, "no zero in silence"
    if source is None:
        assert not notebook.cells and told in notebook.problem
        return
    assert notebook.cells[0]["source"].startswith(source) and not notebook.problem
    assert len(student.notes) == bool(told) and told in "".join(student.notes)


@pytest.mark.parametrize("end", ["ipynb", "IPYNB", "ipynb.txt", "json"])
def test_what_canvas_puts_before_a_name_is_taken_off_whatever_the_end(tmp_path, end):
    (tmp_path / f"doeann_12_345_04_straight_through-1.{end}").write_text(RIGHT)
    (student,) = submissions.students_in(tmp_path, tmp_path / "out")
    submissions.name_unknown_files([student], LESSONS)
    assert student.name == "doeann_12" and submissions.read(student, hostile.LESSON).cells


def test_the_command_takes_what_has_another_name(tmp_path):
    for student, name in {"ann": "Copy of 04_straight_through", "bob": "box/04 straight through", "eve": "x"}.items():
        path = tmp_path / "in" / student / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(RIGHT)
    assert grade(tmp_path / "in") == 0
    header, ann, bob, eve = (tmp_path / "out/gradebook.csv").read_text().splitlines()
    assert header.startswith("student,04_straight_through,") and ann.startswith("ann,2,") and bob.startswith("bob,2,")
    assert eve.startswith("eve,,0,0") and "was taken as 04_straight_through.ipynb" in ann


# ----------------------------------------------------------------------------------------------------------------------
# Forms

PRINTED = {"output_type": "stream", "name": "stdout", "text": "tensor([[[" * 300_000}
ROWS = {"output_type": "display_data", "metadata": {}, "data": {"x": [[]] * 600_000}}


def with_output(output: dict) -> str:
    return hostile.notebook(hostile.cell(hostile.RIGHT, hostile.TAG) | {"outputs": [output]})


def of_format_3() -> str:
    whole = nbformat.reads(RIGHT, as_version=4)
    return nbformat.v3.writes_json(nbformat.convert(whole, 3))


FORMS = {  # text of a file: verdict
    "as it should be": (RIGHT, "pass"),
    "with a byte order mark": (b"\xef\xbb\xbf" + RIGHT.encode(), "pass"),
    "UTF-16": (RIGHT.encode("utf-16"), "pass"),
    "Latin-1": (RIGHT.replace("def ", "# é\\ndef ").encode("latin-1"), "not_graded"),
    "lines that end as on Windows": (RIGHT.replace("\\n", "\\r\\n"), "pass"),
    "900,000 brackets in what it printed": (with_output(PRINTED), "pass"),
    "the same in UTF-16": (with_output(PRINTED).encode("utf-16"), "pass"),
    "600,000 lists in what it showed": (with_output(ROWS), "not_graded"),
    "format 3": (of_format_3(), "not_graded"),
    "400,000 characters of Chinese": (
        hostile.notebook(hostile.cell("# " + "語" * 400_000 + "\n" + hostile.RIGHT, hostile.TAG)),
        "pass",
    ),
    "900,000 characters out of the ordinary": (
        hostile.notebook(hostile.cell("# " + "\N{SNAKE}" * 900_000 + "\n" + hostile.RIGHT, hostile.TAG)),
        "pass",
    ),
    "an indented cell": (hostile.notebook(hostile.cell("    import torch\n" + hostile.RIGHT.replace(
        "def", "    def").replace("return", "    return"), hostile.TAG)), "pass"),
    "prompts": (
        hostile.notebook(
            hostile.cell(
                ">>> def straight_through(x, q):\n...     return x + (q - x).detach()\n", hostile.TAG
            )
        ),
        "pass",
    ),
    "prompts of IPython": (
        hostile.notebook(
            hostile.cell("In [3]: def straight_through(x, q):\n   ...:     return x + (q - x).detach()\n", hostile.TAG)
        ),
        "pass",
    ),
    # what fails in Jupyter too, or is not known to be the answer: docs/instructors.md says so
    "a blank that is none": (
        hostile.notebook(hostile.cell(hostile.RIGHT.replace(" x +", "\u00a0x +"), hostile.TAG)), "syntax"
    ),
    "the value of an await": (
        hostile.notebook(
            hostile.cell("async def sign(): return 1\n"),
            hostile.cell("SIGN = await sign()\n"),
            hostile.cell("def straight_through(x, q): return x + SIGN * (q - x).detach()\n", hostile.TAG),
        ),
        "raised",
    ),
    "a table that is the second argument": (
        hostile.notebook(
            hostile.cell("TABLE = {}\ndef put(sign, table): table['sign'] = sign\nput(1, TABLE)\n"),
            hostile.cell("def straight_through(x, q): return x + TABLE['sign'] * (q - x).detach()\n", hostile.TAG),
        ),
        "raised",
    ),
    "exec of a string": (hostile.notebook(hostile.cell("exec('SIGN = 1')"), hostile.cell(
        "def straight_through(x, q): return x + SIGN * (q - x).detach()\n", hostile.TAG)), "raised"),
}  # fmt: skip


@pytest.mark.parametrize("text, verdict", FORMS.values(), ids=FORMS)
def test_a_form_has_its_verdict(tmp_path, text, verdict):
    _, notebook = handed_in(tmp_path, {ORIGINAL: text})
    finding = Examiner(EXERCISES, seed=0).ask(notebook, hostile.NAME, Here())
    assert finding.verdict == verdict, finding.rows


def test_format_3_is_told_what_to_do(tmp_path):
    assert (
        "format 3, as before 2015; open it in Jupyter and save it again"
        in handed_in(tmp_path, {ORIGINAL: of_format_3()})[1].problem
    )


@pytest.mark.parametrize(
    "text", ["[" * 900_000, '"' + "[" * 900_000, '["a\\"[[", {}, [[' * 300_000, "[\\" + "[" * 900_000]
)
def test_brackets_are_counted_where_they_make_lists(text):
    """Against a reader that looks at one character after the other."""
    inside = escaped = False
    opened = 0
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        else:
            inside = character == '"'
            opened += character in "[{"
    # a string that never ends goes to the end: JSON stops where it begins, and makes no list of what is in it
    assert submissions._lists(text.encode()) == opened


def test_a_syntax_error_keeps_its_line():
    for above in ("", "\n\n", "  \n\n\n"):
        for source in (
            "x = 1\ny = = 2\n",
            "    x = 1\n    y = = 2\n",
            "%time 1\ny = = 2\n",
            ">>> x = 1\n>>> y = = 2\n",
        ):
            _, error = program._parsed(above + source, "<cell 1>")
            assert isinstance(error, SyntaxError) and error.lineno == above.count("\n") + 2, (above, source)


# ----------------------------------------------------------------------------------------------------------------------
# Several answers in one notebook

ANSWERS = {
    "right": hostile.RIGHT,
    "wrong": hostile.WRONG,
    "other": "def straight_through(x, q):\n    return q\n",
    "nothing": "def straight_through(x, q):\n    pass\n",
    "stub": hostile.STUB,
    "syntax": "def straight_through(x, q:\n    return x\n",
    "raises": hostile.does("raise ValueError"),
}
CELLS = {  # answers from the top: verdict, the cell that counts, and what is said of that
    "right": ("pass", 1, ""),
    "right wrong other": ("wrong", 3, "cell 3 counts, the last of 3 that define it"),
    "wrong right other": ("wrong", 3, "cell 3 counts, the last of 3 that define it"),
    "other wrong right": ("pass", 3, ""),
    "right nothing": ("type", 2, "cell 2 counts, the last of 2 that define it"),
    "right stub": ("pass", 1, "cell 1 counts, as cell 2, which defines it last, gives no answer"),
    "right raises stub": ("pass", 1, "cell 1 counts, as cell 3"),
    "right syntax": ("pass", 1, "cell 1 counts, as cell 2"),
    "syntax right": ("pass", 2, ""),
    "right wrong stub": ("wrong", 2, "cell 2 counts, as cell 3"),
    "stub": ("blank", 1, ""),
}


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("answers, verdict, number, said", [(key, *value) for key, value in CELLS.items()], ids=CELLS)
def test_the_last_answer_counts_and_a_spoilt_copy_costs_nothing(answers, verdict, number, said, tagged):
    """As in the student's own kernel, where each definition takes the place of the one before; tags change nothing."""
    cells = [(ANSWERS[word], [hostile.TAG] if tagged else []) for word in answers.split()]
    finding = Examiner(EXERCISES, seed=0).ask(notebook_of(*cells), hostile.NAME, Here())
    assert (finding.verdict, finding.cell) == (verdict, number)
    told = [text for heading, text in finding.rows if heading == "cell"]
    assert len(told) == bool(said) and said in "".join(told)


class Hangs(Here):
    """Whoever's source holds `hang` does not end, in the time that is asked for."""

    def __init__(self, needs: float = 1e9, words: bytes = b"hang"):
        super().__init__()
        self.needs, self.words, self.seconds = needs, words, []

    def ask(self, question: bytes, seconds: float, memory: int) -> Reply:
        if self.words in question and seconds < self.needs:
            self.seconds.append(seconds)
            return Reply("timeout")
        return super().ask(question, seconds, memory)

    def close(self):
        pass


def test_where_the_last_place_never_ends_the_one_above_is_asked():
    class HangsLast(Here):
        def ask(self, *question):
            reply = super().ask(*question)
            return Reply("timeout") if self.asked == 1 else reply

    notebook = notebook_of((hostile.RIGHT, [hostile.TAG]), (hostile.WRONG, [hostile.TAG]))
    finding = Examiner(EXERCISES, seed=0).ask(notebook, hostile.NAME, HangsLast())
    assert finding.verdict == "pass" and finding.cell == 1


# ----------------------------------------------------------------------------------------------------------------------
# Time and memory


def test_want_of_memory_is_asked_again_with_more_of_it(tmp_path):
    book = reopened(tmp_path)
    book.write(a_finding("ann", "memory", allowed_memory=2**29))
    assert book.find("ann", hostile.NAME, "digest", 5, 2**29) is not None
    assert book.find("ann", hostile.NAME, "digest", 5, 2**30) is None
    book.close()
    examiner = Examiner(EXERCISES, seed=0, memory=2**28)
    assert examiner.ask(notebook_of((hostile.RIGHT, [hostile.TAG])), hostile.NAME, Here()).allowed_memory == 2**28


def room_of(tmp_path, sources: dict[str, list[str]], seconds: float | None = None) -> classroom.Classroom:
    """A class whose students have these answers, each for all names that are asked."""
    names = list(EXERCISES)[: max(map(len, sources.values()))]
    students = []
    for name, parts in sources.items():
        (tmp_path / "in" / name).mkdir(parents=True)
        cells = [hostile.cell(source, f"answer:{answer}") for source, answer in zip(parts, names)]
        (tmp_path / f"in/{name}/{hostile.LESSON}.ipynb").write_text(hostile.notebook(*cells))
        students.append(submissions.Student(name, files={ORIGINAL: tmp_path / f"in/{name}/{hostile.LESSON}.ipynb"}))
    work = [(student, hostile.LESSON, names) for student in students]
    examiner = Examiner(EXERCISES, 0, seconds)
    return classroom.Classroom(work, examiner, reopened(tmp_path / "out"), stamps=False)


def test_who_has_many_answers_without_end_gets_less_time_for_the_rest(tmp_path):
    room, hangs = room_of(tmp_path, {"eve": ["hang"] * 6}, seconds=10.0), Hangs()
    assert room.grade([hangs], [room.examiner.weigh])
    places = program.MOST_CANDIDATES
    assert hangs.seconds == [10.0] * 3 * places + [2.0] * 3 * places + [10.0] * 3 * places, (
        "the last: asked again alone"
    )
    _, findings = room.findings["eve", hostile.LESSON]
    assert [finding.allowed for finding in findings] == [10.0] * 3 + [2.0] * 3
    assert "no result after 2 seconds" in findings[-1].rows[0][1]
    assert room.verdicts == 6
    room.journal.close()


def test_what_did_not_end_is_asked_again_alone_at_the_end_and_no_third_time(tmp_path):
    """Here the first question of each answer finds the machine busy."""

    class Busy(Here):
        modules = ()

        def ask(self, question, seconds, memory):
            loaded.append(self.modules)
            reply = super().ask(question, seconds, memory)
            return Reply("timeout") if self.asked <= program.MOST_CANDIDATES else reply

    loaded: list[tuple] = []
    first = next(iter(EXERCISES))
    room = room_of(tmp_path, {"ann": [f"import torchvision\ndef {first}(*_): raise NotImplementedError"]})
    assert room.grade([Busy()], [room.examiner.weigh])
    (finding,) = room.findings["ann", hostile.LESSON][1]
    assert finding.verdict == "blank" and loaded[-1] == ("torchvision",) and loaded[0] == ()
    assert room.journal.find("ann", first, finding.notebook, 0).verdict == "blank" and room.verdicts == 1
    room.journal.close()


def test_what_was_known_not_to_end_is_not_asked_again(tmp_path):
    room, hangs = room_of(tmp_path, {"eve": ["hang"]}), Hangs()
    room.grade([hangs], [room.examiner.weigh])
    asked = len(hangs.seconds)
    again = classroom.Classroom(room.work, room.examiner, room.journal, stamps=False)
    assert again.grade([hangs], [room.examiner.weigh]) and len(hangs.seconds) == asked and again.known == 1
    room.journal.close()


# ----------------------------------------------------------------------------------------------------------------------
# The same file again


def test_a_file_that_has_not_changed_is_not_asked_again_and_another_has_other_inputs(tmp_path):
    student, notebook = handed_in(tmp_path, {ORIGINAL: RIGHT})
    assert grade(tmp_path / "in") == 0
    book = tmp_path / "out" / journal.NAME
    before = book.read_text().splitlines()
    assert grade(tmp_path / "in") == 0 and book.read_text().splitlines() == before
    (tmp_path / "in/ann" / ORIGINAL).write_text(WRONG)
    assert grade(tmp_path / "in") == 0
    lines = [json.loads(line) for line in book.read_text().splitlines()[1:]]
    seeds = {line["notebook"]: line["seed"] for line in lines if line["check"] == hostile.NAME}
    assert len(seeds) == 2 == len(set(seeds.values()))


@pytest.mark.posix
@pytest.mark.parametrize("mask, mode", [(0o077, 0o600), (0o027, 0o640), (0o022, 0o644)])
def test_what_is_written_has_the_rights_that_the_account_gives(tmp_path, mask, mode):
    handed_in(tmp_path, {ORIGINAL: RIGHT})
    before = os.umask(mask)
    try:
        assert grade(tmp_path / "in", "--canvas", "--nbgrader") == 0
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {mode} and len(modes) >= 6, modes


# ----------------------------------------------------------------------------------------------------------------------
# A bare process, and what it lacks


def test_a_bare_process_says_what_it_lacks_before_it_begins(tmp_path, capsys):
    class Bare(Here):
        kind = "process"
        missing = sandbox.Process.missing

    handed_in(tmp_path, {ORIGINAL: RIGHT})
    for layers, lacks in {
        "landlock limits seccomp": [],
        "limits": ["landlock", "seccomp"],
        "": list(sandbox.WITHOUT),
    }.items():
        one = Bare()
        one.layers = layers
        assert grade(tmp_path / "in", sandbox_there=one) == 0
        said = capsys.readouterr().err
        assert [layer for layer in sandbox.WITHOUT if f"there is no {layer} here" in said] == lacks
        assert ("take care" in said) == bool(lacks)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has Landlock")
def test_a_kernel_without_landlock_is_seen(monkeypatch):
    landlock = pytest.importorskip("landlockpy")
    monkeypatch.setattr(landlock, "supported", lambda: False)
    assert "landlock" not in limits.Walls(["/usr/lib"]).layers.split()


# ----------------------------------------------------------------------------------------------------------------------
# Tables

COLUMNS = {  # of an export: what the column is called that goes back
    "Straight through (123)": "Straight through (123)",
    "straight-through estimator (7)": "straight-through estimator (7)",
    "04_straight_through (9)": "04_straight_through (9)",
    "Straight throughout (1)": hostile.LESSON,
    "Straight through (1),Straight through again (2)": hostile.LESSON,
    "Quiz (3)": hostile.LESSON,
}


@pytest.mark.parametrize("columns, wanted", COLUMNS.items(), ids=COLUMNS)
def test_canvas_gets_the_name_of_its_own_column(tmp_path, columns, wanted):
    export = tmp_path / "export.csv"
    export.write_text(f"Student,ID,SIS User ID,SIS Login ID,Section,{columns},Current Score\nAnn,1,u,ann,A,,\n")
    assert tables.Roster(export).table([row_of(a_finding())])[0][5] == wanted


@pytest.mark.parametrize("text", ['x;"=1+1;', 'x; "=1', '"=1', 'x;" "=1'])
def test_no_part_of_a_cell_between_semicolons_is_a_formula(text):
    parts = tables.cell(text).split(";")
    assert not [part for part in parts if part.lstrip(' "')[:1] == "="] and "'" in tables.cell(text)


def test_what_was_written_is_not_blank_where_another_answer_is_missing():
    """`gradient_matrix` uses the losses; who has not written them yet has begun all the same."""
    right = program_of(EXERCISES["gradient_matrix"].reference)
    stub = "def {0}(latents, quantized):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    losses = [(stub.format(name), [f"answer:{name}"]) for name in ("codebook_loss", "commitment_loss")]
    imports = "import torch\nimport torch.nn.functional as F"
    notebook = notebook_of(imports, *losses, (right, ["answer:gradient_matrix"]), lesson="05_three_losses")
    finding = Examiner(EXERCISES, 1).ask(notebook, "gradient_matrix", Here())
    assert finding.verdict == "raised" and "another answer of the notebook" in finding.rows[0][1]
    assert Examiner(EXERCISES, 1).ask(notebook, "codebook_loss", Here()).verdict == "blank"


# ----------------------------------------------------------------------------------------------------------------------
# What one student's files do to others, and to the grader


@pytest.mark.parametrize("end", ["_x", "(1", "_copy_"])
def test_no_name_takes_the_grader_longer_than_another(end):
    """A file's name that could be read in 2 to the 60th ways."""
    start = time.monotonic()
    submissions.exercise_of(f"{hostile.LESSON}{'_copy_1' * 60}{end}.ipynb", LESSONS)
    assert time.monotonic() - start < 2


def test_no_string_takes_the_grader_longer_than_another():
    """One without an end, full of quotation marks."""
    start = time.monotonic()
    assert submissions._lists(b'{"x": [1, [2]], "y": "' + b'\\"' * 2_000_000) == 3
    assert submissions._lists(b'{"x": "' + b'\\"' * 2_000_000 + b"\\") == 1
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "below", ["perplexity = perplexity(torch.tensor([0, 1]), 4)", "for step in range(3): perplexity = 1.0"]
)
def test_a_value_that_takes_the_answers_name_takes_no_points(below):
    cells = "import torch", (program_of(EXERCISES["perplexity"].reference), ["answer:perplexity"]), below
    finding = Examiner(EXERCISES, 1).ask(notebook_of(*cells, lesson="06_ema_updates"), "perplexity", Here())
    assert finding.verdict == "pass" and finding.cell == 2


@pytest.mark.parametrize(
    "name", [hostile.LESSON, f"{hostile.LESSON}.py", f"{hostile.LESSON}.txt", f"{hostile.LESSON} ann.zip"]
)
def test_what_may_be_the_work_is_told_and_no_zero(tmp_path, name):
    (tmp_path / "in/ann").mkdir(parents=True)
    (tmp_path / "in/ann" / name).write_text("x")
    (ann,) = submissions.students_in(tmp_path / "in", tmp_path / "out")
    submissions.name_unknown_files([ann], LESSONS)
    notebook = submissions.read(ann, hostile.LESSON)
    assert notebook.there and name in notebook.problem and name in ann.notes[0]


def test_a_note_names_some_files_and_counts_the_rest(tmp_path):
    (tmp_path / "in/ann").mkdir(parents=True)
    for number in range(600):
        (tmp_path / f"in/ann/{number}{'x' * 200}.ipynb").write_text("x")
    (ann,) = submissions.students_in(tmp_path / "in", tmp_path / "out")
    submissions.name_unknown_files([ann], LESSONS)
    assert len(ann.notes[0]) < 6000 and "and 580 more" in ann.notes[0]


def test_what_one_student_alone_handed_in_is_told(tmp_path, capsys):
    for number in range(12):
        (tmp_path / f"in/s{number}").mkdir(parents=True)
        (tmp_path / f"in/s{number}/{hostile.LESSON}.ipynb").write_text(RIGHT)
    (tmp_path / "in/s0/05_three_losses.json").write_text("nothing")
    assert grade(tmp_path / "in") == 0
    assert "05_three_losses was handed in by s0 alone, and costs 11 others their points" in capsys.readouterr().err


def test_a_budget_is_used_up_by_errors_that_take_long_too():
    room = classroom.Classroom([], Examiner(EXERCISES, 1), None, False)
    for verdict in ("raised", "wrong", "raised"):
        room._count(dataclasses.replace(a_finding(), student="eve", verdict=verdict, seconds=6.0, allowed=10.0))
    room._count(dataclasses.replace(a_finding(), student="ann", verdict="pass", seconds=9.0, allowed=10.0))
    assert room._is_hurried("eve") and not room._is_hurried("ann")
