"""Lesson 05: the quantising layer, lessons 02 to 05 in a row."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_layer(latents, codebook, beta):
    """(B, D, H, W), (K, D), a number -> vq (B, D, H, W), codes (B, H, W), loss ()."""
    ### BEGIN SOLUTION
    B, D, H, W = latents.shape
    x = latents.permute(0, 2, 3, 1).reshape(-1, D)  # (N, D), lesson 02
    codes = torch.cdist(x, codebook).argmin(1)  # (N,), lesson 03
    q = codebook[codes]  # (N, D)
    vq = x + (q - x).detach()  # (N, D), lesson 04
    loss = F.mse_loss(q, x.detach()) + beta * F.mse_loss(x, q.detach())  # (), lesson 05
    return vq.reshape(B, H, W, D).permute(0, 3, 1, 2), codes.reshape(B, H, W), loss
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(shape, codebook_size, beta, part="values"):
        """Codes lie 2 or more apart, and each latent less than 1 from one of them: rounding decides nothing."""
        batch, dim, height, width = shape
        codebook = normal(generator, codebook_size, dim)
        codebook[:, 0] = 2.0 * torch.randperm(codebook_size, generator=generator) - codebook_size
        chosen = torch.randint(codebook_size, (batch, height, width), generator=generator)
        noise = 0.9 * torch.rand((*chosen.shape, dim), generator=generator) - 0.45
        latents = (codebook[chosen] + noise).movedim(-1, 1).clone(memory_format=torch.contiguous_format)
        names = "latents", "codebook", "beta"
        return Call((latents, codebook, beta), names, ("vq", "codes", "loss"), part, differentiate=(0, 1))

    return [
        call((2, 3, 2, 4), 5, 0.25),
        call((1, 2, 3, 3), 4, 2.0),
        call((3, 4, 4, 2), 6, 0.0),
        call((1, 1, 2, 3), 3, 0.5, "odd sizes"),
        call((3, 3, 3, 3), 4, 0.25, "odd sizes"),
        call((2, 2, 1, 5), 1, 1.0, "odd sizes"),
    ]


WRONG = r"""
latents.permute(0, 2, 3, 1).reshape(-1, D) -> latents.reshape(-1, D)  # zoo 4
    D was not moved to the end before the rows were made, so a row mixes numbers of several places (lesson 02)
latents.permute(0, 2, 3, 1).reshape(-1, D) -> latents.reshape(-1, D)  # zoo 4
vq.reshape(B, H, W, D).permute(0, 3, 1, 2) -> vq.reshape(B, D, H, W)
    D was not moved to the end before the rows were made, nor back afterwards: the round trip hides it, and yet a row
    mixes numbers of several places (lesson 02)
vq.reshape(B, H, W, D).permute(0, 3, 1, 2) -> vq.reshape(B, D, H, W)  # zoo 4
    the rows were right, but on the way back D was not moved in front: (N, D) becomes (B, H, W, D) first
vq.reshape(B, H, W, D).permute(0, 3, 1, 2) -> vq.reshape(B, H, W, D)
    vq is still channel-last, (B, H, W, D); a convolutional decoder wants the shape that came in, (B, D, H, W)
vq.reshape(B, H, W, D).permute(0, 3, 1, 2) -> vq
    vq is still a list of rows, (N, D); give it the shape that came in, (B, D, H, W)
codes.reshape(B, H, W) -> codes
    the codes are still in one row, (N,); wanted is one code for each place of each image, (B, H, W)
argmin -> argmax  # zoo 1
    argmax picks the farthest code, not the nearest one (lesson 03)
x + (q - x).detach() -> q  # zoo 25
    the gradient of vq goes to q, and the encoder hears nothing of it: vq is q itself, or the jump q - x was not
    detached as a whole (lesson 04)
x + (q - x).detach() -> q.detach()  # zoo 25
    nobody gets a gradient from vq: one x must be left in it that autograd sees (lesson 04)
x + (q - x).detach() -> x
    vq is x: nothing was quantised. The value that leaves the layer is q
vq = x + (q - x).detach() -> vq = q = x + (q - x).detach()  # zoo 11
    the losses were computed from vq, in which q is behind a detach: the codebook hears nothing. They want q as it was
    looked up
F.mse_loss(q, x.detach()) + beta * -> beta * F.mse_loss(q, x.detach()) +  # zoo 10
    the term that moves x has no beta, and the one that moves q has it: either beta stands before the wrong loss, or
    the two stop-gradients have changed places
F.mse_loss(q, x.detach()) -> F.mse_loss(q, x)  # zoo 12
F.mse_loss(x, q.detach()) -> F.mse_loss(x, q)
    the value is right, but without stop-gradients both losses move both sides
beta * F.mse_loss -> F.mse_loss
    beta is missing: it is the weight of the commitment loss
+ beta * F.mse_loss(x, q.detach()) ->
    the commitment loss is missing
F.mse_loss(q, x.detach()) + beta -> beta
    the codebook loss is missing, so nothing moves the codes
return vq.reshape(B, H, W, D).permute(0, 3, 1, 2), loss, codes.reshape(B, H, W)
    codes and loss have changed places: vq, codes, loss is the order
"""

EXERCISE = exercise(
    my_layer,
    lesson="05_three_losses",
    points=0,
    place=1,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which shape has each thing on the way: the rows, the codes, the looked-up rows, vq? Only the first and the "
        "last step need to know that these are images.",
        "Rows: move D to the end, then merge the other axes. Then everything happens on rows: the nearest code, the "
        "look-up, the straight-through line, two losses. At the end the rows become (B, H, W, D), and D moves back.",
        "x = rows of latents; codes = torch.cdist(?, ?).argmin(1); q = codebook[codes]; vq = x + (?).detach(); loss = "
        "the codebook loss + beta * the commitment loss; return vq in the old shape, codes.reshape(B, H, W), loss",
    ),
)
