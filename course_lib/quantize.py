"""Vector quantisation: pure functions first, then the two layers made of them.

Axes: B batch, D latent dimension, K codebook size, N number of latent vectors, and S any spatial axes
(none, T, H W, or T H W). Sources, named in the docstrings that use them:

[VQ-VAE]      van den Oord, Vinyals, Kavukcuoglu, "Neural Discrete Representation Learning", 2017 (arXiv:1711.00937)
[STE]         Bengio, Leonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013
              (arXiv:1308.3432)
[Jukebox]     Dhariwal et al., "Jukebox: A Generative Model for Music", 2020 (arXiv:2005.00341)
[SoundStream] Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec", 2021 (arXiv:2107.03312)

Every function raises `ValueError` (`TypeError` for a wrong kind of number) that says what came and what was wanted.
"""

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

# How many of the N x K scores `nearest_codes` holds at a time. On a CPU few enough to stay in its caches.
SCORES_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}
GROUP = 64  # and how many it looks through at a time

# ----------------------------------------------------------------------------------------------------------------------
# Flatten, measure, choose, look up


def flatten_latents(latents: Tensor) -> Tensor:
    """(B, D, *S) -> (N, D): one row for each latent vector, row-major over B, then over S."""
    if latents.ndim < 2 or latents.shape[1] == 0:
        raise ValueError(f"latents have shape {tuple(latents.shape)}; wanted (B, D, *S), at least two axes, D > 0")
    return latents.movedim(1, -1).reshape(-1, latents.shape[1])  # (B, *S, D) -> (N, D)


def unflatten_latents(flat: Tensor, shape) -> Tensor:
    """(N, D) -> (B, D, *S), the inverse of `flatten_latents`; `shape` is the original (B, D, *S)."""
    if len(shape) < 2:
        raise ValueError(f"shape is {tuple(shape)}; wanted the original (B, D, *S), at least two axes")
    batch, dim, *spatial = shape
    rows = batch * math.prod(spatial)
    if flat.shape != (rows, dim):
        raise ValueError(f"flat has shape {tuple(flat.shape)}; {tuple(shape)} unflattens from {(rows, dim)}")
    return flat.reshape(batch, *spatial, dim).movedim(-1, 1)  # (B, *S, D) -> (B, D, *S)


def pairwise_distances(flat: Tensor, codebook: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N, K) squared Euclidean distances, all >= 0, differentiable in both.

    Computed from the differences, not as |x|^2 - 2 x.e + |e|^2: that form loses its digits to cancellation where the
    vectors lie far from the origin, and can fall below zero.
    """
    dtype = _common_dtype(flat, codebook)
    distances = torch.cdist(flat.to(dtype), codebook.to(dtype), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.square()  # (N, K)


@torch.no_grad()
def nearest_codes(flat: Tensor, codebook: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N,) int64: the nearest code of each row, the lowest index where computed distances are equal.

    Nothing to differentiate: the result is piecewise constant. Equation 1 of [VQ-VAE].

    Fast, and sparing of memory: |x - e|^2 = |x|^2 - 2 x.e + |e|^2, of which |x|^2 is the same for all codes. The rest
    is one matrix product, [x, 1] times [-2 e, |e|^2], done into a small buffer, block of rows after block. Rounding
    blurs that form by a few eps |x|^2, and not alike in all columns. Rows whose distance is so small beside it, or
    whose two nearest codes are so close, that this could decide are measured once more, by `pairwise_distances`: all
    rows far from the origin, few elsewhere.
    """
    dtype = _common_dtype(flat, codebook)
    flat, codebook = flat.to(dtype), codebook.to(dtype)
    squares = torch.linalg.vecdot(flat, flat)  # (N,)
    right = torch.cat([-2 * codebook, codebook.square().sum(dim=1, keepdim=True)], dim=1)  # (K, D + 1)
    nowhere = right.new_zeros(-len(right) % GROUP, right.shape[1])  # codes that are infinitely far: whole groups
    nowhere[:, -1] = float("inf")
    right = torch.cat([right, nowhere]).T  # (D + 1, K rounded up)
    rows = max(1, SCORES_AT_ONCE.get(flat.device.type, 2**24) // right.shape[1])
    left = flat.new_ones(min(rows, len(flat)), len(right))  # (rows, D + 1)
    scores = flat.new_empty(len(left), right.shape[1])  # (rows, K rounded up); both are written anew for each block
    blocks = []
    for block in flat.split(rows):
        left[: len(block), :-1] = block
        blocks.append(_first_lowest(torch.mm(left[: len(block)], right, out=scores[: len(block)])))
    lowest, second, codes = (torch.cat(part) for part in zip(*blocks))  # (N,), (N,), (N,)
    eps = torch.finfo(dtype).eps
    sure = squares + lowest > 1e4 * eps * squares  # (N,); False too where the product overflowed
    sure &= second - lowest > 64 * eps * (squares + lowest.abs())
    unsure = (~sure).nonzero().flatten()
    for some in unsure.split(rows) if len(unsure) else ():
        codes[some] = pairwise_distances(flat[some], codebook).argmin(dim=1)
    return codes


def _first_lowest(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, K) -> lowest of each row (N,), second lowest (N,), first index of the lowest (N,). K is a multiple of GROUP.

    On a CPU `amin` runs at the speed of memory, and `min` and `argmin`, which must carry an index along, at a fifth
    of it. So the lowest of each group of columns is found without its index.
    """
    if scores.device.type != "cpu":  # where the second is not worth the time that it takes
        lowest, codes = scores.min(dim=1)
        return lowest, torch.full_like(lowest, float("inf")), codes
    grouped = scores.unflatten(1, (-1, GROUP))  # (N, K / GROUP, GROUP)
    lows = grouped.amin(dim=2)  # (N, K / GROUP)
    lowest, which = lows.min(dim=1)  # (N,), (N,); `min` gives the first of equals
    members = grouped[torch.arange(len(scores)), which]  # (N, GROUP)
    inside = members.argmin(dim=1)  # (N,)
    lows.scatter_(1, which.unsqueeze(1), float("inf"))  # without the lowest, the lowest is the second
    members.scatter_(1, inside.unsqueeze(1), float("inf"))
    second = torch.minimum(lows.amin(dim=1), members.amin(dim=1))  # (N,)
    return lowest, second, which * GROUP + inside


def look_up(codes: Tensor, codebook: Tensor) -> Tensor:
    """(...,) int64, (K, D) -> (..., D): rows of the codebook; the gradient reaches the selected ones alone."""
    if codebook.ndim != 2:
        raise ValueError(f"codebook has shape {tuple(codebook.shape)}; wanted (K, D)")
    _check_codes(codes, len(codebook))
    return F.embedding(codes, codebook)


# ----------------------------------------------------------------------------------------------------------------------
# Pass the gradient


def straight_through(latents: Tensor, quantized: Tensor) -> Tensor:
    """Same shapes -> the value of `quantized`, the gradient of `latents`: `(q - x).detach() + x` [STE, VQ-VAE].

    Written as q plus an exact zero that carries the gradient, so that the value is q to the last bit: in floating
    point (q - x) + x is only close to q.
    """
    _check_same_shape(latents, quantized)
    return quantized.detach() + (latents - latents.detach())


def codebook_loss(latents: Tensor, quantized: Tensor) -> Tensor:
    """Same shapes -> 0-d mean of (sg[x] - q)^2 over all elements: pulls the selected codes, not the encoder.

    The mean over D is the convention of code; [VQ-VAE], equation 3, has the squared norm, D times as large.
    """
    _check_same_shape(latents, quantized)
    return F.mse_loss(quantized, latents.detach())


def commitment_loss(latents: Tensor, quantized: Tensor) -> Tensor:
    """Same shapes -> 0-d mean of (x - sg[q])^2 over all elements: pulls the encoder, not the codes. See [VQ-VAE]."""
    _check_same_shape(latents, quantized)
    return F.mse_loss(latents, quantized.detach())


# ----------------------------------------------------------------------------------------------------------------------
# Move the codebook without gradients


@torch.no_grad()
def ema_update(cluster_size: Tensor, embed_sum: Tensor, flat: Tensor, codes: Tensor, decay: float, eps: float = 1e-5):
    """One exponential-moving-average step of the codebook: appendix A.1 of [VQ-VAE].

    (K,), (K, D), (N, D), (N,) -> new (cluster_size (K,), embed_sum (K, D), codebook (K, D)); the inputs are untouched.
    `codebook = embed_sum / smoothed`, where Laplace smoothing lifts empty counts off zero and keeps their total. The
    smoothed counts are used once and not stored. 0 / 0 (an unused code with eps = 0) gives the limit, 0.
    """
    _check_decay(decay, eps)
    if embed_sum.ndim != 2 or cluster_size.shape != embed_sum.shape[:1]:
        raise ValueError(
            f"cluster_size has shape {tuple(cluster_size.shape)}, embed_sum {tuple(embed_sum.shape)}; "
            "wanted (K,) and (K, D)"
        )
    return _average(cluster_size, embed_sum, *_count_and_sum(flat, codes, embed_sum.shape), decay, eps)


def _average(cluster_size, embed_sum, counts, sums, decay, eps):
    """The arithmetic of `ema_update`, from the batch's counts (K,) and sums (K, D)."""
    counts, sums = counts.to(embed_sum.dtype), sums.to(embed_sum.dtype)
    cluster_size = decay * cluster_size + (1 - decay) * counts  # (K,)
    embed_sum = decay * embed_sum + (1 - decay) * sums  # (K, D)
    total = cluster_size.sum()
    smoothed = (cluster_size + eps) / (total + len(cluster_size) * eps) * total  # (K,)
    codebook = embed_sum / smoothed.clamp_min(torch.finfo(smoothed.dtype).tiny).unsqueeze(1)  # (K, D)
    return cluster_size, embed_sum, codebook


@torch.no_grad()
def kmeans_init(flat: Tensor, codebook_size: int, iterations: int = 10, generator: torch.Generator | None = None):
    """(N, D) -> (codebook (K, D), counts (K,) float): Lloyd's k-means from K random rows [SoundStream].

    `counts` says how many rows chose each code; where it is not 0, the code is the mean of those rows. With N < K rows
    are drawn more than once: the spare codes are copies with count 0. `iterations` = 0 returns the drawn rows.
    """
    _check_vectors("flat", flat)
    _check_whole("codebook_size", codebook_size, at_least=1)
    _check_whole("iterations", iterations, at_least=0)
    codebook = _draw_rows(flat, codebook_size, generator)  # (K, D)
    for _ in range(iterations):
        counts, sums = _count_and_sum(flat, nearest_codes(flat, codebook), codebook.shape)
        means = (sums / counts.clamp_min(1).unsqueeze(1)).to(flat.dtype)  # (K, D)
        codebook = torch.where(counts.unsqueeze(1) > 0, means, codebook)  # (K, D); an empty code stays where it is
    if iterations == 0:
        counts, _ = _count_and_sum(flat, nearest_codes(flat, codebook), codebook.shape)
    return codebook, counts.to(torch.promote_types(flat.dtype, torch.float32))


@torch.no_grad()
def restart_dead_codes(
    codebook: Tensor,
    cluster_size: Tensor,
    embed_sum: Tensor,
    flat: Tensor,
    threshold: float,
    generator: torch.Generator | None = None,
):
    """Moves every code with `cluster_size` < `threshold` onto a random latent, with count 1 and sum = that latent.

    (K, D), (K,), (K, D), (N, D) -> new (codebook, cluster_size, embed_sum), the inputs untouched. See [Jukebox].
    """
    _check_vectors("flat", flat)
    _check_vectors("codebook", codebook)
    _check_at_least_0("threshold", threshold)
    shapes = codebook.shape[:1], codebook.shape, codebook.shape[1:]
    if (cluster_size.shape, embed_sum.shape, flat.shape[1:]) != shapes:
        raise ValueError(
            f"codebook {tuple(codebook.shape)}, cluster_size {tuple(cluster_size.shape)}, embed_sum "
            f"{tuple(embed_sum.shape)}, flat {tuple(flat.shape)}; wanted (K, D), (K,), (K, D), (N, D)"
        )
    dead = cluster_size < threshold  # (K,)
    latents = _draw_rows(flat, int(dead.sum()), generator).to(codebook.dtype)  # (dead codes, D)
    codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone()
    codebook[dead], cluster_size[dead], embed_sum[dead] = latents, 1.0, latents
    return codebook, cluster_size, embed_sum


# ----------------------------------------------------------------------------------------------------------------------
# How many codes are at work


@torch.no_grad()
def perplexity(codes: Tensor, codebook_size: int) -> Tensor:
    """(...,) int64 -> 0-d float32 in [1, K]: exp(entropy) of how often each code occurs among `codes`.

    K where all codes occur equally often, 1 where a single one does. A batch of n codes cannot show more than n.
    """
    _check_codes(codes, codebook_size)
    probabilities = torch.bincount(codes.flatten(), minlength=codebook_size) / codes.numel()  # (K,)
    return torch.special.entr(probabilities).sum().exp()  # entr(p) = -p log p, and 0 at p = 0


@torch.no_grad()
def codebook_usage(codes: Tensor, codebook_size: int) -> Tensor:
    """(...,) int64 -> 0-d float32 in (0, 1]: the fraction of the K codes that occur in `codes` at all."""
    _check_codes(codes, codebook_size)
    return (torch.bincount(codes.flatten(), minlength=codebook_size) > 0).float().mean()


# ----------------------------------------------------------------------------------------------------------------------
# The layers


class _Quantizer(nn.Module):
    """What both layers share: settings, axes, and arithmetic in float32 or better whatever autocast says."""

    def __init__(self, dim: int, codebook_size: int, commitment_weight: float, channel_last: bool):
        super().__init__()
        self.dim = _check_whole("dim", dim, at_least=1)
        self.codebook_size = _check_whole("codebook_size", codebook_size, at_least=1)
        self.commitment_weight = _check_at_least_0("commitment_weight", commitment_weight)
        self.channel_last = channel_last

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, D, *S), or (B, *S, D) with channel_last -> quantized (the same), codes (B, *S) int64, loss (0-d)."""
        self._check(latents)
        channel_first = latents.movedim(-1, 1) if self.channel_last else latents  # (B, D, *S)
        with torch.autocast(latents.device.type, enabled=False):
            flat = flatten_latents(channel_first)  # (N, D)
            flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
            quantized, codes, loss = self.quantize(flat)  # (N, D), (N,), 0-d
        quantized = unflatten_latents(quantized.to(latents.dtype), channel_first.shape)  # (B, D, *S)
        codes = codes.reshape(channel_first[:, 0].shape)  # (B, *S)
        return quantized.movedim(1, -1) if self.channel_last else quantized, codes, loss

    def _check(self, latents: Tensor) -> None:
        axis = -1 if self.channel_last else 1
        wanted = f"(B, *S, {self.dim})" if self.channel_last else f"(B, {self.dim}, *S)"
        if not latents.is_floating_point():
            raise TypeError(f"latents are {latents.dtype}; wanted a floating-point tensor {wanted}")
        if latents.ndim < 2 or latents.shape[axis] != self.dim:
            other = latents.ndim > 2 and latents.shape[1 if self.channel_last else -1] == self.dim
            hint = f"; channel_last={not self.channel_last} would take it" if other else ""
            raise ValueError(f"latents have shape {tuple(latents.shape)}; wanted {wanted}{hint}")
        if latents.numel() == 0:
            raise ValueError(f"latents have shape {tuple(latents.shape)}: an empty batch; wanted at least one vector")
        _check_finite("latents", latents)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, codebook_size={self.codebook_size}, commitment_weight={self.commitment_weight}"


class VectorQuantizer(_Quantizer):
    """The quantiser whose codebook learns by gradient: loss = codebook loss + commitment_weight * commitment loss.

    `codebook` (K, D) is a Parameter, uniform in +-1/K at the start. [VQ-VAE], equation 3.
    """

    def __init__(self, dim: int, codebook_size: int, *, commitment_weight: float = 0.25, channel_last: bool = False):
        super().__init__(dim, codebook_size, commitment_weight, channel_last)
        self.codebook = nn.Parameter(torch.empty(codebook_size, dim).uniform_(-1 / codebook_size, 1 / codebook_size))

    def quantize(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, D) -> quantized (N, D), codes (N,), loss (0-d)."""
        codes = nearest_codes(flat, self.codebook)  # (N,)
        quantized = look_up(codes, self.codebook)  # (N, D)
        loss = codebook_loss(flat, quantized) + self.commitment_weight * commitment_loss(flat, quantized)
        return straight_through(flat, quantized), codes, loss


class VectorQuantizerEMA(_Quantizer):
    """The quantiser whose codebook follows moving averages: loss = commitment_weight * commitment loss.

    Buffers: `codebook` (K, D) from N(0, 1), `cluster_size` (K,) of ones, `embed_sum` (K, D) equal to the codebook,
    `initialised`. In training each call looks up first, then updates; in eval mode nothing changes, and the loss is
    given all the same. [VQ-VAE], appendix A.1.

    decay: in [0, 1); how much of the old averages a batch leaves. Half-life in updates: log(0.5) / log(decay).
    eps: >= 0, the Laplace smoothing of the counts.
    kmeans_init: the first training batch sets codebook, counts and sums by k-means.
    dead_code_threshold: after an update, codes with a smaller moving count restart at a random latent, with count 1;
        0 is never, more than 1 may restart them again at once.

    Under torch.distributed all ranks hold one codebook, that of one process on their joint batch: counts and sums are
    added over the ranks, k-means and restarts draw from the latents of all. So all ranks must call it in training.
    """

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        *,
        decay: float = 0.99,
        eps: float = 1e-5,
        commitment_weight: float = 0.25,
        kmeans_init: bool = False,
        dead_code_threshold: float = 0.0,
        channel_last: bool = False,
    ):
        super().__init__(dim, codebook_size, commitment_weight, channel_last)
        _check_decay(decay, eps)
        self.decay, self.eps = decay, eps
        self.dead_code_threshold = _check_at_least_0("dead_code_threshold", dead_code_threshold)
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed_sum", self.codebook.clone())
        self.register_buffer("initialised", torch.tensor(not kmeans_init))

    def quantize(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, D) -> quantized (N, D), codes (N,), loss (0-d); in training the buffers are updated."""
        if self.training and not self.initialised:
            codebook, counts = kmeans_init(_gather_rows(flat.detach()), self.codebook_size)
            self._store(*_as_on_rank_0(codebook, counts, codebook * counts.unsqueeze(1)))
        codes = nearest_codes(flat, self.codebook)  # (N,)
        quantized = look_up(codes, self.codebook)  # (N, D); a copy, which the update below does not reach
        loss = self.commitment_weight * commitment_loss(flat, quantized)
        if self.training:
            self._update(flat.detach(), codes)
        return straight_through(flat, quantized), codes, loss

    @torch.no_grad()
    def _update(self, flat: Tensor, codes: Tensor) -> None:
        counts, sums = _add_over_ranks(*_count_and_sum(flat, codes, self.embed_sum.shape))  # (K,), (K, D)
        cluster_size, embed_sum, codebook = _average(
            self.cluster_size, self.embed_sum, counts, sums, self.decay, self.eps
        )
        if (cluster_size < self.dead_code_threshold).any():
            codebook, cluster_size, embed_sum = _as_on_rank_0(
                *restart_dead_codes(codebook, cluster_size, embed_sum, _gather_rows(flat), self.dead_code_threshold)
            )
        self._store(codebook, cluster_size, embed_sum)

    def _store(self, codebook: Tensor, cluster_size: Tensor, embed_sum: Tensor) -> None:
        self.codebook.copy_(codebook)
        self.cluster_size.copy_(cluster_size)
        self.embed_sum.copy_(embed_sum)
        self.initialised.fill_(True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, decay={self.decay}, dead_code_threshold={self.dead_code_threshold}"


# ----------------------------------------------------------------------------------------------------------------------
# Between the ranks of torch.distributed; with a single process each gives back what it is given


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _add_over_ranks(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor -> its sum over all ranks, in place."""
    if _ranks() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)
    return tensors


def _as_on_rank_0(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor -> what it is on rank 0, in place: there the random draws were made that count."""
    if _ranks() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
    return tensors


def _gather_rows(flat: Tensor) -> Tensor:
    """(N, D) on each rank, N may differ -> (sum of all N, D) on each, in the order of the ranks."""
    if _ranks() == 1:
        return flat
    lengths = torch.zeros(_ranks(), dtype=torch.int64, device=flat.device)
    lengths[dist.get_rank()] = len(flat)
    lengths = _add_over_ranks(lengths)[0].tolist()
    padded = F.pad(flat, (0, 0, 0, max(lengths) - len(flat)))  # all_gather wants one shape
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths)])


# ----------------------------------------------------------------------------------------------------------------------
# Shared arithmetic and the checks of what comes in


def _count_and_sum(flat: Tensor, codes: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """(N, D), (N,), (K, D) as a shape -> float64 counts (K,), sums (K, D): rows that chose each code, and their sum.

    The same as one_hot(codes).sum(0) and one_hot(codes).T @ flat, without the (N, K) matrix. In float32, adding many
    rows that lie far from the origin would lose the digits in which they differ.
    """
    _check_vectors("flat", flat)
    _check_codes(codes, shape[0])
    if codes.shape != flat.shape[:1] or flat.shape[1] != shape[1]:
        raise ValueError(
            f"flat has shape {tuple(flat.shape)}, codes {tuple(codes.shape)}; wanted (N, {shape[1]}) and (N,)"
        )
    counts = torch.bincount(codes, minlength=shape[0]).double()  # (K,)
    sums = torch.zeros(shape, dtype=torch.float64, device=flat.device).index_add_(0, codes, flat.double())  # (K, D)
    return counts, sums


def _draw_rows(flat: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """(N, D) -> (count, D): random rows, each drawn once before any is drawn again."""
    rounds = max(1, math.ceil(count / len(flat)))
    picks = [torch.randperm(len(flat), generator=generator, device=flat.device) for _ in range(rounds)]
    return flat[torch.cat(picks)[:count]]


def _common_dtype(flat: Tensor, codebook: Tensor) -> torch.dtype:
    """Checks both, and gives the dtype to compare them in: float32 or better."""
    _check_vectors("flat", flat)
    _check_vectors("codebook", codebook)
    if flat.shape[1] != codebook.shape[1]:
        raise ValueError(f"latents have dimension {flat.shape[1]}, codes have {codebook.shape[1]}; they must agree")
    return torch.promote_types(torch.promote_types(flat.dtype, codebook.dtype), torch.float32)


def _check_vectors(name: str, vectors: Tensor) -> None:
    if not vectors.is_floating_point():
        raise TypeError(f"{name} is {vectors.dtype}; wanted a floating-point tensor")
    if vectors.ndim != 2 or vectors.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(vectors.shape)}; wanted two axes (rows, D), neither of them empty")
    _check_finite(name, vectors)


def _check_finite(name: str, values: Tensor) -> None:
    if math.isfinite(values.detach().sum(dtype=torch.promote_types(values.dtype, torch.float32))):
        return  # ten times faster than to ask each value; a sum that merely overflows is looked into below
    finite = torch.isfinite(values)
    if not finite.all():
        first = tuple((~finite).nonzero()[0].tolist())
        raise ValueError(
            f"{name} has {int((~finite).sum())} NaN or infinite values, the first at index {first}; wanted finite "
            "numbers. Where they come from an encoder, look at its input and at the learning rate"
        )


def _check_codes(codes: Tensor, codebook_size: int) -> None:
    _check_whole("codebook_size", codebook_size, at_least=1)
    if codes.dtype != torch.int64:
        raise TypeError(f"codes are {codes.dtype}; wanted torch.int64")
    if codes.numel() == 0:
        raise ValueError(f"codes have shape {tuple(codes.shape)}; wanted at least one")
    low, high = (int(bound) for bound in torch.aminmax(codes))
    if low < 0 or high >= codebook_size:
        raise ValueError(f"codes run from {low} to {high}; wanted 0 to {codebook_size - 1}")


def _check_same_shape(latents: Tensor, quantized: Tensor) -> None:
    if latents.shape != quantized.shape:
        raise ValueError(
            f"latents have shape {tuple(latents.shape)}, quantized has {tuple(quantized.shape)}; they must agree"
        )


def _check_decay(decay: float, eps: float) -> None:
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}; wanted 0 <= decay < 1")
    _check_at_least_0("eps", eps)


def _check_at_least_0(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}; wanted a finite number >= 0")
    return value


def _check_whole(name: str, value: int, at_least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; wanted a whole number")
    if value < at_least:
        raise ValueError(f"{name} is {value}; wanted at least {at_least}")
    return value
