"""Exercise 06: the codebook follows moving averages, and how many codes are at work."""

from dataclasses import replace

import torch
from torch import Generator
from torch.nn import functional as F

from course_lib import quantize
from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake
from course_lib.check.observe import Call

# ----------------------------------------------------------------------------------------------------------------------
# ema_update

UPDATE_ARGS = ("cluster_size", "embed_sum", "flat", "codes", "decay", "eps")
UPDATE_GIVES = ("cluster_size", "embed_sum", "codebook")


def draw_update(generator: Generator) -> list[Call]:
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
        return Call(tuple(args), UPDATE_ARGS[: len(args)], UPDATE_GIVES, part, **more)

    plain = call(5, 3, 2, 0.9)
    smoothed = call(12, 3, 3, 0.8, 0.1, part="smoothing")  # K = D, where transposed sums do not raise
    unused = call(10, 6, 2, 0.9, 0.1, used=3, part="unused codes")
    forgetful = call(10, 6, 2, 0.0, 1e-5, used=3, part="decay 0")
    one_row = call(1, 4, 3, 0.9, 0.3, used=1, part="odd sizes")  # a count of 0.1, below eps
    one_code = call(5, 1, 2, 0.99, 0.5, part="odd sizes")
    wide = call(8, 5, 1, 0.7, 0.1, used=4, part="dtypes", dtype=torch.float64, elsewhere=True)
    return [plain, smoothed, unused, forgetful, one_row, one_code, wide]


def of_batch(flat, codes, cluster_size):
    one_hot = F.one_hot(codes, len(cluster_size)).to(flat.dtype)  # (N, K)
    return one_hot.sum(0), one_hot.T @ flat  # (K,), (K, D)


def smooth(cluster_size, eps):
    n = cluster_size.sum()
    return (cluster_size + eps) / (n + len(cluster_size) * eps) * n  # (K,)


def averages(cluster_size, embed_sum, flat, codes, decay):
    counts, sums = of_batch(flat, codes, cluster_size)
    return decay * cluster_size + (1 - decay) * counts, decay * embed_sum + (1 - decay) * sums


def divided_by_batch_counts(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, _ = of_batch(flat, codes, cluster_size)
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / counts.unsqueeze(1)


def smoothed_batch_counts(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, _ = of_batch(flat, codes, cluster_size)
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / smooth(counts, eps).unsqueeze(1)


def smoothing_stored(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    cluster_size = smooth(cluster_size, eps)
    return cluster_size, embed_sum, embed_sum / cluster_size.unsqueeze(1)


def average_of_means(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, sums = of_batch(flat, codes, cluster_size)
    means = sums / counts.clamp_min(1).unsqueeze(1)  # (K, D)
    cluster_size = decay * cluster_size + (1 - decay) * counts
    embed_sum = decay * embed_sum + (1 - decay) * means
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def decay_turned(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, 1 - decay)
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def whole_batch_added(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, sums = of_batch(flat, codes, cluster_size)
    cluster_size, embed_sum = decay * cluster_size + counts, decay * embed_sum + sums
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def shares_for_counts(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, sums = of_batch(flat, codes, cluster_size)
    cluster_size = decay * cluster_size + (1 - decay) * counts / len(codes)
    embed_sum = decay * embed_sum + (1 - decay) * sums / len(codes)
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def not_smoothed(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / cluster_size.unsqueeze(1)


def counts_clamped(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / cluster_size.clamp_min(eps).unsqueeze(1)


def eps_written_in(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, 1e-5).unsqueeze(1)


def eps_alone(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / (cluster_size + eps).unsqueeze(1)


def total_left_out(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    smoothed = smooth(cluster_size, eps) / cluster_size.sum()
    return cluster_size, embed_sum, embed_sum / smoothed.unsqueeze(1)


def eps_counted_once(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    n = cluster_size.sum()
    return cluster_size, embed_sum, embed_sum / ((cluster_size + eps) / (n + eps) * n).unsqueeze(1)


def rows_for_total(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    n = len(flat)
    return cluster_size, embed_sum, embed_sum / ((cluster_size + eps) / (n + len(cluster_size) * eps) * n).unsqueeze(1)


def total_before_update(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    n = cluster_size.sum()
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / ((cluster_size + eps) / (n + len(cluster_size) * eps) * n).unsqueeze(1)


def changed_in_place(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, sums = of_batch(flat, codes, cluster_size)
    cluster_size.mul_(decay).add_(counts, alpha=1 - decay)
    embed_sum.mul_(decay).add_(sums, alpha=1 - decay)
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def sums_transposed(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    one_hot = F.one_hot(codes, len(cluster_size)).to(flat.dtype)  # (N, K)
    cluster_size = decay * cluster_size + (1 - decay) * one_hot.sum(0)
    embed_sum = decay * embed_sum + (1 - decay) * flat.T @ one_hot
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def divided_along_columns(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps)


def old_sums(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    new_size, new_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return new_size, new_sum, embed_sum / smooth(new_size, eps).unsqueeze(1)


def codebook_first(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    return embed_sum / smooth(cluster_size, eps).unsqueeze(1), cluster_size, embed_sum


def counts_of_codes_that_occur(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    _, sums = of_batch(flat, codes, cluster_size)
    cluster_size = decay * cluster_size + (1 - decay) * torch.bincount(codes)
    embed_sum = decay * embed_sum + (1 - decay) * sums
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def unused_do_not_fade(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    used = of_batch(flat, codes, cluster_size)[0] > 0  # (K,)
    new_size, new_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    cluster_size = torch.where(used, new_size, cluster_size)
    embed_sum = torch.where(used.unsqueeze(1), new_sum, embed_sum)
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def old_sum_counted_twice(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    new_size, new_sum = averages(cluster_size, embed_sum, flat, codes, decay)
    new_sum = new_sum + (1 - decay) * embed_sum
    return new_size, new_sum, new_sum / smooth(new_size, eps).unsqueeze(1)


def sums_in_float32(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, _ = of_batch(flat, codes, cluster_size)
    sums = torch.zeros(embed_sum.shape).index_add(0, codes, flat)
    cluster_size = decay * cluster_size + (1 - decay) * counts
    embed_sum = decay * embed_sum + (1 - decay) * sums
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def repeats_overwritten(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, _ = of_batch(flat, codes, cluster_size)
    sums = torch.zeros_like(embed_sum)
    sums[codes] += flat
    cluster_size = decay * cluster_size + (1 - decay) * counts
    embed_sum = decay * embed_sum + (1 - decay) * sums
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


def repeats_overwritten_and_uncounted(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, sums = torch.zeros_like(cluster_size), torch.zeros_like(embed_sum)
    counts[codes] += 1
    sums[codes] += flat
    cluster_size = decay * cluster_size + (1 - decay) * counts
    embed_sum = decay * embed_sum + (1 - decay) * sums
    return cluster_size, embed_sum, embed_sum / smooth(cluster_size, eps).unsqueeze(1)


UPDATE = Exercise(
    name="ema_update",
    points=2,
    lesson="06_ema_updates",
    reference=quantize.ema_update,
    draw=draw_update,
    mistakes=(
        Mistake(
            decay_turned, "decay and 1 - decay have changed places: decay is what stays of the old average", "common"
        ),
        Mistake(
            whole_batch_added,
            "the batch was added whole: without its weight the averages settle 1 / (1 - decay) times too high. What is "
            "left over by decay belongs to the batch",
            "zoo 24",
        ),
        Mistake(
            average_of_means,
            "the means of the batch were averaged in place of its sums: a code that one row chose moves as fast as one "
            "that a hundred chose",
            "zoo 23",
        ),
        Mistake(
            shares_for_counts,
            "counts and sums of the batch were divided by N: wanted are how many rows chose each code, and their sum",
            "mutation",
        ),
        Mistake(
            divided_by_batch_counts,
            "the moving sums were divided by the counts of this batch; the moving counts belong to them",
            "zoo 2",
        ),
        Mistake(
            smoothed_batch_counts,
            "the counts of this batch were smoothed and divided by; it is the moving counts that want smoothing",
            "zoo 2",
        ),
        Mistake(
            smoothing_stored,
            "the smoothed counts were handed back as cluster_size: kept, they are smoothed again at every update, and "
            "drift. They serve for one division and are thrown away",
            "zoo 9",
        ),
        Mistake(
            not_smoothed,
            "eps is not used: the counts that the sums are divided by are not smoothed, and may be 0",
            "common",
        ),
        Mistake(
            counts_clamped,
            "the counts were kept from falling below eps; smoothing adds eps to every count, and then scales all of them "
            "back to their total",
            "common",
        ),
        Mistake(
            eps_written_in,
            "the argument eps has no part in this: a fixed number, 1e-5 perhaps, or a guard against 0 takes its place",
            "common",
        ),
        Mistake(
            eps_alone,
            "eps was added to the counts, which raises their total; smoothing scales them back to what it was",
            "common",
        ),
        Mistake(
            total_left_out,
            "these are shares that add up to 1, not smoothed counts: the last factor, their total, is missing",
            "common",
        ),
        Mistake(
            eps_counted_once, "each of the K counts grew by eps, so their total grew by K eps, not by one", "common"
        ),
        Mistake(
            rows_for_total,
            "n is the total of the moving counts; N, the rows of this batch, is another number unless decay is 0",
            "lesson 06",
        ),
        Mistake(
            total_before_update,
            "scaled to the total before the update; meant is the total of the new counts, before eps",
            "mutation",
        ),
        Mistake(
            changed_in_place,
            "the results are right, and the tensors handed in were changed: an operation whose name ends in _, or one "
            "like +=, writes into them. Make new ones",
            "common",
        ),
        Mistake(
            sums_transposed,
            "the sums are laid out as (D, K), a codebook that stands on its side: here row k belongs to code k, (K, D)",
            "lesson 06",
        ),
        Mistake(
            divided_along_columns,
            "(K, D) / (K,) divides column by column, where it runs at all: the counts want an axis behind them, (K, 1)",
            "lesson 06",
        ),
        Mistake(old_sums, "the codebook was made from the sums as they were before the update", "common"),
        Mistake(codebook_first, "the three results come in another order: cluster_size, embed_sum, codebook", "common"),
        Mistake(
            unused_do_not_fade,
            "codes that the batch does not use keep their old averages; they fade too: their count in the batch is 0",
            "common",
        ),
        Mistake(
            old_sum_counted_twice,
            "the old sum is in the new one twice: embed_sum.index_add(...) holds it; begin the batch's sums at 0",
            "common",
        ),
        Mistake(
            sums_in_float32,
            "torch.zeros makes float32, to which rows of float64 cannot be added: flat.new_zeros(K, D) has the dtype "
            "and the device of flat",
            "common",
        ),
        Mistake(
            repeats_overwritten,
            "of several rows with one code only one is in the sum: sums[codes] += flat writes them over each other",
            "common",
        ),
        Mistake(
            repeats_overwritten_and_uncounted,
            "several rows with one code count as one: counts[codes] += 1 and sums[codes] += flat do not add up what "
            "comes twice, they write it over",
            "common",
        ),
        Mistake(
            counts_of_codes_that_occur,
            "bincount ends at the highest code that occurs; told minlength, it counts to K",
            "common",
        ),
    ),
    hints=(
        "Which two things does a batch contribute to code k? And with which share does the old average stay?",
        "Both averages follow one rule, old times decay plus new times what is left over. The codebook divides the new "
        "sums by the new counts, lifted off zero: eps added to each, then scaled so that their total is what it was.",
        "counts = how often each of 0 .. K-1 occurs in codes; sums = zeros of (K, D), to whose row codes[i] row i of "
        "flat is added; new = decay * old + (...) * batch; smoothed = (cluster_size + eps) * (sum of the new "
        "cluster_size) / (sum of all the (cluster_size + eps))",
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# perplexity


def draw_perplexity(generator: Generator) -> list[Call]:
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
    args = grids[0].args
    grids[0] = replace(grids[0], args=(scattered(args[0]), args[1]))
    return [plain, unused, single, *grids, one, alike]


def shares(codes, codebook_size):
    return torch.bincount(codes.flatten(), minlength=codebook_size) / codes.numel()  # (K,)


def entropy(codes, codebook_size):
    return torch.special.entr(shares(codes, codebook_size)).sum()  # 0-d, in nats


def bits_and_exp(codes, codebook_size):
    return (entropy(codes, codebook_size) / torch.tensor(2.0).log()).exp()


def viewed(codes, codebook_size):
    return (-torch.special.entr(shares(codes.view(-1), codebook_size)).sum()).neg().exp()


def nats_and_power_of_2(codes, codebook_size):
    return 2 ** entropy(codes, codebook_size)


def nan_where_unused(codes, codebook_size):
    p = shares(codes, codebook_size)
    return (-(p * p.log()).sum()).exp()


def whole_division(codes, codebook_size):
    p = torch.bincount(codes.flatten(), minlength=codebook_size) // codes.numel()
    return torch.special.entr(p).sum().exp()


def mean_for_sum(codes, codebook_size):
    return torch.special.entr(shares(codes, codebook_size)).mean().exp()


def mean_over_used(codes, codebook_size):
    p = shares(codes, codebook_size)
    p = p[p > 0]
    return (-(p * p.log()).mean()).exp()


def minus_missing(codes, codebook_size):
    return (-entropy(codes, codebook_size)).exp()


def entropy_alone(codes, codebook_size):
    return entropy(codes, codebook_size)


def codes_in_use(codes, codebook_size):
    return (shares(codes, codebook_size) > 0).float().sum()


def share_in_use(codes, codebook_size):
    return (shares(codes, codebook_size) > 0).float().mean()


def counts_for_shares(codes, codebook_size):
    counts = torch.bincount(codes.flatten(), minlength=codebook_size).float()
    return torch.special.entr(counts).sum().exp()


def divided_by_codebook_size(codes, codebook_size):
    p = torch.bincount(codes.flatten(), minlength=codebook_size) / codebook_size
    return torch.special.entr(p).sum().exp()


def divided_by_first_axis(codes, codebook_size):
    p = torch.bincount(codes.flatten(), minlength=codebook_size) / len(codes)
    return torch.special.entr(p).sum().exp()


def place_by_place(codes, codebook_size):
    p = F.one_hot(codes, codebook_size).float().mean(0)  # (*S, K)
    return torch.special.entr(p).sum().exp()


def image_by_image(codes, codebook_size):
    parts = codes if codes.ndim > 1 else [codes]
    return torch.stack([entropy(part, codebook_size).exp() for part in parts]).mean()


def axis_left(codes, codebook_size):
    return entropy(codes, codebook_size).exp().reshape(1)


def python_number(codes, codebook_size):
    return entropy(codes, codebook_size).exp().item()


PERPLEXITY = Exercise(
    name="perplexity",
    lesson="06_ema_updates",
    reference=quantize.perplexity,
    draw=draw_perplexity,
    mistakes=(
        Mistake(
            bits_and_exp,
            "the entropy is in bits, from log2, and exp undoes the natural logarithm: take both to one base",
            "common",
        ),
        Mistake(
            viewed,
            "view works only where the numbers lie in memory in the order of the axes; flatten and reshape copy where "
            "they must",
            "common",
        ),
        Mistake(
            nats_and_power_of_2,
            "the entropy is in nats, from the natural logarithm, and 2 ** undoes the one to base 2: take both to one base",
            "common",
        ),
        Mistake(
            nan_where_unused,
            "0 times log 0 is nan in floating point; a code that does not occur contributes 0: how can its term be "
            "left out, or its logarithm be kept finite?",
            "common",
        ),
        Mistake(whole_division, "// drops the fraction, so that every probability below 1 is 0; / keeps it", "common"),
        Mistake(
            mean_for_sum,
            "the terms p log p were averaged over the K codes; the entropy is their sum: p is the weight already",
            "common",
        ),
        Mistake(
            mean_over_used,
            "the terms p log p were averaged over the codes in use; the entropy is their sum: p is the weight already",
            "common",
        ),
        Mistake(minus_missing, "the minus of the entropy is missing: this is 1 / perplexity, never above 1", "common"),
        Mistake(entropy_alone, "this is the entropy; the perplexity is its exponential", "common"),
        Mistake(
            codes_in_use, "this is how many codes occur at all; the perplexity also asks how evenly they do", "zoo 19"
        ),
        Mistake(
            share_in_use,
            "this is the usage, the fraction of codes that occur at all; the perplexity also asks how evenly they do",
            "zoo 19",
        ),
        Mistake(counts_for_shares, "these are counts; the entropy wants probabilities, which add up to 1", "common"),
        Mistake(
            divided_by_codebook_size,
            "the counts were divided by K; probabilities add up to 1, so divide by how many codes were counted",
            "common",
        ),
        Mistake(
            divided_by_first_axis,
            "the counts were divided by the length of the first axis alone; codes has more of them",
            "mutation",
        ),
        Mistake(
            place_by_place,
            "each place of the grid got probabilities of its own: count the codes of all axes together",
            "common",
        ),
        Mistake(
            image_by_image,
            "the perplexities of the single images were averaged: count the codes of all images together first",
            "zoo 19",
        ),
        Mistake(python_number, "the number is right; wanted is a 0-d tensor, which stays on its device", "common"),
        Mistake(axis_left, "one axis too many: a 0-d tensor is wanted, not one of shape (1,)", "common"),
    ),
    hints=(
        "If code k occurs counts[k] times among all codes, what is its probability? What must these add up to?",
        "The entropy is the sum of -p log p over the codes, a term being 0 where p is 0. The perplexity is its "
        "exponential: K if all are equally frequent, 1 if one has everything.",
        "p = torch.bincount(codes.flatten(), minlength=...) / ...; entropy = -(p * log of (p kept above 0)).sum(); "
        "then the inverse of that logarithm",
    ),
)

EXERCISES = [UPDATE, PERPLEXITY]
