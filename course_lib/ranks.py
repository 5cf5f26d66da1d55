"""Between the ranks of torch.distributed; with a single process each function gives back what it is given."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F


@contextmanager
def joined() -> Iterator[None]:
    """Within it, the processes that torchrun started know of each other; without torchrun nothing happens."""
    if "LOCAL_RANK" not in os.environ:
        yield
        return
    dist.init_process_group()
    try:
        yield
    finally:
        dist.destroy_process_group()


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def count() -> int:
    return dist.get_world_size() if _together() else 1


def index() -> int:
    """Of this process, from 0."""
    return dist.get_rank() if _together() else 0


def added(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor -> its sum over all ranks, in place."""
    if count() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)
    return tensors


def as_on_the_first(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor -> what it is on rank 0, in place: there the random draws were made that count."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
    return tensors


def gathered(flat: Tensor) -> Tensor:
    """(N, D) on each rank, N may differ -> (sum of all N, D) on each, in the order of the ranks."""
    if count() == 1:
        return flat
    lengths = torch.zeros(count(), dtype=torch.int64, device=flat.device)
    lengths[index()] = len(flat)
    lengths = added(lengths)[0].tolist()
    padded = F.pad(flat, (0, 0, 0, max(lengths) - len(flat)))  # all_gather wants one shape
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths)])
