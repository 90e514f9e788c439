"""Films whose frames carry their number, and beeps, both of which can be read back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

SAMPLE_RATE = 48_000
BITS, ROWS = 16, 4
WIDTH, HEIGHT = 160, 96


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A number as black and white fields: 16 bits in two rows, and their opposites in two more."""
    bits = [(number >> k) & 1 for k in range(BITS)]
    fields = np.array([*bits, *(1 - b for b in bits)], np.uint8).reshape(ROWS, BITS // 2)
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * (BITS // 2) // width
    return 40 + 175 * fields[rows][:, columns]


def number_of(luma: np.ndarray) -> int | None:
    """Read the number back; None if the rows do not agree."""
    high, wide = luma.shape
    y = [(2 * k + 1) * high // (2 * ROWS) for k in range(ROWS)]
    x = [(2 * k + 1) * wide // BITS for k in range(BITS // 2)]
    values = np.array([[luma[j - 2 : j + 3, i - 2 : i + 3].mean() for i in x] for j in y])
    bits = (values > 128).astype(int).reshape(2, BITS)
    if (bits[0] == bits[1]).any():
        return None
    return int(sum(int(b) << k for k, b in enumerate(bits[0])))


def beeps(seconds: float, at: Sequence[float], hz: float = 1000.0) -> np.ndarray:
    """Mono sound with a beep of 30 ms at each of some times."""
    sound = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for time in at:
        n = np.arange(round(0.03 * SAMPLE_RATE))
        begin = round(time * SAMPLE_RATE)
        part = sound[begin : begin + n.size]
        part += 0.5 * np.sin(2 * np.pi * hz * n[: part.size] / SAMPLE_RATE).astype(np.float32)
    return sound


def onsets(sound: np.ndarray) -> list[float]:
    """When beeps begin, in seconds."""
    loud = np.abs(sound) > 0.4 * np.abs(sound).max(initial=1e-9)
    at = np.flatnonzero(loud)
    return [
        float(n / SAMPLE_RATE)
        for k, n in enumerate(at)
        if not k or n - at[k - 1] > 0.05 * SAMPLE_RATE
    ]


def film(
    path: Path,
    rate: Fraction,
    frames: int,
    *,
    times: Sequence[Fraction] | None = None,
    offset: Fraction = Fraction(0),
    sound: np.ndarray | None = None,
    codec: str = "libx264",
    gop: int = 25,
    width: int = WIDTH,
    height: int = HEIGHT,
    options: dict[str, str] | None = None,
    audio_codec: str = "aac",
    layout: str = "mono",
) -> Path:
    """Write a film of numbered frames.

    Args:
        path: its suffix chooses the container.
        rate: frames a second.
        frames: how many.
        times: when each is shown, in seconds; None: at the rate.
        offset: seconds by which the whole film starts late.
        sound: mono samples, from the first frame on.
        codec: of the picture.
        gop: frames between keyframes.
        width: of the picture.
        height: of the picture.
        options: of the encoder.
        audio_codec: of the sound.
        layout: of its channels, which are all alike.
    """
    with av.open(str(path), "w") as out:
        given = {"g": str(gop), "crf": "14", "preset": "ultrafast", **(options or {})}
        video = cast("Any", out.add_stream(codec, rate=rate, options=given))
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1
        clock = Fraction(1, 90_000)
        video.codec_context.time_base = clock
        audio: Any = None
        if sound is not None:
            audio = out.add_stream(audio_codec, rate=SAMPLE_RATE)
            audio.layout = layout
        for n in range(frames):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane, fill in zip(frame.planes, (None, 128, 128), strict=True):
                field = np.full((plane.height, plane.line_size), fill or 0, np.uint8)
                if fill is None:
                    field[:, :width] = picture(n, width, height)
                plane.update(field.tobytes())
            time = (times[n] if times else n / rate) + offset
            frame.pts, frame.time_base = round(time / clock), clock
            frame.colorspace, frame.color_range = 1, 1
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None:
            for at in range(0, sound.size, 1024):
                block = sound[at : at + 1024]
                part: Any = np.tile(block, (av.AudioLayout(layout).nb_channels, 1))
                one = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
                one.sample_rate, one.pts = SAMPLE_RATE, at + round(offset * SAMPLE_RATE)
                one.time_base = Fraction(1, SAMPLE_RATE)
                out.mux(audio.encode(one))
            out.mux(audio.encode(None))
    return path


def shown_at(times: Sequence[Fraction], time: Fraction) -> int:
    """Which frame a player shows at a time after the first."""
    return max(bisect_right(times, time) - 1, 0)


def numbers(path: Path, every: int = 1) -> list[int | None]:
    """Read the number of every frame, or of every so many."""
    found = []
    with av.open(str(path)) as container:
        for n, frame in enumerate(container.decode(video=0)):
            if n % every == 0:
                found.append(number_of(frame.reformat(format="gray").to_ndarray()))
    return found


def stamps(path: Path) -> list[Fraction]:
    """When each frame is shown."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            cast("int", f.pts) * cast("Fraction", f.time_base) for f in container.decode(stream)
        ]


def heard(path: Path) -> np.ndarray:
    """Decode the sound as a player plays it, from time 0 on, its first channel."""
    with av.open(str(path)) as container:
        blocks: list[tuple[float, np.ndarray]] = []
        resampler = av.AudioResampler("fltp", None, SAMPLE_RATE)
        for frame in container.decode(audio=0):
            time = float(cast("float", frame.time))
            for one in resampler.resample(frame):
                blocks.append((time, cast("np.ndarray", one.to_ndarray())[0]))
        first = round(blocks[0][0] * SAMPLE_RATE)
        whole = np.concatenate([block for _, block in blocks])
        return np.concatenate([np.zeros(first), whole]) if first >= 0 else whole[-first:]
