"""Exercise 15: a usage tracker that forgets."""

import torch
from torch import Generator

from course_lib.check.author import Call, exercise


def bug_04(batches, codebook_size, decay):
    """batches (T, N) int64, the codes of T batches -> usage (K,) float32, a moving average.

    How many latents of a batch choose each code, older batches with a smaller weight. It starts at 0, and if all
    batches have the same counts, it settles at these counts.
    """
    usage = torch.zeros(codebook_size, device=batches.device)
    for codes in batches:
        counts = torch.bincount(codes, minlength=codebook_size)  # (K,)
        ### BEGIN SOLUTION
        usage = decay * usage + (1 - decay) * counts
        ### END SOLUTION
    return usage


def draw(generator: Generator) -> list[Call]:
    def call(batches, n, k, decay, part="values", **more):
        codes = torch.randint(0, k, (batches, n), generator=generator)
        return Call((codes, k, decay), ("batches", "codebook_size", "decay"), ("usage",), part, **more)

    sizes = ((1, 6, 4, 0.99), (5, 1, 3, 0.5), (4, 7, 1, 0.8), (3, 5, 4, 0.0))
    odd = [call(*some, part="odd sizes") for some in sizes]
    return [call(3, 6, 4, 0.9), *odd, call(30, 8, 5, 0.7, part="many batches", elsewhere=True)]


WRONG = r"""
(1 - decay) * counts -> counts  # zoo 24, planted
    the program does what it did. Give it the same batch a thousand times: at which number does usage settle, and at
    which should it?
decay * usage + (1 - decay) -> (1 - decay) * usage + decay
    the two weights have changed places: decay is what stays of the old, and the rest goes to the new
* counts -> * counts / batches.shape[1]
    this settles at the share of the batch that chose a code; promised is how many latents of a batch did
return usage / (1 - decay ** len(batches))
    divided by 1 - decay^T, as Adam does: that takes the start at 0 out again, and the start at 0 was promised
decay * usage + (1 - decay) * counts -> usage + counts / len(batches)
    all batches weigh alike here; an older one is to weigh less, by decay for each batch
torch.zeros(codebook_size, device=batches.device) -> torch.bincount(batches[0], minlength=codebook_size)
    it starts at the counts of the first batch; 0 was promised
zeros -> ones  # lesson 06
    usage begins at 1 here; it was promised to begin at 0
"""

EXERCISE = exercise(
    bug_04,
    lesson="15_bug_hunt",
    draw=draw,
    wrong=WRONG,
    hints=(
        "Suppose each batch has the same counts. Which number u does the update leave as it is? Solve for it.",
        "An average gives its parts weights that add up to 1. What are the two weights here, and what is their sum?",
        "usage = decay * usage + (what is left of 1) * counts",
    ),
)
