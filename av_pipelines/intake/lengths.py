"""How many bytes of sound or film a file's header promises, and how many are there.

Here: the containers whose promise FFmpeg drops when the file is shorter (it then reckons the length
from what is left, so a cut file looks whole): RIFF (WAV, AVI), RF64, W64 and CAF. Not here: all
others, whose declared length FFmpeg reports.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

# Writers into a pipe cannot come back to fill in the size and leave one of these: all ones, none,
# or the largest signed number (rounded down by some).
_PLACEHOLDER_FROM = 0x7FF0_0000
_MAX_CHUNKS = 10_000
_RIFF, _CAF = "<4sI", ">4sq"  # id and length


def declared_share(fd: int) -> float | None:
    """Give the share of the promised bytes that are in the file.

    Args:
        fd: a file, readable; its position is left alone.

    Returns:
        Below 1.0 where bytes are missing; None where nothing is missing, or nothing is promised.
    """
    size = os.fstat(fd).st_size
    head = os.pread(fd, 16, 0)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        promise = _wave_data(fd, size)
    elif head[:4] == b"RIFF" and head[8:11] == b"AVI":
        promise = _avi_end(fd, size)
    elif head[:4] == b"riff" and head[4:8] == b"\x2e\x91\xcf\x11":
        promise = _w64_data(fd, size)
    elif head[:4] == b"caff":
        promise = _caf_data(fd, size)
    else:
        return None
    if promise is None:
        return None
    start, length = promise
    held = max(size - start, 0)
    return held / length if 0 < held < length else None


def _chunks(fd: int, size: int, start: int, form: str) -> Iterator[tuple[bytes, int, int]]:
    """Walk (id, position of the body, length of the body)."""
    head = struct.Struct(form)
    for _ in range(_MAX_CHUNKS):
        raw = os.pread(fd, head.size, start)
        if len(raw) < head.size:
            return
        name, length = head.unpack(raw)
        yield name, start + head.size, length
        if length < 0:
            return
        start += head.size + length + (length & 1 if form == _RIFF else 0)
        if start >= size:
            return


def _wave_data(fd: int, size: int) -> tuple[int, int] | None:
    long_size: int | None = None
    for name, start, length in _chunks(fd, size, 12, _RIFF):
        if name == b"ds64" and length >= 16:  # EBU Tech 3306: 64-bit sizes
            long_size = struct.unpack("<8xQ", os.pread(fd, 16, start))[0]
        if name == b"data":
            if length == 0xFFFF_FFFF and long_size is not None:
                return start, long_size
            return None if length >= _PLACEHOLDER_FROM else (start, length)
    return None


def _avi_end(fd: int, size: int) -> tuple[int, int] | None:
    """End of the last RIFF chunk; OpenDML has one per gigabyte."""
    end: int | None = None
    for name, start, length in _chunks(fd, size, 0, _RIFF):
        if name != b"RIFF":
            break
        if not 0 < length < _PLACEHOLDER_FROM:
            return None
        end = start + length
    return None if end is None else (0, end)


def _w64_data(fd: int, size: int) -> tuple[int, int] | None:
    start = 40  # RIFF GUID and size, WAVE GUID
    for _ in range(_MAX_CHUNKS):
        raw = os.pread(fd, 24, start)
        if len(raw) < 24:
            return None
        length = struct.unpack("<16xQ", raw)[0]  # counts its own 24 bytes
        if raw[:4] == b"data":
            return (start + 24, length - 24) if 24 < length < 2**62 else None
        if length < 24:
            return None
        start += (length + 7) & ~7
    return None


def _caf_data(fd: int, size: int) -> tuple[int, int] | None:
    for name, start, length in _chunks(fd, size, 8, _CAF):
        if name == b"data":
            return (start, length) if length > 0 else None  # -1: up to the end of the file
    return None
