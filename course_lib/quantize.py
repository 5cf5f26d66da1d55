"""Vector quantisation: pure functions first, then the two layers made of them.

Axes: B batch, D latent dimension, K codebook size, N number of latent vectors, and S any spatial axes
(none, T, H W, or T H W). Sources, named in the docstrings that use them:

[VQ-VAE]      van den Oord, Vinyals, Kavukcuoglu, "Neural Discrete Representation Learning", 2017 (arXiv:1711.00937)
[STE]         Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013
              (arXiv:1308.3432)
[Jukebox]     Dhariwal et al., "Jukebox: A Generative Model for Music", 2020 (arXiv:2005.00341)
[SoundStream] Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec", 2021 (arXiv:2107.03312)

What comes in is looked at once, by `guards`, in the functions and layers that others call; what these share begins
with _ and guards nothing. `search` finds the nearest codes, fast; `ranks` speaks with other processes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib import guards, ranks, search

# ----------------------------------------------------------------------------------------------------------------------
# Flatten, measure, choose, look up


def flatten_latents(latents: Tensor) -> Tensor:
    """(B, D, *S) -> (N, D): one row for each latent vector, row-major over B, then over S."""
    guards.latents(latents)
    return latents.movedim(1, -1).reshape(-1, latents.shape[1])  # (B, *S, D) -> (N, D)


def unflatten_latents(flat: Tensor, shape) -> Tensor:
    """(N, D) -> (B, D, *S), the inverse of `flatten_latents`; `shape` is the original (B, D, *S)."""
    guards.rows_of(flat, shape)
    batch, dim, *spatial = shape
    return flat.reshape(batch, *spatial, dim).movedim(-1, 1)  # (B, *S, D) -> (B, D, *S)


def pairwise_distances(flat: Tensor, codebook: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N, K) squared Euclidean distances, all >= 0, differentiable in both.

    Computed from the differences, not as |x|^2 - 2 x.e + |e|^2: that form loses its digits to cancellation where the
    vectors lie far from the origin, and can fall below zero.
    """
    return _distances(*guards.comparable(flat, codebook))


def _distances(flat: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(flat, codebook, compute_mode="donot_use_mm_for_euclid_dist").square()  # (N, K)


def nearest_codes(flat: Tensor, codebook: Tensor) -> Tensor:
    """(N, D), (K, D) -> (N,) int64: the nearest code of each row, the lowest index where computed distances are equal.

    Nothing to differentiate: the result is piecewise constant. Equation 1 of [VQ-VAE].
    """
    return _nearest(*guards.comparable(flat, codebook))


@torch.no_grad()
def _nearest(flat: Tensor, codebook: Tensor) -> Tensor:
    """What `_nearest_by_definition` gives, in a fraction of its time and memory."""
    return search.nearest(flat, codebook.to(flat.dtype), exact=_nearest_by_definition)


def _nearest_by_definition(flat: Tensor, codebook: Tensor) -> Tensor:
    return _distances(flat, codebook).argmin(dim=1)  # (N,)


def look_up(codes: Tensor, codebook: Tensor) -> Tensor:
    """(...,) int64, (K, D) -> (..., D): rows of the codebook; the gradient reaches the selected ones alone."""
    guards.table(codebook)
    guards.codes(codes, len(codebook))
    return F.embedding(codes, codebook)


# ----------------------------------------------------------------------------------------------------------------------
# Pass the gradient


def straight_through(latents: Tensor, quantized: Tensor) -> Tensor:
    """Same shapes -> the value of `quantized`, the gradient of `latents`: `(q - x).detach() + x` [STE, VQ-VAE].

    Written as q plus an exact zero that carries the gradient, so that the value is q to the last bit: in floating
    point (q - x) + x is only close to q.
    """
    guards.same_shape(latents, quantized)
    return quantized.detach() + (latents - latents.detach())


def codebook_loss(latents: Tensor, quantized: Tensor) -> Tensor:
    """Same shapes -> 0-d mean of (sg[x] - q)^2 over all elements: pulls the selected codes, not the encoder.

    The mean over D is the convention of code; [VQ-VAE], equation 3, has the squared norm, D times as large.
    """
    guards.same_shape(latents, quantized)
    return F.mse_loss(quantized, latents.detach())


def commitment_loss(latents: Tensor, quantized: Tensor) -> Tensor:
    """Same shapes -> 0-d mean of (x - sg[q])^2 over all elements: pulls the encoder, not the codes. See [VQ-VAE]."""
    guards.same_shape(latents, quantized)
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
    guards.decay(decay, eps)
    guards.averages(cluster_size, embed_sum)
    guards.assignment(flat, codes, embed_sum.shape)
    return _ema_update(cluster_size, embed_sum, *_count_and_sum(flat, codes, len(embed_sum)), decay, eps)


def _ema_update(cluster_size: Tensor, embed_sum: Tensor, counts: Tensor, sums: Tensor, decay: float, eps: float):
    """`ema_update`, from the batch's counts (K,) and sums (K, D): those of all ranks, in the layer."""
    counts, sums = counts.to(embed_sum.dtype), sums.to(embed_sum.dtype)
    cluster_size = decay * cluster_size + (1 - decay) * counts  # (K,)
    embed_sum = decay * embed_sum + (1 - decay) * sums  # (K, D)
    total = cluster_size.sum()
    smoothed = (cluster_size + eps) / (total + len(cluster_size) * eps) * total  # (K,)
    codebook = embed_sum / smoothed.clamp_min(torch.finfo(smoothed.dtype).tiny).unsqueeze(1)  # (K, D)
    return cluster_size, embed_sum, codebook


def _count_and_sum(flat: Tensor, codes: Tensor, codebook_size: int) -> tuple[Tensor, Tensor]:
    """(N, D), (N,) -> counts (K,) int64, sums (K, D) float64: how many rows chose each code, and their sum.

    The same as one_hot(codes).sum(0) and one_hot(codes).T @ flat, without the (N, K) matrix. In float32, adding many
    rows that lie far from the origin would lose the digits in which they differ.
    """
    counts = torch.bincount(codes, minlength=codebook_size)  # (K,)
    sums = flat.new_zeros(codebook_size, flat.shape[1], dtype=torch.float64)
    return counts, sums.index_add_(0, codes, flat.double())  # (K, D)


@torch.no_grad()
def kmeans_init(flat: Tensor, codebook_size: int, iterations: int = 10, generator: torch.Generator | None = None):
    """(N, D) -> (codebook (K, D), counts (K,) float): Lloyd's k-means from K random rows [SoundStream].

    `counts` says how many rows chose each code; after an iteration, where it is not 0, the code is the mean of those
    rows. `iterations` = 0 returns the drawn rows. With N < K rows are drawn more than once: the spare codes are copies
    with count 0.
    """
    guards.vectors("flat", flat)
    guards.whole("codebook_size", codebook_size, at_least=1)
    guards.whole("iterations", iterations, at_least=0)
    rows = flat.to(torch.promote_types(flat.dtype, torch.float32))
    codebook, counts = _kmeans(rows, codebook_size, iterations, generator)
    return codebook.to(flat.dtype), counts


def _kmeans(flat: Tensor, codebook_size: int, iterations: int = 10, generator: torch.Generator | None = None):
    codebook = _draw_rows(flat, codebook_size, generator)  # (K, D)
    for _ in range(iterations):
        counts, sums = _count_and_sum(flat, _nearest(flat, codebook), codebook_size)
        means = (sums / counts.clamp_min(1).unsqueeze(1)).to(flat.dtype)  # (K, D)
        codebook = torch.where(counts.unsqueeze(1) > 0, means, codebook)  # (K, D); an empty code stays where it is
    if iterations == 0:
        counts, _ = _count_and_sum(flat, _nearest(flat, codebook), codebook_size)
    return codebook, counts.to(flat.dtype)


def _draw_rows(flat: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """(N, D) -> (count, D): random rows, each drawn once before any is drawn again."""
    rounds = max(1, math.ceil(count / len(flat)))
    picks = [torch.randperm(len(flat), generator=generator, device=flat.device) for _ in range(rounds)]
    return flat[torch.cat(picks)[:count]]


@torch.no_grad()
def restart_dead_codes(
    codebook: Tensor, cluster_size: Tensor, embed_sum: Tensor, flat: Tensor, threshold: float,
    generator: torch.Generator | None = None,
):  # fmt: skip
    """Moves every code with `cluster_size` < `threshold` onto a random latent, with count 1 and sum = that latent.

    (K, D), (K,), (K, D), (N, D) -> new (codebook, cluster_size, embed_sum), the inputs untouched. See [Jukebox].
    """
    guards.state(codebook, cluster_size, embed_sum, flat)
    guards.at_least_0("threshold", threshold)
    return _restart(codebook, cluster_size, embed_sum, flat, threshold, generator)


def _restart(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
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
    guards.codes(codes, codebook_size)
    probabilities = torch.bincount(codes.flatten(), minlength=codebook_size) / codes.numel()  # (K,)
    return torch.special.entr(probabilities).sum().exp()  # entr(p) = -p log p, and 0 at p = 0


@torch.no_grad()
def codebook_usage(codes: Tensor, codebook_size: int) -> Tensor:
    """(...,) int64 -> 0-d float32 in (0, 1]: the fraction of the K codes that occur in `codes` at all."""
    guards.codes(codes, codebook_size)
    return (torch.bincount(codes.flatten(), minlength=codebook_size) > 0).float().mean()


# ----------------------------------------------------------------------------------------------------------------------
# The layers


class _Quantizer(nn.Module):
    """What both layers share: settings, axes, and arithmetic in float32 or better whatever autocast says."""

    def __init__(self, dim: int, codebook_size: int, commitment_weight: float, channel_last: bool):
        super().__init__()
        self.dim = guards.whole("dim", dim, at_least=1)
        self.codebook_size = guards.whole("codebook_size", codebook_size, at_least=1)
        self.commitment_weight = guards.at_least_0("commitment_weight", commitment_weight)
        self.channel_last = channel_last

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, D, *S), or (B, *S, D) with channel_last -> quantized (the same), codes (B, *S) int64, loss (0-d)."""
        guards.latents_for_a_layer(latents, self.dim, self.channel_last)
        channel_first = latents.movedim(-1, 1) if self.channel_last else latents  # (B, D, *S)
        with torch.autocast(latents.device.type, enabled=False):
            flat = flatten_latents(channel_first)  # (N, D)
            flat = flat.to(guards.dtype_to_compare_in(flat, self.codebook))
            quantized, codes, loss = self.quantize(flat)  # (N, D), (N,), 0-d
        quantized = unflatten_latents(quantized.to(latents.dtype), channel_first.shape)  # (B, D, *S)
        codes = codes.reshape(channel_first[:, 0].shape)  # (B, *S)
        return quantized.movedim(1, -1) if self.channel_last else quantized, codes, loss

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
        codes = _nearest(flat, self.codebook)  # (N,)
        quantized = F.embedding(codes, self.codebook).to(flat.dtype)  # (N, D)
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
        self, dim: int, codebook_size: int, *, decay: float = 0.99, eps: float = 1e-5, commitment_weight: float = 0.25,
        kmeans_init: bool = False, dead_code_threshold: float = 0.0, channel_last: bool = False,
    ):  # fmt: skip
        super().__init__(dim, codebook_size, commitment_weight, channel_last)
        guards.decay(decay, eps)
        self.decay, self.eps = decay, eps
        self.dead_code_threshold = guards.at_least_0("dead_code_threshold", dead_code_threshold)
        self.register_buffer("codebook", torch.randn(codebook_size, dim))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed_sum", self.codebook.clone())
        self.register_buffer("initialised", torch.tensor(not kmeans_init))

    def quantize(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, D) -> quantized (N, D), codes (N,), loss (0-d); in training the buffers are updated."""
        if self.training and not self.initialised:
            codebook, counts = _kmeans(ranks.gathered(flat.detach()), self.codebook_size)
            self._store(*ranks.as_on_the_first(codebook, counts, codebook * counts.unsqueeze(1)))
        codes = _nearest(flat, self.codebook)  # (N,)
        # (N, D); a copy, which the update below does not reach
        quantized = F.embedding(codes, self.codebook).to(flat.dtype)
        loss = self.commitment_weight * commitment_loss(flat, quantized)
        if self.training:
            self._update(flat.detach(), codes)
        return straight_through(flat, quantized), codes, loss

    @torch.no_grad()
    def _update(self, flat: Tensor, codes: Tensor) -> None:
        counts, sums = ranks.added(*_count_and_sum(flat, codes, self.codebook_size))  # (K,), (K, D)
        cluster_size, embed_sum, codebook = _ema_update(
            self.cluster_size, self.embed_sum, counts, sums, self.decay, self.eps
        )
        if (cluster_size < self.dead_code_threshold).any():
            codebook, cluster_size, embed_sum = ranks.as_on_the_first(
                *_restart(codebook, cluster_size, embed_sum, ranks.gathered(flat), self.dead_code_threshold)
            )
        self._store(codebook, cluster_size, embed_sum)

    def _store(self, codebook: Tensor, cluster_size: Tensor, embed_sum: Tensor) -> None:
        self.codebook.copy_(codebook)
        self.cluster_size.copy_(cluster_size)
        self.embed_sum.copy_(embed_sum)
        self.initialised.fill_(True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, decay={self.decay}, dead_code_threshold={self.dead_code_threshold}"
