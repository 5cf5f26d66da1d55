"""That the checks are right: they take every right answer, refuse every known mistake by name, and see small changes.

`make proof` runs it with CHECK_SEEDS=100: inputs are drawn a hundred times, where one check draws them once. What has
the mark `proof` is asked there alone; tests/test_exercises.py asks the same of two draws.
"""

import os
import signal

import pytest
from equivalents import EQUIVALENTS, WITHOUT_GRADIENTS, equivalents
from variants import VARIANTS

from course_lib.check.exercises import EXERCISES
from course_lib.check.mutation import drawn, run, seeds_taken
from course_lib.check.proof import draws_of, mistakes_not_refused, right_answers_refused

SURVIVED = (
    "A hole in the check: draw another call. The same behaviour: list it in tests/proof/equivalents.py; a .detach() of "
    "what nobody differentiates in WITHOUT_GRADIENTS."
)
SEEDS = int(os.environ.get("CHECK_SEEDS", 3))


@pytest.fixture(params=EXERCISES.values(), ids=lambda exercise: exercise.name)
def exercise(request):
    return request.param


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.proof
def test_right_answers_are_taken(exercise):
    answers = (exercise.reference, *VARIANTS[exercise.name])
    for answer, why in right_answers_refused(exercise, answers, draws_of(exercise, SEEDS)):
        raise AssertionError(f"{answer.__name__}: {why}")


@pytest.mark.proof
def test_known_mistakes_are_refused_by_name(exercise):
    for mistake, why in mistakes_not_refused(exercise, draws_of(exercise, SEEDS)):
        raise AssertionError(f"{mistake.name}: {why}")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows cannot stop a mutant that loops")
def test_mutants_are_refused(exercise):
    """A new survivor: a hole in the check (draw another call), or the same behaviour (list it, with the reason)."""
    assert seeds_taken(exercise, exercise.reference, drawn(exercise)) == 3, "unchanged, it is right"
    differentiated = exercise.name not in WITHOUT_GRADIENTS
    result = run(exercise, exercise.reference, equivalents(exercise.name), gradients=differentiated)
    assert result.count >= 1
    assert not result.holes, "\n".join([*map(str, result.holes), SURVIVED])
    assert not result.stale, "listed as equivalent, but refused or no longer made:\n" + "\n".join(sorted(result.stale))


def test_the_list_of_equivalents_names_exercises():
    assert not EQUIVALENTS.keys() - EXERCISES.keys()
