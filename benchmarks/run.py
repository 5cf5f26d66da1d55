"""Measures every subject in turn and writes RESULTS.md, whole: one run on one machine. `make bench` calls it.

Each subject has a process of its own, and prints its sections as they come. The file is written after the last one, so
a run that fails or is broken off leaves the file of the run before. Figures of a GPU that was borrowed once, with card,
day and commit, are kept in gpu.md and stand at the end where this machine has none.
"""

import importlib.metadata
import platform
import re
from datetime import date
from pathlib import Path

import torch

from benchmarks import grading, layer, search, training
from benchmarks.report import in_fresh_process
from course_lib import files

SUBJECTS = (layer, search, training, grading)
RESULTS = Path(__file__).parent / "RESULTS.md"
KEPT = Path(__file__).parent / "gpu.md"  # what a GPU gave elsewhere: for machines without one
PACKAGES = "torch", "vector-quantize-pytorch", "faiss-cpu"


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def header() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else []
    machine = names[0] if names else platform.processor() or platform.machine()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        "Written by `make bench` (benchmarks/run.py); the next run writes it anew.\n\n# Benchmarks\n\n"
        f"{date.today()}. {machine}, threads: {torch.get_num_threads()}. "
        f"Python {platform.python_version()}, {versions}."
    )


def main() -> None:
    sections = [header()]
    for subject in SUBJECTS:
        print(f"--- {subject.__name__}", flush=True)
        sections.append(in_fresh_process(subject.report))
        print(sections[-1], flush=True)
    if not torch.cuda.is_available():
        sections.append(KEPT.read_text(encoding="utf-8").strip())
    files.write(RESULTS, "\n\n".join(sections) + "\n")


if __name__ == "__main__":
    main()
