"""Asks an answer in a sandbox, and weighs what came of it, where no stranger's code runs."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable

from torch import Tensor

from course_lib.check import feedback
from course_lib.check.judge import Exercise, draw_calls, judge
from course_lib.check.observe import Call, Observation, Raised, Seed, put_together
from course_lib.grade.finding import Finding, cleaned
from course_lib.grade.given import given
from course_lib.grade.inside import server, wire
from course_lib.grade.inside.program import MOST_CANDIDATES
from course_lib.grade.sandbox import Reply, Sandbox
from course_lib.grade.submissions import Notebook

SECONDS, SECONDS_TRAINING = 10.0, 60.0  # that a question may take, where nobody says otherwise
MEMORY = 2**29  # bytes that it may take, beyond what torch itself does
HURRIED = 5  # times less, for somebody of whom several answers did not end
WEIGHING = 2  # times the usual seconds of a question: that its reply may take to be weighed
OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|bad_alloc|Cannot allocate memory")
WANTED = "wanted: plain tensors, tuples of them, numbers, or a flat dictionary of True and False"
ANSWERED = ("pass", "wrong", "type", "not_graded")  # then nothing further up in the notebook is asked
Weigh = Callable[[str, int, Reply], tuple[Finding, int]]


def seed_of(run: int, notebook: Notebook) -> int:
    words = "\0".join([str(run), notebook.student, notebook.lesson, notebook.digest])
    return int.from_bytes(hashlib.sha256(words.encode(errors="surrogatepass")).digest()[:4]) >> 1


class Examiner:
    """seed:    of the run. Each notebook is asked with draws of its own: nobody's reply is worth anything to another.
    seconds: that a question may take; None: as its exercise needs.
    memory:  bytes that it may take. Several threads may use one examiner.
    environment: in words, for every finding. checks: by answer, the fingerprint of what judges it.
    """

    def __init__(
        self,
        exercises: dict[str, Exercise],
        seed: int,
        seconds: float | None = None,
        memory: int = MEMORY,
        environment: str = "",
        checks: dict[str, str] | None = None,
    ):
        self.exercises, self.seed, self.seconds, self.memory = exercises, seed, seconds, memory
        self.environment, self.checks = environment, checks or {}
        self._usual: dict[str, float] = {}

    def seconds_for(self, name: str, hurried: bool = False) -> float:
        """That a question about this answer may take."""
        return (self.seconds or self._usual_seconds(name)) / (HURRIED if hurried else 1)

    def seconds_to_weigh(self, name: str) -> float:
        """That the grader may take for the reply: it asks the reference too, and known mistakes."""
        return WEIGHING * self._usual_seconds(name)

    def _usual_seconds(self, name: str) -> float:
        if name not in self._usual:
            self._usual[name] = SECONDS_TRAINING if self.exercises[name].slow else SECONDS
        return self._usual[name]

    def seed_for(self, notebook: Notebook, name: str = "") -> int:
        """Of the draws of a notebook's answers; `replay` has one for each of them."""
        return seed_of(self.seed, notebook)

    def ask(
        self, notebook: Notebook, name: str, sandbox: Sandbox, weigh: Weigh | None = None, hurried: bool = False
    ) -> Finding:
        """What the last place that defines the answer is worth. Where that gives no answer (a stub, an error, no end),
        the one above it is asked: a copy that was spoilt costs nothing, and several guesses gain nothing.

        weigh: `self.weigh`, or what does the same elsewhere. Never raises for what an answer does. `NoSandbox` where
        none can be started.
        """
        if notebook.problem:
            verdict = "not_graded" if notebook.there else "blank"
            return self._about(notebook, Finding.plain(name, verdict, notebook.problem))
        if not any(f"answer:{name}" in cell["tags"] or name in cell["source"] for cell in notebook.cells):
            return self._about(notebook, Finding.plain(name, "blank", "no cell of the notebook defines it"))
        start = time.monotonic()
        seconds = self.seconds_for(name, hurried)
        best = self._best(notebook, name, sandbox, weigh or self.weigh, seconds)
        measured = {"seconds": round(time.monotonic() - start, 3), "sandbox": f"{sandbox.kind} ({sandbox.layers})"}
        measured |= {"allowed": seconds}
        return self._about(notebook, best, **measured)

    def not_graded(self, notebook: Notebook, name: str, why: str) -> Finding:
        return self._about(notebook, Finding.plain(name, "not_graded", why))

    def _about(self, notebook: Notebook, finding: Finding, **more) -> Finding:
        about = {"student": notebook.student, "lesson": notebook.lesson, "notebook": notebook.digest}
        about |= {"seed": self.seed_for(notebook, finding.check), "environment": self.environment}
        about |= {"allowed": self.seconds_for(finding.check), "allowed_memory": self.memory}
        about |= {"checks": self.checks.get(finding.check, "")}
        return dataclasses.replace(finding, **about | more)

    def _best(self, notebook: Notebook, name: str, sandbox: Sandbox, weigh: Weigh, seconds: float) -> Finding:
        seed, best = self.seed_for(notebook, name), None
        exercise = self.question(name, seed)
        for candidate in range(MOST_CANDIDATES):
            place = wire.pack({"name": name, "cells": list(notebook.cells), "candidate": candidate})
            reply = sandbox.ask(wire.join(place, exercise), seconds, self.memory)
            finding, count = weigh(name, seed, reply)
            if finding.verdict == "timeout":
                why = f"no result after {seconds:g} seconds; does a loop never end?"
                finding = Finding.plain(name, "timeout", why)
            finding = _as_written(finding, notebook)
            if finding.better_than(best):
                best = finding
            if finding.verdict in ANSWERED or candidate + 1 >= count:
                break
        return best

    def question(self, name: str, seed: int) -> bytes:
        """The second part of what `inside.answer` wants."""
        exercise = self.exercises[name]
        calls = [
            vars(call) | {"args": tuple({"number": arg.number} if isinstance(arg, Seed) else arg for arg in call.args)}
            for call in draw_calls(exercise, seed)
        ]
        return wire.pack({"calls": calls, "given": given(exercise.lesson)})

    def weigh(self, name: str, seed: int, reply: Reply) -> tuple[Finding, int]:
        """What a reply is worth, and how many places of the notebook may define the answer."""
        without_reply = {
            "timeout": "no result in time",
            "memory": f"it wanted more than {self.memory >> 20} MiB of memory",
            "crash": reply.data[:200].decode(errors="replace") or "its process was gone",
        }
        if reply.how in without_reply:
            return Finding.plain(name, reply.how, without_reply[reply.how]), MOST_CANDIDATES
        try:
            if reply.how == "too long":
                raise wire.Unacceptable(f"a result of more than {server.MOST_REPLY >> 20} MiB")
            content = wire.unpack(reply.data)
            if type(content) is not dict or type(content.get("candidates")) is not int:
                raise wire.Unacceptable("no reply of the kind that was wanted")
            finding = _finding(self.exercises[name], seed, content)
            return _with_its_cell(finding, content), content["candidates"]
        except wire.Unacceptable as error:
            return Finding.plain(name, "type", f"{cleaned(error, 300)}; {WANTED}"), MOST_CANDIDATES
        except Exception as error:  # of the grader's own, whatever brought it about
            why = f"the grader itself failed: {type(error).__name__}: {error}"[:500]
            return Finding.plain(name, "not_graded", why), MOST_CANDIDATES


class WeighedApart:
    """Weighs replies in a process of its own, which ends when one of them, as a stranger wrote it, takes too long; the
    next one then gets another process. Is called as `Examiner.weigh` is.

    To be made before the grader has threads: these processes are forked from one that is forked here.
    """

    def __init__(self, examiner: Examiner):
        self.examiner = examiner
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.requests = None
        if os.fork() == 0:
            try:
                os.setsid()  # Ctrl-C is for the grader, which ends what it has begun
                server.close_all_but(theirs.fileno())
                server.serve(theirs, self._weigh_all)
            finally:
                os._exit(1)
        theirs.close()

    def __call__(self, name: str, seed: int, reply: Reply) -> tuple[Finding, int]:
        if self.requests is None:
            (their_requests, requests), (results, their_results) = os.pipe(), os.pipe()
            socket.send_fds(self.control, [server.QUESTION], [their_requests, their_results])
            os.close(their_requests)
            os.close(their_results)
            self.requests, self.results = os.fdopen(requests, "wb"), os.fdopen(results, "rb")
        seconds = self.examiner.seconds_to_weigh(name)
        with contextlib.suppress(BrokenPipeError):
            self.requests.write(json.dumps([name, seed, reply.how, len(reply.data), seconds]).encode() + b"\n")
            self.requests.write(reply.data)
            self.requests.flush()
        if result := self.results.readline():
            line, count = json.loads(result)
            return Finding.from_line(line), count
        self.requests = None
        status = int(self.control.recv(100))
        if status == -signal.SIGALRM:
            why = f"a result that cannot be compared within {seconds:g} seconds; {WANTED}"
            return Finding.plain(name, "type", why), 1
        return Finding.plain(name, "not_graded", f"the grader itself failed, with exit status {status}"), 1

    def _weigh_all(self, requests: int, results: int) -> None:
        """In the process."""
        with open(requests, "rb") as requests, open(results, "wb") as results:
            while request := requests.readline():
                name, seed, how, length, seconds = json.loads(request)
                reply = Reply(how, requests.read(length))
                signal.setitimer(signal.ITIMER_REAL, seconds)  # whose signal ends the process
                finding, count = self.examiner.weigh(name, seed, reply)
                signal.setitimer(signal.ITIMER_REAL, 0)
                results.write(json.dumps([finding.as_line(), count]).encode() + b"\n")
                results.flush()


# ----------------------------------------------------------------------------------------------------------------------
# What a reply says


def _finding(exercise: Exercise, seed: int, content: dict) -> Finding:
    name = exercise.name
    if "refused" in content:
        return Finding.plain(name, "type", f"{cleaned(content['refused'], 500)}; {WANTED}")
    if "syntax" in content:
        if type(content["syntax"]) is not list or len(content["syntax"]) != 3:
            raise wire.Unacceptable("a syntax error of no known form")
        line, message, source = (cleaned(part, 500) for part in content["syntax"])
        return Finding.plain(name, "syntax", f"line {line}: {message}\n{source}")
    failed = content.get("failed imports")
    failed = [("imports", f"not to be had here: {line}") for line in (failed if type(failed) is list else [])[:9]]
    if "raised" in content:
        raised = _as_raised(content["raised"])
        if raised.is_stub:
            return Finding.plain(name, "blank", "the cell still raises NotImplementedError")
        rows = [("came", feedback.raised_in_words(raised)), ("wanted", "a cell that runs by itself"), *failed]
        return _of_rows(name, _kind_of_error(raised), f"{name}: the cell raised an error", rows)
    if "runs" not in content:
        return Finding.plain(name, "blank", "no cell of the notebook defines it")
    calls = draw_calls(exercise, seed)
    verdict = judge(exercise, calls, _observations(calls, content["runs"]))
    kind = {"right": "pass", "not attempted": "blank"}.get(verdict.status, verdict.status)
    if kind == "raised":
        kind = _kind_of_error(verdict.raised)
    elif kind == "wrong" and not _of_accepted_kind(verdict.difference):
        kind = "type"
    rows = [row for row in feedback.rows_of(exercise, verdict, 0) if row[0] not in ("next", "compare")]
    rows += failed if kind == "raised" else []
    picture = "" if kind == "pass" else feedback.picture_of(verdict.difference)
    finding = _of_rows(name, kind, feedback.title_of(exercise, verdict), rows, verdict.score, picture)
    if verdict.mistake is None:
        return finding
    return dataclasses.replace(finding, mistake=verdict.mistake.name, certain=verdict.certain)


def _with_its_cell(finding: Finding, content: dict) -> Finding:
    """Says which cell it is about, where there was a choice."""
    cell, last, count = (content.get(what, 0) for what in ("cell", "last", "candidates"))
    if not type(cell) is type(last) is int:
        raise wire.Unacceptable("a cell that is no number")
    if cell < last:
        why = f"cell {cell} counts, as cell {last}, which defines it last, gives no answer"
    else:
        why = f"cell {cell} counts, the last of {count} that define it" if count > 1 and finding.score < 1 else ""
    return dataclasses.replace(finding, cell=cell, rows=(*finding.rows, *([("cell", why)] if why else [])))


def _as_written(finding: Finding, notebook: Notebook) -> Finding:
    """Not blank is a cell in which something was written, and which uses another answer that was not."""
    sources = [cell["source"] for cell in notebook.cells if cell["number"] == finding.cell]
    if finding.verdict != "blank" or finding.mistake or not sources or "NotImplementedError" in sources[0]:
        return finding
    rows = [("came", "it uses another answer of the notebook, which still raises NotImplementedError")]
    rows += [("wanted", "the answers that this one builds on, written too")]
    return dataclasses.replace(
        finding, verdict="raised", title=f"{finding.check}: another answer is missing", rows=tuple(rows), mistake=""
    )


def _of_rows(name: str, verdict: str, title: str, rows: list, score: float = 0.0, picture: str = "") -> Finding:
    rows = tuple((heading, cleaned(text)) for heading, text in rows)
    return Finding(check=name, verdict=verdict, score=score, title=title, rows=rows, picture=picture)


def _as_raised(parts) -> Raised:
    if not (isinstance(parts, list) and [type(part) for part in parts[:2]] == [str, str] and len(parts) == 4):
        raise wire.Unacceptable("an error of no known form")
    kind, message, line, source = parts
    return Raised(cleaned(kind, 500), cleaned(message, 2000), line if type(line) is int else None, cleaned(source, 500))


def _observations(calls: list[Call], runs) -> list[Observation]:
    """One for each call. `Unacceptable` for whatever `observe` would not have written."""
    if type(runs) is not list or not runs:
        raise wire.Unacceptable("no observations")
    observations = []
    for call, run in zip(calls, runs):
        if type(run) is not dict or not all(type(part) is dict for part in run.values()):
            raise wire.Unacceptable("observations of no known form")
        try:
            observations.append(put_together(call, {what: _observation(part) for what, part in run.items()}))
        except KeyError as error:
            raise wire.Unacceptable(f"an observation without {cleaned(error, 500)}") from None
    if len(observations) < len(calls):
        raised = observations[0].get("raised")
        if raised is None or not raised.is_stub:
            raise wire.Unacceptable(f"{len(observations)} observations of {len(calls)}")
        observations += [observations[0]] * (len(calls) - len(observations))
    return observations


def _observation(values: dict) -> Observation:
    if "raised" in values:
        return {"raised": _as_raised(values["raised"])}
    for value in values.values():
        if type(value) not in (Tensor, bool, int, float, str):
            raise wire.Unacceptable(f"a {type(value).__name__} among the observations")
    return {cleaned(key, 500): cleaned(value, 2000) if type(value) is str else value for key, value in values.items()}


def _kind_of_error(raised: Raised) -> str:
    return "memory" if raised.kind == "MemoryError" or OUT_OF_MEMORY.search(raised.message) else "raised"


def _of_accepted_kind(difference) -> bool:
    """Whether what differs is at least a tensor, a number, several of them, or a dictionary."""
    if difference.what == "kind of result":
        return bool(re.fullmatch(r"tensor|number|True or False|\d+ values|dict of \d+", str(difference.came)))
    return not (difference.problem == "kind" and isinstance(difference.came, str))
