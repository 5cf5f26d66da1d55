"""Right answers to exercise 09 in other styles: its checks must accept each of them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.quantize import kmeans_init, nearest_codes


def each_row_once_before_any_twice(flat, codebook_size, iterations=10, generator=None):
    rounds = math.ceil(codebook_size / len(flat))
    places = torch.cat([torch.randperm(len(flat), generator=generator) for _ in range(rounds)])[:codebook_size]
    codebook = flat[places]
    counts = torch.bincount(nearest_codes(flat, codebook), minlength=codebook_size)
    for _ in range(iterations):
        codes = nearest_codes(flat, codebook)
        counts = torch.bincount(codes, minlength=codebook_size)
        sums = torch.zeros_like(codebook).index_add_(0, codes, flat)
        codebook = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], codebook)
    return codebook, counts.float()


def one_hot_and_stopped_early(flat, codebook_size, iterations=10, generator=None):
    codebook = flat[torch.randint(0, flat.shape[0], (codebook_size,), generator=generator)]

    def chosen(codebook):
        return F.one_hot(torch.cdist(flat, codebook).argmin(1), codebook_size).to(flat.dtype)

    counts = chosen(codebook).sum(0)
    for _ in range(iterations):
        one_hot = chosen(codebook)  # (N, K)
        counts = one_hot.sum(0)
        used = counts > 0
        moved = codebook.clone()
        moved[used] = (one_hot.T @ flat)[used] / counts[used, None]
        if torch.equal(moved, codebook):
            break
        codebook = moved
    return codebook, counts


def code_by_code(flat, codebook_size, iterations=10, generator=None):
    repeats = codebook_size > len(flat)
    weights = torch.ones(len(flat), device=flat.device)
    codebook = flat[torch.multinomial(weights, codebook_size, replacement=repeats, generator=generator)].clone()
    for step in range(max(iterations, 1)):
        codes = ((flat[:, None, :] - codebook[None, :, :]) ** 2).sum(2).min(dim=1).indices
        counts = torch.tensor([float((codes == k).sum()) for k in range(codebook_size)], device=flat.device)
        if step < iterations:
            for k in range(codebook_size):
                if counts[k] > 0:
                    codebook[k] = flat[codes == k].mean(dim=0)
    return codebook, counts


def number_by_number(flat, codebook_size, iterations=10, generator=None):
    rows = flat.tolist()
    codebook = [list(rows[torch.randint(len(rows), (1,), generator=generator).item()]) for _ in range(codebook_size)]

    def nearest(row):
        return min(range(codebook_size), key=lambda k: sum((x - e) ** 2 for x, e in zip(row, codebook[k])))

    codes = [nearest(row) for row in rows]
    for _ in range(iterations):
        codes = [nearest(row) for row in rows]
        for k in range(codebook_size):
            mine = [row for row, code in zip(rows, codes) if code == k]
            if mine:
                codebook[k] = [sum(column) / len(mine) for column in zip(*mine)]
    counts = [codes.count(k) for k in range(codebook_size)]
    return flat.new_tensor(codebook), flat.new_tensor(counts)


def with_numpy(flat, codebook_size, iterations=10, generator=None):
    rng = np.random.default_rng(torch.randint(2**31, (1,), generator=generator).item())
    points = flat.detach().cpu().numpy().astype(np.float64)
    codebook = points[rng.choice(len(points), codebook_size, replace=len(points) < codebook_size)]
    for _ in range(max(1, iterations)):
        codes = np.square(points[:, None] - codebook).sum(-1).argmin(1)
        counts = np.bincount(codes, minlength=codebook_size)
        if iterations > 0:
            sums = np.zeros_like(codebook)
            np.add.at(sums, codes, points)
            codebook[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return torch.from_numpy(codebook).to(flat), torch.from_numpy(counts).to(flat)


def spread_out_start(flat, codebook_size, iterations=10, generator=None):
    """k-means++: a row far from the rows drawn so far is drawn more readily."""
    places = [int(torch.randint(len(flat), (), generator=generator))]
    while len(places) < codebook_size:
        gap = torch.cdist(flat, flat[places]).amin(1).square().cpu()
        weights = gap if gap.sum() > 1e-9 else torch.ones(len(flat))
        places.append(int(torch.multinomial(weights, 1, generator=generator)))
    codebook = flat[places]
    with torch.no_grad():
        codes = torch.cdist(flat, codebook).argmin(1)
        for _ in range(iterations):
            codes = torch.cdist(flat, codebook).argmin(1)
            index = codes[:, None].expand_as(flat)
            codebook = codebook.scatter_reduce(0, index, flat, "mean", include_self=False)
    return codebook, torch.zeros(codebook_size, device=flat.device).scatter_add(
        0, codes, torch.ones_like(codes).float()
    )


# ----------------------------------------------------------------------------------------------------------------------


def masked_rows(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    codebook, cluster_size, embed_sum = codebook.clone(), cluster_size.clone(), embed_sum.clone()
    dead = cluster_size < threshold
    latents = flat[torch.randint(len(flat), (int(dead.sum()),), generator=generator)]
    codebook[dead] = latents
    cluster_size[dead] = 1
    embed_sum[dead] = latents
    return codebook, cluster_size, embed_sum


def chosen_by_where(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = cluster_size < threshold
    places = torch.randint(0, flat.shape[0], cluster_size.shape, generator=generator)
    new = torch.where(dead[:, None], flat[places], codebook)
    return (
        new,
        torch.where(dead, torch.ones_like(cluster_size), cluster_size),
        torch.where(dead[:, None], new, embed_sum),
    )


def one_code_at_a_time(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    result = [t.detach().clone() for t in (codebook, cluster_size, embed_sum)]
    for k, count in enumerate(cluster_size.tolist()):
        if count < threshold:
            latent = flat[torch.randint(len(flat), (1,), generator=generator).item()]
            result[0][k], result[1][k], result[2][k] = latent, 1.0, latent
    return tuple(result)


def permutations(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = (cluster_size < threshold).nonzero().flatten()
    rounds = math.ceil(len(dead) / len(flat))
    places = [torch.randperm(len(flat), generator=generator) for _ in range(rounds)]
    latents = flat[torch.cat(places)[: len(dead)]] if rounds else flat[:0]
    ones = cluster_size.new_ones(len(dead))
    return [
        codebook.index_copy(0, dead, latents),
        cluster_size.index_copy(0, dead, ones),
        embed_sum.index_copy(0, dead, latents),
    ]


def as_numbers_that_weigh(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    dead = (cluster_size < threshold).to(flat.dtype)
    places = torch.multinomial(torch.ones(len(flat)), len(codebook), replacement=True, generator=generator)
    latents = flat[places] * dead[:, None]
    alive = (1 - dead)[:, None]
    return codebook * alive + latents, cluster_size * (1 - dead) + dead, embed_sum * alive + latents


def with_numpy_arrays(codebook, cluster_size, embed_sum, flat, threshold, generator=None):
    rng = np.random.default_rng(torch.randint(2**31, (1,), generator=generator).item())
    arrays = [t.cpu().numpy().copy() for t in (codebook, cluster_size, embed_sum)]
    dead = np.flatnonzero(arrays[1] < threshold)
    latents = flat.cpu().numpy()[rng.integers(len(flat), size=len(dead))]
    arrays[0][dead], arrays[1][dead], arrays[2][dead] = latents, 1, latents
    return tuple(torch.from_numpy(array).to(codebook.device) for array in arrays)


VARIANTS = {
    "kmeans_init": [
        kmeans_init,
        each_row_once_before_any_twice,
        one_hot_and_stopped_early,
        code_by_code,
        number_by_number,
        with_numpy,
        spread_out_start,
    ],
    "restart_dead_codes": [
        masked_rows,
        chosen_by_where,
        one_code_at_a_time,
        permutations,
        as_numbers_that_weigh,
        with_numpy_arrays,
    ],
}
