"""Measure what stands behind each check: `make trust` calls it.

    python tools/trust.py               # those whose exercise, variants or list of equivalents have changed
    python tools/trust.py --all         # every one, with 20 draws of inputs; --draws 100 for more
    python tools/trust.py look_up       # this one

Writes course_lib/check/trust.json, which `python -m course_lib.grade --about` shows, and docs/trust.md, after each:
what was broken off goes on where it was.
"""

import argparse
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests" / "proof")]

import torch  # noqa: E402
from equivalents import EQUIVALENTS, WITHOUT_GRADIENTS  # noqa: E402
from variants import VARIANTS  # noqa: E402

from course_lib import files  # noqa: E402
from course_lib.check import proof  # noqa: E402
from course_lib.check.exercises import EXERCISES  # noqa: E402
from course_lib.check.proof import Proof  # noqa: E402
from course_lib.grade import about, settings  # noqa: E402

PAGE = PROJECT / "docs" / "trust.md"
HEAD = """# What stands behind each check

Written by `make trust`, never by hand. {checks} checks: of {right} right answers {accepted} are accepted; of {mistakes}
known mistakes {refused} are refused, each by its own name; of {mutants} mutants {noticed} are noticed, and {same} do
the same as the right answer.

| column | what it says |
|---|---|
| right answers | of the reference and right answers in other styles, how many are accepted in every draw |
| known mistakes | how many are refused in every draw, each by its own name |
| mutants | one small change of the right answer: `+` for `-`; `.detach()` where somebody differentiates |
| noticed | how many of them are refused in one of three draws |
| the same | how many do what the right answer does, whatever the input; below the table is why |
| draws | of random inputs, for answers and known mistakes; three where a check trains |

"""
MIDDLE = """
## Mutants that do the same

A person read each of them. They are listed one by one in `tests/proof/equivalents.py`, and a test fails when one is
listed and does not survive any more, or survives and is not listed.

"""


def main(arguments: list[str] | None = None) -> int:
    """-> the exit status: 0, or 1 where something does not hold."""
    parser = argparse.ArgumentParser(description="Measure what stands behind each check.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, whether they have changed or not")
    parser.add_argument("--all", action="store_true", help="those that have not changed, too")
    parser.add_argument("--draws", type=int, default=proof.DRAWS, help="of inputs (%(default)s)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - EXERCISES.keys():
        parser.error(f"there is no exercise {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    known = about.kept()
    for name, exercise in EXERCISES.items():
        if options.names and name not in options.names:
            continue
        if not (options.all or options.names or name not in known or is_out_of_date(name, known[name][0])):
            continue
        found = proof.measure(
            exercise, VARIANTS[name], EQUIVALENTS.get(name), name not in WITHOUT_GRADIENTS, options.draws
        )
        known[name] = found, settings.versions()
        print("\n".join(about.of_one(name, *known[name])), end="\n\n", flush=True)
        write(known)
    write(known)
    return 0 if all(found.holds for found, _ in known.values()) else 1


def is_out_of_date(name: str, found: Proof) -> bool:
    """Whether another exercise, other variants or another list of equivalents were measured than there are now."""
    there = 1 + len(VARIANTS[name]), len(EXERCISES[name].mistakes), set(EQUIVALENTS.get(name, ()))
    return about.is_earlier(name, found) or there != (found.right, found.mistakes, set(found.same))


def write(known: dict[str, tuple[Proof, str]]) -> None:
    """In the order of the course, without those that are gone."""
    known = {name: known[name] for name in EXERCISES if name in known}
    files.write(about.KEPT, about.as_kept(known))
    files.write(PAGE, page(known))


def page(known: dict[str, tuple[Proof, str]]) -> str:
    found = [one for one, _ in known.values()]
    text = HEAD.format(
        checks=len(found),
        right=sum(one.right for one in found),
        accepted=sum(one.right - len(one.refused) for one in found),
        mistakes=sum(one.mistakes for one in found),
        refused=sum(one.mistakes - len(one.taken) for one in found),
        mutants=sum(one.mutants or 0 for one in found),
        noticed=sum(one.killed or 0 for one in found),
        same=sum(sum(one.same.values()) for one in found),
    )
    rows = [
        about.HEADINGS,
        ["---"] * len(about.HEADINGS),
        *(about.row_of(name, one) for name, (one, _) in known.items()),
    ]
    text += "".join(f"| {' | '.join(row)} |\n" for row in rows) + MIDDLE
    for name, (one, _) in known.items():
        text += "".join(f"- `{name}`, {count}: {reason.replace('<', '&lt;')}\n" for reason, count in one.same.items())
    versions = "; ".join(dict.fromkeys(versions for _, versions in known.values()))
    return f"{text}\nMeasured with {versions}.\n"


if __name__ == "__main__":
    sys.exit(main())
