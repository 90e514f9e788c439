"""A film's sound for each delivery, in the confined child: its level, its limit, its encoding.

Here: what is made of the bus, or of a source's own sound where nothing is to be done to it. Not
here: how loudness is measured (``media.loudness``), how peaks are held (``media.limiter``), the bus
(``bus``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.videos.mix import SAMPLE_RATE, Sound
from av_pipelines.videos.sources import open_media

if TYPE_CHECKING:
    import numpy as np

    from av_pipelines.media.loudness import Loudness

CEILING_DBTP = -1.0
_LOSSY_MARGIN_DB = 0.5  # a lossy encoder moves peaks
_CLOSING_S = 0.7  # of a film that ends before its cut does
_SHORT_S = Fraction(1, 120)  # nobody hears such a silence, no player minds it
_PRIMING_S = Fraction(2112, SAMPLE_RATE)  # most of what encoders put before the sound
_CLOSE_LU = 0.1
_ENCODERS_LU = 3.0  # an encoder does not change more
_CORRECTIONS = 3
_PASSES = 5
_FAR_LU = 0.5
_GUESSED_SLOPE, _LEAST_SLOPE = 0.7, 0.15  # LU gained for each dB of gain


def blocks(bus: np.ndarray, samples: int, closing: bool = False) -> Iterator[np.ndarray]:
    """Yield the first samples of a bus a second at a time; ``closing``: faded out."""
    import numpy as np

    fade = min(samples, round(_CLOSING_S * SAMPLE_RATE))
    for at in range(0, samples, SAMPLE_RATE):
        block = np.array(bus[:, at : min(at + SAMPLE_RATE, samples)])
        if closing and at + block.shape[1] > samples - fade:
            n = at + np.arange(block.shape[1])
            block *= np.clip((samples - n) / fade, 0, 1).astype(np.float32)
        yield block


def deliver(bus: np.ndarray, output: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Level, limit, encode and measure the sound of one delivery."""
    import numpy as np

    from av_pipelines.media.audio import read_blocks
    from av_pipelines.media.limiter import TruePeakLimiter
    from av_pipelines.media.loudness import measure_blocks

    samples, target = output["samples"], output["target"]
    closing = samples < bus.shape[1]
    lossy = output["bit_rate"] is not None
    ceiling = CEILING_DBTP - (_LOSSY_MARGIN_DB if lossy else 0.0)
    gain, over = 0.0, False
    if target is None:
        over = max((float(abs(b).max()) for b in blocks(bus, samples, closing)), default=0.0) > 1
    else:
        plain = measure_blocks(blocks(bus, samples, closing), SAMPLE_RATE, 2, "stereo")
        if math.isfinite(plain.integrated_lufs):
            gain = target - plain.integrated_lufs
            over = plain.true_peak_dbtp + gain > ceiling
    note = None

    def limited(gain_db: float) -> Iterator[np.ndarray]:
        limiter = TruePeakLimiter(SAMPLE_RATE, 2, ceiling, gain_db=gain_db)
        for block in blocks(bus, samples, closing):
            yield limiter.process(block)
        yield limiter.flush()

    def reached(gain_db: float) -> float:
        return measure_blocks(limited(gain_db), SAMPLE_RATE, 2, "stereo").integrated_lufs

    if over and target is not None:
        gain, lufs = _through_limiter(target, gain, reached)
        if abs(target - lufs) > _FAR_LU:
            note = (
                f"the sound has {lufs:.1f} LUFS: {target:g} LUFS are out of reach under "
                f"{CEILING_DBTP:g} dBTP, as more gain only means more limiting"
            )
    path = out / output["name"]

    def encoded(gain_db: float) -> Loudness:
        factor = np.float32(10 ** (gain_db / 20))
        plain = blocks(bus, samples, closing)
        parts = limited(gain_db) if over else (block * factor for block in plain)
        write(path, output["codec"], output["bit_rate"], output["options"], parts)
        return measure_blocks(read_blocks(path), SAMPLE_RATE, 2, "stereo")

    made = encoded(gain)
    heard = math.isfinite(made.integrated_lufs)
    for _ in range(_CORRECTIONS if target is not None and heard else 0):
        # What the encoder leaves out (treble, mostly), and how far it lets peaks go.
        off = 0.0 if note or target is None else target - made.integrated_lufs
        beyond = max(0.0, made.true_peak_dbtp - CEILING_DBTP)
        if not beyond and not _CLOSE_LU * 2 < abs(off) < _ENCODERS_LU:
            break
        over = over or beyond > 0 or made.true_peak_dbtp + off > ceiling
        ceiling, gain = ceiling - beyond, gain + off
        made = encoded(gain)
    return _told(output, made, note)


def _told(output: Mapping[str, Any], made: Loudness, note: str | None = None) -> dict[str, Any]:
    heard = math.isfinite(made.integrated_lufs)
    return {
        "name": output["name"],
        "integrated_lufs": round(made.integrated_lufs, 2) if heard else None,
        "true_peak_dbtp": round(made.true_peak_dbtp, 2) if heard else None,
        "note": note,
    }


def copied(sound: Sound, fd: int, output: Mapping[str, Any], out: Path) -> dict[str, Any] | None:
    """Take a source's own packets for the sound of a delivery that is as long as the source.

    Returns:
        As ``deliver``; None if they are not what is delivered (AAC-LC of 48 kHz, stereo, without
        gaps, from the film's beginning to its end), or cannot all be decoded.
    """
    from av.error import FFmpegError

    from av_pipelines.media.audio import read_blocks
    from av_pipelines.media.loudness import measure_blocks

    path = out / output["name"]
    try:
        if not _packets_copied(sound, fd, Fraction(output["samples"], SAMPLE_RATE), path):
            return None
        return _told(output, measure_blocks(read_blocks(path), SAMPLE_RATE, 2, "stereo"))
    except FFmpegError:
        return None


def _packets_copied(sound: Sound, fd: int, length: Fraction, path: Path) -> bool:
    import av

    with open_media(fd) as source, av.open(str(path), "w") as film:
        stream = source.streams[sound.stream]
        context = stream.codec_context
        kind = (context.codec.canonical_name, context.profile, stream.rate, context.layout.name)
        if kind != ("aac", "LC", SAMPLE_RATE, "stereo") or not context.extradata:
            return False
        heard: Any = film.add_stream_from_template(stream)
        tick = stream.time_base
        zero = round(Fraction(sound.zero) / tick)
        first = due = None
        for packet in source.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or (due is not None and abs(packet.pts - due) > 1):
                return False
            due = packet.pts + packet.duration
            packet.pts = packet.dts = packet.pts - zero
            first = packet.pts if first is None else first
            packet.stream = heard
            film.mux(packet)
        if first is None or due is None:
            return False
        begins, ends = first * tick, (due - zero) * tick
        return -_PRIMING_S <= begins <= _SHORT_S and abs(ends - length) <= _SHORT_S


def _through_limiter(
    target: float, gain: float, reached: Callable[[float], float]
) -> tuple[float, float]:
    """Find the gain that makes up for what limiting takes away; return it and what it reaches."""
    tried: list[tuple[float, float]] = []
    while True:
        tried.append((gain, reached(gain)))
        off = target - tried[-1][1]
        if abs(off) <= _CLOSE_LU or len(tried) == _PASSES:
            return tried[-1]
        slope = _GUESSED_SLOPE
        if len(tried) > 1:
            (one, before), (other, after) = tried[-2:]
            slope = min(max((after - before) / (other - one), 0.0), 1.0)
        if slope < _LEAST_SLOPE:
            return tried[-1]
        gain += max(-6.0, min(6.0, off / slope))


def write(
    path: Path,
    codec: str,
    bit_rate: int | None,
    options: Mapping[str, str],
    blocks: Iterator[np.ndarray],
) -> None:
    """Encode stereo blocks into a file."""
    from av_pipelines.media.audio import AudioWriter

    with AudioWriter(
        path, codec, SAMPLE_RATE, "stereo", bit_rate=bit_rate, options=options
    ) as writer:
        for block in blocks:
            writer.write(block)
