"""The changes that mutation makes, on small programs made here."""

import inspect
import signal

import pytest
import torch

from course_lib.check.judge import Exercise
from course_lib.check.mutation import mutants, run
from course_lib.check.observe import Call

needs_a_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows cannot stop a mutant that loops")

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


def survivors_of(right, draw, **more) -> set[str]:
    exercise = Exercise(right.__name__, "99_none", right, draw, (), ("", "", ""))
    return {mutant.change for mutant in run(exercise, right, **more).survivors}


@needs_a_timer
def test_a_weak_check_leaves_survivors_and_a_sharp_one_none():
    assert survivors_of(product, drawing_only([3.0, -2.0], [0.7, 1.9])) == set()
    assert survivors_of(product, drawing_only([0.0], [0.7])) >= {"* -> /", "2 -> 3"}


@needs_a_timer
def test_what_is_listed_is_taken_for_a_survivor_or_looked_at():
    exercise = Exercise("product", "99_none", product, drawing_only([3.0], [0.7]), (), ("", "", ""))
    known = frozenset({"return 2 * a.detach() * b  |  2 -> 3", "nothing  |  of the kind"})
    believed, looked_at = (run(exercise, product, known, listed=listed) for listed in (False, True))
    assert [mutant.change for mutant in believed.survivors] == ["2 -> 3"] and not believed.holes
    assert not looked_at.survivors and looked_at.stale == known


def three_times(a):
    n = 0
    while n < 3:
        n += 1
    return a * n


@needs_a_timer
def test_a_mutant_that_never_ends_is_stopped():
    endless = {"left out", "+= -> -="}
    assert endless <= {mutant.change for mutant in mutants(inspect.getsource(three_times)) if "n += 1" in mutant.line}
    assert not endless & survivors_of(three_times, drawing_only(2.0), seconds=0.2)
