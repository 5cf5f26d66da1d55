"""Lesson 03: all squared distances from one matrix product."""

from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_expanded(x, codebook):
    """(N, D), (K, D) -> (N, K): squared distances as |x|^2 - 2 x.e + |e|^2, with one matrix product."""
    ### BEGIN SOLUTION
    sizes = x.square().sum(dim=1, keepdim=True)  # (N, 1), a column
    return sizes - 2 * x @ codebook.T + codebook.square().sum(dim=1)  # (N, K)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, part):
        return Call((normal(generator, n, d), normal(generator, k, d)), ("x", "codebook"), ("distances",), part)

    odd = [call(*sizes, "odd sizes") for sizes in ((4, 4, 3), (1, 5, 3), (5, 1, 3), (4, 6, 1), (30, 7, 4))]
    return [call(5, 4, 3, "values"), *odd]


WRONG = r"""
, keepdim=True ->
    |x|^2 has shape (N,) here, so it runs along the codes. It belongs to the rows: keepdim=True makes a column of it,
    (N, 1)
- 2 * -> + 2 *
    the sign of the middle term: (x - e)^2 is x^2 - 2 x e + e^2
- 2 * x -> - x
    the middle term comes twice: (x - e)^2 is x^2 - 2 x e + e^2
return sizes - 2 * x @ codebook.T
    |e|^2 is missing, and it is not the same for every code: long codes now look nearer than they are
return codebook.square().sum(dim=1) - 2 * x @ codebook.T
    |x|^2 is missing. It is the same for all codes, so argmin would not notice; but these are no distances, some are
    below zero
+ codebook.square().sum(dim=1) -> + codebook.sum(dim=1).square()
    the numbers of a code were added up and then squared: the squares are to be added up
x.square().sum(dim=1, keepdim=True) -> x.sum(dim=1, keepdim=True).square()
    the numbers of a latent were added up and then squared: the squares are to be added up
+ codebook.square().sum(dim=1) -> + codebook.square().sum()
    |e|^2 was added up over the whole codebook; each code has a sum of its own, (K,)
+ codebook.square().sum(dim=1) -> + codebook.norm(dim=1)
    |e| is the length of a code; the formula wants its square
x.square().sum(dim=1, keepdim=True) -> x.norm(dim=1, keepdim=True)
    |x| is the length of a latent; the formula wants its square
return (sizes - 2 * x @ codebook.T + codebook.square().sum(dim=1)).clamp_min(0).sqrt()
    these are distances, with a root; the squared ones were asked for
"""

EXERCISE = exercise(
    my_expanded,
    lesson="03_nearest_code",
    place=1,
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "The three terms have different shapes before they are added: one number for each latent, one for each pair, "
        "one for each code. Which shape is which?",
        "x @ codebook.T is (N, K), the middle term for all pairs. |e|^2 is (K,) and runs along the columns by itself. "
        "|x|^2 has to be a column, (N, 1), to run down the rows.",
        "x.square().sum(dim=1, keepdim=True) - 2 * ... + codebook.square().sum(dim=1)",
    ),
)
