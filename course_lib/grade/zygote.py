"""Waits with torch loaded and forks a process for each question, in which a stranger's code runs. Runs in the sandbox.

It gets its settings, and the text of the other modules, on standard input; then questions. Replies leave on standard
output. It never looks into a question or a reply. In a container it is process 1: nothing that it forked can signal it,
and it can end everything else. With "fork": false it is itself the process of one question.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import struct
import sys
import time
import types

QUESTION = struct.Struct(">Qdd")  # bytes that follow, seconds it may take, bytes of memory it may have
REPLY = struct.Struct(">BQ")  # how it ended, bytes that follow
MOST = 2**24  # bytes of a reply
NO_MEMORY = 77  # exit status
READY, REPLIED, TIMEOUT, DIED, TOO_LONG = range(5)  # DIED is followed by the wait status, in words


def main(settings: dict) -> None:
    """settings: "modules" (name -> source), "path" of packages, "readable" paths, "user" or None, and "fork"."""
    questions, replies = _take_standard_streams()
    if sys.platform == "linux":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):  # process 1 ignores what it has no handler for
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: nobody may attach to it or read its memory
    sys.path += settings["path"]
    modules = {name: _module(name, source) for name, source in settings["modules"].items()}
    inside, lockdown = modules["inside"], modules["lockdown"]
    inside.warm_up()
    rules = lockdown.files_to_read(settings["readable"])
    mapped = _settled(lockdown, settings["fork"])

    def shut(seconds: float, memory: float) -> list[str]:
        _to_nothing(2)  # until now, faults of the sandbox itself are told there
        return lockdown.shut(rules, seconds, mapped + int(memory), settings["user"])

    layers = b""
    if sys.platform == "linux":  # what holds, found out by one that is shut in and asked
        layers = _in_a_child(lambda out: _write(out, " ".join(shut(5, 2**28)).encode()), 5, questions)[1]
        _end_all_others()
    _write(replies, REPLY.pack(READY, len(layers)) + layers)
    while head := _read(questions, QUESTION.size):
        length, seconds, memory = QUESTION.unpack(head)
        question = _read(questions, length)
        if question is None:
            break
        if seconds == 0:  # no question, but the grader's wish: modules to be there before the next
            for name in question.decode().split():
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
            mapped = _settled(lockdown, settings["fork"])
            _write(replies, REPLY.pack(READY, 0))
            continue

        def answer(out: int) -> None:
            shut(seconds, memory)
            _close_all_but(out)
            reply = inside.answer(question)
            _write(out, (REPLY.pack(REPLIED, len(reply)) if not settings["fork"] else b"") + reply)

        if settings["fork"]:
            how, reply = _in_a_child(answer, seconds, questions)
            _write(replies, REPLY.pack(how, len(reply)) + reply)
            _end_all_others()
        else:  # whoever started this process watches over it
            answer(replies)
            break
    os._exit(0)  # there is nothing to be put in order


def _settled(lockdown, forks: bool) -> int:
    """Makes forks cheap once all is loaded. -> bytes of address space that are taken."""
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy every page of what is here
    if forks:
        _take_large_pages()
    return lockdown.mapped()


def _take_standard_streams() -> tuple[int, int]:
    """Descriptors for questions and replies; nothing is read or printed by chance."""
    questions, replies = os.dup(0), os.dup(1)
    _to_nothing(0, 1)
    return questions, replies


def _to_nothing(*streams: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in streams:
        os.dup2(nothing, stream)
    os.close(nothing)


def _close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 256)


def _module(name: str, source: str) -> types.ModuleType:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module


LARGE_PAGE, WANT_LARGE, COLLAPSE = 2**21, 14, 25  # madvise
LOADED, WRITABLE = 1, 2  # a segment of a library


class _Segment(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint32), ("flags", ctypes.c_uint32)]
    _fields_ += [(name, ctypes.c_uint64) for name in ("offset", "address", "physical", "in_file", "in_memory", "align")]


class _Library(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint64), ("name", ctypes.c_char_p)]
    _fields_ += [("segments", ctypes.POINTER(_Segment)), ("count", ctypes.c_uint16)]


def _take_large_pages() -> None:
    """Puts the heap, and what libraries keep in memory, into pages of 2 MiB: a fork and the end of its process then take
    8 ms in place of 40, as each copies a list of pages. Where the kernel knows no such thing, nothing changes."""
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes, libc.sbrk.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_void_p

    def collapse(place: int) -> bool:
        libc.madvise(place, LARGE_PAGE, WANT_LARGE)
        return libc.madvise(place, LARGE_PAGE, COLLAPSE) == 0

    def look_at(library, size, data) -> int:
        for index in range(library.contents.count):
            segment = library.contents.segments[index]
            if segment.kind == LOADED and segment.flags & WRITABLE and segment.in_memory > segment.in_file + LARGE_PAGE:
                start = library.contents.address + segment.address
                first = -(-(start + segment.in_file) // LARGE_PAGE) * LARGE_PAGE
                for place in range(first, start + segment.in_memory - LARGE_PAGE + 1, LARGE_PAGE):
                    collapse(place)
        return 0

    visitor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p)
    libc.dl_iterate_phdr(visitor(look_at), None)
    place = libc.sbrk(0) // LARGE_PAGE * LARGE_PAGE - LARGE_PAGE  # the heap, from its end
    while collapse(place):
        place -= LARGE_PAGE


def _in_a_child(answer, seconds: float, questions: int) -> tuple[int, bytes]:
    """How the question ended, and the reply as it came. The child writes to one pipe and has nothing else."""
    end = time.monotonic() + seconds
    source, target = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer(target)
            os.close(target)  # the reply is on its way before this process is taken apart
        except MemoryError:
            status = NO_MEMORY
        finally:
            os._exit(status)
    os.close(target)
    reply, ended = bytearray(), os.pidfd_open(child)
    waiting = [ended, questions, source]
    try:
        while ready := select.select(waiting, [], [], max(0, end - time.monotonic()))[0]:
            if questions in ready:  # nobody writes between questions: the grader is gone
                os._exit(1)
            if source in ready:
                piece = os.read(source, 2**16)
                reply += piece
                if len(reply) > MOST:
                    return TOO_LONG, b""
                if not piece and reply:
                    return REPLIED, bytes(reply)
                if not piece:
                    waiting.remove(source)
            elif ended in ready:
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                return (REPLIED, bytes(reply)) if reply else (DIED, _in_words(status).encode())
        return TIMEOUT, b""
    finally:
        os.close(source)
        os.close(ended)


def _in_words(status: int) -> str:
    if status == NO_MEMORY:
        return "MemoryError"
    if status >= 0:
        return f"the process ended with exit status {status}"
    with contextlib.suppress(ValueError):
        return f"the process was ended by signal {signal.Signals(-status).name}"
    return f"the process was ended by signal {-status}"


def _end_all_others() -> None:
    """Whatever the question left running. Process 1 alone may say so: elsewhere -1 would mean everything one owns."""
    if os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def _read(source: int, count: int) -> bytes | None:
    """Exactly so many bytes; None where the other side is gone."""
    data = bytearray()
    while len(data) < count:
        piece = os.read(source, min(count - len(data), 2**20))
        if not piece:
            return None
        data += piece
    return bytes(data)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
