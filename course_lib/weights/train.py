"""How the stored models were made: `python -m course_lib.weights.train NAME`, or all of them by `make weights`.

A run that was stopped goes on from its checkpoint in build/checkpoints/. The weights replace the old ones once the run
is over and its figures are measured.
"""

import argparse
import json
import platform
import time
from datetime import date
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import data, files, priors, quantize, recipes, training, weights

LICENCES = {
    "mnist": "MNIST, Yann LeCun and Corinna Cortes, CC BY-SA 3.0",
    "cifar10": "CIFAR-10, Alex Krizhevsky, Vinod Nair and Geoffrey Hinton; no licence is stated, to be cited",
}
SEED = 0
UPDATES = {"mnist_grid": 6000, "mnist_prior": 10_000, "cifar10": 24_000}
VARIANCE = 0.09493  # of MNIST's training images in [0, 1], over all pixels


# ----------------------------------------------------------------------------------------------------------------------
# What is trained


def mnist_grid(run: "Run") -> dict:
    """Digits as 7 x 7 codes: lesson 14's alphabet, wider and trained longer."""
    mnist = run.data("mnist")

    def step(model: nn.Module, batch: Tensor) -> dict:
        images = digits(batch)
        reconstruction, codes, vq_loss = model(images)
        nmse = F.mse_loss(reconstruction.float(), images) / VARIANCE
        return {"loss": nmse + vq_loss, "nmse": nmse, "perplexity": quantize.perplexity(codes, 64)}

    model = run.model()
    run.fit(
        model, mnist.train, step, *one_cycle(model, 3e-3, run.updates), autocast=recipes.fastest_autocast(run.device)
    )
    images = mnist.test.to(run.device)
    codes = encode(model, images)
    rebuilt = torch.cat([model.decode(part) for part in codes.split(500)])
    return {
        "nmse": (F.mse_loss(rebuilt, digits(images)) / VARIANCE).item(),
        "usage": quantize.codebook_usage(codes, 64).item(),
        "perplexity": quantize.perplexity(codes, 64).item(),
    }


def mnist_prior(run: "Run") -> dict:
    """p(codes | digit) over the codes of `mnist_grid`, which has to be there; a tenth of the labels are hidden."""
    mnist, grid = run.data("mnist"), weights.load("mnist_grid").to(run.device)
    codes, test_codes = (encode(grid, images.to(run.device)) for images in (mnist.train, mnist.test))
    rows = torch.cat([codes.flatten(1), mnist.train_labels.to(run.device)[:, None]], 1)  # (N, 50)

    def step(model: nn.Module, rows: Tensor) -> dict:
        codes, labels = rows[:, :-1].unflatten(1, model.grid), rows[:, -1]
        hidden = torch.rand(len(labels), device=rows.device) < 0.1
        bits = priors.bits_per_code(model(codes, torch.where(hidden, model.classes, labels)).float(), codes)
        return {"loss": bits, "bits per code": bits}

    model = run.model()
    run.fit(model, rows, step, *one_cycle(model, 2e-3, run.updates), batch_size=32)
    model.eval()
    labels = mnist.test_labels.to(run.device)
    any_digit = torch.full_like(labels, model.classes)
    figures = {"bits per code": test_bits(model, test_codes, labels)}
    figures["bits per code, any digit"] = test_bits(model, test_codes, any_digit)
    references = mnist.train[:10_000].to(run.device), mnist.train_labels[:10_000].to(run.device)
    figures["real digits read as their label"] = read_as(grid, test_codes, labels, *references)
    wanted = torch.arange(10, device=run.device).repeat(200)  # (2000,)
    for temperature in (1.0, 0.8, 0.7):
        drawn = priors.sample(
            model, len(wanted), labels=wanted, temperature=temperature,
            generator=torch.Generator(run.device).manual_seed(SEED),
        )  # fmt: skip
        figures[f"samples at T = {temperature:g} read as asked"] = read_as(grid, drawn, wanted, *references)
    return figures


def cifar10(run: "Run") -> dict:
    """Photographs as 8 x 8 codes: lesson 10's model, by the course's own recipe."""
    cifar, model = run.data("cifar10"), recipes.OURS.model(SEED).to(run.device)
    run.fit(
        model, cifar.train, recipes.step, *recipes.OURS.optimizer(model, run.updates), batch_size=16,
        autocast=recipes.fastest_autocast(run.device),
    )  # fmt: skip
    return recipes.evaluate(model.eval(), cifar.test.to(run.device))


RUNS = {"mnist_grid": mnist_grid, "mnist_prior": mnist_prior, "cifar10": cifar10}


# ----------------------------------------------------------------------------------------------------------------------
# What the runs share


def one_cycle(model: nn.Module, rate: float, updates: int):
    """AdamW, and the schedule by which its rate rises to `rate` and falls again."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=updates, pct_start=0.1, cycle_momentum=False
    )


def digits(images: Tensor) -> Tensor:
    """(B, 28, 28) uint8 -> (B, 1, 28, 28) float32 in [-0.5, 0.5]."""
    return images[:, None].float() / 255 - 0.5


def encode(model: nn.Module, images: Tensor) -> Tensor:
    """(N, 28, 28) uint8 -> codes (N, 7, 7) int64."""
    return torch.cat([model.encode(digits(part)) for part in images.split(500)])


@torch.no_grad()
def test_bits(model: nn.Module, codes: Tensor, labels: Tensor) -> float:
    """(N, 7, 7), (N,) -> bits per code."""
    parts = zip(codes.split(500), labels.split(500))
    return sum(priors.bits_per_code(model(c, label), c).item() * len(c) for c, label in parts) / len(codes)


def read_as(grid: nn.Module, codes: Tensor, labels: Tensor, images: Tensor, image_labels: Tensor) -> float:
    """Lesson 14's judge: the share of decoded grids whose nearest training image, by pixels, has the wanted label."""
    references, right = images.flatten(1).float() / 255, 0
    for some, wanted in zip(codes.split(500), labels.split(500)):
        nearest = torch.cdist((grid.decode(some)[:, 0] + 0.5).flatten(1), references).argmin(1)  # (B,)
        right += (image_labels[nearest] == wanted).sum().item()
    return right / len(codes)


class Run:
    """One training on one device, and all that its provenance has to say."""

    def __init__(self, name: str, root: Path | None):
        self.name, self.root, self.updates = name, root, UPDATES[name]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.checkpoint = Path("build/checkpoints") / f"weights_{name}.pt"
        self.sources, self.facts, self.result = {}, {}, None

    def data(self, name: str) -> data.Dataset:
        dataset = data.load(name, root=self.root)
        if dataset.source == "sample":
            raise SystemExit(f"error: the stored weights are made from the real {name}, and there is only the sample")
        self.sources[name] = LICENCES[name]
        return dataset

    def model(self) -> nn.Module:
        torch.manual_seed(SEED)
        return weights.MODELS[self.name]().to(self.device)

    def fit(self, model: nn.Module, rows: Tensor, step, optimizer, scheduler, *, batch_size=64, autocast=None) -> None:
        """Trains, and rounds the weights to half precision, in place: what is stored is what is measured."""
        last = None

        def timed(model: nn.Module, batch: Tensor) -> dict:
            nonlocal last
            now, before = time.perf_counter(), last or time.perf_counter()
            last = now
            return {**step(model, batch), "seconds": now - before}  # in the history, which outlives a break

        history = training.fit(
            model, rows.to(self.device), timed, updates=self.updates, batch_size=batch_size, seed=SEED,
            optimizer=optimizer, scheduler=scheduler, autocast=autocast, checkpoint=self.checkpoint,
        )  # fmt: skip
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half())
        self.result = model.eval()
        self.facts = {"updates": self.updates, "batch size": batch_size, "autocast": str(autocast)}
        self.facts["seconds"] = round(sum(history["seconds"]))

    def write(self, figures: dict) -> None:
        """The weights and their provenance, each file whole or not at all."""
        training_alone = ("cluster_size", "embed_sum", "initialised")
        kept = {
            name: value.half().contiguous().cpu()
            for name, value in self.result.state_dict().items()
            if name.rpartition(".")[2] not in training_alone
        }
        described = {"heads": str(self.result.blocks[0].heads)} if hasattr(self.result, "blocks") else None
        processor = (
            torch.cuda.get_device_name() if self.device.type == "cuda" else f"threads: {torch.get_num_threads()}"
        )
        origin = {
            "model": self.name,
            "command": f"python -m course_lib.weights.train {self.name}",
            "date": date.today().isoformat(),
            "seed": SEED,
            "data": self.sources,
            **self.facts,
            "machine": f"{platform.system()} {platform.machine()}, {processor}, PyTorch {torch.__version__}",
            "on the test set": {name: round(value, 4) for name, value in figures.items()},
        }
        folder = weights.FOLDER
        files.write(folder / f"{self.name}.safetensors", safetensors.torch.save(kept, described))
        files.write(folder / f"{self.name}.json", (json.dumps(origin, indent=2) + "\n").encode())
        print(json.dumps(origin["on the test set"], indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m course_lib.weights.train", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*RUNS, []], help="which models; all of them where none is named")
    parser.add_argument("--data", type=Path, help="folder with the data; else $COURSE_DATA, else data/")
    options = parser.parse_args()
    for name in options.names or RUNS:
        run = Run(name, options.data)
        run.write(RUNS[name](run))


if __name__ == "__main__":
    main()
