"""Predictions, checked: the learner writes a guess, the lesson computes what happens, `compare` says where it held."""

import math


def compare(guess: dict, found: dict, within: float = 0.0) -> None:
    """Prints guess beside finding, item by item, and how many held.

    guess, found: the same keys; values are booleans, whole numbers, words, or floats. within: the relative error that
    a numeric guess may have. A guess left out, or with a name that is not asked for, is said.
    """
    held = 0
    rows = [("question", "your guess", "found", "")]
    for name, value in found.items():
        right = name in guess and _agree(guess[name], value, within)
        held += right
        verdict = "as guessed" if right else "differs" if name in guess else "no guess"
        rows.append((name, _text(guess[name]) if name in guess else "-", _text(value), verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, guessed, value, verdict in rows:
        print(f"{name:<{widths[0]}}   {guessed:>{widths[1]}}   {value:>{widths[2]}}   {verdict}".rstrip())
    for name in guess.keys() - found.keys():
        print(f"{name}: not a question here; the names are {', '.join(found)}")
    print(f"{held} of {len(found)} as guessed{f' (numbers within {within:.0%})' if within else ''}.")


def _agree(guess, value, within: float) -> bool:
    if isinstance(value, (bool, str)) or isinstance(guess, (bool, str)):
        return guess == value
    return math.isclose(guess, value, rel_tol=within, abs_tol=1e-9)


def _text(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
