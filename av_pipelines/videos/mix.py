"""The sound of a film: shots, voices, music and effects added up, ducked, levelled, encoded.

Here: where each sound lies, and the confined child that decodes, adds, measures and limits. Not
here: how loudness is measured (``media.loudness``), how peaks are held (``media.limiter``),
pictures.

The bus lies in a file beside the film while it is made: the shots' own sound, voices and effects,
which the ducked music joins at the end. Positions are samples of the film, computed from exact
times, so that an hour is as exact as a second.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.media.confined import run_task
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.encoders import sound_format
from av_pipelines.videos.sources import Source, open_media, opened

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE = 48_000
CEILING_DBTP = -1.0
_LOSSY_MARGIN_DB = 0.5  # a lossy encoder moves peaks
_PART = SAMPLE_RATE * 10  # samples worked on at a time
_CLICK_S = Fraction(3, 1000)  # faded in and out at a cut
_CLOSING_S = 0.7  # of a film that ends before its cut does
_LEAD, _MUSIC = "lead.f32", "music.f32"
_AT_ONCE = 30  # descriptors in one child
WAVE = "wave.wav"


@dataclass(frozen=True)
class Sound:
    """One stretch of one file's sound in the film; times in samples of the film, or seconds."""

    stream: int
    zero: str
    """When the file's clock shows 0 for us, in seconds: a fraction as text."""
    start: str
    at: int
    samples: int
    speed: str
    gain_db: float
    fade_in: int
    fade_out: int
    music: bool
    duck_db: float
    loop: bool


@dataclass(frozen=True)
class Mixed:
    """The sound of one delivery; ``name`` is its file in the working folder."""

    name: str
    integrated_lufs: float | None
    true_peak_dbtp: float | None
    note: str | None


def has_sound(cut: Cut, sources: Mapping[tuple[Path, bool], Source]) -> bool:
    """Say whether there is anything to hear."""
    return bool(_sounds(cut, sources))


def mix(
    cut: Cut,
    deliveries: Sequence[Delivery],
    sources: Mapping[tuple[Path, bool], Source],
    out: Path,
) -> list[Mixed | None]:
    """Mix the film's sound, and encode it for every delivery.

    Args:
        cut: the film.
        deliveries: what is wanted of it.
        sources: what is known of every file the cut names.
        out: the working folder.

    Returns:
        One for each delivery; None where there is nothing to hear.
    """
    placed = _sounds(cut, sources)
    if not placed:
        return [None] * len(deliveries)
    samples = round(cut.duration * SAMPLE_RATE)
    wanted: list[dict[str, Any]] = []
    for k, delivery in enumerate(deliveries):
        kind = sound_format(delivery.codec)
        target = delivery.loudness_lufs
        wanted.append(
            {
                "name": f"sound_{k}{kind.suffix}",
                "codec": kind.codec,
                "bit_rate": kind.bit_rate,
                "options": dict(kind.options),
                "samples": round(delivery.frames(cut) / cut.rate * SAMPLE_RATE),
                "target": cut.loudness_lufs if target is None else target,
            }
        )
    distinct: dict[str, dict[str, Any]] = {}
    same: list[str] = []
    for one in wanted:
        key = repr({**one, "name": ""})
        same.append(distinct.setdefault(key, one)["name"])
    # Music last: by then all that it gives way to is on the bus.
    placed.sort(key=lambda pair: pair[1].music)
    answer: dict[str, Any] = {}
    for at in range(0, len(placed), _AT_ONCE):
        last = at + _AT_ONCE >= len(placed)
        with ExitStack() as stack:
            some = placed[at : at + _AT_ONCE]
            paths = {path for path, _ in some}
            fds = {path: stack.enter_context(opened(path)).fileno() for path in paths}
            request = {
                "samples": samples,
                "sounds": [{"fd": fds[path], "sound": asdict(sound)} for path, sound in some],
                "outputs": list(distinct.values()) if last else [],
                "wave": last and any(d.wave or cut.wave for d in deliveries),
            }
            task = "av_pipelines.videos.mix:add_and_finish"
            answer = run_task(task, request, fds=list(fds.values()), out=out)
    made = {one["name"]: Mixed(**one) for one in answer["mixed"]}
    return [made[name] for name in same]


def _sounds(cut: Cut, sources: Mapping[tuple[Path, bool], Source]) -> list[tuple[Path, Sound]]:
    def samples(time: Fraction) -> int:
        return round(time * SAMPLE_RATE)

    found: list[tuple[Path, Sound]] = []
    starts = cut.starts()
    for k, shot in enumerate(cut.shots):
        if shot.path is None or shot.still or not shot.sound:
            continue
        source = sources[shot.path, False]
        if source.audio is None:
            continue
        after = cut.shots[k + 1].transition if k + 1 < len(cut.shots) else None
        fade_in = shot.transition.frames / cut.rate if shot.transition else _CLICK_S
        fade_out = after.frames / cut.rate if after else _CLICK_S
        begin, end = starts[k] / cut.rate, (starts[k] + shot.frames) / cut.rate
        found.append(
            (
                shot.path,
                Sound(
                    stream=source.audio,
                    zero=str(source.zero),
                    start=str(shot.start),
                    at=samples(begin),
                    samples=samples(end) - samples(begin),
                    speed=str(shot.speed),
                    gain_db=shot.gain_db,
                    fade_in=samples(Fraction(fade_in)),
                    fade_out=samples(Fraction(fade_out)),
                    music=False,
                    duck_db=0.0,
                    loop=False,
                ),
            )
        )
    for lane in cut.lanes:
        source = sources[lane.path, False]
        if source.audio is None:
            continue
        length = cut.duration - lane.at
        if lane.duration is not None:
            length = min(length, lane.duration)
        have = None if source.end is None else source.end - source.first_sound - lane.start
        if not lane.loop and have is not None:
            length = min(length, have)  # so that it fades where it ends
        if length <= 0:
            continue
        found.append(
            (
                lane.path,
                Sound(
                    stream=source.audio,
                    zero=str(source.first_sound),
                    start=str(lane.start),
                    at=samples(lane.at),
                    samples=samples(length),
                    speed="1",
                    gain_db=lane.gain_db,
                    fade_in=max(samples(_CLICK_S), round(lane.fade_in_s * SAMPLE_RATE)),
                    fade_out=max(samples(_CLICK_S), round(lane.fade_out_s * SAMPLE_RATE)),
                    music=lane.duck_db != 0,
                    duck_db=lane.duck_db,
                    loop=lane.loop,
                ),
            )
        )
    return found


# ---------------------------------------------------------------------- in the confined child


def add_and_finish(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Add sounds to the buses; with ``outputs``, also duck, measure, limit and encode."""
    samples = request["samples"]
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
    mixed = [_deliver(lead, output, out) for output in request["outputs"]]
    if request["wave"]:
        _write(out / WAVE, "pcm_f32le", None, {}, _blocks(lead, samples))
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


# ---------------------------------------------------------------------- level, encoding

_CLOSE_LU = 0.1
_ENCODERS_LU = 3.0  # an encoder does not change more
_CORRECTIONS = 3
_PASSES = 5
_FAR_LU = 0.5
_GUESSED_SLOPE, _LEAST_SLOPE = 0.7, 0.15  # LU gained for each dB of gain


def _blocks(bus: np.ndarray, samples: int, closing: bool = False) -> Iterator[np.ndarray]:
    """Yield the first samples of a bus a second at a time; ``closing``: faded out."""
    import numpy as np

    fade = min(samples, round(_CLOSING_S * SAMPLE_RATE))
    for at in range(0, samples, SAMPLE_RATE):
        block = np.array(bus[:, at : min(at + SAMPLE_RATE, samples)])
        if closing and at + block.shape[1] > samples - fade:
            n = at + np.arange(block.shape[1])
            block *= np.clip((samples - n) / fade, 0, 1).astype(np.float32)
        yield block


def _deliver(bus: np.ndarray, output: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Level, limit, encode and measure the sound of one delivery."""
    import numpy as np

    from av_pipelines.media.audio import read_blocks
    from av_pipelines.media.limiter import TruePeakLimiter
    from av_pipelines.media.loudness import Loudness, measure_blocks

    samples, target = output["samples"], output["target"]
    closing = samples < bus.shape[1]
    lossy = output["bit_rate"] is not None
    ceiling = CEILING_DBTP - (_LOSSY_MARGIN_DB if lossy else 0.0)
    gain, over = 0.0, False
    if target is None:
        over = max((float(abs(b).max()) for b in _blocks(bus, samples, closing)), default=0.0) > 1
    else:
        plain = measure_blocks(_blocks(bus, samples, closing), SAMPLE_RATE, 2, "stereo")
        if math.isfinite(plain.integrated_lufs):
            gain = target - plain.integrated_lufs
            over = plain.true_peak_dbtp + gain > ceiling
    note = None

    def limited(gain_db: float) -> Iterator[np.ndarray]:
        limiter = TruePeakLimiter(SAMPLE_RATE, 2, ceiling, gain_db=gain_db)
        for block in _blocks(bus, samples, closing):
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
        blocks = limited(gain_db) if over else (b * factor for b in _blocks(bus, samples, closing))
        _write(path, output["codec"], output["bit_rate"], output["options"], blocks)
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
    return {
        "name": output["name"],
        "integrated_lufs": round(made.integrated_lufs, 2) if heard else None,
        "true_peak_dbtp": round(made.true_peak_dbtp, 2) if heard else None,
        "note": note,
    }


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


def _write(
    path: Path,
    codec: str,
    bit_rate: int | None,
    options: Mapping[str, str],
    blocks: Iterator[np.ndarray],
) -> None:
    from av_pipelines.media.audio import AudioWriter

    with AudioWriter(
        path, codec, SAMPLE_RATE, "stereo", bit_rate=bit_rate, options=options
    ) as writer:
        for block in blocks:
            writer.write(block)
