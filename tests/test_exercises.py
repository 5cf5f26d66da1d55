"""The exercises: what the generated notebooks hold and hide, and that checks tell right answers from known mistakes.

The first part reads and runs the real ones; the second tries tools/exercises.py on small notebooks made here.
"""

import ast
import contextlib
import functools
import importlib.util
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import draw_calls, judge
from course_lib.check.observe import observe

PROJECT = Path(__file__).parent.parent
SOLUTIONS = sorted((PROJECT / "solutions").glob("*.ipynb"))

spec = importlib.util.spec_from_file_location("exercises_tool", PROJECT / "tools/exercises.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

DESIGNED = """
bits_per_image compression_ratio flatten_latents unflatten_latents pairwise_distances nearest_codes look_up
straight_through codebook_loss commitment_loss gradient_matrix ema_update perplexity LibraryVQVAE VectorQuantize
kmeans_init restart_dead_codes ResidualBlock normalized_mse pca_colours mask_position
latent_length snr_db residual_quantize causal_mask bits_per_code sample_codes
bug_01 bug_02 bug_03 bug_04 bug_05 bug_06 bug_07 bug_08 bug_09 bug_10
""".split()


@pytest.fixture(params=EXERCISES.values(), ids=lambda exercise: exercise.name)
def exercise(request):
    return request.param


@pytest.fixture(params=SOLUTIONS, ids=lambda path: path.stem)
def solution(request):
    return request.param


@pytest.fixture(params=["exercises", "solutions"])
def path(request, solution):
    """Each exercise, and each solution."""
    return PROJECT / request.param / solution.name


@functools.cache
def read(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(path: Path) -> list:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def answer_cells(path: Path) -> dict:
    return {tool.answer_of(cell): cell for cell in read(path).cells if tool.answer_of(cell)}


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


@functools.cache
def answers_in(path: Path) -> dict:
    """What a grader would hold: the import lines and the answer cells were run, and nothing else."""
    space = {"__name__": "answers"}
    for cell in code_cells(path):
        lines = ast.parse(cell.source).body
        if not tool.answer_of(cell):
            lines = [line for line in lines if isinstance(line, (ast.Import, ast.ImportFrom))]
        for line in lines:
            with contextlib.suppress(ImportError, NotImplementedError):
                exec(compile(ast.Module([line], []), path.name, "exec"), space)
    return space


@pytest.fixture(autouse=True, scope="module")
def seen():
    """`observe`, for the judge too, with a memory: a judge looks at the same mistakes for every answer."""
    kept = {}

    def remembering(answer, call):
        if (answer, id(call)) not in kept:
            kept[answer, id(call)] = observe(answer, call)
        return kept[answer, id(call)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("course_lib.check.judge"), "observe", remembering)
        yield remembering


@functools.cache
def drawn(name: str, seed: int) -> list:
    return draw_calls(EXERCISES[name], seed)


@pytest.fixture
def verdicts(seen, exercise):
    """The verdicts on an answer, for some seeds; many are test_proof's."""

    def run(answer) -> list:
        calls = [drawn(exercise.name, seed) for seed in range(1 if exercise.slow else 2)]
        return [judge(exercise, these, [seen(answer, call) for call in these]) for these in calls]

    return run


# ----------------------------------------------------------------------------------------------------------------------
# Answers


def test_every_answer_of_the_design_is_there():
    assert not set(DESIGNED) - EXERCISES.keys()


def test_many_mistakes_are_known():
    assert sum(len(exercise.mistakes) for exercise in EXERCISES.values()) >= 60


def test_untouched_stub_is_not_attempted(exercise, verdicts):
    for found in verdicts(answers_in(PROJECT / "exercises" / f"{exercise.lesson}.ipynb")[exercise.name]):
        assert (found.status, found.score) == ("not attempted", 0), found


def test_solution_is_right(exercise, verdicts):
    for found in verdicts(answers_in(PROJECT / exercise.solution)[exercise.name]):
        assert (found.status, found.score) == ("right", 1), found


def test_each_known_mistake_is_refused_in_its_own_words(exercise, verdicts):
    for mistake in exercise.mistakes:
        for found in verdicts(mistake.answer):
            assert found.status != "right" and found.score < 1, (mistake.name, found)
            assert found.mistake is mistake and found.certain, (mistake.name, found)
    assert len({mistake.message for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert all(mistake.message.strip() and mistake.origin.strip() for mistake in exercise.mistakes)


def test_there_are_three_hints(exercise):
    assert len(set(exercise.hints)) == 3
    assert all(hint.strip() for hint in exercise.hints)


def test_answer_cells_are_those_of_the_registered_exercises(solution):
    registered = {exercise.name for exercise in EXERCISES.values() if exercise.lesson == solution.stem}
    assert registered == answer_cells(solution).keys()


def test_each_registered_exercise_has_its_notebooks(exercise):
    assert exercise.name in answer_cells(PROJECT / exercise.solution)
    assert exercise.name in answer_cells(PROJECT / "exercises" / f"{exercise.lesson}.ipynb")


def test_points_are_the_same_for_nbgrader(exercise):
    cells = read(PROJECT / exercise.solution).cells
    (check,) = [cell for cell in cells if f"check:{exercise.name}" in tool.tags_of(cell)]
    assert check.metadata.nbgrader.points == exercise.points


# ----------------------------------------------------------------------------------------------------------------------
# Notebooks


def test_exercises_are_what_their_solutions_give(capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().err


def test_made_twice_they_are_the_same():
    assert SOLUTIONS
    assert tool.make_all(PROJECT) == tool.make_all(PROJECT)


def test_each_has_a_numbered_title(path):
    number = path.name[:2]
    assert re.match(r"\d\d_\w+\.ipynb", path.name)
    assert re.match(rf"# Exercise {number} · \S", read(path).cells[0].source)


def test_exercises_hold_no_outputs(solution):
    exercise = PROJECT / "exercises" / solution.name
    assert not any(cell.outputs for cell in code_cells(exercise))
    assert {cell.execution_count for cell in code_cells(exercise)} == {None}
    assert set(read(exercise).metadata) == {"course", "kernelspec", "language_info"}


def squeezed(text: str) -> str:
    """Without comments and white space: how somebody broke the lines makes no difference."""
    return "".join(re.sub(r"(^|  )#.*", "", text, flags=re.MULTILINE).split())


def given_away(solution_cells, exercise_cells) -> list[str]:
    """What stands in a cut region and in the exercise: lines that say something, else the region as a whole.

    The programs of a bug hunt share most of their lines; there it is what stands between them that must not tell.
    """
    everywhere, between = (
        squeezed("\n".join(cell.source for cell in cells))
        for cells in (exercise_cells, [cell for cell in exercise_cells if not tool.answer_of(cell)])
    )
    found = []
    for cell in solution_cells:
        text = between if "stub" in cell.metadata else everywhere
        for region in re.findall(rf"{tool.BEGIN}\n(.*?)\n *{tool.END}", cell.source, re.DOTALL):
            lines = [squeezed(re.sub(r"^\s*(return |[\w., ]+ = )", "", line)) for line in region.splitlines()]
            long = [line for line in lines if len(re.findall(r"\w+|\W", line)) >= 8] or ["".join(lines)]
            found += [line for line in long if line in text]
    return found


def test_no_exercise_gives_its_answer_away(solution):
    assert not given_away(read(solution).cells, read(PROJECT / "exercises" / solution.name).cells)


def test_an_answer_given_away_would_be_found():
    cut = [answer("f", "def f(x, q):", f"    {BEGIN}", "    return (q - x).detach() + x", f"    {END}")]
    assert not given_away(cut, [new_markdown_cell("`f(x, q)` and `(q - x) + x`")])
    assert given_away(cut, [new_markdown_cell("Write `(q-x).detach() + x`.")])
    assert given_away(cut, [new_code_cell("y = (\n    (q - x).detach()  # a constant\n    + x\n)")])


def test_solutions_were_run_without_an_error(solution):
    cells = code_cells(solution)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "error" not in {output.output_type for cell in cells for output in cell.outputs}


def test_outputs_name_no_machine(solution):
    outputs = json.dumps([cell.outputs for cell in code_cells(solution)])
    assert not re.search(r"/(root|home|work|tmp|Users)/|[A-Z]:\\\\", outputs)
    assert solution.stat().st_size < 1_000_000


def test_cells_fit_on_a_screen(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 30, cell.source
    for cell in read(path).cells:
        words = [line for line in cell.source.splitlines() if not re.match(r"\||<details|</details", line)]
        if cell.cell_type == "markdown" and "<details>" not in cell.source:
            assert len(" ".join(words).split()) <= 120, cell.source
    assert prose(path).count("<details>") == prose(path).count("</details>")


def test_links_lead_somewhere(path):
    for target, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", prose(path)):
        assert (path.parent / target).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(path.parent / target), flags=re.MULTILINE)
            assert anchor in [heading.replace(" ", "-") for heading in headings], anchor


# ----------------------------------------------------------------------------------------------------------------------
# tools/exercises.py, on notebooks made here


def grading(**said) -> dict:
    return {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False, **said}


def answer(name: str, *lines: str, **metadata):
    nbgrader = grading(solution=True, grade_id=name)
    return new_code_cell("\n".join(lines), metadata={"tags": [f"answer:{name}"], "nbgrader": nbgrader, **metadata})


def check(name: str, **said):
    nbgrader = grading(grade=True, locked=True, grade_id=f"check-{name}", points=2) | said
    return new_code_cell(f'check("{name}", {name})', metadata={"tags": [f"check:{name}"], "nbgrader": nbgrader})


def workspace(*lines: str):
    return new_code_cell("\n".join(lines), metadata={"tags": ["workspace"]})


BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
DOUBLE = ("def double(x):", f"    {BEGIN}", "    return 2 * x", f"    {END}")


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

    def run(*arguments) -> tuple[int, str]:
        status = tool.main(list(arguments), tmp_path)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_answers_are_cut_and_nothing_else_is(put, make):
    run = new_code_cell("print(1)", execution_count=3, outputs=[new_output("stream", text="1\n")])
    one = ("class Double:", "    def one(self):", f"        {BEGIN}", "        return 1", f"        {END}")
    two = ("    def two(self):", f"        {BEGIN}", "        x = 1", "", "        return x", f"        {END}")
    title = new_markdown_cell("# Exercise 01 · First")
    double = answer("double", *DOUBLE), check("double")
    exercise = put(title, run, *double, answer("Double", *one, "", "    ten = 10", "", *two), check("Double"))
    assert make() == (0, "exercises/01_first.ipynb written\n")
    assert sources(exercise) == [
        "# Exercise 01 · First",
        "print(1)",
        "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()",
        'check("double", double)',
        "class Double:\n    def one(self):\n        # YOUR CODE HERE\n        raise NotImplementedError()\n\n"
        "    ten = 10\n\n    def two(self):\n        # YOUR CODE HERE\n        raise NotImplementedError()",
        'check("Double", Double)',
    ]
    for cell in nbformat.read(exercise, as_version=4).cells[1:]:
        assert (cell.execution_count, cell.outputs) == (None, [])


def test_a_workspace_stays_python(put, make):
    loop = ("for i in range(3):", f"    {BEGIN}", "    print(i)", f"    {END}", "print(i)")
    plain = ("x = 1", BEGIN, "y = x", END)
    half = ("def f(x):", "    y = x", f"    {BEGIN}", "    y += 1", f"    {END}", "    return y")
    exercise = put(workspace(*loop), workspace(*plain), workspace(*half), workspace("a = 1"))
    assert make()[0] == 0
    assert sources(exercise) == [
        "for i in range(3):\n    # YOUR CODE HERE\n    ...\nprint(i)",
        "x = 1\n# YOUR CODE HERE",
        "def f(x):\n    y = x\n    # YOUR CODE HERE\n    return y",
        "a = 1",
    ]


def test_a_bug_hunt_shows_its_stub(put, make):
    planted = "def double(x):\n    return 3 * x"
    exercise = put(answer("double", "def double(x):", "    return 2 * x", stub=planted), check("double"))
    assert make()[0] == 0
    assert sources(exercise)[0] == planted
    assert "stub" not in nbformat.read(exercise, as_version=4).cells[0].metadata


def test_metadata_name_the_source_and_no_machine(put, make):
    language = {"name": "python", "version": "3.11.2", "pygments_lexer": "ipython3"}
    kernel = {"name": "my-env", "display_name": "My env", "language": "python"}
    told = {"course": {"minutes": 15}, "language_info": language, "kernelspec": kernel}
    exercise = put(answer("double", *DOUBLE), check("double"), **told)
    make()
    metadata = nbformat.read(exercise, as_version=4).metadata
    assert metadata.course.minutes == 15 and metadata.course.generated_from == "solutions/01_first.ipynb"
    assert metadata.kernelspec.name == "python3" and metadata.language_info == {"name": "python"}


def test_the_bytes_are_the_same_each_time_and_what_nbformat_writes(put, make, tmp_path):
    exercise = put(new_markdown_cell("ein Maß, 1 · 2\n\nlast line\n"), answer("double", *DOUBLE), check("double"))
    make()
    first = exercise.read_bytes()
    exercise.unlink()
    make()
    assert exercise.read_bytes() == first
    nbformat.write(nbformat.read(exercise, as_version=4), tmp_path / "again.ipynb")
    assert (tmp_path / "again.ipynb").read_bytes() == first


def test_check_writes_nothing_and_says_what_is_wrong(put, make):
    exercise = put(answer("double", *DOUBLE), check("double"))
    assert make("--check") == (1, "exercises/01_first.ipynb is missing: run make exercises\n")
    assert not exercise.parent.exists()
    make()
    assert make("--check") == (0, "")
    put(new_markdown_cell("new"), answer("double", *DOUBLE), check("double"))
    before = exercise.read_bytes()
    status, said = make("--check")
    assert status == 1 and "01_first.ipynb differs" in said and "run make exercises" in said
    assert exercise.read_bytes() == before
    assert make() == (0, "exercises/01_first.ipynb written\n")
    assert make() == (0, "")


def work_in(exercise: Path, source: str = "def double(x):\n    return x + x") -> bytes:
    notebook = nbformat.read(exercise, as_version=4)
    notebook.cells[0].source = source
    nbformat.write(notebook, exercise)
    return exercise.read_bytes()


def test_work_of_a_learner_is_not_overwritten(put, make):
    exercise = put(answer("double", *DOUBLE), check("double"))
    make()
    worked = work_in(exercise)
    status, said = make()
    assert status == 1 and "somebody worked in it" in said
    assert exercise.read_bytes() == worked
    assert make("--check")[0] == 1


def test_outputs_alone_are_no_work(put, make):
    exercise = put(answer("double", *DOUBLE), check("double"))
    make()
    fresh = exercise.read_bytes()
    notebook = nbformat.read(exercise, as_version=4)
    notebook.cells[1].outputs = [new_output("stream", text="not attempted yet")]
    nbformat.write(notebook, exercise)
    assert make()[0] == 0
    assert exercise.read_bytes() == fresh


def test_orphans_are_removed_where_they_were_generated_only(put, make, tmp_path):
    put(answer("double", *DOUBLE), check("double"))
    generated = put(answer("triple", *DOUBLE), check("triple"), name="02_second")
    worked = put(answer("four", *DOUBLE), check("four"), name="03_third")
    make()
    work_in(worked)
    foreign = tmp_path / "exercises" / "mine.ipynb"
    nbformat.write(new_notebook(), foreign)
    for name in ("02_second", "03_third"):
        (tmp_path / "solutions" / f"{name}.ipynb").unlink()

    status, said = make("--check")
    assert status == 1 and generated.exists()
    assert [line.partition(" has no solution")[0] for line in said.splitlines()] == [
        "exercises/02_second.ipynb", "exercises/03_third.ipynb", "exercises/mine.ipynb",
    ]  # fmt: skip
    status, said = make()
    assert status == 1 and "exercises/02_second.ipynb removed" in said
    assert "03_third.ipynb has no solution" in said and "mine.ipynb has no solution" in said
    assert not generated.exists() and worked.exists() and foreign.exists()


def test_without_solutions_exercises_stay(put, make, tmp_path):
    exercise = put(answer("double", *DOUBLE), check("double"))
    make()
    (tmp_path / "solutions" / "01_first.ipynb").unlink()
    assert make() == (1, "there is no notebook in solutions/\n")
    assert exercise.exists()


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_an_interrupted_write_leaves_the_old_file(put, make, monkeypatch, step):
    exercise = put(answer("double", *DOUBLE), check("double"))
    make()
    before = exercise.read_bytes()
    put(new_markdown_cell("new"), answer("double", *DOUBLE), check("double"))

    def interrupted(path, *_, **__):
        if step == "write_text":
            Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(*{"write_text": (Path, "write_text"), "replace": (os, "replace")}[step], interrupted)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert exercise.read_bytes() == before
    assert [path.name for path in exercise.parent.iterdir()] == [exercise.name]


ONE = (BEGIN, "a = 1", END)
FAULTS = {
    "BEGIN SOLUTION without ### END": [answer("a", "x = 1", BEGIN, "a = 1"), check("a")],
    "END SOLUTION without ### BEGIN": [answer("a", "a = 1", END), check("a")],
    "BEGIN SOLUTION inside": [answer("a", BEGIN, BEGIN, "a = 1", END, END), check("a")],
    "is no marker": [answer("a", BEGIN, "a = 1", "# END SOLUTION"), check("a")],
    "'## begin solution' is no marker": [new_markdown_cell("## begin solution")],
    "is no code cell tagged": [new_code_cell(f"{BEGIN}\nx = 1\n{END}")],
    "or a stub, but is no code cell": [new_code_cell("x = 1", metadata={"stub": "x = 2"})],
    "holds a solution or a stub": [new_markdown_cell(f"{BEGIN}\nx\n{END}")],
    "answer a has neither": [answer("a", "a = 1"), check("a")],
    "its stub holds a marker": [answer("a", "a = 1", stub=f"{BEGIN}\na = 2\n{END}"), check("a")],
    "is not Python": [answer("a", "def a(:", BEGIN, "return 1", END), check("a")],
    "answer a is not followed by": [answer("a", *ONE), new_markdown_cell("now"), check("a")],
    "check:a does not stand below": [new_markdown_cell("now"), check("a")],
    'followed by check("a", a)': [answer("a", *ONE), check("b")],
    "answer a is not followed": [answer("a", *ONE)],
    "answer a is in cell 1 already": [answer("a", *ONE), check("a"), answer("a", *ONE), check("a")],
    "metadata are missing": [new_code_cell(f"{BEGIN}\na = 1\n{END}", metadata={"tags": ["answer:a"]}), check("a")],
    "grade_id is 'b', not 'a'": [answer("a", *ONE, nbgrader=grading(solution=True, grade_id="b")), check("a")],
    "solution is False, not True": [answer("a", *ONE, nbgrader=grading(grade_id="a")), check("a")],
    "points are None": [answer("a", *ONE), check("a", points=None)],
    "points are 0": [answer("a", *ONE), check("a", points=0)],
    "locked is False": [answer("a", *ONE), check("a", locked=False)],
    "schema_version is 2": [answer("a", *ONE), check("a", schema_version=2)],
    "id same is given to several": [new_markdown_cell("1", id="same"), new_markdown_cell("2", id="same")],
}


@pytest.mark.parametrize("wanted", FAULTS)
def test_faults_of_a_solution_are_named_with_file_and_cell(put, make, wanted):
    exercise = put(answer("good", *DOUBLE), check("good"), name="00_good")
    put(*FAULTS[wanted])
    for arguments in ([], ["--check"]):
        status, said = make(*arguments)
        assert status == 1
        assert wanted in said
        assert all(re.match(r"solutions/01_first\.ipynb(, cell \d)?: ", line) for line in said.splitlines())
    assert not exercise.exists()  # all are made, or none


def test_one_name_belongs_to_one_answer_of_the_course(put, make):
    put(answer("double", *DOUBLE), check("double"))
    put(answer("double", *DOUBLE), check("double"), name="02_second")
    status, said = make()
    assert status == 1
    assert said.startswith("solutions/02_second.ipynb: answer double is in solutions/01_first.ipynb already")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [], "nbformat": 4, "nbformat_minor": 4, "metadata": {}}',
                                  '{"cells": [{}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}'])  # fmt: skip
def test_what_is_no_notebook_is_named(put, make, tmp_path, text):
    put(answer("double", *DOUBLE), check("double"))
    (tmp_path / "solutions" / "02_broken.ipynb").write_text(text)
    status, said = make()
    assert status == 1 and said.startswith("solutions/02_broken.ipynb: ")
    assert len(said.splitlines()) == 1
