"""Lesson 07: an epoch, cut into batches. The order is drawn, so what is compared is what all right orders share."""

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, Observation, Seed, exercise, number


def my_batches(count, batch_size, generator):
    """One epoch: the rows 0 to count - 1 in a new order, cut into batches -> a list or tuple of (b,) int64 tensors.

    Every row comes exactly once. Where batch_size does not divide count, the last batch is shorter.
    The order is drawn from `generator`.
    """
    ### BEGIN SOLUTION
    order = torch.randperm(count, generator=generator)  # (count,)
    return order.split(batch_size)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(count, batch_size, part="values", **more):
        gives = tuple(f"batch {i}" for i in range(-(-count // batch_size)))
        seed = Seed(number(generator, 0, 10**6))
        return Call((count, batch_size, seed), ("count", "batch_size", "generator"), gives, part, **more)

    return [
        call(60, 20),
        call(50, 20, part="a shorter last batch"),
        call(63, 9, part="a shorter last batch"),
        call(64, 8, part="generator", again=True, reseeded=True),
    ]


def of_an_epoch(call: Call, observation: Observation) -> Observation:
    count, batch_size, _ = call.args
    batches = [observation.pop(name) for name in call.gives if name in observation]
    if not all(isinstance(batch, Tensor) and batch.ndim == 1 for batch in batches):
        return observation | dict(zip(call.gives, batches))
    facts = {"sizes of the batches": ", ".join(str(len(batch)) for batch in batches)}
    facts["dtypes"] = ", ".join(sorted({str(batch.dtype) for batch in batches}))
    rows = torch.cat(batches)
    facts["rows that come at least once"] = f"{len(rows.unique())} of {count}"
    facts["all rows lie from 0 to count - 1"] = bool(((rows >= 0) & (rows < count)).all())
    facts["the rows come in their old order"] = bool((rows.diff() > 0).all())
    facts["the rows of a batch are neighbours"] = all(batch.max() - batch.min() < batch_size for batch in batches)
    return facts | observation


WRONG = r"""
torch.randperm(count, generator=generator) -> torch.randint(count, (count,), generator=generator)
    each row is drawn by itself, so that some come twice and others never: an epoch wants an order, not count draws
return [torch.randperm(count, generator=generator)[:batch_size] for _ in range(-(-count // batch_size))]  # zoo 7
    every batch is the beginning of a new order, so that nothing sees to it that each row comes once: draw one order
    for the whole epoch, and cut that
torch.randperm(count, generator=generator) -> torch.arange(count)
    the rows come in the order in which they are stored: nothing is shuffled
torch.randperm(count, generator=generator) -> torch.randperm(count)
    the order does not come from the generator that was handed in, and so it cannot be repeated
split(batch_size) -> chunk(batch_size)
    chunk takes the number of pieces, and split their length: batch_size is a length
return order[: count // batch_size * batch_size].split(batch_size)
    the rows behind the last full batch were dropped: they are to come too, as a shorter batch
return order.split(batch_size)[0]
    this is the first batch alone; wanted are all batches of the epoch
return [torch.arange(count).split(batch_size)[i] for i in torch.randperm(-(-count // batch_size))]
    whole batches were shuffled, not rows: the same rows meet in a batch in every epoch
return order
    this is one tensor with the whole epoch in it: cut it into batches
return order.split(batch_size) -> yield from order.split(batch_size)
    with yield the function gives back a generator, which deals one batch after the other when asked: what is wanted
    here is all of them at once, in a list or tuple. Collect them and return the list
"""

EXERCISE = exercise(
    my_batches,
    lesson="07_mnist_library",
    points=0,
    draw=draw,
    wrong=WRONG,
    view=of_an_epoch,
    hints=(
        "Think of a pack of cards: how do you deal it out so that no card is dealt twice and none stays in the pack?",
        "Two steps: one random order of all the rows, then cuts of batch_size. PyTorch has a function for either.",
        "order = torch.randperm(..., generator=generator); the cut is a method of the tensor that takes a length",
    ),
)
