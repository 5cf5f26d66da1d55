"""Exercise 14: a code is drawn at each place. What is drawn is random, so it is judged by how often each code comes."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from course_lib.check.author import Call, Observation, Seed, exercise, normal, number, scattered, without_a_generator

DRAWS = 3000  # of each place, in calls where frequencies are compared
MANY = 500  # codes, all as probable. Of 3 MANY draws, 475 of them came, with a standard deviation of 4.6 ...
MOST = 420  # ... so that fewer than these never come by chance, 12 standard deviations away
WITHIN = 0.08  # what a frequency may be off: 8.7 standard deviations of the largest that 3000 draws can have


def sample_codes(logits, temperature, generator=None):
    """(B, K, *S) float, a number >= 0 -> codes (B, *S) int64.

    At each place a code is drawn by itself, with the probabilities that the softmax over K, axis 1,
    gives to logits / temperature, which may lie in the hundreds. Temperature 0 gives the most
    probable code of each place.
    Random numbers come from `generator` alone (None: PyTorch's own).
    """
    ### BEGIN SOLUTION
    if temperature == 0:
        return logits.argmax(dim=1)
    rows = (logits / temperature).softmax(dim=1).movedim(1, -1)  # (B, *S, K)
    codes = torch.multinomial(rows.flatten(0, -2), 1, generator=generator)  # (N, 1)
    return codes.reshape(rows.shape[:-1])  # (B, *S)
    ### END SOLUTION


def draw(generator: Generator) -> list[Call]:
    def call(logits, temperature, part="values", seeded=True, **more):
        seed = Seed(number(generator, 0, 10**6)) if seeded else None
        names = ("logits", "temperature", "generator")
        return Call((logits, temperature, seed), names, ("codes",), part, seed=number(generator, 0, 10**6), **more)

    def logits_of(*probabilities, places=1, same=False):
        """(K, places): their logarithms around 0, in another order at each place."""
        scores = torch.tensor(probabilities).log()
        orders = [torch.randperm(len(scores), generator=generator) for _ in range(places)]
        return torch.stack([(scores - scores.mean())[orders[0 if same else place]] for place in range(places)], 1)

    def often(scores, *spatial):
        """The same scores for so many images that frequencies are near to probabilities."""
        return scores.reshape(1, len(scores), *spatial).repeat(DRAWS, *[1] * (1 + len(spatial)))

    def sure(batch, k, *spatial):
        """-> logits of which one at each place, at random, is far above the others at temperatures around 1."""
        scores = normal(generator, batch, k, *spatial)
        best = torch.randint(k, (batch, 1, *spatial), generator=generator)
        return scores.scatter_add(1, best, torch.full(best.shape, 50.0))

    def unequal(batch, k, *spatial):
        """-> logits of which none is nearly the largest of its place; some largest are below 0."""
        places = batch * math.prod(spatial)
        ranks = torch.stack([torch.randperm(k, generator=generator) for _ in range(places)]).float()  # (N, K)
        ranks = 0.25 * ranks - torch.arange(places).reshape(-1, 1) % 3
        return ranks.reshape(batch, *spatial, k).movedim(-1, 1).contiguous()

    four = 0.6, 0.25, 0.1, 0.05
    steep = 0.9, 0.07, 0.02, 0.01
    many = 0.36, *[0.04] * 16  # where noise that is not Gumbel's shows
    order = "the order of the codes"
    return [
        call(often(logits_of(*four)[:, 0]), 1.0),
        call(often(logits_of(*four, places=4), 2, 2), 0.5, part="temperatures"),
        call(often(logits_of(*steep, places=3), 3), 3.0, part="temperatures"),
        call(often(logits_of(*many)[:, 0]), 1.0, part="temperatures"),
        call(5 + 0.02 * often(logits_of(*steep)[:, 0]), 0.02, part="temperatures"),  # where exp overflows in float32
        call(often(logits_of(*four, places=4, same=True), 2, 2), 1.0, part="independent draws"),
        call(torch.zeros(1, MANY, 3 * MANY), 1.0, part="many codes"),
        call(unequal(3, 5, 2, 4), 0, part="temperature 0"),
        call(unequal(12, 4), 0.0, part="temperature 0"),
        call(sure(2, 3, 2, 4), 1.0, part=order),
        call(sure(3, 3, 3, 3), 0.8, part=order),
        call(sure(2, 5, 7), 1.25, part=order),
        call(scattered(sure(3, 4, 2, 3)), 1.0, part="odd sizes"),
        call(sure(2, 3, 2, 3, 2), 1.0, part="odd sizes"),
        call(sure(5, 6), 1.0, part="odd sizes"),
        call(torch.zeros(2, 1, 3), 1.0, part="odd sizes"),
        call(torch.zeros(2, 4, 40), 1.5, part="generator", again=True, reseeded=True),  # alike once in 4 ** 80
        call(torch.zeros(2, 4, 40), 1.5, part="generator", seeded=False, again=True, reseeded=True),
        call(sure(2, 4, 5).double(), 1.0, part="dtypes", seeded=False, elsewhere=True),
    ]


def how_often(call: Call, observation: Observation) -> Observation:
    """Of codes that are drawn with several probable results, how often each one came at each place."""
    observation = without_a_generator(call, observation)
    codes, (logits, temperature, _) = observation.get("codes"), call.args
    batch, size, *spatial = logits.shape
    certain = temperature == 0 or ((logits / temperature).softmax(1).amax(1) > 1 - 1e-6).all()
    if certain or not isinstance(codes, Tensor):
        return observation
    observation["codes"] = torch.zeros_like(codes)
    if codes.shape != (batch, *spatial):
        return observation
    inside = bool(((codes >= 0) & (codes < size)).all())
    observation["codes outside 0 to K - 1"] = not inside
    if size == MANY and inside:
        came = len(codes.unique())
        observation[f"different codes among {codes.numel()}"] = f"more than {MOST}" if came > MOST else f"{came}"
    if batch < DRAWS or not inside:
        return observation
    observation["all images alike"] = alike = bool((codes == codes[:1]).all())
    if alike:  # which one it is that came so often is chance, and would tell nothing
        return observation
    places = codes.reshape(batch, -1).long()  # (B, number of places)
    wanted = (logits[0] / temperature).softmax(0).reshape(size, -1)  # (K, number of places)
    often = near_enough(F.one_hot(places, size).float().mean(0).mT, wanted)
    observation["how often each code came"] = often.reshape(size, *spatial) if spatial else often.flatten()
    if places.shape[1] > 1:
        pairs = torch.combinations(torch.arange(places.shape[1])).T  # (2, number of pairs)
        same = (places[:, pairs[0]] == places[:, pairs[1]]).float().mean(0)
        chance = (wanted[:, pairs[0]] * wanted[:, pairs[1]]).sum(0)
        observation["how often two places of an image were the same"] = near_enough(same, chance)
    return observation


def near_enough(often: Tensor, wanted: Tensor) -> Tensor:
    """Frequencies, or the probabilities themselves where these are as near as chance allows."""
    return wanted if (often - wanted).abs().max() <= WITHIN else often


def one_code_for_all_places(logits, temperature, generator):
    codes = sample_codes(logits, temperature, generator)
    return codes.reshape(len(codes), -1)[:, 0].reshape(-1, *[1] * (codes.ndim - 1)).expand_as(codes)


WRONG = r"""
logits / temperature -> logits
    the temperature changes nothing: the frequencies are those at 1. A factor that multiplies all probabilities, or all
    noisy scores, falls out again
logits / temperature -> logits * temperature
    the logits were multiplied by the temperature: hot and cold are swapped
/ temperature -> / temperature**2
    the temperature enters twice, so its square does
/ temperature -> / temperature**0.5
    the root of the temperature enters; it divides the logits as it is
codes = torch.multinomial(rows.flatten(0, -2), 1, -> u = rows[..., :1].clone().uniform_(
return (u < rows.cumsum(-1)).int().argmin(-1)
    the first code came always: argmax finds the first True of a row, argmin the first False. Which of the two is the
    first sum above the random number?
return logits.argmax(dim=1)
    always the most probable code was taken: that is temperature 0, and at others nothing was drawn
if temperature == 0 -> logits = -logits\nif temperature == 0
    the sign of the logits is turned: the least probable code came most often
(logits / temperature).softmax(dim=1) -> torch.ones_like(logits)  # lesson 14
    all codes came equally often: the logits do not enter
.softmax(dim=1) -> .softmax(dim=1).softmax(dim=1)
    the softmax was taken twice, which makes all codes nearly alike: it is for logits, and once is enough, whatever
    divides its result
.softmax(dim=1) ->
    multinomial takes weights, none of them below 0; logits and logarithms of probabilities are not such
.softmax(dim=1) -> .clamp(min=1e-6)
    the logits, cut off at 0, were taken for weights: a code with a negative logit is rare, not impossible
codes = torch.multinomial(rows.flatten(0, -2), 1, -> noise = torch.empty_like(logits).normal_(
return (logits / temperature + noise).argmax(1)
    noise was added before the largest was taken, and it is not Gumbel's: normal noise, or Gumbel's with the other
    sign, has other frequencies than the softmax
codes = torch.multinomial(rows.flatten(0, -2), 1, -> noise = torch.empty_like(logits).uniform_(
return (logits / temperature + noise).argmax(1)
    uniform noise was added before the largest was taken: a code far enough behind then never comes
return logits.argmax(dim=1) -> temperature = 1.0
    at temperature 0 codes are still drawn: there is no chance left there, as everything goes to the most probable code
if temperature == 0 -> B, K, *S = logits.shape\nlogits = logits.reshape(-1, K)\nif temperature == 0  # zoo 4
argmax(dim=1) -> argmax(dim=1).reshape(B, *S)
return codes.reshape(B, *S)
    (B, K, *S) was reshaped to rows of K with K still second: a row then mixes scores of several places
movedim(1, -1) -> movedim(1, -1).shape\nrows = (logits / temperature).softmax(1).reshape(rows)
    temperature 0 is right; for the draws (B, K, *S) was reshaped to rows of K with K still second, so that a row mixes
    several places
logits / temperature -> logits / max(temperature, 0.1)
    a low temperature was raised: a number was added to it, or it may not fall below one. 0 alone needs a line of its
    own; any other is taken as it is
(logits / temperature).softmax(dim=1) -> (logits / temperature).exp()
    the exponential of what is large, as logits over a low temperature are, is infinite in floating point; softmax
    takes off the largest first
if temperature == 0 -> generator = generator or torch.Generator()\nif temperature == 0
    without a generator PyTorch's own random numbers are meant, which torch.manual_seed sets; a torch.Generator() made
    here begins with the same seed in each call
softmax(dim=1) -> softmax(dim=-1)  # zoo 4
    the softmax ran over the last axis, a row of places; the K scores of one place stand along axis 1
softmax(dim=1) -> softmax(dim=0)
    the softmax ran over the batch, so that images compete; the K scores of one place stand along axis 1
argmax(dim=1) -> argmax(dim=-1)  # zoo 4
    at temperature 0 the largest was looked for along the last axis; the K scores stand along axis 1
argmax(dim=1) -> argmax(dim=1).movedim(0, -1).reshape(len(logits), *logits.shape[2:])  # zoo 4
return codes.reshape(rows.shape[:-1]).movedim(0, -1).reshape(rows.shape[:-1])
    the codes are the right ones in the wrong places: on the way back the batch was the last axis, not the first
codes = torch.multinomial(rows.flatten(0, -2), 1, -> u = rows.new_empty(len(rows), *[1] * (rows.ndim - 1)).uniform_(
return (rows.cumsum(-1) < u).sum(-1).clamp(max=rows.shape[-1] - 1)
    all places of an image share one random number: each by itself is right, and together they move as one
codes = torch.multinomial(rows.flatten(0, -2), 1, -> u = torch.empty_like(rows[:1, ..., :1]).uniform_(
return (rows.cumsum(-1) < u).sum(-1).clamp(max=rows.shape[-1] - 1)
    all images share the random numbers, so that equal logits give equal images
if temperature == 0 -> logits = logits[:1].expand_as(logits)\nif temperature == 0
    the logits of the first image were taken for all; each has its own
-> one_code_for_all_places
    one code was drawn for an image and given to all its places; each has its own logits, and draws its own
return logits.argmax(dim=1) -> pass
    at temperature 0 this divides by 0, and the softmax makes NaN of it: that case needs a line of its own
logits.argmax -> (logits / temperature).argmax
    at temperature 0 this divides by 0: all logits above 0 become infinite, and the first of them is taken
return logits.argmax(dim=1) -> pass
logits / temperature -> logits * (1 / temperature)
    at temperature 0 this divides by 0, which Python does not do: that case needs a line of its own
, generator=generator ->
    the generator was not used: the same generator has to give the same codes, whatever else draws random numbers
codes = torch.multinomial -> torch.default_generator.manual_seed(0)\ncodes = torch.multinomial
, generator=generator ->
    PyTorch's own random numbers were seeded inside: every call gives the same, and whoever draws next finds them
    changed
generator=generator -> generator=generator and generator.manual_seed(0)
    the generator was seeded inside, so every call gives the same codes; take its numbers as they come
argmax(dim=1) -> argmax(dim=1, keepdim=True)
return codes.reshape(rows.shape[:-1]).unsqueeze(1)
    the codes are (B, 1, *S): the axis of the K scores is still there, with length 1
argmax(dim=1) -> argmax(dim=1).flatten()
return codes.flatten()
    the codes stand in one row; wanted is (B, *S)
logits.argmax(dim=1) -> F.one_hot(logits.argmax(dim=1), logits.shape[1]).movedim(-1, 1)
return F.one_hot(codes.reshape(rows.shape[:-1]), logits.shape[1]).movedim(-1, 1)
    these are one-hot vectors along axis 1; wanted are the numbers of the codes
argmax(dim=1) -> argmax(dim=1).to(logits.dtype)
return codes.reshape(rows.shape[:-1]).to(logits.dtype)
    the codes are floating-point numbers; they index a codebook, so they are int64
argmax(dim=1) -> argmax(dim=1) + 1
return codes.reshape(rows.shape[:-1]) + 1
    the codes were counted from 1; the first row of a codebook is 0
codes = torch.multinomial(rows.flatten(0, -2), 1, -> u = torch.rand(logits.shape, dtype=logits.dtype,  # zoo 6
return (logits / temperature + -torch.log(-torch.log(u))).argmax(1)
    the noise is drawn on the CPU, and the logits may lie on a GPU: a new tensor has to be told, or made like one that
    lies there
"""

EXERCISE = exercise(
    sample_codes,
    lesson="14_priors",
    points=2,
    place=2,
    draw=draw,
    view=how_often,
    allowance=(0.0, WITHIN),
    wrong=WRONG,
    hints=(
        "Which of (B, K, *S) is the axis of the alternatives, and how many independent draws does that make?",
        "Temperature 0 first: the largest logit along axis 1. Otherwise divide the logits, take the softmax along axis "
        "1, and bring that axis last, so that each row of a table (N, K) is one draw's weights. The codes go back to "
        "(B, *S) in the same order.",
        "rows = (logits / temperature).softmax(1).movedim(1, -1); torch.multinomial(rows as (N, K), 1, "
        "generator=generator), reshaped to what rows.shape says without K; before that, if temperature == 0: ...",
    ),
)
