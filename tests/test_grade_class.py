"""A class of hostile submissions, graded as one by the command, and what the sandbox holds. Needs Linux's namespaces.

tests/hostile.py has the submissions. The command runs once; its parts are looked at by the tests.
"""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hostile
import psutil
import pytest

from course_lib.check.exercises import EXERCISES
from course_lib.grade import wire
from course_lib.grade.questions import Examiner
from course_lib.grade.sandbox import KINDS, NoSandbox, Sandbox

PROJECT = Path(__file__).resolve().parent.parent
SECONDS = 8
MOST_MEMORY = 2.5 * 2**30
ODD_NAMES = [
    "=cmd|'calc'!A0",
    "a..b",
    'comma, and "quote"',
    "-5",
    "@sum",
    "Zoë 田中",
    "with\nnewline",
    "CON",
    "x" * 200,
    "語" * 84,
    "..dots",
    "~x",
    "x-52fa2173",
]
WORKS: dict[str, bool] = {}


def works(kind: str) -> bool:
    """Whether this kind of sandbox can be had on this machine."""
    if kind not in WORKS:
        sandbox = Sandbox(kind)
        try:
            sandbox.start()
            WORKS[kind] = True
        except NoSandbox:
            WORKS[kind] = False
        finally:
            sandbox.close()
    return WORKS[kind]


def needs(kind: str) -> None:
    if not works(kind):
        pytest.skip(f"no sandbox of kind {kind} on this machine")


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "course_lib.grade", *map(str, arguments)]


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def memory_of(processes) -> int:
    """Bytes, pages that several share counted once in all."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.Error, AttributeError, FileNotFoundError):
            continue
    return total


def hand_in(folder: Path, student: str, *texts, lesson: str = hostile.LESSON) -> None:
    place = folder / student
    place.mkdir(parents=True)
    for text in texts:
        (place / f"{lesson}.ipynb").write_bytes(text if isinstance(text, bytes) else text.encode())


def as_handed_in(source: str) -> str:
    imports = hostile.cell("import torch\nfrom course_lib.check import check, hint, picture\n")
    check = hostile.cell(f'check("{hostile.NAME}", {hostile.NAME})', f"check:{hostile.NAME}")
    return hostile.notebook(imports, hostile.cell(source, hostile.TAG), check)


def files_there() -> set[str]:
    """What somebody could have left: in the folders where all may write, and in the project."""
    places = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), PROJECT, Path.home()]
    found = {str(path) for place in places if place.is_dir() for path in place.iterdir()}
    return {path for path in found if not re.search(r"/tmp\w{8}\.json$", path)}  # of a Jupyter kernel beside the tests


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The whole class, once: the folder with what came out, and what was seen from outside meanwhile."""
    if sys.platform != "linux" or not (works("namespaces") or works("bubblewrap")):
        pytest.skip("no namespaces on this machine")
    folder = tmp_path_factory.mktemp("class")
    for name, (_, source) in hostile.CELLS.items():
        hand_in(folder / "in", name, as_handed_in(source))
    for name, (_, text) in hostile.NOTEBOOKS.items():
        hand_in(folder / "in", name, text)
    for name in ODD_NAMES:
        hand_in(folder / "in", name, as_handed_in(hostile.RIGHT))
    hand_in(folder / "in", "nothing_there")
    hand_in(folder / "in", "another_name", as_handed_in(hostile.RIGHT), lesson="my_solution")
    (folder / "in/a_link").mkdir()
    (folder / f"in/a_link/{hostile.LESSON}.ipynb").symlink_to("/etc/passwd")
    (folder / f"in/a_folder/{hostile.LESSON}.ipynb").mkdir(parents=True)
    (folder / "in/a_pipe").mkdir()
    os.mkfifo(folder / f"in/a_pipe/{hostile.LESSON}.ipynb")
    before, peak = files_there(), 0
    out = tempfile.TemporaryFile()
    process = subprocess.Popen(
        command(folder / "in", "--out", folder / "out", "--timeout", SECONDS, "--jobs", 2, "--memory", 256),
        stdout=out,
        stderr=out,
        cwd=folder,
    )
    everybody = set()
    while process.poll() is None:
        relatives = family(psutil.Process(process.pid))
        everybody |= set(relatives)
        peak = max(peak, memory_of(relatives))
        time.sleep(0.25)
    out.seek(0)
    deadline = time.monotonic() + 5  # those who were killed are taken off the list by the system in its own time
    while any(alive(one) for one in everybody) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {
        "folder": folder / "out", "status": process.returncode, "said": out.read().decode(), "peak": peak,
        "left alive": [one for one in everybody if alive(one)], "left files": files_there() - before - {str(folder)},
    }  # fmt: skip


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def found(graded) -> dict[str, dict]:
    lines = (graded["folder"] / "verdicts.jsonl").read_text().splitlines()[1:]
    return {line["student"]: line for line in map(json.loads, lines)}


def test_the_command_ends_with_0_and_every_row(graded):
    assert graded["status"] == 0, graded["said"]
    with open(graded["folder"] / "gradebook.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    count = len(hostile.CELLS) + len(hostile.NOTEBOOKS) + len(ODD_NAMES) + 5
    assert len(rows) == count == len(found(graded))
    assert all(
        row["out of"] == ("2" if row[hostile.LESSON] else "0")
        and row["sandbox"].startswith(("bubblewrap", "namespaces"))
        for row in rows
    )


EXPECTED = {name: verdict for part in (hostile.CELLS, hostile.NOTEBOOKS) for name, (verdict, _) in part.items()}
EXPECTED |= dict.fromkeys(ODD_NAMES, "pass")
EXPECTED |= {"nothing_there": "blank", "another_name": "not_graded"}
EXPECTED |= {"a_link": "not_graded", "a_folder": "not_graded", "a_pipe": "not_graded"}


def test_the_class_is_large_enough():
    attacks = {name for name, (verdict, _) in hostile.CELLS.items() if verdict != "pass"}
    assert len(attacks) >= 30


@pytest.mark.parametrize("name", EXPECTED)
def test_verdict(graded, name):
    line = found(graded)[name]
    assert line["verdict"] in EXPECTED[name].split(), line
    assert (line["score"] == 1) == (line["verdict"] == "pass")


def test_marks_follow_from_verdicts_and_what_is_not_graded_is_no_zero(graded):
    with open(graded["folder"] / "gradebook.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["right"][hostile.LESSON] == rows["right"]["total"] == "2"
    assert rows["hang_when_called"][hostile.LESSON] == "0" and "timeout" in rows["hang_when_called"]["notes"]
    for name in ("cut_off", "a_pipe", "deep_json"):
        assert rows[name][hostile.LESSON] == "" and "cannot be read" in rows[name]["notes"]
    assert rows["nothing_there"][hostile.LESSON] == "0" and "no 04_straight" in rows["nothing_there"]["notes"]
    assert (
        rows["another_name"][hostile.LESSON] == ""
        and "is it one of my_solution.ipynb?" in rows["another_name"]["notes"]
    )
    assert "look at: another_name, not graded: 04_straight_through" in graded["said"]


def test_no_cell_of_any_table_is_a_formula(graded):
    with open(graded["folder"] / "gradebook.csv", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert any("=cmd" in cell for cell in cells)
    assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@")]


def test_every_student_has_a_page_and_a_result(graded):
    names = [path.stem for path in graded["folder"].glob("*.json")]
    assert len(names) == len(found(graded)) == len(list(graded["folder"].glob("*.html")))
    assert {"right", "hang_when_called", "cut_off"} <= set(names)
    result = json.loads((graded["folder"] / "wrong.json").read_text())
    (test,) = result["tests"]
    assert test["name"] == hostile.NAME and test["score"] == 0 and test["max_score"] == 2 and test["status"] == "failed"
    assert "the gradient reaches q: which of the two terms should be detached?" in test["output"]
    assert "which of the two terms should be detached?" in (graded["folder"] / "wrong.html").read_text()


def test_nobody_is_left_alive(graded):
    assert not graded["left alive"]


def test_no_file_is_left(graded):
    assert not graded["left files"]


def test_memory_stays_below_the_bound(graded):
    assert 2**28 < graded["peak"] < MOST_MEMORY


def test_texts_of_strangers_are_harmless_in_reports(graded):
    for path in graded["folder"].glob("*.html"):
        text = path.read_text()
        assert "<script" not in text and "\x1b" not in text
    assert "\x1b" not in graded["said"]


# ----------------------------------------------------------------------------------------------------------------------
# Each kind of sandbox

BY_KIND = dict.fromkeys(
    ["bubblewrap", "namespaces"],
    "right wrong hang_when_called os_exit segfault memory_bomb fork_bomb kills_its_parent disk_filling connects finds_the_course "
    "forged_on_every_descriptor subclass_equals_everything imports_the_reference".split(),
) | {
    "process": "right hang_when_called one_huge_tensor fork_bomb kills_its_parent finds_the_course shared_memory changes_a_file changes_the_host".split()
}  # 3 s each


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_in_each_kind(kind):
    needs(kind)
    if kind == "process" and sys.platform != "linux":
        pytest.skip("elsewhere a bare process cannot be kept from most of this")
    examiner, sandbox = Examiner(EXERCISES, seconds=8), Sandbox(kind, (PROJECT / "course_lib",))
    try:
        for name in BY_KIND[kind]:
            expected, source = hostile.CELLS[name]
            handed_in = as_notebook(source)
            verdict = examiner.ask(handed_in, hostile.NAME, sandbox).verdict
            assert verdict in expected.split(), (kind, name, verdict)
        assert sandbox.kind == kind
    finally:
        sandbox.close()


def as_notebook(source: str):
    from course_lib.grade.submissions import Notebook

    return Notebook("somebody", hostile.LESSON, ({"number": 1, "source": source, "tags": [hostile.TAG]},), "digest")


def test_a_bare_process_that_takes_too_much_memory_is_ended():
    """Where limits of the system do not hold: it is looked at again and again."""
    sandbox = Sandbox("process")
    source = "import time; time.sleep(0.5); a = bytearray(b'1') * 300_000_000; time.sleep(60)"
    sandbox._process = subprocess.Popen([sys.executable, "-c", source], start_new_session=True)
    with sandbox._watched(60, 10**8) as fate:
        sandbox._process.wait()
    assert fate == {"how": "memory"}


@pytest.fixture(scope="module", params=["bubblewrap", "namespaces"])
def container(request):
    needs(request.param)
    sandbox = Sandbox(request.param)
    yield sandbox
    sandbox.close()


def tell(sandbox: Sandbox, lines: str) -> str:
    """What some lines say, in words, when they run where answers do."""
    body = "\n".join(f"    {line}" for line in lines.strip("\n").split("\n"))
    source = f"def straight_through(x, q):\n{body}\n"
    asked = wire.pack({"name": hostile.NAME, "cells": [{"number": 1, "source": source, "tags": []}], "candidate": 0})
    reply = sandbox.ask(wire.join(asked, Examiner(EXERCISES)._packed(EXERCISES[hostile.NAME])), 10, 2**29)
    assert reply.how == "replied", reply
    kind, message, *_ = wire.unpack(reply.data)["runs"][0]["plain"]["raised"]
    assert kind == "LookupError", (kind, message)
    return message


def test_what_is_there_inside(container):
    """Nothing can be written, wherever it is; the machine's own files, other processes and the course are not there."""
    able = """
import os, sys
able = []
for folder in ['/', '/tmp', '/dev', '/dev/shm', '/usr', '/lib', '/proc', '/sys', *sys.path]:
    try: open(folder + '/left', 'w'); able.append(folder)
    except OSError: pass
raise LookupError(repr(able))"""
    assert tell(container, able) == "[]"
    there = f"""
import os
places = ['/proc/1', '/proc/self', '/etc/passwd', '/root/.ssh', '/home', '/tmp', '/var', '/bin/sh', {str(PROJECT / "course_lib")!r}]
raise LookupError(repr([place for place in places if os.path.exists(place)]))"""
    assert tell(container, there) == "[]"


def test_who_one_is_inside(container):
    said = tell(container, "import os\nraise LookupError(repr((os.getuid() != 0, os.getppid(), sorted(os.environ))))")
    assert said.startswith("(True, 1, [") and "COURSE" not in said and "HOME" not in said


def test_nothing_of_one_question_reaches_the_next(container):
    leave = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
said = [libc.shmget(77, 4096, 0o1666), libc.msgget(77, 0o1666), libc.semget(77, 1, 0o1666)]
threading.Thread(target=time.sleep, args=(100,)).start()
raise LookupError(repr(said))"""
    assert tell(container, leave) == "[-1, -1, -1]"
    limits = "import os, resource\nraise LookupError(repr((len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(0, 0))))"
    first = tell(container, limits)
    spoil = """
import ctypes, os, resource
for f in (lambda: os.sched_setaffinity(1, {0}), lambda: os.setpriority(0, 1, 19), lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))):
    try: f()
    except OSError: continue
    raise LookupError('able')
raise LookupError('unable')"""
    assert tell(container, spoil) == "unable"
    assert tell(container, limits) == first


def test_another_numbering_of_system_calls_is_no_way_around(container):
    """On x86-64 the 32-bit numbering would reach what the filter forbids; whoever tries is ended."""
    source = (
        "def straight_through(x, q):\n    import ctypes\n    ctypes.CDLL(None).syscall(0x40000000 + 39)\n    return q\n"
    )
    if os.uname().machine != "x86_64":
        pytest.skip("x86-64 alone has it")
    assert Examiner(EXERCISES, seconds=5).ask(as_notebook(source), hostile.NAME, container).verdict == "crash"


def test_a_compiled_answer_runs_as_it_is_written(container):
    """There is no compiler inside, and nowhere to write."""
    ((source,),) = hostile.FAIR["compiled"]
    assert Examiner(EXERCISES, seconds=120).ask(as_notebook(source), hostile.NAME, container).verdict == "pass"


def test_the_descriptors_are_three_and_the_reply(container):
    said = tell(
        container,
        "import os\nopen_ones = []\nfor d in range(64):\n    try: os.fstat(d); open_ones.append(d)\n    except OSError: pass\nraise LookupError(repr(open_ones))",
    )
    assert len(json.loads(said)) == 4


@pytest.mark.parametrize("kind", ["bubblewrap", "namespaces"])
def test_a_container_ends_with_the_grader(kind):
    """Killed with no chance to say goodbye, in the middle of a question that never ends."""
    needs(kind)
    source = f"""
import sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hostile
from test_grade_class import *
sandbox = Sandbox({kind!r})
sandbox.start()
print("ready", flush=True)
Examiner(EXERCISES, seconds=600).ask(as_notebook(hostile.CELLS["ignored_signals"][1]), hostile.NAME, sandbox)
"""
    grader = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert grader.stdout.readline() == b"ready\n"
    time.sleep(2)
    relatives = family(psutil.Process(grader.pid))
    assert len(relatives) >= 3
    grader.kill()
    grader.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, relatives)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [one for one in relatives if alive(one)]


# ----------------------------------------------------------------------------------------------------------------------
# A grader that is killed


@pytest.fixture(scope="module")
def small_class(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    for index in range(12):
        source = [hostile.RIGHT, hostile.WRONG, hostile.STUB, "def straight_through(x, q):\n    return x\n"][index % 4]
        hand_in(folder / "in", f"s{index:02}", as_handed_in(source))
    subprocess.run(command(folder / "in", "--out", folder / "whole"), check=True, capture_output=True)
    return folder


def test_a_killed_grader_ends_with_the_same_gradebook(small_class):
    """Here killed three times in one run; `make bench` does it at 20 moments."""
    wanted = (small_class / "whole/gradebook.csv").read_text()
    out = small_class / "killed"
    moments, counts = random.Random(0), []
    for _ in range(3):
        process = subprocess.Popen(
            command(small_class / "in", "--out", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        journal, begun = out / "verdicts.jsonl", len(lines_of(out))
        deadline = time.monotonic() + 60
        while (
            len(lines_of(out)) <= begun + moments.randrange(1, 3)
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(len(lines_of(out)))
        assert not (out / "gradebook.csv").exists()
    assert counts == sorted(set(counts)) and counts[0] > 1
    known = set(journal.read_bytes().splitlines())
    subprocess.run(command(small_class / "in", "--out", out), check=True, capture_output=True)
    assert (out / "gradebook.csv").read_text() == wanted
    lines = lines_of(out)
    assert len(lines) == 13 and known & set(lines) == {line for line in known if line.endswith(b"}")}


def lines_of(out: Path) -> list[bytes]:
    try:
        return (out / "verdicts.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return []


def test_a_stopped_grader_says_so_and_keeps_what_it_found(small_class):
    out = small_class / "stopped"
    process = subprocess.Popen(command(small_class / "in", "--out", out, "--jobs", 1), stderr=subprocess.PIPE)
    while len(lines_of(out)) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 130 and "the same command goes on from there" in said
    assert 3 <= len(lines_of(out)) < 13 and not (out / "gradebook.csv").exists()


def test_what_was_graded_is_not_asked_again(small_class):
    out = small_class / "whole"
    before, wanted = (out / "verdicts.jsonl").read_bytes(), (out / "gradebook.csv").read_bytes()
    (out / "gradebook.csv").unlink()  # as if it had been killed after its last verdict
    said = subprocess.run(command(small_class / "in", "--out", out), check=True, capture_output=True, text=True).stdout
    assert (out / "verdicts.jsonl").read_bytes() == before
    assert "12 of them known before" in said and (out / "gradebook.csv").read_bytes() == wanted
