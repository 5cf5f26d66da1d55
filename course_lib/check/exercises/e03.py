"""Exercise 03: distances, the nearest code, look-up."""

import torch
from torch import Generator, Tensor

from course_lib import quantize
from course_lib.check.exercises.drawing import normal, scattered, whole
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# pairwise_distances


def draw_distances(generator: Generator) -> list[Call]:
    def call(n, k, d, part="values", **more):
        args = normal(generator, n, d), normal(generator, k, d)
        return Call(args, ("flat", "codebook"), ("distances",), part, differentiate=(0, 1), **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((1, 4, 3), (5, 1, 3), (4, 6, 1), (30, 40, 2))]
    flat, codebook = scattered(normal(generator, 3, 5)), scattered(normal(generator, 4, 5))
    strides = Call((flat, codebook), ("flat", "codebook"), ("distances",), "odd sizes")
    wide = Call((normal(generator, 3, 2).double(), normal(generator, 4, 2).double()), ("flat", "codebook"), ("distances",), "dtypes", elsewhere=True)
    return [call(5, 4, 3), *odd, strides, wide]


def root_taken(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square().sum(-1).sqrt()


def mean_over_dimension(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square().mean(-1)


def absolute_differences(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).abs().sum(-1)


def axes_swapped(flat, codebook):
    return (codebook.unsqueeze(1) - flat.unsqueeze(0)).square().sum(-1)


def middle_term_added(flat, codebook):
    return flat.square().sum(1, keepdim=True) + 2 * flat @ codebook.T + codebook.square().sum(1)


def middle_term_once(flat, codebook):
    return flat.square().sum(1, keepdim=True) - flat @ codebook.T + codebook.square().sum(1)


def latents_square_left_out(flat, codebook):
    return codebook.square().sum(1) - 2 * flat @ codebook.T


def product_alone(flat, codebook):
    return flat @ codebook.T


def not_summed(flat, codebook):
    return (flat.unsqueeze(1) - codebook.unsqueeze(0)).square()


def without_gradient(flat, codebook):
    return torch.cdist(flat.detach(), codebook.detach()).square()


DISTANCES = Exercise(
    name="pairwise_distances",
    lesson="03_nearest_code",
    reference=quantize.pairwise_distances,
    draw=draw_distances,
    mistakes=(
        Mistake(root_taken, "these are distances; the squared ones were asked for: leave the root out", "zoo 18"),
        Mistake(mean_over_dimension, "the mean over D was taken; the squared distance is the sum", "zoo 20"),
        Mistake(absolute_differences, "absolute differences were added up; wanted are their squares", "common"),
        Mistake(axes_swapped, "rows and columns are swapped: latent vectors give the rows, codes the columns, (N, K)", "common"),
        Mistake(middle_term_added, "the sign of the middle term: |x - e|^2 = |x|^2 - 2 x.e + |e|^2", "common"),
        Mistake(middle_term_once, "the middle term comes twice: |x|^2 - 2 x.e + |e|^2", "common"),
        Mistake(latents_square_left_out, "|x|^2 is missing: argmin would not notice, but a distance below zero is none", "common"),
        Mistake(product_alone, "this is the scalar product x.e: it grows where vectors are alike, and with their length", "zoo 1"),
        Mistake(not_summed, "one axis too many: the squares over D are still to be added up", "common"),
        Mistake(without_gradient, "the numbers are right, but nothing can be learnt through them: where was the graph cut?", "zoo 22"),
    ),
    hints=(
        "There are N x K pairs. What shape must flat and codebook have, so that one subtraction makes all of them?",
        "Broadcasting: (N, 1, D) minus (1, K, D) is (N, K, D), every latent minus every code. Or expand the square: "
        "|x - e|^2 = |x|^2 - 2 x.e + |e|^2, where x.e for all pairs is one matrix product.",
        "differences = flat[:, None, :] - codebook[None, :, :]  # (N, K, D); then square, then sum over the last axis",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# nearest_codes


def draw_nearest(generator: Generator) -> list[Call]:
    def call(flat, codebook, part="values", **more):
        return Call((flat, codebook), ("flat", "codebook"), ("codes",), part, **more)

    def random(n, k, d, **more):
        return call(normal(generator, n, d), normal(generator, k, d), **more)

    codebook = whole(generator, 6, 2)
    ties = call(whole(generator, 40, 2), torch.cat([codebook, codebook[:3]]), part="ties")
    odd = [random(*sizes, part="odd sizes") for sizes in ((1, 5, 3), (6, 1, 2), (4, 7, 1), (60, 70, 5))]
    flat = scattered(normal(generator, 4, 3)).double()
    return [random(6, 5, 3), *odd, ties, call(flat, normal(generator, 5, 3).double(), part="dtypes", elsewhere=True)]


def forgive_rounding(call: Call, seen: Observation) -> Observation:
    """A code that is farther than the nearest by no more than rounding counts as the nearest."""
    codes, (flat, codebook) = seen.get("codes"), call.args
    if isinstance(codes, Tensor) and codes.dtype == torch.int64 and codes.shape == flat.shape[:1]:
        distances = (flat.double().unsqueeze(1) - codebook.double()).square().sum(-1)  # (N, K)
        if 0 <= codes.min() and codes.max() < len(codebook):
            excess = distances.gather(1, codes.unsqueeze(1)).squeeze(1) - distances.amin(1)  # (N,); 0 in exact ties
            seen["codes"] = torch.where((excess > 0) & (excess < 1e-5), distances.argmin(1), codes)
    return seen


def farthest(flat, codebook):
    return torch.cdist(flat, codebook).argmax(dim=1)


def along_the_latents(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=0)


def over_everything(flat, codebook):
    return torch.cdist(flat, codebook).argmin()


def values_instead_of_places(flat, codebook):
    return torch.cdist(flat, codebook).min(dim=1).values


def largest_product(flat, codebook):
    return (flat @ codebook.T).argmax(dim=1)


def axis_kept(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1, keepdim=True)


def one_hot_rows(flat, codebook):
    return torch.nn.functional.one_hot(torch.cdist(flat, codebook).argmin(dim=1), len(codebook))


def last_of_equals(flat, codebook):
    distances = (flat.unsqueeze(1) - codebook).square().sum(-1)
    return len(codebook) - 1 - distances.flip(1).argmin(dim=1)


def numbers_of_32_bits(flat, codebook):
    return torch.cdist(flat, codebook).argmin(dim=1).int()


def cosine(flat, codebook):
    return (torch.nn.functional.normalize(flat, dim=1) @ torch.nn.functional.normalize(codebook, dim=1).T).argmax(1)


NEAREST = Exercise(
    name="nearest_codes",
    lesson="03_nearest_code",
    reference=quantize.nearest_codes,
    draw=draw_nearest,
    view=forgive_rounding,
    mistakes=(
        Mistake(farthest, "argmax picks the farthest code; the nearest has the smallest distance", "zoo 1"),
        Mistake(along_the_latents, "the minimum runs down the columns: that is the nearest latent of each code, (K,); wanted is one code for each latent, (N,)", "common"),
        Mistake(over_everything, "argmin without dim looks at the whole table and gives one number; wanted is one for each row", "common"),
        Mistake(values_instead_of_places, "these are the smallest distances; wanted is where they stand", "common"),
        Mistake(largest_product, "the largest scalar product is not the smallest distance: long codes win it", "common"),
        Mistake(axis_kept, "one axis too many: codes have shape (N,), not (N, 1)", "common"),
        Mistake(one_hot_rows, "these are one-hot rows; wanted are the codes' numbers, (N,)", "common"),
        Mistake(last_of_equals, "where two codes are equally near, the one with the lower index is wanted", "common"),
        Mistake(numbers_of_32_bits, "codes are int64 here, as argmin gives them and indexing wants them", "common"),
        Mistake(cosine, "vectors were scaled to length 1: that compares directions, not distances", "zoo 18"),
    ),
    hints=(
        "In the table of distances, (N, K), which number do you want of each row: its smallest value, or its place?",
        "argmin gives the place of the smallest value along one axis. The axis it runs along disappears: from (N, K), "
        "to be left with (N,), it has to be the one of the codes.",
        "distances = ...  # (N, K), squared or not: the smallest is the same one; return distances.argmin(dim=the axis of K)",
    ),
)

EXERCISES = [DISTANCES, NEAREST]
