"""The grader's parts, each by itself: what crosses the boundary, what is found in a notebook, points, reports.

What the whole does with a class of hostile submissions stands in test_grade_class.py.
"""

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import re
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hostile
import nbformat
import pytest
import torch

from course_lib import quantize
from course_lib.check.author import text_of
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import draw_calls, judge
from course_lib.check.observe import observe
from course_lib.grade import (
    command,
    given,
    gradescope,
    journal,
    machine,
    marks,
    pages,
    reports,
    settings,
    submissions,
    tables,
)
from course_lib.grade.__main__ import _parser, main
from course_lib.grade.examiner import Examiner, WeighedApart
from course_lib.grade.finding import Finding
from course_lib.grade.inside import answer, program, wire
from course_lib.grade.sandbox import Reply
from course_lib.grade.submissions import Notebook

PROJECT = Path(__file__).resolve().parent.parent


class Here:
    """A sandbox without walls, for what is not about walls: the answer runs in this process, as it would in another."""

    kind, layers = "here", ""

    def __init__(self):
        self.asked = 0

    def ask(self, question: bytes, seconds: float, memory: int) -> Reply:
        self.asked += 1
        finders, modules, threads = list(sys.meta_path), dict(sys.modules), torch.get_num_threads()
        try:
            return Reply("replied", answer.answer(question))
        finally:
            sys.meta_path[:] = finders
            sys.modules |= modules
            torch.set_num_threads(threads)

    def start(self):
        pass

    close = start

    def missing(self) -> list[str]:
        return []


@pytest.fixture
def here():
    return Here()


def notebook_of(*cells: tuple, lesson: str = hostile.LESSON) -> Notebook:
    """From sources, or pairs of a source and its tags."""
    pairs = [cell if isinstance(cell, tuple) else (cell, []) for cell in cells]
    made = tuple({"number": n, "source": source, "tags": tags} for n, (source, tags) in enumerate(pairs, 1))
    return Notebook("somebody", lesson, made, "digest")


def solution_of(lesson: str) -> Notebook:
    path = PROJECT / f"solutions/{lesson}.ipynb"
    return Notebook("right", lesson, tuple(submissions._code_cells(path.read_bytes())), "digest")


def calls_of(examiner: Examiner, notebook: Notebook, name: str) -> list:
    return draw_calls(examiner.exercises[name], examiner.seed_for(notebook))


# ----------------------------------------------------------------------------------------------------------------------
# What crosses the boundary

TREES = [
    None, True, 3, -0.5, "word", [], (), {}, {"a": [1, (2.0, "x")], "b": {"c": None}}, [[["deep"]]],
    torch.arange(6.0).reshape(2, 3), torch.tensor(3), torch.zeros(0, 4), torch.tensor([True, False]),
    torch.randn(2, 3, 4, dtype=torch.float64), {"t": (torch.ones(2, dtype=torch.int64), [torch.zeros(1)])},
]  # fmt: skip


def equal(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return type(other) is torch.Tensor and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return type(other) is dict and list(one) == list(other) and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: str(type(tree).__name__))
def test_what_is_packed_comes_out_again(tree):
    assert equal(tree, wire.unpack(wire.pack(tree)))


def test_numbers_that_json_does_not_know_come_out_again():
    assert wire.unpack(wire.pack([math.inf, -math.inf])) == [math.inf, -math.inf]
    assert math.isnan(wire.unpack(wire.pack(math.nan)))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_the_order_of_the_axes_in_memory_crosses_too(order):
    before = torch.randn(2, 3, 4).permute(order)
    after = wire.unpack(wire.pack(before))
    assert after.stride() == before.stride() and torch.equal(after, before)


def test_shared_memory_is_not_shared_afterwards():
    a = torch.ones(4)
    one, other = wire.unpack(wire.pack([a, a[:2]]))
    one.zero_()
    assert other.tolist() == [1, 1]


class Subclass(torch.Tensor):
    pass


class Word(str):
    pass


UNACCEPTABLE = [
    torch.ones(2).as_subclass(Subclass), torch.nn.Parameter(torch.ones(2)), torch.eye(2).to_sparse(),
    torch.empty(2, device="meta"), torch.ones(2, dtype=torch.complex128), object(), {1: 2}, {Word("a"): 1}, Word("a"),
    {1, 2}, b"bytes", print, 10**5000, [torch.ones(1).as_subclass(Subclass)], {"a": (object(),)}, torch.Size([1]),
]  # fmt: skip


@pytest.mark.parametrize("value", UNACCEPTABLE, ids=lambda value: type(value).__name__)
def test_nothing_else_is_packed(value):
    with pytest.raises(wire.Unacceptable):
        wire.pack(value)


GOOD = wire.pack({"candidates": 1, "runs": [torch.ones(3)]})


def framed(header: bytes, body: bytes = b"\x02\0\0\0\0\0\0\0{}") -> bytes:
    return struct.pack(">I", len(header)) + header + body


NONSENSE = {
    "nothing": b"", "three bytes": b"abc", "length alone": struct.pack(">I", 10),
    "length beyond": struct.pack(">I", 2**31) + b"x" * 100, "no json": framed(b"{"),
    "bare object": framed(b'{"a": 1}'), "deep": framed(b"[" * 100_000), "no tensors": framed(b"1", b""),
    "wrong tag": framed(b'["set", [1]]'), "tensor that is not there": framed(b'["tensor", "9", []]'),
    "short tag": framed(b'["tensor"]'), "key that is no word": framed(b'["dict", [[1, 2]]]'),
    "pair that is none": framed(b'["dict", [[1]]]'), "many digits": framed(b"1" * 10_000),
    "not unicode": framed(b'"\xff"'), "items that are none": framed(b'["list", 3]'),
    "axes that are none": GOOD.replace(b"[0]", b"[7]"), "cut off": GOOD[:-3],
    "length of a tensor": GOOD.replace(b"[3]", b"[9]"),
    "pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x01:\x94\x85\x94R\x94.",
}  # fmt: skip


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_in_one_way(data):
    with pytest.raises(wire.Unacceptable):
        wire.unpack(data)


def test_no_single_changed_byte_does_anything_but_change_the_value_or_be_refused():
    for index in range(len(GOOD)):
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(GOOD)
            changed[index] ^= flip
            with contextlib.suppress(wire.Unacceptable):
                wire.unpack(bytes(changed))


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.name)
def test_the_calls_of_every_check_cross_unchanged(exercise):
    question = wire.unpack(Examiner({exercise.name: exercise}, seed=0).question(exercise.name, 1))
    for call, there in zip(draw_calls(exercise, seed=1), map(answer._as_call, question["calls"]), strict=True):
        for name, value in vars(call).items():
            other = getattr(there, name)
            if name == "args":
                value, other = ([vars(a) if hasattr(a, "number") else a for a in args] for args in (value, other))
                strides = [[a.stride() for a in args if isinstance(a, torch.Tensor)] for args in (value, other)]
                assert strides[0] == strides[1]
            assert equal(value, other), (name, value, other)


# ----------------------------------------------------------------------------------------------------------------------
# Finding the answer in a notebook


def lines_run(name: str, *cells: tuple, candidate: int = 0) -> list[str]:
    import ast

    programs = program.candidates(name, list(notebook_of(*cells).cells))
    return [ast.unparse(line.node) for line in programs[candidate]]


TAGGED = ["answer:f"]


def test_the_tagged_cell_is_run_whole_and_of_others_what_it_needs():
    run = lines_run(
        "f",
        "import torch\nimport matplotlib.pyplot as plt\nplt.plot([1])",
        "model = torch.ones(3)\nfor _ in range(10**9): pass",
        "SCALE = 2\nx = 5\ndef helper(a):\n    return a * SCALE",
        ("print(1)\ndef f(x, model):\n    return helper(x) + len(model)", TAGGED),
    )  # fmt: skip
    assert run[:-2] == ["SCALE = 2", "def helper(a):\n    return a * SCALE"]
    assert run[-2:] == ["print(1)", "def f(x, model):\n    return helper(x) + len(model)"]


def test_names_that_a_function_binds_itself_are_not_looked_for():
    cells = ["codebook = load()\nw = 1", ("def f(codebook):\n    w = [w for w in codebook]\n    return w", TAGGED)]
    assert lines_run("f", *cells) == ["def f(codebook):\n    w = [w for w in codebook]\n    return w"]


@pytest.mark.parametrize(
    "needed",
    [
        "from torch import nn as n\n", "import torch.nn.functional as n\n", "n, m = 1, 2\n", "n = m = 3\n",
        "class n: pass\n", "n: int = 3\n", "if True:\n    n = 1\n", "try:\n    n = 1\nexcept Exception: pass\n",
        "for n in range(3): pass\n", "with open('x') as n: pass\n", "print(n := 3)\n", "n = {}\n",
        "async def n(): pass\n", "[n, *m] = 1, 2\n", "from math import *\n",
    ],
)  # fmt: skip
def test_every_way_to_bind_a_name_is_known(needed):
    run = lines_run("f", needed, ("def f(x):\n    return x + n", TAGGED))
    assert len(run) == 2


def test_what_changes_a_needed_thing_is_run_too():
    cells = ["T = {}\nT['a'] = 1\nU = {}\nU['a'] = 1", ("def f(x):\n    return T", TAGGED), "f.more = 3"]
    assert lines_run("f", *cells)[:2] == ["T = {}", "T['a'] = 1"]


@pytest.mark.parametrize("use", [
    "@n\ndef f(x): return x", "def f(x, y=n): return x", "class f(n): pass", "class f:\n    y = n",
    "f = lambda x: n(x)", "def f(x):\n    def g():\n        return n\n    return g",
    "def f(x):\n    return [n for _ in x]", "def f(x):\n    global n\n    n += 1", "f = n",
    "class f:\n    def g(self): return n", "def f(x: n): return x",
    "def f(x):\n    import math\n    return math.sqrt(n)",
])  # fmt: skip
def test_every_way_to_use_a_name_is_seen(use):
    assert lines_run("f", "n = 3\nm = 4", (use, TAGGED))[0] == "n = 3"


@pytest.mark.parametrize(
    "name", [name for name in hostile.FAIR if name not in hostile.SLOW]
)  # the sandbox forgoes compilers
def test_right_answers_in_unusual_notebooks_pass(name, here):
    cells = [(cell[0], [hostile.TAG]) if isinstance(cell, tuple) else cell for cell in hostile.FAIR[name]]
    finding = Examiner(EXERCISES, seed=2).ask(notebook_of(*cells), hostile.NAME, here)
    assert finding.verdict == "pass", finding.rows


def test_candidates_come_in_order_and_are_few():
    cells = ["f = 1", ("f = 2", TAGGED), ("def f(: pass", TAGGED), ("f = 3", TAGGED), "f = 4"]
    programs = program.candidates("f", list(notebook_of(*cells).cells))
    assert [getattr(lines[0], "cell", None) for lines in programs] == [4, 3, 1]
    assert isinstance(program.candidates("f", list(notebook_of(cells[2]).cells))[0], SyntaxError)


@pytest.mark.parametrize("magic", ["%%time\n", "%matplotlib inline\n", "!pip install torch\n", "    \n%timeit 3\n"])
def test_what_only_ipython_reads_is_passed_over(magic):
    assert "def f(x)" in lines_run("f", (magic + "def f(x): return x", TAGGED))[-1]


def test_a_line_that_fails_does_not_keep_the_next_from_running(monkeypatch):
    source = "import nowhere\n1 / 0\nf = 3\nraise SystemExit\ng = 4"
    (lines,) = program.candidates("f", list(notebook_of((source, TAGGED)).cells))
    monkeypatch.setitem(sys.modules, "__main__", sys)
    space, error, failed = program.run(lines)
    assert space["f"] == 3 and space["g"] == 4 and isinstance(error, ZeroDivisionError) and "nowhere" in failed[0]


# ----------------------------------------------------------------------------------------------------------------------
# One question

QUICK = [lesson for lesson in sorted({e.lesson for e in EXERCISES.values() if not e.in_lesson}) if lesson[:2] != "07"]


@pytest.mark.parametrize("lesson", QUICK)
def test_solutions_pass_and_stubs_are_blank(lesson, here):
    examiner = Examiner(EXERCISES, seed=3)
    exercise = tuple(submissions._code_cells((PROJECT / f"exercises/{lesson}.ipynb").read_bytes()))
    for name in (name for name, e in EXERCISES.items() if e.lesson == lesson and not e.in_lesson):
        finding = examiner.ask(solution_of(lesson), name, here)
        assert (finding.verdict, finding.score) == ("pass", 1), finding
        finding = examiner.ask(Notebook("untouched", lesson, exercise, "digest"), name, here)
        assert (finding.verdict, finding.score) == ("blank", 0), finding


@pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if e.in_lesson], ids=lambda exercise: exercise.name)
def test_what_is_written_within_a_lesson_can_be_graded(exercise, here):
    cells = tuple(submissions._code_cells((PROJECT / f"notebooks/{exercise.lesson}.ipynb").read_bytes()))
    examiner = Examiner(EXERCISES, seed=3)
    finding = examiner.ask(Notebook("untouched", exercise.lesson, cells, "digest"), exercise.name, here)
    assert (finding.verdict, finding.score) == ("blank", 0), finding
    written = tuple(
        cell | {"source": text_of(exercise.reference)} if f"answer:{exercise.name}" in cell["tags"] else cell
        for cell in cells
    )
    finding = examiner.ask(Notebook("written", exercise.lesson, written, "digest"), exercise.name, here)
    assert (finding.verdict, finding.score) == ("pass", 1), finding


@pytest.mark.parametrize("name", ["straight_through", "nearest_codes", "ema_update", "look_up", "commitment_loss"])
def test_what_is_judged_from_afar_is_what_a_check_says(name, here, monkeypatch):
    """Each known mistake, asked through the wire, gets the verdict, the score and the message of a check nearby."""
    exercise = EXERCISES[name]
    examiner = Examiner(EXERCISES, seed=5)
    source = f"import builtins\n{name} = builtins.answer_here"
    notebook = notebook_of((source, [f"answer:{name}"]), lesson=exercise.lesson)
    calls = calls_of(examiner, notebook, name)
    for mistake in exercise.mistakes:
        near = judge(exercise, calls, [observe(mistake.answer, call) for call in calls])
        monkeypatch.setattr("builtins.answer_here", mistake.answer, raising=False)
        far = examiner.ask(notebook, name, here)
        assert far.verdict == near.status and far.score == near.score, (mistake.name, far)
        assert mistake.message in dict(far.rows).values()


def test_each_run_student_and_file_has_its_own_inputs():
    """A copied reply, or what a page showed of the last try, is worth nothing."""
    notebook = notebook_of(hostile.RIGHT)
    other = {"student": "another", "lesson": "05_three_losses", "digest": "another"}
    notebooks = [notebook, *(dataclasses.replace(notebook, **{name: value}) for name, value in other.items())]
    examiner = Examiner(EXERCISES, seed=1)
    seeds = [Examiner(EXERCISES, seed=2).seed_for(notebook), *map(examiner.seed_for, notebooks)]
    assert len(set(seeds)) == len(seeds) and examiner.seed_for(notebook) == seeds[1]
    questions = {examiner.question(hostile.NAME, seed) for seed in seeds}
    assert len(questions) == len(seeds) and examiner.question(hostile.NAME, seeds[1]) in questions


def test_only_a_notebook_that_speaks_of_an_answer_is_asked(here):
    finding = Examiner(EXERCISES, seed=0).ask(notebook_of("print(1)"), hostile.NAME, here)
    assert finding.verdict == "blank" and here.asked == 0


def replied(value) -> Reply:
    return Reply("replied", wire.pack(value))


def forged(header: list, **shapes: list[int]) -> Reply:
    """A reply of no more than a header and the tensors' names, all of them of no elements or of one byte."""
    entries = {
        name: {"dtype": "BOOL", "shape": shape, "data_offsets": [0, 0 in shape or 1]} for name, shape in shapes.items()
    }
    for entry in entries.values():
        entry["data_offsets"] = [0, int(0 not in entry["shape"])]
    names = json.dumps(entries).encode()
    body = struct.pack("<Q", len(names)) + names + bytes(1)
    return Reply("replied", wire.join(json.dumps(header).encode(), body))


ONE_RUN = ["dict", [["candidates", 1], ["runs", ["list", [["dict", [["plain", ["dict", [["result", "HERE"]]]]]]]]]]]


def with_tensor(order: list | dict, shape: list[int]) -> Reply:
    return forged(json.loads(json.dumps(ONE_RUN).replace('"HERE"', json.dumps(["tensor", "0", order]))), **{"0": shape})


AXES = list(range(60_000))
REPLIES = {
    "timeout": (Reply("timeout"), "timeout"),
    "memory": (Reply("memory"), "memory"),
    "crash": (Reply("crash", b"signal"), "crash"),
    "too long": (Reply("too long"), "type"),
    "nonsense": (Reply("replied", b"\0\0\0\x01x"), "type"),
    "a word": (replied("pass"), "type"),
    "a verdict": (replied({"verdict": "pass", "score": 1}), "type"),
    "no runs": (replied({"candidates": 1, "runs": []}), "type"),
    "runs of numbers": (replied({"candidates": 1, "runs": [3] * 6}), "type"),
    "empty runs": (replied({"candidates": 1, "runs": [{}] * 6}), "type"),
    "few runs": (replied({"candidates": 1, "runs": [{"plain": {"result": torch.zeros(2, 3)}}]}), "type"),
    "lists inside": (replied({"candidates": 1, "runs": [{"plain": {"result": [1]}}] * 6}), "type"),
    "syntax of no form": (replied({"candidates": 1, "syntax": [1]}), "type"),
    "error of no form": (replied({"candidates": 1, "raised": [1, 2]}), "type"),
    "nothing there": (replied({"candidates": 0}), "blank"),
    "60,000 axes": (with_tensor(AXES, [1] * 60_000), "type"),
    "65 axes": (with_tensor(AXES[:65], [1] * 65), "type"),
    "an order of too few axes": (with_tensor([0], [1, 1]), "type"),
    "an order that is no list": (with_tensor({"0": 0}, [1]), "type"),
    "an order of words": (with_tensor(["0"], [1]), "type"),
    "endless rows of nothing": (with_tensor([0, 1], [2**24, 0]), "type"),
    "260,000 tensors": (forged(["dict", []], **dict.fromkeys(map(str, range(260_000)), [0])), "type"),
}


@pytest.mark.parametrize("reply, verdict", REPLIES.values(), ids=REPLIES)
def test_whatever_comes_back_has_a_verdict_and_no_marks_and_soon(reply, verdict):
    class Says:
        kind, layers = "says", ""

        def ask(self, *_):
            return reply

    examiner = Examiner(EXERCISES, seed=0)
    begun = time.process_time()
    finding = examiner.ask(notebook_of((hostile.RIGHT, [hostile.TAG])), hostile.NAME, Says())
    assert finding.verdict == verdict and finding.score == 0
    assert time.process_time() - begun < 2


needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere replies are weighed in the grader's process")


@needs_fork
def test_weighing_that_never_ends_costs_a_verdict_and_not_the_grader(monkeypatch):
    def never(*_):
        while True:
            pass

    exercise = dataclasses.replace(EXERCISES[hostile.NAME], view=never)
    examiner = Examiner({hostile.NAME: exercise}, seed=0)
    monkeypatch.setattr(examiner, "seconds_to_weigh", lambda name: 0.5)
    weigh = WeighedApart(examiner)
    run = {"plain": {"kind of result": "tensor", "result": torch.zeros(2)}, "elsewhere": {"new tensors": ""}}
    for _ in range(2):
        finding, count = weigh(hostile.NAME, 0, replied({"candidates": 3, "runs": [run] * 9}))
        assert (
            finding.verdict == "type" and "cannot be compared within 0.5 seconds" in finding.rows[0][1] and count == 1
        )
    finding, count = weigh(hostile.NAME, 0, replied({"candidates": 2, "syntax": [1, "a", "b"]}))
    assert finding.verdict == "syntax" and count == 2


@needs_fork
def test_what_is_weighed_apart_is_what_is_weighed_here(here):
    examiner = Examiner(EXERCISES, seed=0)
    notebook, apart = notebook_of((hostile.WRONG, [hostile.TAG])), WeighedApart(examiner)
    one, other = (examiner.ask(notebook, hostile.NAME, here, weigh) for weigh in (examiner.weigh, apart))
    assert dataclasses.replace(one, seconds=other.seconds) == other and one.verdict == "wrong" and one.picture


def test_an_observation_without_what_was_asked_is_wrong(here):
    """A forged reply that leaves out the gradients, or adds something, is compared like any other."""
    notebook, examiner = notebook_of((hostile.RIGHT, [hostile.TAG])), Examiner(EXERCISES, seed=0)

    class Spoils(Here):
        def ask(self, *question):
            reply = wire.unpack(super().ask(*question).data)
            for run in reply["runs"]:
                self.spoil(run["plain"])
            return replied(reply)

    for spoil in (lambda seen: seen.pop("gradient of result for latents"), lambda seen: seen.update({"more": 1})):
        sandbox = Spoils()
        sandbox.spoil = spoil
        finding = examiner.ask(notebook, hostile.NAME, sandbox)
        assert finding.verdict == "wrong" and finding.score < 1


def imported(lesson: str, names: str) -> dict:
    """What `from course_lib.quantize import ...` gives an answer of that lesson."""
    finders, modules, space = list(sys.meta_path), dict(sys.modules), {}
    try:
        answer._hide_the_course(given.given(lesson))
        exec(f"from course_lib.quantize import {names}", space)
    finally:
        sys.meta_path[:] = finders
        sys.modules |= modules
    return space


@pytest.mark.parametrize("lesson", sorted({exercise.lesson for exercise in EXERCISES.values()}))
def test_what_is_given_of_the_course_never_holds_the_exercises_own_answer(lesson):
    space = imported(lesson, "*")
    own = {name for name, exercise in EXERCISES.items() if exercise.lesson >= lesson}
    assert not own & space.keys()
    assert not [name for name, value in space.items() if isinstance(value, type) and issubclass(value, torch.nn.Module)]


def test_what_earlier_exercises_had_one_write_is_given_and_works():
    names = "nearest_codes, ema_update, perplexity, codebook_usage, straight_through"
    space = imported("09_codebook_health", names)
    flat, codebook = torch.randn(20, 3), torch.randn(5, 3)
    assert torch.equal(space["nearest_codes"](flat, codebook), quantize.nearest_codes(flat, codebook))
    with pytest.raises(ValueError, match="perplexity|codes"):
        space["perplexity"](torch.tensor([7]), 5)


def test_a_module_that_would_answer_is_withheld_until_it_was_answered(tmp_path, monkeypatch):
    """And so is what needs it, and what it needs alone."""
    (tmp_path / "quantize.py").write_text(
        "from course_lib import guards, search\n"
        "def flatten(x):\n    return guards.checked(x)\n"
        "def nearest_codes(x):\n    return _inner(x) + search.nearest(x)\n"
        "def by_a_helper(x):\n    return search.nearest(x)\n"
        "def _inner(x):\n    return 0\n"
    )
    (tmp_path / "guards.py").write_text("def checked(x):\n    return x\n")
    (tmp_path / "search.py").write_text("def nearest(x):\n    return 7\n")
    monkeypatch.setattr(given, "COURSE", tmp_path)
    monkeypatch.setattr(given, "MODULES", ["guards", "search", "quantize"])
    monkeypatch.setattr(given, "given", given.given.__wrapped__)
    assert imported("03_nearest_code", "flatten")["flatten"](3) == 3
    for name in ("nearest_codes", "by_a_helper", "_inner"):
        with pytest.raises(ImportError):
            imported("03_nearest_code", name)
        assert imported("04_straight_through", name)[name](3) in (0, 7)


# ----------------------------------------------------------------------------------------------------------------------
# The journal


def a_finding(student: str = "ann", verdict: str = "pass", **more) -> Finding:
    return Finding(
        student,
        hostile.LESSON,
        hostile.NAME,
        "digest",
        verdict,
        float(verdict == "pass"),
        rows=(("came", "x"),),
        **more,
    )


def reopened(folder: Path, checks: str = "") -> journal.Journal:
    return journal.Journal(folder, {hostile.NAME: checks})


def test_what_was_written_is_known_again_with_its_draws(tmp_path):
    first = reopened(tmp_path)
    first.write(a_finding())
    first.write(a_finding("\udce9 strange", "wrong"))
    first.close()
    second = reopened(tmp_path)
    assert second.seed == first.seed and second.taken_over == 2
    assert second.find("ann", hostile.NAME, "digest", 10) == a_finding()
    assert second.find("ann", hostile.NAME, "another digest", 10) is None
    second.close()


def test_a_journal_cut_off_anywhere_is_read_up_to_there(tmp_path):
    whole = tmp_path / "whole"
    first = reopened(whole)
    for student in ("ann", "bob", "cyd"):
        first.write(a_finding(student))
    first.close()
    data = (whole / journal.NAME).read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == 10]
    for length in range(0, len(data) + 1, 7):
        place = tmp_path / f"cut{length}"
        place.mkdir()
        (place / journal.NAME).write_bytes(data[:length])
        again = reopened(place)
        whole_lines = sum(end <= length for end in ends)
        assert again.taken_over == max(0, whole_lines - 1)
        assert (again.seed == first.seed) == bool(whole_lines)
        again.write(a_finding("dan"))
        again.close()
        lines = (place / journal.NAME).read_bytes().splitlines()
        assert [json.loads(line) for line in lines] and len(lines) == max(1, whole_lines) + 1


def test_verdicts_that_fell_to_the_grader_are_found_again(tmp_path):
    book = reopened(tmp_path)
    book.write(a_finding("ann", "not_graded"))
    book.write(a_finding("bob", "timeout", allowed=5.0))
    assert book.find("ann", hostile.NAME, "digest", 5) is None
    assert (
        book.find("bob", hostile.NAME, "digest", 5) is not None and book.find("bob", hostile.NAME, "digest", 6) is None
    )
    book.close()


def test_verdicts_of_other_checks_are_not_believed_and_not_lost(tmp_path):
    first = reopened(tmp_path, "old")
    first.write(a_finding(checks="old"))
    first.write(a_finding("bob"))  # before findings said by which
    first.close()
    again = reopened(tmp_path, "new")
    assert again.taken_over == 0 and again.outdated == {hostile.NAME} and again.seed == first.seed
    assert again.find("ann", hostile.NAME, "digest", 10) is None is again.find("bob", hostile.NAME, "digest", 10)
    again.close()
    assert b"ann" in again.path.read_bytes() and b"bob" in again.path.read_bytes()


def test_a_file_that_is_no_journal_is_put_aside_not_lost(tmp_path, capsys):
    (tmp_path / journal.NAME).write_text(json.dumps(a_finding().as_line()) + "\n")
    again = reopened(tmp_path)
    assert again.taken_over == 0 and "graded anew" in capsys.readouterr().out
    assert b"ann" in (tmp_path / f"{journal.NAME}.old-1").read_bytes()
    again.close()


@pytest.mark.parametrize("line", ['{"student": 3}', "[]", "nonsense", '{"verdict": "pass"}', "[" * 100_000])
def test_lines_that_no_journal_wrote_are_passed_over(tmp_path, line):
    first = reopened(tmp_path)
    first.write(a_finding())
    first.close()
    with open(tmp_path / journal.NAME, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    again = reopened(tmp_path)
    assert again.taken_over == 1
    again.close()


@pytest.mark.posix
def test_two_graders_do_not_write_the_same_journal(tmp_path):
    first = reopened(tmp_path)
    with pytest.raises(journal.InUse, match="wait for its end, or name another folder"):
        reopened(tmp_path)
    first.close()
    reopened(tmp_path).close()


# ----------------------------------------------------------------------------------------------------------------------
# Settings: points, late work, exercises of one's own


def settings_of(tmp_path, text: str) -> settings.Settings:
    path = tmp_path / "grading.toml"
    path.write_text(text, encoding="utf-8")
    return settings.load(path)


def test_points_are_the_courses_unless_said_otherwise(tmp_path):
    assert settings.load(None).points["straight_through"] == 2
    chosen = settings_of(tmp_path, '[points]\nstraight_through = 5\n"05_three_losses" = 10\npairwise_distances = 0\n')
    assert chosen.points["straight_through"] == 5
    names = "codebook_loss", "commitment_loss", "codebook_gradient", "gradient_matrix"
    assert [chosen.points[name] for name in names] == [2, 2, 2, 4]
    others = [
        e.name
        for e in EXERCISES.values()
        if e.lesson == "03_nearest_code" and not e.in_lesson and e.name != "pairwise_distances"
    ]
    assert chosen.lessons()["03_nearest_code"] == others and "nearest_codes" in others
    assert chosen.named == ("04_straight_through", "05_three_losses")


DUE = datetime(2026, 12, 1, 12, tzinfo=UTC)
LATE = """[late]
due = 2026-12-01T12:00:00Z
grace_minutes = 10
lost_per_day = 0.2
most_lost = 0.5
[late.extra_days]
ann = 2
"""


@pytest.mark.parametrize(
    "student, after, lost",
    [
        ("bob", timedelta(-1), 0), ("bob", timedelta(minutes=10), 0), ("bob", timedelta(minutes=11), 0.2),
        ("bob", timedelta(days=1), 0.2), ("bob", timedelta(days=1, seconds=1), 0.4), ("bob", timedelta(days=9), 0.5),
        ("ann", timedelta(days=2), 0), ("ann", timedelta(days=2, hours=1), 0.2),
    ],
)  # fmt: skip
def test_late_work_loses_by_the_day(tmp_path, student, after, lost):
    chosen = settings_of(tmp_path, LATE)
    assert chosen.lost_by(student, "04_straight_through", DUE + after) == pytest.approx(lost)


def test_each_exercise_may_be_due_at_its_own_time_and_none_need_be(tmp_path):
    chosen = settings_of(
        tmp_path, '[late]\nlost_per_day = 0.1\n[late.due]\n"04_straight_through" = 2026-12-01T12:00:00Z\n'
    )
    late = DUE + timedelta(days=1)
    assert (
        chosen.lost_by("ann", "04_straight_through", late) == 0.1
        and chosen.lost_by("ann", "05_three_losses", late) == 0
    )
    assert chosen.lost_by("ann", "04_straight_through", None) == settings.Settings().lost_by("ann", "x", late) == 0


BAD = {
    "no TOML": ("points = [", "is not TOML"),
    "unknown table": (
        "[marks]\nx = 1",
        "has 'marks'; wanted one of course, late, pages, partial_credit, points, private, roster",
    ),
    "unknown answer": ("[points]\nstraight_trough = 1", "has 'straight_trough'; wanted one of"),
    "negative": ("[points]\nlook_up = -1", "wanted a number from 0"),
    "word": ('[points]\nlook_up = "2"', "points.look_up is '2'; wanted a number"),
    "infinite": ("[points]\nlook_up = inf", "wanted a number"), "nan": ("[points]\nlook_up = nan", "wanted a number"),
    "true": ("[points]\nlook_up = true", "wanted a number"),
    "share": ("[late]\nlost_per_day = 10", "wanted a number from 0 to 1"),
    "due": ('[late]\ndue = "tomorrow"', "wanted datetime"),
    "due of nothing": ("[late.due]\nx = 2026-12-01T12:00:00", "has 'x'"),
    "points no table": ("points = 3", "is int; wanted a table"),
    "private missing": ('private = ["none.py"]', "gives no EXERCISE"),
    "private no words": ("private = [3]", "wanted str"),
}  # fmt: skip


@pytest.mark.parametrize("text, said", BAD.values(), ids=BAD)
def test_settings_that_nobody_understands_say_what_was_wanted(tmp_path, text, said):
    with pytest.raises(settings.BadSettings, match=re.escape(said)):
        settings_of(tmp_path, text)
    with pytest.raises(settings.BadSettings, match="cannot be read"):
        settings.load(tmp_path / "nowhere.toml")


PRIVATE = """
import torch
from course_lib.check.author import Call, exercise, normal


def mean_code(codebook):
    return codebook.mean(dim=0)


WRONG = '''
dim=0 -> dim=1
    the mean is over the codes, not over their numbers
'''


def draw(generator):
    return [Call((normal(generator, 4, 3),), ("codebook",), differentiate=(0,))]


EXERCISE = exercise(mean_code, lesson="90_mine", draw=draw, wrong=WRONG, hints=("", "", ""), points=3)
"""


def test_an_exercise_of_ones_own_is_a_file_outside(tmp_path, here):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/e90.py").write_text(PRIVATE)
    chosen = settings_of(tmp_path, 'private = ["hidden/e90.py"]\n[points]\n"90_mine" = 6\n')
    assert chosen.points["mean_code"] == 6 and chosen.lessons()["90_mine"] == ["mean_code"]
    examiner = Examiner(chosen.exercises, seed=0)
    finding = examiner.ask(notebook_of("def mean_code(c):\n    return c.mean(1)", lesson="90_mine"), "mean_code", here)
    assert (
        finding.verdict == "wrong"
        and "the mean is over the codes, not over their numbers" in dict(finding.rows).values()
    )
    finding = examiner.ask(
        notebook_of("def mean_code(c):\n    return c.sum(0) / len(c)", lesson="90_mine"), "mean_code", here
    )
    assert finding.verdict == "pass"
    (tmp_path / "hidden/e90.py").write_text(PRIVATE.replace("mean_code", "look_up"))
    with pytest.raises(settings.BadSettings, match="there is an exercise look_up already"):
        settings.load(tmp_path / "grading.toml")


FAULTY = {
    "a reference that raises": (
        "    return codebook",
        "    codebook[9]\n    return codebook",
        "the reference of mean_code raises IndexError",
    ),
    "a mistake that is right": ("-> dim=1", "-> dim=-2", "takes the mistake dim=0 -> dim=-2 for right"),
    "an import that fails": ("import torch\n", "import torch\nimport nowhere\n", "line 3: ModuleNotFoundError"),
}


@pytest.mark.parametrize("before, after, said", FAULTY.values(), ids=FAULTY)
def test_a_faulty_check_is_told_before_anybody_is_graded(tmp_path, before, after, said):
    assert before in PRIVATE
    (tmp_path / "e90.py").write_text(PRIVATE.replace(before, after))
    with pytest.raises(settings.BadSettings, match=re.escape(said)):
        settings_of(tmp_path, 'private = ["e90.py"]')


def test_another_check_gives_another_fingerprint(tmp_path):
    (tmp_path / "e90.py").write_text(PRIVATE)
    chosen = settings_of(tmp_path, 'private = ["e90.py"]')
    before = chosen.fingerprint()
    (tmp_path / "e90.py").write_text(PRIVATE + "\n")
    assert before != chosen.fingerprint() != settings.Settings().fingerprint()


# ----------------------------------------------------------------------------------------------------------------------
# Submissions


def student_with(tmp_path, **files) -> submissions.Student:
    (tmp_path / "ann").mkdir()
    for name, text in files.items():
        (tmp_path / "ann" / name.replace("__", ".")).write_bytes(text if isinstance(text, bytes) else text.encode())
    (student,) = submissions.students_in(tmp_path, tmp_path / "out")
    return student


def test_when_work_was_handed_in(tmp_path):
    text = hostile.notebook(hostile.cell(hostile.RIGHT, hostile.TAG))
    student = student_with(
        tmp_path, **{f"{hostile.LESSON}__ipynb": text, "timestamp__txt": "2026-11-25 13:05:00.5 UTC\n"}
    )
    read = submissions.read(student, hostile.LESSON, stamps=True)
    assert read.handed_in == datetime(2026, 11, 25, 13, 5, 0, 500_000, UTC) and len(read.digest) == 16
    (tmp_path / "ann/timestamp.txt").write_text("yesterday \x1b[31m")
    os.utime(tmp_path / f"ann/{hostile.LESSON}.ipynb", (1000, 1000))
    for stamps in (True, False):
        assert submissions.read(student, hostile.LESSON, stamps).handed_in == datetime.fromtimestamp(1000, UTC)
    assert "\x1b" not in student.notes[0] and "timestamp.txt is no time" in student.notes[0]


def test_notebooks_as_jupyter_writes_them_are_read(tmp_path):
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("a\nb", metadata={"tags": ["answer:x"]}), nbformat.v4.new_markdown_cell("c")]
    )
    student = student_with(tmp_path, **{f"{hostile.LESSON}__ipynb": nbformat.writes(made)})
    assert submissions.read(student, hostile.LESSON).cells == ({"number": 1, "source": "a\nb", "tags": ["answer:x"]},)


@pytest.mark.posix
def test_a_folder_for_output_is_no_student(tmp_path):
    for name in ("ann", "out", "__MACOSX"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path.parent / f"{tmp_path.name}-by-a-link").symlink_to(tmp_path)
    for folder, out in [(tmp_path, "{}/out"), (tmp_path, "{}-by-a-link/out"), (f"{tmp_path}-by-a-link", "{}/out")]:
        students = submissions.students_in(Path(folder), Path(out.format(tmp_path)))
        assert [student.name for student in students] == ["ann"]


def test_files_side_by_side_as_canvas_downloads_them(tmp_path):
    text = hostile.notebook(hostile.cell(hostile.RIGHT, hostile.TAG))
    for name in (
        "doeann_12_345_04_straight_through-2.ipynb",
        "doeann_12_346_05_three_losses.ipynb",
        "roe_LATE_13_99_04_straight_through.ipynb",
        "notes.ipynb",
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "eve_14_1_homework.ipynb").write_text(text)
    (tmp_path / "04_straight_through.ipynb").write_text(text)
    ann, eve, roe = submissions.students_in(tmp_path, tmp_path / "out")
    submissions.name_unknown_files([ann, eve, roe], [hostile.LESSON, "05_three_losses"])
    assert eve.strange == ["homework.ipynb"] and not ann.strange
    assert (
        submissions.read(eve, hostile.LESSON).problem
        == "no 04_straight_through.ipynb was handed in; is it one of homework.ipynb?"
    )
    assert submissions.unused_files(tmp_path) == ["04_straight_through.ipynb", "notes.ipynb"]
    assert ann.name == "doeann_12" and [len(ann.files_of(lesson)) for lesson in ann.lessons] == [1, 1]
    assert (roe.name, roe.notes) == ("roe_13", ["04_straight_through.ipynb: late, says Canvas"])
    assert submissions.read(ann, hostile.LESSON).cells[0]["source"] == hostile.RIGHT
    export = tmp_path / "export.csv"
    export.write_text("Student,ID,SIS User ID,SIS Login ID,Section\nAnn Doe,12,u,ann@x,A\n")
    assert tables.Roster(export)._who("doeann_12")[0] == "Ann Doe"


@pytest.mark.parametrize(
    "name", ["{} (1)", "{}(2)", "{}-Copy1", "{} copy", "{}-3", "roe_13_99_{}", "roe_LATE_13_99_{}-2"]
)
def test_a_copys_name_will_do_where_the_original_is_not_there(tmp_path, name):
    (tmp_path / "ann/deeper").mkdir(parents=True)
    (tmp_path / f"ann/{name.format(hostile.LESSON)}.ipynb").write_text(hostile.notebook(hostile.cell(hostile.WRONG)))
    (student,) = submissions.students_in(tmp_path, tmp_path / "out")
    submissions.name_unknown_files([student], [hostile.LESSON])
    assert submissions.read(student, hostile.LESSON).cells[0]["source"] == hostile.WRONG and not student.strange
    (tmp_path / f"ann/{hostile.LESSON}.ipynb").write_text(hostile.notebook(hostile.cell(hostile.RIGHT)))
    (student,) = submissions.students_in(tmp_path, tmp_path / "out")
    assert submissions.read(student, hostile.LESSON).cells[0]["source"] == hostile.RIGHT


def test_notebooks_that_lie_deeper_are_no_zero(tmp_path):
    (tmp_path / "ann/deeper/still").mkdir(parents=True)
    (tmp_path / f"ann/deeper/still/{hostile.LESSON}.ipynb").write_text(hostile.notebook(hostile.cell(hostile.RIGHT)))
    (student,) = submissions.students_in(tmp_path, tmp_path / "out")
    submissions.name_unknown_files([student], [hostile.LESSON])
    read = submissions.read(student, hostile.LESSON)
    assert read.there and "is it one of deeper/...?" in read.problem


def grows_deep(folder: Path, depth: int) -> None:
    """Folders in each other, deeper than a path can say."""
    before = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            os.mkdir("deep")
            os.chdir("deep")
    finally:
        os.chdir(before)


TRICKS = {
    "a link of 300 characters": (lambda folder: (folder / "link").symlink_to("x" * 300), ""),
    "1,100 folders in each other": (lambda folder: grows_deep(folder, 1100), "folders in it lie more than 10 deep"),
    "a link to itself": (lambda folder: (folder / "loop").symlink_to("loop"), ""),
    "a link above": (lambda folder: (folder / "up").symlink_to(".."), ""),
    "a link to everything": (lambda folder: (folder / "all").symlink_to("/"), ""),
    "a link to processes": (lambda folder: (folder / "proc").symlink_to("/proc"), ""),
    "a fifo": (lambda folder: os.mkfifo(folder / "fifo.ipynb"), "fifo.ipynb"),
    "many files": (lambda folder: [(folder / f"{number}.txt").touch() for number in range(120)], ""),
    "many folders": (
        lambda folder: [(folder / f"a/{n}").mkdir(parents=True) for n in range(120)],
        "100 files and folders",
    ),
}


@pytest.mark.posix
@pytest.mark.parametrize("trick, note", TRICKS.values(), ids=TRICKS)
def test_what_a_student_packs_is_one_students_note(tmp_path, monkeypatch, request, trick, note):
    """The work itself is graded all the same, that of the others without a word, and no link is followed."""
    monkeypatch.setattr(submissions, "MOST_FILES", 100)
    for name in ("ann", "eve", "zoe"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / f"in/{name}/{hostile.LESSON}.ipynb").write_text(hostile.notebook(hostile.cell(hostile.RIGHT)))
    trick(tmp_path / "in/eve")
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", tmp_path / "in"]))  # pytest cannot remove all of it
    students = submissions.students_in(tmp_path / "in", tmp_path / "out")
    submissions.name_unknown_files(students, [hostile.LESSON])
    ann, eve, zoe = students
    assert [student.name for student in students] == ["ann", "eve", "zoe"] and not ann.notes and not zoe.notes
    assert len(eve.notes) == bool(note) and note in "".join(eve.notes)
    assert all(submissions.read(student, hostile.LESSON).cells for student in students)
    assert not submissions.unused_files(tmp_path / "in")


@pytest.mark.posix
@pytest.mark.parametrize("target", ["loop", "/", "x" * 300, "ann"])
def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path, target):
    (tmp_path / "ann").mkdir()
    (tmp_path / f"ann/{hostile.LESSON}.ipynb").write_text(hostile.notebook(hostile.cell(hostile.RIGHT)))
    (tmp_path / "loop").symlink_to(target)
    ann, loop = submissions.students_in(tmp_path, tmp_path / "out")
    assert submissions.read(ann, hostile.LESSON).cells
    assert submissions.read(loop, hostile.LESSON).problem == "it is a link, not a folder"


def test_too_large_a_file_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_FILE", 100)
    student = student_with(tmp_path, **{f"{hostile.LESSON}__ipynb": hostile.notebook(hostile.cell("x" * 200))})
    assert "Clear the outputs and save it again" in submissions.read(student, hostile.LESSON).problem


# ----------------------------------------------------------------------------------------------------------------------
# Reports


def row_of(*findings: Finding, student: str = "ann", lost: float = 0.0, partial: bool = False, **more) -> marks.Row:
    points = {finding.check: 4.0 for finding in findings}
    return marks.Row(student, [marks.Mark(hostile.LESSON, list(findings), points, lost, partial=partial)], **more)


def test_marks_are_points_by_score_less_what_lateness_costs():
    half = Finding("ann", hostile.LESSON, "a", "d", "wrong", 0.5)
    whole = Finding("ann", hostile.LESSON, "b", "d", "pass", 1.0)
    (mark,) = row_of(half, whole).marks
    assert (mark.raw, mark.most) == (4, 8), "all the points of an answer, or none"
    row = row_of(half, whole, lost=0.1, partial=True)
    (mark,) = row.marks
    assert (mark.raw, mark.most, row.total) == (6, 8, pytest.approx(5.4))
    assert [test["score"] for test in gradescope.results(row)["tests"]] == [1.8, 3.6]
    assert "a: wrong" in row.all_notes() and f"{hostile.LESSON}: late, 10% lost" in row.all_notes()


def test_what_was_not_graded_is_an_empty_cell_and_no_zero():
    row = row_of(Finding("ann", hostile.LESSON, "a", "d", "not_graded", rows=(("came", "cannot be read"),)))
    header, line = tables.gradebook([row])
    assert line[header.index(hostile.LESSON)] == "" and "cannot be read" in line[-1]
    result = gradescope.results(row)
    assert "score" not in result and "score" not in result["tests"][0]
    assert tables.nbgrader([row])[1][7:10] == ["", "", ""]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\n=1", "\r+1", "＝1+1", "=1;=2"])
def test_formulas_are_texts_in_every_table(text):
    row = row_of(a_finding(), student=text, notes=[text])
    for table in (tables.gradebook([row]), tables.nbgrader([row]), tables.Roster().table([row])):
        cells = [cell for line in csv.reader(io.StringIO(tables.as_csv(table))) for cell in line]
        assert not [cell for cell in cells if cell.strip()[:1] in tuple("=+-@＝")]
        assert all("\n" not in cell and "\r" not in cell for cell in cells)


def test_numbers_are_numbers():
    assert tables.cell(2.0) == "2" and tables.cell(2 / 3) == "0.6667" and tables.cell(0.0) == "0"


def test_files_of_students_have_names_that_any_system_takes():
    students = [
        "ann",
        "Ann",
        "..",
        "../../etc",
        "a/b",
        "CON ",
        "x" * 300,
        "Zoë",
        "",
        "a\nb",
        "\udce9",
        ".hidden",
        "=x",
        "end.",
        "Class",
        "alike",
    ]
    names = reports.file_names(students)
    assert not {"class", "alike"} & set(map(str.lower, names.values())), "the instructor's pages"
    assert names["ann"] == "ann" and names["Zoë"] == "Zoë" and names["=x"] == "=x"
    lowered = [name.lower() for name in names.values()]
    assert len(set(lowered)) == len(students)
    assert all(
        0 < len(name.encode()) < 250 and not re.search(r'[/\\\n<>:"|?*]', name) and name[0] != "."
        for name in names.values()
    )


def test_a_page_shows_what_a_check_shows_and_nothing_that_acts():
    rows = (("came", "<script>alert(1)</script> & more"), ("the cause", "which of the two terms?"))
    finding = Finding(
        "ann", hostile.LESSON, "straight_through", "d", "wrong", 0.0, "<b>title</b>", rows, "<table></table>"
    )
    text = pages.student(row_of(finding, student="<img src=x onerror=alert(1)>", notes=["<i>"]))
    assert "<script" not in text and "<img" not in text and "<i>" not in text and "&lt;script&gt;" in text
    assert "which of the two terms?" in text and "<table></table>" in text


def test_another_number_of_points_in_canvas_is_told(tmp_path):
    export = tmp_path / "export.csv"
    head = "Student,ID,SIS User ID,SIS Login ID,Section,Straight through (1),Other (2)\n"
    export.write_text(head + '    Points Possible,,,,,7,(read only)\nDoe,17,u1,ann,A,,\n"Student, Test",18,,,A,,\n')
    roster = tables.Roster(export)
    assert roster.other_points([row_of(a_finding())]) == [("Straight through (1)", 7, 4)]
    assert roster.absent(["ann"]) == [], "nobody has to grade Canvas's own test student"
    export.write_text(head + "    Points Possible,,,,,4,\nDoe,17,u1,ann,A,,\n")
    assert tables.Roster(export).other_points([row_of(a_finding())]) == []


def test_canvas_takes_whom_it_knows_from_its_own_export(tmp_path):
    export = tmp_path / "export.csv"
    export.write_text(
        "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Old (1)\n"
        '    Points Possible,,,,,5\n"Doe, Ann",17,u1,ann,A,3\n'
    )
    table = tables.Roster(export).table([row_of(a_finding()), row_of(a_finding(), student="bob")])
    assert table[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", hostile.LESSON]
    assert (
        table[1][5] == 4
        and table[2] == ["Doe, Ann", "17", "u1", "ann", "A", 4]
        and table[3][:4] == ["bob", "", "", "bob"]
    )
    export.write_text("Name\nann\n")
    with pytest.raises(ValueError, match="wanted a gradebook exported from Canvas"):
        tables.Roster(export)


def test_nbgraders_table_has_the_columns_of_its_export():
    table = tables.nbgrader([row_of(a_finding(), lost=0.25)])
    assert dict(zip(*table))["score"] == 3 and dict(zip(*table))["late_submission_penalty"] == 1
    exporter = pytest.importorskip("nbgrader.plugins.export")
    import inspect

    for column in table[0]:
        assert f"'{column}'" in inspect.getsource(exporter) or f'"{column}"' in inspect.getsource(exporter)


# ----------------------------------------------------------------------------------------------------------------------
# The command


def options_of(folder: Path, *more: str):
    return _parser().parse_args([str(folder), "--out", str(folder.parent / "out"), *more])


@pytest.fixture
def class_of_two(tmp_path):
    for student, source in {"ann": hostile.RIGHT, "bob": hostile.WRONG}.items():
        place = tmp_path / "in" / student
        place.mkdir(parents=True)
        (place / f"{hostile.LESSON}.ipynb").write_text(hostile.notebook(hostile.cell(source, hostile.TAG)))
    return tmp_path / "in"


def grade(*arguments, sandbox_there=None) -> int:
    """The command, but for the process in which answers run."""
    threads = torch.get_num_threads()
    try:
        return command.grade(options_of(*arguments), [sandbox_there or Here()])
    finally:
        torch.set_num_threads(threads)


def test_options_write_the_other_tables_and_choose_exercises(class_of_two, capsys):
    assert grade(class_of_two, "--nbgrader", "--canvas", "--exercise", "04") == 0
    out = class_of_two.parent / "out"
    assert {"gradebook.csv", "nbgrader.csv", "canvas.csv", "ann.json", "bob.html", "verdicts.jsonl"} <= {
        p.name for p in out.iterdir()
    }
    assert "2 students, 4 answers: 2 blank, 1 pass, 1 wrong" in capsys.readouterr().out
    assert grade(class_of_two, "--exercise", "06_ema_updates") == 0
    assert not (out / "canvas.csv").exists()  # it would show the marks of an earlier run
    assert "06_ema_updates" in (out / "gradebook.csv").read_text().splitlines()[0]


FAULTS = {
    "no such exercise": (["--exercise", "77"], "there is no exercise '77' with points; there are 01_why_discrete"),
    "no settings": (["--settings", "/nowhere.toml"], "cannot be read"),
    "no export": (["--canvas", "/nowhere.csv"], "there is no /nowhere.csv"),
}


@pytest.mark.parametrize("more, said", FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_begun_says_why(class_of_two, capsys, more, said):
    assert grade(class_of_two, *more) == 2
    assert said in capsys.readouterr().err and not (class_of_two.parent / "out").exists()


def test_folders_without_work_are_told_what_was_wanted(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert grade(tmp_path / "in") == 2
    assert "holds no student's folder; wanted" in capsys.readouterr().err
    assert grade(tmp_path / "none") == 2 and "there is no" in capsys.readouterr().err
    (tmp_path / "in/ann").mkdir()
    assert grade(tmp_path / "in") == 2
    assert "no folder holds a notebook with the name of an exercise" in capsys.readouterr().err


@pytest.mark.posix
def test_without_namespaces_nothing_is_graded_and_the_reason_is_told(class_of_two, tmp_path, monkeypatch, capsys):
    """Each bwrap in its own words; nothing weaker is taken unless it is asked for by name."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: no namespaces for you' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(machine, "binaries", lambda: [str(fake)])
    monkeypatch.setattr(sys, "platform", "linux")
    assert main([str(class_of_two), "--out", str(tmp_path / "marks")]) == 2
    words = capsys.readouterr().err
    assert "nothing was graded" in words and "bwrap: no namespaces for you" in words and "--sandbox process" in words
    assert not (tmp_path / "marks").exists()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main([str(class_of_two), "--out", str(tmp_path / "marks")]) == 2
    words = capsys.readouterr().err
    assert "Linux alone has namespaces" in words and "WSL" in words and "Install bubblewrap" not in words


@needs_fork
def test_what_nobody_may_read_is_named_before_anything_is_graded(class_of_two, tmp_path, monkeypatch, capsys):
    closed = tmp_path / "packages"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(machine, "readable_paths", lambda: [str(closed)])
    monkeypatch.setattr(machine, "is_root", lambda: True)
    assert main([str(class_of_two), "--out", str(tmp_path / "marks")]) == 2
    assert f"nobody, who may not read {closed}; chmod -R o+rX" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["--jobs", "0"], ["--timeout", "0"], ["--timeout", "x"], ["--sandbox", "none"], ["--memory", "-1"]]
)
def test_options_out_of_range_are_refused(class_of_two, more):
    with pytest.raises(SystemExit) as refused:
        options_of(class_of_two, *more)
    assert refused.value.code == 2


def test_a_fault_of_the_graders_own_costs_one_verdict_and_is_told(class_of_two, monkeypatch, capsys):
    whole = Examiner.ask

    def fails(self, notebook, *more):
        if notebook.student == "ann":
            raise RuntimeError("own fault")
        return whole(self, notebook, *more)

    monkeypatch.setattr(Examiner, "ask", fails)
    assert grade(class_of_two) == 0
    ann, bob = (class_of_two.parent / "out/gradebook.csv").read_text().splitlines()[1:]
    assert "own fault" in ann and ann.startswith("ann,,0,0") and bob.startswith("bob,0,0,4")
    monkeypatch.undo()
    assert grade(class_of_two) == 0
    assert (class_of_two.parent / "out/gradebook.csv").read_text().splitlines()[1].startswith("ann,2,2,4")
