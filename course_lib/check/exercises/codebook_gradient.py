"""Exercise 05: what the codebook loss asks of each code, by hand."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal, number


def codebook_gradient(flat, codebook, codes):
    """(N, D), (K, D), (N,) -> (K, D): the gradient of the codebook loss in the codebook, without autograd."""
    ### BEGIN SOLUTION
    differences = codebook[codes] - flat  # (N, D)
    sums = torch.zeros_like(codebook).index_add(0, codes, differences)  # (K, D)
    return 2 * sums / flat.numel()
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(n, dim, codebook_size, codes=None, part="values"):
        if codes is None:
            codes = torch.randint(codebook_size, (n,), generator=generator)
        args = normal(generator, n, dim), normal(generator, codebook_size, dim), codes
        return Call(args, ("flat", "codebook", "codes"), ("gradient",), part, gradients=False)

    return [
        call(6, 2, 4, torch.tensor([2, 0, 2, 3, 2, 0])),  # code 1 is not used, code 2 three times
        call(12, 3, 5),
        call(1, 4, 3, part="odd sizes"),
        call(7, 1, 9, part="odd sizes"),
        call(20, 5, 1, part="odd sizes"),
        call(number(generator, 30, 40), 6, 8, part="odd sizes"),
    ]


WRONG = r"""
codebook[codes] - flat -> flat - codebook[codes]
    the sign is turned: this is the direction in which a code walks, and the gradient points the other way
2 * sums -> sums
    the factor 2 is missing: the slope of a square d * d is 2 d
/ flat.numel() -> / len(flat)  # zoo 20
    divided by the number of latents; the loss is a mean over all numbers, N times D of them
/ flat.numel() -> / codebook.numel()
    divided by the size of the codebook; the loss is a mean over the numbers of the latents
2 * sums / flat.numel() -> 2 * sums
    the sums are right, and nothing was averaged: the loss is a mean over all numbers of the latents
.index_add(0, codes, differences) -> \nsums[codes] += differences
    of several latents with the same code only one was counted: sums[codes] += writes to a row once, however often its
    code occurs. Which function adds up repeated rows?
return 2 * sums / torch.bincount(codes, minlength=len(codebook)).clamp(min=1)[:, None] / flat.shape[1]  # zoo 23
    the mean over each code's own latents was taken: in a mean over all latents, a code that many chose is pulled harder
return 2 * differences / flat.numel()
    this is one row for each latent, the gradient at q; a code's row is the sum over the latents that chose it
"""

EXERCISE = exercise(
    codebook_gradient,
    lesson="05_three_losses",
    place=2,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Take one code that two latents chose. The loss holds a square for each of the two: what is the slope of their "
        "sum in the code? And in a code that nobody chose?",
        "Each latent sends 2 (q - x) / (N D) to its own code, and a code adds up what it is sent. "
        "torch.Tensor.index_add adds rows to the rows that an index names, repeated ones too; the product of a one-hot "
        "table's transpose with the rows does the same.",
        "differences = codebook[codes] - flat; sums = torch.zeros_like(codebook).index_add(0, ?, ?); return 2 * sums / "
        "(how many numbers the mean runs over)",
    ),
)
