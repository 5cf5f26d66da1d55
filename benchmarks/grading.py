"""What grading costs, beside nbgrader on the same submissions; and whether a grader that is killed loses anything."""

import importlib.util
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks.report import table, verdict

PROJECT = Path(__file__).resolve().parent.parent
# What one of them needs from another exercise stands in the notebook too.
HELPERS = "def pairwise_distances(flat, codebook):\n    return (flat.unsqueeze(1) - codebook).square().sum(dim=2)"
ANSWERS = {
    "nearest_codes": "03_nearest_code",
    "straight_through": "04_straight_through",
    "ema_update": "06_ema_updates",
}
NOT_ASKED = ("pairwise_distances", "look_up", "perplexity")
STUDENTS, BY_NBGRADER, KILLS, KILLED_CLASS = 100, 8, 20, 24
SECONDS_ASKED, CLASS_ASKED, THROUGHPUT_ASKED = 0.2, 25, 10


def toy_notebook(wrong: str = "") -> dict:
    """Three answers and their checks, as the solutions have them; one of them may be replaced by something wrong."""
    cells = [new_code_cell("import torch\nimport torch.nn.functional as F\nfrom course_lib.check import check, hint")]
    cells.append(new_code_cell(HELPERS))
    for name, lesson in ANSWERS.items():
        solved = nbformat.read(PROJECT / f"solutions/{lesson}.ipynb", as_version=4)
        for kind in ("answer", "check"):
            (cell,) = [cell for cell in solved.cells if f"{kind}:{name}" in cell.metadata.get("tags", [])]
            source = f"def {name}(*x):\n    return x[0]" if (kind, name) == ("answer", wrong) else cell.source
            cells.append(new_code_cell(source, metadata=cell.metadata))
    return new_notebook(cells=cells)


def hand_in(folder: Path, count: int) -> Path:
    """Our grader wants a file for each exercise: here the same one under three names."""
    text = nbformat.writes(toy_notebook())
    for index in range(count):
        place = folder / f"student{index:03}"
        place.mkdir(parents=True)
        for lesson in ANSWERS.values():
            (place / f"{lesson}.ipynb").write_text(text)
    (folder.parent / "toy.toml").write_text("[points]\n" + "".join(f"{name} = 0\n" for name in NOT_ASKED))
    return folder


def command(submissions: Path, out: Path, jobs: int) -> list[str]:
    options = ["--out", out, "--jobs", jobs, "--settings", submissions.parent / "toy.toml"]
    return [sys.executable, "-m", "course_lib.grade", *map(str, [submissions, *options])]


def run(submissions: Path, out: Path, jobs: int) -> float:
    """Seconds of the whole command, its start included."""
    start = time.perf_counter()
    subprocess.run(command(submissions, out, jobs), cwd=PROJECT, check=True, capture_output=True)
    return time.perf_counter() - start


def lines_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()[1:]]


def class_figures(folder: Path, students: int = STUDENTS) -> dict:
    """Seconds of the class with one worker and with two, and the median of a submission's with one."""
    submissions, seconds = hand_in(folder / "in", students), {}
    for jobs in (1, 2):
        seconds[jobs] = run(submissions, folder / f"out{jobs}", jobs)
    taken: dict[str, float] = {}
    for line in lines_of(folder / "out1"):
        assert line["verdict"] == "pass", line
        taken[line["student"]] = taken.get(line["student"], 0) + line["seconds"]
    with open(folder / "out2/gradebook.csv", encoding="utf-8") as file:
        sandbox = file.read().split(",")[-2]
    return {"one": seconds[1], "two": seconds[2], "submission": statistics.median(taken.values()), "sandbox": sandbox}


def nbgrader_seconds(folder: Path, students: int = BY_NBGRADER) -> float | None:
    """Seconds that `nbgrader autograde` takes for one submission; None where nbgrader is not installed."""
    if importlib.util.find_spec("nbgrader") is None:
        return None
    notebook = toy_notebook()
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = (
                cell.source
                if "### BEGIN SOLUTION" in cell.source
                else f"### BEGIN SOLUTION\n{cell.source}\n### END SOLUTION"
            )
    places = [folder / "source/toy"] + [folder / f"submitted/student{index:03}/toy" for index in range(students)]
    for place in places:
        place.mkdir(parents=True)
        nbformat.write(notebook, place / "toy.ipynb")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it calls alembic by name
    environment = os.environ | {"COURSE_PROGRESS": "off", "PATH": path}
    environment |= {f"JUPYTER_{name}": str(folder / name) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}

    def nbgrader(*words: str) -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "nbgrader", *words], cwd=folder, check=True, capture_output=True, env=environment
        )
        return time.perf_counter() - start

    nbgrader("generate_assignment", "toy")
    seconds = nbgrader("autograde", "toy") / students
    marks = subprocess.run(
        [sys.executable, "-m", "nbgrader", "export"], cwd=folder, capture_output=True, env=environment
    )
    assert marks.returncode == 0 and len((folder / "grades.csv").read_text().splitlines()) == students + 1, marks.stderr
    return seconds


def kills(folder: Path, moments: int = KILLS, students: int = KILLED_CLASS) -> dict:
    """A class is graded whole; then, each time into a new folder, killed at a random moment and started again."""
    submissions, draw = hand_in(folder / "in", students), random.Random(0)
    for index in range(0, students, 3):
        place = submissions / f"student{index:03}"
        for lesson in ANSWERS.values():
            (place / f"{lesson}.ipynb").write_text(nbformat.writes(toy_notebook(wrong=draw.choice(list(ANSWERS)))))
    seconds = run(submissions, folder / "whole", 2)
    wanted, count = (folder / "whole/gradebook.csv").read_bytes(), len(lines_of(folder / "whole"))
    same, redone, known = 0, 0, []
    for number in range(moments):
        out = folder / f"killed{number}"
        process = subprocess.Popen(
            command(submissions, out, 2), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.3, 1.0) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        journal = out / "verdicts.jsonl"
        known.append(max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0)
        run(submissions, out, 2)
        same += (out / "gradebook.csv").read_bytes() == wanted
        redone += len(lines_of(out)) - count
    return {"moments": moments, "same": same, "redone": redone, "known": known, "answers": count}


def measure() -> dict:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        figures = class_figures(folder / "class")
        figures["nbgrader"] = nbgrader_seconds(folder / "nbgrader")
        figures["kills"] = kills(folder / "kills")
    return figures


def report() -> str:
    figures = measure()
    killed = figures["kills"]
    ours, theirs = figures["two"] / STUDENTS, figures["nbgrader"]
    ratio = theirs / ours if theirs else None
    submission_aim = verdict(figures["submission"], at_most=SECONDS_ASKED)
    class_aim = verdict(figures["two"], at_most=CLASS_ASKED)
    rows = [
        ["one correct submission, one worker, s (median)", figures["submission"], submission_aim],
        [f"{STUDENTS} submissions, one worker, s (start included)", figures["one"], "-"],
        [f"{STUDENTS} submissions, two workers, s (start included)", figures["two"], class_aim],
        [f"nbgrader, s for each submission ({BY_NBGRADER} of them, start included)", theirs, "-"],
        ["our throughput over nbgrader's", ratio, verdict(ratio, at_least=THROUGHPUT_ASKED)],
    ]
    lost = [
        ["ended with the same gradebook", killed["same"], verdict(killed["same"], at_least=killed["moments"])],
        ["answers graded twice", killed["redone"], verdict(killed["redone"], at_most=0)],
        [f"verdicts kept, of {killed['answers']}: fewest", min(killed["known"]), "-"],
        [f"verdicts kept, of {killed['answers']}: most", max(killed["known"]), "-"],
    ]
    return (
        f"## Grading a class\n\nThree toy answers, {', '.join(ANSWERS)}, in one notebook; sandbox: "
        f"{figures['sandbox']}. nbgrader runs the same notebook with the same checks, one submission after the other, "
        f"as it does.\n\n{table(['', 'measured', 'aim'], rows)}\n\nA grader killed (SIGKILL) at {killed['moments']} "
        f"random moments, and started again each time:\n\n{table(['', 'measured', 'aim'], lost)}"
    )


if __name__ == "__main__":
    print(report())
