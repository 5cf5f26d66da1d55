"""A class larger than a machine: each grades its part into a journal of its own, and one makes the marks of all."""

import argparse
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.grade.journal import Journal

MOST = 1000


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1. Whose it is, the name of a student's folder alone says: not the machine, the
    order or the others, so that a shard can be graded anywhere, at any time and once more."""

    number: int
    count: int

    @classmethod
    def from_text(cls, text: str) -> "Shard":
        numbers = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        shard = cls(*map(int, numbers.groups())) if numbers else None
        if shard is None or not 1 <= shard.number <= shard.count <= MOST:
            wanted = f"wanted 2/8 for the second of eight, from 1/8 to 8/8, of at most {MOST}"
            raise argparse.ArgumentTypeError(f"{text}: {wanted}")
        return shard

    def __str__(self) -> str:
        return f"{self.number} of {self.count}"

    @property
    def journal(self) -> str:
        return f"verdicts-{self.number}-of-{self.count}.jsonl"

    def holds(self, student: str) -> bool:
        """macOS and Linux write an accent in two ways: José is one student on both."""
        name = unicodedata.normalize("NFC", student).encode(errors="surrogatepass")
        return int.from_bytes(hashlib.sha256(name).digest()[:8]) % self.count == self.number - 1


def merge(journal: Journal, students: Iterable[str]) -> Iterator[str]:
    """Takes over what the shards' journals beside this one hold and it does not; gives what is to be told. `InUse`
    where one is still written, on this machine."""
    shards, found = _there(journal.path.parent), {}
    for shard in shards:
        theirs = Journal(journal.path.parent, journal.checks, shard.journal)
        try:
            for finding in theirs.findings:
                before, other = found.setdefault((finding.student, finding.check, finding.notebook), (finding, shard))
                if (before.verdict, before.score) != (finding.verdict, finding.score):
                    who = f"{finding.student}, {finding.check}"
                    yield f"{who}: {before.verdict} in shard {other}, {finding.verdict} in shard {shard}"
            journal.take_over(theirs)
        finally:
            theirs.close()
    known = {finding.student for finding in journal.findings}
    for count in sorted({shard.count for shard in shards}):
        missing = [shard for n in range(count) if (shard := Shard(n + 1, count)) not in shards]
        theirs = [name for name in students if name not in known and any(s.holds(name) for s in missing)]
        if theirs:
            which = ", ".join(str(shard.number) for shard in missing)
            yield f"shard {which} of {count} has no journal here: its {len(theirs)} students are graded now"


def _there(folder: Path) -> list[Shard]:
    named = (re.fullmatch(r"verdicts-([1-9]\d*)-of-([1-9]\d*)\.jsonl", path.name) for path in folder.iterdir())
    return sorted((Shard(*map(int, name.groups())) for name in named if name), key=lambda s: (s.count, s.number))
