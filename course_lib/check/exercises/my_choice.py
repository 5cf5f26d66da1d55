"""Lesson 01: the stamp for one tile."""

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, as_a_number, exercise, normal


def my_choice(tile, box):
    """(D,), (K, D) -> the number of the stamp most like the tile.

    A whole number from 0 to K - 1.
    """
    ### BEGIN SOLUTION
    differences = box - tile  # (K, D)
    return differences.square().sum(dim=1).argmin().item()  # (K,) -> number
    ### END SOLUTION


def told_apart(generator: Generator, times: int) -> tuple[Tensor, Tensor]:
    """A box (5, 4 times) and a tile. The smallest sum of squares, the smallest sum of absolute differences and the
    smallest largest difference stand in three different rows."""
    differences = torch.tensor([[0.6, 0.6, 0.6, 0], [1.2, 0, 0, 0], [0.55] * 4, [1.5] * 4, [2.0] * 4]).repeat(1, times)
    signs = torch.randint(0, 2, differences.shape, generator=generator) * 2 - 1
    rows, pixels = (torch.randperm(n, generator=generator) for n in differences.shape)
    tile = normal(generator, 4 * times)
    return tile + (signs * differences)[rows][:, pixels], tile


def draw(generator: Generator) -> list[Call]:
    def call(box, tile, part="values"):
        return Call((tile, box), ("tile", "box"), ("number",), part)

    boxes = [normal(generator, *shape) for shape in ((6, 4), (9, 3), (5, 16), (12, 2), (7, 5), (8, 4))]
    calls = [call(box, normal(generator, box.shape[1])) for box in boxes]
    calls += [call(*told_apart(generator, times)) for times in (1, 2, 4)]
    last = [call(box, box[-1] + 0.05, "a stamp that fits") for box in boxes[:3]]
    return [*calls, *last, call(normal(generator, 1, 4), normal(generator, 4), "a box of one")]


WRONG = r"""
argmin().item() -> argmax()  # zoo 1
    this is the stamp that is least like the tile: the smallest difference is wanted
dim=1 -> dim=0
    the sum runs over the stamps and leaves one number for each pixel; wanted is one number for each stamp, so let the
    pixels be added up
.sum(dim=1).argmin().item() -> .argmin()
    each single pixel is looked at by itself: add up the squares of one stamp's pixels first, and then choose
.argmin().item() -> .min()
    this is how small the difference is; wanted is the number of the stamp that has it
.argmin().item() -> .min(dim=0)
    these are two things, how small the difference is and the number of the stamp that has it; only the number is wanted
.square() ->
    differences were added up with their signs, so that a pixel too dark makes good one too bright: square them first
.square().sum(dim=1).argmin().item() -> .sum(dim=1).square().argmin()
    differences were added up first and squared afterwards, so that a pixel too dark makes good one too bright: square
    each of them, then add up
.square() -> .abs()
    absolute differences were added up; like means here the smallest sum of squares, which minds one large difference
    more than several small ones
.square().sum(dim=1).argmin().item() -> .abs().amax(dim=1).argmin()
    only the largest difference of each stamp was looked at; all its pixels count: add up the squares
return box[differences.square().sum(dim=1).argmin()]
    this is the stamp itself, its pixels; wanted is its number
box - tile -> box
    the tile was not looked at: this is the faintest stamp
return (box @ tile).argmax()
    the largest product is not the smallest difference: a stamp with much ink wins it
.argmin().item() -> .argmin() + 1
    stamps are numbered from 0 on, as rows of a tensor are
"""

EXERCISE = exercise(
    my_choice,
    lesson="01_why_discrete",
    points=0,
    place=0,
    draw=draw,
    wrong=WRONG,
    view=as_a_number,
    hints=(
        "How much does stamp k differ from the tile? You want one number for each stamp, and then to know which of the "
        "stamps has the smallest.",
        "box - tile takes the tile from every row of the box at once, (K, D). Square it, so that no difference makes "
        "good another, and add up each row.",
        "return (box - tile).square().sum(dim=?).argmin().item(), where dim is the axis of the pixels",
    ),
)
