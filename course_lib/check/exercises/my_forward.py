"""Lesson 08: the forward pass of the layer that learns by gradient, for (B, L, D)."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_forward(x, codebook):
    """x (B, L, D), codebook (K, D) -> vq (B, L, D), codes (B, L) int64, loss ().

    vq has the values of the nearest codes, and hands its gradient to x alone. loss = commitment loss +
    codebook loss, each the mean over all numbers: the first is heard by x alone, the second by the codebook.
    """
    ### BEGIN SOLUTION
    codes = torch.cdist(x, codebook).argmin(2)  # (B, L, K) -> (B, L)
    q = codebook[codes]  # (B, L, D)
    vq = x + (q - x).detach()  # (B, L, D)
    loss = F.mse_loss(x, q.detach()) + F.mse_loss(q, x.detach())
    return vq, codes, loss
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(batch, slots, dim, codebook_size, part="values", **more):
        codebook = normal(generator, codebook_size, dim)
        nearest = torch.randint(codebook_size, (batch * slots,), generator=generator)
        nearest[0] = 0
        codebook[1:2] = 2 * codebook[0]  # where there are two: the product with code 0's latents is larger
        near = codebook[nearest] + 0.1 * normal(generator, batch * slots, dim)  # (B L, D), far from any border
        x = near.reshape(batch, slots, dim)
        names, gives = ("x", "codebook"), ("vq", "codes", "loss")
        return Call((x, codebook), names, gives, part, differentiate=(0, 1), **more)

    return [
        call(2, 3, 6, 4),
        call(3, 5, 8, 7, elsewhere=True),
        call(4, 1, 5, 6, part="odd sizes"),
        call(1, 6, 7, 3, part="odd sizes"),
        call(3, 3, 9, 1, part="odd sizes"),
    ]


WRONG = r"""
return q, codes, loss  # zoo 25
    vq has the right values, but its gradient goes to the codebook, and the encoder gets none: it is q itself, or
    x + (q - x) with nothing detached, in which x cancels out
(q - x).detach() -> q - x.detach()
    the wrong term is detached: x stays once and q stays too, so that both get the whole gradient
x + (q - x).detach() -> q + (x - q).detach()
    you returned x's values, and their gradient goes to the codebook: x and q have changed places
return x, codes, loss
    you returned x's values: the gradient arrives at x, but vq must have the values of the nearest codes
return vq.detach(), codes, loss  # zoo 25
    nobody gets a gradient from vq: one x must be left in it that autograd sees
F.mse_loss(q, x.detach()) -> F.mse_loss(vq, x.detach())  # zoo 11
F.mse_loss(x, q.detach()) -> F.mse_loss(x, vq.detach())
    the losses were computed from vq, in which the codebook is behind a detach and hears nothing: they need q
+ F.mse_loss(q, x.detach()) ->  # zoo 11
    the loss has one term, which pulls the encoder to the codes; the term that pulls the codes is missing
F.mse_loss(x, q.detach()) + ->
    the loss has one term, which pulls the codes to the encoder; the term that pulls the encoder is missing
(q, x.detach()) -> (q.detach(), x)  # zoo 12
    the loss has the right value, but both terms stop the gradient on the side of q: the codebook hears nothing
(x, q.detach()) -> (x.detach(), q)  # zoo 12
    the loss has the right value, but both terms stop the gradient on the side of x: the encoder hears nothing of it
(x, q.detach()) -> (x, q)  # zoo 12
(q, x.detach()) -> (q, x)
    the loss has the right value, but each side hears both terms: each term is to be heard by one side alone
(x, q.detach()) -> (x, q)  # zoo 12
    the loss has the right value, but the codebook hears both terms: in the commitment loss q has to stand still
(q, x.detach()) -> (q, x)  # zoo 12
    the loss has the right value, but the encoder hears both terms: in the codebook loss x has to stand still
F.mse_loss(x, q.detach()) + F.mse_loss(q, x.detach()) -> F.mse_loss(x, q)
    the gradients are right and the loss is half of what was asked for: one term, heard by both, stands for two
(x, q.detach()) -> (x, q.detach(), reduction="sum")  # zoo 20
(q, x.detach()) -> (q, x.detach(), reduction="sum")
    the squares were added up over all numbers; wanted is their mean, as mse_loss gives it
F.mse_loss(x, q.detach()) -> 0.25 * F.mse_loss(x, q.detach())
    the commitment term has a weight of 0.25 here, as in the paper; this layer has none
.argmin(2) -> .argmin(1)
    the distances are (B, L, K), and the smallest was sought over the latents, axis 1; a latent chooses among K codes
.argmin(2) -> .argmin(0)
    the distances are (B, L, K), and the smallest was sought over the batch, axis 0; a latent chooses among K codes
.argmin(2) -> .argmax(2)  # zoo 1
    argmax of the distances picks the farthest code
torch.cdist(x, codebook).argmin(2) -> (x @ codebook.T).argmax(2)
    the largest scalar product is not the smallest distance: long codes win it
return vq, codes.flatten(), loss
    codes are (B, L), one for each latent in its place; these are flat
return vq, loss, codes
    codes and loss have changed places: vq, codes, loss is the order
"""

EXERCISE = exercise(
    my_forward,
    lesson="08_mnist_from_scratch",
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which shapes have the distances, the codes, the looked-up vectors, vq and the loss? Write them down first.",
        "Measure and choose; look up; x plus a constant; two means of the same squares, and in each the other side is "
        "held constant. torch.cdist takes a batch: (B, L, D) and (K, D) give (B, L, K).",
        "codes = cdist(...).argmin(2); q = codebook[codes]; vq = x + (...).detach(); loss = mse(x, ...) + mse(q, ...)",
    ),
)
