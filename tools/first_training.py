"""Trains a VQ-VAE on digits, under a minute on two cores, and keeps what came of it for the site's front page.

    python tools/first_training.py build/first

It is the fully connected model of lesson 08, shortened. The folder gets digits.png, test digits above what the model
makes of them, and first.json, the figures.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from course_lib import data, files
from course_lib.models import MLPVQVAE
from course_lib.quantize import VectorQuantizerEMA, codebook_usage, perplexity
from course_lib.training import fit

CODES_PER_IMAGE, CODEBOOK_SIZE, DIM, UPDATES = 16, 512, 16, 1000


def step(model, batch):
    reconstruction, codes, vq_loss = model(batch)
    error = F.mse_loss(reconstruction, batch)
    return {"loss": error + vq_loss, "error": error, "perplexity": perplexity(codes, CODEBOOK_SIZE)}


def main(folder: Path) -> None:
    digits = data.load("mnist")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train, test = ((images.flatten(1).float() / 255).to(device) for images in (digits.train, digits.test))  # (N, 784)
    torch.manual_seed(0)
    layer = VectorQuantizerEMA(
        DIM, CODEBOOK_SIZE, decay=0.9, commitment_weight=1.0, kmeans_init=True, channel_last=True
    )
    model = MLPVQVAE(28 * 28, DIM, CODES_PER_IMAGE, layer).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    print(
        f"Training a first model on {len(train):,} digits: each becomes {CODES_PER_IMAGE} codes out of {CODEBOOK_SIZE}."
    )
    start = time.perf_counter()
    fit(model, train, step, updates=UPDATES, batch_size=128, optimizer=optimizer)
    seconds = time.perf_counter() - start
    model.eval()
    with torch.no_grad():
        reconstruction, codes, _ = model(test)
    facts = {
        "date": date.today().isoformat(),
        "sample": digits.source == "sample",
        "images": len(train),
        "seconds": round(seconds),
        "error": F.mse_loss(reconstruction, test).item(),
        "error_of_the_mean": F.mse_loss(train.mean(0).expand_as(test), test).item(),
        "codes_in_use": round(codebook_usage(codes, CODEBOOK_SIZE).item() * CODEBOOK_SIZE),
        "perplexity": round(perplexity(codes, CODEBOOK_SIZE).item()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "first.json", json.dumps(facts, indent=1))
    rows = torch.cat([test[:16], reconstruction[:16]]).reshape(2, 16, 28, 28).cpu()
    picture = F.pad(rows, (1, 1, 1, 1), value=0.25).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # (2 * 30, 16 * 30)
    with files.replacing(folder / "digits.png") as file:
        plt.imsave(file, picture.repeat_interleave(2, 0).repeat_interleave(2, 1), cmap="gray", vmin=0, vmax=1)
    print(
        f"Trained in {seconds:.0f} s. Error on test digits {facts['error']:.4f}, where answering with the mean image "
        f"has {facts['error_of_the_mean']:.4f}; {facts['codes_in_use']} of {CODEBOOK_SIZE} codes in use."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
