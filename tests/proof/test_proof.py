"""That the checks are right: they take every right answer, refuse every known mistake by name, and see small changes.

`make proof` runs it with CHECK_SEEDS=100: inputs are drawn a hundred times, where one check draws them once. What has
the mark `proof` is asked there alone; tests/test_exercises.py asks the same of two draws.
"""

import os
import signal

import pytest
import torch
from equivalents import EQUIVALENTS, equivalents
from mutation import drawn, run, seeds_taken
from variants import VARIANTS

from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise, draw_calls, judge, remembering
from course_lib.check.observe import observe

SEEDS = int(os.environ.get("CHECK_SEEDS", 3))


@pytest.fixture(params=EXERCISES.values(), ids=lambda exercise: exercise.name)
def exercise(request):
    return request.param


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draws_of(exercise: Exercise) -> list[list]:
    """The calls of each seed; exercises that train take seconds for each."""
    return [draw_calls(exercise, seed) for seed in range(min(SEEDS, 3) if exercise.slow else SEEDS)]


@pytest.mark.proof
def test_right_answers_are_taken(exercise):
    for seed, calls in enumerate(draws_of(exercise)):
        look = remembering()
        for answer in (exercise.reference, *VARIANTS[exercise.name]):
            verdict = judge(exercise, calls, [observe(answer, call) for call in calls], look)
            assert verdict.status == "right", (answer.__name__, seed, verdict.call, verdict.difference, verdict.raised)
            assert verdict.score == 1, (answer.__name__, seed, verdict.parts)


@pytest.mark.proof
def test_known_mistakes_are_refused_by_name(exercise):
    for seed, calls in enumerate(draws_of(exercise)):
        look = remembering()
        for mistake in exercise.mistakes:
            verdict = judge(exercise, calls, [look(mistake.answer, call) for call in calls], look)
            refused = ["not attempted"] if mistake.planted else ["wrong", "raised"]
            assert verdict.status in refused, (mistake.name, seed, verdict.status)
            named = verdict.mistake and verdict.mistake.name
            assert verdict.mistake is mistake and verdict.certain, (mistake.name, seed, named)
            assert verdict.score < 1, (mistake.name, seed, verdict.parts)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows cannot stop a mutant that loops")
def test_mutants_are_refused(exercise):
    """A new survivor: a hole in the check (draw another call), or the same behaviour (list it, with the reason)."""
    assert seeds_taken(exercise, exercise.reference, drawn(exercise)) == 3, "unchanged, it is right"
    result = run(exercise, exercise.reference, equivalents(exercise.name))
    assert result.count >= 1
    assert not result.holes, "\n".join(map(str, result.holes))
    assert not result.stale, "listed as equivalent, but refused or no longer made:\n" + "\n".join(sorted(result.stale))


def test_the_list_of_equivalents_names_exercises():
    assert not EQUIVALENTS.keys() - EXERCISES.keys()
