"""Right answers to exercise 03, written in ways that its check has to accept."""

import torch
import torch.nn.functional as F


def distances_by_cdist(flat, codebook):
    return torch.cdist(flat, codebook) ** 2


def distances_expanded(flat, codebook):
    return flat.pow(2).sum(1, keepdim=True) - 2 * flat @ codebook.T + codebook.pow(2).sum(1)


def distances_by_addmm(flat, codebook):
    squares = (flat * flat).sum(1)[:, None] + (codebook * codebook).sum(1)[None, :]
    return torch.addmm(squares, flat, codebook.t(), alpha=-2.0).clamp(min=-1e-4)


def distances_by_einsum(flat, codebook):
    differences = flat[:, None] - codebook
    return torch.einsum("nkd,nkd->nk", differences, differences)


def distances_code_by_code(flat, codebook):
    return torch.stack([((flat - code) ** 2).sum(-1) for code in codebook], dim=1)


def distances_one_by_one(flat, codebook):
    table = flat.new_empty(len(flat), len(codebook))
    for n, latent in enumerate(flat):
        for k, code in enumerate(codebook):
            table[n, k] = torch.dot(latent - code, latent - code)
    return table


def distances_by_norm(flat, codebook):
    return torch.linalg.vector_norm(flat.unsqueeze(1) - codebook, dim=2).square()


def distances_by_mse(flat, codebook):
    pairs = len(flat), len(codebook), flat.shape[1]
    return F.mse_loss(flat[:, None].expand(pairs), codebook.expand(pairs), reduction="none").sum(2)


def nearest_by_cdist(flat, codebook):
    return torch.cdist(flat, codebook).argmin(-1)


def nearest_by_min(flat, codebook):
    return (flat[:, None] - codebook[None]).pow(2).sum(-1).min(dim=1).indices


def nearest_by_topk(flat, codebook):
    distances = distances_by_einsum(flat, codebook)
    return distances.sort(dim=1, stable=True).indices[:, 0]


def nearest_by_product(flat, codebook):
    return (flat @ codebook.T - codebook.square().sum(1) / 2).argmax(1)


def nearest_by_largest_minus(flat, codebook):
    return (-torch.cdist(flat, codebook, compute_mode="donot_use_mm_for_euclid_dist")).argmax(dim=1)


def nearest_by_loops(flat, codebook):
    codes = []
    for latent in flat:
        best, lowest = 0, float("inf")
        for k in range(len(codebook)):
            distance = ((latent - codebook[k]) ** 2).sum().item()
            if distance < lowest:
                best, lowest = k, distance
        codes.append(best)
    return torch.tensor(codes, device=flat.device)


def nearest_by_lists(flat, codebook):
    rows, book = flat.tolist(), codebook.tolist()

    def squared(x, e):
        return sum((a - b) ** 2 for a, b in zip(x, e))

    codes = [min(range(len(book)), key=lambda k: squared(x, book[k])) for x in rows]
    return flat.new_tensor(codes, dtype=torch.long)


def nearest_by_narrowing(flat, codebook):
    """Code after code: a later one takes over only where it is nearer."""
    best = flat.new_full((len(flat),), float("inf"))
    codes = torch.zeros(len(flat), dtype=torch.int64, device=flat.device)
    for k, code in enumerate(codebook):
        distance = (flat - code).square().mean(1)
        codes[distance < best] = k
        best = torch.minimum(distance, best)
    return codes


def nearest_without_gradient(flat, codebook):
    with torch.no_grad():
        return distances_expanded(flat, codebook).argmin(1)


def look_up_by_index(codes, codebook):
    return codebook[codes]


def look_up_by_one_hot(codes, codebook):
    return F.one_hot(codes, codebook.size(0)).to(codebook) @ codebook


def look_up_by_einsum(codes, codebook):
    return torch.einsum("...k,kd->...d", F.one_hot(codes, len(codebook)).type_as(codebook), codebook)


def look_up_by_embedding(codes, codebook):
    return F.embedding(codes, codebook)


def look_up_sparse(codes, codebook):
    return F.embedding(codes, codebook, sparse=True)


def look_up_by_index_select(codes, codebook):
    return codebook.index_select(0, codes.flatten()).view(*codes.shape, codebook.shape[1])


def look_up_by_gather(codes, codebook):
    rows = codes.reshape(-1, 1).expand(-1, codebook.shape[1])
    return torch.gather(codebook, 0, rows).reshape(codes.shape + codebook.shape[1:])


def look_up_by_a_loop(codes, codebook):
    rows = [codebook[code] for code in codes.flatten().tolist()]
    return torch.stack(rows).reshape(*codes.shape, -1)


def look_up_by_comparing(codes, codebook):
    chosen = codes[..., None] == torch.arange(len(codebook), device=codes.device)
    return chosen.to(codebook.dtype) @ codebook


class Rows(torch.autograd.Function):
    """A look-up with a backward pass of its own."""

    @staticmethod
    def forward(ctx, codes, codebook):
        ctx.save_for_backward(codes)
        ctx.shape = codebook.shape
        return codebook[codes]

    @staticmethod
    def backward(ctx, gradient):
        (codes,) = ctx.saved_tensors
        rows = gradient.reshape(-1, ctx.shape[1])
        return None, gradient.new_zeros(ctx.shape).index_add(0, codes.flatten(), rows)


def look_up_with_its_own_gradient(codes, codebook):
    return Rows.apply(codes, codebook)


def one_nearest_by_cdist(x, codebook):
    return torch.cdist(x[None], codebook).argmin()


def one_nearest_by_a_loop(x, codebook):
    distances = [sum((x[d] - code[d]) ** 2 for d in range(len(x))) for code in codebook]
    return distances.index(min(distances))


def one_nearest_by_norm(x, codebook):
    return (x - codebook).norm(dim=-1).min(dim=0).indices


def one_nearest_by_product(x, codebook):
    return (codebook.square().sum(1) - 2 * codebook @ x).argmin().item()


def expanded_in_three_steps(x, codebook):
    squares_x = (x**2).sum(1)[:, None]
    squares_e = (codebook**2).sum(1)[None]
    return squares_x + squares_e - 2 * torch.einsum("nd,kd->nk", x, codebook)


def expanded_by_addmm(x, codebook):
    return torch.addmm(codebook.square().sum(1), x, codebook.T, alpha=-2) + x.square().sum(1).unsqueeze(1)


def expanded_turned(x, codebook):
    return (codebook.pow(2).sum(1).unsqueeze(1) - 2 * codebook @ x.mT + x.pow(2).sum(1)).mT


def not_expanded_at_all(x, codebook):
    return torch.cdist(x, codebook) ** 2


def product_by_einsum(weights, codebook):
    return torch.einsum("nk,kd->nd", weights, codebook)


def product_by_linear(weights, codebook):
    return F.linear(weights, codebook.T)


def product_by_broadcasting(weights, codebook):
    return (weights.unsqueeze(-1) * codebook).sum(1)


def product_code_by_code(weights, codebook):
    return sum(weights[:, k, None] * code for k, code in enumerate(codebook))


VARIANTS = {
    "my_nearest": [one_nearest_by_cdist, one_nearest_by_a_loop, one_nearest_by_norm, one_nearest_by_product],
    "my_expanded": [expanded_in_three_steps, expanded_by_addmm, expanded_turned, not_expanded_at_all],
    "my_product": [product_by_einsum, product_by_linear, product_by_broadcasting, product_code_by_code],
    "pairwise_distances": [
        distances_by_cdist,
        distances_expanded,
        distances_by_addmm,
        distances_by_einsum,
        distances_code_by_code,
        distances_one_by_one,
        distances_by_norm,
        distances_by_mse,
    ],
    "nearest_codes": [
        nearest_by_cdist,
        nearest_by_min,
        nearest_by_topk,
        nearest_by_product,
        nearest_by_largest_minus,
        nearest_by_loops,
        nearest_by_lists,
        nearest_by_narrowing,
        nearest_without_gradient,
    ],
    "look_up": [
        look_up_by_index,
        look_up_by_one_hot,
        look_up_by_einsum,
        look_up_by_embedding,
        look_up_sparse,
        look_up_by_index_select,
        look_up_by_gather,
        look_up_by_a_loop,
        look_up_by_comparing,
        look_up_with_its_own_gradient,
    ],
}
