"""Autoencoders around a quantiser. Axes: B batch, L latents per image, D latent dimension, K codebook size."""

import torch
from torch import Tensor, nn

from course_lib.quantize import look_up, nearest_codes


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
