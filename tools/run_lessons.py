"""Runs lessons and keeps their outputs: `make outputs` in the notebooks themselves, `make run` in copies.

    python tools/run_lessons.py notebooks/*.ipynb [--to build/lessons]

Two run at a time, each in a kernel of its own with one thread, in the lesson's folder. A lesson that stops keeps its
outputs and its error; the others run on. The notebook's metadata says under course.made when, with which data and on
what machine its outputs came about. What a widget shows only while a kernel is behind it is not kept.
"""

import argparse
import ast
import asyncio
import os
import platform
import re
import signal
import sys
import time
from datetime import date
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from tqdm import tqdm

from course_lib import data, files

AT_A_TIME = 2
SECONDS_PER_CELL = 3600
# The later ones go on from the model that the first leaves in build/checkpoints.
CHAIN = ("cifar10_resnet", "inside_the_latents", "priors")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
DATA = "getattr(__import__('sys').modules.get('course_lib.data'), 'given', {})"


async def run(notebook: NotebookNode, folder: Path, environment: dict[str, str], name: str) -> str:
    """Runs a notebook in place, up to its first error, and gives this error in words: 'cell 3: NameError: ...'."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:  # what is committed must not pass for what this run gave
        cell.outputs, cell.execution_count = [], None
    # With no folders to search, the only kernel left is that of the running interpreter.
    kernel = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), transport_encryption="auto")
    client = NotebookClient(notebook, km=kernel, timeout=SECONDS_PER_CELL, record_timing=False)
    start, found, failure = time.perf_counter(), {}, ""
    await client.async_start_new_kernel(cwd=str(folder), env=environment)
    try:
        await client.async_start_new_kernel_client()
        with tqdm(total=len(code), desc=name, unit="cell", leave=False, disable=None) as bar:
            for index, cell in enumerate(notebook.cells):
                await client.async_execute_cell(cell, index)
                bar.update(cell.cell_type == "code")
        found = await _data(client)
    except CellExecutionError as error:
        failure = f"{error.ename}: {error.evalue}"
        found = await _data(client)
    except (CellTimeoutError, RuntimeError) as error:  # a kernel that died is a RuntimeError
        if asyncio.current_task().cancelling():  # nbclient takes Ctrl-C for one
            raise asyncio.CancelledError from error
        failure = str(error)
        told = nbformat.v4.new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[str(error)])
        cell.outputs.append(told)
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        await kernel.shutdown_kernel(now=True)
    for cell in code:
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET_VIEW, None)
        CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)  # of a progress bar, its last state
    seconds = round(time.perf_counter() - start)
    made = {"date": date.today().isoformat(), "data": found, "machine": machine(), "seconds": seconds}
    notebook.metadata["course"] = {**notebook.metadata.get("course", {}), "made": made}
    return failure and f"cell {client.code_cells_executed}: {failure.strip().splitlines()[0]}"


async def _data(client: NotebookClient) -> dict[str, str]:
    """Name of each data set that the kernel has loaded -> "real" or "sample"."""
    message = client.kc.execute("", silent=True, store_history=False, user_expressions={"given": DATA})
    reply = await client.async_wait_for_reply(message)
    given = ast.literal_eval(reply["content"]["user_expressions"]["given"]["data"]["text/plain"])
    return {name: "sample" if source == "sample" else "real" for name, source in given.items()}


def machine() -> str:
    """Kind of processor, cores, system, and the GPU where there is one; nothing that tells whose it is."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else []
    processor = re.sub(r"\((R|TM)\)| CPU| @.*| \d+-Core Processor", "", names[0] if names else platform.machine())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    graphics = [torch.cuda.get_device_name(0)] if torch.cuda.is_available() else []
    return ", ".join([processor, f"{cores} cores", *graphics, platform.system()])


async def run_all(paths: list[Path], folder: Path | None, environment: dict[str, str]) -> dict[str, str]:
    """Runs the notebooks, and writes each into `folder`, or in its place; name -> failure, of those that stopped."""
    chain = [path for topic in CHAIN for path in paths if path.stem.endswith(topic)]
    waiting = [chain, *([path] for path in paths if path not in chain)]
    failures = {}

    async def work() -> None:
        while waiting:
            for path in waiting.pop(0):
                notebook = nbformat.read(path, as_version=4)
                failure = await run(notebook, path.parent, environment, path.stem)
                files.write((folder or path.parent) / path.name, nbformat.writes(notebook) + "\n")
                if failure:
                    failures[path.stem] = failure
                seconds = notebook.metadata.course.made["seconds"]
                tqdm.write(f"{path.stem}: {seconds} s{failure and f', stopped at {failure}'}")

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(work())
    return failures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run lessons and keep their outputs.")
    parser.add_argument("notebooks", type=Path, nargs="+")
    parser.add_argument("--to", type=Path, help="where the notebooks are written (in their place)")
    options = parser.parse_args(arguments)
    for path in options.notebooks:
        try:
            nbformat.read(path, as_version=4)
        except Exception as error:  # nbformat lets through whatever its JSON and schema checks raise
            raise SystemExit(f"{path} cannot be read as a notebook: {error}") from error
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        sources = {data.load(name).source for name in ("mnist", "cifar10")}  # downloads happen once, here
    except ValueError as error:  # data that is there but cannot be used
        raise SystemExit(str(error)) from error
    if "sample" in sources:
        environment["COURSE_OFFLINE"] = "1"  # kernels need not try the network again
    if options.to:
        options.to.mkdir(parents=True, exist_ok=True)
    for ended in (signal.SIGINT, signal.SIGTERM):  # clean up alike, in the background too, where Ctrl-C is ignored
        signal.signal(ended, signal.default_int_handler)
    start = time.perf_counter()
    try:
        failures = asyncio.run(run_all(options.notebooks, options.to, environment))
    except KeyboardInterrupt:
        print("\nInterrupted; the notebooks that had ended are written.", file=sys.stderr)
        return 130
    print(f"{len(options.notebooks)} in {time.perf_counter() - start:.0f} s, {len(failures)} stopped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
