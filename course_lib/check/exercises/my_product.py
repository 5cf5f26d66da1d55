"""Lesson 03: rows of weights times the codebook, the look-up as a product."""

import torch
from torch import Generator
from torch.nn import functional as F

from course_lib.check.author import Call, exercise, normal
from course_lib.check.exercises.look_up import codes_but_one


def my_product(weights, codebook):
    """(N, K) weights, (K, D) -> (N, D): row n is the sum of all codes, code k taken weights[n, k] times."""
    ### BEGIN SOLUTION
    return weights @ codebook  # (N, K) @ (K, D) -> (N, D)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, part="odd sizes"):
        picking = F.one_hot(codes_but_one(generator, 0, k, n), k).float() if k > 1 else torch.ones(n, 1)
        mixing = normal(generator, n, k).softmax(dim=1)
        weights = torch.cat([picking, mixing])  # (2n, K): an index would do for the first half alone
        return Call((weights, normal(generator, k, d)), ("weights", "codebook"), ("sums",), part, differentiate=(1,))

    return [call(3, 4, 5, "values"), *(call(*sizes) for sizes in ((4, 6, 3), (2, 4, 4), (1, 5, 1), (2, 1, 3)))]


WRONG = r"""
weights @ codebook -> codebook[weights.argmax(dim=1)]
    the code with the largest weight was taken whole. For one-hot rows that is all there is; but weights of 0.5 and 0.5
    want half of each of two codes
weights @ codebook -> codebook[weights.long().argmax(dim=1)]
    the weights were cut to whole numbers, and a row was picked: 0.5 became 0. Weights want a sum of codes
weights @ codebook -> weights.round() @ codebook
    the weights were rounded: what is 0.3 counts as 0.3
weights @ codebook -> weights.softmax(dim=1) @ codebook
    softmax changed the weights; they are weights already
weights @ codebook -> (weights @ codebook).T
    the result is turned round: each row of weights gives a row, (N, D)
weights @ codebook -> weights[:, :, None] * codebook
    each code has its weight, (N, K, D); what is missing is the sum over the codes
weights @ codebook -> (weights[:, :, None] * codebook).mean(dim=1)
    this is the mean over the K codes; the weights already say how much of each, so add up
weights @ codebook -> weights @ codebook.detach()
    the vectors are right, but no gradient reaches the codebook: detach() cut it off
"""

EXERCISE = exercise(
    my_product,
    lesson="03_nearest_code",
    place=2,
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "A row of zeros with a single 1 at place k, times the codebook: which of its rows is left? And what is left if "
        "there is 0.5 at two places?",
        "A matrix product adds up the rows of its right side, each multiplied by a number from the left side. Which of "
        "(N, K) and (K, D) stands on the left, if (N, D) is to come out?",
        "... @ codebook",
    ),
)
