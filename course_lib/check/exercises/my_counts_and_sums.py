"""Lesson 06: how many latents chose each code, and what they add up to."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def my_counts_and_sums(flat, codes, codebook_size):
    """(N, D), (N,) int64 -> counts (K,) and sums (K, D): how many rows chose each code, and the sum of those rows.

    Both have flat's dtype. A code that nobody chose has count 0 and sum 0.
    """
    ### BEGIN SOLUTION
    one_hot = torch.nn.functional.one_hot(codes, codebook_size).to(flat.dtype)  # (N, K)
    return one_hot.sum(0), one_hot.T @ flat  # (K,), (K, N) @ (N, D) -> (K, D)
    ### END SOLUTION


ARGS = ("flat", "codes", "codebook_size")


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, used=None, part="values", dtype=torch.float32, **more):
        """Codes below `used` occur, code 0 more often than once where there are rows enough; the others do not."""
        used = used or k
        codes = torch.cat(
            [torch.arange(used), torch.zeros(2, dtype=torch.int64), torch.randint(used, (n,), generator=generator)]
        )
        codes = codes[:n][torch.randperm(n, generator=generator)]  # (n,)
        flat = (normal(generator, n, d) + 1).to(dtype)
        return Call((flat, codes, k), ARGS, ("counts", "sums"), part, **more)

    square = call(9, 3, 3, part="values")  # K = D, where transposed sums have the right shape
    unused = call(8, 6, 2, used=3, part="unused codes")
    alone = call(1, 4, 2, used=1, part="odd sizes")
    return [call(7, 3, 2), square, unused, alone, call(9, 4, 1, dtype=torch.float64, part="dtypes", elsewhere=True)]


WRONG = r"""
one_hot(codes, codebook_size) -> one_hot(codes)
    the table ends at the highest code that occurs: codes that nobody chose want a count too, 0, so tell one_hot how
    many there are
one_hot.sum(0) -> one_hot.sum(1)
    each row of the one-hot table holds a single 1, so this gives N ones; how many chose code k is the sum of column k
one_hot.sum(0) -> one_hot.mean(0)
    these are shares of the batch; the count of a code is how many rows chose it
one_hot.T @ flat -> flat.T @ one_hot  # lesson 06
    the sums stand on their side, (D, K): row k should belong to code k
one_hot.T @ flat -> one_hot.T @ flat / one_hot.sum(0).clamp_min(1)[:, None]
    these are the means; wanted are the sums: what is averaged over batches is the sum, and the division comes last
one_hot.sum(0), one_hot.T @ flat -> one_hot.T @ flat, one_hot.sum(0)
    the two results have changed places: first the counts, then the sums
.to(flat.dtype) -> .to(torch.float32)
    float32 is right for rows of float32 alone: take the dtype of flat
return one_hot.sum(0), torch.zeros_like(one_hot.T @ flat).index_put((codes,), flat)
    of several rows with one code a single one is in the sum: writing to sums[codes] does not add up what comes twice
"""

EXERCISE = exercise(
    my_counts_and_sums,
    lesson="06_ema_updates",
    points=0,
    draw=draw,
    wrong=WRONG,
    hints=(
        "Write the codes as one-hot rows, one row for each latent. What does a column of that table tell you?",
        "Column k has a 1 for each latent that chose code k: its sum is the count, and its product with flat adds "
        "those latents up. All columns at once are a transposed table.",
        "one_hot = torch.nn.functional.one_hot(codes, codebook_size).to(flat.dtype); counts = one_hot.sum(?); "
        "sums = one_hot.T @ ?",
    ),
)
