"""What all subjects of the benchmark share: numbers, tables and verdicts in Markdown, and a fresh process.

A subject is a module beside this file with a function `report() -> str` that measures, and gives the sections for
RESULTS.md, each with its title. `python -m benchmarks.layer` prints those of one subject.
"""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

NOT_MEASURED = "not measured"
RATIO_HEADER = ["codes K", "A and B", "A", "B", "A / B", "aim"]


def number(value: float | str | None) -> str:
    """Four significant digits, or all digits before the point; None is what was not measured, a string stays."""
    if value is None or isinstance(value, str):
        return value or NOT_MEASURED
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:#.4g}".removesuffix(".")


def table(header: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *([number(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict(value: float | None, at_least: float | None = None, at_most: float | None = None, unit: str = "") -> str:
    """The aim for the value, and whether it was reached; '-' where there is none."""
    if at_least is None and at_most is None:
        return "-"
    aim = f"at least {at_least:g}{unit}" if at_most is None else f"at most {at_most:g}{unit}"
    if value is None:
        return f"{aim}: {NOT_MEASURED}"
    return f"{aim}: {'reached' if (value >= at_least if at_most is None else value <= at_most) else 'fell short'}"


def ratio_row(codebook_size: int, a: str, b: str, values: dict, unit: str, **aim) -> list:
    """One row under RATIO_HEADER; `values` holds A and B under their names, or None where they were not measured."""
    sides = values[a], values[b]
    ratio = None if None in sides else sides[0] / sides[1] if sides[1] else math.inf
    shown = [f"{number(side)} {unit}" if side is not None else None for side in sides]
    return [codebook_size, f"{a} / {b}", *shown, ratio, verdict(ratio, **aim)]


def in_fresh_process(function: Callable, *arguments):
    """What the function gives in a process of its own, which no earlier measurement has warmed, filled or left busy."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
