"""Exercise 03: the rows of a codebook that codes stand for."""

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, exercise, normal, number, scattered


def look_up(codes, codebook):
    """(...,) int64, (K, D) floating point -> (..., D): the codes' rows; a row not chosen gets a gradient of zeros.

    codes: any number of axes, none included. dtype of the result: the codebook's.
    """
    ### BEGIN SOLUTION
    return codebook[codes]
    ### END SOLUTION


def codes_but_one(generator: Generator, unused: int, codebook_size: int, *shape: int) -> Tensor:
    """Codes among which one never comes, so that its row has no gradient, and others come more than once."""
    codes = torch.randint(codebook_size - 1, shape, generator=generator)
    return codes + (codes >= unused)


def draw(generator: Generator) -> list[Call]:
    def call(codes, codebook, part="odd sizes", **more):
        return Call((codes, codebook), ("codes", "codebook"), ("quantized",), part, differentiate=(1,), **more)

    plain = codes_but_one(generator, 1, 4, 6)
    plain[number(generator, 0, 5)] = 3  # the highest code is there ...
    last_unused = codes_but_one(generator, 5, 6, 9)  # ... and here it is not
    last_unused[number(generator, 0, 8)] = 0
    places = [codes_but_one(generator, 2, 4, *shape) for shape in ((2, 5), (2, 3, 2), (2, 2, 3, 2), (1, 3))]
    for codes in places:
        codes.view(-1)[0] = 3
    return [
        call(plain, normal(generator, 4, 5), "values"),
        call(last_unused, normal(generator, 6, 3)),
        *(call(codes, normal(generator, 4, 3)) for codes in places),
        call(scattered(places[1]), normal(generator, 4, 3)),
        call(torch.tensor(2), normal(generator, 3, 4)),
        call(torch.zeros(3, dtype=torch.int64), normal(generator, 1, 4)),
        call(codes_but_one(generator, 1, 5, 2, 3), normal(generator, 5, 1)),
        call(codes_but_one(generator, 0, 4, 5), scattered(normal(generator, 4, 3)).double(), "dtypes", elsewhere=True),
    ]


WRONG = r"""
return codebook.index_select(0, codes.view(-1)).view(*codes.shape, codebook.shape[1])
    view works only where the numbers lie in memory in the order of the axes; flatten and reshape copy where they
    must
return codebook.T[codes]
    these are columns of the codebook: a code is a row, (K, D)
return codebook[:, codes]
    [:, codes] picks columns, one number of every row; a code is a whole row: index the first axis
return codebook.gather(0, codes.reshape(-1, 1))
    gather picks single numbers, one for each index; a code stands for the whole row
return codebook[codes.reshape(-1)]
    the vectors are right, but the axes of codes are gone: (B, H, W) is to give (B, H, W, D)
return codebook.index_select(0, codes)
    index_select takes a single axis of codes; codes of a batch of images have three
return torch.stack([codebook[code] for code in codes])
    a single code has shape (): there is no axis to loop over, and its vector is wanted all the same
return codebook[codes].movedim(-1, 1) if codes.ndim > 1 else codebook[codes]
    D was moved to axis 1; wanted is (..., D), the axes of codes first
return codebook[codes].squeeze()
    squeeze drops every axis of length 1, those of a batch of one image or of D = 1 too
return torch.nn.functional.one_hot(codes).to(codebook.dtype) @ codebook
    one_hot took the highest code that came for the last one: tell it K, some codes may not be used
return torch.nn.functional.one_hot(codes, len(codebook)).float() @ codebook
    one-hot rows of float32 meet a codebook of float64: give them the dtype of the codebook
return torch.nn.functional.one_hot(codes, len(codebook)).to(codebook.dtype)  # lesson 03
    these are one-hot rows, (..., K): what is still missing is the product with the codebook
return codebook.detach()[codes]  # zoo 25
    the vectors are right, but no gradient reaches the codebook: it was cut off, or copied into a tensor of its own
return torch.nn.functional.embedding(codes, codebook, padding_idx=0)
    code 0 gets no gradient: padding_idx makes it a row that never learns
return codebook[codes - 1]
    each row is the one before the right one: are rows numbered from 1, or from 0?
"""

EXERCISE = exercise(
    look_up,
    lesson="03_nearest_code",
    place=2,
    draw=draw,
    wrong=WRONG,
    hints=(
        "A code is the number of a row. What does a tensor give back when it is indexed with a tensor of whole "
        "numbers?",
        "Indexing the first axis with integers of shape (...,) puts that shape in place of the axis: (K, D) becomes "
        "(..., D). Backward, each row collects the gradients from all places that chose it; the others get none.",
        "think of codebook[2], then of codebook[torch.tensor([2, 0, 2])]: the same brackets take codes of any shape",
    ),
)
