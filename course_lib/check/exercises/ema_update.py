"""Exercise 06: the codebook follows moving averages."""

from dataclasses import replace

import torch
from torch import Generator

from course_lib.check.author import Call, Observation, exercise, normal, scattered


def ema_update(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    """(K,), (K, D), (N, D), (N,) int64 -> new cluster_size (K,), embed_sum (K, D), codebook (K, D).

    float32 or float64, the same for all but codes.
    decay: the share of the old averages that stays. The tensors that are handed in stay as they are.
    """
    ### BEGIN SOLUTION
    counts = torch.bincount(codes, minlength=len(cluster_size))  # (K,)
    sums = torch.zeros_like(embed_sum).index_add(0, codes, flat)  # (K, D)
    cluster_size = decay * cluster_size + (1 - decay) * counts  # (K,)
    embed_sum = decay * embed_sum + (1 - decay) * sums  # (K, D)
    n = cluster_size.sum()
    smoothed = (cluster_size + eps) / (n + len(cluster_size) * eps) * n  # (K,)
    codebook = embed_sum / smoothed.unsqueeze(1)  # (K, D) / (K, 1)
    return cluster_size, embed_sum, codebook
    ### END SOLUTION


ARGS = ("cluster_size", "embed_sum", "flat", "codes", "decay", "eps")
GIVES = ("cluster_size", "embed_sum", "codebook")


def draw(generator: Generator) -> list[Call]:
    def call(n, k, d, decay, eps=None, used=None, part="values", dtype=torch.float32, **more):
        """Codes below `used` occur in the batch, all if there are enough rows. Code 0 and every second of the others
        are empty to begin with, where there are others."""
        used = k if used is None else used
        codes = torch.cat([torch.arange(used), torch.randint(used, (n,), generator=generator)])[:n]
        codes = codes[torch.randperm(n, generator=generator)]  # (n,)
        cluster_size = 0.5 + 3 * torch.rand(k, generator=generator)
        if used < k:
            cluster_size[0], cluster_size[used::2] = 0.0, 0.0
        embed_sum = cluster_size.unsqueeze(1) * (normal(generator, k, d) + 1)  # of an empty code: 0
        flat = scattered(normal(generator, n, d) + 1)  # as flattening can leave it in memory
        args = [cluster_size.to(dtype), embed_sum.to(dtype), flat.to(dtype), codes, decay]
        args += [] if eps is None else [eps]
        return Call(tuple(args), ARGS[: len(args)], GIVES, part, **more)

    plain = call(5, 3, 2, 0.9)
    smoothed = call(12, 3, 3, 0.8, 0.1, part="smoothing")  # K = D, where transposed sums do not raise
    unused = call(10, 6, 2, 0.9, 0.1, used=3, part="unused codes")
    forgetful = call(10, 6, 2, 0.0, 1e-5, used=3, part="decay 0")
    one_row = call(1, 4, 3, 0.9, 0.3, used=1, part="odd sizes")  # a count of 0.1, below eps
    one_code = call(5, 1, 2, 0.99, 0.5, part="odd sizes")
    wide = call(8, 5, 1, 0.7, 0.1, used=4, part="dtypes", dtype=torch.float64, elsewhere=True)
    # Sums of the batch that nearly cancel the old ones: summed in float32, nothing of what is left would be right
    size, sums, flat, codes, *_ = call(9, 4, 2, 0.5, dtype=torch.float64).args
    sums = sums - 1e5 * torch.bincount(codes, minlength=4).double().unsqueeze(1)
    precise = Call((size, sums, flat + 1e5, codes, 0.5), ARGS[:5], GIVES, "dtypes")
    return [replace(plain, again=True), smoothed, unused, forgetful, one_row, one_code, precise, wide]


def from_call_to_call(call: Call, observation: Observation) -> Observation:
    """No generator is among the arguments: two calls alike are to give the same."""
    if call.again and "raised" not in observation:
        observation["the same from a second call"] = observation.pop("the same from the same generator")
    return observation


WRONG = r"""
decay * cluster_size + (1 - decay) -> (1 - decay) * cluster_size + decay
decay * embed_sum + (1 - decay) -> (1 - decay) * embed_sum + decay
    decay and 1 - decay have changed places: decay is what stays of the old average
(1 - decay) * counts -> counts  # zoo 24
(1 - decay) * sums -> sums
    the batch was added whole: without its weight the averages settle 1 / (1 - decay) times too high. What is left
    over by decay belongs to the batch
* sums -> * sums / counts.clamp_min(1).unsqueeze(1)  # zoo 23
    the means of the batch were averaged in place of its sums: a code that one row chose moves as fast as one that a
    hundred chose
* counts -> * counts / len(codes)  # mutation
* sums -> * sums / len(codes)
    counts and sums of the batch were divided by N: wanted are how many rows chose each code, and their sum
smoothed.unsqueeze -> counts.unsqueeze  # zoo 2
    the moving sums were divided by the counts of this batch; the moving counts belong to them
n = cluster_size.sum() -> n = counts.sum()  # zoo 2
smoothed = (cluster_size -> smoothed = (counts
    the counts of this batch were smoothed and divided by; it is the moving counts that want smoothing
return cluster_size -> return smoothed  # zoo 9
    the smoothed counts were handed back as cluster_size: kept, they are smoothed again at every update, and drift.
    They serve for one division and are thrown away
smoothed.unsqueeze -> cluster_size.unsqueeze
    eps is not used: the counts that the sums are divided by are not smoothed, and may be 0
smoothed.unsqueeze -> cluster_size.clamp_min(eps).unsqueeze
    the counts were kept from falling below eps; smoothing adds eps to every count, and then scales all of them back
    to their total
(cluster_size + eps) -> (cluster_size + 1e-5)
* eps) -> * 1e-5)
    the argument eps has no part in this: a fixed number, 1e-5 perhaps, or a guard against 0 takes its place
/ (n + len(cluster_size) * eps) * n ->
    eps was added to the counts, which raises their total; smoothing scales them back to what it was
* eps) * n -> * eps)
    these are shares that add up to 1, not smoothed counts: the last factor, their total, is missing
len(cluster_size) * eps -> eps
    each of the K counts grew by eps, so their total grew by K eps, not by one
n = cluster_size.sum() -> n = len(flat)  # lesson 06
    n is the total of the moving counts; N, the rows of this batch, is another number unless decay is 0
n = cluster_size.sum() ->  # mutation
cluster_size = decay -> n = cluster_size.sum()\ncluster_size = decay
    scaled to the total before the update; meant is the total of the new counts, before eps
cluster_size = decay * cluster_size + (1 - decay) * counts -> cluster_size.mul_(decay).add_(counts, alpha=1 - decay)
embed_sum = decay * embed_sum + (1 - decay) * sums -> embed_sum.mul_(decay).add_(sums, alpha=1 - decay)
    the results are right, and the tensors handed in were changed: an operation whose name ends in _, or one like
    +=, writes into them. Make new ones
* sums -> * sums.T  # lesson 06
    the sums are laid out as (D, K), a codebook that stands on its side: here row k belongs to code k, (K, D)
smoothed.unsqueeze(1) -> smoothed  # lesson 06
    (K, D) / (K,) divides column by column, where it runs at all: the counts want an axis behind them, (K, 1)
embed_sum = decay -> new_sum = decay
return cluster_size, embed_sum -> return cluster_size, new_sum
    the codebook was made from the sums as they were before the update
return codebook, cluster_size, embed_sum
    the three results come in another order: cluster_size, embed_sum, codebook
decay * cluster_size -> torch.where(counts == 0, 1, decay) * cluster_size
decay * embed_sum -> torch.where(counts == 0, 1, decay).unsqueeze(1) * embed_sum
    codes that the batch does not use keep their old averages; they fade too: their count in the batch is 0
torch.zeros_like(embed_sum) -> embed_sum
    the old sum is in the new one twice: embed_sum.index_add(...) holds it; begin the batch's sums at 0
torch.zeros_like(embed_sum) -> torch.zeros(embed_sum.shape)
    torch.zeros makes float32, to which rows of float64 cannot be added: flat.new_zeros(K, D) has the dtype and the
    device of flat
.index_add(0, codes, flat) -> \nsums[codes] += flat
    of several rows with one code only one is in the sum: sums[codes] += flat writes them over each other
torch.bincount(codes, minlength=len(cluster_size)) -> torch.zeros_like(cluster_size)\ncounts[codes] += 1
.index_add(0, codes, flat) -> \nsums[codes] += flat
    several rows with one code count as one: counts[codes] += 1 and sums[codes] += flat do not add up what comes
    twice, they write it over
, minlength=len(cluster_size) ->
    the counts end at the highest code that occurs, as bincount without minlength and one_hot without K do; a code that
    no row chose has a count too
(cluster_size + eps) -> (cluster_size + len(cluster_size) * eps)
    K eps were added to every count; each grows by eps, and so it is their total that grows by K eps
(1 - decay) * counts -> counts
    the counts of the batch were added whole, its sums with their weight: an average takes of the new what it gave up
    of the old
(1 - decay) * sums -> sums
    the sums of the batch were added whole, its counts with their weight: an average takes of the new what it gave up
    of the old
decay * cluster_size + (1 - decay) * counts -> cluster_size + counts
decay * embed_sum + (1 - decay) * sums -> embed_sum + sums
    counts and sums were added to the old ones, and nothing fades: decay takes no part in this
embed_sum / smoothed -> sums / smoothed
    the sums of this batch alone were divided by the moving counts; the moving sums belong to them
torch.bincount(codes, minlength=len(cluster_size)) -> torch.nn.functional.one_hot(codes).to(flat.dtype).sum(0)
torch.zeros_like(embed_sum).index_add(0, codes, flat) -> torch.nn.functional.one_hot(codes).to(flat.dtype).T @ flat
    one_hot ends at the highest code that occurs, in counts and sums alike; told K, it has a column for each code
"""

EXERCISE = exercise(
    ema_update,
    lesson="06_ema_updates",
    points=2,
    draw=draw,
    view=from_call_to_call,
    wrong=WRONG,
    hints=(
        "Which two things does a batch contribute to code k? And with which share does the old average stay?",
        "Both averages follow one rule, old times decay plus new times what is left over. The codebook divides the new "
        "sums by the new counts, lifted off zero: eps added to each, then scaled so that their total is what it was.",
        "counts = how often each of 0 .. K-1 occurs in codes; sums = zeros of (K, D), to whose row codes[i] row i of "
        "flat is added; new = decay * old + (...) * batch; smoothed = (cluster_size + eps) * (sum of the new "
        "cluster_size) / (sum of all the (cluster_size + eps))",
    ),
)
