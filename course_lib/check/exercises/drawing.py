"""What several exercises draw: latents of any number of axes, and small whole numbers that make exact ties."""

import torch
from torch import Generator, Tensor

SPATIAL = [(), (5,), (3, 4), (2, 3, 2)]  # none, T, H W, T H W


def normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def whole(generator: Generator, *shape: int, low: int = -2, high: int = 2) -> Tensor:
    """Whole numbers from low to high as float32: sums of their products are exact, so equal distances are equal."""
    return torch.randint(low, high + 1, shape, generator=generator).float()


def number(generator: Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def scattered(values: Tensor) -> Tensor:
    """The same values, with the last axis not the fastest in memory: `.view` refuses what `.reshape` takes."""
    return values.transpose(0, -1).contiguous().transpose(0, -1)
