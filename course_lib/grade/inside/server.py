"""Waits with torch loaded, and forks a process for each question, in which a stranger's code runs.

    python -m course_lib.grade.inside.server SETTINGS

Each question brings two descriptors of its own, over the socket that is standard input: the process that was forked for
it reads the question from one and writes the reply to the other. The server itself never sees a byte of either, so that
there is nothing of one student in it when it forks for the next. It says how each process ended, as a status like
Python's. In a sandbox it is process 1: nothing that it forked can signal it, and it can end everything else.

SETTINGS is JSON: "packages", folders of installed ones; "user", whom root is to become, or null; "reads all" and
"readable", see `limits`; "forks", false for a bare process, which answers one question from standard input and ends.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable

from course_lib.grade.inside import limits

LIMITS = struct.Struct(">dQ")  # at the beginning of a question: seconds and bytes of memory that it may take
QUESTION, END, IMPORT = b"question", b"end", b"import "  # what the grader says; after IMPORT, names
READY = b"ready "  # the first that it is told, and after an import; else statuses
NO_MEMORY = 77  # exit status
MOST_REPLY = 2**24  # bytes, at which the grader stops reading


def main() -> None:
    settings = json.loads(sys.argv[1])
    question, reply = os.dup(0), os.dup(1)
    _to_nothing(0, 1)
    if settings["user"] is not None:
        limits.become(settings["user"], settings["reads all"])
    limits.close_to_others()
    sys.path += settings["packages"]
    from course_lib.grade.inside import answer  # torch can be found only now

    answer.warm_up()
    walls = limits.Walls(settings["readable"])
    ready = READY + walls.layers.encode()

    def handle(question: int, reply: int) -> None:
        _to_nothing(2)  # until now, faults of the sandbox itself are told there
        walls.shut(*LIMITS.unpack(os.read(question, LIMITS.size)))
        close_all_but(question, reply)
        data = read_all(question)
        os.close(question)
        write_all(reply, answer.answer(data))

    if not settings["forks"]:
        write_all(reply, ready + b"\n")
        _end_with(handle, question, reply)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):  # process 1 ignores what it has no handler for
        signal.signal(number, signal.SIG_DFL)
    control = socket.socket(fileno=question)
    control.send(ready)
    serve(control, handle)


def serve(control: socket.socket, handle: Callable[[int, int], None]) -> None:
    """Forks a process for each question, which is done when `handle(question, reply)` is, until the grader is gone."""
    while True:
        gc.collect()
        gc.freeze()  # a process that collects garbage would copy every page of what is here
        message, descriptors, *_ = socket.recv_fds(control, 2**12, 2)
        if not message:
            os._exit(0)
        if message.startswith(IMPORT):
            for name in message.removeprefix(IMPORT).decode().split():
                with contextlib.suppress(Exception):  # not there, or broken: whoever wants it will be told
                    importlib.import_module(name)
            control.send(READY)
        if message != QUESTION:
            continue  # END, of a question that had ended by itself
        process = os.fork()
        if process == 0:
            control.close()
            _end_with(handle, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(b"%d" % _status(process, control))


def _end_with(handle: Callable[[int, int], None], question: int, reply: int) -> None:
    status = 1
    try:
        handle(question, reply)
        status = 0
    except MemoryError:
        status = NO_MEMORY
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _status(process: int, control: socket.socket) -> int:
    """How it ended: by itself, or because the grader wants it to, or is gone."""
    ended = os.pidfd_open(process)
    ready, *_ = select.select([ended, control], [], [])
    gone = control in ready and not control.recv(len(END))
    os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(ended)
    if gone:
        os._exit(0)
    if os.getpid() == 1:  # whatever the question left running; elsewhere -1 would mean everything one owns
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    return status


def _to_nothing(*streams: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(nothing, stream)
    os.close(nothing)


def close_all_but(*kept: int) -> None:
    start = 3
    for descriptor in (*sorted(kept), os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 256):
        os.closerange(start, descriptor)
        start = descriptor + 1


def read_all(source: int) -> bytes:
    data = bytearray()
    while piece := os.read(source, 2**20):
        data += piece
    return bytes(data)


def write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


if __name__ == "__main__":
    main()
