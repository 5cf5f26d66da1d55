"""The search for the nearest codes, and a whole training step with it, beside faiss and beside a bare matrix product.

`python benchmarks/search.py` prints a table: CPU time on one thread, the best of many rounds in which each has a turn.
faiss (`pip install faiss-cpu`) is the exact flat L2 index; without it, its row is left out.
"""

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.quantize import VectorQuantizerEMA, nearest_codes

try:
    import faiss
except ImportError:
    faiss = None

LATENTS, DIM = 16_384, 64
ROUNDS = {512: 60, 8192: 15}  # codebook size -> rounds
SEARCH_AT_MOST = 1.1  # times faiss
STEP_AT_MOST = {512: 2.0, 8192: 1.15}  # times the bare product


def best_of(sides: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Milliseconds of CPU time of each side, the best of the rounds; the first round warms up."""
    best = dict.fromkeys(sides, float("inf"))
    for turn in range(rounds + 1):
        for name, side in sides.items():
            start = time.process_time()
            side()
            if turn > 0:
                best[name] = min(best[name], 1e3 * (time.process_time() - start))
    return best


def bare_product(flat: Tensor, codebook: Tensor, scores: Tensor) -> None:
    """(N, D), (K, D): their products alone, in blocks that fit into `scores` (rows, K)."""
    for block in flat.split(len(scores)):
        torch.mm(block, codebook.T, out=scores[: len(block)])


def training_step(layer: VectorQuantizerEMA, latents: Tensor, gradient: Tensor) -> None:
    """Forward, with the update of the moving averages, and backward."""
    latents = latents.detach().requires_grad_()
    quantized, _, loss = layer(latents)
    torch.autograd.backward([quantized, loss], [gradient, None])


def measure(codebook_size: int, rounds: int, latents: int = LATENTS) -> dict[str, float]:
    """Milliseconds of "bare product", "nearest_codes", "training step", and of "faiss" where it is installed."""
    torch.manual_seed(0)
    flat, gradient = torch.randn(latents, DIM), torch.randn(latents, DIM)
    layer = VectorQuantizerEMA(DIM, codebook_size)
    codebook = layer.codebook.clone()
    rows = max(256, 2**20 // codebook_size)
    sides = {
        "bare product": functools.partial(bare_product, flat, codebook, torch.empty(rows, codebook_size)),
        "nearest_codes": functools.partial(nearest_codes, flat, codebook),
        "training step": functools.partial(training_step, layer, flat, gradient),
    }
    if faiss:
        index = faiss.IndexFlatL2(DIM)
        index.add(codebook.numpy())
        sides["faiss"] = functools.partial(index.search, flat.numpy(), 1)
    return best_of(sides, rounds)


def on_one_thread(rounds: dict[int, int] = ROUNDS, latents: int = LATENTS) -> str:
    """The table, as Markdown."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if faiss:
        faiss.omp_set_num_threads(1)
    lines = ["| codes K | what | ms | ratio | asked |", "| --- | --- | --- | --- | --- |"]
    try:
        for size, times in rounds.items():
            found = measure(size, times, latents)
            bare, step, search = found["bare product"], found["training step"], found["nearest_codes"]
            lines.append(f"| {size} | bare product | {bare:.1f} | - | - |")
            if faiss:
                ratio = search / found["faiss"]
                lines.append(f"| {size} | faiss, exact flat L2 index | {found['faiss']:.1f} | - | - |")
                lines.append(f"| {size} | nearest_codes / faiss | {search:.1f} | {ratio:.2f} | {SEARCH_AT_MOST} |")
            else:
                lines.append(f"| {size} | nearest_codes | {search:.1f} | - | - |")
            asked = STEP_AT_MOST.get(size, "-")
            lines.append(f"| {size} | training step / bare product | {step:.1f} | {step / bare:.2f} | {asked} |")
    finally:
        torch.set_num_threads(threads)
    note = "" if faiss else "\n\nfaiss is not installed: its rows are left out (`pip install faiss-cpu`)."
    return "\n".join(lines) + note


if __name__ == "__main__":
    print(on_one_thread())
