"""The nearest codes, fast: what `distances.argmin(dim=1)` gives, in little more time than one matrix product takes,
and with a buffer of a few megabytes in place of all N x K distances.

|x - e|^2 = |x|^2 - 2 x.e + |e|^2, and |x|^2 is the same for all codes. The rest, a code's score, is a matrix product,
done for one block of rows after the other. Rounding blurs a score by a few eps |x|^2, and not alike in all columns.
Rows whose distance is so small beside that, or whose two lowest scores are so close, that it could decide are measured
once more by `exact`: all rows far from the origin, few elsewhere.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SCORES_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}  # of the N x K; on a CPU few enough to stay in its caches
LEAST_ROWS = 256  # with fewer at once, a product is slow
GROUP = 64  # scores whose lowest is found together


def nearest(flat: Tensor, codebook: Tensor, exact: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(N, D), (K, D) of one dtype -> (N,) int64. `exact` gives the same, slowly, for the rows that are hard to tell."""
    missing = -len(codebook) % GROUP  # codes that fill the last group, infinitely far away
    right = F.pad(codebook, (0, 0, 0, missing)).T.contiguous()  # (D, K rounded up)
    lengths = F.pad(codebook.square().sum(dim=1), (0, missing), value=float("inf"))  # |e|^2, (K rounded up,)
    rows = max(LEAST_ROWS, SCORES_AT_ONCE.get(flat.device.type, 2**24) // len(lengths))
    buffer = flat.new_empty(min(rows, len(flat)), len(lengths))  # written anew for each block
    blocks = []
    for block in flat.split(rows):
        scores = torch.addmm(lengths, block, right, alpha=-2, out=buffer[: len(block)])  # (rows, K rounded up)
        blocks.append(_two_lowest(scores))
    lowest, second, codes = map(torch.cat, zip(*blocks))  # (N,), (N,), (N,)
    squares, eps = flat.square().sum(dim=1), torch.finfo(flat.dtype).eps  # |x|^2, (N,)
    sure = squares + lowest > 1e4 * eps * squares  # (N,); False too where the product overflowed
    sure &= second - lowest > 64 * eps * (squares + lowest.abs())
    for unsure in (~sure).nonzero().flatten().split(rows):
        codes[unsure] = exact(flat[unsure], codebook)
    return codes


def _two_lowest(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, K) -> lowest of each row (n,), second lowest (n,), index of the lowest (n,). K is a multiple of GROUP.

    On a CPU `amin` runs at the speed of memory, and `min` and `argmin`, which carry an index along, at a tenth of it.
    So the lowest of each group is found without its index, and indices are looked for in one group of each row alone.
    """
    if scores.device.type != "cpu":  # where the second is not worth the time that it takes
        lowest, codes = scores.min(dim=1)
        return lowest, torch.full_like(lowest, float("inf")), codes
    groups = scores.view(-1, GROUP)  # (n * K / GROUP, GROUP)
    lows = groups.amin(dim=1).view(len(scores), -1)  # (n, K / GROUP)
    lowest, best = lows.min(dim=1, keepdim=True)  # (n, 1), (n, 1)
    before = torch.arange(0, lows.numel(), lows.shape[1], device=lows.device)  # (n,), groups in the rows above
    members = groups.index_select(0, before + best.flatten())  # (n, GROUP)
    inside = members.argmin(dim=1, keepdim=True)  # (n, 1)
    lows.scatter_(1, best, float("inf"))  # without the lowest, the lowest is the second
    members.scatter_(1, inside, float("inf"))
    second = torch.minimum(lows.amin(dim=1), members.amin(dim=1))  # (n,)
    return lowest.flatten(), second, (best * GROUP + inside).flatten()
