"""Autoencoders around a quantiser.

Axes: B batch, C channels, H W height and width, L latents per image, D latent dimension, K codebook size.
"""

import torch
from torch import Tensor, nn

from course_lib.quantize import flatten_latents, look_up, nearest_codes


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
    """x + branch(x), the branch 3x3 to `residual_channels`, then 1x1 back: (B, C, H, W) -> (B, C, H, W).

    The ReLU that opens the branch works on a copy. In place it would change x before the sum, so that the skip path
    carried relu(x).
    """

    def __init__(self, channels: int, residual_channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, residual_channels, kernel_size=3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(residual_channels, channels, kernel_size=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class ResNetVQVAE(nn.Module):
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
        super().__init__()
        if getattr(quantizer, "channel_last", False) and not getattr(quantizer, "accept_image_fmap", False):
            raise ValueError(
                "the quantizer takes (B, *S, D); wanted (B, D, H, W): build it with channel_last=False, that of "
                "vector-quantize-pytorch with accept_image_fmap=True"
            )
        self.in_channels, self.quantizer = in_channels, quantizer
        half, dim = hidden_channels // 2, quantizer.codebook.shape[-1]

        def residual_stack():
            blocks = [ResidualBlock(hidden_channels, residual_channels) for _ in range(residual_layers)]
            return nn.Sequential(*blocks, nn.ReLU())

        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, half, kernel_size=4, stride=2, padding=1),  # (B, half, H/2, W/2)
            nn.ReLU(),
            nn.Conv2d(half, hidden_channels, kernel_size=4, stride=2, padding=1),  # (B, hidden, H/4, W/4)
            nn.ReLU(),
            nn.Conv2d(hidden_channels, hidden_channels, kernel_size=3, padding=1),
            residual_stack(),
            nn.Conv2d(hidden_channels, dim, kernel_size=1),  # (B, D, H/4, W/4)
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, hidden_channels, kernel_size=3, padding=1),  # (B, hidden, H/4, W/4)
            residual_stack(),
            nn.ConvTranspose2d(hidden_channels, half, kernel_size=4, stride=2, padding=1),  # (B, half, H/2, W/2)
            nn.ReLU(),
            nn.ConvTranspose2d(half, in_channels, kernel_size=4, stride=2, padding=1),  # (B, C, H, W)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) in [-0.5, 0.5] -> reconstruction (B, C, H, W), codes (B, H/4, W/4) int64, vq_loss (0-d)."""
        quantized, codes, vq_loss = self.quantizer(self._latents(x))
        return self.decoder(quantized), codes, vq_loss.sum()  # 0-d; some versions of the library give shape (1,)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> codes (B, H/4, W/4) int64. Never updates the codebook, in training mode neither."""
        latents = self._latents(x)  # (B, D, H/4, W/4)
        codes = nearest_codes(flatten_latents(latents), self.quantizer.codebook)  # (N,)
        return codes.reshape(latents[:, 0].shape)

    def decode(self, codes: Tensor) -> Tensor:
        """(B, H/4, W/4) int64 -> (B, C, H, W)."""
        if codes.ndim != 3:
            raise ValueError(f"codes have shape {tuple(codes.shape)}; wanted (B, H/4, W/4)")
        return self.decoder(look_up(codes, self.quantizer.codebook).movedim(-1, 1))  # (B, D, H/4, W/4) -> (B, C, H, W)

    def _latents(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.in_channels or x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; wanted (B, {self.in_channels}, H, W) with H and W divisible by 4"
            )
        return self.encoder(x)  # (B, D, H/4, W/4)
