"""Right answers to exercise 01, written in ways that its check has to accept."""

import functools
import math
import operator

import numpy as np
import torch


def bits_by_torch(grid_shape, codebook_size):
    return torch.tensor(grid_shape).prod() * torch.tensor(float(codebook_size)).log2()  # 0-d tensor


def bits_by_numpy(grid_shape, codebook_size):
    return np.prod(grid_shape) * np.log2(codebook_size)


def bits_by_a_loop(grid, size):
    places = 1
    for length in grid:
        places *= length
    bits = 0.0
    for _ in range(places):
        bits += math.log(size, 2)
    return bits


def bits_of_all_pictures(grid_shape, codebook_size):
    return math.log2(codebook_size ** functools.reduce(operator.mul, grid_shape, 1))


def bits_by_nats(grid_shape, codebook_size):
    return torch.Size(grid_shape).numel() * math.log(codebook_size) / math.log(2)


def bits_of_an_array(grid_shape, codebook_size):
    return np.full(grid_shape, np.log2(codebook_size)).sum()


def bits_by_recursion(grid_shape, codebook_size):
    if not grid_shape:
        return math.log2(codebook_size)
    return grid_shape[0] * bits_by_recursion(grid_shape[1:], codebook_size)


def ratio_by_torch(image_shape, grid_shape, codebook_size):
    image = torch.zeros(image_shape, dtype=torch.uint8)
    return torch.tensor(8.0 * image.numel() * image.element_size()) / bits_by_torch(grid_shape, codebook_size)


def ratio_by_numpy(image_shape, grid_shape, codebook_size):
    return np.iinfo(np.uint8).bits * np.prod(image_shape) / (np.prod(grid_shape) * np.log2(codebook_size))


def ratio_of_powers(image_shape, grid_shape, codebook_size):
    return math.log(256, codebook_size) * math.prod(image_shape) / math.prod(grid_shape)


def ratio_by_loops(image_shape, grid_shape, codebook_size):
    ratio = 8 / math.log2(codebook_size)
    for length in image_shape:
        ratio *= length
    for length in grid_shape:
        ratio /= length
    return ratio


def ratio_of_bytes(image_shape, grid_shape, codebook_size):
    return np.zeros(image_shape, np.uint8).nbytes / (bits_by_a_loop(grid_shape, codebook_size) / 8)


def choice_by_cdist(tile, box):
    return torch.cdist(tile[None], box)[0].argmin()  # 0-d tensor


def choice_by_a_loop(tile, stamps):
    best, smallest = 0, math.inf
    for number, stamp in enumerate(stamps):
        difference = sum((a - b) ** 2 for a, b in zip(stamp.tolist(), tile.tolist()))
        if difference < smallest:
            best, smallest = number, difference
    return best


def choice_by_norm(tile, box):
    return int((tile - box).norm(dim=-1).min(dim=0).indices)


def choice_by_key(tile, box):
    return min(range(len(box)), key=lambda k: ((box[k] - tile) ** 2).mean().item())


def middles_by_one_hot(tiles, codes, box):
    chosen = torch.nn.functional.one_hot(codes, len(box)).float()  # (N, K)
    counts = chosen.sum(0)[:, None]  # (K, 1)
    return torch.where(counts > 0, chosen.T @ tiles / counts.clamp(min=1), box)


def middles_by_index_add(tiles, codes, box):
    sums = torch.zeros_like(box).index_add_(0, codes, tiles)
    counts = torch.bincount(codes, minlength=len(box))
    new = sums / counts[:, None]
    new[counts == 0] = box[counts == 0]
    return new


def middles_by_rows(tiles, codes, box):
    rows = []
    for k in range(len(box)):
        mine = tiles[codes == k]
        rows.append(mine.mean(0) if len(mine) else box[k])
    return torch.stack(rows)


VARIANTS = {
    "bits_per_image": [
        bits_by_torch,
        bits_by_numpy,
        bits_by_a_loop,
        bits_of_all_pictures,
        bits_by_nats,
        bits_of_an_array,
        bits_by_recursion,
    ],
    "compression_ratio": [ratio_by_torch, ratio_by_numpy, ratio_of_powers, ratio_by_loops, ratio_of_bytes],
    "my_choice": [choice_by_cdist, choice_by_a_loop, choice_by_norm, choice_by_key],
    "my_middles": [middles_by_one_hot, middles_by_index_add, middles_by_rows],
}
