"""Lesson 03: the look-up as a product."""

from torch import Generator
from torch.nn import functional as F

from course_lib.check.author import Call, exercise, normal, number
from course_lib.check.exercises.look_up import codes_but_one


def my_product(codes, codebook):
    """(N,) whole numbers, (K, D) -> (N, D): the codes' rows, as the product of one-hot rows and the codebook."""
    ### BEGIN SOLUTION
    one_hot = F.one_hot(codes, len(codebook)).float()  # (N, K), a single 1 in each row
    return one_hot @ codebook  # (N, K) @ (K, D) -> (N, D)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(codes, codebook, part="odd sizes"):
        return Call((codes, codebook), ("codes", "codebook"), ("quantized",), part, differentiate=(1,))

    plain = codes_but_one(generator, 1, 4, 6)
    plain[number(generator, 0, 5)] = 3  # the highest code is there ...
    return [
        call(plain, normal(generator, 4, 5), "values"),
        call(codes_but_one(generator, 5, 6, 9), normal(generator, 6, 3)),  # ... and here it is not
        call(codes_but_one(generator, 2, 5, 1), normal(generator, 5, 5)),
        call(codes_but_one(generator, 0, 3, 4), normal(generator, 3, 1)),
    ]


WRONG = r"""
F.one_hot(codes, len(codebook)) -> F.one_hot(codes)
    one_hot took the highest code that came for the last one: tell it K, for some codes may not be in use
return one_hot
    these are the one-hot rows, (N, K): what is missing is the product with the codebook
.float() ->
    one_hot gives whole numbers, and a product wants both sides of one kind: make them floats
codes, len(codebook) -> codes, codebook.shape[1]
    the one-hot rows have length D here; they count the codes, so they have length K
return codebook.detach()[codes]
    the vectors are right, but no gradient reaches the codebook: detach() cut it off
one_hot @ codebook -> one_hot @ codebook / one_hot.sum(dim=0).clamp_min(1)[codes, None]
    each row was divided by how often its code came: that is a mean, as in the EMA update of lesson 06, no look-up
"""

EXERCISE = exercise(
    my_product,
    lesson="03_nearest_code",
    place=2,
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "A row of zeros with a single 1 at place k, times the codebook: which of its rows is left?",
        "F.one_hot(codes, K) makes such a row for each code, (N, K), of whole numbers. A product with the codebook, "
        "(K, D), wants them as floats.",
        "F.one_hot(codes, ...).float() @ codebook",
    ),
)
