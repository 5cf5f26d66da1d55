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

SCORES_AT_ONCE = {"cpu": 2**19, "cuda": 2**26}  # of the N x K; on a CPU few enough to stay in its caches
GROUP = 64  # scores whose lowest is found together


def nearest(flat: Tensor, codebook: Tensor, exact: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(N, D), (K, D) of one dtype -> (N,) int64. `exact` gives the same, slowly, for the rows that are hard to tell."""
    missing = -len(codebook) % GROUP  # codes that fill the last group, infinitely far away
    right = F.pad(-2 * codebook, (0, 0, 0, missing)).T  # (D, K rounded up)
    squares = F.pad(codebook.square().sum(dim=1), (0, missing), value=float("inf"))  # (K rounded up,)
    rows = max(1, SCORES_AT_ONCE.get(flat.device.type, 2**24) // len(squares))
    buffer = flat.new_empty(min(rows, len(flat)), len(squares))  # written anew for each block
    blocks = []
    for block in flat.split(rows):
        scores = torch.addmm(squares, block, right, out=buffer[: len(block)])  # (rows, K rounded up)
        lowest, second, codes = _two_lowest(scores)
        blocks.append((codes, _sure(block, lowest, second)))
    codes, sure = map(torch.cat, zip(*blocks))  # (N,), (N,)
    for unsure in (~sure).nonzero().flatten().split(rows):
        codes[unsure] = exact(flat[unsure], codebook)
    return codes


def _sure(block: Tensor, lowest: Tensor, second: Tensor) -> Tensor:
    """(n, D), (n,), (n,) -> (n,) bool: whether rounding cannot have decided. False too where the product overflowed."""
    eps = torch.finfo(block.dtype).eps
    squares = block.square().sum(dim=1)  # (n,)
    return (squares + lowest > 1e4 * eps * squares) & (second - lowest > 64 * eps * (squares + lowest.abs()))


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
    members = groups[torch.arange(0, lows.numel(), lows.shape[1]) + best.flatten()]  # (n, GROUP)
    inside = members.argmin(dim=1, keepdim=True)  # (n, 1)
    # without the lowest, the lowest is the second
    second = torch.minimum(
        lows.scatter_(1, best, float("inf")).amin(dim=1), members.scatter_(1, inside, float("inf")).amin(dim=1)
    )
    return lowest.flatten(), second, (best * GROUP + inside).flatten()
