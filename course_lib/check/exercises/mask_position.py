"""Exercise 11: zeros at one position of the latents."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def mask_position(latents, row, column):
    """(B, D, H, W), two whole numbers -> a copy with zeros at one position of every image.

    The copy has the dtype of latents, which may lie in memory in any order of their axes.
    """
    ### BEGIN SOLUTION
    masked = latents.clone()  # the same device and dtype; the input stays as it was
    masked[:, :, row, column] = 0
    return masked
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(shape, row, column, part="values", dtype=torch.float32, **more):
        latents = normal(generator, *shape).to(dtype)
        latents = latents + latents.sign()  # none is near 0
        return Call((latents, row, column), ("latents", "row", "column"), ("masked",), part, **more)

    strides = 2 + torch.rand(3, 4, 5, 6, generator=generator).movedim(-1, 1)  # (3, 6, 4, 5)
    turned = normal(generator, 2, 3, 4, 5).mT  # (2, 3, 5, 4), where a clone keeps the order and reshape makes a copy
    return [
        call((2, 4, 4, 4), 1, 2),
        call((3, 5, 4, 6), 3, 4),
        call((2, 3, 6, 4), 0, 3, part="borders"),
        call((2, 7, 4, 6), 3, 5, part="borders"),
        call((2, 3, 2, 5), 1, 0, part="borders"),
        call((1, 1, 1, 1), 0, 0, part="odd sizes"),
        call((1, 2, 1, 6), 0, 3, part="odd sizes"),
        *[Call((odd, 2, 3), ("latents", "row", "column"), ("masked",), "odd sizes") for odd in (strides, turned)],
        call((2, 3, 3, 4), 1, 2, part="dtypes", dtype=torch.bfloat16),
        call((2, 3, 4, 4), 2, 1, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


WRONG = r"""
latents.clone() -> latents
    the zeros were written into the latents themselves: whoever decodes them next, unmasked, finds the hole
row, column] -> column, row]
    row and column are swapped: of (B, D, H, W), H counts the rows
row, column] -> row]
    the whole row is masked; one position of it was asked for
row, column] -> :, column]
    the whole column is masked; one position of it was asked for
row, column] = 0 -> row] = 0\nmasked[:, :, :, column] = 0
    the whole row and the whole column are masked; wanted is the position where they meet
[:, :, -> [:, 0,
    one channel is masked: a position is one vector of D numbers, and all of them become 0
[:, :, -> [0, :,
    the first image alone is masked; wanted is the position in each image of the batch
[:, :, -> [:,  # zoo 4
    row and column were taken as the second and third axis: the second is the channels, (B, D, H, W)
return latents - masked
    this is the position alone with everything else masked: the other way round
= 0 -> = 1
    the position holds ones; wanted are zeros
= 0 -> = torch.nan
    the position holds NaN: a decoder would spread it over every pixel in reach; wanted are zeros
= 0 -> = latents.mean((2, 3))  # lesson 11
    the position holds the mean of the image's latents; wanted are zeros
latents.clone() -> torch.ones(latents.shape, dtype=latents.dtype)  # zoo 6
return latents * masked
    the mask is made on the CPU, and the latents may lie on a GPU: a new tensor has to be told, or made like one that
    lies there
latents.clone() -> torch.ones(latents.shape, device=latents.device)
return latents * masked
    the mask is float32, and so is what it is multiplied with then: a copy has the dtype of the latents, half precision
    too
masked[:, :, row, column] -> masked.reshape(*masked.shape[:2], -1)[:, :, row * masked.shape[3] + column]
    reshape gives a second tensor where the numbers lie in memory in another order, and the zeros were written into
    that one: index the copy itself
latents.clone() -> torch.ones_like(latents)
    this is the mask, ones and a zero vector; wanted are the latents behind it
row, column] -> row - 1, column - 1]
    rows and columns were counted from 1; 0 is the first, and -1 would be the last
"""

EXERCISE = exercise(
    mask_position,
    lesson="11_inside_the_latents",
    place=1,
    draw=draw,
    wrong=WRONG,
    hints=(
        "A position is one place in the grid, but in how many numbers of the tensor, (B, D, H, W)?",
        "Two of the four axes are fixed, two are taken whole. And who else holds the tensor that you were given?",
        "a clone first; then, in one assignment, 0 at [all images, all channels, row, column] of the clone",
    ),
)
