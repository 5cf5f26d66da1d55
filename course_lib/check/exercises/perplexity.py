"""Exercise 06: how many codes are at work."""

from dataclasses import replace

import torch
from torch import Generator

from course_lib.check.author import Call, exercise, number, scattered


def perplexity(codes, codebook_size):
    """(...,) int64, any number of axes, all of them counted together -> 0-d float32 from 1 to codebook_size."""
    ### BEGIN SOLUTION
    p = torch.bincount(codes.flatten(), minlength=codebook_size) / codes.numel()  # (K,)
    return torch.special.entr(p).sum().exp()  # entr(p) is -p log p, and 0 at p = 0
    ### END SOLUTION


def image_by_image(codes, codebook_size):
    images = codes if codes.ndim > 1 else [codes]
    return torch.stack([perplexity(image, codebook_size) for image in images]).mean()


def draw(generator: Generator) -> list[Call]:
    names = "codes", "codebook_size"

    def call(shape, size, used, part="values", **more):
        """Each of the highest `used` codes occurs, the last more often than the rest: never all alike, if used > 1."""
        count = torch.Size(shape).numel()
        codes = torch.cat([torch.arange(used), torch.zeros(used, dtype=torch.int64)])
        codes = torch.cat([codes, torch.randint(used, (count - len(codes),), generator=generator)])
        codes = (size - 1 - codes)[torch.randperm(count, generator=generator)]
        return Call((codes.reshape(shape), size), names, ("perplexity",), part, **more)

    plain = call((7,), 3, 3)
    unused = call((20,), 7, 3, part="unused codes")
    single = call((6,), 5, 1, part="unused codes")
    grids = [call(shape, 6, 4, part="odd sizes") for shape in ((2, 3, 4), (2, 2, 3, 3))]
    one = Call((torch.zeros(1, dtype=torch.int64), 1), names, ("perplexity",), "odd sizes")
    even = torch.arange(number(generator, 5, 9)).repeat(2)  # all alike, and higher codes that do not occur
    alike = Call((even.reshape(2, -1), len(even) // 2 + 3), names, ("perplexity",), "odd sizes", elsewhere=True)
    late = torch.cat([torch.zeros(1200, dtype=torch.int64), torch.arange(300) % 7])  # the first thousand: one code
    late = Call((late.reshape(3, 500), 7), names, ("perplexity",), "odd sizes")
    codes, size = grids[0].args
    grids[0] = replace(grids[0], args=(scattered(codes), size))
    return [plain, unused, single, *grids, one, late, alike]


WRONG = r"""
return (-(p[p > 0] * p[p > 0].log2()).sum()).exp()
    the entropy is in bits, from log2, and exp undoes the natural logarithm: take both to one base
codes.flatten() -> codes.view(-1)
    view works only where the numbers lie in memory in the order of the axes; flatten and reshape copy where they must
return 2 ** torch.special.entr(p).sum()
    the entropy is in nats, from the natural logarithm, and 2 ** undoes the one to base 2: take both to one base
return (-(p * p.log()).sum()).exp()
    0 times log 0 is nan in floating point; a code that does not occur contributes 0: how can its term be left out, or
    its logarithm be kept finite?
/ codes.numel() -> // codes.numel()
    // drops the fraction, so that every probability below 1 is 0; / keeps it
.sum() -> .mean()
    the terms p log p were averaged over the K codes; the entropy is their sum: p is the weight already
entr(p).sum() -> entr(p[p > 0]).mean()
    the terms p log p were averaged over the codes in use; the entropy is their sum: p is the weight already
return torch.special.xlogy(p, p).sum().exp()
    the minus of the entropy is missing: this is 1 / perplexity, never above 1
.exp() ->
    this is the entropy; the perplexity is its exponential
return (p > 0).float().sum()  # zoo 19
    this is how many codes occur at all; the perplexity also asks how evenly they do
return (p > 0).float().mean()  # zoo 19
    this is the usage, the fraction of codes that occur at all; the perplexity also asks how evenly they do
/ codes.numel() ->
    these are counts; the entropy wants probabilities, which add up to 1
codes.numel() -> codebook_size
    the counts were divided by K; probabilities add up to 1, so divide by how many codes were counted
codes.numel() -> len(codes)  # mutation
    the counts were divided by the length of the first axis alone; codes has more of them
.entr(p) -> .entr(torch.nn.functional.one_hot(codes, codebook_size).float().mean(0))
    each place of the grid got probabilities of its own: count the codes of all axes together
-> image_by_image  # zoo 19
    the perplexities of the single images were averaged: count the codes of all images together first
.exp() -> .exp().item()
    the number is right; wanted is a 0-d tensor, which stays on its device
.exp() -> .exp().reshape(1)
    one axis too many: a 0-d tensor is wanted, not one of shape (1,)
.exp() -> .exp() / codebook_size
    this is the perplexity as a share of the K codes; wanted is the number itself, from 1 to K
"""

EXERCISE = exercise(
    perplexity,
    lesson="06_ema_updates",
    draw=draw,
    wrong=WRONG,
    hints=(
        "If code k occurs counts[k] times among all codes, what is its probability? What must these add up to?",
        "The entropy is the sum of -p log p over the codes, a term being 0 where p is 0. The perplexity is its "
        "exponential: K if all are equally frequent, 1 if one has everything.",
        "p = torch.bincount(codes.flatten(), minlength=...) / ...; entropy = -(p * log of (p kept above 0)).sum(); "
        "then the inverse of that logarithm",
    ),
)
