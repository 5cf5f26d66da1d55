"""Namespaces by the kernel's own calls, for machines without bubblewrap: its few options that the grader needs.

    python -I container.py SETTINGS COMMAND...     # a line of JSON: {"readable": [...], "hidden": [...], "user": ...}

The command becomes process 1 of its own user, process, mount, network, IPC and host-name namespaces. Its file system is
empty but for the readable paths, which stay where they were, read-only. It has no capabilities and can gain none. Linux
5.12 or later. Runs alone: it imports nothing of the course.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
INSIDE = 1000  # user and group inside, whoever they are outside
NEW_NAMESPACES = 0x10000000 | 0x20000 | 0x20000000 | 0x40000000 | 0x8000000 | 0x4000000 | 0x2000000
#                user         mount     process      network      IPC         host name   cgroup
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR, PIVOT_ROOT = 428, 429, 442, {"x86_64": 155, "aarch64": 41}
HERE, CLONE_TREE, RECURSIVE, EMPTY_PATH = -100, 1, 0x8000, 0x1000
READ_ONLY, NO_SETUID, NO_DEVICES = 1, 2, 4
PRIVATE_RECURSIVE, DETACH = 0x44000, 2
DIE_WITH_PARENT = 1  # prctl


def main() -> int:
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    (entered, say_entered), (mapped, say_mapped) = os.pipe(), os.pipe()
    inner = os.fork()
    if inner == 0:
        try:
            _die_with_parent()
            _call("unshare", LIBC.unshare(NEW_NAMESPACES))
            os.write(say_entered, b".")
            if os.read(mapped, 1) == b".":
                _build_root(settings["readable"], settings["hidden"])
                os.setresgid(INSIDE, INSIDE, INSIDE)
                os.setresuid(INSIDE, INSIDE, INSIDE)
                _start_process_1(command)
        except OSError as error:
            print(error, file=sys.stderr)
        finally:
            os._exit(1)
    os.close(say_entered)
    if os.read(entered, 1) == b".":
        _map_user(inner, settings["user"])
        os.write(say_mapped, b".")
    for stream in (0, 1):  # the command's alone: its end must be seen through them
        os.close(stream)
    return os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) & 0xFF


def _call(what: str, result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def _die_with_parent() -> None:
    LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL)


def _map_user(process: int, user: int | None) -> None:
    """Root becomes somebody who owns nothing; anybody else stays who they are outside."""
    place = Path(f"/proc/{process}")
    if user is None or os.geteuid() != 0:
        (place / "setgroups").write_text("deny")
        (place / "gid_map").write_text(f"{INSIDE} {os.getegid()} 1")
        (place / "uid_map").write_text(f"{INSIDE} {os.geteuid()} 1")
    else:
        for name in ("gid_map", "uid_map"):  # root itself is there while the file system is built
            (place / name).write_text(f"0 0 1\n{INSIDE} {user} 1")


def _build_root(readable: list[str], hidden: list[str]) -> None:
    """A file system in memory with copies of the readable mounts; then it is the root, read-only, and nothing else is."""
    _call("mount", LIBC.mount(b"none", b"/", None, PRIVATE_RECURSIVE, None))
    trees = []
    for path in readable:
        tree = LIBC.syscall(OPEN_TREE, HERE, path.encode(), CLONE_TREE | RECURSIVE)
        trees.append((path, _call(f"open_tree {path}", tree), os.path.isdir(path)))
        devices = 0 if path.startswith("/dev/") else NO_DEVICES
        _set_attributes(tree, READ_ONLY | NO_SETUID | devices, RECURSIVE)
    _call("mount", LIBC.mount(b"none", b"/tmp", b"tmpfs", NO_SETUID | NO_DEVICES, b"mode=755,size=1m"))
    os.chdir("/tmp")
    for path, tree, is_folder in trees:
        target = Path(path.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():  # a folder may have come with one above it
            target.mkdir() if is_folder else target.touch()
        _call(f"move_mount {path}", LIBC.syscall(MOVE_MOUNT, tree, b"", HERE, str(target).encode(), 4))
        os.close(tree)
    for path in hidden:
        target = path.lstrip("/")
        if os.path.isdir(target):
            _call("mount", LIBC.mount(b"none", target.encode(), b"tmpfs", READ_ONLY, b"size=0"))
    _call("pivot_root", LIBC.syscall(PIVOT_ROOT[os.uname().machine], b".", b"."))
    _call("umount2", LIBC.umount2(b".", DETACH))
    os.chdir("/")
    _set_attributes(os.open("/", os.O_PATH | os.O_CLOEXEC), READ_ONLY | NO_SETUID | NO_DEVICES, 0)


def _set_attributes(tree: int, wanted: int, how: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(wanted, 0, 0, 0)
    _call(
        "mount_setattr", LIBC.syscall(MOUNT_SETATTR, tree, b"", EMPTY_PATH | how, attributes, ctypes.sizeof(attributes))
    )


def _start_process_1(command: list[str]) -> None:
    """Who is not root has no capabilities after exec; process 1 takes all others of its namespace with it."""
    LIBC.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    _die_with_parent()  # once more: who becomes another user forgets it
    first = os.fork()
    if first == 0:
        _die_with_parent()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.execv(command[0], command)
    os.closerange(0, 3)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)


if __name__ == "__main__":
    sys.exit(main())
