"""Exercise 15: how much of the codebook a data set uses."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, normal


def bug_07(latents, codebook, batch_size):
    """latents (N, D), codebook (K, D) -> (usage, perplexity) of the whole data set, 0-d float32 each.

    Goes through the latents in batches, to save memory; batch_size makes no difference to the result.
    """
    ### BEGIN SOLUTION
    counts = torch.zeros(len(codebook), device=latents.device)
    ### END SOLUTION
    for batch in latents.split(batch_size):
        codes = torch.cdist(batch, codebook).argmin(dim=1)  # (batch_size,)
        ### BEGIN SOLUTION
        counts = counts + torch.bincount(codes, minlength=len(codebook))  # (K,)
        ### END SOLUTION
    ### BEGIN SOLUTION
    share = counts / len(latents)  # (K,)
    return (share > 0).float().mean(), torch.special.entr(share).sum().exp()  # entr(p) = -p log p
    ### END SOLUTION


def mean_of_the_batches(latents, codebook, batch_size):
    """latents (N, D), codebook (K, D) -> (usage, perplexity) of the whole data set, 0-d float32 each.

    Goes through the latents in batches, to save memory; batch_size makes no difference to the result.
    """
    usages, perplexities = [], []
    for batch in latents.split(batch_size):
        codes = torch.cdist(batch, codebook).argmin(dim=1)  # (batch_size,)
        share = torch.bincount(codes, minlength=len(codebook)) / len(batch)  # (K,)
        usages.append((share > 0).float().mean())
        perplexities.append(torch.special.entr(share).sum().exp())  # entr(p) = -p log p
    return torch.stack(usages).mean(), torch.stack(perplexities).mean()


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, batch_size, part="values", dtype=torch.float32, **more):
        args = normal(generator, n, d).to(dtype), normal(generator, k, d).to(dtype), batch_size
        return Call(args, ("latents", "codebook", "batch_size"), ("usage", "perplexity"), part, **more)

    odd = [call(*sizes, part="odd sizes") for sizes in ((23, 6, 3, 5), (7, 5, 2, 1), (6, 4, 2, 10), (9, 1, 2, 4))]
    return [call(24, 8, 2, 6), *odd, call(11, 5, 1, 3, part="dtypes", dtype=torch.float64, elsewhere=True)]


WRONG = r"""
-> mean_of_the_batches  # zoo 19, planted
    the program does what it did. Call it twice on the same latents, with two batch sizes
for batch in -> shares = []\nfor batch in
counts = counts + -> shares.append(torch.bincount(codes, minlength=len(codebook)) / len(batch))\ncounts = counts +
share = counts / len(latents) -> share = torch.stack(shares)
return (share > 0).float().mean(dim=1).max(), torch.special.entr(share).sum(dim=1).exp().max()
    the fullest batch still shows no more than one batch can: codes that occur in different batches have to be counted
    together
for batch in -> shares = []\nfor batch in  # zoo 19
counts = counts + -> shares.append(torch.bincount(codes, minlength=len(codebook)) / len(batch))\ncounts = counts +
entr(share).sum() -> entr(torch.stack(shares)).sum(dim=1)
.exp() -> .exp().mean()
    usage is that of the whole data set now, perplexity is still a mean over batches
for batch in -> shares = []\nfor batch in  # zoo 19
counts = counts + -> shares.append(torch.bincount(codes, minlength=len(codebook)) / len(batch))\ncounts = counts +
share > 0 -> torch.stack(shares) > 0
    perplexity is that of the whole data set now, usage is still a mean over batches
minlength=len(codebook)) -> minlength=len(codebook)) / len(batch)
counts / len(latents) -> counts / len(latents.split(batch_size))
    the shares of the batches were averaged: right for batches of one size; a smaller last batch then weighs too much
for batch in -> shares = []\nfor batch in
counts = counts + -> share = torch.bincount(codes, minlength=len(codebook)) / len(batch)\ncounts = counts +
counts = counts + -> shares += [share] * len(batch)\ncounts = counts +
share = counts / len(latents) -> share = torch.stack(shares)
return (share > 0).float().mean(), torch.special.entr(share).sum(dim=1).exp().mean()
    the batches are weighted by their sizes, and still measured one by one: a measure of the whole needs the counts of
    the whole
"""

EXERCISE = exercise(
    bug_07,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "With a batch size of 1, what are usage and perplexity of any batch? What does their mean say of the codebook?",
        "Neither measure can be averaged over batches: a code that is missing in one batch may occur in the next. What "
        "can be added up batch by batch is the histogram.",
        "counts = counts + torch.bincount(codes, minlength=...) in the loop; share, usage and perplexity once, after "
        "it",
    ),
)
