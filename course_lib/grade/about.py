"""What stands behind the checks: --about NAME. The course's own were measured by `make trust`, which keeps the numbers
in check/trust.json and docs/trust.md; a private exercise is measured when it is asked about."""

import difflib
import json
import sys
from dataclasses import asdict

import torch

from course_lib.check import own, proof
from course_lib.check.exercises import EXERCISES
from course_lib.check.proof import Proof
from course_lib.grade import settings
from course_lib.grade.given import COURSE

KEPT = COURSE / "check" / "trust.json"
HEADINGS = ("check", "right answers", "known mistakes", "mutants", "noticed", "the same", "draws")
EARLIER = "measured for an earlier version of this check; `make trust` measures it anew"


def run(options) -> int:
    """-> the exit status: 0; 1 where something does not hold; 2 where nothing is known by that name."""
    torch.set_num_threads(1)
    try:
        chosen = settings.load(options.settings)
        private = {name: chosen.exercises[name] for name in chosen.exercises.keys() - EXERCISES.keys()}
        if options.about and options.about not in chosen.exercises:
            near = difflib.get_close_matches(options.about, chosen.exercises, n=3, cutoff=0.4) or list(EXERCISES)[:3]
            where = "" if private else " One of your own is known with --settings."
            raise ValueError(f"there is no check {options.about!r}; did you mean {', '.join(near)}?{where}")
        known = kept()
        for name, exercise in private.items():
            if options.about in ("", name):
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                known[name] = own.measure(exercise, options.draws), settings.versions()
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.about and options.about not in known:
        print(f"{options.about} was not measured yet: make trust", file=sys.stderr)
        return 2
    if options.about:
        print("\n".join(of_one(options.about, *known[options.about])))
    else:
        print("\n".join(of_all(known)))
    shown = [options.about] if options.about else known
    return 0 if all(known[name][0].holds for name in shown) else 1


def kept() -> dict[str, tuple[Proof, str]]:
    """By name, what was measured and with which versions; nothing where nothing was."""
    if not KEPT.exists():
        return {}
    entries = json.loads(KEPT.read_text(encoding="utf-8"))
    return {name: (Proof(**entry["proof"]), entry["versions"]) for name, entry in entries.items()}


def as_kept(known: dict[str, tuple[Proof, str]]) -> str:
    entries = {name: {"versions": versions, "proof": asdict(proof)} for name, (proof, versions) in known.items()}
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def is_earlier(name: str, found: Proof) -> bool:
    """Whether the exercise's file is another one than that which was measured."""
    return name in EXERCISES and found.fingerprint != proof.fingerprint_of(EXERCISES[name])


def row_of(name: str, found: Proof) -> tuple[str, ...]:
    """One cell for each of HEADINGS."""
    mutants = ("not tried", "", "")
    if found.mutants is not None:
        mutants = (str(found.mutants), str(found.killed), str(sum(found.same.values())))
    right = f"{found.right - len(found.refused)} of {found.right}"
    return name, right, f"{found.mistakes - len(found.taken)} of {found.mistakes}", *mutants, str(found.draws)


def of_one(name: str, found: Proof, versions: str) -> list[str]:
    lines = [name, "", found.in_words(), "", f"measured with {versions}"]
    wrong = [
        *(f"REFUSED, and right: {text}" for text in found.refused),
        *(f"TAKEN, or called by another's name: {text}" for text in found.taken),
        *(f"NOT NOTICED: {text}" for text in found.holes),
        *(f"LISTED as the same, and is not: {text}" for text in found.stale),
    ]
    return lines + wrong + ([EARLIER] if is_earlier(name, found) else [])


def of_all(known: dict[str, tuple[Proof, str]]) -> list[str]:
    """A table; a star behind what was measured for an earlier version."""
    rows = [HEADINGS]
    for name, (found, _) in known.items():
        rows.append(row_of(name + ("*" if is_earlier(name, found) else ""), found))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return lines + ([f"* {EARLIER}"] if any(is_earlier(name, found) for name, (found, _) in known.items()) else [])
