"""One question: what does this notebook's answer do? Asked in a sandbox, judged here, where no stranger's code runs."""

import ast
import functools
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch import Tensor

from course_lib import quantize
from course_lib.check import feedback
from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import Exercise, draw_calls, judge
from course_lib.check.observe import Call, Observation, Raised, Seed, observe, put_together
from course_lib.grade import wire, zygote
from course_lib.grade.sandbox import Reply, Sandbox
from course_lib.grade.submissions import Notebook, shown

VERDICTS = ("pass", "wrong", "blank", "syntax", "raised", "timeout", "memory", "crash", "type", "not_graded")
SECONDS, SECONDS_TRAINING = 10.0, 60.0  # that a question may take, where nobody says otherwise
MEMORY = 2**29  # bytes that it may take, beyond what torch itself does
MOST_CANDIDATES = 3  # places of one notebook that define the same answer
OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|bad_alloc|Cannot allocate memory")


@dataclass(frozen=True)
class Finding:
    """What is known of one answer: a line of the journal.

    verdict: one of VERDICTS. score: in [0, 1]. rows: headings and texts, as a check shows them. picture: HTML.
    """

    student: str
    lesson: str
    check: str
    notebook: str  # its digest
    verdict: str
    score: float = 0.0
    title: str = ""
    rows: tuple = ()  # of (heading, text)
    picture: str = ""
    seconds: float = 0.0
    allowed: float = 0.0  # seconds
    sandbox: str = ""

    @classmethod
    def from_line(cls, said: dict) -> "Finding":
        """`TypeError` or `ValueError` for what no finding ever was."""
        found = cls(**said | {"rows": tuple((str(heading), str(text)) for heading, text in said["rows"])})
        for field in fields(cls):
            if not isinstance(getattr(found, field.name), {float: (int, float), str: str}.get(field.type, tuple)):
                raise ValueError(field.name)
        if found.verdict not in VERDICTS or not 0 <= found.score <= 1:
            raise ValueError(found.verdict)
        return found

    def as_line(self) -> dict:
        return asdict(self)


class Examiner:
    """Asks answers in sandboxes and judges them. All answers of one run are asked with the same random draws, so what the
    reference and the known mistakes do is found out once. Several threads may use one, each with its own sandbox."""

    def __init__(
        self, exercises: dict[str, Exercise], seed: int | None = None, seconds: float | None = None, memory=MEMORY
    ):
        self.exercises, self.seconds, self.memory = exercises, seconds, memory
        self.seed = secrets.randbelow(2**31) if seed is None else seed
        self._lock = threading.RLock()
        self._calls: dict[str, list[Call]] = {}
        self._questions: dict[str, bytes] = {}
        self._seen: dict[tuple, Observation] = {}

    def ask(self, notebook: Notebook, name: str, sandbox: Sandbox) -> Finding:
        """Never raises for what an answer does. `NoSandbox` where none can be started."""
        start, where = time.monotonic(), ""
        if notebook.problem:
            best = _plain("not_graded" if notebook.there else "blank", name, notebook.problem)
        elif not any(mentions(cell, name) for cell in notebook.cells):
            best = _plain("blank", name, "no cell of the notebook defines it")
        else:
            best = self._best(self.exercises[name], notebook, sandbox)
            where = f"{sandbox.kind} ({sandbox.layers})"
        return self._finding(notebook, name, best, time.monotonic() - start, where)

    def not_graded(self, notebook: Notebook, name: str, why: str) -> Finding:
        return self._finding(notebook, name, _plain("not_graded", name, why[:1000]))

    def seconds_for(self, name: str) -> float:
        """That a question about this answer may take."""
        return self.seconds or (SECONDS_TRAINING if self.trains(name) else SECONDS)

    def trains(self, name: str) -> bool:
        return any(call.train for call in self._calls_of(self.exercises[name]))

    def _finding(self, notebook: Notebook, name: str, found: dict, seconds: float = 0.0, sandbox: str = "") -> Finding:
        about = {"student": notebook.student, "lesson": notebook.lesson, "check": name, "notebook": notebook.digest}
        measured = {"seconds": round(seconds, 3), "allowed": self.seconds_for(name), "sandbox": sandbox}
        return Finding(**about, **found, **measured)

    def _best(self, exercise: Exercise, notebook: Notebook, sandbox: Sandbox) -> dict:
        """Of the places that define the answer, what the best of them is worth: a copy that was spoilt costs nothing."""
        calls, seconds = self._calls_of(exercise), self.seconds_for(exercise.name)
        best, candidate, count = None, 0, 1
        while candidate < min(count, MOST_CANDIDATES):
            place = {"name": exercise.name, "cells": list(notebook.cells), "candidate": candidate}
            reply = sandbox.ask(wire.join(wire.pack(place), self._packed(exercise)), seconds, self.memory)
            with self._lock:
                found, count = self._weigh(exercise, calls, reply, seconds)
            if best is None or (found["score"], -_rank(found)) > (best["score"], -_rank(best)):
                best = found
            if best["verdict"] == "pass":
                break
            candidate += 1
        return best

    def _weigh(self, exercise: Exercise, calls, reply: Reply, seconds: float) -> tuple[dict, int]:
        """What a reply is worth, and how many places may define the answer."""
        name, count = exercise.name, MOST_CANDIDATES
        if reply.how == "timeout":
            return _plain("timeout", name, f"no result after {seconds:g} seconds; does a loop never end?"), count
        if reply.how == "memory":
            return _plain("memory", name, f"it wanted more than {self.memory >> 20} MiB of memory"), count
        if reply.how == "crash":
            return _plain(
                "crash", name, shown(reply.data.decode(errors="replace")[:200]) or "its process was gone"
            ), count
        try:
            if reply.how == "too long":
                raise wire.Unacceptable(f"a result of more than {zygote.MOST >> 20} MiB")
            said = wire.unpack(reply.data)
            if type(said) is not dict or type(said.get("found")) is not int:
                raise wire.Unacceptable("no reply of the kind that was wanted")
            return self._judged(exercise, calls, said), said["found"]
        except wire.Unacceptable as error:
            return _plain("type", name, f"{shown(str(error))[:300]}; {WANTED}"), count
        except Exception as error:  # of the grader's own, whatever brought it about
            return _plain("not_graded", name, f"the grader itself failed: {type(error).__name__}: {error}"[:500]), count

    def _judged(self, exercise: Exercise, calls: list[Call], said: dict) -> dict:
        name = exercise.name
        if "refused" in said:
            return _plain("type", name, f"{_text(said['refused'])}; {WANTED}")
        if "syntax" in said:
            if type(said["syntax"]) is not list or len(said["syntax"]) != 3:
                raise wire.Unacceptable("a syntax error of no known form")
            line, message, source = said["syntax"]
            return _plain("syntax", name, f"line {_text(line)}: {_text(message)}\n{_text(source)}")
        failed = said.get("failed imports")
        extra = [
            ("imports", f"not to be had here: {_text(line)}") for line in (failed if type(failed) is list else [])[:9]
        ]
        if "raised" in said:
            raised = _as_raised(said["raised"])
            rows = [("came", feedback.raised_in_words(raised)), ("wanted", "a cell that runs by itself"), *extra]
            verdict = "blank" if raised.is_stub else _kind_of_error(raised)
            return _finding(
                verdict, f"{name}: not attempted yet" if raised.is_stub else f"{name}: the cell raised an error", rows
            )
        if "runs" not in said:
            return _plain("blank", name, "no cell of the notebook defines it")
        observations = _observations(calls, said["runs"])
        verdict = judge(exercise, calls, observations, self._look)
        what = {"right": "pass", "not attempted": "blank"}.get(verdict.status, verdict.status)
        if what == "raised":
            what = _kind_of_error(verdict.raised)
        elif what == "wrong" and not _of_accepted_kind(verdict.difference):
            what = "type"
        rows = [row for row in feedback.rows_of(exercise, verdict, 0) if row[0] not in ("next", "compare")]
        picture = "" if what == "pass" else feedback.picture_of(verdict.difference)
        shown_rows = rows + (extra if what == "raised" else [])
        return _finding(what, feedback.title_of(exercise, verdict), shown_rows, verdict.score, picture)

    def _calls_of(self, exercise: Exercise) -> list[Call]:
        with self._lock:
            if exercise.name not in self._calls:
                self._calls[exercise.name] = draw_calls(exercise, self.seed)
            return self._calls[exercise.name]

    def _packed(self, exercise: Exercise) -> bytes:
        """What every student is asked alike."""
        with self._lock:
            if exercise.name not in self._questions:
                calls = [_as_tree(call) for call in self._calls_of(exercise)]
                self._questions[exercise.name] = wire.pack({"calls": calls, "given": given(exercise.lesson)})
            return self._questions[exercise.name]

    def _look(self, answer, call: Call) -> Observation:
        """`observe`, with a memory. The calls are kept, so their identities stay theirs."""
        key = answer, id(call)
        if key not in self._seen:
            self._seen[key] = observe(answer, call)
        return self._seen[key]


WANTED = "wanted: plain tensors, tuples of them, numbers, or a flat dictionary of True and False"


def mentions(cell: dict, name: str) -> bool:
    return f"answer:{name}" in cell["tags"] or name in cell["source"]


def _rank(found: dict) -> int:
    """A worse verdict has a higher one: of two answers without marks, the one that says more is shown."""
    order = ("pass", "wrong", "type", "raised", "syntax", "timeout", "memory", "crash", "blank", "not_graded")
    return order.index(found["verdict"])


def _finding(verdict: str, title: str, rows, score: float = 0.0, picture: str = "") -> dict:
    rows = tuple((heading, _cleaned(text)) for heading, text in rows)
    return {"verdict": verdict, "score": score, "title": title, "rows": rows, "picture": picture}


TITLES = {
    "blank": "not attempted yet", "syntax": "Python cannot read the cell", "timeout": "it took too long",
    "memory": "it took too much memory", "crash": "it ended its process", "type": "a result of another kind",
    "not_graded": "not graded",
}  # fmt: skip


def _plain(verdict: str, name: str, text: str) -> dict:
    return _finding(verdict, f"{name}: {TITLES[verdict]}", [("why", text)])


def _cleaned(text: str, most: int = 3000) -> str:
    return "\n".join(shown(line) for line in text[:most].split("\n"))


def _text(value, most: int = 500) -> str:
    return _cleaned(str(value)[:most])


# ----------------------------------------------------------------------------------------------------------------------
# What goes in, what came out


def _as_tree(call: Call) -> dict:
    """The fields of a call as `inside.answer` wants them."""
    return vars(call) | {"args": tuple({"number": arg.number} if isinstance(arg, Seed) else arg for arg in call.args)}


def _as_raised(said) -> Raised:
    if not (isinstance(said, list) and [type(part) for part in said[:2]] == [str, str] and len(said) == 4):
        raise wire.Unacceptable("an error of no known form")
    kind, message, line, source = said
    return Raised(_text(kind), _text(message, 2000), line if type(line) is int else None, _text(source))


def _observations(calls: list[Call], runs) -> list[Observation]:
    """One for each call. `Unacceptable` for whatever `observe` would not have written."""
    if type(runs) is not list or not runs:
        raise wire.Unacceptable("no observations")
    observations = []
    for call, seen in zip(calls, runs):
        if type(seen) is not dict or not all(type(one) is dict for one in seen.values()):
            raise wire.Unacceptable("observations of no known form")
        try:
            observations.append(put_together(call, {what: _observation(one) for what, one in seen.items()}))
        except KeyError as error:
            raise wire.Unacceptable(f"an observation without {_text(error)}") from None
    if len(observations) < len(calls):
        raised = observations[0].get("raised")
        if raised is None or not raised.is_stub:
            raise wire.Unacceptable(f"{len(observations)} observations of {len(calls)}")
        observations += [observations[0]] * (len(calls) - len(observations))
    return observations


def _observation(said: dict) -> Observation:
    if "raised" in said:
        return {"raised": _as_raised(said["raised"])}
    for value in said.values():
        if type(value) not in (Tensor, bool, int, float, str):
            raise wire.Unacceptable(f"a {type(value).__name__} among the observations")
    return {_text(key): _text(value, 2000) if type(value) is str else value for key, value in said.items()}


def _kind_of_error(raised: Raised) -> str:
    return "memory" if raised.kind == "MemoryError" or OUT_OF_MEMORY.search(raised.message) else "raised"


def _of_accepted_kind(difference) -> bool:
    """Whether what differs is at least a tensor, a number, several of them, or a dictionary."""
    if difference.what == "kind of result":
        return bool(re.fullmatch(r"tensor|number|True or False|\d+ values|dict of \d+", str(difference.came)))
    return not (difference.problem == "kind" and isinstance(difference.came, str))


# ----------------------------------------------------------------------------------------------------------------------
# What an answer may use of the course


@functools.cache
def given(lesson: str) -> str:
    """The source of `course_lib.quantize` as far as answers of this lesson may use it: what earlier exercises had one
    write, and what needs nothing else."""
    tree = ast.parse(Path(quantize.__file__).read_text(encoding="utf-8"))
    later = {exercise.name for exercise in EXERCISES.values() if exercise.lesson >= lesson}
    parts = {name: node for node in tree.body for name in _names_of(node)}
    kept = {name for name, node in parts.items() if not isinstance(node, ast.ClassDef) and name not in later}
    needs = {
        name: {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & parts.keys() for name, node in parts.items()
    }
    while lost := {name for name in kept if not needs[name] <= kept}:
        kept -= lost
    chosen = {id(parts[name]) for name in kept}
    return "\n\n".join(ast.unparse(node) for node in tree.body if id(node) in chosen)


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
