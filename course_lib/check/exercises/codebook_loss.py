"""Exercise 05: the loss that only the codebook hears."""

import torch
from torch import Generator

from course_lib.check.author import SPATIAL, Call, exercise, normal, scattered


def codebook_loss(latents, quantized):
    """(B, D, *S), the same -> 0-d: the mean over all elements of (x - q)^2. Its gradient reaches `quantized` alone."""
    ### BEGIN SOLUTION
    return (quantized - latents.detach()).square().mean()
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(*shape, part="values", dtype=torch.float32, alike=0, **more):
        latents, quantized = (normal(generator, *shape).to(dtype) for _ in range(2))
        quantized[:alike] = latents[:alike]
        args = latents, scattered(quantized)  # as unflattening leaves it in memory
        return Call(args, ("latents", "quantized"), ("loss",), part, differentiate=(0, 1), **more)

    odd = [call(2, 3, *spatial, part="odd sizes") for spatial in SPATIAL[1:]]
    wide = call(4, 2, dtype=torch.float64, part="dtypes", elsewhere=True)
    same = [call(4, 3, part="latents on their codes", alike=alike) for alike in (2, 4)]  # some of them, and all
    return [call(2, 3), *odd, call(1, 1, part="odd sizes"), *same, wide]


# What goes wrong in the same way in commitment_loss, whose line differs in the side that is detached
IN_BOTH = r"""
mean -> sum  # zoo 20
    the squares are added up and not averaged: a mean over all elements does not grow with the batch
mean() -> sum(1).mean()  # zoo 20
    the squares over the D axis were added up, as in the paper's squared norm; the mean over all elements is smaller
    by the factor D
mean() -> sum() / len(latents)  # zoo 20
    the sum was divided by B alone; a mean over all elements divides by how many there are, D and *S included
mean() -> mean().sqrt()
    a root was taken: wanted is the mean squared error itself
square().mean() -> norm()
    this is the length of the whole difference, the root of the sum of squares; wanted is the mean of the squares
square -> abs
    absolute differences were averaged; wanted are their squares
.mean() ->
    these are the squares, one for each element; wanted is one number, their mean
mean() -> mean().item()  # zoo 22
    the value is right, but .item() makes a plain number of it, and a loss has to carry its gradient back
.square() ->  # mutation
    differences were averaged without a square: those of opposite sign cancel
square().mean() -> mean().square()
    the differences were averaged before the square: those of opposite sign cancel, and one mean was squared
"""

WRONG = r"""
quantized - latents.detach() -> quantized.detach() - latents  # zoo 12
    the value is right, and the gradient reaches latents in place of quantized: that is the commitment loss
.detach() ->  # zoo 12
    the value is right, and both sides hear it: the encoder would be pulled to the codes as well. Whose gradient has
    to be stopped?
quantized - -> quantized.detach() -  # zoo 12
    the value is right, and nobody hears it: both sides are detached
return -> return 0.25 *  # zoo 10
    this is a quarter of the codebook loss: the weight beta is applied outside, and to the commitment loss
return (quantized - latents.detach()).square().mean() + (quantized.detach() - latents).square().mean()
    this is both losses in one: the part that pulls latents to quantized is the commitment loss
"""

EXERCISE = exercise(
    codebook_loss,
    lesson="05_three_losses",
    draw=draw,
    wrong=WRONG + IN_BOTH,
    hints=(
        "When this loss is small, the codes lie where their latents are. Which of the two shall walk there, and which "
        "shall stand still?",
        "The value is the mean squared error of the two tensors. A tensor behind .detach() counts as a constant for "
        "autograd: detach the one that stands still.",
        "difference = quantized - (the side that stands still).detach(); then square, then the mean over everything",
    ),
)
