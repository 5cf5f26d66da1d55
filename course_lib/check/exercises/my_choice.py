"""Lesson 01: the stamp for one tile."""

from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_choice(tile, box):
    """(D,), (K, D) -> the number of the stamp that is most like the tile: a whole number from 0 to K - 1."""
    ### BEGIN SOLUTION
    differences = box - tile  # (K, D)
    return differences.square().sum(dim=1).argmin().item()  # (K, D) -> (K,) -> one number
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(box, tile, part="values"):
        return Call((tile, box), ("tile", "box"), ("number",), part)

    boxes = [normal(generator, *shape) for shape in ((6, 4), (9, 3), (5, 16), (12, 2), (7, 5), (8, 4))]
    calls = [call(box, normal(generator, box.shape[1])) for box in boxes]
    last = [call(box, box[-1] + 0.05, "a stamp that fits") for box in boxes[:3]]
    return [*calls, *last, call(normal(generator, 1, 4), normal(generator, 4), "a box of one")]


WRONG = r"""
argmin -> argmax  # zoo 1
    this is the stamp that is least like the tile: the smallest difference is wanted
dim=1 -> dim=0
    the sum runs over the stamps and leaves one number for each pixel; wanted is one number for each stamp, so let the
    pixels be added up
.sum(dim=1) ->
    each single pixel is looked at by itself: add up the squares of one stamp's pixels first, and then choose
.argmin() -> .min()
    this is how small the difference is; wanted is the number of the stamp that has it
.square() ->
    differences were added up with their signs, so that a pixel too dark makes good one too bright: square them first
.square() -> .abs()
    absolute differences were added up; like means here the smallest sum of squares, which minds one large difference
    more than several small ones
return box[differences.square().sum(dim=1).argmin()]
    this is the stamp itself, its pixels; wanted is its number
box - tile -> box
    the tile was not looked at: this is the faintest stamp
return (box @ tile).argmax().item()
    the largest product is not the smallest difference: a stamp with much ink wins it
.argmin().item() -> .argmin().item() + 1
    stamps are numbered from 0 on, as rows of a tensor are
"""

EXERCISE = exercise(
    my_choice,
    lesson="01_why_discrete",
    points=0,
    place=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "How much does stamp k differ from the tile? You want one number for each stamp, and then to know which of the "
        "stamps has the smallest.",
        "box - tile takes the tile from every row of the box at once, (K, D). Square it, so that no difference makes "
        "good another, and add up each row.",
        "return (box - tile).square().sum(dim=?).argmin().item(), where dim is the axis of the pixels",
    ),
)
