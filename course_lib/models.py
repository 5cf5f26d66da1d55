"""Autoencoders around a quantiser.

Axes: B batch, C channels, S spatial axes (T, H W, or T H W) and S' the same after the encoder, L latents per image, D
latent dimension, K codebook size.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.quantize import flatten_latents, look_up, nearest_codes

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTIONS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
AXES = {1: ("T",), 2: ("H", "W"), 3: ("T", "H", "W")}


class MLPVQVAE(nn.Module):
    """The fully connected VQ-VAE of lessons 07 and 08: images as flat vectors with values in [0, 1].

    quantizer: takes (B, L, D), so a channel-last one, and returns (quantized, codes, loss): a layer of
    `course_lib.quantize` or `vector_quantize_pytorch.VectorQuantize`. D and the codebook are read from its `codebook`.
    """

    def __init__(
        self, input_dim: int, vector_dim: int, latents_per_image: int, quantizer: nn.Module, hidden_dim: int = 300
    ):
        super().__init__()
        if getattr(quantizer, "channel_last", True) is not True:
            raise ValueError("the quantizer takes (B, D, *S); wanted (B, L, D): build it with channel_last=True")
        if quantizer.codebook.shape[-1] != vector_dim:
            raise ValueError(f"vector_dim is {vector_dim}, the codes have dimension {quantizer.codebook.shape[-1]}")
        self.input_dim, self.vector_dim, self.latents_per_image = input_dim, vector_dim, latents_per_image
        self.quantizer = quantizer
        self.encoder = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.LeakyReLU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.LeakyReLU(),
            nn.Linear(hidden_dim, latents_per_image * vector_dim),
            nn.Unflatten(1, (latents_per_image, vector_dim)),  # (B, L, D)
        )
        self.decoder = nn.Sequential(
            nn.Flatten(),  # (B, L * D)
            nn.Linear(latents_per_image * vector_dim, hidden_dim),
            nn.LeakyReLU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.LeakyReLU(),
            nn.Linear(hidden_dim, input_dim),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, input_dim) in [0, 1] -> reconstruction (B, input_dim), codes (B, L) int64, vq_loss (0-d)."""
        quantized, codes, vq_loss = self.quantizer(self._latents(x))
        return self.decoder(quantized), codes, vq_loss.sum()  # 0-d; some versions of the library give shape (1,)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(B, input_dim) -> codes (B, L) int64. Never updates the codebook, in training mode neither."""
        latents = self._latents(x)  # (B, L, D)
        return nearest_codes(latents.flatten(0, 1), self.quantizer.codebook).reshape(latents.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """(B, L) int64 -> (B, input_dim)."""
        if codes.ndim != 2 or codes.shape[1] != self.latents_per_image:
            raise ValueError(f"codes have shape {tuple(codes.shape)}; wanted (B, {self.latents_per_image})")
        return self.decoder(look_up(codes, self.quantizer.codebook))

    def _latents(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.input_dim:
            raise ValueError(f"x has shape {tuple(x.shape)}; wanted (B, {self.input_dim}): flatten the images first")
        return self.encoder(x)  # (B, L, D)


class ResidualBlock(nn.Module):
    """x + branch(x), the branch 3x3 to `residual_channels`, then 1x1 back: (B, C, *S) -> (B, C, *S).

    axes: how many spatial axes S there are, 1, 2 or 3; the kernels have as many.

    The ReLU that opens the branch works on a copy. In place it would change x before the sum, so that the skip path
    carried relu(x).
    """

    def __init__(self, channels: int, residual_channels: int, axes: int = 2):
        super().__init__()
        conv = CONVOLUTIONS[axes]
        self.branch = nn.Sequential(
            nn.ReLU(),
            conv(channels, residual_channels, kernel_size=3, padding=1, bias=False),
            nn.ReLU(),
            conv(residual_channels, channels, kernel_size=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class ConvVQVAE(nn.Module):
    """A convolutional VQ-VAE of signals with 1, 2 or 3 spatial axes: sound, images, video.

    The encoder shortens the axes by one strided convolution for each entry of `strides`; the decoder mirrors it. The
    last layer is linear. Only the kind of convolution depends on `axes`: the quantiser is the same.

    quantizer: takes (B, D, *S) and returns (quantized, codes (B, *S), loss): a layer of `course_lib.quantize`, or
        `vector_quantize_pytorch.VectorQuantize` with channel_last=False (sound), accept_image_fmap=True (images) or
        accept_3d_fmap=True (video). D and the codebook come from its `codebook`.
    axes: the number of spatial axes.
    hidden_channels: after the last strided convolution; those before it have half as many.
    strides: each a number for all axes, or a tuple with one for each. A stride is even, with kernel 2 x stride and
        padding stride / 2, so that a length is divided by exactly stride; or 1, which leaves an axis as long as it is.
    """

    def __init__(
        self,
        quantizer: nn.Module,
        axes: int,
        in_channels: int = 1,
        hidden_channels: int = 64,
        strides: Sequence[int | tuple[int, ...]] = (4, 4),
        residual_channels: int = 32,
        residual_layers: int = 2,
    ):
        super().__init__()
        if axes not in CONVOLUTIONS:
            raise ValueError(f"axes is {axes}; wanted 1, 2 or 3")
        self.axes, self.in_channels, self.quantizer = axes, in_channels, quantizer
        self._check_quantizer()
        strides = _strides_by_axis(strides, axes)
        self.factors = tuple(map(math.prod, zip(*strides)))  # by which the encoder shortens each axis
        conv, transposed, dim = CONVOLUTIONS[axes], TRANSPOSED_CONVOLUTIONS[axes], quantizer.codebook.shape[-1]
        widths = [in_channels, *[hidden_channels // 2] * (len(strides) - 1), hidden_channels]
        steps = list(zip(widths, widths[1:], map(_geometry, strides)))

        def residual_stack():
            blocks = [ResidualBlock(hidden_channels, residual_channels, axes) for _ in range(residual_layers)]
            return nn.Sequential(*blocks, nn.ReLU())

        encoder = []
        for outer, inner, geometry in steps:
            encoder += [conv(outer, inner, **geometry), nn.ReLU()]  # (B, hidden, *S') in the end
        encoder.append(conv(hidden_channels, hidden_channels, kernel_size=3, padding=1))
        encoder.append(residual_stack())
        encoder.append(conv(hidden_channels, dim, kernel_size=1))  # (B, D, *S')

        decoder = [conv(dim, hidden_channels, kernel_size=3, padding=1), residual_stack()]  # (B, hidden, *S')
        for outer, inner, geometry in reversed(steps):
            decoder += [transposed(inner, outer, **geometry), nn.ReLU()]  # (B, C, *S) in the end
        decoder.pop()  # the last layer is linear

        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, *S) -> reconstruction (B, C, *S), codes (B, *S') int64, vq_loss (0-d)."""
        quantized, codes, vq_loss = self.quantizer(self._latents(x))
        return self.decoder(quantized), codes, vq_loss.sum()  # 0-d; some versions of the library give shape (1,)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> codes (B, *S') int64. Never updates the codebook, in training mode neither."""
        latents = self._latents(x)  # (B, D, *S')
        codes = nearest_codes(flatten_latents(latents), self.quantizer.codebook)  # (N,)
        return codes.reshape(latents[:, 0].shape)

    def decode(self, codes: Tensor) -> Tensor:
        """(B, *S') int64 -> (B, C, *S)."""
        if codes.ndim != self.axes + 1:
            wanted = ", ".join(name if by == 1 else f"{name}/{by}" for name, by in zip(AXES[self.axes], self.factors))
            raise ValueError(f"codes have shape {tuple(codes.shape)}; wanted (B, {wanted})")
        return self.decoder(look_up(codes, self.quantizer.codebook).movedim(-1, 1))  # (B, D, *S') -> (B, C, *S)

    def _latents(self, x: Tensor) -> Tensor:
        fits = x.ndim == self.axes + 2 and x.shape[1] == self.in_channels
        if not fits or any(size % by for size, by in zip(x.shape[2:], self.factors)):
            names = AXES[self.axes]
            divisible = ", ".join(f"{name} divisible by {by}" for name, by in zip(names, self.factors))
            wanted = f"(B, {self.in_channels}, {', '.join(names)}) with {divisible}"
            raise ValueError(f"x has shape {tuple(x.shape)}; wanted {wanted}")
        return self.encoder(x)  # (B, D, *S')

    def _check_quantizer(self) -> None:
        option = {2: "accept_image_fmap", 3: "accept_3d_fmap"}.get(self.axes, "")
        if getattr(self.quantizer, "channel_last", False) and not getattr(self.quantizer, option, False):
            raise ValueError(
                f"the quantizer takes (B, *S, D); wanted (B, D, {', '.join(AXES[self.axes])}): build it with "
                "channel_last=False" + (f", that of vector-quantize-pytorch with {option}=True" if option else "")
            )


class ResNetVQVAE(ConvVQVAE):
    """The convolutional VQ-VAE of [VQ-VAE], section 4.1, with the sizes of its authors' CIFAR-10 example.

    Two strided convolutions shrink height and width to a quarter, so that a 32 x 32 image becomes 8 x 8 codes; the
    decoder mirrors the encoder. Images have values in [-0.5, 0.5]; the last layer is linear.

    quantizer: takes (B, D, H, W) and returns (quantized, codes (B, H, W), loss): a layer of `course_lib.quantize`, or
    `vector_quantize_pytorch.VectorQuantize(..., accept_image_fmap=True)`. D and the codebook come from its `codebook`.

    [VQ-VAE] van den Oord, Vinyals, Kavukcuoglu, 2017 (arXiv:1711.00937)
    """

    def __init__(
        self,
        quantizer: nn.Module,
        in_channels: int = 3,
        hidden_channels: int = 128,
        residual_channels: int = 32,
        residual_layers: int = 2,
    ):
        super().__init__(quantizer, 2, in_channels, hidden_channels, (2, 2), residual_channels, residual_layers)


def _strides_by_axis(strides, axes: int) -> list[tuple[int, ...]]:
    """Numbers for all axes or tuples with one for each -> tuples alone, checked."""
    by_axis = [stride if isinstance(stride, (tuple, list)) else (stride,) * axes for stride in strides]
    fits = [
        len(stride) == axes and all(isinstance(s, int) and (s == 1 or s > 0 and s % 2 == 0) for s in stride)
        for stride in by_axis
    ]
    if not all(fits) or not fits:
        raise ValueError(
            f"strides is {strides}; wanted at least one, each an even number, or a tuple of {axes} that are even or 1"
        )
    return by_axis


def _geometry(stride: tuple[int, ...]) -> dict:
    """Kernel, stride and padding, one number for each axis, that divide a length by exactly `stride`."""
    kernel = tuple(3 if s == 1 else 2 * s for s in stride)
    return {"kernel_size": kernel, "stride": stride, "padding": tuple(1 if s == 1 else s // 2 for s in stride)}
