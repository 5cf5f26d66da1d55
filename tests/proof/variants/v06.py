"""Right answers to exercise 06 in other styles: its checks must accept each of them."""

import math

import torch
import torch.nn.functional as F

# ema_update


def one_hot_product(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    one_hot = F.one_hot(codes, len(cluster_size)).to(flat.dtype)
    cluster_size = decay * cluster_size + (1 - decay) * one_hot.sum(0)
    embed_sum = decay * embed_sum + (1 - decay) * one_hot.T @ flat
    n = cluster_size.sum()
    smoothed = (cluster_size + eps) / (n + len(cluster_size) * eps) * n
    return cluster_size, embed_sum, embed_sum / smoothed[:, None]


def counted_and_added(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts = torch.bincount(codes, minlength=len(cluster_size))
    sums = torch.zeros_like(embed_sum).index_add(0, codes, flat)
    cluster_size = cluster_size * decay + counts * (1.0 - decay)
    embed_sum = embed_sum * decay + sums * (1.0 - decay)
    total = cluster_size.sum()
    total_after = (cluster_size + eps).sum()
    return cluster_size, embed_sum, embed_sum / ((cluster_size + eps) * total / total_after).unsqueeze(-1)


def interpolated(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    one_hot = (codes.unsqueeze(1) == torch.arange(len(cluster_size), device=codes.device)).to(flat)
    new_size = torch.lerp(one_hot.sum(0), cluster_size, decay)
    new_sum = torch.lerp(torch.einsum("nk,nd->kd", one_hot, flat), embed_sum, decay)
    probabilities = (new_size + eps) / (new_size.sum() + new_size.numel() * eps)
    return [new_size, new_sum, new_sum / (probabilities * new_size.sum()).reshape(-1, 1)]


def difference_added(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    """The other common spelling: old + (1 - decay) (new - old)."""
    index = codes.unsqueeze(1).expand_as(flat)
    sums = embed_sum.new_zeros(embed_sum.shape).scatter_add(0, index, flat)
    counts = cluster_size.new_zeros(cluster_size.shape).scatter_add(0, codes, torch.ones_like(flat[:, 0]))
    cluster_size = cluster_size + (1 - decay) * (counts - cluster_size)
    embed_sum = embed_sum + (1 - decay) * (sums - embed_sum)
    n = cluster_size.sum()
    smoothed = n * (cluster_size + eps) / (n + cluster_size.shape[0] * eps)
    return cluster_size, embed_sum, (embed_sum.T / smoothed).T


def in_place_on_copies(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    cluster_size, embed_sum = cluster_size.clone(), embed_sum.clone()
    with torch.no_grad():
        one_hot = F.one_hot(codes, num_classes=embed_sum.size(0)).type_as(flat)
        cluster_size.mul_(decay).add_(one_hot.sum(dim=0), alpha=1 - decay)
        embed_sum.mul_(decay).add_(one_hot.t().mm(flat), alpha=1 - decay)
        n = cluster_size.sum().item()
        smoothed = (cluster_size + eps) / (n + len(cluster_size) * eps) * n
        codebook = embed_sum / smoothed.unsqueeze(1)
    return cluster_size, embed_sum, codebook


def code_by_code(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    K = len(cluster_size)
    new_size, new_sum, codebook = (torch.empty_like(t) for t in (cluster_size, embed_sum, embed_sum))
    for k in range(K):
        chosen = flat[codes == k]
        new_size[k] = decay * cluster_size[k] + (1 - decay) * len(chosen)
        new_sum[k] = decay * embed_sum[k] + (1 - decay) * chosen.sum(0)
    n = new_size.sum()
    for k in range(K):
        codebook[k] = new_sum[k] / ((new_size[k] + eps) / (n + K * eps) * n)
    return new_size, new_sum, codebook


def row_by_row(cluster_size, embed_sum, flat, codes, decay, eps=1e-5):
    counts, sums = [0] * len(cluster_size), [0.0] * len(cluster_size)
    for row, code in zip(flat, codes.tolist()):
        counts[code] += 1
        sums[code] = sums[code] + row
    sums = torch.stack([s if torch.is_tensor(s) else torch.zeros_like(embed_sum[0]) for s in sums])
    new_size = torch.stack([decay * old + (1 - decay) * count for old, count in zip(cluster_size, counts)])
    new_sum = decay * embed_sum + (1 - decay) * sums
    n = sum(new_size.tolist())
    scale = (n + len(counts) * eps) / n
    return new_size, new_sum, new_sum * scale / (new_size + eps)[:, None]


# perplexity


def published(codes, codebook_size):
    """As most published code has it: a small number keeps the logarithm finite."""
    probabilities = F.one_hot(codes.reshape(-1), codebook_size).float().mean(0)
    return torch.exp(-torch.sum(probabilities * torch.log(probabilities + 1e-10)))


def codes_that_occur(codes, codebook_size):
    _, counts = codes.unique(return_counts=True)
    p = counts / counts.sum()
    return (-(p * p.log()).sum()).exp()


def in_bits(codes, codebook_size):
    p = torch.bincount(codes.ravel(), minlength=codebook_size) / codes.numel()
    p = p[p != 0]
    return 2 ** -(p * p.log2()).sum()


def of_a_distribution(codes, codebook_size):
    counts = codes.flatten().bincount(minlength=codebook_size).float()
    return torch.distributions.Categorical(probs=counts / counts.sum()).perplexity()


def product_of_powers(codes, codebook_size):
    p = torch.bincount(codes.flatten()).float() / codes.numel()
    return 1 / torch.prod(p**p)


def replaced_by_zero(codes, codebook_size):
    p = F.one_hot(codes, codebook_size).flatten(0, -2).sum(0) / codes.numel()
    return (-torch.where(p > 0, p * p.log(), 0.0).sum()).exp()


def nan_to_zero(codes, codebook_size):
    p = torch.bincount(codes.reshape(-1), minlength=codebook_size) / codes.numel()
    return torch.exp(-torch.nansum(p * torch.log(p)))


def with_xlogy(codes, codebook_size):
    counts = torch.histc(codes.float(), bins=codebook_size, min=0, max=codebook_size)
    p = counts / counts.sum()
    return torch.exp(-torch.xlogy(p, p).sum())


def cross_entropy_with_itself(codes, codebook_size):
    p = torch.bincount(codes.flatten(), minlength=codebook_size) / codes.numel()
    return F.cross_entropy(p.clamp_min(1e-12).log(), p).exp()


def python_floats(codes, codebook_size):
    chosen = codes.flatten().tolist()
    shares = [chosen.count(k) / len(chosen) for k in range(codebook_size)]
    entropy = -sum(p * math.log(p) for p in shares if p > 0)
    return torch.tensor(math.exp(entropy), device=codes.device)


# my_counts_and_sums


def bincount_and_index_add(flat, codes, codebook_size):
    counts = torch.bincount(codes, minlength=codebook_size).to(flat)
    return counts, flat.new_zeros(codebook_size, flat.shape[1]).index_add(0, codes, flat)


def masks_of_the_codes(flat, codes, codebook_size):
    chosen = (codes == torch.arange(codebook_size, device=codes.device)[:, None]).type_as(flat)
    return chosen.sum(dim=1), torch.einsum("kn,nd->kd", chosen, flat)


def each_code_by_itself(flat, codes, codebook_size):
    groups = [flat[codes == k] for k in range(codebook_size)]
    counts = torch.tensor([len(group) for group in groups], dtype=flat.dtype, device=flat.device)
    return counts, torch.stack([group.sum(0) for group in groups])


def ones_beside_the_rows(flat, codes, codebook_size):
    """A column of ones is summed with the rest, and is the count."""
    rows = torch.cat([torch.ones_like(flat[:, :1]), flat], dim=1)
    sums = rows.new_zeros(codebook_size, rows.shape[1])
    sums.index_add_(0, codes, rows)
    return [sums[:, 0], sums[:, 1:]]


# my_smoothed


def in_the_paper_s_order(cluster_size, eps):
    n = cluster_size.sum()
    return (cluster_size + eps) / (n + len(cluster_size) * eps) * n


def scaled_in_place(cluster_size, eps):
    counts = cluster_size.clone()
    counts += eps
    counts *= cluster_size.sum() / counts.sum()
    return counts


def shares_first(cluster_size, eps):
    return torch.nn.functional.normalize(cluster_size + eps, p=1, dim=0) * cluster_size.sum()


def less_what_was_added(cluster_size, eps):
    n = cluster_size.sum()
    return torch.lerp(
        cluster_size, (n / len(cluster_size)).expand_as(cluster_size), 1 - n / (n + len(cluster_size) * eps)
    )


VARIANTS = {
    "my_counts_and_sums": [bincount_and_index_add, masks_of_the_codes, each_code_by_itself, ones_beside_the_rows],
    "my_smoothed": [in_the_paper_s_order, scaled_in_place, shares_first, less_what_was_added],
    "ema_update": [
        one_hot_product,
        counted_and_added,
        interpolated,
        difference_added,
        in_place_on_copies,
        code_by_code,
        row_by_row,
    ],
    "perplexity": [
        published,
        codes_that_occur,
        in_bits,
        of_a_distribution,
        product_of_powers,
        replaced_by_zero,
        nan_to_zero,
        with_xlogy,
        cross_entropy_with_itself,
        python_floats,
    ],
}
