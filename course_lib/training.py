"""A training loop that knows nothing of the model: the caller's `step` says what is computed and what is shown."""

import math
import sys
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from tqdm import tqdm


def fit(
    model: nn.Module,
    data: Tensor,
    step: Callable[[nn.Module, Tensor], dict],
    *,
    updates: int,
    batch_size: int = 256,
    optimizer: torch.optim.Optimizer | None = None,
    seed: int = 0,
    callbacks: Iterable[Callable[[int, nn.Module, dict], None]] = (),
    progress: bool = True,
) -> dict[str, list[float]]:
    """Trains `model` in place for `updates` batches and returns the history: name -> one value for each update.

    data: (N, ...), any dtype, on any device; each epoch visits every row once, in an order drawn from `seed`.
    step: `step(model, batch) -> {"loss": 0-d tensor, ...}`; every other entry is a scalar to record and show.
    optimizer: Adam with a learning rate of 1e-3 where none is given.
    callbacks: each is called as `callback(update, model, scalars)` after every update, `update` counting from 1.

    The model is put in training mode and left in it. Raises `FloatingPointError` where the loss is no longer finite,
    before the update that would spoil the weights.
    """
    if updates < 1 or batch_size < 1 or len(data) == 0:
        raise ValueError(f"updates={updates}, batch_size={batch_size}, {len(data)} rows of data; wanted at least 1 each")
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-3)
    history: dict[str, list[float]] = {}
    model.train()
    with tqdm(total=updates, disable=not progress, unit="update", mininterval=0.5, file=sys.stdout) as bar:
        for update, rows in enumerate(_batches(len(data), batch_size, updates, seed), start=1):
            values = step(model, data[rows.to(data.device)])
            scalars = {name: torch.as_tensor(value).item() for name, value in values.items()}
            if not math.isfinite(scalars["loss"]):
                raise FloatingPointError(f"the loss is {scalars['loss']} at update {update}; a smaller learning rate?")
            optimizer.zero_grad()
            values["loss"].backward()
            optimizer.step()
            for name, value in scalars.items():
                history.setdefault(name, []).append(value)
            for callback in callbacks:
                callback(update, model, scalars)
            bar.set_postfix({name: f"{value:.3g}" for name, value in scalars.items()}, refresh=False)
            bar.update()
    return history


def _batches(rows: int, batch_size: int, updates: int, seed: int):
    """Index tensors of at most `batch_size` rows, epoch after epoch, each epoch a new permutation of all rows."""
    generator = torch.Generator().manual_seed(seed)
    given = 0
    while True:
        for batch in torch.randperm(rows, generator=generator).split(batch_size):
            if given == updates:
                return
            yield batch
            given += 1
