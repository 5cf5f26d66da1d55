"""Lesson 04: one update of a latent that hears the decoder by straight-through."""

import torch
from torch import Generator

from course_lib.check.author import Call, Observation, exercise, normal


def my_update(x, codebook, star):
    """(N, D), (K, D), (D,) -> (N, D): where x lies after one update.

    The loss is (vq - star).square().sum(), and x moves by -0.1 times its gradient. x comes in as plain numbers: it does
    not require a gradient yet.
    """
    ### BEGIN SOLUTION
    x = x.detach().requires_grad_()
    q = codebook[torch.cdist(x, codebook).argmin(1)]  # (N, D)
    vq = (q - x).detach() + x  # (N, D)
    (gradient,) = torch.autograd.grad((vq - star).square().sum(), x)  # (N, D)
    return x.detach() - 0.1 * gradient
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d):
        args = normal(generator, n, d), 2 * normal(generator, k, d), normal(generator, d)
        # with a codebook that requires a gradient, as in a model, a loss of q alone fails in other words than an x
        # that does not require one
        return Call(args, ("x", "codebook", "star"), ("moved",), "values", differentiate=(1,))

    return [call(1, 4, 1), call(3, 4, 2), call(5, 7, 3)]


def view(call: Call, observation: Observation) -> Observation:
    """Where x lies is what is asked; whether the codebook could hear of it is not."""
    return {what: value for what, value in observation.items() if not what.startswith("gradient of")}


WRONG = r"""
x = x.detach().requires_grad_() -> x = x.detach()
    x does not require a gradient, so autograd kept no way back to it: x.detach().requires_grad_() is x with one
(gradient,) = torch -> gradient = torch
    torch.autograd.grad gives a tuple, one gradient for each tensor that was asked for: take the one in it
- 0.1 * gradient -> + 0.1 * gradient
    the latents climbed: a gradient points to where the loss grows, and the step goes the other way
(vq - star) -> (x - star)
    the loss was taken at x itself: the decoder never sees x, it sees its code
(q - x).detach() + x -> (q - x) + x
    x has not moved: it comes in with plus and with minus, so its gradient is 0
vq = (q - x).detach() + x -> vq = q
    the loss was computed from q alone, and nothing leads from there back to x
- 0.1 * gradient -> - gradient
    the whole gradient was subtracted: the step is 0.1 times it
.square().sum() -> .square().mean()
    the mean divides each latent's gradient by the number of all numbers: this loss is a sum
argmin -> argmax
    this is the code that lies farthest away
return x.detach() - 0.1 * gradient -> return q - 0.1 * gradient
    the step begins at the code: it is x that moves, from where it lies
"""

EXERCISE = exercise(
    my_update,
    lesson="04_straight_through",
    place=1,
    points=0,
    draw=draw,
    view=view,
    wrong=WRONG,
    hints=(
        "Which tensor needs a gradient, and which three steps lead from it to the loss?",
        "Choose the nearest codes q, make vq from x and q, take the loss of vq. torch.autograd.grad(loss, x) gives a "
        "tuple with the gradient of x; x must have been told that it needs one.",
        "x = x.detach().requires_grad_(); q = ...; vq = ...; (gradient,) = torch.autograd.grad(..., x); and the step",
    ),
)
