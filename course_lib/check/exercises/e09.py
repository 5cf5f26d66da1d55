"""Exercise 09: start codes on latents, restart the dead. Both draw at random, so properties are judged, not numbers."""

import torch
from torch import Generator, Tensor

from course_lib import quantize
from course_lib.check.exercises.drawing import normal, number, scattered
from course_lib.check.judge import Exercise, Mistake, Observation
from course_lib.check.observe import Call, Seed


def each_row_among(rows: Tensor, flat: Tensor) -> Tensor:
    """(M, D), (N, D) -> (M,) bool: which rows are rows of flat, up to rounding."""
    return torch.isclose(rows.double().unsqueeze(1), flat.double(), rtol=1e-5, atol=1e-6).all(-1).any(1)


def where_drawn(rows: Tensor, flat: Tensor) -> str:
    """From where in flat the rows are: a dozen of them, out of some hundred, are not neighbours by chance."""
    same = torch.isclose(rows.double().unsqueeze(1), flat.double(), rtol=1e-5, atol=1e-6).all(-1)  # (M, N)
    if not same.any(1).all():
        return "some from elsewhere"
    places = same.int().argmax(1).sort().values  # (M,)
    gaps = torch.diff(places, append=places[:1] + len(flat))  # (M,); the last one leads round to the first
    if (gaps == len(flat)).any():
        return "one row for all"
    return "next to each other" if len(flat) - gaps.max() < 2 * len(rows) else "at random"


# ----------------------------------------------------------------------------------------------------------------------
# kmeans_init


def draw_kmeans(generator: Generator) -> list[Call]:
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
        call(latents(200, 3), 12, 0, part="few iterations"),
        call(latents(200, 3), 12, 1, part="few iterations", beside=(2, 0)),  # so many rows never settle in one step
        call(latents(6, 2), 2, 1, part="few iterations", beside=(2, 0)),
        call(latents(6, 2), 2, 2, part="few iterations", beside=(2, 0)),
        call(equal, 3, 1, part="empty codes"),
        call(apart(24, 2), 36, 1, part="empty codes", beside=(2, 0)),  # a third of the codes are drawn twice
        call(latents(2, 2), 8, 2, part="empty codes"),
        call(latents(2, 2), 40, 0, part="few iterations"),  # so many draws hit both rows
        call(latents(5, 2), 1, 1, part="odd sizes"),
        call(scattered(latents(9, 1)), 3, 1, part="odd sizes"),
        call(latents(40, 3), 6, 1, Seed(number(generator, 0, 10**6)), part="generator", again=True, reseeded=True),
        call(latents(12, 3).double(), 4, 1, None, part="dtypes", elsewhere=True),
    ]


def properties_of_kmeans(call: Call, seen: Observation) -> Observation:
    """What every right codebook and its counts share, in place of their numbers."""
    flat, size = call.args[0].double(), call.args[1]
    iterations = call.args[2] if len(call.args) > 2 else 10
    codebook, counts, start = seen.get("codebook"), seen.get("counts"), seen.pop("codebook with iterations = 0", None)
    seen.pop("counts with iterations = 0", None)
    if (
        not isinstance(codebook, Tensor)
        or codebook.shape != (size, flat.shape[1])
        or codebook.dtype != call.args[0].dtype
    ):
        return seen
    if not isinstance(counts, Tensor) or counts.shape != (size,) or not counts.is_floating_point():
        seen["codebook"] = torch.zeros_like(codebook)  # the counts are what is wrong first
        return seen
    seen |= {"codebook": torch.zeros_like(codebook), "counts": torch.zeros(size)}
    codebook, counts = codebook.double(), counts.double()
    finite = bool(codebook.isfinite().all() and counts.isfinite().all())
    seen["all numbers finite"] = finite
    if not finite:
        return seen
    inside = ((codebook > flat.amin(0) - 1e-3) & (codebook < flat.amax(0) + 1e-3)).all()
    seen["every code inside the range of flat"] = bool(inside)
    seen["sum of the counts"] = round(counts.sum().item(), 3)

    one_hot, means = assigned(flat, codebook)  # (N, K), (K, D)
    chosen = one_hot.sum(0)  # (K,)
    # Counts of the rows that made the means: counts times means is the sum of all rows. Where k-means may have settled,
    # or one row decides, the rows that are nearest now will do: what differs by the luck of the draw tells nothing
    unsettled = 0 < iterations < 4 and len(flat) > 100
    of_the_means = iterations > 0 and torch.allclose(counts @ codebook, flat.sum(0), rtol=2e-5, atol=1e-5)
    fit = of_the_means or not unsettled and torch.allclose(counts, chosen, atol=1e-3)
    whose = "that made the codes" if iterations else "that are nearest to each code"
    seen[f"the counts are those of the rows {whose}"] = bool(fit)
    if iterations >= 4 or size == 1:
        used = chosen > 0
        done = torch.allclose(codebook[used], means[used], rtol=1e-4, atol=1e-4)
        seen["each used code and the mean of the rows nearest to it"] = "equal" if done else "apart"
        if (flat != flat[0]).any() and size > 1:
            seen["codes in use"] = "one" if used.sum() == 1 else "more than one"
    if iterations == 0:
        seen["every code is a row of flat"] = bool(each_row_among(codebook, flat).all())
        if size >= 20 * len(flat):
            seen["rows of flat among the codes"] = f"{int(each_row_among(flat, codebook).sum())} of {len(flat)}"
        if len(flat) > 100:
            seen["rows drawn"] = where_drawn(codebook, flat)
    known = isinstance(start, Tensor) and start.shape == codebook.shape
    if known and unsettled:  # among so many rows, rounding decides about one or another
        seen["the step moves the codes"] = not torch.allclose(codebook, start.double(), rtol=1e-3)
    elif known:
        wanted = start.double()
        for _ in range(iterations):
            wanted = assigned(flat, wanted)[1]
        both = each_row_among(wanted, codebook).all() and each_row_among(codebook, wanted).all()
        steps = "one step" if iterations == 1 else f"{iterations} steps"
        seen[f"the codes that {steps} from the drawn rows lead to"] = bool(both)
    return seen


def assigned(flat: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D), (..., K, D) -> who is nearest to which code (..., N, K) as 0 and 1, and the means (..., K, D); an empty
    code stays where it is."""
    distances = (flat.unsqueeze(1) - codebook.unsqueeze(-3)).square().sum(-1)  # (..., N, K)
    one_hot = torch.nn.functional.one_hot(distances.argmin(-1), codebook.shape[-2]).double()  # (..., N, K)
    counts = one_hot.sum(-2).unsqueeze(-1)  # (..., K, 1)
    return one_hot, torch.where(counts > 0, one_hot.mT @ flat / counts.clamp(min=1), codebook)


def drawn(flat, size, generator):
    return flat[torch.randint(len(flat), (size,), generator=generator)]


def last_row_never_drawn(flat, codebook_size, iterations=10, generator=None):
    places = torch.randint(max(1, len(flat) - 1), (codebook_size,), generator=generator)
    return lloyd(flat, flat[places], iterations)


def kmeans(flat, codebook_size, iterations=10, generator=None):
    """Right. `quantize.kmeans_init` is made for many latents; a check of a few dozen need not wait for its blocks."""
    return lloyd(flat, drawn(flat, codebook_size, generator), iterations)


def lloyd(flat, codebook, iterations, empty=None):
    """Lloyd's steps from this codebook on -> codebook, counts. Empty codes stay, unless another place is given."""
    codes = torch.cdist(flat, codebook).argmin(1)  # (N,)
    for _ in range(iterations):
        codes = torch.cdist(flat, codebook).argmin(1)
        one_hot = torch.nn.functional.one_hot(codes, len(codebook)).to(flat.dtype)  # (N, K)
        counts = one_hot.sum(0).unsqueeze(1)  # (K, 1)
        codebook = torch.where(counts > 0, one_hot.T @ flat / counts, codebook if empty is None else empty)
    return codebook, torch.bincount(codes, minlength=len(codebook)).to(flat.dtype)


def counts_of_one(flat, codebook_size, iterations=10, generator=None):
    codebook, counts = lloyd(flat, drawn(flat, codebook_size, generator), iterations)
    return codebook, torch.ones_like(counts)


def counts_of_zero(flat, codebook_size, iterations=10, generator=None):
    codebook, counts = lloyd(flat, drawn(flat, codebook_size, generator), iterations)
    return codebook, torch.zeros_like(counts)


def counted_after_the_last_move(flat, codebook_size, iterations=10, generator=None):
    codebook, _ = lloyd(flat, drawn(flat, codebook_size, generator), iterations)
    return lloyd(flat, codebook, 0)


def shares_for_counts(flat, codebook_size, iterations=10, generator=None):
    codebook, counts = lloyd(flat, drawn(flat, codebook_size, generator), iterations)
    return codebook, counts / len(flat)


def counts_are_whole_numbers(flat, codebook_size, iterations=10, generator=None):
    codebook, counts = lloyd(flat, drawn(flat, codebook_size, generator), iterations)
    return codebook, counts.long()


def divided_by_zero(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, generator), iterations, empty=float("nan"))


def divided_by_zero_and_measured(flat, codebook_size, iterations=10, generator=None):
    codebook = drawn(flat, codebook_size, generator)
    codes = quantize.nearest_codes(flat, codebook)
    for _ in range(iterations):
        codes = quantize.nearest_codes(flat, codebook)  # which takes no NaN
        codebook = lloyd(flat, codebook, 1, empty=float("nan"))[0]
    return codebook, torch.bincount(codes, minlength=codebook_size).to(flat.dtype)


def empty_codes_sent_to_zero(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, generator), iterations, empty=0)


def starts_from_noise(flat, codebook_size, iterations=10, generator=None):
    noise = torch.randn(codebook_size, flat.shape[1], generator=generator, dtype=flat.dtype, device=flat.device)
    return lloyd(flat, noise, iterations)


def first_rows(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, flat[:codebook_size], iterations)


def neighbouring_rows(flat, codebook_size, iterations=10, generator=None):
    start = torch.randint(len(flat), (1,), generator=generator, device=flat.device)
    places = (start + torch.arange(codebook_size, device=flat.device)) % len(flat)
    return lloyd(flat, flat[places], iterations)


def empty_codes_drawn_anew(flat, codebook_size, iterations=10, generator=None):
    codebook = drawn(flat, codebook_size, generator)
    counts = lloyd(flat, codebook, 0)[1]
    for _ in range(iterations):
        codebook, counts = lloyd(flat, codebook, 1)
        codebook = torch.where(counts[:, None] > 0, codebook, drawn(flat, codebook_size, generator))
    return codebook, counts


def each_row_once(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, flat[torch.randperm(len(flat), generator=generator)[:codebook_size]], iterations)


def a_permutation_too_short(flat, codebook_size, iterations=10, generator=None):
    codebook = flat[torch.randperm(len(flat), generator=generator)[:codebook_size]]
    counts = torch.bincount(torch.cdist(flat, codebook).argmin(1), minlength=codebook_size)
    for _ in range(iterations):
        codes = torch.cdist(flat, codebook).argmin(1)
        counts = torch.bincount(codes, minlength=codebook_size)
        sums = flat.new_zeros(codebook_size, flat.shape[1]).index_add(0, codes, flat)
        codebook = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codebook)
    return codebook, counts.to(flat.dtype)


def generator_ignored(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, None), iterations)


def one_step_alone(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, generator), min(iterations, 1))


def one_step_too_many(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, generator), iterations + 1)


def one_step_too_few(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, generator), max(0, iterations - 1))


def code_by_code(flat, codebook, iterations, rule):
    """Lloyd's steps in which a code goes where `rule` sends it, which gets its rows."""
    codes = torch.cdist(flat, codebook).argmin(1)
    for _ in range(iterations):
        codes = torch.cdist(flat, codebook).argmin(1)
        for k in codes.unique():
            codebook[k] = rule(flat[codes == k])
    return codebook, torch.bincount(codes, minlength=len(codebook)).to(flat.dtype)


def medians_for_means(flat, codebook_size, iterations=10, generator=None):
    return code_by_code(flat, drawn(flat, codebook_size, generator), iterations, lambda rows: rows.median(0).values)


def mean_without_an_axis(flat, codebook_size, iterations=10, generator=None):
    return code_by_code(flat, drawn(flat, codebook_size, generator), iterations, lambda rows: rows.mean())


def sums_for_means(flat, codebook_size, iterations=10, generator=None):
    return code_by_code(flat, drawn(flat, codebook_size, generator), iterations, lambda rows: rows.sum(0))


def iterations_ignored(flat, codebook_size, iterations=10, generator=None):
    return lloyd(flat, drawn(flat, codebook_size, generator), 10)


def counted_in_the_loop_alone(flat, codebook_size, iterations=10, generator=None):
    if iterations == 0:
        raise UnboundLocalError("cannot access local variable 'counts' where it is not associated with a value")
    return lloyd(flat, drawn(flat, codebook_size, generator), iterations)


KMEANS = Exercise(
    name="kmeans_init",
    points=3,
    lesson="09_codebook_health",
    reference=kmeans,
    draw=draw_kmeans,
    view=properties_of_kmeans,
    mistakes=(
        Mistake(
            last_row_never_drawn,
            "the last row of flat is never drawn: the upper end of randint is exclusive, so it takes len(flat) as it is",
            "common",
        ),
        Mistake(
            counts_of_one,
            "the counts are all 1: a layer that takes them over weighs each centroid as one latent, and its "
            "first update throws the centroids away",
            "zoo 16",
        ),
        Mistake(counts_of_zero, "the counts are all 0: they should say how many rows each code was made of", "zoo 16"),
        Mistake(
            counted_after_the_last_move,
            "the counts were taken after the last move; they belong to the rows that made the means, as those were "
            "shared out before it",
            "common",
        ),
        Mistake(shares_for_counts, "these are shares of N, which add up to 1; counts add up to N", "common"),
        Mistake(
            counts_are_whole_numbers,
            "counts are floating-point numbers here: an average of counts has to fit in later",
            "common",
        ),
        Mistake(divided_by_zero, "a code that no row chose got 0 / 0: which vector should it have instead?", "zoo 2"),
        Mistake(
            divided_by_zero_and_measured,
            "a code that no row chose got 0 / 0, and the next look for the nearest code stops at the NaN: such a code "
            "keeps its place",
            "common",
        ),
        Mistake(
            empty_codes_sent_to_zero,
            "a code that no row chose jumps to 0: however the division is saved, its sum is 0; it has to keep its "
            "place",
            "common",
        ),
        Mistake(
            starts_from_noise,
            "the start is noise; codes far from all rows stay empty for ever. K-means starts on rows of flat",
            "lesson 09",
        ),
        Mistake(
            first_rows,
            "the start is always the first K rows: they are often neighbours of one image, and there may be "
            "fewer than K",
            "common",
        ),
        Mistake(
            neighbouring_rows,
            "the drawn rows are neighbours in flat, often of one image, so all codes start in one corner: each row is "
            "drawn by itself",
            "common",
        ),
        Mistake(
            empty_codes_drawn_anew,
            "an empty code was given a new row. Sensible, but not asked for here: it stays where it is, and "
            "restart_dead_codes is there to move it",
            "common",
        ),
        Mistake(
            each_row_once,
            "a permutation of N rows has no K entries where N < K; some rows then have to be drawn more than once",
            "common",
        ),
        Mistake(
            a_permutation_too_short,
            "randperm gives each row once; with fewer rows than codes, draw with repeats",
            "common",
        ),
        Mistake(
            generator_ignored,
            "the generator was not used: the same generator has to lead to the same codebook, whatever else "
            "draws random numbers",
            "common",
        ),
        Mistake(
            one_step_alone,
            "this is the result of one step: after each move of the codes the rows have to choose anew, "
            "`iterations` times over",
            "common",
        ),
        Mistake(
            mean_without_an_axis,
            "the mean was taken over rows and dimensions together, one number for all D; wanted is a vector, "
            "the mean over the rows",
            "common",
        ),
        Mistake(
            medians_for_means,
            "the codes went to the medians of their rows, number by number; wanted are the means",
            "common",
        ),
        Mistake(sums_for_means, "the rows were added up and not divided by how many they are", "common"),
        Mistake(one_step_too_many, "one step too many: with iterations = 0 no step is made", "common"),
        Mistake(one_step_too_few, "one step too few: with iterations = 1 the codes have to move once", "common"),
        Mistake(
            iterations_ignored,
            "the number of steps is always the same: `iterations` says how many, and 0 returns the rows as they"
            " were drawn",
            "common",
        ),
        Mistake(
            counted_in_the_loop_alone,
            "with iterations = 0 the loop is never entered, and nobody has counted: how many rows are nearest "
            "to each drawn row?",
            "common",
        ),
    ),
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

# ----------------------------------------------------------------------------------------------------------------------
# restart_dead_codes


def draw_restart(generator: Generator) -> list[Call]:
    def call(counts, n, d, threshold, *more, part="values", dtype=torch.float32, **options):
        counts = torch.tensor(counts, dtype=dtype)
        codebook, flat = normal(generator, len(counts), d).to(dtype), 3 + normal(generator, n, d).to(dtype)
        sums = codebook * counts.unsqueeze(1) + 0.1 * normal(generator, len(counts), d).to(dtype)
        names = ("codebook", "cluster_size", "embed_sum", "flat", "threshold", "generator")[: 5 + len(more)]
        args = codebook, counts, sums, flat, threshold, *more
        return Call(
            args,
            names,
            ("new codebook", "new cluster_size", "new embed_sum"),
            part,
            seed=number(generator, 0, 10**6),
            **options,
        )

    many = (3 * torch.rand(16, generator=generator)).tolist()  # some dead below 1, some alive
    many[0], many[1] = 0.5, 2.5
    mixed = [0.1 * number(generator, 0, 3), 4.0, 0.25, 2.5, 0.6]
    return [
        call(mixed, 8, 2, 0.5),
        call([0.5, 0.25, 0.75, 1.0], 6, 3, 0.5, part="at the threshold"),
        call([0.0, 2.0, 0.0], 5, 2, 0.0, part="at the threshold"),  # 0 is never
        call([1.0, 3.0, 2.0], 5, 2, 0.9, part="none or all dead"),
        call([0.01 * number(generator, 0, 20) for _ in range(12)], 200, 3, 0.3, part="none or all dead"),
        call([0.0, 0.0, 0.1, 5.0, 0.2], 3, 2, 1.0, part="fewer latents than dead codes"),
        call([0.0] * 40, 2, 2, 1.0, part="fewer latents than dead codes"),
        call(many, 30, 4, 1.0, None, part="odd sizes"),
        call([0.0], 1, 1, 0.5, part="odd sizes"),
        call([0.0, 0.0, 9.0, 0.0, 0.0], 100, 2, 2.0, Seed(number(generator, 0, 10**6)), part="generator", again=True),
        call([0.0, 1.5, 0.2, 3.0], 9, 2, 0.5, None, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def _without_rows(tensor: Tensor, dead: Tensor) -> Tensor:
    """What was drawn is taken out, where a tensor has a row for each code."""
    if tensor.shape[:1] != dead.shape:
        return tensor
    return tensor.masked_fill(dead.reshape(-1, *[1] * (tensor.ndim - 1)), 0)


def properties_of_restart(call: Call, seen: Observation) -> Observation:
    """The rows of dead codes, which are drawn, are judged by what they have in common; all else as it is."""
    codebook, counts, sums, flat, threshold = call.args[:5]
    new_codebook, new_sums = seen.get("new codebook"), seen.get("new embed_sum")
    dead = counts < threshold  # (K,)
    for new in (new_codebook, new_sums):
        if not isinstance(new, Tensor) or new.shape != codebook.shape or new.dtype != codebook.dtype:
            drawn_in = [key for key in call.gives if isinstance(seen.get(key), Tensor)]
            return seen | {key: _without_rows(seen[key], dead) for key in drawn_in}
    rows, count = new_codebook[dead], int(dead.sum())
    for name, new in (("new codebook", new_codebook), ("new embed_sum", new_sums)):
        seen[name] = torch.where(dead.unsqueeze(1), 0, new)
    if count:
        seen["restarted codes that are rows of flat"] = f"{int(each_row_among(rows, flat).sum())} of {count}"
        same = torch.isclose(new_sums[dead], rows, rtol=1e-4, atol=1e-5).all(1)
        seen["restarted codes whose sum is their vector"] = f"{int(same.sum())} of {count}"
    if count >= 20 * len(flat):  # so many draws hit every latent
        seen["latents among the restarted codes"] = f"{int(each_row_among(flat, rows).sum())} of {len(flat)}"
    if count > 5 and len(flat) > 100:
        seen["latents drawn for the restarts"] = where_drawn(rows, flat)
    return seen


def restarted(codebook, cluster_size, embed_sum, flat, dead, generator=None):
    """Right, for the codes that `dead` says."""
    latents = drawn(flat, len(codebook), generator)
    keep = ~dead.unsqueeze(1)
    return (
        torch.where(keep, codebook, latents),
        torch.where(dead, 1, cluster_size),
        torch.where(keep, embed_sum, latents),
    )


def last_latent_never_drawn(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    others = flat[: max(1, len(flat) - 1)]
    return restarted(codebook, cluster_size, embed_sum, others, cluster_size < threshold, generator)


def codebook_alone(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    new, *_ = restarted(codebook, cluster_size, embed_sum, flat, cluster_size < threshold, generator)
    return new, cluster_size.clone(), embed_sum.clone()


def sum_left(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    new, counts, _ = restarted(codebook, cluster_size, embed_sum, flat, cluster_size < threshold, generator)
    return new, counts, embed_sum.clone()


def count_left(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    new, _, sums = restarted(codebook, cluster_size, embed_sum, flat, cluster_size < threshold, generator)
    return new, cluster_size.clone(), sums


def sum_drawn_anew(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    new, counts, _ = restarted(codebook, cluster_size, embed_sum, flat, dead, generator)
    return new, counts, torch.where(dead.unsqueeze(1), flat.mean(0), embed_sum)


def count_of_zero(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    new, counts, sums = restarted(codebook, cluster_size, embed_sum, flat, dead, generator)
    return new, torch.where(dead, 0, counts), torch.where(dead.unsqueeze(1), 0, sums)


def at_the_threshold_too(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat, cluster_size <= threshold, generator)


def living_restarted(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat, cluster_size > threshold, generator)


def all_restarted(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    any_dead = (cluster_size < threshold).any()
    return restarted(codebook, cluster_size, embed_sum, flat, any_dead.expand(len(codebook)), generator)


def threshold_on_the_sum(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat, embed_sum.norm(dim=1) < threshold, generator)


def threshold_on_the_share(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat, cluster_size / cluster_size.sum() < threshold, generator)


def restarted_at_noise(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    noise = torch.randn(codebook.shape, generator=generator, dtype=codebook.dtype, device=codebook.device)
    dead = (cluster_size < threshold).unsqueeze(1)
    return (
        torch.where(dead, noise, codebook),
        torch.where(dead[:, 0], 1, cluster_size),
        torch.where(dead, noise, embed_sum),
    )


def restarted_at_the_mean(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat.mean(0, keepdim=True), cluster_size < threshold, generator)


def one_latent_for_all(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, drawn(flat, 1, generator), cluster_size < threshold)


def first_latents(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat[: len(codebook)], cluster_size < threshold, generator)


def each_latent_once(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    latents = flat[torch.randperm(len(flat), generator=generator)[: int(dead.sum())]]
    codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone()
    codebook[dead], cluster_size[dead], embed_sum[dead] = latents, 1, latents
    return codebook, cluster_size, embed_sum


def each_latent_once_for_all_codes(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    latents = flat[torch.randperm(len(flat), generator=generator)[: len(codebook)]]
    return (
        torch.where(dead[:, None], latents, codebook),
        torch.where(dead, 1, cluster_size),
        torch.where(dead[:, None], latents, embed_sum),
    )


def order_of_ema_update(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    new, counts, sums = restarted(codebook, cluster_size, embed_sum, flat, cluster_size < threshold, generator)
    return counts, sums, new


def all_sums_made_anew(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    new, counts, _ = restarted(codebook, cluster_size, embed_sum, flat, cluster_size < threshold, generator)
    return new, counts, new * counts.unsqueeze(1)


def generator_left_out(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    return restarted(codebook, cluster_size, embed_sum, flat, cluster_size < threshold)


def in_place(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    for old, new in zip(
        (codebook, cluster_size, embed_sum), restarted(codebook, cluster_size, embed_sum, flat, dead, generator)
    ):
        old.copy_(new)
    return codebook, cluster_size, embed_sum


RESTART = Exercise(
    name="restart_dead_codes",
    points=3,
    lesson="09_codebook_health",
    reference=quantize.restart_dead_codes,
    draw=draw_restart,
    view=properties_of_restart,
    mistakes=(
        Mistake(
            last_latent_never_drawn,
            "the last latent is never drawn: the upper end of randint is exclusive, so it takes len(flat) as it is",
            "common",
        ),
        Mistake(
            codebook_alone,
            "only the codebook was moved; the next EMA update makes it from sum and count again, and these are "
            "still the dead code's",
            "zoo 16",
        ),
        Mistake(
            sum_left,
            "the restarted codes kept their old sums: the next update divides those by the new count, and the "
            "latent is lost",
            "zoo 16",
        ),
        Mistake(
            count_left,
            "the restarted codes kept their old counts: they are below the threshold still, and the sum no "
            "longer fits the count",
            "zoo 16",
        ),
        Mistake(
            sum_drawn_anew,
            "the sum of a restarted code is another vector than the code: with a count of 1 the two are equal",
            "common",
        ),
        Mistake(
            count_of_zero,
            "a restarted code starts with a count of 0 and an empty sum, so its next update divides nothing by "
            "nothing; it starts as one latent",
            "common",
        ),
        Mistake(
            at_the_threshold_too,
            "a code at the threshold exactly is alive: below is <, not <=. With <=, a threshold of 0 would no "
            "longer switch restarts off",
            "common",
        ),
        Mistake(
            living_restarted,
            "the comparison is turned round: the codes above the threshold were restarted, and the dead left",
            "common",
        ),
        Mistake(all_restarted, "one dead code restarts them all; the living have to stay as they are", "common"),
        Mistake(
            threshold_on_the_sum,
            "the threshold was compared with the length of embed_sum; it is a number of latents, as cluster_size is",
            "common",
        ),
        Mistake(
            threshold_on_the_share,
            "the threshold was compared with shares of the total; it is a number of latents, as cluster_size is",
            "common",
        ),
        Mistake(
            restarted_at_noise,
            "the restarted codes are noise, so they may be as far from all latents as before; wanted are latents",
            "lesson 09",
        ),
        Mistake(
            restarted_at_the_mean,
            "the restarted codes are the mean of the batch: all at one place, which need not be near to any latent",
            "common",
        ),
        Mistake(
            one_latent_for_all,
            "one latent was drawn for all dead codes: of codes at the same place one alone is chosen, and the "
            "others die again",
            "common",
        ),
        Mistake(
            first_latents,
            "the latents are neighbours in flat, its first ones or a stretch of it, often of one image; each is drawn by "
            "itself, from all N",
            "common",
        ),
        Mistake(
            each_latent_once,
            "there may be more dead codes than latents: randperm gives each once, and some have to be drawn more often",
            "common",
        ),
        Mistake(
            each_latent_once_for_all_codes,
            "randperm gives each row once; with fewer latents than codes, draw with repeats",
            "common",
        ),
        Mistake(
            order_of_ema_update,
            "the results are in the order of ema_update; here the codebook comes first, then counts, then sums",
            "common",
        ),
        Mistake(
            all_sums_made_anew,
            "every sum was made anew, codebook times count: the sums of living codes stay as they are",
            "common",
        ),
        Mistake(
            generator_left_out,
            "the generator was not used: the same generator has to draw the same latents, whatever else draws "
            "random numbers",
            "common",
        ),
        Mistake(
            in_place,
            "codebook, cluster_size and embed_sum were written into: the caller still needs them; change copies",
            "common",
        ),
    ),
    hints=(
        "An EMA code is embed_sum / cluster_size. If only the codebook is moved, where is the code after the next "
        "update?",
        "A mask (K,) says which codes are dead. Draw as many places in 0 .. N - 1 as there are dead codes, with "
        "repeats. Write into copies: the codebook gets those rows of flat, cluster_size 1, and embed_sum what fits a "
        "count of 1.",
        "dead = cluster_size < threshold; places = torch.randint(N, (number of dead,), generator=generator); then "
        "new_codebook = codebook.clone(); new_codebook[dead] = flat[places]; and likewise for the two others",
    ),
)

EXERCISES = [KMEANS, RESTART]
