"""What a training step of the layer costs, beside the library's layer and beside the bare product of matrices.

The sides of a ratio are measured in turn, round after round in one process, and their medians are compared.
"""

import functools
import math
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.report import RATIO_HEADER, in_fresh_process, ratio_row, table, verdict
from course_lib.quantize import VectorQuantizerEMA

DIM, ROWS = 64, 16_384
REPEATS = {512: 25, 8192: 7}  # codebook size -> rounds that count
LATENTS, CODES = tuple(4**n for n in range(5, 11)), tuple(2**n for n in range(7, 14))  # along which cost is linear

LIBRARY_AIM = 10  # the library takes at least this many times our time
BARE_AIM = {512: 2.0, 8192: 1.15}  # we take at most this many times the bare product's
MEMORY_AIM = {8192: 20}  # the library's peak is at least this many times ours
SLOPE_AIM = 1.1  # 1 is linear


def report() -> str:
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return "\n\n".join([*(speed(device) for device in devices), memory(), linear()])


def speed(device: str = "cpu", repeats: dict[int, int] = REPEATS, rows: int = ROWS) -> str:
    lines = []
    for size, rounds in repeats.items():
        times = step_times(size, rows, rounds, device)
        lines.append(ratio_row(size, "library", "ours", times, "ms", at_least=LIBRARY_AIM))
        if "bare" in times:
            lines.append(ratio_row(size, "ours", "bare", times, "ms", at_most=BARE_AIM.get(size)))
    where = "the CPU" if device == "cpu" else f"one {torch.cuda.get_device_name()}"
    return (
        f"## Speed of the layer on {where}\n\n"
        f"One training step (forward, backward, update of the moving averages) on {rows:,} latents of dimension {DIM}. "
        "*library*: vector-quantize-pytorch's layer with its moving averages. *bare*: the distances as a blocked "
        "matrix product and their argmin, nothing else.\n\n" + table(RATIO_HEADER, lines)
    )


def memory(sizes: tuple[int, ...] = tuple(REPEATS), rows: int = ROWS) -> str:
    lines = []
    for size in sizes:
        peaks = {side: in_fresh_process(peak_memory, side, size, rows) for side in ("library", "ours")}
        lines.append(ratio_row(size, "library", "ours", peaks, "MiB", at_least=MEMORY_AIM.get(size)))
    return (
        f"## Peak memory\n\nPeak memory of one such step above what the process held before it, {rows:,} latents, on "
        "the CPU, each in a process of its own (Linux: VmHWM less VmRSS).\n\n" + table(RATIO_HEADER, lines)
    )


def linear(latents: tuple[int, ...] = LATENTS, codes: tuple[int, ...] = CODES) -> str:
    texts = ["## Linear cost", "One training step of our layer on the CPU."]
    for axis, cases in (
        ("N", [(n, min(512, codes[-1])) for n in latents]),
        ("K", [(min(ROWS, latents[-1]), k) for k in codes]),
    ):
        lines = []
        for n, k in cases:
            step = functools.partial(training_step, make_layer("ours", k), *make_latents(n))
            ms = medians({"ours": step}, repeats=15 if n * k < 2**24 else 5)["ours"]
            lines.append([n, k, ms, 1e6 * ms / (n * k)])
        texts.append(table(["latents N", "codes K", "step, ms", "ns for each latent and code"], lines))
        power = slope([line["NK".index(axis)] for line in lines], [line[2] for line in lines])
        aim = verdict(power, at_most=SLOPE_AIM)
        texts.append(f"Slope of log time over log {axis}, larger half: {power:.2f}; 1 is linear ({aim}).")
    return "\n\n".join(texts)


# ----------------------------------------------------------------------------------------------------------------------
# One measurement


def medians(sides: dict[str, Callable], repeats: int, warm_up: int = 2, wait: Callable = lambda: None) -> dict:
    """Milliseconds of each side, the median of `repeats` rounds in which each has one turn."""
    times = {name: [] for name in sides}
    for _ in range(warm_up + repeats):
        for name, side in sides.items():
            wait()
            start = time.perf_counter()
            side()
            wait()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(of[warm_up:]) for name, of in times.items()}


def make_layer(side: str, codebook_size: int, device: str = "cpu"):
    torch.manual_seed(0)
    if side == "ours":
        return VectorQuantizerEMA(DIM, codebook_size, channel_last=True).to(device).train()
    from vector_quantize_pytorch import VectorQuantize  # takes seconds to import

    return VectorQuantize(dim=DIM, codebook_size=codebook_size, rotation_trick=False).to(device).train()


def make_latents(rows: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """(1, N, D) latents from N(0, 1), and a fixed gradient of the same shape."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(1, rows, DIM, generator=generator).to(device) for _ in range(2))


def training_step(layer, latents: Tensor, gradient: Tensor) -> None:
    """Forward, with the update of the moving averages, and backward."""
    latents = latents.detach().requires_grad_()
    quantized, _, loss = layer(latents)
    torch.autograd.backward([quantized, loss.sum()], [gradient, None])


@torch.no_grad()
def bare_product(flat: Tensor, codebook: Tensor, scores: Tensor, codes: Tensor) -> Tensor:
    """(N, D), (K, D) -> `codes` (N,): |e|^2 - 2 x.e in blocks of rows, one product each into `scores`, and argmin."""
    squares = codebook.square().sum(dim=1)  # (K,)
    for block, nearest in zip(flat.split(len(scores)), codes.split(len(scores))):
        part = torch.addmm(squares, block, codebook.T, alpha=-2, out=scores[: len(block)])  # (rows, K)
        torch.argmin(part, dim=1, out=nearest)
    return codes


def step_times(codebook_size: int, rows: int, repeats: int, device: str = "cpu") -> dict[str, float]:
    """Milliseconds of a training step of ours and of the library; on the CPU of the bare product too."""
    latents, gradient = make_latents(rows, device)
    layers = {side: make_layer(side, codebook_size, device) for side in ("ours", "library")}
    sides = {side: functools.partial(training_step, layer, latents, gradient) for side, layer in layers.items()}
    if device == "cuda":
        return medians(sides, repeats, wait=torch.cuda.synchronize)
    buffers = torch.empty(1024, codebook_size), torch.empty(rows, dtype=torch.int64)
    sides["bare"] = functools.partial(bare_product, latents[0], layers["ours"].codebook, *buffers)
    return medians(sides, repeats)


def peak_memory(side: str, codebook_size: int, rows: int) -> float | None:
    """MiB that one training step takes on top of what there is before it. To be called in a fresh process.

    None where the system does not tell: elsewhere than on Linux, or where it is not allowed to ask.
    """
    training_step(make_layer(side, 16), *make_latents(16))  # what torch loads and allocates once
    layer, tensors = make_layer(side, codebook_size), make_latents(rows)

    def status(field: str) -> int:  # KiB
        return int(re.search(rf"^{field}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1])

    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the highest VmRSS so far, starts again from here
    except OSError:
        return None
    before = status("VmRSS")
    training_step(layer, *tensors)
    return (status("VmHWM") - before) / 1024


def slope(sizes: list[int], times: list[float]) -> float:
    """The p of time = c size^p: least squares on the logarithms, over the larger half of the sizes."""
    half = len(sizes) // 2
    logs = [[math.log(value) for value in values[half:]] for values in (sizes, times)]
    return statistics.linear_regression(*logs).slope


if __name__ == "__main__":
    print(report())
