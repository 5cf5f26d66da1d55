"""Exercise 14: what a code costs."""

import math

import torch
from torch import Generator
from torch.nn import functional as F

from course_lib.check.author import SPATIAL, Call, exercise, normal, scattered


def bits_per_code(logits, codes):
    """(B, K, *S) float, (B, *S) int64 -> 0-d: what one code costs on average, in bits, with its gradient for logits.

    At each place the softmax over the K scores, axis 1, gives the probabilities of the codes there.
    A code costs minus the logarithm, to base 2, of its own. The mean over all codes of all images.
    Logits may be hundreds apart: a code then costs hundreds of bits.
    """
    ### BEGIN SOLUTION
    nats = F.cross_entropy(logits, codes)  # 0-d; takes K on axis 1, and the softmax by itself
    return nats / math.log(2)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(batch, k, *spatial, part="values", dtype=torch.float32, strided=False, **more):
        codes = torch.randint(k, (batch, *spatial), generator=generator)
        logits = 1.5 * normal(generator, batch, k, *spatial)
        logits[..., :1] += 0.7  # no mean, of any axis, is that of its neighbour
        logits = scattered(logits) if strided else logits.to(dtype)
        return Call((logits, codes), ("logits", "codes"), ("bits",), part, differentiate=(0,), **more)

    logits, codes = call(3, 4, 5).args
    # Far behind, a code's probability is 0 in float32; far above 0, a logit's exponential is infinite
    logits = (logits - 200 * F.one_hot(codes, 4).mT * (torch.arange(5) < 3)) + torch.tensor([0, 100, 0]).view(3, 1, 1)
    apart = Call((logits, codes), ("logits", "codes"), ("bits",), "logits far apart", differentiate=(0,))
    square = call(2, 4, 3, 3)
    return [
        call(3, 5),
        square,  # height and width are the same: transposed codes fit too
        call(2, 3, 6),
        call(1, 6, 2, 5, part="odd sizes"),
        *[call(2, 4, *spatial, part="odd sizes") for spatial in SPATIAL[1:]],
        call(3, 3, 3, 3, part="odd sizes"),  # B, K, H, W all alike: whatever is mixed up fits
        call(4, 2, 1, 1, part="odd sizes"),
        call(2, 1, 3, part="odd sizes"),  # one code: nothing to be told
        apart,
        call(3, 4, 2, 5, part="odd sizes", strided=True),
        call(2, 5, 3, dtype=torch.float64, part="dtypes", elsewhere=True),
    ]


WRONG = r"""
return nats
    the logarithm is the natural one, so these are nats; log_softmax and cross_entropy give no others
nats / math -> nats * math
    nats were turned into bits the wrong way round: a bit is the smaller unit, so there are more of them
math.log(2) -> 2
    the nats were divided by 2; the unit changes with the logarithm of 2
log(2) -> log(10)
    the logarithm is to base 10; bits need base 2
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, reduction="none").flatten(1).sum(1).mean()  # lesson 01
    these are the bits of an image, all its places together; asked for is the mean over codes
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, reduction="sum") / len(codes)  # lesson 01
    the bits of all codes were added up and divided by B alone, which makes them the bits of an image; asked for is the
    mean over codes
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, reduction="sum")
    the bits of all codes were added up; asked for is their mean, so that batches and grids compare
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, reduction="none").sum(0).mean()
    the bits were added up over the batch and averaged over the places; a code is a place of one image, and the mean
    runs over both
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, reduction="none").flatten(1).mean(1)
    there is one number for each image; asked for is the mean over all codes of all images
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, reduction="none")
    there is a number for each code; asked for is their mean, 0-d
return nats / math.log(2) / logits.shape[1]
    the mean runs over the K entries too, where all but one add nothing: the code that was there is one
F.cross_entropy(logits, codes) -> F.nll_loss(logits.log_softmax(-1), codes)  # zoo 4
    the softmax ran over the last axis, a row of places; the K scores of one place stand along axis 1
F.cross_entropy(logits, codes) -> F.nll_loss(logits.log_softmax(0), codes)
    the softmax ran over the batch, so that images compete; the K scores of one place stand along axis 1
F.cross_entropy(logits, codes) -> F.nll_loss(logits.flatten(1).log_softmax(1).reshape(logits.shape), codes)
    one softmax ran over all places of an image; each place has its own, over K
F.cross_entropy(logits, codes) -> F.cross_entropy(logits.reshape(-1, logits.shape[1]), codes.flatten())  # zoo 4
    (B, K, *S) was reshaped to (N, K) with K still second: a row then mixes scores of several places
F.cross_entropy(logits, codes) -> -logits.log().gather(1, codes.unsqueeze(1)).mean()
    the logarithm was taken of the logits; they are scores of any sign, and not yet probabilities
F.cross_entropy(logits, codes) -> -logits.gather(1, codes.unsqueeze(1)).mean()
    the logits were taken for logarithms of probabilities; these would have to add up to 1, so some are far too good
F.cross_entropy(logits, codes) -> F.cross_entropy(logits.softmax(1), codes)
    the softmax was taken twice: cross_entropy and log_softmax want logits, and take it themselves
F.cross_entropy(logits, codes) -> F.nll_loss(F.logsigmoid(logits), codes)
    each score became a probability by itself, with a sigmoid; the K codes of one place exclude each other
F.cross_entropy(logits, codes) -> (logits.amax(1, keepdim=True) - logits).gather(1, codes.unsqueeze(1)).mean()
    the score of the code was compared with the largest alone; a softmax divides by the sum over all K
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, logits.softmax(1))
    this is the entropy of the prediction, which the codes do not enter: a sure and wrong prior would look cheap
return -nats / math.log(2)
    the sign is missing: the logarithm of a probability is below 0, a price above
return nats.exp()  # lesson 09
    this is the perplexity, 2 to the power of the bits; the bits themselves were wanted
F.cross_entropy(logits, codes) -> -logits.softmax(1).gather(1, codes.unsqueeze(1)).mean().log()
    the probabilities were averaged before the logarithm; each code pays for itself, and prices are averaged
return logits.softmax(1).gather(1, codes.unsqueeze(1)).mean()
    this is the mean probability of the codes; their price is its logarithm, code by code
return -logits.softmax(1).gather(1, codes.unsqueeze(1)).log2().mean()
    a probability far behind the others is 0 in floating point, and its logarithm infinite; log_softmax, logsumexp and
    cross_entropy take softmax and logarithm in one step
return -(logits.softmax(1).gather(1, codes.unsqueeze(1)) + 1e-10).log2().mean()
    something was added to the probabilities to keep them off 0, and no code costs more than its logarithm then;
    log_softmax, logsumexp and cross_entropy need no such guard
return -(logits.exp() / logits.exp().sum(1, keepdim=True)).gather(1, codes.unsqueeze(1)).log2().mean()
    the exponential of a logit near 100 is infinite in float32; log_softmax and cross_entropy take off the largest
    logit first
return (logits.argmax(1) != codes).to(logits.dtype).mean() + 0 * nats
    this counts how often another code was more probable; how sure the prior was does not enter
return math.log2(logits.shape[1]) + 0 * nats  # lesson 01
    this is log2 K, the price where nothing is known: neither logits nor codes enter
nats = -> codes = codes.flatten(1).unflatten(1, (-1, logits.shape[2])).mT.flatten(1)\nnats =  # zoo 4
entropy(logits -> entropy(logits.flatten(2)
    the codes were read column by column, the logits row by row
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes.roll(-1))
    each prediction was compared with the code after; the logits of a place are for the code of that place
return nats.detach() / math.log(2)
    the value is right, and no gradient reaches the logits: a prior could not be trained with it
return nats.item() / math.log(2)
    a plain number came back: .item() cuts the graph, and a prior is trained on this
F.cross_entropy(logits, codes) -> F.cross_entropy(logits, codes, ignore_index=0)
    one code, 0 most likely, is left out of the mean, as ignore_index does with a word that fills up: here every code
    counts
"""

EXERCISE = exercise(
    bits_per_code,
    lesson="14_priors",
    points=2,
    place=1,
    draw=draw,
    wrong=WRONG,
    hints=(
        "What probability did the prior give to the code that was really there? And what is the price of a code with "
        "probability 1/8?",
        "At each place a softmax over the K scores along axis 1, and of it the entry of the code: minus its logarithm "
        "to base 2, averaged over all places of all images. PyTorch's cross_entropy wants K on axis 1 as well, and "
        "counts in nats.",
        "nats = F.cross_entropy(logits, codes); one nat is 1 / (natural logarithm of 2) bits",
    ),
)
