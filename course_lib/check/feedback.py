"""A verdict as words: a coloured card in JupyterLab, plain text in a terminal."""

import re
from html import escape
from math import isnan

import torch
from torch import Tensor

from course_lib.check.judge import Difference, Exercise, Verdict
from course_lib.check.observe import Call, Raised, Seed

COLOURS = {"right": "#1a7f37", "not attempted": "#6e7781"}  # the rest: amber
AMBER = "#9a6700"


def rows_of(exercise: Exercise, verdict: Verdict, hints_taken: int) -> list[tuple[str, str]]:
    """What is said, as (heading, text): the same in HTML and in a terminal."""
    if verdict.status == "right":
        return [("checked", ", ".join(verdict.parts)), ("compare", f"one way to write it: {exercise.solution}")]
    rows = []
    if verdict.status == "not attempted":
        planted = verdict.mistake is not None
        rows.append(
            ("came", "the program still does what it did" if planted else "the cell still raises NotImplementedError")
        )
        rows.append(("wanted", "the fault found and mended" if planted else "your lines in place of that one"))
    else:
        rows += call_in_words(verdict.call)
        if verdict.raised:
            rows += [("came", raised_in_words(verdict.raised)), ("wanted", "an answer without an error")]
        else:
            rows += _difference_rows(verdict.difference)
            if verdict.difference.what.startswith("gradient of"):
                how = (
                    "autograd's gradient of your result; one of many numbers is first summed, with fixed random weights"
                )
                rows.append(("how", how))
        if verdict.mistake:
            rows.append(("the cause" if verdict.certain else "likely cause", verdict.mistake.message))
        else:
            rows += [("likely cause", cause) for cause in _general_causes(verdict)]
        held = [part for part, holds in verdict.parts.items() if holds]
        if held and verdict.score:
            rows.append(("holds", ", ".join(held)))
    rows.append(("next", what_next(exercise, hints_taken)))
    return rows


def _general_causes(verdict: Verdict) -> list[str]:
    """What can be said of slips that any answer can have, where no known mistake of the exercise fits."""
    raised, difference = verdict.raised, verdict.difference
    if raised is None:
        sides = difference.came, difference.wanted
        came, wanted = sides if difference.index is None else (side[difference.index].item() for side in sides)
        return [NAN] if _is_nan(came) and not _is_nan(wanted) else []
    causes = [cause for words, cause in CAUSES.items() if words in raised.message]
    return [cause for cause in causes if cause != TOO_FEW_AXES or not AXIS_OF_LENGTH_1.search(raised.source)]


def _is_nan(value) -> bool:
    return isinstance(value, float) and isnan(value)


NAN = (
    "NaN comes from 0 / 0, inf - inf, 0 * inf, or the root or logarithm of a number below 0; a gradient is NaN where a "
    "root's or a norm's argument is 0. Which line meets such a number first?"
)
TOO_FEW_AXES = (
    "two shapes do not fit; where every row is to meet every other, one of them needs an axis of length 1: "
    "unsqueeze, [:, None] or keepdim=True"
)
AXIS_OF_LENGTH_1 = re.compile(r"unsqueeze|\bNone\b|keepdim|newaxis")  # then it is not that there are too few
CAUSES = {  # what PyTorch says of slips that any answer can have -> what to do about it
    "leaf Variable that requires grad": (
        "`+=`, and a name that ends in _, write into the tensor that was handed in; a = a + b makes a new one"
    ),
    "modified by an inplace operation": (
        "a tensor that backward still needs was overwritten: write a = a * b for a *= b"
    ),
    **dict.fromkeys(
        ["same dtype", "same scalar type", "self.dtype to be equal", "expected scalar type"],
        "numbers of two dtypes meet: .to(x.dtype) of one of them, or x.new_zeros(...) in place of torch.zeros(...)",
    ),
    "must match the size of tensor": TOO_FEW_AXES,
    "long int !=": (
        "whole numbers, from one_hot or bincount, meet floating-point ones: .to(x.dtype) makes them the same"
    ),
    "CUDA": "a GPU was asked for by name; a tensor belongs where the inputs are, on x.device",
}


def what_next(exercise: Exercise, hints_taken: int) -> str:
    if hints_taken >= len(exercise.hints):
        return f"all hints are taken; one way to write it: {exercise.solution}"
    return f'hint("{exercise.name}") gives hint {hints_taken + 1} of {len(exercise.hints)}'


def title_of(exercise: Exercise, verdict: Verdict) -> str:
    titles = {"right": "right", "not attempted": "not attempted yet", "raised": "your code raised an error"}
    if verdict.mistake and verdict.mistake.planted and verdict.certain:
        return f"{exercise.name}: the fault is still there"
    return f"{exercise.name}: {titles.get(verdict.status, 'not yet')}"


def as_text(title: str, rows: list[tuple[str, str]], progress: str) -> str:
    width = max(len(heading) for heading, _ in rows) if rows else 0
    lines = [title]
    for heading, text in rows:
        first, *rest = text.splitlines() or [""]
        lines.append(f"  {heading:<{width}}  {first}")
        lines += [f"  {'':<{width}}  {line}" for line in rest]
    return "\n".join([*lines, f"  {progress}"] if progress else lines)


def as_html(
    title: str, rows: list[tuple[str, str]], progress: str, colour: str, picture: str = "", link: bool = True
) -> str:
    """The card. colour: of the bar at its left alone, since words in it would be dim on white or on black.

    link: whether the path of a solution is one, as seen from the folder of the exercises.
    """
    linked = _linked if link else str
    cells = "".join(
        f'<tr style="background:none"><th style="text-align:left;vertical-align:top;padding:1px 12px 1px 0;'
        f'font-weight:600;white-space:nowrap;opacity:.75">{escape(heading)}</th>'
        f'<td style="text-align:left;padding:1px 0;white-space:pre-wrap">{linked(escape(text))}</td></tr>'
        for heading, text in rows
    )
    below = f'<div style="opacity:.7;font-size:90%">{escape(progress)}</div>' if progress else ""
    return (
        f'<div style="border-left:5px solid {colour};padding:6px 12px;margin:4px 0;max-width:56em;line-height:1.45">'
        f'<div style="font-weight:700">{escape(title)}</div>'
        f'<table style="border:none;border-collapse:collapse;margin:4px 0;font-size:100%">{cells}</table>{picture}'
        f"{below}</div>"
    )


def _linked(text: str) -> str:
    return re.sub(r"solutions/\w+\.ipynb", r'<a href="../\g<0>">\g<0></a>', text)


def colour_of(verdict: Verdict) -> str:
    return COLOURS.get(verdict.status, AMBER)


# ----------------------------------------------------------------------------------------------------------------------
# Words for what came and what was wanted


def call_in_words(call: Call) -> list[tuple[str, str]]:
    """The arguments by name: tensors as their shape, small ones with their values. Before them, what a class is made
    with."""
    words = [f"{name} {_value_in_words(value)}" for name, value in zip(call.names, call.args)]
    rows = [("called with", ("\n" if sum(map(len, words)) > 80 else ", ").join(words) or "no arguments")]
    if isinstance(call.build, dict) and call.build:
        rows.insert(0, ("made with", ", ".join(f"{name}={value!r}" for name, value in call.build.items())))
    elif call.build:
        rows.insert(0, ("made with", ", ".join(map(repr, call.build))))
    return rows


def _value_in_words(value) -> str:
    if isinstance(value, Seed):
        return f"torch.Generator with seed {value.number}"
    if isinstance(value, Tensor):
        kind = "" if value.dtype == torch.float32 else f" {str(value.dtype).removeprefix('torch.')}"
        return f"{tuple(value.shape)}{kind}{' ' + _rounded(value.tolist()) if value.numel() <= 12 else ''}"
    return _number(value) if isinstance(value, float) else repr(value)


def _rounded(value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_rounded, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def raised_in_words(raised: Raised) -> str:
    where = f"\nline {raised.line}: {raised.source}" if raised.line else ""
    return f"{raised.kind}: {_shortened(raised.message)}{where}"


def without_a_picture(error: Exception) -> str:
    """What stands in place of the learner's picture where the answer raised something."""
    return "not attempted yet" if isinstance(error, NotImplementedError) else f"{type(error).__name__}: {error}"


def _difference_rows(difference: Difference) -> list[tuple[str, str]]:
    came, wanted, what = difference.came, difference.wanted, difference.what
    if difference.problem == "missing":
        there = wanted is None
        return [
            ("came", f"{what}, which was not asked for" if there else f"no {what}"),
            ("wanted", "nothing there" if there else what),
        ]
    if what == "new tensors" and isinstance(came, str):
        return [
            ("came", f"{came}; on a GPU this fails"),
            ("wanted", "new tensors where the inputs are: device=x.device, x.new_zeros(...), torch.zeros_like(x)"),
        ]
    if difference.problem == "shape":
        return [("came", f"{what} of shape {tuple(came.shape)}"), ("wanted", f"shape {tuple(wanted.shape)}")]
    if difference.problem == "dtype":
        return [("came", f"{what} of dtype {came.dtype}"), ("wanted", str(wanted.dtype))]
    if difference.problem == "kind":
        return [
            ("came", f"{what}: {_number(came)}"),
            ("wanted", f"a tensor of shape {tuple(wanted.shape)}, {wanted.dtype}"),
        ]
    if difference.index is None:
        hint = "; is the return line missing?" if came == "None" else ""
        return [("came", f"{what}: {_number(came)}{hint}"), ("wanted", _number(wanted))]
    where = f" at {list(difference.index)}" if difference.index else ""
    many = f"; {difference.count} of {wanted.numel()} numbers differ" if wanted.numel() > 1 else ""
    return [
        ("came", f"{what}{where}: {_number(came[difference.index].item())}{many}"),
        ("wanted", _number(wanted[difference.index].item())),
    ]


def _number(value) -> str:
    """A number, or what came in place of one, in few characters."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, float):
        return f"{value + 0.0:.5g}"  # no minus before a zero
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if type(value) is int and abs(value) >= 10**30:  # Python writes out no more than 4300 digits
        return f"{'-' if value < 0 else ''}2 ** {abs(value).bit_length() - 1} or more"
    return _shortened(str(value))


def _shortened(text: str, most: int = 400) -> str:
    return text if len(text) <= most else text[:most] + " ..."


# ----------------------------------------------------------------------------------------------------------------------
# The learner's numbers beside the wanted ones, as two coloured tables: faster than any plotting library


def picture_of(difference: Difference | None, most: int = 8) -> str:
    """HTML: yours and wanted around the first difference, one scale of colours for both; empty for single numbers."""
    if difference is None or difference.problem != "value" or not difference.index:
        return ""
    came, wanted = (_slice(value, difference.index, most) for value in (difference.came, difference.wanted))
    (yours, at), (target, _) = came, wanted
    finite = [x for row in yours + target for x in row if abs(x) < float("inf")]
    largest = max(map(abs, finite), default=0.0) or 1.0
    tables = [(name, _table(values, at, largest)) for name, values in (("yours", yours), ("wanted", target))]
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:4px 28px;margin:4px 0">'
        + "".join(
            f'<div tabindex="0" style="max-width:100%;overflow-x:auto">'
            f'<div style="opacity:.75">{name}</div>{table}</div>'
            for name, table in tables
        )
        + "</div>"
    )


def _slice(value: Tensor, index: tuple[int, ...], most: int):
    """The last two axes around `index`, at most `most` each -> rows of numbers, and where `index` is among them."""
    value = value[index[:-2]].double()
    index = index[-2:]
    if value.ndim == 1:
        value, index = value.unsqueeze(0), (0, *index)
    starts = [max(0, min(i - most // 2, n - most)) for i, n in zip(index, value.shape)]
    window = value[starts[0] : starts[0] + most, starts[1] : starts[1] + most]
    return window.tolist(), (index[0] - starts[0], index[1] - starts[1])


def _table(rows: list[list[float]], at: tuple[int, int], largest: float) -> str:
    body = ""
    for i, row in enumerate(rows):
        cells = ""
        for j, x in enumerate(row):
            strength = min(1.0, abs(x) / largest) if abs(x) < float("inf") else 1.0
            colour = f"rgba({'9,105,218' if x >= 0 else '188,76,0'},{0.08 + 0.5 * strength:.2f})"
            ring = "outline:2px solid #cf222e;outline-offset:-2px;" if (i, j) == at else ""
            cells += f'<td style="background:{colour};{ring}padding:2px 6px;text-align:right;border:none">{x:.3g}</td>'
        body += f'<tr style="background:none">{cells}</tr>'
    style = "border:none;border-collapse:collapse;margin:2px 0;font-family:monospace;font-size:90%"
    return f'<table style="{style}">{body}</table>'
