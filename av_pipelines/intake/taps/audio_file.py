"""``audio.flac`` or ``audio.w64``: the sound without loss, at its own rate and channels.

Here: choosing the file's format from what is decoded, and changing over when it no longer holds the
samples. Not here: encoding (``av_pipelines.media.audio``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame

from av_pipelines.intake.blocks import Block, SoundFormat
from av_pipelines.intake.containers import Media
from av_pipelines.intake.passes import Summary
from av_pipelines.intake.taps import Appetite, Tap
from av_pipelines.media.audio import AudioWriter, read_blocks

_FLAC_CHANNELS = 8
_FLAC_RATE = 655_350
# Floats that are the recording itself; from other codecs they are a lossy decoder's estimate, and
# 24 bits, 144 dB, hold all there is to them.
_FLOAT_CODECS = frozenset({"wavpack", "als"})
# What rounds to the largest and the smallest 24-bit number.
_HIGHEST, _LOWEST = 1.0 - 2.0**-24, -1.0 - 2.0**-24


class AudioFile(Tap):
    """Writes the chosen sound.

    | decoded samples | file |
    | --- | --- |
    | integers of up to 16 bits | FLAC, 16 bit |
    | 32-bit integers, as long as the lowest 8 bits are unused | FLAC, 24 bit |
    | floats of a lossy codec, as long as none is beyond full scale | FLAC, 24 bit |
    | others, and what FLAC has no place for (channels, rates) | W64 in the decoder's own type |

    When "as long as" ends, the FLAC file so far is copied into a W64 file and that is gone on with.
    Time stamps play no part: gaps are closed, and a late start is only a fact
    (``start_s`` by its time stamps; ``start_offset_s``, seconds after the media's beginning).
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._media: Media | None = None
        self._writer: AudioWriter | None = None
        self._format: SoundFormat | None = None
        self._path = out
        self._codec = ""
        self._bits = 0
        self._samples = 0

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Want the chosen sound."""
        self._media = media
        return {} if media.audio is None else {media.audio: Appetite.ALL}

    def audio(self, block: Block) -> None:
        """Append a block."""
        if self._writer is None:
            self._begin(block)
        if self._codec == "flac" and not _fits(block):
            self._change_over()
        self._append(block.native)
        self._samples += block.native.shape[1]

    def _append(self, native: np.ndarray) -> None:
        assert self._writer is not None
        assert self._format is not None
        if self._format.sample_format == "flt":
            self._writer.write(native)
            return
        packed = np.ascontiguousarray(native.T).reshape(1, -1)
        made_of = self._format
        frame = AudioFrame.from_ndarray(packed, made_of.sample_format, made_of.layout)
        frame.sample_rate = made_of.sample_rate
        self._writer.write_frame(frame)

    def _begin(self, block: Block) -> None:
        self._format = made_of = block.format
        assert self._media is not None
        assert self._media.audio is not None
        codec = self._media.streams[self._media.audio].codec or ""
        kind = made_of.sample_format
        recorded = kind in ("flt", "dbl") and (codec.startswith("pcm_") or codec in _FLOAT_CODECS)
        if _flac_takes(made_of) and not recorded and _fits(block):
            self._start("audio.flac", "flac", 16 if kind in ("u8", "s16") else 24)
        else:
            self._start_w64()

    def _start_w64(self) -> None:
        assert self._format is not None
        codec, bits = {
            "u8": ("pcm_s16le", 16),
            "s16": ("pcm_s16le", 16),
            "s32": ("pcm_s32le", 32),
            "flt": ("pcm_f32le", 32),
            "dbl": ("pcm_f64le", 64),
        }[self._format.sample_format]
        self._start("audio.w64", codec, bits)

    def _start(self, name: str, codec: str, bits: int) -> None:
        assert self._format is not None
        self._path, self._codec, self._bits = self.out / name, codec, bits
        self._writer = AudioWriter(
            self._path, codec, self._format.sample_rate, self._format.layout, bit_depth=bits
        )

    def _change_over(self) -> None:
        assert self._writer is not None
        self._writer.close()
        so_far = self._path
        self._start_w64()
        assert self._format is not None
        for samples in read_blocks(so_far):  # exact: floats have 24 bits
            whole = self._format.sample_format == "s32"
            self._append((samples * np.float32(2**31)).astype(np.int32) if whole else samples)
            self.beat()
        so_far.unlink()

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """Close the file and describe it."""
        if self._writer is None or self._format is None:
            return {}
        self._writer.close()
        media, made_of = summary.media, self._format
        assert media.audio is not None
        starts = [
            t.start_s
            for t in summary.tallies
            if t.info.type in ("video", "audio") and t.start_s is not None
        ]
        start = summary.tallies[media.audio].start_s
        offset = 0.0 if start is None else max(start - min(starts), 0.0)
        return {
            "file": self._path.name,
            "codec": self._codec,
            "bit_depth": self._bits,
            "sample_rate_hz": made_of.sample_rate,
            "channels": made_of.channels,
            "layout": made_of.layout,
            "samples": self._samples,
            "duration_s": round(self._samples / made_of.sample_rate, 6),
            "start_s": round(start or 0.0, 6),
            "start_offset_s": round(offset, 6),
        }


def _flac_takes(made_of: SoundFormat) -> bool:
    """Whether FLAC has a place for these channels and this rate (RFC 9639, sections 8.2 and 9.1.2).

    Rates are written in kHz (up to 255), Hz (up to 65,535) or tens of Hz.
    """
    rate = made_of.sample_rate
    in_khz = rate % 1000 == 0 and rate <= 255_000
    in_tens = rate % 10 == 0 and rate <= _FLAC_RATE
    return made_of.channels <= _FLAC_CHANNELS and (in_khz or rate <= 65_535 or in_tens)


def _fits(block: Block) -> bool:
    """Whether a FLAC file of 24 bits holds these samples."""
    kind = block.format.sample_format
    if kind == "s32":
        return not np.bitwise_and(block.native, 0xFF).any()
    if kind in ("flt", "dbl"):
        return block.highest <= _HIGHEST and block.lowest >= _LOWEST
    return True
