"""Where a stranger's code runs, and the talk with it: bytes in, bytes out, and how it ended.

This module does not wait for torch, so that a sandbox loads its own while the grader does.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from course_lib.grade import zygote

KINDS = ("bubblewrap", "namespaces", "process")  # the strongest that works here is taken
NOBODY = 65534
GRACE = 5.0  # seconds that a container may need beyond a question's own
START = 120.0  # seconds in which torch must be loaded
TRAINING = ("torch._dynamo", "vector_quantize_pytorch")  # what an optimiser loads, and what lesson 07 uses
POLL = 0.02  # seconds between two looks at the memory of a bare process
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONMALLOC": "malloc",
    "TORCHDYNAMO_DISABLE": "1",  # a compiled answer runs as it is written: there is no compiler, and nowhere to write
    "TORCH_COMPILE_DISABLE": "1",
    "TORCHINDUCTOR_CACHE_DIR": "/",  # it wants a folder that is there, and writes nothing unless it compiles
}
BOOT = """
import json, os
data = b""
while not data.endswith(b"\\0"):
    piece = os.read(0, 65536)
    if not piece:
        raise SystemExit
    data += piece
settings = json.loads(data[:-1])
space = {"__name__": "zygote"}
exec(compile(settings["zygote"], "zygote.py", "exec"), space)
space["main"](settings)
"""


class NoSandbox(RuntimeError):
    """None could be started. The message says which were tried, and what each said."""


@dataclass(frozen=True)
class Reply:
    """how: "replied", "timeout", "memory", "crash" or "too long". data: the reply; after a crash, what is known of it."""

    how: str
    data: bytes = b""


class Sandbox:
    """A process that takes one question at a time. It is started when it is needed, and anew after it has ended.

    kind:   one of KINDS; None: the strongest that works here, to be found out at the first start.
    hidden: folders that no answer may read, should they lie below something that it may.
    layers: what else holds inside, in words, once it has been started: "landlock limits seccomp".
    """

    def __init__(self, kind: str | None = None, hidden: tuple[Path, ...] = ()):
        self.kind, self.hidden, self.layers = kind, hidden, ""
        self.loaded: tuple[str, ...] = ()
        self._kinds = [kind] if kind else list(KINDS)  # that may still turn out to work
        self._faults: list[str] = []
        self._process: subprocess.Popen | None = None
        self._ready = False

    def ask(self, question: bytes, seconds: float, memory: int) -> Reply:
        """Sends a question and waits for how it ends. `NoSandbox` where no sandbox can be started."""
        self.start()
        bare = self.kind == "process"
        head = zygote.QUESTION.pack(len(question), seconds, memory)
        with self._watched(seconds + (0 if bare else GRACE), memory if bare else None) as fate:
            how, data = self._exchange(head + question)
        if bare or how is None:  # a bare process is for one question; while this one is judged, the next one loads
            self.close()
            with contextlib.suppress(NoSandbox):  # the next question will say so
                self.launch()
        if "how" in fate or how is None:
            return Reply(fate.get("how", "crash"))
        if how == zygote.DIED:
            return Reply("memory") if data == b"MemoryError" else Reply("crash", data)
        return Reply({zygote.REPLIED: "replied", zygote.TIMEOUT: "timeout"}.get(how, "too long"), data)

    def launch(self) -> None:
        """Lets it begin to load torch, and does not wait. `NoSandbox` where nothing is left to be tried."""
        while self._process is None:
            if not self._kinds:
                raise NoSandbox("no sandbox can be started here; " + "; ".join(self._faults))
            fault = self._begin(self._kinds[0])
            if fault:
                self._faults.append(f"{self._kinds.pop(0)}: {fault}")

    def start(self) -> None:
        """Waits until it can be asked. What has worked once is not exchanged for something weaker."""
        tries = 3 if self.kind else 0
        while not self._ready:
            self.launch()
            with self._watched(START, None):
                how, layers = self._exchange(b"")
            kind, said = self._kinds[0], layers.decode(errors="replace")
            fault = "" if how == zygote.READY else self._last_words()
            if not fault and kind == "process" and _is_root() and "nobody" not in said:
                if not {"landlock", "seccomp"} <= set(said.split()):
                    fault = "all of root's files would be open to an answer; grade as another user"
            if not fault:
                self._ready, self.kind, self.layers, self._kinds = True, kind, said, [kind]
                self._load()
                return
            self._faults.append(f"{kind}: {fault}")
            self.close()
            tries -= 1
            if tries < 0:
                self._kinds.pop(0)
            elif tries == 0:
                raise NoSandbox(f"the sandbox can no longer be started; {self._faults[-1]}")

    def close(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process:
            with contextlib.suppress(OSError):
                process.stdin.close()  # where it waits for a question, it goes by itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1 if self.kind != "process" else 0.1)
            _end(process)
            process.stdout.close()
            self._said.close()

    def _load(self) -> None:
        """Modules that not every question should have to load itself: those that optimisers want take seconds."""
        if self.loaded and self.kind != "process":
            names = " ".join(self.loaded).encode()
            with self._watched(START, None):
                self._exchange(zygote.QUESTION.pack(len(names), 0, 0) + names)

    def _begin(self, kind: str) -> str:
        """Starts the process. -> what keeps it from starting, or nothing."""
        readable = readable_paths()
        hidden = [str(path) for path in self.hidden if any(path.is_relative_to(seen) for seen in readable)]
        command = _command(kind, {"readable": readable, "hidden": hidden})
        if isinstance(command, str):
            return command
        nobody = kind == "process" and _is_root() and _all_may_read(readable)
        here = Path(__file__).parent
        modules = {"observe": here.parent / "check/observe.py"}
        modules |= {name: here / f"{name}.py" for name in ("wire", "lockdown", "inside")}
        settings = {
            "zygote": Path(zygote.__file__).read_text(encoding="utf-8"),
            "modules": {name: path.read_text(encoding="utf-8") for name, path in modules.items()},
            "path": _packages(),
            "readable": readable,
            "user": NOBODY if nobody else None,
            "fork": kind != "process",
        }
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
            cwd=os.path.abspath(os.sep), start_new_session=True,
            env=ENVIRONMENT | {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
        )  # fmt: skip
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(settings).encode() + b"\0")
            self._process.stdin.flush()
        return ""

    def _exchange(self, data: bytes) -> tuple[int | None, bytes]:
        """How it ended and the reply's bytes; None where the process is gone or talks nonsense."""
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
            head = self._process.stdout.read(zygote.REPLY.size)
            if len(head) == zygote.REPLY.size:
                how, length = zygote.REPLY.unpack(head)
                if length > zygote.MOST:
                    return zygote.TOO_LONG, b""
                reply = self._process.stdout.read(length)
                if len(reply) == length:
                    return how, reply
        except OSError:
            pass
        return None, b""

    @contextlib.contextmanager
    def _watched(self, seconds: float, memory: int | None):
        """Ends the process when its time is over, or when it has taken more memory than that; then says so in "how"."""
        process, fate, done = self._process, {}, threading.Event()
        end, most = time.monotonic() + seconds, memory and _memory_of(process.pid) + memory

        def watch():
            while not done.wait(max(0.0, min(end - time.monotonic(), POLL if memory else seconds))):
                if time.monotonic() >= end:
                    fate["how"] = "timeout"
                elif memory and _memory_of(process.pid) > most:
                    fate["how"] = "memory"
                if fate:
                    return _end(process)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield fate
        finally:
            done.set()
            watcher.join()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(1)
        self._said.seek(0)
        lines = self._said.read(10_000).decode(errors="replace").split("\n")
        return "; ".join(line.strip() for line in lines[-4:] if line.strip()) or "it ended without a word"


def _end(process: subprocess.Popen) -> None:
    """Ends the process with all that came from it. A container's processes end with its first one."""
    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait()


def _memory_of(process: int) -> int:
    """Bytes in memory of a process and its children."""
    try:
        family = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
        return sum(one.memory_info().rss for one in family)
    except psutil.Error:
        return 0


# ----------------------------------------------------------------------------------------------------------------------
# Commands


def _command(kind: str, settings: dict) -> list[str] | str:
    """The command that starts the zygote in a container of this kind, or why there is none."""
    python = [os.path.realpath(getattr(sys, "_base_executable", sys.executable)), "-I", "-S", "-c", BOOT]
    if kind == "process":
        return python
    if sys.platform != "linux":
        return "Linux alone has namespaces"
    if kind == "namespaces":
        container = str(Path(__file__).with_name("container.py"))
        return [python[0], "-I", "-S", container, json.dumps(settings | {"user": NOBODY}), *python]
    bubblewrap = shutil.which("bwrap")
    if not bubblewrap:
        return "not installed"
    options = [*"--unshare-all --unshare-user --die-with-parent --as-pid-1 --new-session --clearenv".split()]
    options += [*"--uid 1000 --gid 1000 --cap-drop ALL --hostname sandbox".split()]
    for path in settings["readable"]:
        options += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
    for path in settings["hidden"]:
        options += ["--tmpfs", path, "--remount-ro", path]
    for name, value in ENVIRONMENT.items():
        options += ["--setenv", name, value]
    return [bubblewrap, *options, "--remount-ro", "/", "--chdir", "/", "--", *python]


def readable_paths() -> list[str]:
    """What Python and torch are loaded from; none of it is the course."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    paths = [python, os.path.join(sys.base_prefix, "lib"), *_packages()]
    paths += ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"]
    paths += ["/dev/null", "/dev/zero", "/dev/urandom", "/proc/cpuinfo", "/sys/devices/system/cpu"]
    there = [path for path in dict.fromkeys(paths) if os.path.exists(path)]
    return [path for path in there if not any(Path(path).is_relative_to(other) for other in there if other != path)]


def _packages() -> list[str]:
    """The folders of installed packages."""
    places = [
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        str(Path(importlib.util.find_spec("torch").origin).parent.parent),
    ]
    return list(dict.fromkeys(places))


def _is_root() -> bool:
    return os.name == "posix" and os.geteuid() == 0


def _all_may_read(paths: list[str]) -> bool:
    """Whether somebody who is nobody could read what lies there."""
    folders = {folder for path in paths for folder in [Path(path), *Path(path).parents]}
    return all(folder.stat().st_mode & 0o001 for folder in folders if folder.is_dir())
