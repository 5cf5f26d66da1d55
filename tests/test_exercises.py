"""The exercises: what the generated notebooks hold and hide, and that checks tell right answers from known mistakes."""

import ast
import contextlib
import functools
import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

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
    """The verdicts on an answer, for some seeds; many are the proof's."""

    def run(answer) -> list:
        calls = [drawn(exercise.name, seed) for seed in range(1 if exercise.slow else 2)]
        return [judge(exercise, these, [seen(answer, call) for call in these]) for these in calls]

    return run


# ----------------------------------------------------------------------------------------------------------------------
# Answers


def test_every_answer_of_the_design_is_there():
    assert not set(DESIGNED) - EXERCISES.keys()


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


def test_there_are_three_hints(exercise):
    assert len(set(exercise.hints)) == 3
    assert all(hint.strip() for hint in exercise.hints)


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
        text = between if (tool.answer_of(cell) or "").startswith("bug_") else everywhere
        for region in re.findall(rf"{tool.BEGIN}\n(.*?)\n *{tool.END}", cell.source, re.DOTALL):
            lines = [squeezed(re.sub(r"^\s*(return |[\w., ]+ = )", "", line)) for line in region.splitlines()]
            long = [line for line in lines if len(re.findall(r"\w+|\W", line)) >= 8] or ["".join(lines)]
            found += [line for line in long if line in text]
    return found


def test_no_exercise_gives_its_answer_away(solution):
    assert not given_away(read(solution).cells, read(PROJECT / "exercises" / solution.name).cells)


def test_an_answer_given_away_would_be_found():
    lines = "def f(x, q):", f"    {tool.BEGIN}", "    return (q - x).detach() + x", f"    {tool.END}"
    cut = [new_code_cell("\n".join(lines), metadata={"tags": ["answer:f"]})]
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
