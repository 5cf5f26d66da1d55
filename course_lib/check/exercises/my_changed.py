"""Lesson 00: one word of a picture changed."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, number


def my_changed(codes, row, column, code):
    """A new (H, W) grid with `code` at this place; `codes` stays as it was."""
    ### BEGIN SOLUTION
    new = codes.clone()
    new[row, column] = code
    return new
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(height, width, row, column, code, part="values"):
        codes = torch.randint(1, 60, (height, width), generator=generator)
        names = ("codes", "row", "column", "code")
        return Call((codes, row, column, code), names, ("changed",), part)

    return [
        call(7, 7, 2, 4, number(generator, 60, 63)),
        call(7, 7, number(generator, 4, 6), number(generator, 0, 3), number(generator, 60, 63)),
        call(4, 9, 3, 5, number(generator, 60, 63), "odd sizes"),
        call(8, 3, 6, 1, number(generator, 60, 63), "odd sizes"),
        call(3, 5, 0, 0, 0, "borders"),
        call(5, 6, 4, 5, 63, "borders"),
        call(1, 1, 0, 0, 7, "borders"),
    ]


WRONG = r"""
codes.clone() -> codes
    the change was written into the grid that you were given, and the old picture is gone: a second name for a tensor is
    no copy of it
new[row, column] -> new[column, row]
    row and column have changed places: of (H, W), H counts the rows
new[row, column] -> new[row]
    the whole row was changed; one place of it was asked for
new[row, column] -> new[:, column]
    the whole column was changed; one place of it was asked for
new[row, column] -> new[row - 1, column - 1]
    rows and columns were counted from 1; 0 is the first, and -1 would be the last
] = code -> ] += code
    the code was added to the one that stood there; wanted is that it takes its place
return codes
    the old grid was returned, and the change is lost
return new[row, column]
    this is the one code that was changed; wanted is the whole grid with it
return new.flatten()
    the codes are right, and no longer a grid: the decoder wants to know which stands above which
new = codes.clone() -> new = torch.zeros_like(codes)
    the other places became 0, and 0 is a code like any other; they are to stay as they were
return new.float()
    the codes became floating-point numbers; they are numbers of rows in the codebook, whole ones
"""

EXERCISE = exercise(
    my_changed,
    lesson="00_the_whole_game",
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "You will want to see the old picture beside the new one. What does `codes` hold after `new = codes`, and a "
        "change of `new`?",
        "`codes.clone()` is a grid of its own with the same codes in it. One assignment then changes one place of it.",
        "new = codes.clone(), then new[?, ?] = code with the row first, and return new",
    ),
)
