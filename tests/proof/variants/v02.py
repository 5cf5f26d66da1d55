"""Right answers to lesson 02 and exercise 02, written in ways that its check has to accept."""

import itertools
import math

import torch


def flatten_by_permute(latents):
    axes = [0, *range(2, latents.ndim), 1]
    return latents.permute(axes).contiguous().view(-1, latents.size(1))


def flatten_by_columns(latents):
    return torch.stack([number.flatten() for number in latents.unbind(1)], dim=1)


def flatten_turned(latents):
    return latents.transpose(0, 1).flatten(1).T


def flatten_by_a_loop(latents):
    places = itertools.product(*(range(length) for length in latents.shape[2:]))
    places = list(places)
    return torch.stack([latents[(b, slice(None), *place)] for b in range(len(latents)) for place in places])


def flatten_step_by_step(x):
    for axis in range(1, x.dim() - 1):
        x = x.swapaxes(axis, axis + 1)
    return x.flatten(0, -2)


def flatten_image_by_image(latents):
    return torch.cat([image.reshape(image.shape[0], -1).mT for image in latents])


def flatten_by_merging_first(latents):
    B, D = latents.shape[:2]
    return torch.einsum("bdn->bnd", latents.reshape(B, D, -1)).reshape(-1, D)


def flatten_into_an_empty_one(latents):
    merged = latents.reshape(*latents.shape[:2], -1)  # (B, D, N / B)
    rows = latents.new_empty(merged.shape[0] * merged.shape[2], merged.shape[1])
    for b in range(merged.shape[0]):
        for n in range(merged.shape[2]):
            rows[b * merged.shape[2] + n] = merged[b, :, n]
    return rows


def flatten_by_einops(latents):
    from einops import rearrange

    return rearrange(latents, "b d ... -> (b ...) d")


def unflatten_by_permute(flat, shape):
    split = flat.reshape(shape[:1] + shape[2:] + shape[1:2])
    return split.permute(0, -1, *range(1, len(shape) - 1))


def unflatten_by_view(flat, shape):
    batch, dim, *spatial = shape
    return flat.view(batch, *spatial, dim).movedim(-1, 1)  # .view can always split an axis; merging is what it refuses


def unflatten_by_columns(flat, shape):
    return torch.stack([column.reshape(shape[0], *shape[2:]) for column in flat.unbind(1)], dim=1)


def unflatten_turned(flat, shape):
    return flat.T.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)


def unflatten_by_merging_first(flat, shape):
    return flat.reshape(shape[0], -1, shape[1]).transpose(1, 2).reshape(shape)


def unflatten_image_by_image(flat, shape):
    return torch.stack([rows.T.reshape(shape[1:]) for rows in flat.chunk(shape[0])])


def unflatten_in_place(flat, shape):
    rows = math.prod(shape[2:])
    latents = flat.new_zeros(shape[0], shape[1], rows)
    for n in range(len(flat)):
        latents[n // rows, :, n % rows] = flat[n]
    return latents.view(shape)


def unflatten_named(flat, shape):
    return torch.moveaxis(flat.unflatten(0, (shape[0], *shape[2:])), -1, 1).contiguous()


def rows_by_movedim(latents):
    return latents.movedim(1, 3).flatten(0, 2)


def rows_by_einops(latents):
    from einops import rearrange

    return rearrange(latents, "b d h w -> (b h w) d")


def rows_by_contiguous_and_view(z):
    B, D, H, W = z.shape
    return z.permute(0, 2, 3, 1).contiguous().view(B * H * W, D)


def rows_by_merging_first(latents):
    return torch.cat(list(latents.flatten(2).transpose(1, 2)))


def rows_place_by_place(latents):
    B, D, H, W = latents.shape
    return torch.stack([latents[b, :, h, w] for b in range(B) for h in range(H) for w in range(W)])


def grid_by_movedim(rows, shape):
    B, D, H, W = shape
    return rows.view(B, H, W, D).movedim(-1, 1).contiguous()


def grid_by_einops(rows, shape):
    from einops import rearrange

    B, _, H, W = shape
    return rearrange(rows, "(b h w) d -> b d h w", b=B, h=H, w=W)


def grid_by_merging_first(rows, shape):
    B, D, H, W = shape
    return rows.reshape(B, H * W, D).transpose(1, 2).reshape(B, D, H, W)


def grid_place_by_place(rows, shape):
    B, D, H, W = shape
    latents = torch.zeros(shape)
    for n, row in enumerate(rows):
        latents[n // (H * W), :, n // W % H, n % W] = row
    return latents


VARIANTS = {
    "my_rows": [
        rows_by_movedim,
        rows_by_einops,
        rows_by_contiguous_and_view,
        rows_by_merging_first,
        rows_place_by_place,
    ],
    "my_grid": [grid_by_movedim, grid_by_einops, grid_by_merging_first, grid_place_by_place],
    "flatten_latents": [
        flatten_by_permute,
        flatten_by_columns,
        flatten_turned,
        flatten_by_a_loop,
        flatten_step_by_step,
        flatten_image_by_image,
        flatten_by_merging_first,
        flatten_into_an_empty_one,
        flatten_by_einops,
    ],
    "unflatten_latents": [
        unflatten_by_permute,
        unflatten_by_view,
        unflatten_by_columns,
        unflatten_turned,
        unflatten_by_merging_first,
        unflatten_image_by_image,
        unflatten_in_place,
        unflatten_named,
    ],
}
