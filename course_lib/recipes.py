"""How to train the CIFAR-10 model: the recipe of the published curve, the course's own, and each step between.

Lesson 10 and `make bench` compare them; `python -m course_lib.recipes` trains one, on one device or on many.
"""

import argparse
import functools
import json
import os
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data, ranks, training
from course_lib.models import ResNetVQVAE
from course_lib.quantize import VectorQuantizer, VectorQuantizerEMA, codebook_usage, perplexity

CIFAR10_VARIANCE = 0.063287  # of the training images in [0, 1], over all pixels and channels
DIM, CODEBOOK_SIZE = 64, 512


@dataclass(frozen=True)
class Recipe:
    """Everything in which two training runs differ but data, seed, number of updates and batch size.

    ema: the codebook follows moving averages; else it learns by gradient.
    kmeans_init, dead_code_threshold, decay: of the EMA layer.
    one_cycle: AdamW, its rate rising to `learning_rate` in a twentieth of the updates, then falling to almost 0; else
        Adam at a constant rate. Runs of less than 10,000 updates rise in a tenth of them, with a beta2 of 0.99 in
        place of 0.999: a short run has no time for a rise in a few updates or for averages over 1,000.
    """

    ema: bool = True
    decay: float = 0.99
    commitment_weight: float = 0.25
    kmeans_init: bool = False
    dead_code_threshold: float = 0.0
    learning_rate: float = 1e-4
    one_cycle: bool = False

    def model(self, seed: int = 0) -> ResNetVQVAE:
        """The ResNet VQ-VAE with 512 codes of dimension 64, the same weights for the same seed."""
        torch.manual_seed(seed)
        if self.ema:
            quantizer = VectorQuantizerEMA(
                DIM, CODEBOOK_SIZE, decay=self.decay, commitment_weight=self.commitment_weight,
                kmeans_init=self.kmeans_init, dead_code_threshold=self.dead_code_threshold,
            )  # fmt: skip
        else:
            quantizer = VectorQuantizer(DIM, CODEBOOK_SIZE, commitment_weight=self.commitment_weight)
        torch.manual_seed(seed)  # the same network whatever the quantiser drew
        return ResNetVQVAE(quantizer).to(memory_format=torch.channels_last)  # convolutions run faster so

    def optimizer(self, model: nn.Module, updates: int):
        """The optimizer, and its scheduler or None."""
        if not self.one_cycle:
            return torch.optim.Adam(model.parameters(), lr=self.learning_rate), None
        rise, beta2 = (0.05, 0.999) if updates >= 10_000 else (0.1, 0.99)
        # fused: one pass over the weights, several times faster on a CPU
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, betas=(0.9, beta2), fused=True)
        updates = max(updates, 20)  # a cycle cannot rise in less than two updates; a shorter run is cut off
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=updates, pct_start=rise, cycle_momentum=False
        )


PUBLISHED = Recipe(ema=False)  # the settings of the notebook with the published curve, there with batches of 256
_EMA = Recipe()
_CYCLE = replace(_EMA, learning_rate=2e-3, one_cycle=True)
_STARTED = replace(_CYCLE, kmeans_init=True)
_ALIVE = replace(_STARTED, dead_code_threshold=0.3)
OURS = replace(_ALIVE, decay=0.95, commitment_weight=1.0)
LADDER = {
    "gradient layer, Adam (published)": PUBLISHED,
    "EMA layer, Adam": _EMA,
    "gradient layer, one cycle": replace(_CYCLE, ema=False),
    "EMA layer, one cycle": _CYCLE,
    "... + k-means start": _STARTED,
    "... + restarts of dead codes": _ALIVE,
    "... + decay 0.95, weight 1 (ours)": OURS,
}


def to_input(images: Tensor) -> Tensor:
    """(B, H, W, C) uint8 -> (B, C, H, W) float32 in [-0.5, 0.5]; no copy moves the channels."""
    return images.movedim(-1, 1).float() / 255 - 0.5


def normalized_mse(reconstruction: Tensor, images: Tensor, data_variance: float = CIFAR10_VARIANCE) -> Tensor:
    """Same shapes -> 0-d: the mean squared error as a share of the variance. 1 is the mean image's, 0 is perfect."""
    return F.mse_loss(reconstruction, images) / data_variance


def step(model: nn.Module, batch: Tensor) -> dict:
    """One batch of images (B, H, W, C) uint8 -> loss, NMSE, perplexity and usage of the batch, for `fit`."""
    images = to_input(batch)
    reconstruction, codes, vq_loss = model(images)
    nmse = normalized_mse(reconstruction.float(), images)
    return {
        "loss": nmse + vq_loss,
        "nmse": nmse,
        "perplexity": perplexity(codes, CODEBOOK_SIZE),
        "usage": codebook_usage(codes, CODEBOOK_SIZE),
    }


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, batch_size: int = 250) -> dict[str, float]:
    """(N, H, W, C) uint8 -> NMSE, perplexity and usage over all N images, in eval mode; the mode is put back."""
    was_training = model.training
    model.eval()
    errors, codes = [], []
    for batch in images.split(batch_size):
        reconstruction, chosen, _ = model(to_input(batch))
        errors.append(normalized_mse(reconstruction, to_input(batch)).double() * len(batch))
        codes.append(chosen.flatten())
    model.train(was_training)
    codes = torch.cat(codes)
    return {
        "nmse": sum(errors).item() / len(images),
        "perplexity": perplexity(codes, CODEBOOK_SIZE).item(),
        "usage": codebook_usage(codes, CODEBOOK_SIZE).item(),
    }


def train(recipe: Recipe, model: nn.Module, images: Tensor, updates: int, batch_size: int = 64, **options) -> dict:
    """Trains `model` by `recipe` on (N, H, W, C) uint8 images; options go to `fit`, which gives the history."""
    optimizer, scheduler = recipe.optimizer(model, updates)
    return training.fit(
        model, images, step, updates=updates, batch_size=batch_size, optimizer=optimizer, scheduler=scheduler, **options
    )


def fastest_autocast(device: torch.device | str, batch_size: int = 16) -> torch.dtype | None:
    """torch.bfloat16 where whole updates of the model are faster under it here, else None; sets the random seed.

    It pays where convolutions take most of the time and the processor is built for it. On a fast GPU, starting an
    operation takes longer than the operation, and the casts are more operations.
    """
    images = torch.randint(256, (batch_size, 32, 32, 3), dtype=torch.uint8, device=device)
    seconds = {}
    for dtype in (None, torch.bfloat16):
        model, ends = OURS.model().to(device), []
        look = functools.partial(lambda ends, *_: ends.append(time.perf_counter()), ends)
        train(OURS, model, images, 10, batch_size, autocast=dtype, progress=False, callbacks=[look])
        seconds[dtype] = statistics.median(end - start for start, end in zip(ends[2:], ends[3:]))
    return min(seconds, key=seconds.get)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.recipes", description="Trains the CIFAR-10 VQ-VAE; under torchrun on every rank."
    )
    parser.add_argument("--recipe", choices=["ours", "published"], default="ours")
    parser.add_argument("--updates", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=64, help="images in an update, over all ranks together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--checkpoint", type=Path, help="written as it goes; where there is one, training goes on from it"
    )
    parser.add_argument("--evaluate-every", type=int, default=500, help="updates between two looks at the test images")
    parser.add_argument("--data", type=Path, help="folder with the data; else $COURSE_DATA, else data/")
    options = parser.parse_args()
    with ranks.joined():
        try:
            figures = _figures(options)
        except (ValueError, FloatingPointError) as error:
            raise SystemExit(f"error: {error}") from error
        if figures:
            print(json.dumps(figures))


def _figures(options: argparse.Namespace) -> dict | None:
    """Trains as the options say, and gives the figures of the run, on the first rank alone."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        rank, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if rank >= gpus:
            raise ValueError(
                f"there is no GPU for rank {rank}: this machine has {gpus}; wanted one for each rank. Give "
                f'--nproc-per-node {gpus}, or set CUDA_VISIBLE_DEVICES="" and train on the processor'
            )
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    cifar = data.load("cifar10", root=options.data)
    images, test_images = cifar.train.to(device), cifar.test.to(device)
    recipe = {"ours": OURS, "published": PUBLISHED}[options.recipe]
    autocast = fastest_autocast(device, options.batch_size)
    model = recipe.model(options.seed).to(device)
    # the ranks must agree, whatever each has measured
    (pays,) = ranks.as_on_the_first(torch.tensor(float(autocast is not None), device=device))
    autocast = torch.bfloat16 if pays else None
    first, looks, seconds_looking = ranks.index() == 0, [], 0.0

    def look(update: int, model: nn.Module, scalars: dict) -> None:
        nonlocal seconds_looking
        if update % options.evaluate_every == 0 or update == options.updates:
            start = time.perf_counter()
            looks.append({"update": update, **evaluate(model, test_images)})
            seconds_looking += time.perf_counter() - start

    start = time.perf_counter()
    train(
        recipe,
        model,
        images,
        options.updates,
        options.batch_size,
        seed=options.seed,
        autocast=autocast,
        checkpoint=options.checkpoint,
        callbacks=[look] if first else [],
    )
    if not first:
        return None
    if not looks:  # a run that was at its end already
        looks.append({"update": options.updates, **evaluate(model, test_images)})
    seconds = time.perf_counter() - start - seconds_looking
    return {
        "recipe": options.recipe,
        "updates": options.updates,
        "batch_size": options.batch_size,
        "data": cifar.source,
        "test_images": len(test_images),
        "device": device.type,
        "ranks": ranks.count(),
        "autocast": str(autocast),
        "seconds": round(seconds, 1),
        **{name: looks[-1][name] for name in ("nmse", "perplexity", "usage")},
        "looks": looks,
    }


if __name__ == "__main__":
    main()
