"""Compares what an answer did with what the reference does, and with what known wrong answers do."""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from course_lib.check.observe import Call, Observation, Raised, observe


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners give, ready to run, and what to tell somebody who gave it.

    others:  the same mistake beside other ways to draw: which numbers are drawn hides what they have in common.
    planted: the program that the exercise hands out to be mended; who still has it has not begun.
    change:  how it was made of the right answer, as `author` reads it.
    """

    answer: Callable
    message: str
    planted: bool = False
    change: tuple[str, ...] = ()
    others: tuple[Callable, ...] = ()

    @property
    def ways(self) -> tuple[Callable, ...]:
        return self.answer, *self.others

    @property
    def name(self) -> str:
        return " & ".join(self.change) or self.answer.__name__


def as_observed(call: Call, observation: Observation) -> Observation:
    """The usual `Exercise.view`: everything, as it is."""
    return observation


@dataclass(frozen=True)
class Exercise:
    """All that a check knows about one answer.

    draw:      from a generator, the calls to make. The first are the plainest: the first difference is what is shown.
    view:      from a call and what was observed, what is compared: where many results are right (random draws, codes
               whose distances agree up to rounding), the properties that all of them share.
    picture:   from an empty matplotlib axes and an answer, draws what the answer does, where that says more.
    allowance: (rtol, atol) of floating-point comparisons.
    points:    that a grader gives, unless its settings say otherwise. 0: the answer is written within the lesson, not
               in an exercise.
    source:    the file of an instructor's own exercise; "" for those of the course.
    """

    name: str
    lesson: str  # "04_straight_through"
    reference: Callable
    draw: Callable[[Generator], list[Call]]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, str, str]  # a question, the concept, near-code
    points: int = 1
    place: int = 0  # among the answers of its lesson
    view: Callable[[Call, Observation], Observation] = as_observed
    picture: Callable | None = None
    allowance: tuple[float, float] = (1e-4, 1e-5)
    source: str = ""

    @property
    def in_lesson(self) -> bool:
        return self.points == 0

    @property
    def solution(self) -> str:
        if self.source:
            return f"the right answer in {self.source}"
        return "folded, below the check" if self.in_lesson else f"solutions/{self.lesson}.ipynb"

    @property
    def slow(self) -> bool:
        """Whether a check trains a model: it takes seconds then, where others take milliseconds."""
        return any(call.train for call in draw_calls(self, seed=0))


@dataclass(frozen=True)
class Difference:
    """The first place where an answer and the reference differ."""

    what: str  # the key of the observation: "gradient of result for quantized"
    problem: str  # "kind", "shape", "dtype", "value", "missing", "raised"
    came: object
    wanted: object
    index: tuple[int, ...] | None = None  # in tensors of the same shape
    count: int = 0  # how many elements differ


@dataclass(frozen=True)
class Verdict:
    """status: "right", "wrong", "raised" or "not attempted". parts: whether each part of the mark holds."""

    status: str
    parts: dict[str, bool] = field(default_factory=dict)
    call: Call | None = None
    difference: Difference | None = None
    mistake: Mistake | None = None
    certain: bool = False  # the answer did in every call what `mistake` does, not only in the one shown
    raised: Raised | None = None

    @property
    def score(self) -> float:
        """In [0, 1]: the share of the parts that hold; nothing as long as the first, the values, does not."""
        parts = list(self.parts.values())
        return sum(parts) / len(parts) if parts and parts[0] else 0.0


def draw_calls(exercise: Exercise, seed: int) -> list[Call]:
    return exercise.draw(Generator().manual_seed(seed))


def remembering() -> Callable:
    """`observe` with a memory, for who judges many answers by the same calls."""
    memory = {}

    def look(answer, call: Call) -> Observation:
        if (answer, id(call)) not in memory:
            memory[answer, id(call)] = call, observe(answer, call)  # with the call, whose id is nobody else's then
        return memory[answer, id(call)][1]

    return look


def judge(
    exercise: Exercise, calls: list[Call], observations: list[Observation], look: Callable | None = None
) -> Verdict:
    """The verdict on an answer from what `observe` saw in each of the calls. Runs no code of the learner's.

    look: `observe`, or what gives the same for the reference and the known mistakes, as `remembering` does.
    """
    look = look or observe
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raised = [observation.get("raised") for observation in observations]
        if raised[0] is not None and raised[0].is_stub:
            return Verdict("not attempted", {call.part: False for call in calls})
        wanted = [_viewed(exercise, call, look(exercise.reference, call)) for call in calls]
        came = [_viewed(exercise, call, observation) for call, observation in zip(calls, observations)]
        faults = [list(_differences(*pair, exercise.allowance)) for pair in zip(came, wanted)]
        parts = _parts(calls, wanted)
        for call, observation, differences in zip(calls, wanted, faults):
            if any(difference.problem == "raised" for difference in differences):
                parts |= dict.fromkeys(_parts([call], [observation]), False)
            else:
                parts |= {_part(call, difference.what): False for difference in differences}
        if not any(faults):
            return Verdict("right", parts)
        mistake, certain = _explain(exercise, calls, came, faults, look)
    first = next(index for index, differences in enumerate(faults) if differences)
    status = "not attempted" if mistake and certain and mistake.planted else "raised" if raised[first] else "wrong"
    return Verdict(status, parts, calls[first], faults[first][0], mistake, certain, raised[first])


def _viewed(exercise: Exercise, call: Call, observation: Observation) -> Observation:
    """A view reads results that may be of any kind and shape; where it cannot, they are compared as they are."""
    if "raised" in observation:
        raised = observation["raised"]  # errors are the same whose words are: a slip of the pen is no known mistake
        message = re.sub(r"[0-9]+|\b\w+(?=Backward\b)", "#", raised.message)  # and of any name of a Function
        return {"raised": f"{raised.kind}: {message}"}
    try:
        return exercise.view(call, dict(observation))
    except Exception:
        return observation


def _part(call: Call, what: str) -> str:
    if what.startswith("gradient of"):
        return "gradients"
    if what.endswith("after the call"):
        return "inputs untouched"
    return "devices" if what == "new tensors" else call.part


def _parts(calls: list[Call], wanted: list[Observation]) -> dict[str, bool]:
    """Every part of the mark, in the order in which the calls look at it."""
    return {_part(call, what): True for call, observation in zip(calls, wanted) for what in ["", *observation]}


def _explain(exercise: Exercise, calls: list[Call], came: list[Observation], faults: list[list[Difference]], look):
    """The known mistake that does what the answer did: in all calls, or at least in the first wrong one, without a
    fault in any that the answer got right, and then only where no other one agrees in as many."""
    first = next(index for index, differences in enumerate(faults) if differences)
    others = [index for index in range(len(calls)) if index != first]
    # training takes seconds: where it is what went wrong, only a mistake that agrees in all other calls is trained too
    before = [index for index in others if not calls[index].train] if calls[first].train else []
    candidates = []

    def does(answer: Callable, indices: list[int]) -> bool:
        pairs = ((_viewed(exercise, calls[i], look(answer, calls[i])), came[i]) for i in indices)
        return all(_same(*pair, exercise.allowance) for pair in pairs)

    for mistake, answer in [(known, way) for known in exercise.mistakes for way in known.ways]:
        if not does(answer, [*before, first]):
            continue
        if does(answer, [index for index in others if index not in before]):
            return mistake, True
        if "raised" not in came[first] and does(answer, [index for index in others if not faults[index]]):
            candidates.append((mistake, answer))
    if len({id(mistake) for mistake, _ in candidates}) > 1:  # that which agrees in most calls; if two do, nobody knows
        wrong = [index for index in others if faults[index] and not calls[index].train]
        agree = [sum(does(answer, [index]) for index in wrong) for _, answer in candidates]
        candidates = [pair for pair, count in zip(candidates, agree) if count == max(agree)]
    one = len({id(mistake) for mistake, _ in candidates}) == 1
    return (candidates[0][0] if one else None), False


def _same(one: Observation, other: Observation, allowance) -> bool:
    return next(_differences(one, other, allowance), None) is None


def _differences(came: Observation, wanted: Observation, allowance):
    """Each difference, in the order of `wanted`; what only `came` has is a difference of its "kind of result"."""
    if ("raised" in came) != ("raised" in wanted):
        yield Difference("the call", "raised", came.get("raised"), None)
        return
    for what, value in wanted.items():
        if (what, value, came.get(what)) == ("kind of result", "number", "tensor"):
            continue  # the numbers themselves are compared below, and one in a tensor will do
        if what not in came:
            yield Difference(what, "missing", None, value)
        else:
            difference = _difference(what, came[what], value, allowance)
            if difference:
                yield difference
    for what in came.keys() - wanted.keys():
        yield Difference(what, "missing", came[what], None)


def _agree(came, wanted, rtol: float, atol: float) -> bool:
    """Whether two numbers, or two values of another kind, are the same; a tensor of one element is a number."""
    if isinstance(came, Tensor) and came.numel() == 1 and type(wanted) in (int, float):
        came = came.item()
    if not {type(came), type(wanted)} <= {int, float}:
        return type(came) is type(wanted) and came == wanted
    if type(came) is type(wanted) is int or (isinstance(wanted, float) and math.isinf(wanted)):
        return came == wanted
    try:
        return came == wanted or abs(came - wanted) <= atol + rtol * abs(wanted)
    except OverflowError:  # a whole number that no float can hold
        return False


def _difference(what: str, came, wanted, allowance) -> Difference | None:
    rtol, atol = allowance
    if not isinstance(wanted, Tensor):
        return None if _agree(came, wanted, rtol, atol) else Difference(what, "value", came, wanted)
    if not isinstance(came, Tensor):
        return Difference(what, "kind", came, wanted)
    if came.shape != wanted.shape:
        return Difference(what, "shape", came, wanted)
    if came.dtype != wanted.dtype:
        return Difference(what, "dtype", came, wanted)
    if came.is_floating_point():
        close = torch.isclose(came, wanted, rtol=rtol, atol=atol, equal_nan=True)
    else:
        close = came == wanted
    if close.all():
        return None
    index = tuple((~close).nonzero()[0].tolist())
    return Difference(what, "value", came, wanted, index, int((~close).sum()))
