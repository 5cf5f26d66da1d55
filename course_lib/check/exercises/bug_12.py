"""Exercise 15: a quantiser that learns by gradient."""

import torch
import torch.nn.functional as F
from torch import Generator, nn

from course_lib.check.author import Call, exercise, normal


class bug_12(nn.Module):
    """latents (N, D) -> (vq (N, D), codes (N,), loss 0-d).

    vq: the nearest codes, with the gradient of the latents. loss: the codebook loss, a mean square which pulls the
    codebook alone, plus 0.25 times the commitment loss, one which pulls the latents alone.
    """

    def __init__(self, dim, codebook_size):
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codebook_size, dim))

    def forward(self, latents):
        codes = torch.cdist(latents, self.codebook).argmin(dim=1)  # (N,)
        quantized = self.codebook[codes]  # (N, D)
        ### BEGIN SOLUTION
        vq = latents + (quantized - latents).detach()  # (N, D)
        ### END SOLUTION
        codebook_loss = F.mse_loss(quantized, latents.detach())
        commitment_loss = F.mse_loss(latents, quantized.detach())
        ### BEGIN SOLUTION
        return vq, codes, codebook_loss + 0.25 * commitment_loss
        ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(n, dim, k, part="values", **more):
        args = (normal(generator, n, dim),)
        gives, build = ("vq", "codes", "loss"), {"dim": dim, "codebook_size": k}
        return Call(args, ("latents",), gives, part, build=build, differentiate=(0,), **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((1, 3, 4), (5, 1, 3), (4, 2, 1))]
    return [call(5, 2, 4, part="gradients"), call(20, 3, 6, elsewhere=True), *odd]


WRONG = r"""
vq = -> quantized =  # zoo 11, planted
return vq -> return quantized
    the program does what it did. All values are right; ask for the gradient of loss for layer.codebook
return vq -> return quantized  # zoo 25
    the codebook learns now, and vq has lost its way back: its gradient goes to the codebook instead of the latents
return vq -> return quantized.detach()  # zoo 25
    the codebook learns now, and vq hands its gradient to nobody: the latents never hear of the decoder
(quantized, latents.detach()) -> (quantized.detach(), latents)  # zoo 12
(latents, quantized.detach()) -> (latents.detach(), quantized)
    both losses have a gradient now, each for the other side: the one that pulls the latents has weight 1, the one that
    pulls the codebook has 0.25
latents.detach() -> latents  # zoo 12
quantized.detach() -> quantized
    without the two .detach() each loss pulls both sides, so latents and codebook get 1.25 each
latents.detach() -> latents  # zoo 12
    one .detach() is missing: the codebook loss pulls both sides, the latents too
quantized.detach() -> quantized  # zoo 12
    one .detach() is missing: the commitment loss pulls both sides, the codebook too
codebook_loss + 0.25 -> 0.25
    the codebook loss is gone; it was to be computed from another tensor, not left out
codebook_loss + 0.25 * commitment_loss -> codebook_loss + commitment_loss
    the codebook learns now, and the commitment loss has lost its weight
codebook_loss + 0.25 * commitment_loss -> codebook_loss
    the codebook learns now, and the commitment loss has gone: nothing holds the latents to their codes
"""

EXERCISE = exercise(
    bug_12,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Through which tensors would the gradient of the codebook loss have to travel to reach self.codebook? Is one "
        "of them behind a .detach()?",
        "The straight-through tensor has the value of the codes and the gradient of the latents. For a loss that is to "
        "move the codes it is the wrong tensor, though its value is the right one.",
        "give the straight-through tensor a name of its own (vq); both losses take ..., the decoder takes vq",
    ),
)
