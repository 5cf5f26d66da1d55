"""Measures the course's layer and its CIFAR-10 recipe, and writes benchmarks/RESULTS.md. `make bench` runs it.

Two sides of a ratio are measured in turn, round after round in one process, and the medians are compared. The file is
written anew after each section, so a run that is cut short leaves what it had.
"""

import argparse
import functools
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from course_lib import data, recipes
from course_lib.quantize import VectorQuantizerEMA

PROJECT = Path(__file__).resolve().parent.parent
NOT_MEASURED, ELSEWHERE = "not measured", "*Measured on another machine, or with other versions: "

DIM, ROWS = recipes.DIM, 16_384
REPEATS = {512: 25, 8192: 7}  # codebook size -> rounds that count
BARE_ASKED = {512: 1.7, 8192: 1.25}  # at most this many times the bare product's time
MEMORY_ASKED = {8192: 20}  # the library's peak is at least this many times ours
SLOPE_ASKED = 1.1  # linear is 1

LADDER_UPDATES, LADDER_BATCH = 400, 16
FULL_UPDATES, FULL_BATCH = 17_000, 16
FULL_SECONDS, FULL_CORES = 600, 2
PUBLISHED = {"nmse": 0.053, "perplexity": 254, "updates": 200_000, "batch": 256}  # measured in training
CUDA_OPTIONS = ["--updates", "20000", "--batch-size", "256", "--evaluate-every", "250"]

# ----------------------------------------------------------------------------------------------------------------------
# Tables, ratios, verdicts


def number(value) -> str:
    """Four significant digits, or all digits before the point; None is what was not measured, a string stays."""
    if value is None or isinstance(value, str):
        return value or NOT_MEASURED
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:#.4g}".removesuffix(".")


def table(header: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *([number(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict(value: float | None, at_least: float | None = None, at_most: float | None = None, unit: str = "") -> str:
    """What was asked of the value, and whether it was reached; '-' where nothing was asked."""
    if at_least is None and at_most is None:
        return "-"
    asked = f"at least {at_least:g}{unit}" if at_most is None else f"at most {at_most:g}{unit}"
    if value is None:
        return f"{asked}: {NOT_MEASURED}"
    return f"{asked}: {'reached' if (value >= at_least if at_most is None else value <= at_most) else 'fell short'}"


RATIO_HEADER = ["codes K", "A / B", "A", "B", "A / B", "asked"]


def ratio_row(codebook_size: int, a: str, b: str, values: dict, unit: str, **asked) -> list:
    """One row under RATIO_HEADER; `values` holds A and B under their names, or None where they were not measured."""
    sides = values.get(a), values.get(b)
    ratio = None if None in sides else sides[0] / sides[1] if sides[1] else math.inf
    shown = [f"{number(side)} {unit}" if side is not None else None for side in sides]
    return [codebook_size, f"{a} / {b}", *shown, ratio, verdict(ratio, **asked)]


def slope(sizes: list[int], times: list[float]) -> float:
    """The p of time = c size^p: least squares on the logarithms, over the larger half of the sizes."""
    half = len(sizes) // 2
    logs = [[math.log(value) for value in values[half:]] for values in (sizes, times)]
    return statistics.linear_regression(*logs).slope


# ----------------------------------------------------------------------------------------------------------------------
# What is measured of the layer


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
    for block, chosen in zip(flat.split(len(scores)), codes.split(len(scores))):
        part = torch.addmm(squares, block, codebook.T, alpha=-2, out=scores[: len(block)])  # (rows, K)
        torch.argmin(part, dim=1, out=chosen)
    return codes


def step_times(codebook_size: int, rows: int, repeats: int, device: str = "cpu", bare: bool = True) -> dict:
    """Milliseconds of a training step of ours and of the library, and of the bare product on the same latents."""
    latents, gradient = make_latents(rows, device)
    layers = {side: make_layer(side, codebook_size, device) for side in ("ours", "library")}
    sides = {side: functools.partial(training_step, layer, latents, gradient) for side, layer in layers.items()}
    if bare:
        buffers = torch.empty(1024, codebook_size, device=device), torch.empty(rows, dtype=torch.int64, device=device)
        sides["bare"] = functools.partial(bare_product, latents[0], layers["ours"].codebook, *buffers)
    return medians(sides, repeats, wait=torch.cuda.synchronize if device == "cuda" else lambda: None)


def peak_memory(side: str, codebook_size: int, rows: int = ROWS) -> float | None:
    """MiB that one training step takes on top of what there is before it. To be called in a fresh process."""
    training_step(make_layer(side, 16), *make_latents(16))  # what torch loads and allocates once
    layer, tensors = make_layer(side, codebook_size), make_latents(rows)

    def status(field: str) -> int:  # KiB
        return int(re.search(rf"^{field}:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1])

    try:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the highest VmRSS so far, starts again from here
        before = status("VmRSS")
    except OSError:  # not Linux, or not allowed
        return None
    training_step(layer, *tensors)
    return (status("VmHWM") - before) / 1024


# ----------------------------------------------------------------------------------------------------------------------
# The sections: each gives the Markdown under its title


def speed(repeats: dict[int, int] = REPEATS, rows: int = ROWS) -> str:
    lines = []
    for size, times in repeats.items():
        found = step_times(size, rows, times)
        lines.append(ratio_row(size, "library", "ours", found, "ms", at_least=10))
        lines.append(ratio_row(size, "ours", "bare", found, "ms", at_most=BARE_ASKED.get(size)))
    return (
        f"One training step (forward, backward, update of the moving averages) on {rows:,} latents of dimension {DIM}, "
        "on the CPU. *library*: vector-quantize-pytorch's layer with its moving averages. *bare*: the distances as a "
        "blocked matrix product and their argmin, nothing else.\n\n" + table(RATIO_HEADER, lines)
    )


def memory(sizes: tuple[int, ...] = tuple(REPEATS)) -> str:
    lines = []
    for size in sizes:
        found = {side: json.loads(_python(__file__, "--memory", side, str(size))) for side in ("library", "ours")}
        lines.append(ratio_row(size, "library", "ours", found, "MiB", at_least=MEMORY_ASKED.get(size)))
    return (
        f"Peak memory of one such step above what the process held before it, {ROWS:,} latents, each in a process of "
        "its own (Linux: VmHWM less VmRSS).\n\n" + table(RATIO_HEADER, lines)
    )


def linear(rows: tuple = tuple(4**n for n in range(5, 11)), sizes: tuple = tuple(2**n for n in range(7, 14))) -> str:
    texts = ["One training step of our layer on the CPU."]
    for axis, cases in (
        ("N", [(n, min(512, sizes[-1])) for n in rows]),
        ("K", [(min(ROWS, rows[-1]), k) for k in sizes]),
    ):
        lines = []
        for n, k in cases:
            step = functools.partial(training_step, make_layer("ours", k), *make_latents(n))
            ms = medians({"ours": step}, repeats=15 if n * k < 2**24 else 5)["ours"]
            lines.append([n, k, ms, 1e6 * ms / (n * k)])
        texts.append(table(["latents N", "codes K", "step, ms", "ns for each latent and code"], lines))
        found = slope([line["NK".index(axis)] for line in lines], [line[2] for line in lines])
        asked = verdict(found, at_most=SLOPE_ASKED)
        texts.append(f"Slope of log time over log {axis}, larger half: {found:.2f}; 1 is linear ({asked}).")
    return "\n\n".join(texts)


@functools.cache
def cifar() -> data.Dataset:
    return data.load("cifar10")


@functools.cache
def autocast() -> torch.dtype | None:
    """Found out in a process of its own: threads that have worked once go on spinning here (OMP_WAIT_POLICY=ACTIVE)."""
    found = _python("-c", "from course_lib import recipes; print(recipes.fastest_autocast('cpu'))").strip()
    return None if found == "None" else getattr(torch, found.removeprefix("torch."))


def said_of_data() -> str:
    found = cifar()
    where = "the embedded sample, which is not CIFAR-10" if found.source == "sample" else f"CIFAR-10, {found.source}"
    return f"{len(found.train):,} training images, {len(found.test):,} test images ({where})"


def trained(recipe: recipes.Recipe, updates: int, batch_size: int) -> dict:
    """NMSE, perplexity and usage over the test images after training on the CPU with seed 0, and its seconds."""
    model, images = recipe.model(seed=0), cifar().train
    start = time.perf_counter()
    recipes.train(recipe, model, images, updates, batch_size, seed=0, autocast=autocast())
    return {"seconds": time.perf_counter() - start, **recipes.evaluate(model, cifar().test)}


def ladder(updates: int = LADDER_UPDATES, batch_size: int = LADDER_BATCH) -> str:
    lines = []
    for name, recipe in recipes.LADDER.items():
        print(name, flush=True)
        found = trained(recipe, updates, batch_size)
        lines.append([name, *(found[field] for field in ("nmse", "perplexity", "usage", "seconds"))])
    return (
        f"Every row trained alike: {updates:,} updates of {batch_size} images, seed 0, on the CPU; {said_of_data()}. "
        "A row that begins with ... adds to the row above it.\n\n"
        + table(["recipe", "NMSE", f"perplexity of {recipes.CODEBOOK_SIZE}", "usage", "training, s"], lines)
    )


def full(updates: int = FULL_UPDATES, batch_size: int = FULL_BATCH) -> str:
    return full_table(trained(recipes.OURS, updates, batch_size), updates, batch_size)


def full_table(found: dict, updates: int, batch_size: int) -> str:
    in_time = verdict(found["seconds"], at_most=FULL_SECONDS, unit=f" s on {FULL_CORES} cores")
    if (threads := torch.get_num_threads()) != FULL_CORES:
        in_time += f" (here threads: {threads})"
    rows = [
        ["NMSE", found["nmse"], PUBLISHED["nmse"], nmse_verdict(found["nmse"], cifar().source)],
        [f"perplexity of {recipes.CODEBOOK_SIZE}", found["perplexity"], PUBLISHED["perplexity"], "-"],
        ["usage", found["usage"], None, "-"],
        ["training, s", found["seconds"], None, in_time],
        ["updates", updates, PUBLISHED["updates"], "-"],
        ["images seen", updates * batch_size, PUBLISHED["updates"] * PUBLISHED["batch"], "-"],
    ]
    rows = [[name, a, b or "not published", b / a if b else "-", asked] for name, a, b, asked in rows]
    return (
        f"Our recipe on the CPU, seed 0, {updates:,} updates of {batch_size} images; {said_of_data()}. Ours is "
        "measured on the test images; the published figures were measured in training.\n\n"
        + table(["", "ours", "published", "published / ours", "asked"], rows)
    )


def nmse_verdict(nmse: float | None, source: str | None) -> str:
    return "asked of CIFAR-10 only" if source == "sample" else verdict(nmse, at_most=PUBLISHED["nmse"])


def cuda() -> str:
    if not torch.cuda.is_available():
        return "To be filled by `make bench` on a machine with a CUDA GPU.\n\n" + cuda_tables({}, {})
    times = {size: step_times(size, ROWS, repeats=50, device="cuda", bare=False) for size in REPEATS}
    print("training on the GPU, its progress not shown", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        output = _python("-m", "course_lib.training", *CUDA_OPTIONS, "--checkpoint", f"{folder}/checkpoint.pt")
    return f"On one {torch.cuda.get_device_name()}.\n\n{cuda_tables(times, json.loads(output.splitlines()[-1]))}"


def cuda_tables(times: dict[int, dict], result: dict) -> str:
    """`times`: codebook size -> {"ours": ms, "library": ms}; `result`: what `course_lib.training` printed. {}: none."""
    nmse, source, looks = result.get("nmse"), result.get("data"), result.get("looks", [])
    first = next((look["update"] for look in looks if look["nmse"] <= PUBLISHED["nmse"]), None)
    until = ["never" if looks else None] * 3
    if first:
        until = [first, first * result["batch_size"], result["seconds"] * first / result["updates"]]
    rows = [
        ["NMSE at the end", nmse, nmse_verdict(nmse, source)],
        ["best NMSE", min((look["nmse"] for look in looks), default=None), "-"],
        ["perplexity at the end", result.get("perplexity"), "-"],
        ["usage at the end", result.get("usage"), "-"],
        ["training, s", result.get("seconds"), "-"],
        [f"updates until NMSE <= {PUBLISHED['nmse']}", until[0], "-"],
        ["images until then", until[1], f"- (published: {PUBLISHED['updates'] * PUBLISHED['batch']:,} in all)"],
        ["seconds until then, taken as proportional to updates", until[2], "-"],
    ]
    about = f" ({result['test_images']:,} test images, data: {source})" if result else ""
    steps = [ratio_row(size, "library", "ours", times.get(size, {}), "ms") for size in REPEATS]
    return (
        f"One training step, {ROWS:,} latents:\n\n{table(RATIO_HEADER, steps)}\n\n"
        f"`python -m course_lib.training {' '.join(CUDA_OPTIONS)}`{about}:\n\n{table(['', 'ours', 'asked'], rows)}"
    )


def grading() -> str:
    import grading as measured  # beside this file; it wants nothing that the other sections do

    return grading_tables(measured.measure(), measured)


def grading_tables(found: dict, asked) -> str:
    """`found`: from `grading.measure`; `asked`: that module, for what was asked."""
    students, killed = asked.STUDENTS, found["kills"]
    ours, theirs = found["two"] / students, found["nbgrader"]
    ratio = theirs / ours if theirs else None
    rows = [
        [
            "one correct submission, one worker, s (median)",
            found["submission"],
            verdict(found["submission"], at_most=asked.SECONDS_ASKED),
        ],
        [f"{students} submissions, one worker, s (start included)", found["one"], "-"],
        [
            f"{students} submissions, two workers, s (start included)",
            found["two"],
            verdict(found["two"], at_most=asked.CLASS_ASKED),
        ],
        [f"nbgrader, s for each submission ({asked.BY_NBGRADER} of them, start included)", theirs, "-"],
        ["our throughput over nbgrader's", ratio, verdict(ratio, at_least=asked.THROUGHPUT_ASKED)],
    ]
    lost = [
        ["ended with the same gradebook", killed["same"], verdict(killed["same"], at_least=killed["moments"])],
        ["answers graded twice", killed["redone"], verdict(killed["redone"], at_most=0)],
        [f"verdicts kept, of {killed['answers']}: fewest", min(killed["known"]), "-"],
        [f"verdicts kept, of {killed['answers']}: most", max(killed["known"]), "-"],
    ]
    return (
        f"Three toy answers, {', '.join(asked.ANSWERS)}, in one notebook; sandbox: {found['sandbox']}. nbgrader runs the same "
        f"notebook with the same checks, one submission after the other, as it does.\n\n{table(['', 'measured', 'asked'], rows)}\n\n"
        f"A grader killed (SIGKILL) at {killed['moments']} random moments, and started again each time:\n\n"
        f"{table(['', 'measured', 'asked'], lost)}"
    )


SECTIONS = {
    "speed": ("Speed of the layer", speed),
    "memory": ("Peak memory", memory),
    "linear": ("Linear cost", linear),
    "ladder": ("What each ingredient brings", ladder),
    "full": ("The full recipe", full),
    "grading": ("Grading a class", grading),
    "cuda": ("CUDA", cuda),
}

# ----------------------------------------------------------------------------------------------------------------------
# The file and the command


def _python(*arguments: str) -> str:
    """What a Python of its own prints, with course_lib where it is found."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout


def header() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else []
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "vector-quantize-pytorch"))
    lines = [
        "Written by `make bench` (benchmarks/run.py); the next run writes it anew.",
        "# Benchmarks",
        f"{date.today()}. {names[0] if names else platform.processor() or platform.machine()}, "
        f"threads: {torch.get_num_threads()}; bfloat16 autocast {'chosen' if autocast() else 'not chosen'} for "
        f"training on the CPU. Python {platform.python_version()}, {versions}.",
    ]
    return "\n\n".join(lines)


def kept(path: Path, top: str) -> dict[str, str]:
    """The sections that the file has. Those of another machine or other versions (the line with the date) say so."""
    if not path.exists():
        return {}
    before, *sections = path.read_text(encoding="utf-8").strip().split("\n\n## ")
    where = before.rsplit("\n\n", 1)[-1]
    texts = dict(text.split("\n\n", 1) for text in sections)
    if where.split(". ", 1)[-1] != top.rsplit("\n\n", 1)[-1].split(". ", 1)[-1]:
        unlabelled = [title for title, text in texts.items() if not text.startswith((ELSEWHERE, NOT_MEASURED))]
        texts |= {title: f"{ELSEWHERE}{where}*\n\n{texts[title]}" for title in unlabelled}
    return {name: texts[title] for name, (title, _) in SECTIONS.items() if title in texts}


def write(path: Path, top: str, done: dict[str, str]) -> None:
    """The whole file, sections that are not in `done` as not measured; a reader finds the old file or the new one."""
    texts = [f"## {title}\n\n{done.get(name, NOT_MEASURED)}" for name, (title, _) in SECTIONS.items()]
    part = path.with_name(path.name + ".part")
    part.write_text("\n\n".join([top, *texts]) + "\n", encoding="utf-8")
    os.replace(part, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Writes benchmarks/RESULTS.md.")
    parser.add_argument(
        "--only", default=",".join(SECTIONS),
        help="sections to measure, with commas between; the others stay as this machine has written them: %(default)s",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "RESULTS.md")
    parser.add_argument("--memory", nargs=2, metavar=("SIDE", "K"), help="print the MiB of one step, and nothing else")
    options = parser.parse_args(arguments)
    if options.memory:
        print(json.dumps(peak_memory(options.memory[0], int(options.memory[1]))))
        return
    only = options.only.split(",")
    if unknown := set(only) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    top, failed = header(), []
    done = kept(options.output, top) if set(only) < set(SECTIONS) else {}
    for name in sorted(set(only), key=["grading", *SECTIONS].index):  # grading before any thread spins in this process
        title, section = SECTIONS[name]
        print(f"--- {title}", flush=True)
        try:
            done[name] = section()
        except Exception as error:  # the sections after it are measured all the same
            done[name] = f"{NOT_MEASURED}: {type(error).__name__}: {error}"
            failed.append(name)
        print(done[name], flush=True)
        write(options.output, top, done)
    if failed:
        raise SystemExit(f"error: not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
