"""Word of what is about to be recorded: no record is lost with a process that dies before it.

An artifact can be seen from the moment it is published, its record is written a moment later. So
the record is left in a small file before, and the file removed after: what is still there when its
process is gone was not recorded, or may not have been. Finding that out costs one look into a
folder that is nearly always empty. Not here: the records themselves (``ledger``).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)


class Intents:
    """A folder of files, one for each record that its process has yet to write.

    A file is locked as long as its process lives, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def leave(self, name: str, data: bytes) -> Iterator[None]:
        """Leave word, on disk, for as long as the block, and after it until ``forget``.

        Where it cannot be left the work goes on: the same fault keeps the record from being
        written, and is told then.
        """
        try:
            handle = self._write(self._folder / name, data)
        except OSError as fault:
            log.warning("%s: no word can be left of what is made: %s", self._folder, fault)
            yield
            return
        try:
            yield
        finally:
            os.close(handle)

    def forget(self, name: str) -> None:
        """Remove what was left: it is done."""
        (self._folder / name).unlink(missing_ok=True)

    def of_the_dead(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and data of what processes left that are gone; who reads it forgets it.

        Data may be cut short: its process died while it wrote them, before it did anything else.
        """
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                handle = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield path.name, path.read_bytes()
                finally:
                    os.close(handle)

    def _write(self, path: Path, data: bytes) -> int:
        """Write a file that is locked before there is anything in it; return its open handle."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(data)
            os.fsync(handle)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(handle)
            raise
        return handle
