"""Exercise 15: how the moving averages begin."""

import torch
import torch.nn.functional as F
from torch import Generator

from course_lib.check.author import Call, exercise, normal, number


def bug_08(codebook, batches, decay):
    """codebook (K, D), batches (T, N, D), a number in (0, 1) -> codebook (K, D) after T updates by moving averages.

    At the start each code counts as one latent, which lies where the code lies. So a code that no latent chooses
    stays where it is, and the others move towards the latents that choose them.
    """
    ### BEGIN SOLUTION
    cluster_size = torch.ones_like(codebook[:, 0])  # (K,)
    embed_sum = codebook.clone()  # (K, D)
    ### END SOLUTION
    for flat in batches:
        codes = torch.cdist(flat, codebook).argmin(dim=1)  # (N,)
        chosen = F.one_hot(codes, len(codebook)).to(flat.dtype)  # (N, K)
        cluster_size = decay * cluster_size + (1 - decay) * chosen.sum(dim=0)  # (K,)
        embed_sum = decay * embed_sum + (1 - decay) * chosen.T @ flat  # (K, D)
        codebook = embed_sum / cluster_size.clamp_min(1e-5).unsqueeze(1)  # (K, D)
    return codebook


def draw(generator: Generator) -> list[Call]:
    def call(batches, n, k, d, decay, part="values", dtype=torch.float32, **more):
        codebook = normal(generator, k, d)
        codebook[-1] += 20  # out of reach: nobody will choose it
        args = codebook.to(dtype), normal(generator, batches, n, d).to(dtype), decay
        seed = number(generator, 0, 10**6)
        return Call(args, ("codebook", "batches", "decay"), ("codebook in the end",), part, seed=seed, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((2, 1, 4, 3, 0.5), (3, 9, 2, 1, 0.99), (3, 12, 6, 2, 0.8))]
    return [call(1, 6, 4, 2, 0.9), *odd, call(2, 5, 3, 2, 0.7, part="dtypes", dtype=torch.float64, elsewhere=True)]


WRONG = r"""
ones_like -> zeros_like  # zoo 8, planted
codebook.clone() -> torch.randn_like(codebook)
    the program does what it did. Before the first batch, what is embed_sum over cluster_size, and what should it be?
ones_like -> zeros_like  # zoo 8
    the sums are those of the codes now, the counts still begin at 0: a sum of one latent over a count of none
codebook.clone() -> torch.randn_like(codebook)  # zoo 8
    the counts begin at 1 now, and the sums are still random numbers that have nothing to do with the codes
ones_like -> zeros_like
codebook.clone() -> torch.zeros_like(codebook)
    counts and sums begin at 0 together: then a code that nobody chooses is 0 over next to nothing, and moves to the
    origin
codebook.clone() -> torch.zeros_like(codebook)
    each code counts as one latent whose sum is 0: that latent lies at the origin, not where the code lies
ones_like(codebook[:, 0]) -> full_like(codebook[:, 0], batches.shape[1] / len(codebook))
codebook.clone() -> codebook * batches.shape[1] / len(codebook)
    counts and sums fit each other; each code counts as N / K latents, where the promise says one
"""

EXERCISE = exercise(
    bug_08,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "An update divides embed_sum by cluster_size. If no batch had come yet, which vectors should that division "
        "give?",
        "Counts and sums describe the same latents. At the start these are imagined: one for each code, lying on it. "
        "How many is that for each code, and what is their sum?",
        "cluster_size = ... of ones; embed_sum = ... of the codebook",
    ),
)
