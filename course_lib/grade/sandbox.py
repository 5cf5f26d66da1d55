"""Where a stranger's code runs, and the talk with it: bytes in, bytes out, and how it ended.

This module does not wait for torch, so that a sandbox loads its own while the grader does.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from course_lib.grade import machine
from course_lib.grade.inside import server
from course_lib.grade.machine import NoSandbox

KINDS = ("bubblewrap", "process")
START = 120.0  # seconds in which torch must be loaded
GRACE = 5.0  # seconds in which a server must say how a process ended
POLL = 0.02  # seconds between two looks at the memory of a bare process
TRAINING = ("torch._dynamo", "vector_quantize_pytorch")  # what an optimiser loads, and what lesson 07 uses
SLOW_TO_LOAD = {  # by a word of the code: the module that takes seconds
    "compile": "torch._dynamo", "optim": "torch._dynamo", "torchvision": "torchvision", "torchaudio": "torchaudio",
    "vector_quantize_pytorch": "vector_quantize_pytorch", "matplotlib": "matplotlib.pyplot", "pandas": "pandas",
    "scipy": "scipy.stats", "sklearn": "sklearn", "IPython": "IPython",
}  # fmt: skip
WITHOUT = {  # of a bare process: what an answer may do where a layer is missing
    "landlock": "read every file that the account may read, the solutions and other submissions among them, and write",
    "seccomp": "start processes, open connections and send signals, to the grader too",
    "limits": "take files and threads without end; its memory is only looked at from time to time",
}


@dataclass(frozen=True)
class Reply:
    """how: "replied", "timeout", "memory", "crash" or "too long". data: the reply; of a crash, what is known of it."""

    how: str
    data: bytes = b""


class Client:
    """The other end of `inside.server`. Not for several threads at once."""

    def __init__(self, control: socket.socket):
        self.control = control

    def ask(self, question: bytes, seconds: float) -> Reply:
        """`EOFError` or `OSError` where the server is gone, or says nothing any more."""
        end = time.monotonic() + seconds
        (question_there, target), (source, reply_there) = os.pipe(), os.pipe()
        os.set_blocking(target, False)
        with open(target, "wb", buffering=0) as target, open(source, "rb", buffering=0) as source:
            try:
                socket.send_fds(self.control, [server.QUESTION], [question_there, reply_there])
            finally:
                os.close(question_there)
                os.close(reply_there)
            how, data = self._talk(memoryview(question), target, source, end)
        if how:
            self.control.send(server.END)
        status = int(self.receive(GRACE))
        return Reply(how, data) if how else _ended(status)

    def _talk(self, question: memoryview, target, source, end: float) -> tuple[str, bytes]:
        """How it went and the reply; nothing where the process ended without one, as the server will tell."""
        reply, sources = bytearray(), [source, self.control]
        while True:
            wait = max(0.0, end - time.monotonic())
            readable, writable, _ = select.select(sources, [] if target.closed else [target], [], wait)
            if source in readable:
                piece = source.read(2**16)
                reply += piece
                if len(reply) > server.MOST_REPLY:
                    return "too long", b""
                if not piece and reply:
                    return "replied", bytes(reply)
                if not piece:
                    sources.remove(source)
            elif self.control in readable:
                return "", b""
            elif writable:
                try:
                    question = question[target.write(question) :]
                except BrokenPipeError:
                    question = question[:0]
                if not question:
                    target.close()
            else:
                return "timeout", b""

    def receive(self, seconds: float) -> bytes:
        self.control.settimeout(seconds)
        message = self.control.recv(2**12)
        self.control.settimeout(None)
        if not message:
            raise EOFError
        return message


def _ended(status: int) -> Reply:
    """Of a process that gave no reply."""
    if status == server.NO_MEMORY:
        return Reply("memory")
    if status >= 0:
        return Reply("crash", b"the process ended with exit status %d" % status)
    with contextlib.suppress(ValueError):
        return Reply("crash", f"the process was ended by signal {signal.Signals(-status).name}".encode())
    return Reply("crash", b"the process was ended by signal %d" % -status)


def _layers(ready: bytes) -> str:
    """What holds, in the words of a server that can be asked."""
    if not ready.startswith(server.READY):
        raise EOFError
    return ready.removeprefix(server.READY).decode().strip()


class Sandbox:
    """Takes one question at a time. It is started when it is needed, and anew after it has ended.

    kind:    one of KINDS.
    layers:  what holds inside besides the kind's own walls, once it has been started: "limits seccomp".
    modules: to be loaded before the first question, where a process is for more than one.
    """

    kind = ""

    def __init__(self):
        self.layers, self.modules = "", ()
        self._process: subprocess.Popen | None = None
        self._ready = False

    def ask(self, question: bytes, seconds: float, memory: int) -> Reply:
        """Sends a question and waits for how it ends. `NoSandbox` where the sandbox cannot be started."""
        self.start()
        return self._ask(server.LIMITS.pack(seconds, memory) + question, seconds, memory)

    def launch(self) -> None:
        """Lets it begin to load torch, and does not wait."""
        if self._process is None:
            self._runtime = machine.copy_of_the_runtime()
            self._begin()

    def start(self) -> None:
        """Waits until it can be asked. `NoSandbox` where that does not come about."""
        if self._ready:
            return
        self.launch()
        try:
            self.layers = self._wait()
            self._runtime.cleanup()  # all is loaded
            self._ready = True
        except (EOFError, OSError, NoSandbox) as error:
            words = str(error) if isinstance(error, NoSandbox) else self._last_words()
            self.close()
            raise NoSandbox(f"{self.kind} cannot be started: {words}") from None

    def missing(self) -> list[str]:
        """What does not hold, in whole sentences, once it has been started."""
        return []

    def close(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process:
            _end(process)
            self._runtime.cleanup()
            for stream in filter(None, (process.stdin, process.stdout)):
                with contextlib.suppress(OSError):
                    stream.close()

    def _popen(self, command: list[str], settings: dict, stdin, stdout, environment: dict) -> None:
        """Starts the server. `command` ends where Python's own arguments begin."""
        arguments = ["-S", "-s", "-P", "-m", server.__name__, json.dumps(settings | {"packages": machine.packages()})]
        with open(Path(self._runtime.name, "words"), "wb") as words:
            self._process = subprocess.Popen(
                [*command, *arguments], stdin=stdin, stdout=stdout, stderr=words,
                cwd=os.path.abspath(os.sep), start_new_session=True, env=environment,
            )  # fmt: skip

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        lines = Path(self._runtime.name, "words").read_text(encoding="utf-8", errors="replace")[-10_000:].split("\n")
        return "; ".join(line.strip() for line in lines[-4:] if line.strip()) or "it ended without a word"


class Bubblewrap(Sandbox):
    """A server in namespaces of its own, which forks a process for each question. command: from `bubblewrap`."""

    kind = "bubblewrap"

    def __init__(self, command: list[str]):
        super().__init__()
        self.command = command

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = {
            "forks": True,
            "user": machine.NOBODY if machine.is_root() else None,
            "reads all": False,
            "readable": None,
        }
        options = ["--ro-bind", self._runtime.name, "/course", "--setenv", "PYTHONPATH", "/course"]
        with theirs:
            self._popen([*self.command, *options, *machine.INSIDE], settings, theirs, subprocess.DEVNULL, {})
        self._client = Client(ours)

    def _wait(self) -> str:
        layers = _layers(self._client.receive(START))
        if "seccomp" not in layers:
            raise NoSandbox("libseccomp.so.2 is missing, which keeps answers from system calls: install libseccomp2")
        if self.modules:
            self._client.control.send(server.IMPORT + " ".join(self.modules).encode())
            self._client.receive(START)
        return layers

    def _ask(self, question: bytes, seconds: float, memory: int) -> Reply:
        try:
            return self._client.ask(question, seconds)
        except (EOFError, OSError):
            self.close()
            return Reply("crash", b"its sandbox was gone")

    def close(self) -> None:
        if self._process:
            self._client.control.close()
        super().close()


class Process(Sandbox):
    """A bare process for each question, watched from outside. It holds less: see docs/instructors.md."""

    kind = "process"

    def _begin(self) -> None:
        readable = [*machine.readable_paths(), self._runtime.name]
        self._reads_all = machine.is_root() and not all(map(machine.open_to_all, readable))
        user = machine.NOBODY if machine.is_root() else None
        settings = {"forks": False, "user": user, "reads all": self._reads_all, "readable": readable}
        environment = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
        environment |= machine.ENVIRONMENT | {"PYTHONPATH": self._runtime.name}
        self._popen([machine.PYTHON], settings, subprocess.PIPE, subprocess.PIPE, environment)

    def _wait(self) -> str:
        with self._watched(START, None):
            layers = _layers(self._process.stdout.readline())
        if self._reads_all and "landlock" not in layers:
            raise NoSandbox(
                f"as root, answers run as nobody, who may not read all of {', '.join(machine.readable_paths())}"
            )
        return layers

    def missing(self) -> list[str]:
        there = self.layers.split()
        return [
            f"there is no {layer} here, so that an answer may {may}"
            for layer, may in WITHOUT.items()
            if layer not in there
        ]

    def _ask(self, question: bytes, seconds: float, memory: int) -> Reply:
        process = self._process
        with self._watched(seconds, memory) as fate:
            with contextlib.suppress(OSError):
                process.stdin.write(question)
                process.stdin.close()
            data = process.stdout.read(server.MOST_REPLY + 1)
            status = 0 if data else process.wait()
        self.close()
        with contextlib.suppress(OSError):  # the next question will say so
            self.launch()  # while this reply is weighed, the next process loads
        if fate:
            return Reply(fate["how"])
        if len(data) > server.MOST_REPLY:
            return Reply("too long")
        return Reply("replied", data) if data else _ended(status)

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


def make(kind: str, count: int = 1, hidden: tuple[Path, ...] = ()) -> list[Sandbox]:
    """So many of one kind. `NoSandbox` where this machine cannot have them.

    hidden: folders that no answer may read, should they lie below something that it may.
    """
    if kind == "process":
        return [Process() for _ in range(count)]
    command = machine.bubblewrap(
        [path for path in hidden if any(path.is_relative_to(place) for place in machine.readable_paths())]
    )
    return [Bubblewrap(command) for _ in range(count)]
