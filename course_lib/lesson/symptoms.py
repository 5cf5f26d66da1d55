"""From what a learner sees to what may be the matter: `diagnose(history, codes=...)`. Its page is docs/symptoms.md.

Each symptom is a `Symptom`, the words, and below it the function that looks for it and gives the evidence, or None.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib import quantize
from course_lib.lesson.seen import FLOWS, UPDATES_FOR_A_TREND, Seen, look_through

# Where a healthy run ends and a symptom begins. The healthy runs of lessons 08 and 09 lie on one side, the sick ones
# on the other, by a wide margin unless said.
FEW_OF_A_DATA_SET = 1 / 20  # perplexity / K: lesson 09's cured runs show 0.4 to 0.7, its sick one 0.002
FEW_OF_A_BATCH = 1 / 50  # lower, since n codes show a perplexity of n at most
HALF_USED = 0.5  # lesson 09: 0.67 with k-means alone, 0.99 with both cures
STILL_GROWING = 3.0  # from mid-run to the end: 4.5 where the distance grows evenly, 1.9 in lesson 09 at most
BEYOND_AN_OPENING = 100  # growth since the start; healthy runs open with a growth of up to 30
AT_THE_MEAN = 0.9  # of the mean image's error: somebody who tells bright images from dark ones is below
SHRUNK = 0.1  # length of the codes, of what it was
AT_THE_ORIGIN = 0.02  # length of unused codes, of that of used ones
A_QUARTER = 0.25  # of the codes; fewer at the origin cost little
PICKED_WRONGLY = 0.01  # of the latents, each by a thousandth of its distance at least: rounding is far below
RANKS_AGREE = 1e-3  # largest difference, of the spread of the codes; rounding stays far below


@dataclass(frozen=True)
class Symptom:
    """What it is called, the likely causes, likeliest first, and lines of Python that tell them apart.

    The lines know `model`, `layer` (its quantiser), `batch`, `latents` (N, D), `codes` (N,) and `history`.
    """

    name: str
    causes: tuple[str, ...]
    check: tuple[str, ...]
    cure: str
    lesson: str

    @property
    def section(self) -> str:
        """Of the page, as GitHub and the site spell it."""
        return "docs/symptoms.md#" + re.sub(r"[^a-z0-9 -]", "", self.name.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Finding:
    """A symptom that was seen, and the numbers that show it."""

    symptom: Symptom
    evidence: str

    def __str__(self) -> str:
        causes = "; ".join(f"({n}) {cause}" for n, cause in enumerate(self.symptom.causes, start=1))
        parts = [
            self.symptom.name.upper(),
            _wrapped("seen", self.evidence),
            _wrapped("likely", causes),
            "   tell apart:",
            *(f"      {line}" for line in self.symptom.check),
            _wrapped("cure", self.symptom.cure),
            _wrapped("read", f"{self.symptom.lesson}; {self.symptom.section}"),
        ]
        return "\n".join(parts)


@dataclass(frozen=True)
class Diagnosis:
    """`findings`, what weighs most first; `looked_at` and `missing` say what they rest on. Shows itself as text."""

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def symptoms(self) -> list[str]:
        """Their names alone."""
        return [finding.symptom.name for finding in self.findings]

    def __repr__(self) -> str:
        parts = [f"{n}. {finding}" for n, finding in enumerate(self.findings, start=1)]
        parts = parts or ["Nothing conspicuous. That is no proof of health: it rests on what is named here."]
        parts += [_wrapped("looked at", ", ".join(self.looked_at), margin=0)]
        if self.missing:
            parts += [_wrapped("could not look at", "; ".join(self.missing), margin=0)]
        return "\n".join(parts)


def _wrapped(title: str, text: str, margin: int = 3) -> str:
    return textwrap.fill(
        f"{title}: {text}",
        110,
        initial_indent=" " * margin,
        subsequent_indent=" " * (margin + 3),
        break_on_hyphens=False,
    )


def diagnose(
    history: Mapping[str, Sequence[float]] | None,
    codes: Tensor | None = None,
    *,
    codebook: Tensor | None = None,
    start: Tensor | None = None,
    latents: Tensor | None = None,
    codebook_size: int | None = None,
    data_variance: float | None = None,
    ranks: Mapping | Sequence | None = None,
    gradients: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Looks for the symptoms of docs/symptoms.md in what a training showed. The more it is given, the more it tells.

    history: name -> one number for each update, as `course_lib.training.fit` gives it. Names are guessed at
        ('recon_loss', 'perplexity' ...), and the diagnosis says which was taken for what. None where there is none.
    codes: (...,) integers, the codes of a data set; those of one batch say little.
    codebook: (K, D) as it is now; start: the same before training.
    latents: (N, D), what the encoder gives now.
    codebook_size: K, where no codebook is given.
    data_variance: the mean image's error, `(data - data.mean(0)).square().mean()`, in the unit of the history's error.
    ranks: of each process its codebook (K, D), or its curve of perplexities: a list, or name -> value.
    gradients: lesson 05's matrix as measured, 'reconstruction -> encoder' -> a norm, or whether there is any.

    Raises TypeError or ValueError, in words, for what cannot be read.
    """
    seen = look_through(history, codes, codebook, start, latents, codebook_size, data_variance, ranks, gradients)
    findings = [Finding(symptom, evidence) for symptom, look in LOOKS if (evidence := look(seen)) is not None]
    return Diagnosis(tuple(findings), seen.looked_at(), seen.missing())


# ----------------------------------------------------------------------------------------------------------------------
# What spoils everything else

NOT_FINITE = Symptom(
    "NaN or infinity",
    (
        "float16 overflowed: it ends at 65,504, which sums of squared distances pass soon",
        "the EMA update divides by a count of 0, or its eps of 0.00001 is lost beside the counts in float16",
        "a learning rate under which everything explodes, in float32 too",
    ),
    (
        "with torch.autocast(batch.device.type, enabled=False):",
        "    print(model(batch.float())[2])  # finite in float32? Then float16 did it",
        "print(all(value.isfinite().all() for value in model.state_dict().values()))  # False: the weights are lost",
    ),
    "Let the quantiser compute in float32 whatever autocast says, as course_lib's layers do; or use bfloat16, which "
    "reaches as far as float32; or lower the learning rate. Weights that are NaN stay so: go back to a checkpoint.",
    "lesson 10, section 6",
)


def _not_finite(seen: Seen) -> str | None:
    first = {role: int((~curve.isfinite()).nonzero()[0]) for role, curve in seen.curves.items() if _broken(curve)}
    if first:
        role = min(first, key=first.get)
        curve, at = seen.curves[role], first[role]
        before = f", {curve[at - 1]:.3g} one update before" if at else ""
        return f"'{seen.names[role]}' is {curve[at].item()} at update {at + 1} of {seen.updates}{before}"
    for name, table in (("codebook", seen.codebook), ("latents", seen.latents), *seen.ranks.items()):
        if table is not None and _broken(table):
            return f"{int((~table.isfinite()).sum()):,} of {table.numel():,} numbers of {name} are not finite"
    return None


def _broken(values: Tensor) -> bool:
    return not values.isfinite().all()


RANKS = Symptom(
    "Ranks drift apart",
    (
        "each rank updates its averages from its own batch: counts and sums are not added over the ranks",
        "k-means or restarts draw from each rank's own latents, or with its own random numbers",
        "the layer was seeded differently on each rank, and nothing sent it from the first to the others",
    ),
    (
        "first = layer.codebook.detach().clone()",
        "if torch.distributed.is_initialized():  # on every rank",
        "    torch.distributed.broadcast(first, src=0)",
        "print((first - layer.codebook).abs().max())  # 0 on every rank; ask before the first update, and after it",
    ),
    "Add counts and sums over the ranks (all_reduce) before they enter the averages, and send what rank 0 drew to all "
    "(broadcast). VectorQuantizerEMA of this course does both; in vector-quantize-pytorch it is sync_codebook.",
    "lesson 06, section 2; course_lib/ranks.py",
)


def _ranks(seen: Seen) -> str | None:
    if not seen.ranks:
        return None
    (first, ours), *others = seen.ranks.items()
    if ours.ndim == 1:
        return _ranks_by_perplexity(seen.ranks)
    name, theirs = max(others, key=lambda other: (ours - other[1]).abs().max())
    apart = (ours - theirs).abs()  # (K, D)
    allowed = RANKS_AGREE * ours.std().item()
    if apart.max() <= allowed:
        return None
    rows = int((apart.amax(1) > allowed).sum())
    return f"{rows} of {len(ours)} codes of {first} and {name} differ, by up to {apart.max():.3g}"


def _ranks_by_perplexity(curves: dict[str, Tensor]) -> str | None:
    """Batches differ from rank to rank, and so do their perplexities; a lasting gap is more than that."""
    ends = {name: curve[-max(1, len(curve) // 5) :] for name, curve in curves.items()}
    low, high = (choose(ends, key=lambda name: ends[name].mean()) for choose in (min, max))
    gap, many = (ends[high].mean() - ends[low].mean()).item(), len(ends[low])
    scatter = max(end.std().item() for end in ends.values()) if many > 1 else float("inf")
    if many < 4 or gap < max(3 * scatter, 0.1 * ends[high].mean().item()):
        return None
    of_low, of_high = ends[low].mean(), ends[high].mean()
    return f"mean perplexity of the last {many} batches: {of_low:.3g} on {low}, {of_high:.3g} on {high}"


ASTRAY = Symptom(
    "A gradient goes astray",
    (
        "the straight-through line lacks its detach, or has it on the wrong term",
        "the decoder is given q, or q.detach(), in place of the straight-through vector",
        "the detach of the codebook or the commitment loss is on the wrong side, or a residual is not detached",
    ),
    (
        "x, q = torch.randn(8, 4, requires_grad=True), torch.randn(8, 4, requires_grad=True)",
        "vq = (q - x).detach() + x  # your line in its place",
        "vq.sum().backward()",
        "print('x hears it:', x.grad is not None, '; q does not:', q.grad is None)",
    ),
    "Write (q - x).detach() + x, and compare all nine entries of lesson 05's matrix: values do not show it.",
    "lesson 04, section 7; lesson 05, section 3",
)


def _astray(seen: Seen) -> str | None:
    deaf = [name for name, heard in seen.gradients.items() if FLOWS[name] and not heard]
    struck = [name for name, heard in seen.gradients.items() if heard and not FLOWS[name]]
    said = [f"no gradient where one belongs: {', '.join(deaf)}"] if deaf else []
    said += [f"a gradient where none belongs: {', '.join(struck)}"] if struck else []
    return "; ".join(said) or None


SILENT = Symptom(
    "The codebook never moves",
    (
        "the codebook loss is computed from the straight-through vector, or from q.detach(): no path to the codebook",
        "the codebook is not among the optimiser's parameters: made after it, or frozen",
        "an EMA layer in eval mode, or told to freeze",
    ),
    (
        "import copy",
        "tried = copy.deepcopy(layer).train()  # your own stays as it is",
        "quantized, chosen, loss = tried(latents)",
        "if tried.codebook.requires_grad:  # it learns by gradient",
        "    loss.backward()",
        "    print(tried.codebook.grad)  # None or 0: no path. Otherwise look at what the optimiser was given",
        "else:  # an EMA layer",
        "    print('moves:', not torch.equal(tried.codebook, layer.codebook))  # True: yours was in eval mode",
    ),
    "Compute the codebook loss from q as it was looked up: mse_loss(q, x.detach()), before the straight-through line. "
    "Make the optimiser when the model is complete. An EMA layer has no codebook loss; it wants model.train().",
    "lesson 05, section 3; for EMA layers lesson 06, section 6; lesson 09, section 8",
)


def _silent(seen: Seen) -> str | None:
    if seen.start is not None and seen.codebook is not None and torch.equal(seen.start, seen.codebook):
        return f"not one of the codebook's {seen.codebook.numel():,} numbers has changed since the start"
    gradient, loss = seen.curves.get("codebook gradient"), seen.curves.get("codebook loss")
    if gradient is not None and not gradient.any():
        return f"'{seen.names['codebook gradient']}' is 0 in all {seen.updates} updates"
    if loss is not None and seen.updates >= UPDATES_FOR_A_TREND and loss.std() <= 1e-6 * loss.abs().mean():
        name = seen.names["codebook loss"]
        return f"'{name}' is {loss[0]:.4g} in all {seen.updates} updates (0 is right for an EMA layer)"
    return None


WRONG = Symptom(
    "The codes are not the nearest",
    (
        "the search picks wrongly: argmax in place of argmin, or over the wrong axis",
        "rows cut without moving the channel axis last, so that no row is a latent",
        "codes, latents and codebook of different moments: the codebook moved after the codes were chosen",
        "no illness: a layer that measures by cosine, or draws its codes",
    ),
    (
        "nearest = torch.cdist(latents, layer.codebook).argmin(1)",
        "farthest = torch.cdist(latents, layer.codebook).argmax(1)",
        "print('nearest', (nearest == codes).float().mean(), 'farthest', (farthest == codes).float().mean())",
        "print(layer.training)  # True: each call moves an EMA codebook; compare in eval mode",
    ),
    "argmin over the axis of the codes; flatten with movedim(1, -1).reshape(-1, D). Then ask again, in eval mode.",
    "lesson 02, section 3; lesson 03, section 1",
)


def _wrong(seen: Seen) -> str | None:
    if seen.codes is None or seen.codebook is None or seen.latents is None:
        return None
    codes = seen.codes.flatten()
    if len(codes) != len(seen.latents) or _broken(seen.latents) or _broken(seen.codebook):
        return None
    nearest = quantize.nearest_codes(seen.latents, seen.codebook)
    gap, least = ((seen.latents - seen.codebook[chosen]).norm(dim=1) for chosen in (codes, nearest))
    wrongly = (gap > 1.001 * least).float().mean().item()
    if wrongly < PICKED_WRONGLY:
        return None
    times = (gap / least).median().item()
    return f"{wrongly:.0%} of {len(codes):,} latents have a nearer code than theirs, which is {times:.2g} times as far"


# ----------------------------------------------------------------------------------------------------------------------
# What becomes of codes and latents

STUCK = Symptom(
    "Perplexity stuck at a few codes",
    (
        "the codebook starts far from the latents: the few nearest codes win them all, and only winners move",
        "all latents are alike: an encoder that is dead, or inputs of one value",
        "the search picks wrongly: argmax in place of argmin",
    ),
    (
        "print('length of a code', layer.codebook.norm(dim=1).mean(), 'of a latent', latents.norm(dim=1).mean())",
        "print('spread of the latents', latents.std(0).mean())  # 0: they are all alike",
        "nearest = torch.cdist(latents, layer.codebook).argmin(1)",
        "print('the nearest code was picked', (nearest == codes).float().mean())  # well below 1: the search",
    ),
    "Start the codes on latents, kmeans_init=True, and restart those that die, dead_code_threshold=0.3. Without "
    "k-means start them around the origin, no longer than the latents.",
    "lesson 08, sections 4 and 5; lesson 09, sections 4 to 7",
)


def _few(seen: Seen) -> tuple[float, str] | None:
    """The perplexity, where a few codes do all the work, and a sentence on it."""
    size = seen.size or 0
    least = min(2.0, (1 + size) / 2) if size else 2.0  # of two codes, 2 is all that there is
    of_codes, of_batches = seen.perplexity_of_codes(), seen.perplexity_of_batches()
    of_size = f" of {size}" if size else ""
    if of_codes is not None and of_codes < max(least, FEW_OF_A_DATA_SET * size):
        return (
            of_codes,
            f"perplexity {of_codes:.3g}{of_size} over {seen.codes.numel():,} codes, {int(seen.used().sum())} in use",
        )
    if of_codes is None and of_batches is not None and of_batches < max(least, FEW_OF_A_BATCH * size):
        return of_batches, f"perplexity of a batch {of_batches:.3g}{of_size} at the end"
    return None


def _was_higher(seen: Seen) -> float | None:
    """What perplexity once was, where it has fallen to less than a third of that."""
    tenths = seen.tenths("perplexity")
    return max(tenths) if tenths and max(tenths) > 3 * tenths[-1] else None


def _stuck(seen: Seen) -> str | None:
    few = _few(seen)
    if few is None or _crowd(seen) or _was_higher(seen):
        return None
    tenths = seen.tenths("perplexity")
    return few[1] + (
        f", at most {max(tenths):.3g} in any tenth of the run"
        if tenths
        else "; no curve shows whether it was ever higher"
    )


FELL = Symptom(
    "Perplexity falls to a few codes",
    (
        "the encoder moves faster than the codes: those that latents have left get no updates any more",
        "a learning rate that is too high, or reached too early",
        "codes that shrink, by weight decay or unused in an EMA layer",
    ),
    (
        "for name, curve in history.items():",
        "    print(name, [f'{value:.3g}' for value in curve[:: max(1, len(curve) // 8)]])",
        "# what bends first? commitment: the encoder runs away; the loss: the learning rate",
    ),
    "Restart dead codes; let the codes move faster (a decay of 0.95 in lesson 10) or the encoder slower: a larger "
    "commitment weight, a lower learning rate, a longer rise to it.",
    "lesson 09, section 7; lesson 10, section 3",
)


def _fell(seen: Seen) -> str | None:
    few, higher = _few(seen), _was_higher(seen)
    if few is None or higher is None or _crowd(seen):
        return None
    return f"{few[1]}, after {higher:.3g} earlier in the run"


GROWS = Symptom(
    "Commitment loss grows",
    (
        "no commitment loss in the sum, a weight of 0, or a detach that cuts it off from the encoder",
        "codes that are too slow for the encoder: a small learning rate, a long decay, no updates at all",
        "a weight on another scale: a mean over D beside a sum over pixels, or Q levels of a residual quantiser",
        "growth of scale alone: the latents grow, the codes keep up",
    ),
    (
        "distance = (latents - layer.codebook[codes]).square().mean()",
        "print('share of the variance', distance / latents.var(0).mean())  # steady while the loss grows: scale alone",
    ),
    "Put the commitment loss in, with a weight of 0.25; take more if it still grows; let the codes move faster. "
    "Growth of scale alone is no harm.",
    "lesson 05, section 5; for residual quantisers lesson 13, section 5",
)


def _grows(seen: Seen) -> str | None:
    role = "commitment" if "commitment" in seen.curves else "quantiser loss"
    tenths = seen.tenths(role)
    if not tenths or tenths[-1] < max(tenths) or tenths[-1] <= STILL_GROWING * tenths[4]:
        return None
    if seen.opening() and tenths[-1] < BEYOND_AN_OPENING * min(tenths):
        return None  # latents spread at first, in every run
    said = f"'{seen.names[role]}' is {tenths[-1]:.3g} at the end, {tenths[4]:.3g} half-way, and still rising"
    if role == "commitment" and seen.latents is not None:
        said += f"; as a share of the latents' variance {tenths[-1] / seen.latents.var(0).mean():.2g}"
    return said


SHRINK = Symptom(
    "Codes shrink",
    (
        "EMA codes that no latent chooses: once their count is as small as eps, they slide to the origin",
        "weight decay on a codebook that learns by gradient",
        "the latents shrink, since commitment outweighs reconstruction, and the codes follow them",
        "k-means that set the centroids without the counts and sums that go with them",
    ),
    (
        "chosen, lengths = torch.bincount(codes, minlength=len(layer.codebook)) > 0, layer.codebook.norm(dim=1)",
        "print('used', lengths[chosen].mean(), 'unused', lengths[~chosen].mean())  # the unused alone: an EMA layer's",
        "print('latents', latents.norm(dim=1).mean())  # as short as the used ones: the latents shrink",
    ),
    "Restart dead codes together with their counts and sums; give the codebook a parameter group with weight_decay=0; "
    "lower the commitment weight.",
    "lesson 06, section 5; lesson 09, sections 5 and 6",
)


def _shrink(seen: Seen) -> str | None:
    tenths = seen.tenths("code length")
    if tenths and tenths[-1] < SHRUNK * max(tenths[:5]):
        return f"'{seen.names['code length']}' fell from {max(tenths[:5]):.3g} to {tenths[-1]:.3g}"
    if seen.codebook is None:
        return None
    now = seen.codebook.norm(dim=1)  # (K,)
    before = seen.start.norm(dim=1) if seen.start is not None else None
    if before is not None and seen.latents is not None:  # k-means makes codes shorter too, as short as the latents
        least = SHRUNK * min(before.median(), seen.latents.norm(dim=1).median())
        if now.median() < least:
            return f"median length of a code {now.median():.2g}, at the start {before.median():.3g}"
    if seen.codes is None:
        return None
    usual = now[seen.used()].median()
    low = ~seen.used() & (now < AT_THE_ORIGIN * usual)
    if before is not None:
        low &= now < SHRUNK * before  # a codebook that starts uniform in +-1/K starts there
    if low.float().mean() < A_QUARTER:
        return None
    return (
        f"{int(low.sum())} of {len(now)} codes are unused and lie at the origin, {now[low].max():.2g} long at most; "
        f"used ones are {usual:.3g} long"
    )


UNUSED = Symptom(
    "Many codes unused",
    (
        "codes that died while the encoder moved: nobody chooses them, so nothing moves them",
        "a start that did not last: k-means on the first batch, and then the encoder left",
        "more codes than the data has use for",
    ),
    (
        "chosen = torch.bincount(codes, minlength=len(layer.codebook)) > 0",
        "gap = torch.cdist(layer.codebook, latents).amin(1)  # to the nearest latent",
        "print('used', gap[chosen].mean(), 'unused', gap[~chosen].mean())  # far off: dead. As near: too many",
    ),
    "dead_code_threshold=0.3, or any number well below N / K, the latents that an average code gets in a batch. Or a "
    "smaller K.",
    "lesson 09, sections 1, 2 and 6",
)


def _unused(seen: Seen) -> str | None:
    usage = seen.usage()
    if usage is None or usage > HALF_USED or _few(seen) or seen.opening():
        return None
    return (
        f"{int(seen.used().sum())} of {seen.size} codes occur among {seen.codes.numel():,}, "
        f"while perplexity is {seen.perplexity_of_codes():.3g}"
    )


CROWD = Symptom(
    "Most latents share few codes",
    (
        "the data is like that: background, silence; often no illness at all",
        "padding that is quantised and counted like everything else",
        "codes spent on outliers while one serves the rest",
    ),
    (
        "counts = torch.bincount(codes, minlength=len(layer.codebook))",
        "print(counts.topk(3))  # which codes are these ...",
        "print((codes == counts.argmax()).nonzero()[:10])  # ... and at which places?",
    ),
    "Look at what the commonest codes stand for before you do anything. Keep padding out of update and counts.",
    "lesson 09, section 1",
)


def _crowd(seen: Seen) -> str | None:
    usage, few = seen.usage(), _few(seen)
    if usage is None or usage <= HALF_USED or few is None:
        return None
    return (
        f"{few[1]}: one code has {torch.bincount(seen.codes.flatten()).max() / seen.codes.numel():.0%} of the latents"
    )


# ----------------------------------------------------------------------------------------------------------------------
# What becomes of the reconstruction

MEAN = Symptom(
    "The error stays at the mean image",
    (
        "collapse: with one code for everything, the mean image is all that the decoder can answer",
        "the encoder hears nothing of the reconstruction: the decoder is given q.detach(), or a detach too many",
        "commitment outweighs reconstruction, and presses the latents onto a point",
        "too few updates, or too small a learning rate: the mean image is what every model learns first",
    ),
    (
        "heard = batch[:2].clone().requires_grad_()",
        "model(heard)[0].sum().backward()",
        "print(heard.grad.abs().max())  # 0: nothing leads from the output back to the input",
        "print(latents.std(0).mean(), layer.codebook.std(0).mean())  # both near 0: pressed onto a point",
    ),
    "Perplexity first: where it is 1, cure that. Otherwise measure lesson 05's matrix, then weigh the terms.",
    "lesson 08, sections 3 and 4; lesson 05, section 3",
)


def _mean(seen: Seen) -> str | None:
    shares = seen.share_of_the_mean()
    if shares is None:
        return None
    name, tenths = shares
    if tenths[-1] < AT_THE_MEAN or seen.opening():
        return None
    return f"'{name}' ends at {tenths[-1]:.2f} times the mean image's error, half-way it was at {tenths[4]:.2f}"


APART = Symptom(
    "The loss falls but the reconstruction does not",
    (
        "another term is so large that the sum is all about it: a weight, or a unit, on another scale",
        "the optimiser has not got the decoder's parameters",
        "the encoder does not hear the reconstruction, and only obeys commitment",
    ),
    (
        "reconstruction, chosen, rest = model(batch)",
        "print('reconstruction', torch.nn.functional.mse_loss(reconstruction, batch), 'else', rest)  # which rules?",
    ),
    "Bring the terms to one scale, the reconstruction divided by the variance of the data, and weigh them then.",
    "lesson 05, section 4; lesson 10, section 3",
)


def _loss_alone(seen: Seen) -> str | None:
    role = seen.error()
    loss, error = seen.tenths("loss"), seen.tenths(role)
    if not loss or not error or loss[-1] > 0.7 * loss[0] or error[-1] < 0.9 * error[0]:
        return None
    return (
        f"'{seen.names['loss']}' fell from {loss[0]:.3g} to {loss[-1]:.3g}, "
        f"'{seen.names[role]}' went from {error[0]:.3g} to {error[-1]:.3g}"
    )


# In the order in which they are told: causes before what follows from them.
LOOKS = (
    (NOT_FINITE, _not_finite),
    (RANKS, _ranks),
    (ASTRAY, _astray),
    (SILENT, _silent),
    (WRONG, _wrong),
    (STUCK, _stuck),
    (GROWS, _grows),
    (SHRINK, _shrink),
    (FELL, _fell),
    (UNUSED, _unused),
    (CROWD, _crowd),
    (APART, _loss_alone),
    (MEAN, _mean),
)
