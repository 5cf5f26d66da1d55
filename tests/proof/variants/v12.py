"""Right answers to exercise 12 in other styles: its checks must accept each of them."""

import math

import numpy as np
import torch
from torch import nn


def floor_of_a_fraction(length, kernel, stride, padding):
    return math.floor((length + 2 * padding - kernel) / stride + 1)


def counted(length, kernel, stride, padding):
    latents, start = 0, -padding
    while start + kernel <= length + padding:
        latents, start = latents + 1, start + stride
    return latents


def length_of_a_range(length, kernel, stride, padding):
    return len(range(0, length + 2 * padding - kernel + 1, stride))


def asked_of_the_layer(length, kernel, stride, padding):
    layer = nn.Conv1d(1, 1, kernel, stride=stride, padding=padding)
    with torch.no_grad():
        return layer(torch.zeros(1, 1, length)).shape[-1]


def formula_of_the_manual(length, kernel, stride, padding, dilation=1):
    return int((length + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1)


def windows_unfolded(length, kernel, stride, padding):
    padded = torch.zeros(length + 2 * padding)
    return padded.unfold(0, kernel, stride).shape[0]


def rounded_up_places(length, kernel, stride, padding):
    return -(-(length + 2 * padding - kernel + 1) // stride)


# ----------------------------------------------------------------------------------------------------------------------


def difference_of_logarithms(original, reconstruction):
    axes = tuple(range(1, original.ndim))
    signal = (original**2).sum(dim=axes)
    noise = ((original - reconstruction) ** 2).sum(dim=axes)
    return 10 * (signal.log10() - noise.log10())


def norms_and_20(original, reconstruction):
    signal = torch.linalg.vector_norm(original.reshape(len(original), -1), dim=1)
    noise = torch.linalg.vector_norm((reconstruction - original).reshape(len(original), -1), dim=1)
    return 20 * torch.log10(signal / noise)


def means_for_sums(original, reconstruction):
    power = original.pow(2).flatten(start_dim=1).mean(dim=-1)
    error = (original - reconstruction).pow(2).flatten(start_dim=1).mean(dim=-1)
    return torch.log10(power / error) * 10.0


def one_recording_at_a_time(original, reconstruction):
    result = original.new_empty(original.shape[0])
    for index, (sound, made) in enumerate(zip(original, reconstruction)):
        noise = nn.functional.mse_loss(made, sound, reduction="sum")
        result[index] = 10 * torch.log10((sound * sound).sum() / noise)
    return result


def inner_products(original, reconstruction):
    x, e = original.flatten(1), (original - reconstruction).flatten(1)
    return 10 * torch.log10(torch.einsum("bn,bn->b", x, x) / torch.linalg.vecdot(e, e))


def natural_and_rescaled(original, reconstruction):
    ratio = original.square().flatten(1).sum(1) / (original - reconstruction).square().flatten(1).sum(1)
    return 10 * ratio.log() / math.log(10)


def with_numpy(original, reconstruction):
    x, y = (t.cpu().numpy().astype(np.float64) for t in (original, reconstruction))
    axes = tuple(range(1, x.ndim))
    with np.errstate(divide="ignore"):
        return torch.from_numpy(10 * np.log10((x**2).sum(axes) / ((x - y) ** 2).sum(axes))).to(original)


def perfect_ones_apart(original, reconstruction):
    signal = original.square().flatten(1).sum(1)
    noise = (original - reconstruction).square().flatten(1).sum(1)
    perfect = noise == 0
    snr = 10 * torch.log10(signal / torch.where(perfect, torch.ones_like(noise), noise))
    return snr.masked_fill(perfect, float("inf"))


VARIANTS = {
    "latent_length": [
        floor_of_a_fraction,
        counted,
        length_of_a_range,
        asked_of_the_layer,
        formula_of_the_manual,
        windows_unfolded,
        rounded_up_places,
    ],
    "snr_db": [
        difference_of_logarithms,
        norms_and_20,
        means_for_sums,
        one_recording_at_a_time,
        inner_products,
        natural_and_rescaled,
        with_numpy,
        perfect_ones_apart,
    ],
}
