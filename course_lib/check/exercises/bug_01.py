"""Exercise 15: the nearest codes, and how far they are.

For all fifteen programs of the bug hunt: the first call belongs to the part of the mark in which the fault shows, so
that an unmended program has a score of 0. No mistake raises: another error of the same kind, raised in the same calls,
would be taken for it.
"""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def bug_01(flat, codebook):
    """flat (N, D), codebook (K, D) -> (codes (N,) int64, error 0-d).

    Each latent gets the code nearest to it. error: the squared distance to that code, summed over D, mean over N.
    """
    squares = flat.square().sum(dim=1, keepdim=True) + codebook.square().sum(dim=1)  # (N, K)
    distances = squares - 2 * flat @ codebook.T  # (N, K)
    ### BEGIN SOLUTION
    codes = torch.argmin(distances, dim=1)  # (N,)
    ### END SOLUTION
    quantized = codebook[codes]  # (N, D)
    return codes, (flat - quantized).square().sum(dim=1).mean()


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, part="values", dtype=torch.float32, **more):
        args = normal(generator, n, d).to(dtype), normal(generator, k, d).to(dtype)
        return Call(args, ("flat", "codebook"), ("codes", "error"), part, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((1, 4, 3), (5, 1, 2), (6, 7, 1), (40, 30, 2))]
    return [call(6, 5, 3), *odd, call(4, 6, 2, part="dtypes", dtype=torch.float64, elsewhere=True)]


WRONG = r"""
argmin -> argmax  # zoo 1, planted
    the program does what it did. Take a single latent: print its row of distances, and the place in that row that was
    chosen
argmin(distances -> argmax(flat @ codebook.T
    argmax of the scalar product alone: long codes win it, near ones need not. The lengths of the codes belong to the
    comparison
squares - 2 -> squares + 2
    the middle term has lost its sign: squares plus twice the product is the distance to -x
argmin -> argmax
return codes, distances.amin(dim=1).mean()
    the error is that of the nearest codes now, and the codes are still the others
.sum(dim=1).mean() -> .mean()  # zoo 20
    the codes are right. The error was promised as a sum over D; mse_loss takes the mean over D as well
"""

EXERCISE = exercise(
    bug_01,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Take one latent and a codebook of two, one near and one far. Which of the two does it get?",
        "A table of distances and a table of similarities are read in opposite ways: the best of the one is its "
        "smallest entry, that of the other its largest.",
        "codes = torch.arg...(distances, dim=1): the table holds distances, so which of the two words?",
    ),
)
