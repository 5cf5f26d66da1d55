"""Exercise 15: epochs over a shuffled loader."""

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, TensorDataset

from course_lib.check.author import Call, Observation, Seed, exercise, normal, number


def bug_03(latents, codebook, batch_size, epochs, generator):
    """latents (N, D), codebook (K, D), a torch.Generator -> (counts (epochs, K) int64, order (epochs, N) int64).

    Each epoch takes every latent once, in a new order from the generator, in batches; the last may be smaller.
    counts: how many latents of the epoch chose each code. order: the numbers of the latents as they came.
    """
    rows = TensorDataset(torch.arange(len(latents)), latents)
    loader = DataLoader(rows, batch_size, shuffle=True, generator=generator)
    counts, order = torch.zeros(epochs, len(codebook), dtype=torch.int64), []
    for epoch in range(epochs):
        came = []
        ### BEGIN SOLUTION
        for numbers, batch in loader:
            ### END SOLUTION
            codes = torch.cdist(batch, codebook).argmin(dim=1)  # (batch_size,)
            counts[epoch] += torch.bincount(codes, minlength=len(codebook))
            came.append(numbers)
        order.append(torch.cat(came))
    return counts, torch.stack(order)


def draw(generator: Generator) -> list[Call]:
    names = ("latents", "codebook", "batch_size", "epochs", "generator")

    def call(n, k, batch_size, epochs, part="values", **more):
        args = normal(generator, n, 2), normal(generator, k, 2), batch_size, epochs
        return Call((*args, Seed(number(generator, 0, 10**6))), names, ("counts", "order"), part, **more)

    # no fewer than 12 latents: the chance that an order comes twice must be as good as none
    odd = [call(*sizes, part="odd sizes") for sizes in ((14, 5, 5, 2), (13, 1, 12, 3))]
    return [call(12, 4, 4, 3), *odd, call(12, 3, 20, 2, part="the generator", again=True, reseeded=True)]


def view(call: Call, observation: Observation) -> Observation:
    """Any new order will do: what counts is that each epoch is one, whole."""
    latents, epochs = call.args[0], call.args[3]
    order = observation.pop("order", None)
    is_table = isinstance(order, Tensor) and order.ndim == 2
    rows, every = order.tolist() if is_table else [], list(range(len(latents)))
    properties = {
        "order": f"{tuple(order.shape)} of {order.dtype}" if isinstance(order, Tensor) else "no tensor",
        "epochs in which every latent came once": f"{sum(sorted(row) == every for row in rows)} of {epochs}",
        "epochs in the order of the one before": sum(one == other for one, other in zip(rows, rows[1:])),
        "epochs in the order of the data": sum(row == every for row in rows),
    }
    return {"kind of result": observation.pop("kind of result", "none"), **properties, **observation}


WRONG = r"""
numbers, batch in loader: -> step in range(len(loader)):\n    numbers, batch = next(iter(loader))  # zoo 7, planted
    the program does what it did. Look at one row of order: does every number occur, and how often?
for epoch in -> batches = list(loader)\nfor epoch in
batch in loader -> batch in batches
    each epoch is whole, and all have the order of the first: the shuffling happened once, before the epochs
shuffle=True -> shuffle=False
    each latent comes once, in the order of the data; a new random order was promised
generator=generator -> generator=None  # mutation
    each epoch is whole and new, and the generator that was handed over draws none of them: with the same generator the
    same orders should come
batch_size, shuffle -> min(batch_size, len(latents)), drop_last=True, shuffle
    where batch_size does not divide N, the rest is left out: the last batch may be smaller, but it has to come
"""  # min in the last: a loader without any batch would leave nothing to join, and raise

EXERCISE = exercise(
    bug_03,
    lesson="15_bug_hunt",
    draw=draw,
    view=view,
    wrong=WRONG,
    hints=(
        "How many latents does an epoch look at, and are they all different? Sort one row of order.",
        "iter(loader) begins anew: it draws a new order and stands before the first batch of it. Whoever asks for a "
        "new iterator before each batch sees only first batches.",
        "inside an epoch ask for one iterator and use it up; a for loop does both: for numbers, batch in ...",
    ),
)
