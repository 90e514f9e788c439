"""Writing MP3: LAME, and the frame in front that tells players the exact length.

Here: encoding float blocks with LAME and the Xing/Info frame with LAME's extension ("MP3 Info Tag
rev 1"), so that decoding gives as many samples as went in. Not here: ID3 tags (``tags``), which
rates and layouts MP3 holds (``formats``). The LAME inside PyAV's packages takes three times as long
for the same file, so this one comes from ``lameenc`` (LGPL).
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from av_pipelines.masters.chain import Dither

_QUALITY = 3  # of LAME's search: its own default, and FFmpeg's
_DELAY = 576  # samples LAME puts before the first
_MPEG1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44100, 48000, 32000)  # halved for MPEG-2, quartered for MPEG-2.5
_INFO_BYTES = 156  # "Info" with all its fields, and LAME's extension


class Mp3Writer:
    """Write float blocks to an MP3 file; use as a context manager.

    LAME takes 16-bit samples here, so they are dithered: the noise is under that of any MP3.

    Args:
        path: where to; overwritten.
        sample_rate: one that MP3 has.
        channels: 1 or 2.
        bit_rate: constant, in bit/s; None for a variable one.
        vbr_quality: 0 (about 245 kbit/s in stereo) to 9, for a variable bit rate.
    """

    def __init__(
        self, path: Path, sample_rate: int, channels: int, bit_rate: int | None, vbr_quality: int
    ) -> None:
        import lameenc

        self._rate, self._channels = sample_rate, channels
        # MPEG-1, MPEG-2 or MPEG-2.5: 0, 1, 2 halvings of the sample rate.
        self._halved = 0 if sample_rate >= 32000 else 1 if sample_rate >= 16000 else 2
        self._frame_samples = 576 if self._halved else 1152
        self._vbr = bit_rate is None
        lame = lameenc.Encoder()
        lame.silence()
        lame.set_channels(channels)
        lame.set_in_sample_rate(sample_rate)
        lame.set_out_sample_rate(sample_rate)
        lame.set_quality(_QUALITY)
        if bit_rate is None:
            lame.set_vbr(4)  # vbr_mtrh
            lame.set_vbr_quality(vbr_quality)
        else:
            lame.set_bit_rate(self._nearest(bit_rate))
        self._lame = lame
        self._dither = Dither(16)
        self._samples = 0
        self._file = path.open("w+b")
        self._file.write(bytes(self._info_size()))

    def _kbps(self) -> tuple[int, ...]:
        return _MPEG2_KBPS if self._halved else _MPEG1_KBPS

    def _nearest(self, bit_rate: int) -> int:
        return min(self._kbps(), key=lambda kbps: abs(kbps * 1000 - bit_rate))

    def write(self, block: np.ndarray) -> None:
        """Append float samples of shape (channels, samples)."""
        if not block.shape[1]:
            return
        steps = self._dither.process(block).T * np.float32(2**15)
        samples = np.clip(steps, -(2**15), 2**15 - 1).astype("<i2")
        self._samples += block.shape[1]
        self._file.write(self._lame.encode(samples.tobytes()))

    def close(self) -> None:
        """Flush the encoder and write the frame in front."""
        if self._samples:
            self._file.write(self._lame.flush())
        self._write_info()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def _frame_size(self, header: bytes) -> int:
        """Bytes of the frame with that header (ISO/IEC 11172-3 §2.4.3.1)."""
        kbps = self._kbps()[(header[2] >> 4) - 1]
        per_slot = 72 if self._halved else 144
        return per_slot * kbps * 1000 // self._rate + (header[2] >> 1 & 1)

    def _info_header(self) -> bytes:
        """Header of the smallest frame that has room."""
        version = (3, 2, 0)[self._halved]
        rate = _RATES.index(self._rate << self._halved)
        room = 4 + self._side_bytes() + _INFO_BYTES
        for index in range(1, len(self._kbps()) + 1):
            bits = (0x7FF << 21) | version << 19 | 1 << 17 | 1 << 16 | index << 12 | rate << 10
            header = (bits | (3 if self._channels == 1 else 1) << 6 | 4).to_bytes(4, "big")
            if self._frame_size(header) >= room:
                return header
        raise AssertionError("every MP3 sample rate has a frame of 200 bytes")

    def _info_size(self) -> int:
        return self._frame_size(self._info_header())

    def _side_bytes(self) -> int:
        if self._halved:
            return 9 if self._channels == 1 else 17
        return 17 if self._channels == 1 else 32

    def _write_info(self) -> None:
        size = self._info_size()
        starts = self._frame_starts(size)
        end = self._file.seek(0, 2)
        frames = len(starts)
        padding = max(0, min(0xFFF, frames * self._frame_samples - self._samples - _DELAY))
        table = bytes(
            min(255, 256 * starts[i * frames // 100] // end) if frames else 0 for i in range(100)
        )
        info = struct.pack(
            ">4sIII100sI",
            b"Xing" if self._vbr else b"Info",
            0b1111,
            frames,
            end,
            table,
            100 - 10 * _QUALITY,
        )
        method = 5 if self._vbr else 1
        info += struct.pack(">9sBB8sBB", b"LAME3.100", method, 0, bytes(8), 0, 0)
        info += (_DELAY << 12 | padding).to_bytes(3, "big") + bytes(4)
        info += struct.pack(">IH", end, 0)
        frame = self._info_header() + bytes(self._side_bytes()) + info
        # CRC-16 (polynomial 0x8005, reflected) of the frame up to here.
        frame += _crc16(frame).to_bytes(2, "big")
        self._file.seek(0)
        self._file.write(frame.ljust(size, b"\0"))

    def _frame_starts(self, first: int) -> array[int]:
        """Walk the frames that LAME wrote."""
        starts = array("Q")
        self._file.flush()
        end = self._file.seek(0, 2)
        at = first
        while at + 4 <= end:
            self._file.seek(at)
            header = self._file.read(4)
            starts.append(at)
            at += self._frame_size(header)
        return starts


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
