"""``timeline``: a project as OTIO and as an edit decision list (CMX3600).

Here: putting it all together, what a list cannot say, and the numbers and tables that people see.
Not here: each of the parts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from av_pipelines.media.edl import write_edl
from av_pipelines.media.timecode import nominal, to_timecode
from av_pipelines.settings import SettingsError
from av_pipelines.videos.assembly import Assembly
from av_pipelines.videos.cut import Cut, Lane
from av_pipelines.videos.cut_of import cut_of
from av_pipelines.videos.edl_of import to_edits
from av_pipelines.videos.gather import Material
from av_pipelines.videos.otio_items import OURS, rate_of
from av_pipelines.videos.project import Project
from av_pipelines.videos.settings import TimelineSettings
from av_pipelines.videos.shots import Wrong
from av_pipelines.videos.survey import Survey

log = logging.getLogger(__name__)

OTIO, EDL = "timeline.otio", "timeline.edl"
_SHOWN = 200  # rows of a table
_SILENT_S = 1  # without music at the end that are noticed


@dataclass(frozen=True)
class Written:
    """What came of it."""

    cut: Cut
    facts: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]
    unsaid: tuple[str, ...]
    """What the list cannot say."""


def write_timeline(
    project: Project, material: Material, settings: TimelineSettings, wrong: Wrong, out: Path
) -> Written:
    """Write ``timeline.otio`` and ``timeline.edl``.

    Args:
        project: what is wanted.
        material: what it names (``gather``).
        settings: how lists are written.
        wrong: makes the error of a field.
        out: an empty folder.

    Raises:
        ProjectError: naming the shot and the field.
    """
    try:
        assembly = Assembly(project, material, settings, wrong)
        timeline = assembly.timeline()
        cut = cut_of(timeline)
        edits = to_edits(timeline, drop=settings.drop_frame)
        text = write_edl(edits, rate_of(timeline))
    except SettingsError:  # these say where
        raise
    except ValueError as error:
        raise wrong("timeline", str(error)) from None
    (out / OTIO).write_text(otio.adapters.write_to_string(timeline, "otio_json"), "utf-8")
    (out / EDL).write_text(text, "utf-8")
    unsaid = tuple(_unsaid(timeline, cut))
    for line in unsaid:
        log.info("timeline.edl of %r cannot say: %s", project.title, line)
    notes = list(_notes(cut, assembly.surveys))
    for note in notes:
        log.warning("%r: %s", project.title, note)
    facts = {
        "duration_s": round(float(cut.duration), 6),
        "frames": cut.frames,
        "shots": len(cut.shots),
        "fps": round(float(cut.rate), 6),
        "width": cut.width,
        "height": cut.height,
        "events": len({event.number for event in edits.events}),
        "drop_frame": edits.drop,
    }
    tables = {
        "shots": _rows(timeline, cut, drop=edits.drop),
        "edl": [{"line": line} for line in text.splitlines()[:_SHOWN]],
        "notes": [{"note": note} for note in notes],
        "not in the edl": [{"what": line} for line in unsaid],
    }
    return Written(cut, facts, {name: rows for name, rows in tables.items() if rows}, unsaid)


# ---------------------------------------------------------------------- what people see


def _notes(cut: Cut, surveys: Mapping[Path, Survey]) -> Iterable[str]:
    """Say what a person should know: music that ends by itself, well before the film."""
    music = [lane for lane in cut.lanes if lane.role == "music"]
    if not music or any(lane.loop for lane in music):
        return

    def end(lane: Lane) -> Fraction:
        whole = (surveys[lane.path].end or Fraction(0)) - lane.start
        return lane.at + (whole if lane.duration is None else lane.duration)

    last = max(music, key=end)
    left = cut.duration - end(last)
    if last.duration is None and left > _SILENT_S:
        yield (
            f"the music {last.path.name} ends at {float(end(last)):.1f} s, {float(left):.1f} s "
            'before the film; "loop": true in `audio` plays it again'
        )


def _unsaid(timeline: otio.schema.Timeline, cut: Cut) -> Iterable[str]:
    """List what a CMX3600 list has no words for."""
    counts = {
        "overlays": len(cut.overlays),
        "captions": len(cut.captions.cues) if cut.captions else 0,
        "sounds under the film": len(cut.lanes),
        "a waveform": int(cut.wave is not None),
        "shots with a moving crop": sum(bool(s.framing) for s in cut.shots),
        "shots with another fit than pad": sum(s.fit != "pad" for s in cut.shots),
        "shots with a gain": sum(s.gain_db != 0 for s in cut.shots),
        "shots with Python effects": sum(bool(s.effects) for s in cut.shots),
        "fades through black, which other programs take for dissolves": sum(
            s.transition is not None and s.transition.kind == "fade" for s in cut.shots
        ),
    }
    for what, count in counts.items():
        if count:
            yield f"{what} ({count})"
    rate = cut.rate
    if rate.denominator not in (1, 1001):
        yield f"{float(rate):g} frames a second: its timecode counts {nominal(rate)}"
    for item in timeline.tracks[0]:
        if isinstance(item, otio.schema.Clip) and item.source_range:
            place = item.source_range.start_time
            if abs(place.rate - float(rate)) > 1e-3:
                yield (
                    f"{item.name!r} has {place.rate:.3f} frames a second: its place in the source "
                    "is the next one that the film's timecode can name"
                )
    if timeline.metadata.get(OURS, {}).get("flattened"):
        yield f"{timeline.metadata[OURS]['flattened']} picture tracks, which are one here"


def _rows(timeline: otio.schema.Timeline, cut: Cut, *, drop: bool) -> list[dict[str, Any]]:
    """List the shots with timecodes of source and film."""
    start = timeline.global_start_time
    zero = round(start.value) if start else 0
    rows: list[dict[str, Any]] = []
    for number, (shot, at) in enumerate(zip(cut.shots, cut.starts(), strict=True), 1):
        row: dict[str, Any] = {"shot": number, "name": shot.name}
        row["source"] = shot.path.name if shot.path else shot.colour
        if shot.path and not shot.still:
            end = shot.start + shot.frames / cut.rate * shot.speed
            row["source in"], row["source out"] = _clock(shot.start), _clock(end)
        else:
            row["source in"] = row["source out"] = ""
        row["film in"] = to_timecode(max(0, zero + at), cut.rate, drop=drop)
        row["film out"] = to_timecode(max(0, zero + at + shot.frames), cut.rate, drop=drop)
        row["frames"] = shot.frames
        row["transition"] = (
            f"{shot.transition.kind} {shot.transition.frames}" if shot.transition else "cut"
        )
        row["speed"] = f"{float(shot.speed):g}"
        rows.append(row)
    return rows[:_SHOWN]


def _clock(time: Fraction) -> str:
    milliseconds = round(time * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
