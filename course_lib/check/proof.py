"""What stands behind a check, measured: right answers it takes, known mistakes it refuses, mutants it notices.

    proof = measure(exercise, variants=(another_right_answer,), draws=20)
    print(proof.in_words())

The course's own are measured by `make trust`, and kept in trust.json; `python -m course_lib.grade --about` shows them.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.check import feedback, mutation
from course_lib.check.judge import Exercise, Mistake, draw_calls, judge, remembering
from course_lib.check.observe import observe

DRAWS, DRAWS_TRAINING = 20, 3  # where nobody says otherwise; exercises that train take seconds for each
Same = dict[str, list[str]]  # by the reason, texts of mutants that do the same as the right answer


@dataclass(frozen=True)
class Proof:
    """Counts, and in words each case that should not be.

    refused: right answers that the check refuses. taken: known mistakes that it takes, or calls by another's name.
    mutants: how many were made; None where this system cannot stop one that never ends. holes: those that nobody
    notices. same: by the reason, how many do the same as the right answer. stale: texts that are listed as such and are
    not there any more, or are refused.
    """

    fingerprint: str
    draws: int
    right: int
    refused: list[str]
    mistakes: int
    taken: list[str]
    mutants: int | None
    holes: list[str]
    same: dict[str, int]
    stale: list[str]

    @property
    def killed(self) -> int | None:
        return None if self.mutants is None else self.mutants - len(self.holes) - sum(self.same.values())

    @property
    def holds(self) -> bool:
        return not (self.refused or self.taken or self.holes or self.stale)

    def in_words(self) -> str:
        lines = [
            f"right answers accepted   {self.right - len(self.refused)} of {self.right}, the reference among them",
            f"known mistakes refused   {self.mistakes - len(self.taken)} of {self.mistakes}, each by its own name",
            f"draws of inputs          {self.draws}",
        ]
        if self.mutants is None:
            lines.append("mutants noticed          not tried: this system cannot stop one that never ends")
        else:
            same = sum(self.same.values())
            listed = f"; {same} more do the same as the right answer, as listed" if same else ""
            lines.append(f"mutants noticed          {self.killed} of {self.mutants - same}{listed}")
        lines += [f"    {count} listed: {reason}" for reason, count in self.same.items()]
        return "\n".join(lines)


def measure(
    exercise: Exercise,
    variants: Iterable[Callable] = (),
    same: Same | None = None,
    gradients: bool = True,
    draws: int = DRAWS,
) -> Proof:
    """variants: right answers in other styles. gradients: whether anybody differentiates the results."""
    calls_of_seeds = draws_of(exercise, draws)
    answers, same = [exercise.reference, *variants], same or {}
    refused = _first(right_answers_refused(exercise, answers, calls_of_seeds), len(calls_of_seeds))
    taken = _first(mistakes_not_refused(exercise, calls_of_seeds), len(calls_of_seeds))
    reasons: Counter[str] = Counter()
    mutants, holes, stale = None, [], []
    if mutation.CAN_STOP and exercise.reference not in refused:
        known = frozenset(text for texts in same.values() for text in texts)
        result = mutation.run(exercise, exercise.reference, known, gradients=gradients)
        mutants, holes, stale = result.count, [mutant.text for mutant in result.holes], sorted(result.stale)
        for mutant in result.survivors:
            listed = (why for why, texts in same.items() if any(mutation.fits(mutant.text, text) for text in texts))
            reasons.update([why] if (why := next(listed, None)) else [])
    return Proof(
        fingerprint=fingerprint_of(exercise),
        draws=len(calls_of_seeds),
        right=len(answers),
        refused=[f"{answer.__name__}, {why}" for answer, why in refused.items()],
        mistakes=len(exercise.mistakes),
        taken=[f"{mistake.name}, {why}" for mistake, why in taken.items()],
        mutants=mutants,
        holes=holes,
        same=dict(reasons),
        stale=stale,
    )


def draws_of(exercise: Exercise, draws: int) -> list[list]:
    """The calls of each seed."""
    return [draw_calls(exercise, seed) for seed in range(min(draws, DRAWS_TRAINING) if exercise.slow else draws)]


def right_answers_refused(exercise: Exercise, answers: Iterable[Callable], calls_of_seeds: list[list]) -> Iterator:
    """(answer, what was found) for each draw in which one is not right, or has less than all marks."""
    answers = list(answers)
    for calls in calls_of_seeds:
        look = remembering()
        for answer in answers:
            verdict = judge(exercise, calls, [observe(answer, call) for call in calls], look)
            if verdict.status != "right" or verdict.score != 1:
                rows = [row for row in feedback.rows_of(exercise, verdict, 0) if row[0] != "next"]
                yield answer, "\n".join([verdict.status, *(f"    {heading}: {text}" for heading, text in rows)])


def mistakes_not_refused(exercise: Exercise, calls_of_seeds: list[list]) -> Iterator[tuple[Mistake, str]]:
    """(known mistake, what was found) for each draw in which one is not refused, or not by its own name."""
    for calls in calls_of_seeds:
        look = remembering()
        for mistake in exercise.mistakes:
            verdict = judge(exercise, calls, [look(mistake.answer, call) for call in calls], look)
            refused = ["not attempted"] if mistake.planted else ["wrong", "raised"]
            named = verdict.mistake.name if verdict.mistake else "no known mistake"
            if verdict.status not in refused or verdict.score == 1:
                yield mistake, f"{verdict.status}, with score {verdict.score:g}"
            elif verdict.mistake is not mistake or not verdict.certain:
                yield mistake, f"refused, but called {named}"


def _first(found: Iterator[tuple], draws: int) -> dict:
    """By whom it is about, what was found first, and in how many of the draws."""
    first: dict = {}
    for who, why in found:
        first.setdefault(who, []).append(why)
    return {who: f"in {len(whys)} of {draws} draws: {whys[0]}" for who, whys in first.items()}


def fingerprint_of(exercise: Exercise) -> str:
    """Of the exercise's file, whatever ends its lines: another one was measured, if that changed."""
    text = Path(sys.modules[exercise.reference.__module__].__file__).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:16]
