"""Lesson 03: the code that is nearest to one latent."""

from torch import Generator

from course_lib.check.author import Call, as_a_number, exercise, normal, whole
from course_lib.check.exercises.my_choice import told_apart


def my_nearest(x, codebook):
    """(D,), (K, D) -> the number of the code that is nearest to this one latent."""
    ### BEGIN SOLUTION
    distances = (codebook - x).square().sum(dim=1)  # (K, D) - (D,) -> (K, D) -> (K,)
    return int(distances.argmin())
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(x, codebook, part="odd sizes"):
        return Call((x, codebook), ("x", "codebook"), ("code",), part)

    several = [call(normal(generator, 3), normal(generator, 6, 3), "values") for _ in range(4)]
    odd = [call(normal(generator, d), normal(generator, k, d)) for k, d in ((5, 1), (1, 4), (12, 2), (4, 4), (12, 9))]
    far_in_one, latent = told_apart(generator, 1)  # nearest by squares and by absolute differences are two codes
    codebook = whole(generator, 5, 2)
    return [*several, *odd, call(latent, far_in_one), call(codebook[3], codebook.repeat(2, 1), "ties")]


WRONG = r"""
argmin -> argmax  # zoo 1
    this is the farthest code: of distances the smallest wins
.square() ->
    differences were added up with their signs, so that +3 and -3 make 0: square them first
square -> abs
    absolute differences were added up. That measures how far one walks along streets; wanted is the straight line,
    so square them
int(distances.argmin()) -> distances.min()
    this is the smallest distance itself; wanted is which code has it
int(distances.argmin()) -> int(distances.min())
    this is the smallest distance, cut to a whole number: min gives the value, argmin the place where it stands
int(distances.argmin()) -> distances.topk(1).indices
    topk takes the largest unless it is told largest=False, and it gives a list of one; wanted is a single number
int(distances.argmin()) -> codebook[distances.argmin()]
    this is the vector of the nearest code; wanted is its number
.sum(dim=1) ->
    the squares of a code were not added up: argmin then counts through K x D numbers, not through K codes
dim=1 -> dim=0
    the squares were added up over the codes; each code needs a sum of its own, over its D numbers
(codebook - x).square().sum(dim=1) -> -(codebook @ x)
    the largest product x.e was chosen: long codes win it from far away. Measure the difference of the two vectors
(codebook - x) -> codebook
    x was not used: this is the code nearest to the origin, for whatever latent
int(distances.argmin()) -> len(codebook) - 1 - int(distances.flip(0).argmin())
    where two codes are equally near, the one with the lower number is wanted, which is what argmin gives by itself
"""

EXERCISE = exercise(
    my_nearest,
    lesson="03_nearest_code",
    points=0,
    draw=draw,
    wrong=WRONG,
    view=as_a_number,
    hints=(
        "How far is x from each of the K codes? One subtraction makes all K differences at once.",
        "codebook - x has shape (K, D), a difference in each row. Square, add up along the row, and ask where the "
        "smallest of the K sums stands.",
        "distances = (codebook - x).square().sum(dim=?); then the position of the smallest: distances.arg...()",
    ),
)
