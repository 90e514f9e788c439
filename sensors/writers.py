"""Whether something still has a file open for writing, as the kernel says.

Here: the question, put as a read lease (``fcntl(2)``, F_SETLEASE): the kernel grants one only while
nobody has the file open for writing, under whichever name, and forgets it when the file is closed.
So a copy that pauses for minutes is not whole, and a file that was closed or moved in is whole soon
after. Not here: what follows from the answer (``watching``).

A kernel knows only its own writers: on network drives, on other systems than Linux, and for files
of other owners there is no answer, and two looks have to tell.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

Writing = Callable[[str], bool | None]
"""Path → whether something writes to it; None: nobody can tell."""

_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "bcachefs"})
"""File systems that every writer reaches through this kernel."""
_MOUNTS = Path("/proc/self/mounts")


def writers_in(folder: Path) -> Writing:
    """Return what tells of the files below a folder whether they are being written.

    Args:
        folder: the paths that are asked for are relative to it.
    """
    root = os.path.realpath(folder)
    if sys.platform != "linux" or _file_system(root) not in _LOCAL:
        return lambda path: None
    with contextlib.suppress(OSError):
        device = Path(root).stat().st_dev
        return lambda path: _open_for_writing(f"{root}/{path}", device)
    return lambda path: None


def _open_for_writing(path: str, device: int) -> bool | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(handle).st_dev != device:  # another drive, mounted inside
            return None
        # who opens it in this instant waits for us; the kernel's word about it must not be SIGIO,
        # which would end this process
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(handle)
    return False


def _file_system(path: str) -> str:
    """Return the type of the file system that a path is on, such as ``ext4``; empty: unknown."""
    best = kind = ""
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
            _, place, type_, *_ = line.split(" ")
            place = place.encode("utf-8", "surrogateescape").decode("unicode_escape")
            inside = place == "/" or path == place or path.startswith(f"{place}/")
            if inside and len(place) >= len(best):
                best, kind = place, type_
    return kind
