"""Exercise 15: residual quantisation."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def bug_15(flat, codebooks):
    """flat (N, D), codebooks (Q, K, D) -> (vq (N, D), codes (N, Q), loss 0-d). Each level quantises what is left over.

    vq: the sum of the chosen codes, with the gradient of flat. loss: for each level its codebook loss, which pulls this
    level's codebook alone, plus 0.25 times its commitment loss, which pulls flat alone.
    """
    residual, quantized, codes, loss = flat, torch.zeros_like(flat), [], 0.0
    for codebook in codebooks:
        chosen = torch.cdist(residual, codebook).argmin(dim=1)  # (N,)
        code = codebook[chosen]  # (N, D)
        loss = loss + F.mse_loss(code, residual.detach()) + 0.25 * F.mse_loss(residual, code.detach())
        ### BEGIN SOLUTION
        residual = residual - code.detach()  # (N, D)
        ### END SOLUTION
        quantized = quantized + code  # (N, D)
        codes.append(chosen)
    vq = flat + (quantized - flat).detach()
    return vq, torch.stack(codes, dim=1), loss


def draw(generator: Generator) -> list[Call]:
    gives = ("vq", "codes", "loss")

    def call(n, levels, k, d, part="values", dtype=torch.float32, **more):
        args = normal(generator, n, d).to(dtype), normal(generator, levels, k, d).to(dtype)
        return Call(args, ("flat", "codebooks"), gives, part, differentiate=(0, 1), **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((4, 1, 3, 2), (5, 2, 1, 1))]
    wide = call(6, 3, 3, 2, part="dtypes", dtype=torch.float64, elsewhere=True)
    return [call(5, 2, 4, 3, part="gradients"), call(3, 3, 4, 2), *odd, wide]


WRONG = r"""
residual - code.detach() -> residual - code  # zoo 17, planted
    the program does what it did. Ask for the gradient of loss for codebooks with two levels, and again with the first
    level alone: codebooks[0] should get the same from both
residual - code.detach() -> (residual - code).detach()  # zoo 17
    the levels are apart now, and from the second on their commitment losses reach nobody: the residual as a whole was
    cut, flat with it
residual - code.detach() -> residual.detach() - code  # zoo 17
    the wrong term is detached: the codes still leak into the next level, and flat no longer reaches it
mse_loss(code, -> mse_loss(code.detach(),
    the leak is closed, and the codebook loss is detached on both sides: no codebook learns
mse_loss(residual, -> mse_loss(residual.detach(),
    the leak is closed, and the commitment losses reach nobody: in them the residual is not to be detached
return vq -> return quantized  # zoo 21
    the leak is closed; vq is the bare sum of codes now, so its gradient goes to the codebooks and not to flat
return vq -> return quantized + flat - flat.detach()
    the leak is closed; vq has two gradients, flat's own and one that goes to the codebooks by the bare sum of codes
mse_loss(residual, -> mse_loss(flat,
    the leak is closed, and the commitment losses compare each code with flat itself; from the second level on, a code
    stands for what is left over
return vq, torch.stack(codes, dim=1), loss -> return vq, torch.stack(codes, dim=1), loss / len(codebooks)
    the leak is closed, and the losses of the levels were averaged; they add up
"""

EXERCISE = exercise(
    bug_15,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "The residual of the second level is flat minus a code of the first. Which losses of the second level have a "
        "gradient with respect to that residual, and what do they then reach?",
        "The gradient of a residual should reach flat and no codebook: the code taken off is a constant, flat is not.",
        "residual = residual - (the code, as a constant)",
    ),
)
