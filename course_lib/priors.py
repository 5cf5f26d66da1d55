"""Priors over codes, p(codes): what a VQ-VAE leaves to be learnt once its codebook stands.

A grid of codes is read row by row, and each code predicted from those before it: p(codes) = prod p(code_i | codes_<i).
Two networks give all these predictions at once, `PixelCNN` and `CodeTransformer`; `sample` draws code after code.

Axes: B batch, K codebook size, H W the grid of codes, C channels, S any spatial axes.

[PixelCNN] van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks, 2016 (arXiv:1601.06759)
[Conditional] van den Oord et al., Conditional Image Generation with PixelCNN Decoders, 2016 (arXiv:1606.05328)
[VQ-VAE] van den Oord, Vinyals, Kavukcuoglu, 2017 (arXiv:1711.00937), section 3.3
[Attention] Vaswani et al., Attention Is All You Need, 2017 (arXiv:1706.03762)
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

# ----------------------------------------------------------------------------------------------------------------------
# Three functions


def causal_mask(kernel_size: int, kind: str) -> Tensor:
    """-> (k, k) float32 of 0 and 1: what a masked convolution may see of its window, in raster order.

    1 in the rows above the centre, and left of it in its own row. At the centre itself 1 for kind "B", 0 for kind "A":
    the first layer reads codes and must not see the one it predicts; later layers read features that have not seen it.
    [PixelCNN], section 3.4. Raises `ValueError` for an even kernel or another kind.
    """
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {kernel_size!r}; wanted an odd whole number, so that there is a centre")
    if kind not in ("A", "B"):
        raise ValueError(f"kind is {kind!r}; wanted 'A' (hides the centre) or 'B' (shows it)")
    seen = torch.arange(kernel_size**2) < kernel_size**2 // 2 + (kind == "B")  # (k * k,), the centre is k * k // 2
    return seen.float().reshape(kernel_size, kernel_size)


def bits_per_code(logits: Tensor, codes: Tensor) -> Tensor:
    """(B, K, *S), (B, *S) int64 -> 0-d: the mean of -log2 p(code), p = softmax over K; a gradient to `logits`."""
    _check_logits(logits)
    if codes.dtype != torch.int64 or codes.shape != logits[:, 0].shape:
        raise ValueError(
            f"codes are {codes.dtype} {tuple(codes.shape)}; wanted int64 {tuple(logits[:, 0].shape)} beside logits "
            f"{tuple(logits.shape)}"
        )
    return F.cross_entropy(logits, codes) / math.log(2)  # nats to bits


@torch.no_grad()
def sample_codes(logits: Tensor, temperature: float = 1.0, generator: Generator | None = None) -> Tensor:
    """(B, K, *S) -> (B, *S) int64, each drawn by itself from softmax(logits / temperature).

    temperature: 1 as learnt, below 1 likelier codes more often, 0 always the likeliest.
    """
    _check_logits(logits)
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature is {temperature}; wanted a finite number >= 0")
    if temperature == 0:
        return logits.argmax(1)
    rows = (logits.movedim(1, -1) / temperature).softmax(-1)  # (B, *S, K)
    return torch.multinomial(rows.flatten(0, -2), 1, generator=generator).reshape(rows.shape[:-1])


# ----------------------------------------------------------------------------------------------------------------------
# Two networks


class _Prior(nn.Module):
    """What both share: the grid, and one label more than there are classes, which stands for "any class"."""

    def __init__(self, codebook_size: int, grid: tuple[int, int], classes: int, channels: int, embedding: int):
        super().__init__()
        self.codebook_size, self.grid, self.classes = codebook_size, tuple(grid), classes
        self.embed = nn.Embedding(codebook_size, embedding)
        self.label = nn.Embedding(classes + 1, channels)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, H, W) int64, labels (B,) or None -> logits (B, K, H, W); those at a place depend on earlier codes alone.

        labels: 0 to classes - 1, or `classes` (as None) where none is given.
        """
        return self._logits(self._checked(codes), self._label(codes, labels))

    def _checked(self, codes: Tensor) -> Tensor:
        if codes.dtype != torch.int64 or codes.ndim != 3 or tuple(codes.shape[1:]) != self.grid:
            raise ValueError(
                f"codes are {codes.dtype} {tuple(codes.shape)}; wanted int64 (B, {self.grid[0]}, {self.grid[1]})"
            )
        return codes

    def _label(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = torch.full_like(codes[:, 0, 0], self.classes)
        if labels.shape != codes.shape[:1]:
            raise ValueError(f"labels have shape {tuple(labels.shape)}; wanted ({len(codes)},), one for each grid")
        return self.label(labels)  # (B, C)


class MaskedConv2d(nn.Conv2d):
    """A convolution of odd width that sees what `causal_mask` lets it see; height and width stay as they are."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, kind: str):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.register_buffer("mask", causal_mask(kernel_size, kind), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)

    def at(self, padded: Tensor, y: int, x: int) -> Tensor:
        """The output at one place, (B, C', 1, 1), from the input with its padding, (B, C, H + k - 1, W + k - 1)."""
        k = self.kernel_size[0]
        return F.conv2d(padded[:, :, y : y + k, x : x + k], self.weight * self.mask, self.bias)


class _ResidualBranch(nn.Module):
    """Half the channels, a masked convolution, back to all: [PixelCNN], figure 5."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.narrow = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, half, 1), nn.ReLU())
        self.masked = MaskedConv2d(half, half, 3, "B")
        self.widen = nn.Sequential(nn.ReLU(), nn.Conv2d(half, channels, 1))


class PixelCNN(_Prior):
    """Masked convolutions over a grid of codes, kind A first and kind B after it. [PixelCNN], [Conditional].

    Each masked 3 x 3 sees one row further up; codes above and to the right of a place stay partly hidden, the blind
    spot that [Conditional] describes.
    """

    def __init__(
        self,
        codebook_size: int,
        grid: tuple[int, int],
        classes: int = 0,
        channels: int = 64,
        layers: int = 4,
        first_kernel: int = 5,
    ):
        # the first layer is the widest: a code embedded in a quarter of the channels makes it four times cheaper
        super().__init__(codebook_size, grid, classes, channels, embedding=channels // 4)
        self.first = MaskedConv2d(channels // 4, channels, first_kernel, "A")
        self.branches = nn.ModuleList(_ResidualBranch(channels) for _ in range(layers))
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, 2 * channels, 1), nn.ReLU(), nn.Conv2d(2 * channels, codebook_size, 1)
        )

    def _logits(self, codes: Tensor, label: Tensor) -> Tensor:
        x = self.embed(codes).movedim(-1, 1)  # (B, H, W, C / 4) -> (B, C / 4, H, W)
        x = self.first(x) + label[:, :, None, None]  # (B, C, H, W)
        for branch in self.branches:
            x = x + branch.widen(branch.masked(branch.narrow(x)))
        return self.head(x)  # (B, K, H, W)

    def _logits_at(self, place: int, codes: Tensor, label: Tensor, cache: dict) -> Tensor:
        """Logits (B, K) at one place. What the layers of kind B read is kept, and completed place by place."""
        y, x = divmod(place, self.grid[1])
        embedded = F.pad(self.embed(codes).movedim(-1, 1), 2 * self.first.padding)  # codes still to come are masked
        value = self.first.at(embedded, y, x) + label[:, :, None, None]  # (B, C, 1, 1)
        for branch in self.branches:
            narrow = branch.narrow(value)  # (B, C / 2, 1, 1)
            if branch not in cache:
                cache[branch] = narrow.new_zeros(*narrow.shape[:2], self.grid[0] + 2, self.grid[1] + 2)
            cache[branch][:, :, y + 1, x + 1] = narrow[:, :, 0, 0]  # the padding is 1
            value = value + branch.widen(branch.masked.at(cache[branch], y, x))
        return self.head(value)[:, :, 0, 0]  # (B, K, 1, 1) -> (B, K)


class _TransformerBlock(nn.Module):
    """Causal attention, then a two-layer network, each added to what came in, on normalised input."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 3 * channels, bias=False))
        self.merge = nn.Linear(channels, channels, bias=False)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor, cache: dict | None = None) -> Tensor:
        """(B, N, C) -> (B, N, C). With a cache, x is the newest place alone, N = 1, and looks at all before it."""
        q, k, v = (
            self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # each (B, heads, N, C/heads)
        if cache is not None:
            if self in cache:
                k, v = (torch.cat([old, new], 2) for old, new in zip(cache[self], (k, v)))
            cache[self] = k, v
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)  # (B, heads, N, C/heads)
        x = x + self.merge(seen.transpose(1, 2).flatten(2))  # (B, N, C)
        return x + self.feed_forward(x)


class CodeTransformer(_Prior):
    """A small causal transformer over the codes as a sequence, the label in front. [Attention], decoder alone."""

    def __init__(
        self,
        codebook_size: int,
        grid: tuple[int, int],
        classes: int = 0,
        channels: int = 64,
        layers: int = 4,
        heads: int = 4,
    ):
        super().__init__(codebook_size, grid, classes, channels, embedding=channels)
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be shared by {heads} heads evenly")
        self.position = nn.Parameter(0.02 * torch.randn(math.prod(grid), channels))
        self.blocks = nn.ModuleList(_TransformerBlock(channels, heads) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, codebook_size))

    def _logits(self, codes: Tensor, label: Tensor) -> Tensor:
        shifted = self.embed(codes.flatten(1)[:, :-1])  # (B, H W - 1, C): each place is given the code before it
        x = torch.cat([label[:, None], shifted], 1) + self.position  # (B, H W, C)
        for block in self.blocks:
            x = block(x)
        return self.head(x).mT.unflatten(-1, self.grid)  # (B, H W, K) -> (B, K, H, W)

    def _logits_at(self, place: int, codes: Tensor, label: Tensor, cache: dict) -> Tensor:
        """Logits (B, K) at one place. Each block keeps the keys and values of the places before."""
        x = self.embed(codes.flatten(1)[:, place - 1]) if place else label  # (B, C)
        x = (x + self.position[place])[:, None]  # (B, 1, C)
        for block in self.blocks:
            x = block(x, cache)
        return self.head(x)[:, 0]  # (B, 1, K) -> (B, K)


# ----------------------------------------------------------------------------------------------------------------------
# Drawing from them


@torch.no_grad()
def sample(
    prior: PixelCNN | CodeTransformer,
    count: int,
    *,
    labels: Tensor | None = None,
    temperature: float = 1.0,
    known: Tensor | None = None,
    generator: Generator | None = None,
    cached: bool = True,
) -> Tensor:
    """-> codes (count, H, W) int64, drawn one place after the other from p(code | codes before it, label).

    labels: (count,) int64, the class of each; None for any.
    known: (count, H, W) int64 with -1 where a code is to be drawn; the others are kept. What is drawn has heard of
        the codes *before* it alone: with known codes at the end of the grid this is no sample of p(rest | known).
    cached: what was computed for earlier places is kept, so a place costs one place's work and not a whole grid's.
        The logits are the same up to rounding.

    The prior is asked in eval mode, and left as it was.
    """
    device, (height, width) = prior.embed.weight.device, prior.grid
    known = torch.full((count, height, width), -1, device=device) if known is None else known.to(device)
    if known.dtype != torch.int64 or known.shape != (count, height, width) or not (known < prior.codebook_size).all():
        raise ValueError(
            f"known is {known.dtype} {tuple(known.shape)}, at most {known.max()}; wanted int64 ({count}, {height}, "
            f"{width}) of codes below {prior.codebook_size}, and -1 where one is to be drawn"
        )
    was_training, cache = prior.training, {}
    prior.eval()
    try:
        codes = known.clamp(min=0)  # zeros where nothing is drawn yet; no prediction looks at them
        label = prior._label(codes, labels)
        for place in range(height * width):
            y, x = divmod(place, width)
            logits = prior._logits_at(place, codes, label, cache) if cached else prior._logits(codes, label)[:, :, y, x]
            drawn = sample_codes(logits, temperature, generator)  # (count,)
            codes[:, y, x] = torch.where(known[:, y, x] < 0, drawn, known[:, y, x])
        return codes
    finally:
        prior.train(was_training)


def _check_logits(logits: Tensor) -> None:
    if not logits.is_floating_point() or logits.ndim < 2 or logits.numel() == 0:
        raise ValueError(
            f"logits are {logits.dtype} {tuple(logits.shape)}; wanted floating-point (B, K, *S), not empty"
        )
    if not torch.isfinite(logits.detach()).all():
        raise ValueError("logits hold NaN or infinite values; wanted finite numbers. Has the training diverged?")
