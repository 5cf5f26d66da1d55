"""What each ingredient of the CIFAR-10 recipe brings, and how far the whole recipe comes beside the published run."""

import functools
import time

import torch

from benchmarks.report import table, verdict
from course_lib import data, recipes

LADDER_UPDATES, FULL_UPDATES, BATCH = 300, 10_000, 16  # on the CPU; from 10,000 on a recipe is a long one
CUDA_UPDATES, CUDA_BATCH, CUDA_LOOK_EVERY = 20_000, 256, 250
PUBLISHED = {"nmse": 0.053, "perplexity": 254, "updates": 200_000, "batch": 256}  # measured in training
SECONDS_AIM, CORES = 600, 2

fastest_autocast = functools.cache(recipes.fastest_autocast)  # the same for all rows


def report() -> str:
    cifar = data.load("cifar10")
    train(recipes.OURS, cifar, updates=1, batch_size=BATCH)  # what torch loads once is nobody's time
    sections = [ladder(cifar), full(cifar)]
    if torch.cuda.is_available():
        sections.append(full(cifar, CUDA_UPDATES, CUDA_BATCH, "cuda", CUDA_LOOK_EVERY))
    return "\n\n".join(sections)


def ladder(cifar: data.Dataset, updates: int = LADDER_UPDATES, batch_size: int = BATCH) -> str:
    lines = []
    for name, recipe in recipes.LADDER.items():
        print(name, flush=True)
        result = train(recipe, cifar, updates, batch_size)
        lines.append([name, *(result[field] for field in ("nmse", "perplexity", "usage", "seconds"))])
    return (
        "## What each ingredient brings\n\n"
        f"Every row trained alike: {updates:,} updates of {batch_size} images, seed 0, on the CPU; {describe(cifar)}. "
        "A row that begins with ... adds to the row above it.\n\n"
        + table(["recipe", "NMSE", f"perplexity of {recipes.CODEBOOK_SIZE}", "usage", "training, s"], lines)
    )


def full(
    cifar: data.Dataset,
    updates: int = FULL_UPDATES,
    batch_size: int = BATCH,
    device: str = "cpu",
    look_every: int | None = None,
) -> str:
    result = train(recipes.OURS, cifar, updates, batch_size, device, look_every)
    real = cifar.source != "sample"
    nmse_aim = verdict(result["nmse"], at_most=PUBLISHED["nmse"]) if real else "of CIFAR-10 only"
    seconds_aim = verdict(result["seconds"], at_most=SECONDS_AIM, unit=f" s on {CORES} cores")
    images, published_images = updates * batch_size, PUBLISHED["updates"] * PUBLISHED["batch"]
    rows = [
        ["NMSE", result["nmse"], PUBLISHED["nmse"], nmse_aim],
        [f"perplexity of {recipes.CODEBOOK_SIZE}", result["perplexity"], PUBLISHED["perplexity"], "-"],
        ["usage", result["usage"], None, "-"],
        ["training, s", result["seconds"], None, seconds_aim if device == "cpu" else "-"],
        ["updates", updates, PUBLISHED["updates"], "-"],
        ["images seen", images, published_images, "-"],
    ]
    rows = [[name, a, b or "not published", b / a if b else "-", aim] for name, a, b, aim in rows]
    if look_every:
        first = result["reached"] or "never"
        rows.append([f"updates until NMSE {PUBLISHED['nmse']}, looked at every {look_every}", first, "-", "-", "-"])
    where = f"the CPU, {torch.get_num_threads()} threads" if device == "cpu" else f"one {torch.cuda.get_device_name()}"
    return (
        f"## The full recipe on {where}\n\nOur recipe, seed 0, {updates:,} updates of {batch_size} images, "
        f"{'mixed precision' if result['autocast'] else 'float32'}; {describe(cifar)}. Ours is measured on the test "
        "images; the published figures were measured in training.\n\n"
        + table(["", "ours", "published", "published / ours", "aim"], rows)
    )


def describe(cifar: data.Dataset) -> str:
    source = "the embedded sample, which is not CIFAR-10" if cifar.source == "sample" else f"CIFAR-10, {cifar.source}"
    return f"{len(cifar.train):,} training images, {len(cifar.test):,} test images ({source})"


def train(
    recipe: recipes.Recipe,
    cifar: data.Dataset,
    updates: int,
    batch_size: int,
    device: str = "cpu",
    look_every: int | None = None,
) -> dict:
    """Trains with seed 0 and gives NMSE, perplexity and usage over the test images, and the seconds of training.

    "autocast" is the dtype of mixed precision, or None; "reached" the first update at which the NMSE was at most the
    published one, looked at after every `look_every` updates, or None.
    """
    autocast = fastest_autocast(device, batch_size)
    model = recipe.model(seed=0).to(device)
    images, test_images = cifar.train.to(device), cifar.test.to(device)
    reached = []

    def look(update: int, model: torch.nn.Module, scalars: dict) -> None:
        if update % look_every == 0 and recipes.evaluate(model, test_images)["nmse"] <= PUBLISHED["nmse"]:
            reached.append(update)

    callbacks = [look] if look_every else []
    start = time.perf_counter()
    recipes.train(recipe, model, images, updates, batch_size, seed=0, autocast=autocast, callbacks=callbacks)
    return {
        "seconds": time.perf_counter() - start,
        "autocast": autocast,
        "reached": reached[0] if reached else None,
        **recipes.evaluate(model, test_images),
    }


if __name__ == "__main__":
    print(report())
