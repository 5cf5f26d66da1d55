"""What is known of one answer."""

from dataclasses import asdict, dataclass, fields

TITLES = {  # by verdict: what is said where a check would say nothing
    "pass": "right",
    "wrong": "not yet",
    "type": "a result of another kind",
    "raised": "the cell raised an error",
    "syntax": "Python cannot read the cell",
    "timeout": "it took too long",
    "memory": "it took too much memory",
    "crash": "it ended its process",
    "blank": "not attempted yet",
    "not_graded": "not graded",
}
VERDICTS = tuple(TITLES)  # of two answers without marks, the one whose verdict stands further up is shown: it says more


@dataclass(frozen=True)
class Finding:
    """A line of the journal.

    verdict: one of VERDICTS. score: in [0, 1]. rows: headings and texts, as a check shows them. picture: HTML.
    seconds: that it took; allowed: that it might have taken. mistake: the name of the known one that it was, certainly
    or likely. seed: of its draws. environment: what it was found with, in words. cell: the one that was taken.
    checks: the fingerprint of what judged it.
    """

    student: str = ""
    lesson: str = ""
    check: str = ""
    notebook: str = ""  # its digest
    verdict: str = "not_graded"
    score: float = 0.0
    title: str = ""
    rows: tuple = ()  # of (heading, text)
    picture: str = ""
    seconds: float = 0.0
    allowed: float = 0.0
    sandbox: str = ""
    mistake: str = ""
    certain: bool = False
    seed: int = 0
    environment: str = ""
    cell: int = 0
    checks: str = ""

    @classmethod
    def plain(cls, check: str, verdict: str, why: str) -> "Finding":
        """One that is said in a sentence."""
        return cls(check=check, verdict=verdict, title=f"{check}: {TITLES[verdict]}", rows=(("why", cleaned(why)),))

    @classmethod
    def from_line(cls, line: dict) -> "Finding":
        """`KeyError`, `TypeError` or `ValueError` for what no finding ever was."""
        finding = cls(**line | {"rows": tuple((str(heading), str(text)) for heading, text in line["rows"])})
        for field in fields(cls):
            if not isinstance(getattr(finding, field.name), (int, float) if field.type is float else field.type):
                raise ValueError(field.name)
        if finding.verdict not in VERDICTS or not 0 <= finding.score <= 1:
            raise ValueError(finding.verdict)
        return finding

    def as_line(self) -> dict:
        return asdict(self)

    def better_than(self, other: "Finding | None") -> bool:
        return other is None or self._worth() > other._worth()

    def _worth(self) -> tuple[float, int]:
        return self.score, -VERDICTS.index(self.verdict)


def printable(text: str) -> str:
    """A stranger's text for a report: without what a terminal or a table would act upon."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def cleaned(value, most: int = 3000) -> str:
    """At most so many characters of it, as printable lines."""
    return "\n".join(printable(line) for line in str(value)[:most].split("\n"))
