"""That the checks are right: they take every right answer, refuse every known mistake by name, and see small changes.

CHECK_SEEDS=100 draws a hundred times as many inputs as one check does; `make check-proof` sets it.
"""

import dataclasses
import importlib.util
import inspect
import os
import signal
from pathlib import Path

import pytest
import torch
from mutation import drawn, mutants, origin_of_reference, origins, run, seeds_taken, solution_cells, solved
from mutation_equivalents import EQUIVALENTS, NOT_ASKED

from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise, Mistake, draw_calls, judge
from course_lib.check.observe import Call, observe

FOLDER = Path(__file__).parent
SEEDS = int(os.environ.get("CHECK_SEEDS", 3))
needs_a_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows cannot stop a mutant that loops")


def seeds_of(exercise: Exercise) -> range:
    """Exercises that train take seconds for each seed."""
    return range((3 if "CHECK_SEEDS" in os.environ else 1) if exercise.slow else SEEDS)


def verdict(exercise: Exercise, answer, seed: int):
    calls = draw_calls(exercise, seed)
    return judge(exercise, calls, [observe(answer, call) for call in calls])


def variants() -> dict[str, list]:
    found = {}
    for path in sorted((FOLDER / "variants").glob("v[0-9][0-9].py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.VARIANTS
    return found


VARIANTS = variants()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=EXERCISES.values(), ids=lambda exercise: exercise.name)
def exercise(request):
    return request.param


# ----------------------------------------------------------------------------------------------------------------------
# Right answers are taken


def assert_right(exercise: Exercise, answer, what: str):
    for seed in seeds_of(exercise):
        found = verdict(exercise, answer, seed)
        assert found.status == "right", (what, seed, found.status, found.call, found.difference, found.raised)
        assert found.score == 1, (what, seed, found.parts)


def test_the_reference_is_right(exercise):
    assert_right(exercise, exercise.reference, "the reference")


def test_the_solution_is_right(exercise):
    assert exercise.name in solution_cells(exercise.lesson), f"no answer cell in {exercise.solution}"
    assert_right(exercise, solved(exercise.lesson)[exercise.name], "the solution")


def test_right_answers_in_other_styles_are_right(exercise):
    assert VARIANTS.get(exercise.name), f"no variants of {exercise.name} in {FOLDER / 'variants'}"
    for index, answer in enumerate(VARIANTS[exercise.name]):
        assert_right(exercise, answer, f"variant {index}, {answer.__name__}")


def test_there_are_many_variants_and_each_belongs_to_an_exercise():
    assert sum(map(len, VARIANTS.values())) >= 20
    assert not VARIANTS.keys() - EXERCISES.keys()


# ----------------------------------------------------------------------------------------------------------------------
# Known mistakes are refused, each with its own words


def test_known_mistakes_are_refused_by_name(exercise):
    if "CHECK_SEEDS" not in os.environ:
        pytest.skip("tests/test_exercises.py asks the same for two draws; CHECK_SEEDS=3 asks here")
    for mistake in exercise.mistakes:
        for seed in seeds_of(exercise):
            found = verdict(exercise, mistake.answer, seed)
            refused = ["not attempted"] if mistake.planted else ["wrong", "raised"]
            assert found.status in refused, (mistake.name, seed, found.status)
            assert found.mistake is mistake and found.certain, (
                mistake.name,
                seed,
                found.mistake and found.mistake.name,
            )
            assert found.score < 1, (mistake.name, seed, found.parts)


def test_each_mistake_has_words_of_its_own(exercise):
    messages = [mistake.message for mistake in exercise.mistakes]
    assert messages and all(messages) and len(set(messages)) == len(messages)


# ----------------------------------------------------------------------------------------------------------------------
# Small changes to right answers are seen

ORIGINS = [(exercise, origin) for exercise in EXERCISES.values() for origin in origins(exercise)]


@needs_a_timer
@pytest.mark.parametrize("exercise, origin", ORIGINS, ids=[f"{e.name}-{o.label}" for e, o in ORIGINS])
def test_mutants_are_refused(exercise, origin):
    """A new survivor: a hole in the check (draw another call), or the same behaviour (list it, with the reason).

    Whether those that are listed still survive is looked at where CHECK_SEEDS is set.
    """
    assert seeds_taken(exercise, origin.made(origin.sources), drawn(exercise)) == 3, "unchanged, it is right"
    result = run(exercise, origin, listed="CHECK_SEEDS" in os.environ)
    assert result.count >= 1
    assert not result.holes, "\n".join(map(str, result.holes))
    assert not result.stale, "listed as equivalent, but refused or no longer made:\n" + "\n".join(sorted(result.stale))


@needs_a_timer
def test_the_lists_of_what_mutation_leaves_name_what_there_is():
    there = {(exercise.name, origin.label): origin for exercise, origin in ORIGINS}
    assert not EQUIVALENTS.keys() - there.keys() and not NOT_ASKED.keys() - there.keys()
    for key, reasons in NOT_ASKED.items():
        source = "\n".join(there[key].sources)
        missing = [text for texts in reasons.values() for text in texts if text not in source]
        assert not missing, (key, missing)


# ----------------------------------------------------------------------------------------------------------------------
# And the mutations themselves

SMALL = '''
@torch.no_grad()
def nearest(flat, codebook, most=2):
    """Words are left alone."""
    if flat.ndim != 2:
        raise ValueError(f"wanted {2} axes")
    _check(flat, 1)
    distances = torch.cdist(flat, codebook)  # (N, K)
    return distances.clone().argmin(dim=1)
'''


def test_every_mutant_differs_and_says_where():
    found = mutants(SMALL)
    assert len({mutant.source for mutant in found}) == len({mutant.text for mutant in found}) == len(found)
    assert {mutant.line for mutant in found} == {
        "def nearest(flat, codebook, most=2):",
        "distances = torch.cdist(flat, codebook)",
        "return distances.clone().argmin(dim=1)",
    }
    assert str(found[-1]).startswith("line 9: return")
    for mutant in found:
        compile(mutant.source, mutant.text, "exec")
        assert "'Words are left alone.'" in mutant.source.replace('"', "'") and "_check(flat, 1)" in mutant.source


@pytest.mark.parametrize(
    "source, wanted",
    [
        ("return distances.clone().argmin(dim=1)", "argmin -> argmax"),
        ("return distances.clone().argmin(dim=1)", "1 -> 0"),
        ("return distances.clone().argmin(dim=1)", "dim=1 of argmin left out"),
        ("return distances.clone().argmin(dim=1)", ".clone() left out"),
        ("return distances.clone().argmin(dim=1)", "keepdim=True added to argmin"),
        ("return distances.clone().argmin(dim=1)", "minus added"),
        ("return (q - x).detach() + x", "+ -> -"),
        ("return (q - x).detach() + x", ".detach() left out"),
        ("return (q - x).detach() + x", "x detached"),
        ("return (q - x).detach() + x", "sides of - swapped"),
        ("return (q - x).detach() + x", "+ x left out"),
        ("y = x.sum(dim=-1, keepdim=True)", "-1 -> 0"),
        ("y = x.sum(dim=-1, keepdim=True)", "True -> False"),
        ("y = x.sum(dim=-1, keepdim=True)", "sum -> mean"),
        ("y = x.permute(0, 2, 1)", "arguments 2 and 3 of permute swapped"),
        ("y = x.unsqueeze(1).T", "1 -> 0"),
        ("y = x.unsqueeze(1).T", ".T left out"),
        ("y = -x * 0.5", "- left out"),
        ("y = -x * 0.5", "0.5 -> 1.0"),
        ("y = torch.zeros(3, dtype=torch.float64, device=x.device)", "device=x.device of zeros left out"),
        ("y = torch.zeros(3, dtype=torch.float64, device=x.device)", "dtype=torch.float64 of zeros left out"),
        ("y = x[:, None]", "1 and 2 of ((:, None)) swapped"),
        ("y = a < b and not c", "< -> <="),
        ("y = a < b and not c", "< -> >"),
        ("y = a < b and not c", "and -> or"),
        ("y = a < b and not c", "not left out"),
        ("y = x.log_softmax(1)", "log_softmax -> softmax"),
        ("y += x", "+= -> -="),
        ("y += x", "left out"),
        ("y = min(a, b)", "min -> max"),
        ("y = torch.cdist(a, b)", "arguments 1 and 2 of cdist swapped"),
        ("for i in range(n): pass", "range - 1"),
        ("y = a if c else b", "always b"),
        ("with torch.no_grad(): y = x", "torch.no_grad() left out"),
    ],
)  # fmt: skip
def test_what_is_changed(source, wanted):
    assert wanted in {mutant.change for mutant in mutants(f"def f():\n    {source}")}


def test_the_decorator_goes_and_a_gradient_is_cut_only_where_there_may_be_one():
    changes = {mutant.change for mutant in mutants(SMALL)}
    assert "no_grad left out" in changes and "codebook detached" not in changes
    assert "codebook detached" in {mutant.change for mutant in mutants(SMALL.replace("@torch.no_grad()", ""))}


def product(a, b):
    return 2 * a.detach() * b


def drawing_only(*values):
    """Draws always the same, as a weak check does."""
    tensors = tuple(map(torch.tensor, values))
    return lambda generator: [Call(tensors, ("a", "b")[: len(tensors)], differentiate=tuple(range(len(tensors))))]


def left_of(draw) -> set[str]:
    mistakes = (Mistake(lambda a, b: a, "a alone", "common"),)
    exercise = Exercise("product", "99_none", product, draw, mistakes, ("", "", ""))
    origin = dataclasses.replace(origin_of_reference(exercise), label="reference")
    return {mutant.change for mutant in run(exercise, origin).survivors}


@needs_a_timer
def test_a_weak_check_leaves_survivors_and_a_sharp_one_none():
    assert left_of(drawing_only([3.0, -2.0], [0.7, 1.9])) == set()
    assert left_of(drawing_only([0.0], [0.7])) >= {"* -> /", "2 -> 3"}


def three_times(a):
    n = 0
    while n < 3:
        n += 1
    return a * n


@needs_a_timer
def test_a_mutant_that_never_ends_is_stopped():
    exercise = Exercise("three_times", "99_none", three_times, drawing_only(2.0), (), ("", "", ""))
    endless = {"n += 1  |  left out", "n += 1  |  += -> -="}
    result = run(exercise, dataclasses.replace(origin_of_reference(exercise), label="reference"), seconds=0.2)
    assert endless <= {mutant.text for mutant in mutants(inspect.getsource(three_times))}
    assert not endless & {mutant.text for mutant in result.survivors}
