"""The search for the nearest codes, and a whole training step with it, beside faiss and beside a bare matrix product.

CPU time on one thread, the best of many rounds in which each has a turn. faiss is its exact flat L2 index; where it is
not installed, its rows are left out.
"""

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.report import table, verdict
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


def report(rounds: dict[int, int] = ROUNDS, latents: int = LATENTS) -> str:
    torch.set_num_threads(1)
    if faiss:
        faiss.omp_set_num_threads(1)
    rows = []
    for size, times in rounds.items():
        ms = measure(size, times, latents)
        bare, search, step = ms["bare product"], ms["nearest_codes"], ms["training step"]
        rows.append([size, "bare product", bare, "", ""])
        if faiss:
            ratio = search / ms["faiss"]
            rows.append([size, "faiss", ms["faiss"], "", ""])
            rows.append([size, "nearest_codes / faiss", search, ratio, verdict(ratio, at_most=SEARCH_AT_MOST)])
        ratio = step / bare
        rows.append([size, "training step / bare product", step, ratio, verdict(ratio, at_most=STEP_AT_MOST[size])])
    rows = [[cell if cell != "" else "-" for cell in row] for row in rows]
    return (
        "## The search\n\nThe nearest of K codes for "
        f"{latents:,} latents of dimension {DIM}, and a training step with it (forward, backward, moving averages): ms "
        "of CPU time on one thread. "
        f"{'' if faiss else 'faiss is not installed: its rows are left out. '}"
        f"\n\n{table(['codes K', 'what', 'ms', 'ratio', 'aim'], rows)}"
    )


if __name__ == "__main__":
    print(report())
