"""Exercise 03: the squared distance of every latent vector to every code."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal, scattered, whole


def pairwise_distances(flat, codebook):
    """(N, D), (K, D), floating point -> (N, K): squared Euclidean distances, with gradients for both."""
    ### BEGIN SOLUTION
    differences = flat[:, None, :] - codebook[None, :, :]  # (N, 1, D) - (1, K, D) -> (N, K, D)
    return differences.square().sum(dim=-1)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(flat, codebook, part, **more):
        return Call((flat, codebook), ("flat", "codebook"), ("distances",), part, **more)

    def random(n, k, d, part="odd sizes"):
        return call(normal(generator, n, d), normal(generator, k, d), part, differentiate=(0, 1))

    odd = [random(*sizes) for sizes in ((1, 4, 3), (5, 1, 3), (4, 6, 1), (26, 6, 2))]
    strides = call(scattered(normal(generator, 3, 5)), scattered(normal(generator, 4, 5)), "odd sizes")
    double = call(normal(generator, 3, 2).double(), normal(generator, 4, 2).double(), "dtypes", elsewhere=True)
    flat = whole(generator, 4, 3)
    meeting = torch.cat([flat[1:3], whole(generator, 3, 3)])  # two distances are 0; a root has no slope there
    zero = call(flat, meeting, "values where a latent lies on a code", differentiate=(0, 1))
    return [random(5, 4, 3, "values"), *odd, strides, zero, double]


WRONG = r"""
.sum(dim=-1) -> .sum(dim=-1).sqrt()  # zoo 18
    these are distances; the squared ones were asked for: leave the root out
.sum(dim=-1) -> .sum(dim=-1).sqrt().square()  # mutation
    the values are right, but the gradient is NaN where a latent lies on a code: a root was taken on the way, and
    its slope at 0 is infinite
sum -> mean  # zoo 20
    the mean over D was taken; the squared distance is the sum
square -> abs
    absolute differences were added up; wanted are their squares
flat[:, None, :] - codebook[None, :, :] -> codebook[:, None, :] - flat[None, :, :]
    rows and columns are swapped: latent vectors give the rows, codes the columns, (N, K)
return flat.square().sum(dim=1, keepdim=True) + 2 * flat @ codebook.T + codebook.square().sum(dim=1)
    the sign of the middle term: |x - e|^2 = |x|^2 - 2 x.e + |e|^2
return flat.square().sum(dim=1, keepdim=True) - flat @ codebook.T + codebook.square().sum(dim=1)
    the middle term comes twice: |x|^2 - 2 x.e + |e|^2
return codebook.square().sum(dim=1) - 2 * flat @ codebook.T
    |x|^2 is missing: argmin would not notice, but a distance below zero is none
return flat @ codebook.T  # zoo 1
    this is the scalar product x.e: it grows where vectors are alike, and with their length
flat[:, None, :] - codebook[None, :, :] -> flat - codebook
    flat and codebook meet row by row; every latent has to meet every code: give each an axis of length 1
return flat.square().sum(dim=1) - 2 * flat @ codebook.T + codebook.square().sum(dim=1)
    |x|^2 has shape (N,) here and runs along the codes; as a column, (N, 1), it needs keepdim=True
.sum(dim=-1) ->
    one axis too many: the squares over D are still to be added up
flat[:, None, :] -> flat.detach()[:, None, :]
    the latents were detached; here both sides have a gradient, and it is for the losses to stop one of them
codebook[None, :, :] -> codebook.detach()[None, :, :]
    the codebook was detached; here both sides have a gradient, and it is for the losses to stop one of them
flat[:, None, :] - codebook[None, :, :] -> (flat[:, None, :] - codebook[None, :, :]).detach()  # zoo 22
    the numbers are right, but nothing can be learnt through them: where was the graph cut?
return flat.square().sum(dim=1, keepdim=True) - 2 * flat @ codebook.T
    |e|^2 is missing: without it a long code looks nearer than it is
.square().sum(dim=-1) -> .sum(dim=-1).square()
    differences were added up before they were squared, so that those of opposite sign cancel
.sum(dim=-1) -> .sum(dim=-1) / 2
    this is half of the squared distance
return flat.square().sum(dim=1, keepdim=True) - 2 * flat @ codebook.T + codebook.square().sum(dim=1, keepdim=True)
    |e|^2 is a column here, (K, 1), an axis too many: keepdim=True is for the number that belongs to a row of the result
"""

EXERCISE = exercise(
    pairwise_distances,
    lesson="03_nearest_code",
    draw=draw,
    wrong=WRONG,
    hints=(
        "There are N x K pairs. What shape must flat and codebook have, so that one subtraction makes all of them?",
        "Broadcasting: (N, 1, D) minus (1, K, D) is (N, K, D), every latent minus every code. Or expand the square: "
        "|x - e|^2 = |x|^2 - 2 x.e + |e|^2, where x.e for all pairs is one matrix product.",
        "differences = flat[:, None, :] - codebook[None, :, :]  # (N, K, D); then square, then sum over the last axis",
    ),
)
