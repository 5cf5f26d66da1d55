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
from variants import VARIANTS

from course_lib.check import handout
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import draw_calls, judge, remembering

PROJECT = Path(__file__).parent.parent
SOLUTIONS = sorted((PROJECT / "solutions").glob("*.ipynb"))

spec = importlib.util.spec_from_file_location("exercises_tool", PROJECT / "tools/exercises.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

DESIGNED = """
bits_per_image compression_ratio flatten_latents unflatten_latents pairwise_distances nearest_codes look_up
straight_through codebook_loss commitment_loss gradient_matrix ema_update perplexity LibraryVQVAE VectorQuantize
kmeans_init restart_dead_codes clipped_straight_through codebook_gradient ResidualBlock normalized_mse
pca_colours mask_position
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


@functools.cache
def draws_of(name: str) -> list[tuple]:
    """Calls, and the memory of what was observed in them, for two seeds; many are the proof's."""
    exercise = EXERCISES[name]
    return [(draw_calls(exercise, seed), remembering()) for seed in range(1 if exercise.slow else 2)]


def verdicts(exercise, answer) -> list:
    draws = draws_of(exercise.name)
    return [judge(exercise, calls, [look(answer, call) for call in calls], look) for calls, look in draws]


# ----------------------------------------------------------------------------------------------------------------------
# Answers


def test_every_answer_of_the_design_is_there():
    assert not set(DESIGNED) - EXERCISES.keys()


def test_untouched_stub_is_not_attempted(exercise):
    folder = "notebooks" if exercise.in_lesson else "exercises"
    there = answers_in(PROJECT / folder / f"{exercise.lesson}.ipynb")
    assert exercise.name in there, "run make exercises"
    stub = there[exercise.name]
    assert {(verdict.status, verdict.score) for verdict in verdicts(exercise, stub)} == {("not attempted", 0)}


def test_solution_is_right(exercise):
    answer = exercise.reference if exercise.in_lesson else answers_in(PROJECT / exercise.solution)[exercise.name]
    for verdict in verdicts(exercise, answer):
        assert (verdict.status, verdict.score) == ("right", 1), verdict


def test_right_answers_in_other_styles_are_right(exercise):
    home = f"tests/proof/variants/v{exercise.lesson[:2]}.py"
    assert VARIANTS.get(exercise.name), f"write three right answers to {exercise.name} in {home}, in its VARIANTS"
    for variant in VARIANTS[exercise.name]:
        for verdict in verdicts(exercise, variant):
            assert (verdict.status, verdict.score) == ("right", 1), (variant.__name__, verdict)


def test_each_known_mistake_is_refused_in_its_own_words(exercise):
    for mistake in exercise.mistakes:
        for verdict in verdicts(exercise, mistake.answer):
            assert verdict.status != "right" and verdict.score < 1, (mistake.name, verdict)
            other = verdict.mistake and verdict.mistake.name
            assert other == mistake.name, (
                f"taken for {other}: drop one of the two, or draw a call that tells them apart"
            )
            assert verdict.certain, (mistake.name, verdict)
    assert len({mistake.message for mistake in exercise.mistakes}) == len(exercise.mistakes) > 0


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
        for region in re.findall(rf"{handout.BEGIN}\n(.*?)\n *{handout.END}", cell.source, re.DOTALL):
            lines = [squeezed(re.sub(r"^\s*(return |[\w., ]+ = )", "", line)) for line in region.splitlines()]
            long = [line for line in lines if len(re.findall(r"\w+|\W", line)) >= 8] or ["".join(lines)]
            found += [line for line in long if line in text]
    return found


def test_no_exercise_gives_its_answer_away(solution):
    assert not given_away(read(solution).cells, read(PROJECT / "exercises" / solution.name).cells)


def test_an_answer_given_away_would_be_found():
    lines = "def f(x, q):", f"    {handout.BEGIN}", "    return (q - x).detach() + x", f"    {handout.END}"
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
