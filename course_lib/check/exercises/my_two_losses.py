"""Lesson 05: one distance, two losses."""

import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_two_losses(x, q):
    """(N, D), (N, D) -> the codebook loss, which moves q alone, and the commitment loss, which moves x alone."""
    ### BEGIN SOLUTION
    codebook_loss = F.mse_loss(q, x.detach())
    commitment_loss = F.mse_loss(x, q.detach())
    return codebook_loss, commitment_loss
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    gives = "codebook loss", "commitment loss"
    return [
        Call((normal(generator, n, d), normal(generator, n, d)), ("x", "q"), gives, "values", differentiate=(0, 1))
        for n, d in ((3, 2), (1, 4), (5, 3))
    ]


WRONG = r"""
return commitment_loss, codebook_loss  # zoo 12
    the two have changed places: the first one is to move q, and what moves is the side without a detach
F.mse_loss(q, x.detach()) -> F.mse_loss(q, x)  # zoo 12
F.mse_loss(x, q.detach()) -> F.mse_loss(x, q)
    both values are right, and each loss moves x and q alike: in each of them one side has to stand still
F.mse_loss(q, x.detach()) -> F.mse_loss(q.detach(), x.detach())
F.mse_loss(x, q.detach()) -> F.mse_loss(x.detach(), q.detach())
    both values are right and nothing moves at all: detach one side in each loss, not both
F.mse_loss(x, q.detach()) -> F.mse_loss(x.detach(), q)  # zoo 12
    both losses move q, and nobody moves x: which side does the commitment loss hold?
F.mse_loss(q, x.detach()) -> F.mse_loss(q.detach(), x)  # zoo 12
    both losses move x, and nobody moves q: which side does the codebook loss hold?
F.mse_loss(q, x.detach()) -> F.mse_loss(q, x)
    the commitment loss is right; the codebook loss moves x as well, which would pull the encoder to its codes twice
F.mse_loss(x, q.detach()) -> F.mse_loss(x, q)
    the codebook loss is right; the commitment loss moves q as well, so that codes would be pulled twice
F.mse_loss(q, x.detach()) -> F.mse_loss(q, x.detach(), reduction="sum")  # zoo 20
F.mse_loss(x, q.detach()) -> F.mse_loss(x, q.detach(), reduction="sum")
    the squares were added up; wanted is their mean, as F.mse_loss gives it by itself
return codebook_loss, 0.25 * commitment_loss
    the commitment loss is a quarter of what it should be: beta is multiplied later, where the losses are added up
return codebook_loss + commitment_loss
    this is the sum of the two; wanted are both, first the codebook loss, then the commitment loss
"""

EXERCISE = exercise(
    my_two_losses,
    lesson="05_three_losses",
    points=0,
    place=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Both losses measure the distance between x and q. In each, one of the two walks and the other one stands "
        "still: which one stands still in the codebook loss?",
        ".detach() makes a tensor stand still: its value stays, and no gradient goes back to it. F.mse_loss takes two "
        "tensors and gives the mean of the squared differences.",
        "codebook_loss = F.mse_loss(q, (what stands still).detach()); the other one with the places exchanged; return "
        "both",
    ),
)
