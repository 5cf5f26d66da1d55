"""Every verdict in a file as soon as it is known, a line of JSON each. Whoever is killed goes on where it ends."""

import json
import os
import secrets
from datetime import date
from pathlib import Path

from course_lib.grade.finding import Finding

NAME = "verdicts.jsonl"


class InUse(RuntimeError):
    """Another grader writes the same journal."""


class Journal:
    """The verdicts of one class. The first line says with which random draws they were found, and so does a line above
    what was taken over from another journal. No line is ever taken away: what was found by a check that has changed
    since stays above what was found then.

    checks:     by answer, the fingerprint of what judges it now.
    seed:       of the draws: that of a run that was broken off, or a new one.
    taken_over: how many verdicts were there already, and still hold.
    outdated:   answers of which some verdict does not, as the check has changed.
    `InUse` where another process has it open; `OSError` where the folder cannot be written.
    """

    def __init__(self, folder: Path, checks: dict[str, str], name: str = NAME):
        self.checks = checks
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / name
        if self.path.exists() and not self.path.is_file():
            raise OSError(f"{self.path} is no regular file")
        as_it_is = getattr(os, "O_BINARY", 0)  # Windows would end lines otherwise
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | as_it_is, 0o644)
        _lock(self._file, self.path)
        head, lines = self._read()
        if not head:
            if lines:  # of nobody knows what: it is kept, and not believed
                _put_aside(self.path)
                os.ftruncate(self._file, 0)
            elif os.fstat(self._file).st_size:
                os.ftruncate(self._file, 0)
            head, lines = {"seed": secrets.randbelow(2**31), "begun": date.today().isoformat()}, []
            self._append(head)
        self.head, self.seed = head, head["seed"]
        self._findings: dict[tuple[str, str, str], Finding] = {}
        outdated = set()
        for line in lines:
            try:
                finding = Finding.from_line(line)
            except (TypeError, ValueError, KeyError):
                continue  # it is found out again
            if finding.checks == checks.get(finding.check, ""):
                self._findings[finding.student, finding.check, finding.notebook] = finding
            else:
                outdated.add((finding.student, finding.check, finding.notebook))
        self.outdated = {check for _, check, _ in outdated - self._findings.keys()}
        self.taken_over = len(self._findings)

    def find(self, student: str, check: str, notebook: str, allowed: float, memory: int = 0) -> Finding | None:
        """What is known and still holds: not what fell to the grader, nor a want of time or memory there is now."""
        finding = self._findings.get((student, check, notebook))
        if finding is None or finding.verdict == "not_graded":
            return None
        more_time = finding.verdict == "timeout" and finding.allowed < allowed
        more_memory = finding.verdict == "memory" and finding.allowed_memory < memory
        return None if more_time or more_memory else finding

    @property
    def findings(self) -> list[Finding]:
        return list(self._findings.values())

    def take_over(self, other: "Journal") -> None:
        """What the other holds and this one does not; what is here counts more."""
        new = [finding for key, finding in other._findings.items() if key not in self._findings]
        if new:
            self._append(other.head)
        for finding in new:
            self.write(finding)
        self.taken_over += len(new)
        self.outdated |= other.outdated

    def ask_again(self, names: set[str]) -> None:
        """Nothing is known any longer about these students, answers and exercises."""
        findings = self._findings.items()
        self._findings = {key: f for key, f in findings if not {f.student, f.check, f.lesson} & names}

    def write(self, finding: Finding) -> None:
        self._append(finding.as_line())
        self._findings[finding.student, finding.check, finding.notebook] = finding

    def close(self) -> None:
        os.close(self._file)

    def _append(self, line: dict) -> None:
        """One call of the system: a line is there or it is not, or it is the last and has no end."""
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._file, data) :]

    def _read(self) -> tuple[dict, list[dict]]:
        """The first line and the others. A last line without an end is cut off."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file, whole)
        lines = []
        for line in data[:whole].splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict):
                lines.append(entry)
        seed = lines[0].get("seed") if lines and "student" not in lines[0] else None  # a finding's is of its own draws
        head = lines[0] if type(seed) is int and 0 <= seed < 2**31 else {}
        return head, lines[1:] if head else lines


def _put_aside(path: Path) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    aside.write_bytes(path.read_bytes())
    print(f"{path.name} has no first line with the draws; it is kept as {aside.name}, and all is graded anew")


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise InUse(f"another grader is writing {path}; wait for its end, or name another folder with --out") from None


def read(path: Path) -> tuple[list[int], list[Finding]]:
    """The seeds of a journal's draws, its own first, and its verdicts, in their order, without opening it for writing.
    `ValueError` for a file that is no journal, and for a line that no grader wrote."""
    seeds, findings = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):  # a last line without an end was cut off
        try:
            entry = json.loads(line)
            if not seeds or "student" not in entry:
                seeds.append(int(entry["seed"]))
            else:
                findings.append(Finding.from_line(entry))
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}, line {number}: not what a grader writes") from None
    return seeds, findings
