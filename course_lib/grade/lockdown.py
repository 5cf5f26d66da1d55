"""Takes from this process, for good, what a question does not need: limits, Landlock, seccomp. Stands alone in the sandbox.

Where there are namespaces this is the second wall; where there are none it is the first. The numbers are the kernel's.
"""

import ctypes
import mmap
import os
import platform
import signal
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
DIE_WITH_PARENT = 1  # prctl


def shut(rules: int | None, seconds: float, address_space: int, user: int | None = None) -> list[str]:
    """Which layers hold from now on, for instance ["landlock", "limits", "seccomp"].

    rules:         from `files_to_read`.
    address_space: bytes that the process may map, see `mapped`.
    user:          a user and group to become, which root alone can; None: stay who it is.
    """
    layers = []
    if user is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        layers.append("nobody")
    if LIBC:
        _drop_capabilities()
        LIBC.prctl(DIE_WITH_PARENT, signal.SIGKILL)  # here, as whoever becomes another user forgets it
        LIBC.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        layers += ["landlock"] * (rules is not None and LIBC.syscall(RESTRICT_SELF, rules, 0) == 0)
    layers += ["limits"] * _limits(seconds, address_space)
    if LIBC:
        layers += ["seccomp"] * _seccomp()
    return layers


def _drop_capabilities() -> None:
    """For good: root keeps no more than its name."""
    for capability in range(64):
        LIBC.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; an error beyond the last one
    LIBC.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
    LIBC.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24))


def mapped() -> int:
    """How many bytes this process maps, found without /proc, which a sandbox does not have: the least limit to them
    under which a page more is still to be had. 0 where nothing can be limited."""
    if not LIBC:
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 2**46
    while high - low > 2**16:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_AS, (middle, hard))
        try:
            mmap.mmap(-1, mmap.PAGESIZE).close()
            high = middle
        except (OSError, MemoryError):
            low = middle
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return high


def _limits(seconds: float, address_space: int) -> bool:
    try:
        import resource
    except ImportError:  # Windows
        return False
    wanted = {
        "RLIMIT_AS": address_space,
        "RLIMIT_CPU": int(time.process_time() + seconds) + 2,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 2**20,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_NPROC": 64,  # threads count as well
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }
    if not LIBC:  # elsewhere the same names mean other things, or nothing
        wanted = {name: wanted[name] for name in ("RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_FSIZE")}
    for name, value in wanted.items():
        if hasattr(resource, name):
            hard = resource.getrlimit(getattr(resource, name))[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(getattr(resource, name), (value, value))
    return True


# ----------------------------------------------------------------------------------------------------------------------
# Landlock: files that may be read, nothing that may be written. For Linux 5.13 and later


CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all processors


def files_to_read(readable: list[str]) -> int | None:
    """A descriptor of rules, under which files below these paths may be read and nothing may be written; None where
    the kernel has no Landlock."""
    version = LIBC.syscall(CREATE_RULESET, None, 0, 1) if LIBC else 0
    if version < 1:
        return None
    files = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    network = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0  # abstract sockets and signals reach no process outside
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = LIBC.syscall(
        CREATE_RULESET, ctypes.create_string_buffer(struct.pack("=QQQ", files, network, scoped)), size, 0
    )
    if rules < 0:
        return None
    execute_and_read, list_folder = 0b101, 0b1000
    for path in readable:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = execute_and_read | (list_folder if os.path.isdir(path) else 0)
        LIBC.syscall(ADD_RULE, rules, 1, ctypes.create_string_buffer(struct.pack("=Qi", allowed, place)), 0)
        os.close(place)
    return rules


# ----------------------------------------------------------------------------------------------------------------------
# Seccomp: system calls that no answer needs get the error "not permitted"

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CALLS = {  # name -> its number on x86_64 and on aarch64, None where there is none
    # no other process
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # no look into another, nor a signal to one
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "perf_event_open": (298, 241),
    # nor a change to how another runs
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # no network, and nothing that stays when the process is gone
    "socket": (41, 198), "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # no other view of the machine
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # no change to a file's owner, rights, times or attributes, which Landlock does not look after
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "mknod": (133, None), "mknodat": (259, 33),
    # nor to the machine, which root could
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "acct": (163, 89), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "iopl": (172, None), "ioperm": (173, None),
    "quotactl": (179, 60), "syslog": (103, 116), "vhangup": (153, 58),
    # doors through which faults of kernels were reached before
    "bpf": (321, 280), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "fanotify_init": (300, 262),
}  # fmt: skip
CLONE, CLONE3, KILL, TGKILL, PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
MMAP, PRCTL = (9, 222), (157, 167)
CLONE_THREAD, SHARED = 0x10000, 1
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
LOAD, EQUAL, AT_LEAST, BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of the kernel's small machine


def _seccomp() -> bool:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return False
    column, me = list(ARCHITECTURES).index(machine), os.getpid()
    number, arguments = 0, [16 + 8 * index for index in range(6)]  # where they stand in what the filter is shown

    def rule(call, *then):
        """If the system call is this one, then these instructions, the last of which returns."""
        return [(EQUAL, 0, len(then), call[column]), *then]

    def unless(test, argument: int, *values: int, error: int = EPERM):
        """An error, unless one of these values passes the test."""
        checks = [(test, len(values) - index, 0, value) for index, value in enumerate(values)]
        return [(LOAD, 0, 0, arguments[argument]), *checks, (RETURN, 0, 0, ERRNO | error), (RETURN, 0, 0, ALLOW)]

    def where(test, argument: int, value: int):
        """An error, where this value passes the test."""
        load = (LOAD, 0, 0, arguments[argument])
        return [load, (test, 0, 1, value), (RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)]

    program = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, number),
    ]
    if machine == "x86_64":  # the same calls by another numbering
        program += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, KILL_PROCESS)]
    program += rule(CLONE, *unless(BITS, 0, CLONE_THREAD))  # a thread, but no process
    program += rule(CLONE3, (RETURN, 0, 0, ERRNO | ENOSYS))  # whose flags cannot be seen: the C library then uses clone
    program += rule(KILL, *unless(EQUAL, 0, me)) + rule(TGKILL, *unless(EQUAL, 0, me))
    program += rule(PRLIMIT, *unless(EQUAL, 0, 0, me))
    program += rule(MMAP, *where(BITS, 3, SHARED))  # shared memory is nobody's: no limit counts it once it is unmapped
    program += rule(PRCTL, *where(EQUAL, 0, DIE_WITH_PARENT))
    for call in CALLS.values():
        if call[column] is not None:
            program += rule(call, (RETURN, 0, 0, ERRNO | EPERM))
    program.append((RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("=HBBI", what, yes, no, value) for what, yes, no, value in program)
    instructions = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    filters = Program(len(program), ctypes.addressof(instructions))
    return LIBC.prctl(22, 2, ctypes.byref(filters), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
