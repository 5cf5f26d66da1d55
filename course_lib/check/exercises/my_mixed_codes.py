"""Lesson 07: codes that are right slot by slot and belong to no image."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise


def my_mixed_codes(codes, rows):
    """codes (N, L) int64 of N images; rows (n, L) int64, numbers of images -> (n, L) int64.

    Slot j of the new row i is what the image rows[i, j] has in its slot j.
    """
    ### BEGIN SOLUTION
    return codes.gather(0, rows)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(images, slots, count, part="values"):
        codes = torch.randint(1000, (images, slots), generator=generator)
        rows = torch.randint(images, (count, slots), generator=generator)
        return Call((codes, rows), ("codes", "rows"), ("mixed",), part)

    return [call(9, 4, 3), call(5, 5, 5), call(3, 7, 2, "odd sizes"), call(4, 3, 8, "odd sizes")]


WRONG = r"""
return codes[rows[:, 0]]
    these are whole images: all slots of a new row come from one of them, so that nothing is mixed
return codes[rows]
    every number in rows brought a whole image with it, all its L codes: of each, one slot is wanted
gather(0, rows) -> gather(1, rows)
    the numbers in rows were read as slots, along axis 1: they name images, along axis 0
return codes[rows, 0]
    every number is what an image has in its slot 0: column j wants slot j
return codes.flatten()[rows]
    the numbers in rows were counted along the flattened codes: they name images
return codes[torch.arange(rows.shape[0])[:, None] % len(codes), rows % codes.shape[1]]
    images and slots have changed places: rows names images, and the column says which slot
return codes[rows.flatten(), torch.arange(rows.numel()) % rows.shape[1]]
    the values are right and have lost their shape: rows is (n, L), and so is what is wanted
"""

EXERCISE = exercise(
    my_mixed_codes,
    lesson="07_mnist_library",
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "For one place, i = 0 and j = 2: which element of codes is wanted there? Its first index is written in rows.",
        "The element is codes[rows[i, j], j]: a loop over the columns j will do, and PyTorch has a function for it.",
        "codes.gather(axis, rows), with the axis that rows counts along; or codes[rows, torch.arange(L)]",
    ),
)
