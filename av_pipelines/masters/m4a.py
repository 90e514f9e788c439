"""Writing M4A in constant memory: AAC from FFmpeg's encoder, in an MP4 file made here.

Here: the boxes of an MP4 file with one AAC-LC track (ISO/IEC 14496-12, -14), with the index in
front and an edit list that says which samples are the programme. FFmpeg's own muxer keeps 64 bytes
of each packet until the end, 34 MB for three hours; this keeps 4. Not here: tags (``tags``), the
encoder.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from av_pipelines.media.audio import AudioWriter

_FRAME = 1024  # samples in an AAC frame, and those of the encoder before the programme
_CHUNK = 50  # frames in a chunk: about a second
_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_HEADER = 7  # bytes of ADTS before each frame
_WIDE_FROM = 2**32 - 2**26  # bytes of frames: with index and tags, offsets need 64 bits
_UNITY = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


class M4aWriter(AudioWriter):
    """Write float blocks to an M4A file; use as a context manager.

    The stream goes to a file of bare frames (ADTS) beside it first, which is wrapped at the end.

    Args:
        path: where to; overwritten.
        sample_rate: one that AAC has.
        layout: FFmpeg's name of a channel layout that AAC has a number for.
        bit_rate: in bit/s.
        options: of the encoder.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        layout: str,
        bit_rate: int | None,
        options: Mapping[str, str],
    ) -> None:
        self._path, self._bare = path, path.with_suffix(".aac")
        super().__init__(self._bare, "aac", sample_rate, layout, bit_rate=bit_rate, options=options)

    def close(self) -> None:
        """Flush the encoder and wrap the stream."""
        super().close()
        with self._bare.open("rb") as stream, self._path.open("wb") as out:
            _wrap(stream, out, self.samples)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._bare.unlink(missing_ok=True)


def _frames(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield header and content of each ADTS frame (ISO/IEC 13818-7 §6.2)."""
    stream.seek(0)
    while header := stream.read(_HEADER):
        size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        yield header, stream.read(size - _HEADER)


def _wrap(stream: BinaryIO, out: BinaryIO, samples: int) -> None:
    """Write an MP4 file of an ADTS stream that holds so many samples after the encoder's own."""
    sizes = array("I", (len(frame) for _, frame in _frames(stream)))
    header, _ = next(_frames(stream))
    data = sum(sizes)
    ftyp = _int(28) + b"ftypM4A " + _int(0x200) + b"M4A isomiso2"
    wide = data >= _WIDE_FROM
    before = struct.pack(">I4sQ", 1, b"mdat", data + 16) if wide else _int(data + 8) + b"mdat"
    # The index is as long wherever the frames begin.
    size = sum(map(len, _index(header, sizes, samples, 0, wide)))
    index = _index(header, sizes, samples, len(ftyp) + size + len(before), wide)
    out.writelines([ftyp, *index, before])
    for _, frame in _frames(stream):
        out.write(frame)


def _int(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _box(kind: bytes, *content: bytes | int | list[bytes]) -> list[bytes]:
    """Build a box as pieces, so that the large tables in it are not copied for each box around."""
    pieces: list[bytes] = []
    for part in content:
        pieces += (
            part if isinstance(part, list) else [_int(part) if isinstance(part, int) else part]
        )
    return [_int(sum(map(len, pieces)) + 8) + kind, *pieces]


def _times(samples: int, *before: int) -> tuple[int, bytes]:
    """Version of a box, and its fields up to a duration, which is wide where it has to be."""
    if samples < 2**32:
        return 0, _int(0, 0, *before, samples)
    return 1, struct.pack(f">QQ{len(before)}IQ", 0, 0, *before, samples)


def _index(header: bytes, sizes: array[int], samples: int, start: int, wide: bool) -> list[bytes]:
    """Build the ``moov`` box of one track whose frames begin at ``start``."""
    rate = _RATES[header[2] >> 2 & 15]
    channels = (header[2] & 1) << 2 | header[3] >> 6
    frames = len(sizes)
    length = _FRAME + samples
    last = length - (frames - 1) * _FRAME  # what of the last frame belongs to the programme

    version, times = _times(samples, rate)
    mvhd = _box(b"mvhd", version << 24, times, 1 << 16, 1 << 24, bytes(8), _UNITY, bytes(24), 2)
    version, times = _times(samples, 1, 0)
    tkhd = _box(b"tkhd", version << 24 | 3, times, bytes(8), 0, 1 << 24, _UNITY, 0, 0)
    long = samples >= 2**32
    segment = struct.pack(">Qq" if long else ">Ii", samples, _FRAME)
    edts = _box(b"edts", _box(b"elst", int(long) << 24, 1, segment, 1 << 16))
    version, times = _times(length, rate)
    mdhd = _box(b"mdhd", version << 24, times, 0x55C4 << 16)  # language: undetermined
    hdlr = _box(b"hdlr", 0, 0, b"soun", bytes(12), b"SoundHandler\0")
    dinf = _box(b"dinf", _box(b"dref", 0, 1, _box(b"url ", 1)))

    told = rate << 16 if rate < 2**16 else 0  # higher ones are in the description only
    sample = struct.pack(">6xH8xHH4xI", 1, {7: 8}.get(channels, channels), 16, told)
    stsd = _box(b"stsd", 0, 1, _box(b"mp4a", sample, _esds(header, sizes, rate)))
    spans = [(frames - 1, _FRAME)] if frames > 1 else []
    stts = _box(b"stts", 0, len(spans) + 1, *(_int(*span) for span in spans), 1, last)
    chunks, rest = divmod(frames, _CHUNK)
    runs = [(1, _CHUNK, 1)] if chunks else []
    runs += [(chunks + 1, rest, 1)] if rest else []
    stsc = _box(b"stsc", 0, len(runs), *(_int(*run) for run in runs))
    offsets = array("Q" if wide else "I")
    at = start
    for first in range(0, frames, _CHUNK):
        offsets.append(at)
        at += sum(sizes[first : first + _CHUNK])
    stsz = _box(b"stsz", 0, 0, frames, _big_endian(sizes))
    stco = _box(b"co64" if wide else b"stco", 0, len(offsets), _big_endian(offsets))
    # Each frame needs the one before it.
    sgpd = _box(b"sgpd", 1 << 24, b"roll", 2, 1, struct.pack(">h", -1))
    sbgp = _box(b"sbgp", 0, b"roll", 1, frames, 1)
    stbl = _box(b"stbl", stsd, stts, stsc, stsz, stco, sgpd, sbgp)
    minf = _box(b"minf", _box(b"smhd", 0, 0), dinf, stbl)
    mdia = _box(b"mdia", mdhd, hdlr, minf)
    return _box(b"moov", mvhd, _box(b"trak", tkhd, edts, mdia))


def _big_endian(values: array[int]) -> bytes:
    ordered = values[:]
    if sys.byteorder == "little":
        ordered.byteswap()
    return ordered.tobytes()


def _esds(header: bytes, sizes: array[int], rate: int) -> list[bytes]:
    """Describe the decoder (ISO/IEC 14496-1 §7.2.6): AAC-LC of that rate and channels."""
    rate_index, channels = header[2] >> 2 & 15, (header[2] & 1) << 2 | header[3] >> 6
    specific = struct.pack(">H", 2 << 11 | rate_index << 7 | channels << 3)
    mean = 8 * sum(sizes) * rate // (len(sizes) * _FRAME)
    most = 8 * max(sizes) * rate // _FRAME
    buffer = _int(max(sizes))[1:]
    decoder = b"\x40\x15" + buffer + _int(most, mean) + _described(5, specific)
    return _box(
        b"esds", 0, _described(3, b"\0\1\0" + _described(4, decoder) + _described(6, b"\2"))
    )


def _described(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content
