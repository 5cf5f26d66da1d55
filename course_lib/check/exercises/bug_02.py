"""Exercise 15: flatten, quantise, unflatten."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal, scattered


def bug_02(latents, codebook):
    """latents (B, D, H, W), codebook (K, D) -> (quantized (B, D, H, W), codes (B, H, W) int64).

    codes[b, h, w]: the number of the code nearest to latents[b, :, h, w]. quantized[b, :, h, w]: that code.
    """
    batch, dim, height, width = latents.shape
    ### BEGIN SOLUTION
    flat = latents.permute(0, 2, 3, 1).reshape(-1, dim)  # (B H W, D)
    ### END SOLUTION
    codes = torch.cdist(flat, codebook).argmin(dim=1)  # (B H W,)
    ### BEGIN SOLUTION
    quantized = codebook[codes].reshape(batch, height, width, dim).permute(0, 3, 1, 2)  # (B, D, H, W)
    ### END SOLUTION
    return quantized, codes.reshape(batch, height, width)


def draw(generator: Generator) -> list[Call]:
    def call(shape, k, part="values", dtype=torch.float32, change=lambda latents: latents, **more):
        latents, codebook = normal(generator, *shape).to(dtype), normal(generator, k, shape[1]).to(dtype)
        return Call((change(latents), codebook), ("latents", "codebook"), ("quantized", "codes"), part, **more)

    shapes = ((1, 4, 3, 5), (3, 1, 2, 2), (2, 3, 1, 1), (1, 2, 1, 6), (2, 5, 4, 4))
    return [
        call((2, 3, 2, 4), 6),
        *(call(shape, 5, part="odd sizes") for shape in shapes),
        call((2, 3, 3, 2), 4, part="odd sizes", change=scattered),
        call((2, 2, 3, 2), 4, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


WRONG = r"""
.permute(0, 2, 3, 1) ->  # zoo 4, planted
(batch, height, width, dim).permute(0, 3, 1, 2) -> (batch, dim, height, width)
    the program does what it did. Fill latents so that every number says where it stands, b, d, h and w, and print the
    first row of flat
(batch, height, width, dim).permute(0, 3, 1, 2) -> (batch, dim, height, width)  # zoo 4
    the codes are right now; on the way back the rows are still read as if the channels came before the positions
.permute(0, 2, 3, 1) ->  # zoo 4
    the way back is mended, the way in is not: a row of flat still holds numbers of several positions
.permute(0, 2, 3, 1) -> .transpose(1, 3)
(batch, height, width, dim).permute(0, 3, 1, 2) -> (batch, width, height, dim).transpose(1, 3)
    the vectors are right, and the rows run down the columns of the picture: the order is B, W, H, and the codes are
    laid out as B, H, W
.permute(0, 2, 3, 1) -> .transpose(0, 1)
(batch, height, width, dim).permute(0, 3, 1, 2) -> (dim, batch, height, width).transpose(0, 1)
    batch and channels have changed places: the channels have to become the last axis, not the first
"""

EXERCISE = exercise(
    bug_02,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which numbers of the latents should stand together in one row of flat, and which do?",
        "reshape never moves a number: it cuts the sequence in memory anew. In (B, D, H, W) neighbours in memory are "
        "neighbours along W, not along D. The axis that becomes the row has to be the last one first.",
        "in: move axis 1 to the end, then reshape(-1, dim). back: reshape(batch, height, width, dim), then move the "
        "last axis to place 1.",
    ),
)
