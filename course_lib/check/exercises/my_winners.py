"""Lesson 08: how many codes are chosen at all, which is the first thing to ask of a codebook that may collapse."""

import torch
from torch import Generator

from course_lib.check.author import Call, as_a_number, exercise, normal


def my_winners(latents, codebook):
    """latents (N, D), codebook (K, D) -> how many different codes are the nearest one of some latent, a whole number.

    An int, or a tensor of one number.
    """
    ### BEGIN SOLUTION
    codes = torch.cdist(latents, codebook).argmin(1)  # (N, K) -> (N,)
    return len(codes.unique())
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(latents, codebook, part="values"):
        return Call((latents, codebook), ("latents", "codebook"), ("winners",), part)

    def some(count, dim, codebook_size, scale=1.0):
        return normal(generator, count, dim), scale * normal(generator, codebook_size, dim)

    far = normal(generator, 12, 3) + 20
    far[::2] -= 40  # on both sides: no one latent is the nearest to all of them
    far[4] = torch.tensor([0.1, 0.2, 0.1])
    return [
        call(*some(40, 3, 12)),
        call(*some(9, 2, 30)),
        call(0.1 * normal(generator, 30, 3), far, part="a collapsed codebook"),
        call(*some(1, 4, 5), part="odd sizes"),
        call(*some(7, 2, 1), part="odd sizes"),
    ]


WRONG = r"""
argmin(1) -> argmin(0)
    the smallest distance was looked for down the columns: this is the latent nearest to each code, not the code
    nearest to each latent
argmin(1) -> argmax(1)  # zoo 1
    argmax of the distances picks the farthest code
torch.cdist(latents, codebook).argmin(1) -> (latents @ codebook.T).argmax(1)
    the largest scalar product is not the smallest distance: long codes win it
return len(codes)
    this is the number of latents: each has a code, and many have the same
return codes.unique()
    these are the codes that win; wanted is how many they are
return len(codes.unique()) / len(codebook)
    this is their share of the codebook; wanted is how many they are
return int(codes.max()) + 1
    the largest number among the codes says nothing about how many different ones there are
return len(codes.unique_consecutive())
    unique_consecutive counts a code anew each time it comes after another one: which method looks at all of them?
"""

EXERCISE = exercise(
    my_winners,
    lesson="08_mnist_from_scratch",
    points=0,
    draw=draw,
    wrong=WRONG,
    view=as_a_number,
    hints=(
        "Each latent votes for one code. You want the number of codes that have a vote: what do you need first?",
        "First the code of each latent, (N,). Then count the different numbers in it: a tensor has a method for that.",
        "codes = torch.cdist(...).argmin(1); then unique() and its length",
    ),
)
