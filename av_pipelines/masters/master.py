"""Master a programme: bring it to its target loudness under its ceiling, in several formats.

Here: the order of things, and what is written down about them. Not here: the search for the gain
(``levelling``), one file (``delivery``), the limiter (``limiter``).

Two passes at most come before encoding in ordinary cases: the programme is measured where that has
not been done, and where its peaks reach the ceiling the loudness after limiting is measured until
it is right (once or twice as a rule, four times at most). Everything runs in blocks, whatever the
length.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from av_pipelines.masters.chain import MasterError, Programme, watched
from av_pipelines.masters.delivery import Delivered, deliver
from av_pipelines.masters.formats import FORMATS, MAX_FLAC_CHANNELS, MAX_FLAC_RATE, Format
from av_pipelines.masters.levelling import Level, find_gain
from av_pipelines.masters.picture import draw_loudness
from av_pipelines.masters.settings import FormatName, MasterSettings
from av_pipelines.masters.shaping import Shaped
from av_pipelines.masters.sketch import Sketch, loudness_after
from av_pipelines.masters.tags import Cover
from av_pipelines.media.audio import AudioWriter
from av_pipelines.media.loudness import MIN_SAMPLE_RATE, Curve, Loudness, LoudnessMeter

__all__ = ["MasterError", "MasterResult", "master"]

_MAIN: FormatName = "flac"
_SHAPING = 0.2  # of the work


@dataclass(frozen=True)
class MasterResult:
    """What was made: numbers of ``master.flac``, as decoding it gives them.

    Attributes:
        integrated_lufs: -inf for silence.
        true_peak_dbtp: -inf for digital silence.
        lra_lu: loudness range.
        gain_db: before the limiter.
        limiter_max_db: largest gain reduction.
        limiter_mean_db: gain reduction averaged over the whole.
        actions: what was done to the sound, as sentences, for all files.
        duration_s: of the master.
        sample_rate_hz: of ``master.flac``, the programme's own.
        channels: of ``master.flac``, the programme's own.
        files: names of all files written, the audio files first.
    """

    integrated_lufs: float
    true_peak_dbtp: float
    lra_lu: float
    gain_db: float
    limiter_max_db: float
    limiter_mean_db: float
    actions: tuple[str, ...]
    duration_s: float
    sample_rate_hz: int
    channels: int
    files: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return all but the files as JSON-safe facts: levels to 0.01 dB, None for -inf."""
        return {
            "integrated_lufs": _level(self.integrated_lufs),
            "true_peak_dbtp": _level(self.true_peak_dbtp),
            "lra_lu": _level(self.lra_lu),
            "gain_db": _level(self.gain_db),
            "limiter_max_db": _level(self.limiter_max_db),
            "limiter_mean_db": _level(self.limiter_mean_db),
            "actions": list(self.actions),
            "duration_s": round(self.duration_s, 3),
            "sample_rate_hz": self.sample_rate_hz,
            "channels": self.channels,
        }


def _level(value: float) -> float | None:
    # Adding 0 turns -0.0 into 0.0.
    return round(value, 2) + 0.0 if math.isfinite(value) else None


@dataclass(frozen=True)
class _Input:
    """The programme's loudness as it was."""

    integrated_lufs: float
    true_peak_dbtp: float
    duration_s: float
    curve: Curve
    facts: Mapping[str, Any]

    @classmethod
    def given(cls, numbers: Mapping[str, Any]) -> Self | None:
        """Read a ``loudness.json`` (``Loudness.to_json_dict``); None if it does not tell enough."""
        needed = {"integrated_lufs", "true_peak_dbtp", "duration_s", "curve"}
        if not needed <= numbers.keys() or not numbers["duration_s"]:
            return None
        curve = numbers["curve"]
        return cls(
            integrated_lufs=_number(numbers["integrated_lufs"]),
            true_peak_dbtp=_number(numbers["true_peak_dbtp"]),
            duration_s=float(numbers["duration_s"]),
            curve=Curve(
                np.array(curve["times_s"], dtype=np.float64),
                np.array([_number(v) for v in curve["lufs"]], dtype=np.float64),
            ),
            facts=_without_curve(numbers),
        )

    @classmethod
    def measured(cls, loudness: Loudness) -> Self:
        """Take what was measured here."""
        return cls(
            loudness.integrated_lufs,
            loudness.true_peak_dbtp,
            loudness.duration_s,
            loudness.curve,
            _without_curve(loudness.to_json_dict()),
        )


def _without_curve(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in numbers.items() if key != "curve"}


def _number(value: float | None) -> float:
    return -math.inf if value is None else float(value)


class _Progress:
    """Adds up parts of the work; the callback hears from one thread at a time, never less."""

    def __init__(self, callback: Callable[[float], None]) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._parts: list[tuple[float, float]] = []
        self._told = 0.0

    def done(self) -> None:
        """Tell that all is done."""
        self._callback(1.0)

    def part(self, weight: float) -> Callable[[float], None]:
        """Return where a part that makes up ``weight`` of the whole tells how far it is."""
        index = len(self._parts)
        self._parts.append((weight, 0.0))

        def tell(fraction: float) -> None:
            with self._lock:
                self._parts[index] = (weight, fraction)
                now = min(1.0, sum(w * f for w, f in self._parts))
                if now > self._told:
                    self._told = now
                    self._callback(now)

        return tell


def master(
    audio: Path,
    out: Path,
    settings: MasterSettings,
    *,
    loudness: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    cover: Cover | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> MasterResult:
    """Master an audio file.

    Writes ``master.flac``, the other formats of the settings, ``loudness.json`` and
    ``loudness.png``. Every audio file is decoded again and measured; see ``delivery.deliver``.

    Args:
        audio: a file this project wrote (the ``audio`` artifact's).
        out: an existing folder. What is in it after an error is of no use.
        settings: what to make.
        loudness: the audio artifact's ``loudness.json``; measured here if None or without curve.
        tags: title, artist and the like, for all formats; FFmpeg's names.
        cover: front cover for the formats that hold one.
        progress: is told which part is done, 0 to 1, from one thread at a time.

    Raises:
        MasterError: the audio cannot be mastered, or not as the settings want it.
    """
    programme = Programme.of(audio)
    _refuse_what_no_master_holds(programme)
    told = _Progress(progress)
    before = _Input.given(loudness or {}) or _Input.measured(programme.measured())
    if before.duration_s <= 0:
        raise MasterError(f"{audio}: there are no samples in it; nothing can be made of it")
    if settings.preview_s is not None and settings.preview_start_s >= before.duration_s:
        raise MasterError(
            f"{audio}: preview_start_s = {settings.preview_start_s:g} is after its end at "
            f"{before.duration_s:.2f} s; give less"
        )
    shaped = Shaped.of(programme, settings)
    if not shaped.actions:
        return _mastered(programme, audio, out, settings, before, before, tags, cover, told, ())
    file = out / "shaped.wav"  # W64 would be padded with a sample for some lengths
    try:
        after = _written(shaped, file, before.duration_s, told.part(_SHAPING))
        source = replace(Programme.of(file), layout=programme.layout)
        return _mastered(
            source, audio, out, settings, before, after, tags, cover, told, shaped.actions
        )
    finally:
        file.unlink(missing_ok=True)


def _written(
    shaped: Shaped, path: Path, duration_s: float, progress: Callable[[float], None]
) -> _Input:
    """Write what is shaped to a file, so that it is done once, and measure it on the way."""
    sound = shaped.programme
    meter = LoudnessMeter(sound.sample_rate, sound.channels, sound.layout)
    with AudioWriter(
        path, "pcm_f32le", sound.sample_rate, sound.layout, container_options={"rf64": "auto"}
    ) as writer:
        for block in watched(shaped.read(), duration_s * sound.sample_rate, progress):
            meter.feed(block)
            writer.write(block)
    return _Input.measured(meter.result())


def _mastered(
    programme: Programme,
    audio: Path,
    out: Path,
    settings: MasterSettings,
    original: _Input,
    before: _Input,
    tags: Mapping[str, str] | None,
    cover: Cover | None,
    told: _Progress,
    said: tuple[str, ...],
) -> MasterResult:
    """Master what is shaped; ``original`` is how loud it came, ``before`` how loud it is now."""
    length = before.duration_s
    jobs = _jobs(programme, settings)
    if settings.preview_s is not None:
        length = min(settings.preview_s, length - settings.preview_start_s)
    sketches = _sketches(jobs, before, settings)
    levels = _levels(jobs, audio, before, settings, sketches)
    left = 1.0 - (_SHAPING if said else 0.0)
    levelled = told.part(0.2 * left)
    levelled(1.0)

    def make(kind: Format, source: Programme, tell: Callable[[float], None]) -> Delivered:
        level, sketch = levels[source], sketches[source]
        if settings.preview_s is not None:
            source = source.excerpt(settings.preview_start_s, settings.preview_s)
            level = replace(level, target_lufs=None)
            sketch = Sketch(settings, source, None)
        return deliver(
            source,
            out,
            kind,
            level,
            settings,
            sketch=sketch,
            tags=tags or {},
            cover=cover,
            samples=length * source.sample_rate,
            progress=tell,
        )

    # The encoders leave Python's lock while they work.
    with ThreadPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
        weight = 0.8 * left / len(jobs)
        running = [pool.submit(make, *job, told.part(weight)) for job in jobs]
        try:
            delivered = [job.result() for job in running]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    main = delivered[0]
    result = _result(delivered, jobs, levels, before, settings, said)
    _write_json(out / "loudness.json", result, delivered, original, settings)
    draw_loudness(
        out / "loudness.png",
        before=_from(original.curve, main.programme.start_s),
        after=main.loudness.curve,
        target_lufs=settings.target_lufs,
        reduction=main.reduction,
        duration_s=main.loudness.duration_s,
    )
    told.done()
    return result


def _refuse_what_no_master_holds(programme: Programme) -> None:
    rate, channels = programme.sample_rate, programme.channels
    if channels > MAX_FLAC_CHANNELS:
        raise MasterError(
            f"{programme.path}: {channels} channels; master.flac holds 1 to {MAX_FLAC_CHANNELS}. "
            "Mix them down first, or leave the master asset out"
        )
    if not MIN_SAMPLE_RATE <= rate <= MAX_FLAC_RATE:
        raise MasterError(
            f"{programme.path}: {rate} Hz; a master has {MIN_SAMPLE_RATE} to {MAX_FLAC_RATE} Hz. "
            "Resample it first, or leave the master asset out"
        )


def _jobs(programme: Programme, settings: MasterSettings) -> list[tuple[Format, Programme]]:
    """Say what to make, of what; ``master.flac`` first, which takes the programme as it is."""
    jobs = []
    for name in dict.fromkeys((_MAIN, *settings.formats)):
        kind = FORMATS[name]
        rate = kind.rate_for(programme.sample_rate)
        layout = kind.layout_for(programme.layout, programme.channels)
        same = (rate, layout) == (programme.sample_rate, programme.layout)
        jobs.append((kind, programme if same else programme.converted(rate, layout)))
    return jobs


def _sketches(
    jobs: list[tuple[Format, Programme]], before: _Input, settings: MasterSettings
) -> dict[Programme, Sketch]:
    """Read the pieces of each sound that is delivered."""
    return {
        source: Sketch.of(source, before.curve, before.duration_s, settings)
        for source in {source for _, source in jobs}
    }


def _levels(
    jobs: list[tuple[Format, Programme]],
    audio: Path,
    before: _Input,
    settings: MasterSettings,
    sketches: Mapping[Programme, Sketch],
) -> dict[Programme, Level]:
    """Find the gain for each sound that is delivered.

    A downmix has its own loudness and peaks, and so has what a lower sample rate leaves.
    """
    levels: dict[Programme, Level] = {}
    for _, source in jobs:
        if source in levels:
            continue
        integrated, peak = before.integrated_lufs, before.true_peak_dbtp
        if source.mixed or source.sample_rate < jobs[0][1].sample_rate:
            converted = source.measured()
            integrated, peak = converted.integrated_lufs, converted.true_peak_dbtp

        sketch = sketches[source]

        def after(gain: float, source: Programme = source, sketch: Sketch = sketch) -> float:
            if sketch.spread is source:
                return sketch.after(gain, settings.ceiling_dbtp)
            return loudness_after(source, gain, settings.ceiling_dbtp, settings)

        def estimate(gain: float, sketch: Sketch = sketch, integrated: float = integrated) -> float:
            """Tell the same from what the limiter takes off the pieces."""
            taken = sketch.after(gain, settings.ceiling_dbtp) - sketch.own.integrated_lufs
            return integrated + taken

        try:
            levels[source] = find_gain(
                integrated, peak, settings, after, estimate if sketch.loudest else None
            )
        except MasterError as error:
            raise MasterError(f"{audio}: {error}") from None
    return levels


def _result(
    delivered: list[Delivered],
    jobs: list[tuple[Format, Programme]],
    levels: Mapping[Programme, Level],
    before: _Input,
    settings: MasterSettings,
    said: tuple[str, ...],
) -> MasterResult:
    main, native = delivered[0], jobs[0][1]
    actions: list[str] = list(said)
    if settings.preview_s is not None:
        actions.append(
            f"A preview of {main.loudness.duration_s:g} s from {settings.preview_start_s:g} s, "
            "with the gain of the whole."
        )
    if math.isfinite(before.integrated_lufs):
        actions.append(f"Gain {main.gain_db:+.2f} dB, from {before.integrated_lufs:.2f} LUFS.")
    actions.extend(levels[native].actions)
    if main.reduction.max_db >= 0.01:
        actions.append(
            f"Limited by {main.reduction.max_db:.2f} dB at most, {main.reduction.mean_db:.2f} dB "
            f"on average, to stay under {settings.ceiling_dbtp:g} dBTP."
        )
    for one, (_, source) in zip(delivered, jobs, strict=True):
        if source.sample_rate != native.sample_rate:
            actions.append(
                f"{one.name}: resampled from {native.sample_rate} to {source.sample_rate} Hz."
            )
        if source.mixed:
            actions.append(f"{one.name}: mixed from {native.layout} to {source.layout}.")
        if source != native:
            actions.extend(f"{one.name}: {action}" for action in levels[source].actions)
        actions.extend(one.actions)
    return MasterResult(
        integrated_lufs=main.loudness.integrated_lufs,
        true_peak_dbtp=main.loudness.true_peak_dbtp,
        lra_lu=main.loudness.lra_lu,
        gain_db=main.gain_db,
        limiter_max_db=main.reduction.max_db,
        limiter_mean_db=main.reduction.mean_db,
        actions=tuple(actions),
        duration_s=main.loudness.duration_s,
        sample_rate_hz=native.sample_rate,
        channels=native.channels,
        files=(*(one.name for one in delivered), "loudness.json", "loudness.png"),
    )


def _write_json(
    path: Path,
    result: MasterResult,
    delivered: list[Delivered],
    before: _Input,
    settings: MasterSettings,
) -> None:
    files = {}
    for one in delivered:
        files[one.name] = {
            **_without_curve(one.loudness.to_json_dict()),
            "sample_rate_hz": one.programme.sample_rate,
            "channels": one.programme.channels,
            "codec": one.encoding.codec,
            "gain_db": _level(one.gain_db),
            "limiter_max_db": _level(one.reduction.max_db),
            "encodings": one.encodings,
        }
    found = {
        "curve": delivered[0].loudness.to_json_dict()["curve"],
        "target_lufs": settings.target_lufs,
        "ceiling_dbtp": settings.ceiling_dbtp,
        "lossy_ceiling_dbtp": settings.ceiling_for(lossless=False),
        "gain_db": _level(result.gain_db),
        "limiter": {
            "max_db": _level(result.limiter_max_db),
            "mean_db": _level(result.limiter_mean_db),
        },
        "actions": list(result.actions),
        "input": dict(before.facts),
        "files": files,
    }
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False), "utf-8")


def _from(curve: Curve, start_s: float) -> Curve:
    """Return a curve from a time on, counted from there."""
    later = curve.times_s > start_s
    return Curve(curve.times_s[later] - start_s, curve.lufs[later])
