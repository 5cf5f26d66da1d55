"""Right answers to exercise 13 in other styles: its checks must accept each of them."""

import torch
import torch.nn.functional as F
from torch.autograd import Function

from course_lib.quantize import look_up, nearest_codes, straight_through


def straight_through_at_each_level(flat, codebooks):
    """The residual keeps the bridged code, so from the second level on its gradient for flat is zero."""
    residual, codes, quantized = flat, [], 0
    for codebook in codebooks:
        index = nearest_codes(residual, codebook)
        code = straight_through(residual, look_up(index, codebook))
        residual = residual - code
        quantized = quantized + code
        codes.append(index)
    return quantized, torch.stack(codes, dim=-1)


def residual_cut_as_a_whole(flat, codebooks):
    residual, codes, levels = flat, [], []
    for codebook in codebooks:
        codes.append(nearest_codes(residual, codebook))
        levels.append(straight_through(residual, look_up(codes[-1], codebook)))
        residual = (residual - levels[-1]).detach()
    return torch.stack(levels).sum(0), torch.stack(codes, 1)


def from_the_sum_so_far(flat, codebooks):
    with torch.no_grad():
        total = flat.new_zeros(flat.shape)
        codes = torch.empty(len(flat), len(codebooks), dtype=torch.long, device=flat.device)
        for level in range(codebooks.shape[0]):
            codes[:, level] = torch.cdist(flat - total, codebooks[level]).argmin(dim=1)
            total = total + codebooks[level, codes[:, level]]
    return (total - flat).detach() + flat, codes


def what_is_not_left(flat, codebooks):
    """The sum is flat less the last residual: with a constant residual, that has the gradient of flat by itself."""
    residual, codes = flat.detach().clone(), []
    for codebook in codebooks.detach().unbind():
        distances = (residual**2).sum(1, keepdim=True) - 2 * residual @ codebook.mT + (codebook**2).sum(1)
        codes.append(distances.min(dim=1)[1])
        residual -= codebook[codes[-1]]
    return flat - residual, torch.vstack(codes).T


def row_by_row(flat, codebooks):
    quantized, codes = [], []
    for row in flat.detach():
        left, numbers = row, []
        for codebook in codebooks.detach():
            k = int(((codebook - left) ** 2).sum(dim=1).argmin())
            left = left - codebook[k]
            numbers.append(k)
        quantized.append(row - left)
        codes.append(numbers)
    return straight_through(flat, torch.stack(quantized)), torch.tensor(codes, device=flat.device)


def recursively(flat, codebooks):
    def deeper(residual, levels):
        if not levels:
            return torch.zeros_like(residual), []
        codes = nearest_codes(residual, levels[0])
        code = F.embedding(codes, levels[0])
        rest, others = deeper(residual - code, levels[1:])
        return code + rest, [codes[:, None], *others]

    quantized, codes = deeper(flat.detach(), list(codebooks.detach()))
    return flat + (quantized - flat).detach(), torch.cat(codes, dim=1)


class Bridge(Function):
    @staticmethod
    def forward(ctx, flat, quantized):
        return quantized.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def gathered_afterwards(flat, codebooks):
    """First all codes, then one gather for their vectors, and a bridge of one's own."""
    with torch.no_grad():
        residual, codes = flat, []
        for q, codebook in enumerate(codebooks):
            one_hot = F.one_hot(torch.cdist(residual, codebook).argmin(1), len(codebook)).to(flat.dtype)  # (N, K)
            codes.append(one_hot.argmax(1))
            residual = residual - one_hot @ codebook
        codes = torch.stack(codes, dim=1)  # (N, Q)
        index = codes.T.unsqueeze(2).expand(-1, -1, flat.shape[1])  # (Q, N, D)
        quantized = codebooks.gather(1, index).sum(dim=0)
    return Bridge.apply(flat, quantized), codes


VARIANTS = {
    "residual_quantize": [
        straight_through_at_each_level,
        residual_cut_as_a_whole,
        from_the_sum_so_far,
        what_is_not_left,
        row_by_row,
        recursively,
        gathered_afterwards,
    ]
}
