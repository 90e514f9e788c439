"""Adding a film's sounds up, in the confined child: decoded, faded, at their speed, music ducked.

Here: the bus. Not here: which sounds there are (``mix``), what is made of the bus (``levelling``).

The bus lies in a file beside the film while it is made: the shots' own sound, voices and effects,
which the ducked music joins at the end.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.videos.levelling import blocks, copied, deliver, write
from av_pipelines.videos.mix import SAMPLE_RATE, WAVE, Sound
from av_pipelines.videos.sources import open_media

if TYPE_CHECKING:
    import numpy as np

_PART = SAMPLE_RATE * 10  # samples worked on at a time
_LEAD, _MUSIC = "lead.f32", "music.f32"


def add_and_finish(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Add sounds to the buses; with ``outputs``, also duck, measure, limit and encode.

    With ``as_it_is``, the one sound may be all there is of the outputs' sound, and is then copied.
    """
    samples = request["samples"]
    if request["as_it_is"]:
        only = request["sounds"][0]
        own = [
            copied(Sound(**only["sound"]), only["fd"], output, out) for output in request["outputs"]
        ]
        if all(own):
            return {"mixed": own}
    lead = _bus(out / _LEAD, samples)
    speech = None
    for given in request["sounds"]:
        sound = Sound(**given["sound"])
        if not sound.music:
            _add(lead, sound, given["fd"])
            continue
        speech = _speech(lead) if speech is None else speech
        music = _bus(out / _MUSIC, sound.samples)
        music[:] = 0
        _add(music, replace(sound, at=0), given["fd"])
        _duck(music, sound.at, speech, sound.duck_db)
        for at in range(0, sound.samples, _PART):
            some = music[:, at : at + _PART]
            lead[:, sound.at + at : sound.at + at + some.shape[1]] += some
        (out / _MUSIC).unlink()
    mixed = [deliver(lead, output, out) for output in request["outputs"]]
    if request["wave"]:
        write(out / WAVE, "pcm_f32le", None, {}, blocks(lead, samples))
    if request["outputs"]:
        (out / _LEAD).unlink()
    return {"mixed": mixed}


def _bus(path: Path, samples: int) -> np.ndarray:
    import numpy as np

    if not path.exists():
        with path.open("wb") as file:
            size = 8 * max(samples, 1)
            # A full disk is told now; later, a write to mapped memory would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    return np.memmap(path, np.float32, "r+", shape=(2, max(samples, 1)))


def _add(bus: np.ndarray, sound: Sound, fd: int) -> None:
    """Add a sound to a bus, with its gain and fades."""
    import numpy as np

    gain = 10 ** (sound.gain_db / 20)
    for at, block in _stretch(sound, fd):
        n = at + np.arange(block.shape[1])
        level = np.full(block.shape[1], gain)
        if at < sound.fade_in:
            level *= np.minimum(1.0, (n + 0.5) / sound.fade_in)
        if at + block.shape[1] > sound.samples - sound.fade_out:
            level *= np.clip((sound.samples - n - 0.5) / sound.fade_out, 0.0, 1.0)
        begin = sound.at + at
        low, high = max(0, -begin), min(block.shape[1], bus.shape[1] - begin)
        if low < high:
            bus[:, begin + low : begin + high] += (block * level)[:, low:high]


def _stretch(sound: Sound, fd: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (sample of the stretch, stereo block), in order."""
    speed = Fraction(sound.speed)
    if speed != 1:
        yield 0, _faster(_whole(sound, fd, math.ceil(sound.samples * speed)), speed, sound.samples)
        return
    reached, shift = 0, 0
    while True:
        before = reached
        for at, block in _decoded(sound, fd, sound.samples - shift):
            reached = shift + at + block.shape[1]
            yield shift + at, block
        if not sound.loop or reached >= sound.samples or reached == before:
            return
        shift = reached


def _whole(sound: Sound, fd: int, samples: int) -> np.ndarray:
    import numpy as np

    whole = np.zeros((2, samples), np.float32)
    for at, block in _decoded(sound, fd, samples):
        whole[:, at : at + block.shape[1]] += block
    return whole


_JUMP = round(0.02 * SAMPLE_RATE)  # time stamps that are off by more say that there is a gap


def _decoded(sound: Sound, fd: int, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the sound from its start as stereo at 48 kHz, each block where its time stamp says."""
    import av
    from av.error import FFmpegError

    zero = Fraction(sound.zero) + Fraction(sound.start)
    with open_media(fd) as container:
        stream = container.streams[sound.stream]
        if Fraction(sound.start) > 2:
            container.seek(int((zero - 1) / stream.time_base), stream=stream)
        resampler = av.AudioResampler("fltp", "stereo", SAMPLE_RATE)
        at: int | None = None  # where the next sample goes

        def taken(frames: Sequence[Any]) -> Iterator[tuple[int, np.ndarray]]:
            nonlocal at
            for frame in frames:
                block = frame.to_ndarray()
                assert at is not None
                low, high = max(0, -at), min(block.shape[1], most - at)
                if low < high:
                    yield at + low, block[:, low:high]
                at += block.shape[1]

        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue  # damaged: silence, as the next one says where it belongs
            for frame in frames:
                if frame.pts is None:
                    continue
                here = round((frame.pts * frame.time_base - zero) * SAMPLE_RATE)
                if at is None:
                    at = here
                elif abs(here - at) > _JUMP + SAMPLE_RATE // 100:
                    yield from taken(resampler.resample(None))
                    resampler = av.AudioResampler("fltp", "stereo", SAMPLE_RATE)
                    at = here
                frame.pts = None
                yield from taken(resampler.resample(frame))
                if at is not None and at >= most:
                    return
        if at is not None:
            yield from taken(resampler.resample(None))


_HALF_WINDOW = 1024  # samples of ``atempo`` at 48 kHz


def _faster(block: np.ndarray, speed: Fraction, samples: int) -> np.ndarray:
    """Change the speed and keep the pitch (FFmpeg's ``atempo``, in steps it does well)."""
    import av
    import numpy as np
    from av.error import BlockingIOError as NotYet
    from av.error import EOFError as Over
    from av.filter import Graph

    graph = Graph()
    steps = max(1, math.ceil(abs(math.log2(speed))))
    factor = float(speed) ** (1 / steps)
    nodes = [graph.add_abuffer(format="fltp", layout="stereo", sample_rate=SAMPLE_RATE)]
    nodes += [graph.add("atempo", f"{factor:.12g}") for _ in range(steps)]
    nodes += [graph.add("aformat", "sample_fmts=fltp"), graph.add("abuffersink")]
    for one, other in pairwise(nodes):
        one.link_to(other)
    graph.configure()
    # Each step begins in the middle of its first window, and would be early by half of one.
    early = sum(_HALF_WINDOW * factor**k for k in range(steps))
    block = np.concatenate([np.zeros((2, round(early)), np.float32), block], axis=1)
    made = np.zeros((2, samples), np.float32)
    at = 0

    def pull() -> None:
        nonlocal at
        while True:
            try:
                got: Any = graph.pull()
            except (NotYet, Over):
                return
            some = got.to_ndarray()[:, : samples - at]
            made[:, at : at + some.shape[1]] = some
            at += some.shape[1]

    for low in range(0, block.shape[1], SAMPLE_RATE):
        part: Any = np.ascontiguousarray(block[:, low : low + SAMPLE_RATE])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, low
        frame.time_base = Fraction(1, SAMPLE_RATE)
        graph.push(frame)
        pull()
    graph.push(None)
    pull()
    return made


# ---------------------------------------------------------------------- ducking

_CELL = SAMPLE_RATE // 100
_THRESHOLD_DB = -45.0
_BEFORE, _AFTER, _RAMP = 20, 60, 30  # cells of 10 ms: music is down before someone speaks


def _speech(bus: np.ndarray) -> np.ndarray:
    """Give how much someone speaks, 0 to 1, per 10 ms of the film."""
    import numpy as np

    cells = -(-bus.shape[1] // _CELL)
    power = np.zeros(cells)
    for at in range(0, cells, 1000):
        part = bus[:, at * _CELL : (at + 1000) * _CELL]
        padded = np.pad(part, ((0, 0), (0, -part.shape[1] % _CELL)))
        power[at : at + 1000] = (padded.reshape(2, -1, _CELL) ** 2).mean(axis=(0, 2))
    loud = np.flatnonzero(power > 10 ** (_THRESHOLD_DB / 10))
    edges = np.zeros(cells + 1)
    np.add.at(edges, np.maximum(loud - _BEFORE, 0), 1)
    np.add.at(edges, np.minimum(loud + _AFTER, cells), -1)
    spoken = (np.cumsum(edges)[:cells] > 0).astype(float)
    window = np.hanning(_RAMP + 2)[1:-1]
    padded = np.pad(spoken, _RAMP // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")[:cells]


def _duck(bus: np.ndarray, start: int, speech: np.ndarray, duck_db: float) -> None:
    """Lower a bus that begins at a sample of the film while someone speaks."""
    import numpy as np

    centres = (np.arange(speech.size) + 0.5) * _CELL
    for at in range(0, bus.shape[1], _PART):
        part = bus[:, at : at + _PART]
        n = start + at + np.arange(part.shape[1])
        part *= 10 ** (np.interp(n, centres, speech) * -abs(duck_db) / 20)
