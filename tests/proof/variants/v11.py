"""Right answers to exercise 11 in other styles: its checks must accept each of them."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from course_lib.quantize import flatten_latents, unflatten_latents


def by_eigenvectors(latents):
    B, D, H, W = latents.shape
    flat = latents.permute(0, 2, 3, 1).reshape(B * H * W, D)
    flat = flat - flat.mean(dim=0, keepdim=True)
    _, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    main = vectors[:, [-1, -2, -3]]  # (D, 3), largest first
    maps = (flat @ main).reshape(B, H, W, 3).permute(0, 3, 1, 2)
    low = maps.flatten(2).min(dim=2).values[:, :, None, None]
    high = maps.flatten(2).max(dim=2).values[:, :, None, None]
    return torch.where(high > low, (maps - low) / (high - low), torch.zeros_like(maps))


def low_rank(latents):
    flat = flatten_latents(latents)
    _, _, V = torch.pca_lowrank(flat, q=3)
    maps = unflatten_latents((flat - flat.mean(0)) @ V, (len(latents), 3, *latents.shape[2:]))
    maps = maps - maps.amin((2, 3), keepdim=True)
    return maps / (maps.amax((2, 3), keepdim=True) + 1e-8)


def left_vectors(latents):
    """U in place of the projections: stretching makes the same of both."""
    B, _, H, W = latents.shape
    flat = torch.einsum("bdhw->bhwd", latents).flatten(0, 2)
    U = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[0]
    maps = U[:, :3].unflatten(0, (B, H, W)).movedim(3, 1)
    low, high = torch.aminmax(maps.reshape(B, 3, -1), dim=2, keepdim=True)
    return torch.nan_to_num((maps - low[..., None]) / (high - low)[..., None]).clamp(0, 1)


def scikit_learn(latents):
    B, D, H, W = latents.shape
    points = latents.cpu().numpy().transpose(0, 2, 3, 1).reshape(-1, D)
    maps = PCA(3).fit_transform(points).reshape(B, H, W, 3)
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    maps = (maps - low) / np.maximum(high - low, 1e-8)
    return torch.from_numpy(maps.transpose(0, 3, 1, 2).copy()).to(latents)


def without_centring_the_projections(latents):
    """The mean moves every projection alike: stretching takes it away again."""
    flat = latents.movedim(1, 3).flatten(0, 2)
    directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:3]
    maps = F.conv2d(latents, directions[:, :, None, None])
    result = torch.zeros_like(maps)
    for b, image in enumerate(maps):
        for c, channel in enumerate(image):
            span = channel.max() - channel.min()
            if span > 1e-6:
                result[b, c] = (channel - channel.min()) / span
    return result


# ----------------------------------------------------------------------------------------------------------------------


def product_with_a_mask(latents, row, column):
    mask = torch.ones_like(latents)
    mask[..., row, column] = 0
    return mask * latents


def where(latents, row, column):
    _, _, height, width = latents.shape
    rows = torch.arange(height, device=latents.device)[:, None] == row
    columns = torch.arange(width, device=latents.device)[None, :] == column
    return torch.where(rows & columns, 0.0, latents)


def filled(latents, row, column):
    mask = torch.zeros(latents.shape[2:], dtype=torch.bool, device=latents.device)
    mask[row, column] = True
    return latents.masked_fill(mask, 0)


def number_by_number(latents, row, column):
    masked = latents.clone()
    for image in range(latents.shape[0]):
        for channel in range(latents.shape[1]):
            masked[image, channel, row, column] = 0.0
    return masked


def by_place_in_the_flat_grid(latents, row, column):
    place = torch.tensor([row * latents.shape[3] + column], device=latents.device)
    return latents.flatten(2).index_fill(2, place, 0).view(latents.shape)


def one_hot_complement(latents, row, column):
    place = torch.tensor(row * latents.shape[3] + column, device=latents.device)
    hole = F.one_hot(place, latents[0, 0].numel()).reshape(latents.shape[2:])
    return latents * (1 - hole)


VARIANTS = {
    "pca_colours": [by_eigenvectors, low_rank, left_vectors, scikit_learn, without_centring_the_projections],
    "mask_position": [
        product_with_a_mask,
        where,
        filled,
        number_by_number,
        by_place_in_the_flat_grid,
        one_hot_complement,
    ],
}
