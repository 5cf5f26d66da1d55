"""The checks' own machinery, on made-up exercises: what a learner is told, what is kept, and what no answer can break.

Which answers the real checks take and refuse is for proof/test_proof.py and test_exercises.py.
"""

import dataclasses
import json
import os
import random
import re
import sys
import warnings
from datetime import date

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from torch import nn

from course_lib import check as check_module
from course_lib.check import CheckFailed, check, feedback, hint, picture, progress
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise, Mistake, judge
from course_lib.check.observe import Call, Seed, observe

# ----------------------------------------------------------------------------------------------------------------------
# An exercise: double(x) gives 2 x


def double(x):
    return 2 * x


def tripled(x):
    return 3 * x


def without_gradient(x):
    return 2 * x.detach()


def negative_forgotten(x):
    return 2 * x.abs()


def raising_in_every_call(x):
    return [x][len(x)]


def calls_of_double(generator):
    return [
        Call((torch.tensor([1.5, 2.0]) + torch.rand(2, generator=generator),), ("x",), differentiate=(0,)),
        Call((-torch.rand(3, 2, generator=generator) - 1,), ("x",), part="negative numbers", elsewhere=True),
    ]


DOUBLE = Exercise(
    name="double",
    lesson="99_made_up",
    reference=double,
    draw=calls_of_double,
    mistakes=(
        Mistake(tripled, "three times instead of twice"),
        Mistake(without_gradient, "the graph is cut"),
        Mistake(negative_forgotten, "the sign is lost"),
        Mistake(raising_in_every_call, "an index is out of range"),
    ),
    hints=("How often?", "Twice.", "2 * ..."),
)


@pytest.fixture(autouse=True)
def course(monkeypatch, tmp_path):
    """Two exercises, and progress in a folder of the test."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "kept"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(progress, "_unkept", {})
    monkeypatch.setattr(progress, "_said", set())
    other = Exercise("other_name", "99_made_up", double, calls_of_double, (), ("a", "b", "c"))
    kept = dict(EXERCISES)
    EXERCISES.clear()
    EXERCISES.update(double=DOUBLE, other_name=other)
    yield EXERCISES
    EXERCISES.clear()
    EXERCISES.update(kept)  # in the order of the course, which `monkeypatch` would turn round


def verdict(exercise, answer, seed=0):
    calls = exercise.draw(torch.Generator().manual_seed(seed))
    return judge(exercise, calls, [observe(answer, call) for call in calls])


def told(report) -> str:
    return "\n".join(report.messages)


def exercise_of(reference, *calls: Call, **more) -> Exercise:
    """One without mistakes that always makes the same calls."""
    return Exercise("made", "99_made_up", reference, lambda generator: list(calls), (), ("", "", ""), **more)


def module_of(build, reference=nn.Identity) -> Exercise:
    return exercise_of(reference, Call((torch.tensor([[1.0, -2.0, 0.5]]),), ("x",), build=build, differentiate=(0,)))


# ----------------------------------------------------------------------------------------------------------------------
# check()


def test_a_right_answer_in_a_terminal(capsys):
    report = check("double", lambda x: x + x)
    assert (report.name, report.passed, report.score, report.status) == ("double", True, 1, "right")
    assert capsys.readouterr().out.splitlines() == [
        "double: right",
        "  checked  values, gradients, inputs untouched, negative numbers, devices",
        "  compare  one way to write it: solutions/99_made_up.ipynb",
        "  99 ■□ · 1 of 2 right",
    ]
    assert report.messages == (
        "double: right",
        "checked: values, gradients, inputs untouched, negative numbers, devices",
        "compare: one way to write it: solutions/99_made_up.ipynb",
    )


def test_a_known_mistake_is_named_with_what_came_and_what_was_wanted(capsys):
    report = check("double", lambda x: x + x + x, seed=3)
    x = calls_of_double(torch.Generator().manual_seed(3))[0].args[0]
    assert (report.passed, report.score, report.status) == (False, 0, "wrong")
    assert f"called with: x (2,) [{x[0]:.4g}, {x[1]:.4g}]" in report.messages
    assert f"came: result at [0]: {3 * x[0]:.5g}; 2 of 2 numbers differ" in report.messages
    assert f"wanted: {2 * x[0]:.5g}" in report.messages
    assert "the cause: three times instead of twice" in report.messages
    assert 'next: hint("double") gives hint 1 of 3' in report.messages
    out = capsys.readouterr().out
    assert all(message.partition(": ")[2] in out for message in report.messages)


def test_a_mistake_like_a_known_one_is_likely_only():
    report = check("double", lambda x: 3 * x if x.sum() > 0 else 5 * x)  # as `tripled` in the first call alone
    assert "likely cause: three times instead of twice" in report.messages


def test_no_cause_is_made_up():
    assert not re.search(r"cause|hint 2", told(check("double", lambda x: 2.5 * x)))


def test_the_same_seed_draws_the_same_inputs_and_none_draws_others():
    seen = []

    def remember(x):
        seen.append(x.detach().clone())
        return 2 * x

    for seed in (1, 1, 2, None, None):
        check("double", remember, seed=seed)
    first = seen[::3]  # three runs in each check: two calls, the second of them again as if elsewhere
    assert len(first) == 5
    assert torch.equal(first[0], first[1])
    assert len({tuple(x.tolist()) for x in first}) == 4


@pytest.mark.parametrize(
    "name, near", [("duoble", "double"), ("othername", "other_name"), (double, "double"), (None, "")]
)
def test_an_unknown_name_is_an_error_that_names_near_ones(name, near):
    with pytest.raises(ValueError, match=rf"there is no exercise .* did you mean .*{near}"):
        check(name, double)
    with pytest.raises(ValueError, match="there is no exercise"):
        hint(name)


@pytest.mark.parametrize("answer, kind", [(torch.ones(2), "Tensor"), (4.0, "float"), (None, "NoneType"), ("a", "str")])
def test_what_cannot_be_called_is_an_error(answer, kind):
    with pytest.raises(TypeError, match=rf'check\("double", \.\.\.\) got {kind}; wanted the function or class itself'):
        check("double", answer)


def test_nothing_random_is_touched():
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    def draws(x):
        return 2 * x + 0 * torch.rand(3).sum()

    torch.manual_seed(5)
    before = states()
    check("double", draws)
    check("double", tripled)
    hint("double")
    assert states() == before


def test_calls_do_not_share_their_inputs():
    seen = []

    def spoil(x):
        seen.append(x.detach().clone())
        x.data.fill_(7.0)
        return 2 * x

    first, second = calls_of_double(torch.Generator().manual_seed(0))
    for call in (first, first, second):
        observe(spoil, call)
    assert torch.equal(seen[0], first.args[0]) and torch.equal(seen[1], first.args[0])
    assert all(torch.equal(x, second.args[0]) for x in seen[2:])  # run a second time for the devices


def test_a_changed_input_is_seen():
    def spoilt(x):
        result = 2 * x
        x.data.zero_()
        return result

    assert "came: x after the call at [0]: 0; 2 of 2 numbers differ" in check("double", spoilt).messages
    found = verdict(DOUBLE, spoilt)
    assert found.parts == ALL_RIGHT | {"inputs untouched": False} and found.score == 4 / 5
    assert not verdict(DOUBLE, lambda x: x.data.mul_(2) * 1).parts["inputs untouched"]


ALL_RIGHT = {"values": True, "gradients": True, "inputs untouched": True, "negative numbers": True, "devices": True}


def test_parts_and_score():
    right = ALL_RIGHT
    assert verdict(DOUBLE, double).parts == right and verdict(DOUBLE, double).score == 1
    found = verdict(DOUBLE, without_gradient)
    assert found.parts == right | {"gradients": False} and found.score == 4 / 5
    assert found.difference.what == "gradient of result for x"
    found = verdict(DOUBLE, negative_forgotten)
    assert found.parts == right | {"negative numbers": False} and found.score == 4 / 5
    found = verdict(DOUBLE, tripled)
    assert found.score == 0, "as long as the values are wrong, the rest counts nothing"
    assert found.parts == right | {"values": False, "gradients": False, "negative numbers": False}

    def raises_for_negative(x):
        if x.sum() < 0:
            raise ValueError("negative")
        return 2 * x

    found = verdict(DOUBLE, raises_for_negative)
    assert found.status == "raised"
    assert found.parts == right | {"inputs untouched": False, "negative numbers": False, "devices": False}


# ----------------------------------------------------------------------------------------------------------------------
# What an answer raises


def test_an_exception_is_told_with_the_line_of_the_learner_and_no_other(capsys):
    def faulty(x):
        y = x.reshape(7, 7)  # this line
        return y

    report = check("double", faulty)
    assert report.status == "raised" and report.score == 0
    line = faulty.__code__.co_firstlineno + 1
    (came,) = [message for message in report.messages if message.startswith("came: ")]
    error, place = came.splitlines()
    assert error == "came: RuntimeError: shape '[7, 7]' is invalid for input of size 2"
    assert place == f"line {line}: y = x.reshape(7, 7)  # this line"
    assert "course_lib" not in told(report) and "Traceback" not in told(report)


def test_the_line_of_a_helper_of_the_learner_is_the_innermost():
    def helper(x):
        return {}["missing"]

    def faulty(x):
        return helper(x)

    assert f"line {helper.__code__.co_firstlineno + 1}: " in told(check("double", faulty))


def test_the_line_in_a_method_is_found():
    class Doubling(nn.Module):
        def forward(self, x):
            raise ValueError("here")

    found = verdict(module_of({}), Doubling)
    assert (found.raised.kind, found.raised.source) == ("ValueError", 'raise ValueError("here")')
    assert "line" in feedback.raised_in_words(found.raised)


def test_too_many_arguments_are_told_without_a_line():
    report = check("double", lambda: 0)
    assert "TypeError" in told(report) and "takes 0 positional arguments but 1 was given\n" in told(report)
    assert "\nline " not in told(report)


def test_exit_is_caught_and_an_interrupt_is_not():
    def leaves(x):
        sys.exit("enough")

    assert "SystemExit: enough" in told(check("double", leaves))

    def interrupted(x):
        raise KeyboardInterrupt

    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        check("double", interrupted)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_exception_that_cannot_be_written_out_is_told_all_the_same():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def faulty(x):
        raise Mute

    assert "Mute" in told(check("double", faulty))


def test_a_long_message_is_cut():
    def faulty(x):
        raise ValueError("x" * 100_000)

    assert len(told(check("double", faulty))) < 1000


def test_a_stub_is_not_attempted_and_counts_nothing():
    def stub(x):
        # YOUR CODE HERE
        raise NotImplementedError()

    report = check("double", stub)
    assert (report.status, report.score, report.passed) == ("not attempted", 0, False)
    assert "came: the cell still raises NotImplementedError" in report.messages
    assert progress.load("double") == progress.Progress()


def test_what_pytorch_has_not_implemented_is_an_error_of_the_answer():
    class Forgetful(nn.Module):
        def foward(self, x):
            return x

    found = verdict(module_of({}), Forgetful)
    assert found.status == "raised" and '"forward"' in found.raised.message


def test_who_still_has_a_planted_fault_has_not_begun():
    planted = Mistake(tripled, "the fault is still there", planted=True)
    exercise = Exercise("mend", "99_made_up", double, calls_of_double, (planted,), ("a", "b", "c"))
    found = verdict(exercise, lambda x: x * 3)
    assert found.status == "not attempted"
    assert "the program still does what it did" in dict(feedback.rows_of(exercise, found, 0)).values()
    assert verdict(exercise, negative_forgotten).status == "wrong"


def test_raising_is_blamed_on_a_mistake_that_raises_the_same_only():
    def misspelt(x):
        return two * x  # noqa: F821

    def other_kind(x):
        raise ValueError("list index out of range")  # the words of the known one

    assert verdict(DOUBLE, misspelt).mistake is None
    assert verdict(DOUBLE, other_kind).mistake is None
    assert verdict(DOUBLE, lambda x: {}[2]).mistake is None
    assert verdict(DOUBLE, lambda x: [x][7]).mistake.answer is raising_in_every_call


# ----------------------------------------------------------------------------------------------------------------------
# Results of every kind


class Something:
    pass


ODD = {
    "None": (None, "kind of result: None; is the return line missing?"),
    "list": ([1.0, 2.0], "kind of result: 2 values"),
    "a word": ("two", "kind of result: str"),
    "dict": ({"x": 1, 2: torch.ones(3), "raised": None, "kind of result": 3}, "kind of result: dict of 4"),
    "tuple": ((torch.ones(2), None, "a"), "kind of result: 3 values"),
    "no result": ((), "kind of result: 0 values"),
    "array": (np.ones((2, 3)), "kind of result: ndarray"),
    "NumPy's number": (np.float32(2), "kind of result: number"),
    "number": (3.5, "kind of result: number"),
    "large number": (-(10**5000), "kind of result: number"),
    "truth": (True, "kind of result: True or False"),
    "object": (Something(), "kind of result: Something"),
    "module": (nn.Linear(2, 2), "kind of result: Linear"),
    "0-d": (torch.tensor(1.0), "result of shape ()"),
    "another shape": (torch.ones(2, 1), "result of shape (2, 1)"),
    "empty": (torch.ones(0), "result of shape (0,)"),
    "whole numbers": (torch.ones(2, dtype=torch.int64), "result of dtype torch.int64"),
    "complex": (torch.ones(2, dtype=torch.complex64), "result of dtype torch.complex64"),
    "NaN": (torch.tensor([float("nan"), 1.0]), "result at [0]: nan; 2 of 2 numbers differ"),
    "infinite": (torch.full((2,), float("inf")), "result at [0]: inf; 2 of 2 numbers differ"),
    "sparse": (torch.ones(2).to_sparse(), "kind of result: tensor of another layout"),
    "on another device": (torch.ones(2, device="meta"), "kind of result: tensor on meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_results_are_told_in_words(kind):
    result, wanted = ODD[kind]
    report = check("double", lambda x: result)
    assert report.status == "wrong"
    assert f"came: {wanted}" in report.messages
    assert len(told(report)) < 500


def numbers(reference) -> Exercise:
    return exercise_of(reference, Call((3,), ("n",), ("bits",)))


@pytest.mark.parametrize(
    "right", [72, 72.0, np.float64(72), np.int64(72), np.array(72), torch.tensor(72), torch.tensor([72.0])]
)
def test_a_number_may_come_in_any_wrapping(right):
    assert verdict(numbers(lambda n: 72), lambda n: right).status == "right"
    assert verdict(numbers(lambda n: 72.0), lambda n: right).status == "right"


@pytest.mark.parametrize(
    "wrong, came",
    [
        (71, "bits: 71"),
        (float("nan"), "bits: nan"),
        (float("inf"), "bits: inf"),
        (512**1024, "bits: 2 ** 9216 or more"),
        (-(10**400), "bits: -2 ** 1328 or more"),
        (True, "kind of result: True or False"),
        ("72", "kind of result: str"),
        (torch.ones(2, 2), "bits: a tensor of shape (2, 2)"),
        (torch.tensor(71.0), "bits: 71"),
        ((72, 73), "kind of result: 2 values"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_number_is_told_in_few_characters(wrong, came):
    for reference in (lambda n: 72, lambda n: 72.5):
        exercise = numbers(reference)
        found = verdict(exercise, lambda n: wrong)
        assert found.status == "wrong"
        assert dict(feedback.rows_of(exercise, found, 0))["came"] == came


def test_infinite_and_large_numbers_can_be_right():
    assert verdict(numbers(lambda n: float("inf")), lambda n: float("inf")).status == "right"
    assert verdict(numbers(lambda n: 10**400), lambda n: 10**400).status == "right"
    assert verdict(numbers(lambda n: 10**400), lambda n: 10**401).status == "wrong"


def test_a_dict_is_compared_by_name():
    exercise = numbers(lambda n: {"encoder": True, "decoder": False})
    assert verdict(exercise, lambda n: {"decoder": np.bool_(False), "encoder": torch.tensor(True)}).status == "right"

    def came(result):
        return dict(feedback.rows_of(exercise, verdict(exercise, lambda n: result), 0))

    assert came({"encoder": True, "decoder": True})["came"] == "decoder: True"
    assert came({"encoder": True, "codebook": False})["came"] == "no decoder"
    assert came({"encoder": True})["came"] == "kind of result: dict of 1"
    assert came({"encoder": True, "decoder": 0})["wanted"] == "False"


def test_a_view_that_crashes_on_odd_results_does_not_crash_the_check():
    def view(call, seen):
        return {**seen, "largest": seen["result"].max().item()}

    exercise = dataclasses.replace(DOUBLE, view=view)
    assert verdict(exercise, double).status == "right"
    for odd, _ in ODD.values():
        found = verdict(exercise, lambda x: odd)
        assert found.status == "wrong"
        assert feedback.rows_of(exercise, found, 0)


def test_several_results_are_named():
    pair = exercise_of(lambda x: (x, 2 * x), Call((torch.ones(2),), ("x",), ("one", "two")))
    assert verdict(pair, lambda x: [x, x + x]).status == "right", "a list will do for a tuple"
    for wrong, came in [
        (lambda x: (x, x), "two at [0]: 1; 2 of 2 numbers differ"),
        (lambda x: (x, 2 * x, x), "kind of result: 3 values"),
        (lambda x: (x, "2x"), "two: 2x"),
        (lambda x: (x, None), "two: None object"),
        (lambda x: x, "kind of result: tensor"),
    ]:
        assert dict(feedback.rows_of(pair, verdict(pair, wrong), 0))["came"] == came


def test_html_is_escaped():
    def hostile(x):
        raise ValueError("<script>alert(1)</script> & \"'")

    found = verdict(DOUBLE, hostile)
    text = feedback.as_html(feedback.title_of(DOUBLE, found), feedback.rows_of(DOUBLE, found, 0), "<b>", "#000")
    assert "<script" not in text and "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in text and "<b>" not in text


def test_the_card_shows_both_tables_with_the_difference_ringed():
    wrong = verdict(DOUBLE, lambda x: torch.stack([2 * x[0], 5 * x[1]]) if x.ndim == 1 else 2 * x)
    card = feedback.picture_of(wrong.difference)
    yours, wanted = re.findall(r"<table.*?</table>", card)
    (x,) = wrong.call.args
    assert re.findall(r"<td[^>]*>([^<]*)<", yours) == [f"{2 * x[0]:.3g}", f"{5 * x[1]:.3g}"]
    assert re.findall(r"<td[^>]*>([^<]*)<", wanted) == [f"{2 * x[0]:.3g}", f"{2 * x[1]:.3g}"]
    assert [("outline" in cell) for cell in re.findall(r"<td[^>]*>", yours)] == [False, True]
    assert feedback.picture_of(verdict(DOUBLE, lambda x: x * float("nan")).difference)
    assert not feedback.picture_of(verdict(DOUBLE, lambda x: x[:1]).difference)


def test_in_a_notebook_the_card_is_shown_once(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(check_module, "_in_a_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    report = check("double", tripled)
    assert report._ipython_display_() is None
    (data,) = shown
    assert data["text/html"].startswith("<div") and data["text/plain"].startswith("double: not yet")
    assert capsys.readouterr().out == ""


def test_pictures_are_drawn_beside_the_target(monkeypatch):
    drawn, shown = [], []
    exercise = dataclasses.replace(DOUBLE, name="drawn", picture=lambda axes, answer: drawn.append(answer))
    monkeypatch.setitem(EXERCISES, "drawn", exercise)

    def show(figure, alternative):  # it closes what it shows, as the real one does: figures left open reach other tests
        shown.append(alternative)
        pyplot.close(figure)

    monkeypatch.setattr("course_lib.lesson.plots.show", show)
    picture("drawn", tripled)
    assert drawn == [double, tripled] and "drawn" in shown[0]
    with pytest.raises(ValueError, match="double has no picture; those that have one: drawn"):
        picture("double", double)


def test_no_likely_cause_that_would_have_failed_where_the_answer_was_right():
    def minus_in_both(x):
        return -2 * x if x.ndim == 1 else -x

    def minus_in_the_second(x):
        return 2 * x if x.ndim == 1 else -x

    def minus_in_the_first(x):
        return -2 * x if x.ndim == 1 else 2 * x

    exercise = dataclasses.replace(DOUBLE, mistakes=(Mistake(minus_in_both, "a minus"),))
    assert verdict(exercise, minus_in_both).certain
    assert verdict(exercise, minus_in_the_second).mistake is None  # else "holds: values" stood beside it
    assert verdict(exercise, minus_in_the_first).mistake is None
    also_wrong = verdict(exercise, lambda x: -2 * x if x.ndim == 1 else 7 * x)
    assert also_wrong.mistake and not also_wrong.certain


def test_an_input_that_was_cut_off_is_no_error_of_the_answer():
    exercise = exercise_of(torch.square, Call((torch.tensor(3.0),), ("x",), differentiate=(0,)))
    for cut in (lambda x: x.detach_().square(), lambda x: x.requires_grad_(False).square()):
        found = verdict(exercise, cut)
        assert found.status == "wrong" and "x itself was cut off" in found.difference.came
    (came, wanted) = dict(feedback.rows_of(exercise, found, 0))["came"], found.difference.wanted
    assert came.startswith("gradient of result for x: none") and wanted == 6


def test_the_gradient_of_a_single_number_is_not_weighted():
    call = Call((torch.tensor([3.0, 4.0]),), ("x",), differentiate=(0,))
    assert observe(lambda x: x.square().sum(), call)["gradient of result for x"].tolist() == [6, 8]
    assert observe(lambda x: x.square(), call)["gradient of result for x"].tolist() != [6, 8]


def test_toys_are_run_on_one_thread_and_the_setting_comes_back():
    threads, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        check("double", lambda x: seen.append(torch.get_num_threads()) or 2 * x)
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_run_with_another_argument_stands_beside_from_the_same_random_numbers():
    def drawn_times(x, factor, generator=None):
        return factor * (x + torch.rand(3, generator=generator))

    x = torch.zeros(3)
    for more in [(), (None,), (Seed(5),)]:
        names = ("x", "factor", "generator")[: 2 + len(more)]
        seen = observe(drawn_times, Call((x, 4, *more), names, ("made",), beside=(1, 1), seed=3))
        assert torch.equal(seen["made"], 4 * seen["made with factor = 1"]) and seen["made"].all()


def test_what_a_later_call_writes_into_an_earlier_result_is_seen():
    kept = torch.zeros(2)

    def counting(x):
        return kept.add_(x), kept.clone()

    seen = observe(counting, Call((torch.ones(2),), ("x",), ("shared", "copied"), once_more=True))
    assert seen["shared"].tolist() == seen["copied"].tolist() == [1, 1]
    assert seen["shared after another call"].tolist() == [2, 2]
    assert seen["copied after another call"].tolist() == [1, 1]


# ----------------------------------------------------------------------------------------------------------------------
# A second device, acted


def devices(answer) -> str:
    call = Call((torch.randn(4, 3), torch.randn(5, 3)), ("x", "e"), elsewhere=True)
    seen = observe(answer, call)
    return seen["new tensors"] if "new tensors" in seen else str(seen)


FINE = {
    "nothing new": lambda x, e: x @ e.T,
    "device of an input": lambda x, e: x + torch.zeros(4, 3, device=x.device),
    "zeros_like": lambda x, e: x + torch.zeros_like(x),
    "new_zeros": lambda x, e: x + x.new_zeros(3),
    "a number in a tensor": lambda x, e: x * torch.tensor(2.0),
    "0-d beside 2-d": lambda x, e: torch.where(x > 0, x, torch.tensor(0.0)),
    "indexed with arange": lambda x, e: x[torch.arange(4), x.argmax(1)],
    "masked": lambda x, e: x[torch.ones(4, dtype=torch.bool)],
    "moved to a device": lambda x, e: torch.zeros(4, 3).to(x.device) + x,
    "the device by its name": lambda x, e: torch.zeros(4, 3, device=str(x.device)) + x,
    "one device for both": lambda x, e: x + (e[:4] if x.device == e.device else torch.zeros(4, 3)),
    "moved to an input": lambda x, e: torch.zeros(4, 3).to(x) + x,
    "type_as": lambda x, e: torch.zeros(4, 3).type_as(x) + x,
    "a copy": lambda x, e: torch.tensor(x.detach()),
    "one-hot": lambda x, e: torch.nn.functional.one_hot(x.argmax(1), 3).float(),
    "there and back": lambda x, e: torch.tensor(x.cpu().numpy()).to(x.device),
    "numbers": lambda x, e: torch.tensor(x.tolist(), device=x.device),
}
FAULTY = {
    "zeros": (lambda x, e: x + torch.zeros(4, 3), "torch.zeros was not told a device, and add brings it together"),
    "eye": (lambda x, e: torch.eye(4) @ x, "torch.eye was not told a device"),
    "a dtype is no device": (lambda x, e: torch.zeros(4, 3).to(x.dtype) + x, "torch.zeros was not told a device"),
    "compared": (lambda x, e: x.argmax(1, keepdim=True) == torch.arange(3), "torch.arange was not told a device"),
    "gathered": (lambda x, e: x.gather(1, torch.zeros(4, 1, dtype=torch.int64)), "torch.zeros was not told a device"),
    "added in place": (lambda x, e: torch.zeros(4, 3).add_(x), "torch.zeros was not told a device"),
    "NumPy": (lambda x, e: torch.tensor(x.numpy(), device=x.device), "numpy() works on the CPU alone"),
    "asarray": (lambda x, e: torch.tensor(np.asarray(x), device=x.device), "__array__() works on the CPU alone"),
    "result on the CPU": (lambda x, e: torch.ones(4), "the result lies on the CPU wherever the inputs are"),
    "moved to the CPU": (lambda x, e: x.cpu(), "the result lies on the CPU"),
    "the CPU by name": (lambda x, e: x.to("cpu"), '.to("cpu") names the CPU'),
    "a device made up": (
        lambda x, e: torch.zeros(4, 3, device=torch.device("cpu")) + x,
        'zeros(device="cpu") names the CPU',
    ),
    "filled": (lambda x, e: filled(torch.zeros(4, 3), x), "the result lies on the CPU"),
    "a list of tensors": (lambda x, e: torch.tensor([x.sum(), e.sum()]), "the result lies on the CPU"),
    "a size from an input": (lambda x, e: torch.zeros(x.argmax()), "the result lies on the CPU"),
}


def filled(result, x):
    for i in range(len(x)):
        result[i] = x[i]
    return result


@pytest.mark.parametrize("name", FINE)
def test_what_would_work_on_a_gpu_is_fine(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.tensor(tensor) has advice
        assert devices(FINE[name]) == "where the inputs are"


@pytest.mark.parametrize("name", FAULTY)
def test_what_would_fail_on_a_gpu_is_told(name):
    answer, words = FAULTY[name]
    assert words in devices(answer)


def test_a_kind_of_device_is_not_yet_the_device():
    """On a real machine this shows with two GPUs alone: "cuda" is the first of them."""
    words = devices(lambda x, e: torch.zeros(4, 3, device=x.device.type) + x)
    assert words.startswith('torch.zeros(device="cpu") names the CPU')


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares the acting with a real GPU")
def test_the_acting_agrees_with_a_gpu():
    x, e = torch.randn(4, 3, device="cuda"), torch.randn(5, 3, device="cuda")
    works = {}
    for name, answer in (FINE | {name: answer for name, (answer, _) in FAULTY.items()}).items():
        try:
            works[name] = answer(x, e).device.type == "cuda"
        except (RuntimeError, TypeError):
            works[name] = False
    assert works == dict.fromkeys(FINE, True) | dict.fromkeys(FAULTY, False)


def test_a_module_is_acted_with_its_parameters():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x) + torch.zeros(3)

    call = Call((torch.randn(4, 3),), ("x",), build={}, elsewhere=True)
    assert "torch.zeros was not told a device" in observe(Mixed, call)["new tensors"]


# ----------------------------------------------------------------------------------------------------------------------
# Observations


def test_gradients_none_is_zeros_and_sparse_is_dense():
    table = torch.randn(5, 2)
    call = Call((table, torch.tensor([1, 1, 3])), ("codebook", "codes"), differentiate=(0,))
    seen = observe(lambda codebook, codes: torch.nn.functional.embedding(codes, codebook, sparse=True), call)
    gradient = seen["gradient of result for codebook"]
    assert gradient.layout == torch.strided and gradient.any(dim=1).tolist() == [False, True, False, True, False]
    seen = observe(lambda codebook, codes: codebook[codes].detach(), call)
    assert torch.equal(seen["gradient of result for codebook"], torch.zeros(5, 2))


def test_gradients_are_observed_where_they_are_switched_off():
    with torch.no_grad():
        assert verdict(DOUBLE, double).status == "right"


def test_seeds_become_generators_anew_for_each_call():
    call = Call((3, Seed(11)), ("n", "generator"))

    def draw(n, generator):
        return torch.rand(n, generator=generator)

    wanted = torch.rand(3, generator=torch.Generator().manual_seed(11))
    assert torch.equal(observe(draw, call)["result"], wanted) and torch.equal(observe(draw, call)["result"], wanted)


def test_an_answer_draws_the_same_in_each_observation():
    call = Call((torch.ones(2),), ("x",), seed=4)
    one, other = (observe(lambda x: x + torch.rand(2), call)["result"] for _ in range(2))
    assert torch.equal(one, other)


def test_modules_of_two_spellings_are_compared_by_the_shapes_of_their_parameters():
    class One(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.a = nn.Linear(size, 2, bias=False)

        def forward(self, x):
            return self.a(x)

    class Two(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, size))

        def forward(self, x):
            return x @ self.weight.T

    exercise = module_of({"size": 3}, One)
    assert verdict(exercise, Two).status == "right"
    found = verdict(exercise, nn.Flatten)
    assert found.status == "raised" and found.raised.kind == "TypeError"
    rows = dict(feedback.rows_of(exercise, found, 0))
    assert rows["made with"] == "size=3" and rows["called with"].startswith("x (1, 3)")
    assert "wanted a torch.nn.Module" in verdict(exercise, lambda size: size).raised.message


# ----------------------------------------------------------------------------------------------------------------------
# Hints and progress


def test_the_ladder_has_three_rungs_then_names_the_solution(capsys):
    said = []
    for _ in range(4):
        hint("double")
        said.append(capsys.readouterr().out)
    assert [text.splitlines()[0] for text in said] == [f"double: hint {n} of 3" for n in (1, 2, 3, 3)]
    for text, rung in zip(said, ("How often?", "Twice.", "2 * ...", "2 * ...")):
        assert rung in text
    assert 'hint("double") gives hint 2 of 3' in said[0] and "solutions/" not in said[0] + said[1]
    assert "all hints are taken; one way to write it: solutions/99_made_up.ipynb" in said[2]
    assert progress.load("double").hints == 3
    assert "next: all hints are taken" in told(check("double", tripled))


def test_the_solution_is_named_once_the_answer_is_right():
    assert "solutions/99_made_up.ipynb" not in told(check("double", tripled))
    assert "solutions/99_made_up.ipynb" in told(check("double", double))


def kept(tmp_path, name="double") -> dict:
    return json.loads((tmp_path / "kept" / f"{name}.json").read_text())


def test_attempts_hints_and_the_day_are_kept(tmp_path, monkeypatch):
    check("double", tripled)
    hint("double")
    assert kept(tmp_path) == {"attempts": 1, "hints": 1, "passed": ""}
    check("double", double)
    today = kept(tmp_path)["passed"]
    assert date.fromisoformat(today) <= date.today()
    check("double", tripled)
    assert kept(tmp_path) == {"attempts": 3, "hints": 1, "passed": today}, "what was right once stays"
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["double.json"], "no halves are left"
    monkeypatch.setattr(progress, "_unkept", {})  # as tomorrow, in another kernel
    assert progress.load("double").attempts == 3
    assert progress.line([("03", "double"), ("04", "other_name"), ("04", "third")]) == "03 ■  04 □□ · 1 of 3 right"


def test_the_day_is_that_of_the_first_time():
    progress.save("double", progress.Progress(attempts=1, passed="2020-02-02"))
    check("double", double)
    assert progress.load("double").passed == "2020-02-02"


def test_who_removes_the_file_starts_anew(tmp_path):
    check("double", double)
    (tmp_path / "kept" / "double.json").unlink()
    assert progress.load("double") == progress.Progress()


CORRUPT = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"attempts": 1}',
    b'{"attempts": "1", "hints": 0, "passed": ""}', b'{"attempts": 1, "hints": -9, "passed": ""}',
]  # fmt: skip


@pytest.mark.parametrize("text", CORRUPT)
def test_a_corrupt_file_is_put_aside(tmp_path, capsys, text):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "double.json").write_bytes(text)
    check("double", tripled)
    assert (tmp_path / "kept" / "double.json.unreadable").read_bytes() == text
    assert kept(tmp_path)["attempts"] == 1
    assert capsys.readouterr().out.count("put aside as double.json.unreadable") == 1
    hint("double")
    assert kept(tmp_path)["hints"] == 1 and "put aside" not in capsys.readouterr().out


def test_where_nothing_can_be_written_it_says_so_once_and_counts_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "kept"))
    for answer in (tripled, double):
        check("double", answer)
    for _ in range(2):
        hint("double")
    out = capsys.readouterr().out
    assert out.count("progress is not kept") == 1 and len(re.findall("^progress ", out, re.MULTILINE)) <= 2
    assert progress.load("double").attempts == 2 and progress.load("double").hints == 2
    assert "99 ■□ · 1 of 2 right" in out


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_stops_nothing(tmp_path, capsys):
    check("double", tripled)
    (tmp_path / "kept").chmod(0o555)
    for _ in range(2):
        hint("double")
    (tmp_path / "kept").chmod(0o755)
    assert "hint 2 of 3" in capsys.readouterr().out


def test_off_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PROJECT", tmp_path)
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    check("double", double)
    hint("double")
    assert not list(tmp_path.iterdir())
    assert progress.load("double").attempts == 1, "within the process it is known"


@pytest.mark.parametrize("setting", [None, ""])
def test_by_default_it_lies_in_the_project(tmp_path, monkeypatch, setting):
    monkeypatch.setattr(progress, "PROJECT", tmp_path)
    monkeypatch.delenv("COURSE_PROGRESS")
    if setting is not None:
        monkeypatch.setenv("COURSE_PROGRESS", setting)
    check("double", double)
    assert [path.name for path in (tmp_path / "progress").iterdir()] == ["double.json"]


# ----------------------------------------------------------------------------------------------------------------------
# In nbgrader


def test_in_nbgrader_a_wrong_answer_is_an_error_and_a_right_one_is_none(monkeypatch):
    def stub(x):
        raise NotImplementedError()

    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert check("double", double).passed
    for wrong in (tripled, stub, raising_in_every_call):
        with pytest.raises(CheckFailed, match="double: (not|your code)"):
            check("double", wrong)


def test_in_nbgrader_a_warning_costs_no_marks(monkeypatch, capsys):
    def warning(x):
        warnings.warn("a matter of taste", stacklevel=1)
        print("on the way", file=sys.stderr)
        return 2 * x

    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: print(message, file=sys.stderr))
    check("double", warning)
    assert {"a matter of taste", "on the way"} <= set(capsys.readouterr().err.splitlines()), "a learner sees them"
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check("double", warning)
    assert capsys.readouterr().err == "", "nbgrader takes anything there as a fault"


def test_in_nbgrader_nobodys_progress_is_read_or_written(monkeypatch, tmp_path, capsys):
    check("double", double)
    before = kept(tmp_path)
    monkeypatch.setattr(progress, "_unkept", {})
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert check("double", double).passed
    with pytest.raises(CheckFailed):
        check("other_name", tripled)
    out = capsys.readouterr().out
    assert out.count("of 2 right") == 1, "before nbgrader alone"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["double.json"] and kept(tmp_path) == before


def test_in_nbgrader_no_link_leads_where_no_solution_lies(monkeypatch):
    shown = []
    monkeypatch.setattr(check_module, "_in_a_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data["text/html"]))
    check("double", double)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check("double", double)
    assert ["<a " in card for card in shown] == [True, False]
    assert "solutions/99_made_up.ipynb" in shown[1]


@pytest.mark.parametrize("name", check_module.__all__)
def test_in_nbgrader_the_check_cannot_be_replaced(monkeypatch, name):
    real = getattr(check_module, name)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(AttributeError, match=f"{name} cannot be replaced"):
        setattr(check_module, name, None)
    assert getattr(check_module, name) is real


# ----------------------------------------------------------------------------------------------------------------------
# Words that were found to mislead, and numbers that were found to pass


@pytest.mark.parametrize(
    "wanted, came, right",
    [
        (float("inf"), float("inf"), True),
        (float("inf"), float("-inf"), False),
        (float("inf"), 5.0, False),
        (float("inf"), 5, False),
        (float("-inf"), float("-inf"), True),
        (5.0, float("inf"), False),
        (10_001, 10_001, True),
        (10_001, 10_002, False),
        (10_001.0, 10_001.5, True),
        (10**40, 10**40, True),
        (10**400, 10**400 + 1, False),
    ],
)
def test_infinity_and_whole_numbers_are_exact(wanted, came, right):
    exercise = exercise_of(lambda: wanted, Call((), ()))
    assert (verdict(exercise, lambda: came).status == "right") is right
    if isinstance(came, float):
        tensor = torch.tensor(came, dtype=torch.float64)
        assert (verdict(exercise, lambda: tensor).status == "right") is right


def test_a_likely_cause_is_the_one_that_agrees_most_and_none_where_two_do():
    exercise = exercise_of(double, *(Call((torch.tensor(x),), ("x",)) for x in (1.0, 2.0, 3.0)))

    def of(*values) -> Mistake:
        return Mistake(lambda x: torch.tensor(values[int(x) - 1]), str(values))

    def likely(answer: Mistake, *mistakes: Mistake):
        found = verdict(dataclasses.replace(exercise, mistakes=mistakes), answer.answer)
        assert not found.certain
        return found.mistake

    near, far, other = of(7.0, 8.0, 9.0), of(7.0, 1.0, 1.0), of(7.0, 0.0, 0.0)
    answer = of(7.0, 8.0, 5.0)
    assert likely(answer, far, near, other) is near
    assert likely(answer, far) is far
    assert likely(answer, far, other) is None


def test_nan_alone_has_a_cause():
    causes = dict(feedback.rows_of(DOUBLE, verdict(DOUBLE, lambda x: x * float("nan")), 0))
    assert "0 / 0" in causes["likely cause"]
    assert "likely cause" not in dict(feedback.rows_of(DOUBLE, verdict(DOUBLE, lambda x: 5 * x), 0))
    number = exercise_of(lambda: 2.0, Call((), ()))
    assert "0 / 0" in dict(feedback.rows_of(number, verdict(number, lambda: float("nan")), 0))["likely cause"]


def test_no_axis_is_asked_for_where_one_is_there():
    def without(x):
        return x + torch.ones(4, 2)

    def there(x):
        return x + torch.ones(4)[:, None]

    exercise = exercise_of(lambda x: x, Call((torch.ones(3, 2),), ("x",)))
    assert "an axis of length 1" in dict(feedback.rows_of(exercise, verdict(exercise, without), 0))["likely cause"]
    assert "likely cause" not in dict(feedback.rows_of(exercise, verdict(exercise, there), 0))


def test_exchanged_arguments_are_told_so():
    with pytest.raises(TypeError, match=r'the two are exchanged: wanted check\("double", double\)'):
        check(double, "double")


def test_deterministic_algorithms_are_as_they_were():
    def strict(x):
        torch.use_deterministic_algorithms(True, warn_only=True)
        return 2 * x

    assert check("double", strict).passed
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_of_what_an_answer_prints_the_first_lines_are_shown(capsys):
    def talking(x):
        print("\n".join(f"line {i}" for i in range(1000)))
        return 2 * x

    assert check("double", talking).passed
    lines = capsys.readouterr().out.splitlines()
    assert lines[:20] == [f"line {i}" for i in range(20)]
    assert lines[20] == "... and 2980 more lines, as the check calls your answer several times"
    assert lines[21] == "double: right"

    def one_long_line(x):
        print("-" * 10**6)
        return 2 * x

    check("double", one_long_line)
    assert len(capsys.readouterr().out) < 20_000

    def two_words(x):
        print("one", "two")
        return 2 * x

    check("double", two_words)
    assert capsys.readouterr().out.startswith("one two\none two\n"), "a few lines are all shown"


def luminance(colour: str) -> float:
    """By WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(one: str, other: str) -> float:
    high, low = sorted(map(luminance, (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_the_card_is_legible_on_white_and_on_black(ground):
    """Words have the page's own colour, at 0.7 of its strength at least; the bar needs 3 to 1, as no text does."""
    words = {"#ffffff": 0x00, "#111111": 0xFF}[ground]
    behind = int(ground[1:3], 16)
    faint = f"#{round(0.7 * words + 0.3 * behind):02x}" + 2 * f"{round(0.7 * words + 0.3 * behind):02x}"
    assert contrast(faint, ground) >= 4.5
    for colour in (*feedback.COLOURS.values(), feedback.AMBER):
        card = feedback.as_html("title", [("a", "b")], "progress", colour)
        assert not re.search(r"[\";]color:", card) and f"solid {colour}" in card
        assert contrast(colour, ground) >= 3
