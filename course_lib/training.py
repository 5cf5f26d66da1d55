"""A training loop that knows nothing of the model: the caller's `step` says what is computed and what is shown."""

import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from course_lib import ranks


def fit(
    model: nn.Module,
    data: Tensor,
    step: Callable[[nn.Module, Tensor], dict],
    *,
    updates: int,
    batch_size: int = 256,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    autocast: torch.dtype | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    callbacks: Iterable[Callable[[int, nn.Module, dict], None]] = (),
    progress: bool = True,
) -> dict[str, list[float]]:
    """Trains `model` in place up to `updates` batches and returns the history: name -> one value for each update.

    data: (N, ...), any dtype, best on the model's device: images as uint8 take a quarter of the room, and `step` turns
        a batch into numbers. Each epoch visits every row once, in an order drawn from `seed`.
    step: `step(model, batch) -> {"loss": 0-d tensor, ...}`; every other entry is a scalar to record and show.
    optimizer: Adam with a learning rate of 1e-3 where none is given.
    scheduler: is stepped after each update.
    autocast: `step` runs under torch.autocast with this dtype; float16 gets loss scaling.
    checkpoint: a file, written after every `checkpoint_every` updates and after the last: weights, optimizer,
        scheduler, random numbers, history. Where it is there already, training goes on from it, and ends with the
        weights that a run without the break gives, as far as the operations themselves repeat to the bit. A file is
        replaced whole or not at all.
    callbacks: each is called as `callback(update, model, scalars)` after every update, `update` counting from 1.

    Under torch.distributed every rank calls it with the same data; a batch is dealt out over the ranks (rows left over
    at an epoch's end are dropped), gradients and scalars are averaged, rank 0 shows progress and writes checkpoints.

    The model is put in training mode and left in it. Raises `FloatingPointError` where the loss or a gradient is no
    longer finite, before the update that would spoil the weights; the last checkpoint is kept. Raises `ValueError`
    for settings that cannot be, and for a checkpoint that is broken or of another run.
    """
    if min(updates, batch_size, checkpoint_every, len(data)) < 1:
        raise ValueError(
            f"updates={updates}, batch_size={batch_size}, checkpoint_every={checkpoint_every}, {len(data)} rows of "
            "data; wanted at least 1 each"
        )
    first = ranks.index() == 0
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=1e-3)
    device = next(model.parameters()).device
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**10, enabled=autocast == torch.float16)
    settings = {"rows": len(data), "batch_size": batch_size, "seed": seed, "optimizer": type(optimizer).__name__}
    settings["scheduled updates"] = getattr(scheduler, "total_steps", None)  # of a one-cycle schedule
    run = _Run(model, optimizer, scheduler, scaler, settings)
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint), updates, device)
    trained = model
    if ranks.count() > 1:
        ranks.as_on_the_first(*(tensor.detach() for tensor in [*model.parameters(), *model.buffers()]))
        trained = DistributedDataParallel(model, broadcast_buffers=False)  # the quantiser keeps its own in step
    model.train()
    hidden = not (progress and first)
    with tqdm(
        total=updates, initial=run.update, disable=hidden, unit="update", mininterval=0.5, file=sys.stdout
    ) as bar:
        for rows in _batches(len(data), batch_size, seed, ranks.count(), start=run.update, end=updates):
            rows = rows.chunk(ranks.count())[ranks.index()]
            with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                values = step(trained, data[rows.to(data.device)])
            optimizer.zero_grad()
            scaler.scale(values["loss"]).backward()
            scaler.unscale_(optimizer)
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            scalars = _average({**values, "gradient": torch.nn.utils.get_total_norm(gradients)}, device)
            gradient = scalars.pop("gradient")
            if not math.isfinite(scalars["loss"]) or (not math.isfinite(gradient) and not scaler.is_enabled()):
                raise FloatingPointError(
                    f"the loss is {scalars['loss']} and the gradient's norm {gradient} at update {run.update + 1}, "
                    f"which was not made. {run.kept(checkpoint)} A smaller learning rate?"
                )
            scaler.step(optimizer)
            scaler.update()
            if scheduler is not None:
                scheduler.step()
            run.record(scalars)
            for callback in callbacks:
                callback(run.update, model, scalars)
            if checkpoint is not None and first and (run.update % checkpoint_every == 0 or run.update == updates):
                run.save(Path(checkpoint))
            bar.set_postfix({name: f"{value:.3g}" for name, value in scalars.items()}, refresh=False)
            bar.update()
    return run.history


def _batches(rows: int, batch_size: int, seed: int, parts: int, start: int, end: int):
    """Index tensors of at most `batch_size` rows, from batch `start` up to `end`; each epoch permutes all rows anew.

    The length of each is a multiple of `parts`.
    """
    generator = torch.Generator().manual_seed(seed)
    if batch_size % parts or rows < parts:
        raise ValueError(f"batches of {batch_size} out of {rows} rows cannot be dealt out to {parts} ranks evenly")
    given = 0
    while True:
        for batch in torch.randperm(rows, generator=generator)[: rows - rows % parts].split(batch_size):
            if given == end:
                return
            if given >= start:
                yield batch
            given += 1


def _average(values: dict, device: torch.device) -> dict[str, float]:
    """0-d tensors and numbers -> floats, their means over all ranks: one wait for the device for all of them."""
    stacked = torch.stack([torch.as_tensor(value).detach().to(device, torch.float64) for value in values.values()])
    (total,) = ranks.added(stacked)
    return dict(zip(values, (total / ranks.count()).tolist()))


class _Run:
    """How far a training run has come: all that its continuation needs, in memory and as a checkpoint file."""

    def __init__(self, model, optimizer, scheduler, scaler, settings: dict):
        self.parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
        self.parts = {name: part for name, part in self.parts.items() if part is not None}
        self.settings = settings
        self.update = 0
        self.history: dict[str, list[float]] = {}
        self.saved_at = 0

    def record(self, scalars: dict[str, float]) -> None:
        self.update += 1
        for name, value in scalars.items():
            self.history.setdefault(name, []).append(value)

    def model_state(self) -> dict[str, Tensor]:
        return self.parts["model"].state_dict()

    def kept(self, checkpoint) -> str:
        return f"{checkpoint} keeps the weights of update {self.saved_at}." if self.saved_at else ""

    def save(self, path: Path) -> None:
        """Writes beside `path`, then renames: whoever is killed on the way leaves the old file, whole."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        for name, value in self.model_state().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise FloatingPointError(f"{name} is not finite after update {self.update}. {self.kept(path)}")
        state |= {
            "settings": self.settings,
            "description": str(self.parts["model"]),
            "update": self.update,
            "history": self.history,
            "random": _random_state(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())  # on the disk before the name points to it, in case the power goes
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        self.saved_at = self.update

    def load(self, path: Path, updates: int, device: torch.device) -> None:
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            settings, update, description = state["settings"], state["update"], state["description"]
        except Exception as error:  # zip, pickle and key errors of every kind
            raise ValueError(
                f"{path} is not a checkpoint of `fit`, or is broken ({type(error).__name__}). "
                "Move it away to start anew"
            ) from error
        if settings != self.settings or update > updates or not state.keys() >= self.parts.keys():
            raise ValueError(
                f"{path} is of another run: {settings} at update {update}, here {self.settings} up to update "
                f"{updates}. Give the same settings, or another file"
            )
        shapes, wanted = (
            {name: value.shape for name, value in of.items()} for of in (state["model"], self.model_state())
        )
        # asked first, since a model that takes half of it would be neither the old nor the new
        if shapes != wanted or description != str(self.parts["model"]):
            raise ValueError(f"{path} is of another model:\n{description}\nhere\n{self.parts['model']}")
        for name, part in self.parts.items():
            try:
                part.load_state_dict(state[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise ValueError(f"{path} is of another run: its {name} does not fit ({error})") from error
        self.update, self.history, self.saved_at = update, state["history"], update
        torch.set_rng_state(state["random"]["cpu"].cpu())
        if device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"].cpu(), device)


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


if __name__ == "__main__":
    print("error: this is the loop alone; `python -m course_lib.recipes` trains the CIFAR-10 model", file=sys.stderr)
    sys.exit(2)
