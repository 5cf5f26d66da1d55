"""Exercise 15: a start by k-means."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib import quantize
from course_lib.check.author import Call, Seed, exercise, normal, number


def bug_10(cluster_size, embed_sum, first, flat, decay, generator):
    """k-means on latents `first` (M, D), then one update with `flat` (N, D) -> (cluster_size, embed_sum, codebook).

    cluster_size (K,), embed_sum (K, D): the moving averages of a codebook that was drawn at random. After k-means
    nothing is left of them: a centroid counts as all the latents of `first` that it is the mean of.
    The inputs stay as they are.
    """
    ### BEGIN SOLUTION
    codebook, cluster_size = quantize.kmeans_init(first, len(cluster_size), iterations=2, generator=generator)
    embed_sum = codebook * cluster_size.unsqueeze(1)  # (K, D)
    ### END SOLUTION
    codes = torch.cdist(flat, codebook).argmin(dim=1)  # (N,)
    chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)  # (N, K)
    cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
    embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
    codebook = embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)  # (K, D)
    return cluster_size, embed_sum, codebook


def centroids_alone(cluster_size, embed_sum, first, flat, decay, generator):
    codebook, _ = quantize.kmeans_init(first, len(cluster_size), iterations=2, generator=generator)  # (K, D), (K,)
    codes = torch.cdist(flat, codebook).argmin(dim=1)  # (N,)
    chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)  # (N, K)
    cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
    embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
    codebook = embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)  # (K, D)
    return cluster_size, embed_sum, codebook


def draw(generator: Generator) -> list[Call]:
    names = ("cluster_size", "embed_sum", "first", "flat", "decay", "generator")

    def call(first, flat, k, decay, part="values", dtype=torch.float32, seed=None, **more):
        state = torch.rand(k, generator=generator) + 0.5, 3 * normal(generator, k, first.shape[1])
        args = *(tensor.to(dtype) for tensor in (*state, first, flat)), decay, seed or Seed(number(generator, 0, 10**6))
        return Call(args, names, ("new cluster_size", "new embed_sum", "codebook"), part, **more)

    def on_a_line(places):
        direction = F.normalize(normal(generator, 2), dim=0)
        return torch.tensor(places).unsqueeze(1) * direction + 0.02 * normal(generator, len(places), 2)

    def started(k, places):
        """Latents at these places of a line, so laid out that the first k are those which k-means starts from."""
        seed = Seed(number(generator, 0, 10**6))
        numbers = torch.arange(float(len(places))).unsqueeze(1)
        start = quantize.kmeans_init(numbers, k, 0, Generator().manual_seed(seed.number))[0].flatten().tolist()
        order = [int(n) for n in start] + [n for n in range(len(places)) if n not in start]
        return [place for _, place in sorted(zip(order, places))], seed

    # The second code takes 9 in its second step and would lose it in the third: nothing has settled
    drifting, seed = started(2, [0.0, 1.0, 3.0, 9.0, 27.0])
    line = on_a_line([*drifting, 2.0, 8.0, 12.0, 20.0])
    plain = call(line[:5], line[5:], 2, 0.9, seed=seed, again=True)
    # The second code is left by all its latents in the second step, and stays at 5 as the mean of none
    emptied, seed = started(3, [-1.0, 0.0, 21.0, 10.0, 10.6, 10.6, 10.6])
    line = on_a_line([*emptied, 5.0, -0.5, 5.5, 12.5])
    empty = call(line[:7], line[7:], 3, 0.8, part="an empty centroid", seed=seed)
    odd = call(normal(generator, 9, 2), normal(generator, 1, 2), 3, 0.5, part="odd sizes")
    wide = normal(generator, 10, 1), normal(generator, 5, 1), 4, 0.7
    return [plain, empty, odd, call(*wide, part="dtypes", dtype=torch.float64, elsewhere=True)]


WRONG = r"""
codebook * cluster_size.unsqueeze(1) -> codebook  # zoo 16, planted
    the program does what it did. Call it with decay near 1, so that the update hardly counts, and compare the lengths
    of the codes with those of the centroids
-> centroids_alone  # zoo 16
    the averages are still those of the random codebook: the update divides the one by the other, and the centroids are
    soon forgotten
embed_sum = codebook * cluster_size.unsqueeze(1) ->  # zoo 16
    the counts come from k-means now, the sums are still those of the random codebook
codebook, cluster_size -> codebook, counts  # zoo 16
cluster_size.unsqueeze(1) -> counts.unsqueeze(1)
    the sums come from k-means now, the counts are still those of the random codebook
embed_sum = codebook * cluster_size.unsqueeze(1) -> cluster_size, embed_sum = torch.ones_like(cluster_size), codebook
    the ratio of sums and counts is right, and each centroid counts as one latent: how many is it the mean of?
codebook, cluster_size -> codebook, _  # zoo 16
    the sums follow k-means, the counts are still the old ones: each centroid weighs what the random code did
codebook, cluster_size -> codebook, _  # zoo 16
codebook * cluster_size.unsqueeze(1) -> codebook
    embed_sum is the bare centroid, and the counts are still those of the random codebook: their quotient is no centroid
embed_sum = codebook -> cluster_size = cluster_size.clamp_min(1)\nembed_sum = codebook
    a centroid that is the mean of no latent was counted as one: its count is 0, and so is its sum
embed_sum = codebook -> codes = torch.cdist(first, codebook).argmin(dim=1)\nembed_sum = codebook
embed_sum = codebook -> cluster_size = torch.bincount(codes, minlength=len(codebook))\nembed_sum = codebook
    `first` was counted once more, on the finished centroids: the second result of kmeans_init says how many latents
    each is the mean of
embed_sum = codebook -> codes = torch.cdist(first, codebook).argmin(dim=1)\nembed_sum = codebook
embed_sum = codebook -> chosen = F.one_hot(codes, len(codebook)).to(first.dtype)\nembed_sum = codebook
embed_sum = codebook * cluster_size.unsqueeze(1) -> cluster_size, embed_sum = chosen.sum(dim=0), chosen.T @ first
    counts and sums were made anew from the latents nearest to the finished centroids: their quotient is one more step
    of k-means
codes = -> return cluster_size, embed_sum, codebook\ncodes =
    this is the state after k-means; the update with flat is missing
"""

EXERCISE = exercise(
    bug_10,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which of its three quantities does an EMA codebook keep from one update to the next, and which does it "
        "compute anew?",
        "The codebook is a quotient that the next update computes again from embed_sum and cluster_size. For the "
        "quotient to be the centroid, what must the sum be?",
        "take both results of kmeans_init; cluster_size = ..., embed_sum = centroid times ..., before the update",
    ),
)
