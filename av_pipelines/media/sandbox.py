"""What a process that reads media from outside may use: memory, time, files, network.

Here: limits on this process, set once and for good, each with the mechanism the system has. Not
here: starting such a process, and what is done when a limit is hit (``confined``).

| what | how | where |
| --- | --- | --- |
| memory, CPU, file size, open files, core dumps | ``setrlimit`` | POSIX |
| network, new programs and processes | seccomp filter | Linux on x86-64 and arm64 |
| files: read the interpreter's own, write the output folders | Landlock | Linux 5.13 |
| ends with its parent | ``PR_SET_PDEATHSIG`` | Linux |

What the system cannot do is left out and reported, never an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

MAX_OPEN_FILES = 64  # besides those it has been given
SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/dev/urandom", "/dev/null", "/proc/self", "/sys")
"""The system's own: libraries that are loaded late, time zones, random numbers, what numpy asks of
the processor."""

_GRACE_S = 5  # between the signal that says why and the one that cannot be ignored

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_PR_SET_NO_NEW_PRIVS = 38


class ResourceLimits(Protocol):
    """What ``limit_resources`` reads; settings and plain records have it alike."""

    @property
    def max_memory_bytes(self) -> int:
        """Address space, in bytes."""
        ...

    @property
    def max_cpu_s(self) -> int:
        """CPU seconds."""
        ...

    @property
    def max_output_bytes(self) -> int:
        """Size of any one file that is written, in bytes."""
        ...


def limit_resources(settings: ResourceLimits, files: int = 0) -> list[str]:
    """Set the resource limits of this process; ``files``: open ones that it has been given.

    Returns:
        The names of those that hold; macOS, for one, has no limit on address space.
    """
    cpu = settings.max_cpu_s
    wanted = {
        "memory": (resource.RLIMIT_AS, settings.max_memory_bytes, settings.max_memory_bytes),
        "cpu": (resource.RLIMIT_CPU, cpu, cpu + _GRACE_S),
        "file size": (
            resource.RLIMIT_FSIZE,
            settings.max_output_bytes,
            settings.max_output_bytes,
        ),
        "open files": (resource.RLIMIT_NOFILE, MAX_OPEN_FILES + files, MAX_OPEN_FILES + files),
        "core dumps": (resource.RLIMIT_CORE, 0, 0),
    }
    held = []
    for name, (what, soft, hard) in wanted.items():
        _, highest = resource.getrlimit(what)
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        try:
            resource.setrlimit(what, (soft, hard))
        except (ValueError, OSError):
            continue
        held.append(name)
    return held


def die_with_parent() -> bool:
    """Have the system kill this process when the one that forked it ends."""
    return sys.platform == "linux" and _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0


def confine(
    readable: Iterable[Path], writable: Iterable[Path], program: Path | None = None
) -> dict[str, str | None]:
    """Take from this process, for good, the network and all files but some.

    Args:
        readable: files and folders whose contents may be read.
        writable: folders in which files may be made, read and removed.
        program: the one program that this process may turn into (``execve``); it stays confined.

    Returns:
        For ``network`` and ``files``, the mechanism that holds, None where there is none.
    """
    held: dict[str, str | None] = {"network": None, "files": None}
    if sys.platform == "linux" and _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        if _restrict_files(readable, writable, program):
            held["files"] = "landlock"
        if _filter_calls(may_exec=program is not None):
            held["network"] = "seccomp"
    return held


def readable() -> set[Path]:
    """Give what a confined Python process may read: interpreter, libraries, the system's own."""
    places = {*sys.path, sys.prefix, sys.base_prefix, sys.base_exec_prefix, *SYSTEM}
    return {Path(place) for place in places | set(sysconfig.get_paths().values()) if place}


_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(what: int, *values: int) -> int:
    return _libc.prctl(what, *(ctypes.c_ulong(v) for v in values))


# ---------------------------------------------------------------------- seccomp


class _Filter(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


# Machine → (AUDIT_ARCH of linux/audit.h, system calls by number). What makes sockets (also by way
# of io_uring), starts programs and processes, or reaches into other processes.
_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "kill": 62,
            "ptrace": 101,
            "tkill": 200,
            "unshare": 272,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "execveat": 322,
            "bpf": 321,
            "io_uring_setup": 425,
            "pidfd_send_signal": 424,
            "pidfd_getfd": 438,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "socket": 198,
            "execve": 221,
            "kill": 129,
            "ptrace": 117,
            "tkill": 130,
            "unshare": 97,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "execveat": 281,
            "bpf": 280,
            "io_uring_setup": 425,
            "pidfd_send_signal": 424,
            "pidfd_getfd": 438,
        },
    ),
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_CLONE_THREAD = 0x0001_0000
_X32_BIT = 0x4000_0000  # x86-64's second set of numbers for the same calls

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL, _IF_AT_LEAST, _IF_SET = 0x15, 0x35, 0x45  # BPF_JMP | BPF_JEQ, BPF_JGE, BPF_JSET | BPF_K
_RETURN = 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data, little-endian


def _filter_calls(*, may_exec: bool) -> bool:
    name = platform.machine()
    if name not in _CALLS or sys.byteorder != "little":
        return False
    machine, calls = _CALLS[name]
    refused = sorted(n for call, n in calls.items() if not (may_exec and call == "execve"))
    count = len(refused)
    # (code, jump if true, jump if false, operand); jumps count the instructions left out.
    program = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, count + 6, 0, _X32_BIT),
        *((_IF_EQUAL, count - i + 5, 0, number) for i, number in enumerate(refused)),
        # Its flags are behind a pointer; the C library then takes clone instead.
        (_IF_EQUAL, 4, 0, _CLONE3),
        (_IF_EQUAL, 0, 2, _CLONE[name]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_IF_SET, 0, 2, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
    ]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    given = _Filter(len(program), code)
    return _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0) == 0


# ---------------------------------------------------------------------- Landlock

# linux/landlock.h. The numbers of the calls are the same on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_ALL_OF_ABI_1 = (1 << 13) - 1
_REFER = 1 << 13  # ABI 2
_SCOPES = 0b11  # abstract sockets and signals of others; ABI 6


def _restrict_files(
    readable: Iterable[Path], writable: Iterable[Path], program: Path | None
) -> bool:
    abi = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if abi < 1:
        return False
    handled = _ALL_OF_ABI_1
    handled |= _REFER if abi >= 2 else 0
    handled |= _TRUNCATE if abi >= 3 else 0
    given = struct.pack("=Q", handled)
    if abi >= 6:
        given = struct.pack("=QQQ", handled, 0, _SCOPES)
    rules = _libc.syscall(_CREATE_RULESET, given, ctypes.c_size_t(len(given)), 0)
    if rules < 0:
        return False
    try:
        read = (_READ_FILE | _READ_DIR) & handled
        write = (read | _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE) & handled
        run = _READ_FILE | _EXECUTE
        programs = () if program is None else (program, *_loaders())
        for paths, access in ((readable, read), (writable, write), (programs, run)):
            for path in paths:
                _allow(rules, path, access)
        return _libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _loaders() -> set[Path]:
    """Find the dynamic loaders, which the system starts on behalf of a program."""
    return {path.resolve() for place in ("/lib", "/lib64") for path in Path(place).glob("ld-*")}


def _allow(rules: int, path: Path, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no leave
    try:
        if not path.is_dir():
            access &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
        rule = struct.pack("=Qi", access, fd)
        if _libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"Landlock does not take a rule for {path}")
    finally:
        os.close(fd)


def python_path() -> list[str]:
    """Return ``sys.path`` with absolute places, for a child that is to import what we can."""
    return [str(Path(place or ".").resolve()) for place in sys.path]


def clean_environment() -> dict[str, str]:
    """Return what a child of ours needs of the environment, and none of the parent's secrets."""
    kept = {k: os.environ[k] for k in ("TMPDIR", "LD_LIBRARY_PATH") if k in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(python_path()),
        "LC_ALL": "C.UTF-8",
        # Threads and malloc's arenas cost address space, which is limited.
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
