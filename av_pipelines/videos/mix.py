"""The sound of a film: where shots, voices, music and effects lie, and what each delivery wants.

Here: from the cut to what the confined child is asked. Not here: adding up (``bus``), loudness,
limiting and encoding (``levelling``), pictures.

Positions are samples of the film, computed from exact times, so that an hour is as exact as a
second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.encoders import sound_format
from av_pipelines.videos.sources import Source, Work

SAMPLE_RATE = 48_000
_CLICK_S = Fraction(3, 1000)  # faded in and out at a cut
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


def mix(
    cut: Cut,
    deliveries: Sequence[Delivery],
    sources: Mapping[tuple[Path, bool], Source],
    work: Work,
) -> list[Mixed | None]:
    """Mix the film's sound, and encode it for every delivery.

    Args:
        cut: the film.
        deliveries: what is wanted of it.
        sources: what is known of every file the cut names.
        work: on all of the cut's files.

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
    wave = any(delivery.wave or cut.wave for delivery in deliveries)
    answer: dict[str, Any] = {}
    for at in range(0, len(placed), _AT_ONCE):
        last = at + _AT_ONCE >= len(placed)
        some = placed[at : at + _AT_ONCE]
        given = {
            "samples": samples,
            "outputs": list(distinct.values()) if last else [],
            "wave": wave and last,
            "as_it_is": not wave and _as_it_is(placed, samples, list(distinct.values())),
        }

        def request(
            fds: Mapping[Path, int],
            given: Mapping[str, Any] = given,
            some: Sequence[tuple[Path, Sound]] = some,
        ) -> dict[str, Any]:
            sounds = [{"fd": fds[path], "sound": asdict(sound)} for path, sound in some]
            return {**given, "sounds": sounds}

        task = "av_pipelines.videos.bus:add_and_finish"
        answer = work.run(task, request, {path for path, _ in some})
    made = {one["name"]: Mixed(**one) for one in answer["mixed"]}
    return [made[name] for name in same]


def _as_it_is(
    placed: Sequence[tuple[Path, Sound]], samples: int, outputs: Sequence[Mapping[str, Any]]
) -> bool:
    """Say whether nothing is to be done to the film's only sound, if it is as long as the film."""
    sound = placed[0][1]
    plain = replace(sound, music=False, at=0, start="0", speed="1", gain_db=0.0, loop=False)
    cut_only = sound.fade_in == sound.fade_out == round(_CLICK_S * SAMPLE_RATE)
    wanted = all(
        one["codec"] == "aac" and one["target"] is None and one["samples"] == samples
        for one in outputs
    )
    return len(placed) == 1 and sound == plain and sound.samples == samples and cut_only and wanted


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
