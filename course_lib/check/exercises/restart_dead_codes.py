"""Exercise 09: restart the dead codes. Latents are drawn at random, so properties are judged, not numbers."""

import torch
from torch import Generator, Tensor

from course_lib.check.author import Call, Observation, Seed, exercise, normal, number, without_a_generator
from course_lib.check.exercises.kmeans_init import each_row_among, where_drawn


def restart_dead_codes(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    """Moves each code with cluster_size < threshold onto a random latent; -> new (codebook, cluster_size, embed_sum).

    codebook (K, D), cluster_size (K,), embed_sum (K, D), latents flat (N, D), threshold a number. Every dead code
    draws a latent for itself, from all N, with `generator` (None: PyTorch's own); N may be less than the number of
    dead codes. A restarted code has count 1, and a sum that fits. The others and the inputs stay as they are.
    """
    ### BEGIN SOLUTION
    dead = cluster_size < threshold  # (K,)
    latents = flat[torch.randint(len(flat), (int(dead.sum()),), generator=generator)]  # (dead codes, D)
    codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone()
    codebook[dead] = latents
    cluster_size[dead] = 1
    embed_sum[dead] = latents
    return codebook, cluster_size, embed_sum
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(counts, n, d, threshold, *more, part="values", dtype=torch.float32, **options):
        counts = torch.tensor(counts, dtype=dtype)
        codebook, flat = normal(generator, len(counts), d).to(dtype), 3 + normal(generator, n, d).to(dtype)
        sums = codebook * counts.unsqueeze(1) + 0.1 * normal(generator, len(counts), d).to(dtype)
        args = codebook, counts, sums, flat, threshold, *more
        names = ("codebook", "cluster_size", "embed_sum", "flat", "threshold", "generator")[: len(args)]
        gives = "new codebook", "new cluster_size", "new embed_sum"
        return Call(args, names, gives, part, seed=number(generator, 0, 10**6), **options)

    many = (3 * torch.rand(16, generator=generator)).tolist()  # some dead below 1, some alive
    many[0], many[1] = 0.5, 2.5
    mixed = [0.1 * number(generator, 0, 3), 4.0, 0.25, 2.5, 0.6]
    seed = Seed(number(generator, 0, 10**6))
    return [
        call(mixed, 8, 2, 0.5),
        call([0.5, 0.25, 0.75, 1.0], 6, 3, 0.5, part="at the threshold"),
        call([0.0, 2.0, 0.0], 5, 2, 0.0, part="at the threshold"),  # 0 is never
        call([1.0, 3.0, 2.0], 5, 2, 0.9, part="none or all dead"),
        call(
            [0.01 * number(generator, 0, 20) for _ in range(12)],
            200,
            3,
            0.3,
            part="none or all dead",
            again=True,
            reseeded=True,
        ),
        call([0.0, 0.0, 0.1, 5.0, 0.2], 3, 2, 1.0, part="fewer latents than dead codes"),
        call([0.0] * 40, 2, 2, 1.0, part="fewer latents than dead codes"),
        call(many, 30, 4, 1.0, None, part="odd sizes"),
        call([0.0], 1, 1, 0.5, part="odd sizes"),
        # Two draws alike: once in 100 ** 8 for one generator and another, above once in 200 ** 12 for torch.manual_seed
        call([0.0, *[9.0] * 2, *[0.0] * 7], 100, 2, 2.0, seed, part="generator", again=True, reseeded=True),
        call([0.0, 1.5, 0.2, 3.0], 9, 2, 0.5, None, part="dtypes", dtype=torch.float64, elsewhere=True),
    ]


def properties(call: Call, observation: Observation) -> Observation:
    """The rows of dead codes, which are drawn, are judged by what they have in common; all else as it is."""
    observation = without_a_generator(call, observation)
    codebook, counts, sums, flat, threshold = call.args[:5]
    new_codebook, new_sums = observation.get("new codebook"), observation.get("new embed_sum")
    dead = counts < threshold  # (K,)
    for new in (new_codebook, new_sums):
        if not isinstance(new, Tensor) or new.shape != codebook.shape or new.dtype != codebook.dtype:
            tensors = {key: observation[key] for key in call.gives if isinstance(observation.get(key), Tensor)}
            return observation | {key: without_rows(tensor, dead) for key, tensor in tensors.items()}
    observation |= {"new codebook": without_rows(new_codebook, dead), "new embed_sum": without_rows(new_sums, dead)}
    rows, count = new_codebook[dead], int(dead.sum())
    if count:
        observation["restarted codes that are rows of flat"] = f"{int(each_row_among(rows, flat).sum())} of {count}"
        observation["the sums of the restarted codes"] = next(
            (
                words
                for words, wanted in (("their vectors", rows), ("0", 0 * rows), ("as before", sums[dead]))
                if torch.allclose(new_sums[dead], wanted, rtol=1e-4, atol=1e-5)
            ),
            "others",
        )
    if count >= 20 * len(flat):  # so many draws hit every latent
        drawn = int(each_row_among(flat, rows).sum())
        observation["latents among the restarted codes"] = f"{drawn} of {len(flat)}"
    if count > 5 and len(flat) > 100:
        observation["latents drawn for the restarts"] = where_drawn(rows, flat)
    return observation


def without_rows(tensor: Tensor, dead: Tensor) -> Tensor:
    """What was drawn is taken out, where a tensor has a row for each code."""
    if tensor.shape[:1] != dead.shape:
        return tensor
    return tensor.masked_fill(dead.reshape(-1, *[1] * (tensor.ndim - 1)), 0)


WRONG = r"""
randint(len(flat) -> randint(max(1, len(flat) - 1)
    the last latent is never drawn: the upper end of randint is exclusive, so it takes len(flat) as it is
cluster_size[dead] = 1 ->  # zoo 16
embed_sum[dead] = latents ->
    only the codebook was moved; the next EMA update makes it from sum and count again, and these are still the dead
    code's
embed_sum[dead] = latents ->  # zoo 16
    the restarted codes kept their old sums: the next update divides those by the new count, and the latent is lost
cluster_size[dead] = 1 ->  # zoo 16
    the restarted codes kept their old counts: they are below the threshold still, and the sum no longer fits the count
embed_sum[dead] = latents -> embed_sum[dead] = flat.mean(0)
    the sum of a restarted code is another vector than the code: with a count of 1 the two are equal
cluster_size[dead] = 1 -> cluster_size[dead] = 0
embed_sum[dead] = latents -> embed_sum[dead] = 0
    a restarted code starts with a count of 0 and an empty sum, so its next update divides nothing by nothing; it
    starts as one latent
embed_sum[dead] = latents -> embed_sum[dead] = 0
    the sum of a restarted code is 0, and the next update makes the code from it: with a count of 1 the sum is the
    latent itself
< threshold -> == 0
    only codes that nobody chose at all were restarted; the threshold says from where on a code is alive
cluster_size < threshold -> cluster_size < 1
    the threshold is always 1; it is among the arguments
< threshold -> <= threshold
    a code at the threshold exactly is alive: below is <, not <=. With <=, a threshold of 0 would no longer switch
    restarts off
< threshold -> > threshold
    the comparison is turned round: the codes above the threshold were restarted, and the dead left
cluster_size < threshold -> (cluster_size < threshold).any().expand(len(codebook))
    one dead code restarts them all; the living have to stay as they are
cluster_size < threshold -> embed_sum.norm(dim=1) < threshold
    the threshold was compared with the length of embed_sum; it is a number of latents, as cluster_size is
cluster_size < threshold -> cluster_size / cluster_size.sum() < threshold
    the threshold was compared with shares of the total; it is a number of latents, as cluster_size is
codebook[dead] = latents -> codebook[dead] = latents.normal_(generator=generator)  # lesson 09
    the restarted codes are noise, so they may be as far from all latents as before; wanted are latents
flat[torch.randint(len(flat), (int(dead.sum()),), generator=generator)] -> flat.mean(0)
    the restarted codes are the mean of the batch: all at one place, which need not be near to any latent
(int(dead.sum()),) -> (1,)
    one latent was drawn for all dead codes: of codes at the same place one alone is chosen, and the others die again
randint(len(flat) -> randint(min(len(codebook), len(flat))
    the latents are neighbours in flat, its first ones or a stretch of it, often of one image; each is drawn by itself,
    from all N
randint(len(flat), (int(dead.sum()),), -> randperm(len(flat),
generator)] -> generator)[: int(dead.sum())]]
    there may be more dead codes than latents: randperm gives each once, and some have to be drawn more often
randint(len(flat), (int(dead.sum()),), -> randperm(len(flat),
generator)] -> generator)[: len(codebook)]]
codebook[dead] = latents -> codebook = torch.where(dead[:, None], latents, codebook)
embed_sum[dead] = latents -> embed_sum = torch.where(dead[:, None], latents, embed_sum)
    randperm gives each row once; with fewer latents than codes, draw with repeats
return cluster_size, embed_sum, codebook
    the results are in the order of ema_update; here the codebook comes first, then counts, then sums
return codebook, cluster_size, codebook * cluster_size[:, None]
    every sum was made anew, codebook times count: the sums of living codes stay as they are
torch.randint(len(flat), (int(dead.sum()),), generator=generator) -> (7 * torch.arange(int(dead.sum())) + 3) % len(flat)
    the latents were picked by a rule, the same for every generator; each dead code draws one at random
dead = cluster_size -> generator = generator or torch.Generator()\ndead = cluster_size
    without a generator PyTorch's own random numbers are meant, which torch.manual_seed sets; a torch.Generator() made
    here begins with the same seed in each call
, generator=generator ->
    the generator was not used: the same generator has to draw the same latents, whatever else draws random numbers
codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone() ->
    codebook, cluster_size and embed_sum were written into: the caller still needs them; change copies
"""

WAYS = (
    "(int(dead.sum()),), generator=generator)] -> (len(codebook),), generator=generator)][dead]",
    """
torch.randint(len(flat), (int(dead.sum()),), generator=generator) -> places[: int(dead.sum())]
latents = -> rounds = range(1 + int(dead.sum()) // len(flat))\\n\
places = torch.cat([torch.randperm(len(flat), generator=generator) for _ in rounds])\\nlatents =
""",
)

EXERCISE = exercise(
    restart_dead_codes,
    lesson="09_codebook_health",
    points=3,
    draw=draw,
    view=properties,
    wrong=WRONG,
    ways=WAYS,
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
