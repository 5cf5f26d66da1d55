"""Exercise 15: smoothing, stored or not."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def bug_11(cluster_size, embed_sum, codebook, batches, decay, eps):
    """T steps of an EMA codebook, batches (T, N, D) -> (cluster_size (K,), embed_sum (K, D), codebook (K, D)).

    cluster_size, embed_sum: moving averages of how many latents of a batch chose each code, and of their sum.
    codebook: embed_sum over the counts, with eps added to each count and all of them scaled to the same total.
    """
    for flat in batches:
        codes = torch.cdist(flat, codebook).argmin(dim=1)  # (N,)
        chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)  # (N, K)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
        total = cluster_size.sum()
        ### BEGIN SOLUTION
        smoothed = (cluster_size + eps) / (total + len(codebook) * eps) * total  # (K,)
        codebook = embed_sum / smoothed.unsqueeze(1)  # (K, D)
        ### END SOLUTION
    return cluster_size, embed_sum, codebook


def draw(generator: Generator) -> list[Call]:
    names = ("cluster_size", "embed_sum", "codebook", "batches", "decay", "eps")
    gives = ("new cluster_size", "new embed_sum", "new codebook")

    def call(batches, n, k, d, decay, eps, part="values", dtype=torch.float32, **more):
        counts = torch.randint(0, 4, (k,), generator=generator).float()
        counts[0] = 0
        codebook = normal(generator, k, d)
        state = counts, codebook * counts.unsqueeze(1), codebook, normal(generator, batches, n, d)
        return Call((*(tensor.to(dtype) for tensor in state), decay, eps), names, gives, part, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((3, 1, 4, 2, 0.5, 0.2), (2, 6, 3, 1, 0.99, 1.0))]
    small = call(3, 5, 4, 3, 0.8, 1e-5, part="a usual eps")
    plain = call(2, 5, 3, 2, 0.9, 0.5)
    while torch.allclose(smoothed_after_the_loop(*plain.args)[2], bug_11(*plain.args)[2], rtol=0.01, atol=0.01):
        plain = call(2, 5, 3, 2, 0.9, 0.5)  # until it makes a difference that each step smooths
    return [plain, *odd, small, call(2, 4, 3, 2, 0.7, 0.3, part="dtypes", dtype=torch.float64, elsewhere=True)]


def smoothed_after_the_loop(cluster_size, embed_sum, codebook, batches, decay, eps):
    for flat in batches:
        cluster_size, embed_sum, last = bug_11(cluster_size, embed_sum, codebook, flat[None], decay, eps)
        codebook = embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)
    return cluster_size, embed_sum, last


WRONG = r"""
smoothed = -> cluster_size =  # zoo 9, planted
/ smoothed -> / cluster_size
    the program does what it did. With eps = 1 and a code that nobody chooses, follow its cluster_size from step to
    step: an average of zeros should fall towards 0
/ smoothed -> / cluster_size
    the stored counts are right now, and nothing is smoothed any more: an empty code divides by 0
/ smoothed -> / cluster_size.clamp_min(eps)
    the stored counts are right now. Clamping guards the division and is another formula; each count was to get eps
return smoothed, embed_sum, codebook
    the steps are right now, and the smoothed counts were returned; the average itself is to come back
-> smoothed_after_the_loop
    the codebook is smoothed once, after the last step; each step chooses its codes from the smoothed codebook of the
    step before
/ smoothed.unsqueeze(1) -> / cluster_size.unsqueeze(1)\ncluster_size = smoothed  # zoo 9
    the two have changed places: the smoothed counts are stored, the unsmoothed ones divide
/ (total + len(codebook) * eps) * total ->
    eps is added to every count, and their sum grows by K times eps: smoothing was promised to keep the sum
* eps) * total -> * eps)
    these are smoothed shares, which add up to 1; the sums are to be divided by counts
"""

EXERCISE = exercise(
    bug_11,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Which of the names in the loop live on into the next step, and is each of them still what its name says?",
        "The smoothing is a safeguard for one division. As the program stands, each step smooths what the steps before "
        "have smoothed already.",
        "give the smoothed counts a name of their own; divide by that name, and store ...",
    ),
)
