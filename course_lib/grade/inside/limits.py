"""What a process takes from itself, for good, before it reads a question: rights, memory, time, files, system calls.

In a sandbox of the kind `bubblewrap` this is the second wall; in a bare process it is the first.
"""

import ctypes
import mmap
import os
import signal
import struct
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
DIE_WITH_PARENT, KEEP_CAPABILITIES, DUMPABLE, DROP_BOUND, NO_NEW_PRIVILEGES = 1, 8, 4, 24, 38  # prctl
NEW_USER_NAMESPACE = 0x10000000
MAY_READ_ALL = 1 << 2  # CAP_DAC_READ_SEARCH
THREADS = 16  # of a question and its server: torch needs one here, a pool of threads for pleasure some more


def become(user: int, reads_all: bool = False) -> None:
    """Root becomes somebody who owns nothing, in a user namespace of its own where there are any, so that nobody else's
    threads count against the limit. reads_all: may still read what others may not; Landlock then has to narrow that.
    """
    for capability in range(64):
        LIBC.prctl(DROP_BOUND, capability, 0, 0, 0)  # an error beyond the last one
    LIBC.prctl(KEEP_CAPABILITIES, int(reads_all), 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if not reads_all:
        LIBC.unshare(NEW_USER_NAMESPACE)
    kept = MAY_READ_ALL if reads_all else 0
    LIBC.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", kept, kept, 0, 0, 0, 0))


def close_to_others() -> None:
    """Nobody may attach to this process or read its memory, and it ends with the one that started it."""
    if LIBC:
        LIBC.prctl(DUMPABLE, 0, 0, 0, 0)
        LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


class Walls:
    """layers: what will hold, in words. `shut` builds the walls around the process that calls it.

    readable: the paths that may still be read, by Landlock; None where the rest of the file system is not there at all.
    """

    def __init__(self, readable: list[str] | None):
        self.files = _files_to_read(readable) if LIBC and readable else None
        self.seccomp = _libseccomp()
        there = {"landlock": self.files, "limits": resource, "seccomp": self.seccomp}
        self.layers = " ".join(name for name, layer in there.items() if layer)

    def shut(self, seconds: float, memory: int) -> None:
        """For a question that may take so many seconds of the processor, and bytes beyond what is taken already."""
        if LIBC:
            close_to_others()
            LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if self.files:
            self.files.restrict()
        if resource:
            _limit(seconds, memory)
        if self.seccomp:
            _forbid_calls(self.seccomp)


def _limit(seconds: float, memory: int) -> None:
    wanted = {"RLIMIT_CPU": int(time.process_time() + seconds) + 2, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 2**20}
    if LIBC:  # elsewhere the same names mean other things, or nothing
        wanted |= {name: _taken(name) + memory for name in ("RLIMIT_AS", "RLIMIT_DATA")}
        wanted |= {"RLIMIT_NOFILE": 64, "RLIMIT_NPROC": THREADS, "RLIMIT_MSGQUEUE": 0, "RLIMIT_MEMLOCK": 0}
    for name, value in wanted.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))


def _taken(name: str) -> int:
    """How many bytes count against this limit already, found without /proc, which a sandbox does not have: the least
    limit under which a page more is still to be had."""
    number = getattr(resource, name)
    before = resource.getrlimit(number)
    low, high = 0, 2**46
    while high - low > 2**16:
        middle = (low + high) // 2
        resource.setrlimit(number, (middle, before[1]))
        try:
            mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE).close()
            high = middle
        except (OSError, MemoryError):
            low = middle
    resource.setrlimit(number, before)
    return high


def _files_to_read(readable: list[str]):
    """Landlock's rules, under which files below these paths may be read and nothing may be written; None without it."""
    try:
        import landlockpy as landlock
    except ImportError:
        return None
    if not landlock.supported():
        return None
    rules = landlock.Ruleset(scoped=landlock.Scope.ABSTRACT_UNIX_SOCKET | landlock.Scope.SIGNAL)
    read = landlock.AccessFS.READ_FILE | landlock.AccessFS.EXECUTE
    for path in filter(os.path.exists, readable):
        rules.allow_path(path, read | landlock.AccessFS.READ_DIR if os.path.isdir(path) else read)
    return rules


# ----------------------------------------------------------------------------------------------------------------------
# Seccomp: system calls that no answer needs get the error "not permitted"

FORBIDDEN = """
    fork vfork execve execveat
    ptrace process_vm_readv process_vm_writev kcmp tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_getfd
    pidfd_send_signal process_madvise process_mrelease perf_event_open
    setpriority ioprio_set sched_setaffinity sched_setparam sched_setscheduler sched_setattr migrate_pages move_pages
    socket shmget shmat semget msgget mq_open add_key request_key keyctl memfd_create memfd_secret
    unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsmount mount_setattr
    open_by_handle_at name_to_handle_at
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat mknod mknodat
    setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
    sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex acct reboot swapon swapoff
    init_module finit_module delete_module kexec_load kexec_file_load iopl ioperm quotactl syslog vhangup
    bpf userfaultfd io_uring_setup io_uring_enter io_uring_register fanotify_init
""".split()
ALLOW, ERROR, EPERM, ENOSYS = 0x7FFF0000, 0x00050000, 1, 38
UNEQUAL, MASKED = 1, 7  # how libseccomp compares an argument
WHOLE = 0xFFFFFFFF  # the mask for an argument of 32 bits: the kernel does not look at what stands above them
A_THREAD, SHARED = 0x10000, 1  # flags of clone and of mmap
OWNER_OF_SIGNALS, LEASES = (8, 10, 15), (1024, 1026)  # of fcntl
OWNER_BY_IOCTL = (0x8901, 0x8902)


class _Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _libseccomp():
    """The library that knows the calls' numbers on every processor; None where it is not installed."""
    try:
        library = ctypes.CDLL("libseccomp.so.2") if LIBC else None
    except OSError:
        return None
    if library:
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_load.argtypes = [ctypes.c_void_p]
        library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 3, ctypes.c_void_p]
    return library


def _rules():
    """(call, error, comparison or None): the call fails with the error where the comparison holds."""
    me = os.getpid()
    for name in FORBIDDEN:
        yield name, EPERM, None
    yield "clone", EPERM, (0, MASKED, A_THREAD, 0)  # a thread, but no process
    yield "clone3", ENOSYS, None  # whose flags cannot be seen: the C library then uses clone
    yield "kill", EPERM, (0, UNEQUAL, me)
    yield "tgkill", EPERM, (0, UNEQUAL, me)
    yield "prlimit64", EPERM, (0, UNEQUAL, 0)
    yield "mmap", EPERM, (3, MASKED, SHARED, SHARED)  # no limit counts shared memory once it is unmapped
    yield "prctl", EPERM, (0, MASKED, WHOLE, DIE_WITH_PARENT)
    for command in (*OWNER_OF_SIGNALS, *LEASES):  # a signal to another process, sent by the kernel
        yield "fcntl", EPERM, (1, MASKED, WHOLE, command)
    for command in OWNER_BY_IOCTL:
        yield "ioctl", EPERM, (1, MASKED, WHOLE, command)


def _forbid_calls(library) -> None:
    rules = library.seccomp_init(ALLOW)
    for name, error, comparison in _rules():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # else there is none on this processor, or the library is older than the call
            comparisons = ctypes.byref(_Comparison(*comparison)) if comparison else None
            if library.seccomp_rule_add_array(rules, ERROR | error, number, bool(comparison), comparisons):
                raise OSError(f"seccomp: {name}")
    if library.seccomp_load(rules):
        raise OSError("seccomp: the rules cannot be loaded")
