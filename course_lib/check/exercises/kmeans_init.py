"""Exercise 09: start codes on latents. The start is drawn at random, so properties are judged, not numbers."""

import math

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, Observation, Seed, exercise, normal, number, scattered, without_a_generator
from course_lib.quantize import nearest_codes


def kmeans_init(flat, codebook_size, iterations=10, generator=None):
    """K-means from random rows: (N, D) -> codebook (K, D) in the dtype of flat, counts (K,) floating-point.

    The start: K = codebook_size rows of flat, drawn at random with `generator` (None: PyTorch's
    own). N may be less than K; rows are then drawn more than once. In each of the `iterations`
    every code moves to the mean of the rows nearest to it; one that no row is nearest to stays.

    counts: how many rows made each code in the last step, not how many are nearest to it now.
    iterations = 0 gives the drawn rows, and how many are nearest to each. flat is not changed.
    """
    ### BEGIN SOLUTION
    rounds = math.ceil(codebook_size / len(flat))  # each row once before any is drawn again
    places = torch.cat([torch.randperm(len(flat), generator=generator) for _ in range(rounds)])
    codebook = flat[places[:codebook_size]]  # (K, D)
    counts = torch.bincount(nearest_codes(flat, codebook), minlength=codebook_size)  # (K,)
    for _ in range(iterations):
        codes = nearest_codes(flat, codebook)  # (N,)
        counts = torch.bincount(codes, minlength=codebook_size)  # (K,)
        sums = torch.zeros_like(codebook).index_add(0, codes, flat)  # (K, D)
        codebook = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codebook)
    return codebook, counts.to(flat.dtype)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(flat, *settings, part="values", **more):
        names = ("flat", "codebook_size", "iterations", "generator")[: 1 + len(settings)]
        return Call((flat, *settings), names, ("codebook", "counts"), part, seed=number(generator, 0, 10**6), **more)

    def latents(n, d):  # away from the origin: a code at 0 is none of theirs
        return 4 + normal(generator, n, d)

    def apart(n, d):  # no row is as far from one row as from another: rounding decides nothing
        flat = latents(n, d)
        while (torch.cdist(flat, flat).sort(dim=1).values.diff(dim=1) < 1e-4).any():
            flat = latents(n, d)
        return flat

    corners = torch.tensor([[3.0, 3.0], [7.0, 3.0], [3.0, 7.0]])
    clusters = corners.repeat(4, 1) + 0.3 * normal(generator, 12, 2)
    # A tight crowd and two outliers: unless the start holds both outliers, one step cannot be the last
    angle = 7 * torch.rand((), generator=generator)
    outliers = torch.stack([angle.cos(), angle.sin()]) * torch.tensor([[1.0], [-1.0]])
    crowd = torch.cat([outliers, 1e-4 * normal(generator, 998, 2)])[torch.randperm(1000, generator=generator)]
    equal = latents(1, 3).expand(6, 3).contiguous()
    return [
        call(clusters, 3, 3),
        call(crowd, 3),
        # Two draws alike: once in 60 ** 8 for one generator and another, once in 200 ** 12 for torch.manual_seed
        call(latents(60, 3), 8, 1, Seed(number(generator, 0, 10**6)), part="generator", again=True, reseeded=True),
        call(latents(200, 3), 12, 0, part="few iterations", again=True, reseeded=True),
        call(latents(200, 3), 12, 1, part="few iterations", beside=(2, 0)),  # so many rows never settle in one step
        call(latents(6, 2), 2, 1, part="few iterations", beside=(2, 0)),
        call(latents(6, 2), 2, 2, part="few iterations", beside=(2, 0)),
        call(equal, 3, 1, part="empty codes"),
        call(apart(24, 2), 36, 1, part="empty codes", beside=(2, 0)),  # a third of the codes are drawn twice
        call(latents(2, 2), 8, 2, part="empty codes"),
        call(latents(2, 2), 40, 0, part="few iterations"),  # so many draws hit both rows
        call(latents(5, 2), 1, 1, part="odd sizes"),
        call(scattered(latents(9, 1)), 3, 1, part="odd sizes"),
        call(latents(12, 3).double(), 4, 1, None, part="dtypes", elsewhere=True),
    ]


def properties(call: Call, observation: Observation) -> Observation:
    """What every right codebook and its counts share, in place of their numbers."""
    observation = without_a_generator(call, observation)
    flat, size = call.args[0].double(), call.args[1]
    iterations = call.args[2] if len(call.args) > 2 else 10
    codebook, counts = observation.get("codebook"), observation.get("counts")
    start = observation.pop("codebook with iterations = 0", None)
    observation.pop("counts with iterations = 0", None)
    shape, dtype = (size, flat.shape[1]), call.args[0].dtype
    if not isinstance(codebook, Tensor) or codebook.shape != shape or codebook.dtype != dtype:
        return observation
    observation["codebook"] = torch.zeros_like(codebook)
    if not isinstance(counts, Tensor) or counts.shape != (size,) or not counts.is_floating_point():
        return observation  # the counts are what is wrong first
    observation["counts"] = torch.zeros(size)
    codebook, counts = codebook.double(), counts.double()
    finite = bool(codebook.isfinite().all() and counts.isfinite().all())
    observation["all numbers finite"] = finite
    if not finite:
        return observation
    inside = (codebook > flat.amin(0) - 1e-3) & (codebook < flat.amax(0) + 1e-3)
    observation["every code inside the range of flat"] = bool(inside.all())
    observation["sum of the counts"] = round(counts.sum().item(), 3)

    chosen, means = assigned(flat, codebook)  # (K,), (K, D)
    # Counts of the rows that made the means: counts times means is the sum of all rows. Where k-means may have settled,
    # or one row decides, the rows that are nearest now will do: what differs by the luck of the draw tells nothing
    unsettled = 0 < iterations < 4 and len(flat) > 100
    of_the_means = iterations > 0 and torch.allclose(counts @ codebook, flat.sum(0), rtol=2e-5, atol=1e-5)
    fit = of_the_means or not unsettled and torch.allclose(counts, chosen, atol=1e-3)
    whose = "that made the codes" if iterations else "that are nearest to each code"
    observation[f"the counts are those of the rows {whose}"] = bool(fit)
    if iterations >= 4 or size == 1:
        used = chosen > 0
        done = torch.allclose(codebook[used], means[used], rtol=1e-4, atol=1e-4)
        observation["each used code and the mean of the rows nearest to it"] = "equal" if done else "apart"
        if (flat != flat[0]).any() and size > 1:
            observation["codes in use"] = "one" if used.sum() == 1 else "more than one"
    if iterations == 0:
        observation["every code is a row of flat"] = bool(each_row_among(codebook, flat).all())
        if size >= 20 * len(flat):
            drawn = int(each_row_among(flat, codebook).sum())
            observation["rows of flat among the codes"] = f"{drawn} of {len(flat)}"
        if len(flat) > 100:
            observation["rows drawn"] = where_drawn(codebook, flat)
    known = isinstance(start, Tensor) and start.shape == codebook.shape
    if known and unsettled:  # among so many rows, rounding decides about one or another
        observation["the step moves the codes"] = not torch.allclose(codebook, start.double(), rtol=1e-3)
    elif known:
        wanted = start.double()
        for _ in range(iterations):
            wanted = assigned(flat, wanted)[1]
        often, came = (
            same_rows(wanted, codes).sum(1) for codes in (wanted, codebook)
        )  # (K,); of two alike, either may
        both = torch.equal(often, came)  # ... have the rows
        steps = "one step" if iterations == 1 else f"{iterations} steps"
        observation[f"the codes that {steps} from the drawn rows lead to"] = both
    return observation


def assigned(flat: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D), (K, D) -> how many rows are nearest to each code (K,), and their means (K, D); an empty code stays."""
    distances = (flat.unsqueeze(1) - codebook).square().sum(-1)  # (N, K)
    one_hot = torch.nn.functional.one_hot(distances.argmin(1), len(codebook)).double()  # (N, K)
    counts = one_hot.sum(0)  # (K,)
    means = one_hot.T @ flat / counts.clamp(min=1).unsqueeze(1)  # (K, D)
    return counts, torch.where(counts.unsqueeze(1) > 0, means, codebook)


def same_rows(rows: Tensor, flat: Tensor) -> Tensor:
    """(M, D), (N, D) -> (M, N) bool: which rows are which rows of flat, up to rounding."""
    return torch.isclose(rows.double().unsqueeze(1), flat.double(), rtol=1e-5, atol=1e-6).all(-1)


def each_row_among(rows: Tensor, flat: Tensor) -> Tensor:
    """(M, D), (N, D) -> (M,) bool: which rows are rows of flat."""
    return same_rows(rows, flat).any(1)


def where_drawn(rows: Tensor, flat: Tensor) -> str:
    """From where in flat the rows are: a dozen of them, out of some hundred, are not neighbours by chance."""
    same = same_rows(rows, flat)  # (M, N)
    if not same.any(1).all():
        return "some from elsewhere"
    places = same.int().argmax(1).sort().values  # (M,)
    gaps = torch.diff(places, append=places[:1] + len(flat))  # (M,); the last one leads round to the first
    if (gaps == len(flat)).any():
        return "one row for all"
    return "next to each other" if len(flat) - gaps.max() < 2 * len(rows) else "at random"


WRONG = r"""
torch.randperm(len(flat), -> torch.randint(max(1, len(flat) - 1), (len(flat),),
    the last row of flat is never drawn: the upper end of randint is exclusive, so it takes len(flat) as it is
counts.to(flat.dtype) -> torch.ones_like(counts, dtype=flat.dtype)  # zoo 16
    the counts are all 1: a layer that takes them over weighs each centroid as one latent, and its first update throws
    the centroids away
counts.to(flat.dtype) -> torch.zeros_like(counts, dtype=flat.dtype)  # zoo 16
    the counts are all 0: they should say how many rows each code was made of
return codebook, torch.bincount(nearest_codes(flat, codebook), minlength=codebook_size).to(flat.dtype)
    the counts were taken after the last move; they belong to the rows that made the means, as those were shared out
    before it
counts.to(flat.dtype) -> counts.to(flat.dtype) / len(flat)
    these are shares of N, which add up to 1; counts add up to N
return codebook, counts
    counts are floating-point numbers here: an average of counts has to fit in later
codes = nearest_codes(flat, codebook) -> codes = torch.cdist(flat, codebook).argmin(1)  # zoo 2
torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codebook) -> sums / counts[:, None]
    a code that no row chose got 0 / 0: which vector should it have instead?
torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codebook) -> sums / counts[:, None]
    a code that no row chose got 0 / 0, and the next look for the nearest code stops at the NaN: such a code keeps its
    place
[:, None], codebook) -> [:, None], 0)
    a code that no row chose jumps to 0: however the division is saved, its sum is 0; it has to keep its place
flat[places[:codebook_size]] -> flat.new_empty(codebook_size, flat.shape[1]).normal_(generator=generator)  # lesson 09
places = torch.cat([torch.randperm(len(flat), generator=generator) for _ in range(rounds)]) ->
    the start is noise; codes far from all rows stay empty for ever. K-means starts on rows of flat
flat[places[:codebook_size]] -> flat[:codebook_size]\ncodebook_size = len(codebook)
    the start is always the first K rows: they are often neighbours of one image, and there may be fewer than K
places[:codebook_size] -> (places[0] + torch.arange(codebook_size)) % len(flat)
    the drawn rows are neighbours in flat, often of one image, so all codes start in one corner: each row is drawn by
    itself
[:, None], codebook) -> [:, None], flat[torch.randint(len(flat), (codebook_size,), generator=generator)])
    an empty code was given a new row. Sensible, but not asked for here: it stays where it is, and restart_dead_codes
    is there to move it
math.ceil(codebook_size / len(flat)) -> 1\ncodebook_size = min(codebook_size, len(flat))
    a permutation of N rows has no K entries where N < K; some rows then have to be drawn more than once
math.ceil(codebook_size / len(flat)) -> 1
    randperm gives each row once; with fewer rows than codes, draw with repeats
rounds = -> generator = generator or torch.Generator()\nrounds =
    without a generator PyTorch's own random numbers are meant, which torch.manual_seed sets; a torch.Generator() made
    here begins with the same seed in each call
, generator=generator ->
    the generator was not used: the same generator has to lead to the same codebook, whatever else draws random numbers
range(iterations) -> range(min(1, iterations))
    this is the result of one step: after each move of the codes the rows have to choose anew, `iterations` times over
sums / -> sums.mean(1, keepdim=True) /
    the mean was taken over rows and dimensions together, one number for all D; wanted is a vector, the mean over the
    rows
], codebook) -> ], codebook)\nfor k in codes.unique():\n    codebook[k] = flat[codes == k].median(0).values
    the codes went to the medians of their rows, number by number; wanted are the means
/ counts.clamp(min=1)[:, None] -> / (counts[:, None] + 1e-3)
    something was added to every count, so each mean is a little too near to 0: only a count of 0 needs a guard
/ counts.clamp(min=1)[:, None] ->
    the rows were added up and not divided by how many they are
range(iterations) -> range(iterations + 1)
    one step too many: with iterations = 0 no step is made
range(iterations) -> range(iterations - 1)
    one step too few: with iterations = 1 the codes have to move once
range(iterations) -> range(10)
    the number of steps is always the same: `iterations` says how many, and 0 returns the rows as they were drawn
counts = torch.bincount(nearest_codes(flat, codebook), minlength=codebook_size) ->
    with iterations = 0 the loop is never entered, and nobody has counted: how many rows are nearest to each drawn row?
"""

WAYS = ("torch.randperm(len(flat), -> torch.randint(len(flat), (len(flat),),",)  # as randint(N, (K,)), or a loop

EXERCISE = exercise(
    kmeans_init,
    lesson="09_codebook_health",
    points=3,
    draw=draw,
    view=properties,
    wrong=WRONG,
    ways=WAYS,
    hints=(
        "After a step, what are a code and its count made of? And what of a code that no row chose: is there a mean "
        "of no rows?",
        "Lloyd's algorithm: draw K rows as the codebook; then, `iterations` times, let each row choose its nearest "
        "code and move each code to the mean of the rows that chose it. A code without rows stays where it is. K "
        "random places in 0 .. N - 1 can be drawn with repeats, so N < K needs no case of its own. Hand the generator"
        " to every draw.",
        "codes = nearest_codes(flat, codebook); counts = torch.bincount(codes, minlength=K); sums = zeros(K, "
        "D).index_add(0, codes, flat); codebook = torch.where(counts[:, None] > 0, sums / (counts, at least 1)[:, "
        "None], the old codebook)",
    ),
)
