"""Trains lesson 00's VQ-VAE on this machine, half a minute, and keeps what came of it for the site's front page.

    python tools/first_training.py build/first

It runs the lesson's own cells, those tagged `first-training`, so that the model stands in one place. The folder gets
digits.png, test digits above what the model makes of them, and first.json, the figures.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import torch
from torch.nn import functional as F

from course_lib import files
from course_lib.quantize import codebook_usage

LESSON = Path(__file__).resolve().parents[1] / "notebooks/00_the_whole_game.ipynb"


def trained(lesson: Path) -> dict:
    """The names that the lesson's cells leave behind, and under "seconds" how long the longest of them took."""
    names, seconds = {}, [0.0]
    for cell in nbformat.read(lesson, as_version=4).cells:
        if "first-training" in cell.metadata.get("tags", []):
            start = time.perf_counter()
            exec(compile(cell.source, f"{lesson.name}, {cell.id}", "exec"), names)
            seconds.append(time.perf_counter() - start)
    return {**names, "seconds": max(seconds)}


def main(folder: Path, lesson: Path = LESSON) -> None:
    print(f"Training lesson 00's model ({lesson.name}) on this machine.")
    run = trained(lesson)
    test = run["test"]  # (M, 1, 28, 28)
    codes = run["write"](test)  # (M, 7, 7)
    drawn = run["draw"](codes)  # (M, 1, 28, 28)
    facts = {
        "date": date.today().isoformat(),
        "sample": run["digits"].source == "sample",
        "images": len(run["train"]),
        "seconds": round(run["seconds"]),
        "error": F.mse_loss(drawn, test).item(),
        "error_of_the_mean": run["mean_error"].item(),
        "codebook_size": run["K"],
        "codes_per_image": codes[0].numel(),
        "codes_in_use": round(codebook_usage(codes, run["K"]).item() * run["K"]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "first.json", json.dumps(facts, indent=1))
    rows = torch.stack([test[:16, 0], drawn[:16, 0]])  # (2, 16, 28, 28)
    picture = F.pad(rows, (1, 1, 1, 1), value=0.25).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)  # (2 * 30, 16 * 30)
    with files.replacing(folder / "digits.png") as file:
        plt.imsave(file, picture.repeat_interleave(2, 0).repeat_interleave(2, 1), cmap="gray", vmin=0, vmax=1)
    print(
        f"Trained in {facts['seconds']} s. Error on all test digits {facts['error']:.4f}; "
        f"{facts['codes_in_use']} of {run['K']} words in use."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
