"""Exercise 15: three losses, one weight."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def bug_14(images, reconstruction, latents, quantized, beta):
    """The loss of a VQ-VAE, 0-d: reconstruction error + codebook loss + beta x commitment loss, all mean squares.

    The codebook loss pulls `quantized` alone, towards the latents. The commitment loss pulls `latents` alone, towards
    the codes.
    """
    reconstruction_error = F.mse_loss(reconstruction, images)
    ### BEGIN SOLUTION
    distance = beta * F.mse_loss(quantized.detach(), latents) + F.mse_loss(quantized, latents.detach())
    ### END SOLUTION
    return reconstruction_error + distance


def draw(generator: Generator) -> list[Call]:
    names = ("images", "reconstruction", "latents", "quantized", "beta")

    def call(image, latent, beta, part="values", dtype=torch.float32, **more):
        args = [normal(generator, *shape).to(dtype) for shape in (image, image, latent, latent)]
        return Call((*args, beta), names, ("loss",), part, differentiate=(1, 2, 3), **more)

    return [
        call((2, 4), (2, 3), 0.25, part="gradients"),
        call((2, 2), (2, 2), 0.25),
        call((1, 1, 3, 4), (1, 2, 2, 2), 2.0, part="odd sizes"),
        call((3, 2), (3, 1), 0.1, part="odd sizes"),
        call((2, 5), (2, 2), 0.5, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


WRONG = r"""
beta * F -> F  # zoo 10, planted
+ F -> + beta * F
    the program does what it did; who swaps both the weights and the .detach() swaps nothing. The value cannot tell:
    compare the gradient for quantized at beta = 0 with the promise
+ F -> + beta * F  # zoo 10
    beta weighs both terms now; the codebook's has no weight
beta * F -> F
    beta has gone; the term that pulls the latents is to be weighed with it
quantized.detach() -> quantized  # zoo 12
latents.detach() -> latents
    nothing is detached any more: each term pulls both sides, and beta cannot tell them apart
latents.detach() -> latents  # zoo 12
    one .detach() is missing: the term without beta pulls both sides, the latents too
quantized.detach() -> quantized  # zoo 12
    one .detach() is missing: the term with beta pulls both sides, the codes too
(quantized, latents.detach()) -> (quantized.detach(), latents)  # zoo 12
    both terms pull the latents now: quantized is detached in both, so the codebook never moves
(quantized.detach(), latents) -> (quantized, latents.detach())  # zoo 12
    both terms pull the codes now: the latents are detached in both, so nothing commits the encoder
beta * F -> 0.25 * F
    the weight is a fixed number now, 0.25; the program is told beta
return reconstruction_error + distance -> return distance
    the reconstruction error is no longer in the sum
"""

EXERCISE = exercise(
    bug_14,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Without running anything: in each of the two terms, who gets a gradient? Which of the two is the commitment "
        "loss?",
        "A term is named after whom it pulls, and it pulls what is not detached. Both terms have the same value, so "
        "the sum cannot show a swapped weight; the gradients can.",
        "beta * (the term in which latents is not detached) + (the term in which quantized is not detached)",
    ),
)
