"""tools/exercises.py and tools/new_exercise.py, on small notebooks and answers made here."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.check.author import Call, exercise
from course_lib.check.handout import BEGIN, END
from course_lib.check.judge import draw_calls, judge
from course_lib.check.observe import observe

PROJECT = Path(__file__).parent.parent


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"tool_{name}", PROJECT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool, beginning = load("exercises"), load("new_exercise")


def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


class Double:
    def one(self):
        ### BEGIN SOLUTION
        return 1
        ### END SOLUTION

    ten = 10

    def two(self):
        ### BEGIN SOLUTION
        x = 1

        return x + x
        ### END SOLUTION


def mended(x):
    y = 2  # the factor
    ### BEGIN SOLUTION
    return y * x
    ### END SOLUTION


def nothing_cut(x):
    return x


def half_marked(x):
    ### BEGIN SOLUTION
    return x


def made(answer, lesson="01_first", wrong="return 5\n    this is always 5", **more):
    return exercise(
        answer, lesson=lesson, draw=lambda generator: [Call((1,), ("x",))], wrong=wrong, hints="abc", **more
    )


DOUBLE = made(double)
CHECK = 'from course_lib.check import check\n\ncheck("{0}", {0})'


def answer(name: str, **metadata):
    return new_code_cell("# anything", metadata={"tags": [f"answer:{name}"], **metadata})


def check(name: str):
    return new_code_cell("# anything", metadata={"tags": [f"check:{name}"]})


def workspace(*lines: str, **metadata):
    return new_code_cell("\n".join(lines), metadata={"tags": ["workspace"], **metadata})


@pytest.fixture
def put(tmp_path):
    """Writes a solution of these cells, and gives back where its exercise belongs."""

    def write(*cells, name="01_first", **metadata) -> Path:
        for number, cell in enumerate(cells):
            cell.id = cell.id if cell.id.startswith("same") else f"c{number}"
        (tmp_path / "solutions").mkdir(exist_ok=True)
        notebook = new_notebook(metadata=metadata) | {"cells": cells}  # nbformat itself would mend equal ids
        (tmp_path / "solutions" / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        return tmp_path / "exercises" / f"{name}.ipynb"

    return write


@pytest.fixture
def make(tmp_path, capsys):
    """Runs the tool: -> its exit status and what it says."""

    def run(*arguments, exercises=(DOUBLE,)) -> tuple[int, str]:
        status = tool.main(list(arguments), tmp_path, {one.name: one for one in exercises})
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


# ----------------------------------------------------------------------------------------------------------------------
# From the right answer to the solution, and from that to the exercise


def test_solutions_show_the_right_answers_and_exercises_all_but_these(put, make, tmp_path):
    run = new_code_cell("print(1)", execution_count=3, outputs=[new_output("stream", text="1\n")])
    path = put(new_markdown_cell("# Exercise 01 · First"), run, answer("double"), check("double"), answer("Double"))
    status, told = make(exercises=(made(double), made(Double, points=3)))
    assert status == 0 and told.count("written") == 2
    solution = nbformat.read(tmp_path / "solutions/01_first.ipynb", as_version=4)
    assert sources(path) == [
        "# Exercise 01 · First",
        "print(1)",
        "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()",
        CHECK.format("double"),
        "class Double:\n    def one(self):\n        # YOUR CODE HERE\n        raise NotImplementedError()\n\n"
        "    ten = 10\n\n    def two(self):\n        # YOUR CODE HERE\n        raise NotImplementedError()",
        CHECK.format("Double"),
    ]
    assert solution.cells[2].source == f"def double(x):\n    {BEGIN}\n    return 2 * x\n    {END}"
    assert solution.cells[1].outputs == run.outputs
    for cell in nbformat.read(path, as_version=4).cells[1:]:
        assert (cell.execution_count, cell.outputs) == (None, [])
    grading = [cell.metadata.nbgrader for cell in solution.cells[2:]]
    assert [one.grade_id for one in grading] == ["double", "check-double", "Double", "check-Double"]
    assert [(one.solution, one.grade, one.locked) for one in grading] == [(True, False, False), (False, True, True)] * 2
    assert [one.points for one in grading[1::2]] == [1, 3] and {one.schema_version for one in grading} == {3}


def test_a_check_that_was_run_keeps_its_outputs(put, make, tmp_path):
    ran = check("double")
    ran.outputs, ran.execution_count = [new_output("stream", text="right\n")], 2
    put(answer("double"), ran)
    make()
    kept = nbformat.read(tmp_path / "solutions/01_first.ipynb", as_version=4).cells[1]
    assert (kept.source, kept.outputs, kept.execution_count) == (CHECK.format("double"), ran.outputs, 2)


def test_a_bug_hunt_hands_out_the_planted_fault(put, make):
    path = put(answer("mended"))
    hunt = made(mended, wrong="y = 2 -> y = 3  # planted\n    three for two\nreturn x\n    nothing was doubled")
    assert make(exercises=[hunt])[0] == 0
    assert sources(path)[0] == "def mended(x):\n    y = 3  # the factor\n    return y * x"


def test_a_workspace_stays_python(put, make):
    loop = ("for i in range(3):", f"    {BEGIN}", "    print(i)", f"    {END}", "print(i)")
    plain = ("x = 1", BEGIN, "y = x", END)
    half = ("def f(x):", "    y = x", f"    {BEGIN}", "    y += 1", f"    {END}", "    return y")
    path = put(
        workspace(*loop), workspace(*plain), workspace(*half), workspace("a = 1"), workspace("b = 1", stub="b = 0")
    )
    assert make(exercises=[])[0] == 0
    assert sources(path) == [
        "for i in range(3):\n    # YOUR CODE HERE\n    ...\nprint(i)",
        "x = 1\n# YOUR CODE HERE",
        "def f(x):\n    y = x\n    # YOUR CODE HERE\n    return y",
        "a = 1",
        "b = 0",
    ]
    assert "stub" not in nbformat.read(path, as_version=4).cells[4].metadata


def test_metadata_name_the_source_and_no_machine(put, make):
    language = {"name": "python", "version": "3.11.2", "pygments_lexer": "ipython3"}
    kernel = {"name": "my-env", "display_name": "My env", "language": "python"}
    path = put(answer("double"), course={"minutes": 15}, language_info=language, kernelspec=kernel)
    make()
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.course.minutes == 15 and metadata.course.generated_from == "solutions/01_first.ipynb"
    assert metadata.kernelspec.name == "python3" and metadata.language_info == {"name": "python"}


def test_the_bytes_are_the_same_each_time_and_what_nbformat_writes(put, make):
    path = put(new_markdown_cell("ein Maß, 1 · 2\n\nlast line\n"), answer("double"))
    make()
    first = path.read_bytes()
    path.unlink()
    make()
    assert path.read_bytes() == first
    assert f"{nbformat.writes(nbformat.read(path, as_version=4))}\n".encode() == first


# ----------------------------------------------------------------------------------------------------------------------
# What is there already


def test_check_writes_nothing_and_says_what_is_wrong(put, make):
    path = put(answer("double"))
    status, told = make("--check")
    assert status == 1 and "exercises/01_first.ipynb is missing: run make exercises\n" in told
    assert "solutions/01_first.ipynb differs from what it is made from" in told
    assert not path.parent.exists()
    make()
    assert make("--check") == (0, "")
    put(new_markdown_cell("new"), answer("double"))
    before = path.read_bytes()
    status, told = make("--check")
    assert status == 1 and "exercises/01_first.ipynb differs" in told and "run make exercises" in told
    assert path.read_bytes() == before
    assert make()[0] == 0
    assert make() == (0, "")


def work_in(path: Path) -> bytes:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "def double(x):\n    return x + x"
    nbformat.write(notebook, path)
    return path.read_bytes()


def test_work_of_a_learner_is_not_overwritten(put, make):
    path = put(answer("double"))
    make()
    worked = work_in(path)
    status, told = make()
    assert status == 1 and "somebody worked in it" in told
    assert path.read_bytes() == worked
    assert make("--check")[0] == 1


def test_outputs_alone_are_no_work(put, make):
    path = put(answer("double"))
    make()
    fresh = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].outputs = [new_output("stream", text="not attempted yet")]
    nbformat.write(notebook, path)
    assert make()[0] == 0
    assert path.read_bytes() == fresh


def test_orphans_are_removed_where_they_were_generated_only(put, make, tmp_path):
    put(answer("double"))
    generated, worked = put(new_markdown_cell("2"), name="02_second"), put(new_markdown_cell("3"), name="03_third")
    make()
    work_in(worked)
    foreign = tmp_path / "exercises" / "mine.ipynb"
    nbformat.write(new_notebook(), foreign)
    for name in ("02_second", "03_third"):
        (tmp_path / "solutions" / f"{name}.ipynb").unlink()

    status, told = make("--check")
    assert status == 1 and generated.exists()
    lines = [line.partition(" has no solution")[0] for line in told.splitlines()]
    assert lines == ["exercises/02_second.ipynb", "exercises/03_third.ipynb", "exercises/mine.ipynb"]
    status, told = make()
    assert status == 1 and "exercises/02_second.ipynb removed" in told
    assert "03_third.ipynb has no solution" in told and "mine.ipynb has no solution" in told
    assert not generated.exists() and worked.exists() and foreign.exists()


def test_without_solutions_exercises_stay(put, make, tmp_path):
    path = put(answer("double"))
    make()
    (tmp_path / "solutions" / "01_first.ipynb").unlink()
    assert make() == (1, "there is no notebook in solutions/\n")
    assert path.exists()


# ----------------------------------------------------------------------------------------------------------------------
# Faults

FAULTS = {
    "END SOLUTION without ### BEGIN": [workspace("a = 1", END)],
    "BEGIN SOLUTION inside": [workspace(BEGIN, BEGIN, "a = 1", END, END)],
    "is no marker": [workspace(BEGIN, "a = 1", "# END SOLUTION")],
    "'## begin solution' is no marker": [new_markdown_cell("## begin solution")],
    "is no code cell tagged": [new_code_cell(f"{BEGIN}\nx = 1\n{END}")],
    "holds a solution, but": [new_markdown_cell(f"{BEGIN}\nx\n{END}")],
    "is not Python": [workspace("def a(:", BEGIN, "return 1", END)],
    "answer nothing_cut has neither": [answer("nothing_cut")],
    "BEGIN SOLUTION without ### END": [answer("half_marked")],
    "answer nobody stands there twice, or no file": [answer("nobody")],
    "answer twice stands there twice": [answer("twice"), answer("twice")],
    "answer elsewhere stands there twice, or no file": [answer("elsewhere")],
    "check:half_marked does not stand below": [new_markdown_cell("now"), check("half_marked")],
    "id same is given to several": [new_markdown_cell("1", id="same"), new_markdown_cell("2", id="same")],
}
FAULTY = {"nothing_cut": nothing_cut, "half_marked": half_marked}


@pytest.mark.parametrize("wanted", FAULTS)
def test_faults_of_a_solution_are_named_with_file_and_cell(put, make, wanted):
    path = put(answer("double"), name="00_good")
    put(*FAULTS[wanted])
    names = {tool.answer_of(cell) for cell in FAULTS[wanted]}
    exercises = [made(double, "00_good"), *(made(FAULTY[name]) for name in names & FAULTY.keys())]
    for arguments in ([], ["--check"]):
        status, told = make(*arguments, exercises=exercises)
        assert status == 1
        assert wanted in told
        assert all(re.match(r"solutions/01_first\.ipynb(, cell \d)?: ", line) for line in told.splitlines())
    assert not path.exists()  # all are made, or none


def test_an_answer_without_a_cell_is_missed(put, make):
    put(new_markdown_cell("nothing to do"))
    assert make() == (1, "solutions/01_first.ipynb: there is no cell tagged answer:double\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"cells": [], "nbformat": 4, "nbformat_minor": 4, "metadata": {}}',
        '{"cells": [{}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    ],
)
def test_what_is_no_notebook_is_named(put, make, tmp_path, text):
    put(answer("double"))
    (tmp_path / "solutions" / "02_broken.ipynb").write_text(text)
    status, told = make()
    assert status == 1 and told.startswith("solutions/02_broken.ipynb: ")


# ----------------------------------------------------------------------------------------------------------------------
# A new exercise


def test_a_new_exercise_begins_whole(tmp_path, make, monkeypatch):
    folder = tmp_path / "course_lib/check/exercises"
    folder.mkdir(parents=True)
    (tmp_path / "solutions").mkdir()
    assert beginning.main("row_lengths", "03_nearest_code", tmp_path) == 0
    spec = importlib.util.spec_from_file_location("row_lengths", folder / "row_lengths.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "row_lengths", module)
    spec.loader.exec_module(module)
    assert make(exercises=[module.EXERCISE])[0] == 0
    assert "raise NotImplementedError()" in sources(tmp_path / "exercises/03_nearest_code.ipynb")[3]
    calls = draw_calls(module.EXERCISE, 0)
    assert judge(module.EXERCISE, calls, [observe(module.row_lengths, call) for call in calls]).status == "right"
    for mistake in module.EXERCISE.mistakes:
        verdict = judge(module.EXERCISE, calls, [observe(mistake.answer, call) for call in calls])
        assert verdict.mistake is mistake and verdict.certain


@pytest.mark.parametrize("name, lesson", [("1x", "03_topic"), ("x", "topic"), ("double", "03_topic")])
def test_what_cannot_begin_is_refused_and_overwrites_nothing(tmp_path, capsys, name, lesson):
    folder = tmp_path / "course_lib/check/exercises"
    folder.mkdir(parents=True)
    (tmp_path / "solutions").mkdir()
    (folder / "double.py").write_text("mine")
    assert beginning.main(name, lesson, tmp_path) == 2
    assert capsys.readouterr().err.strip()
    assert (folder / "double.py").read_text() == "mine" and len(list(folder.iterdir())) == 1
    assert not list((tmp_path / "solutions").iterdir())
