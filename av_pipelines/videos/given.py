"""A timeline from any editor, in place of a project's shots: read, checked, its clips found.

Here: OTIO and EDL files as they come, which may be a stranger's. Not here: what is added to it and
written (``timeline``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import opentimelineio as otio

from av_pipelines.media.edl import EdlError, read_edl
from av_pipelines.media.timecode import from_timecode, to_timecode
from av_pipelines.videos.edl import to_timeline
from av_pipelines.videos.foreign_otio import read_otio
from av_pipelines.videos.otio_items import CMX, OURS, Placed, is_plain, placed, rate_of
from av_pipelines.videos.otio_time import otio_range, seconds
from av_pipelines.videos.project import Project
from av_pipelines.videos.project_file import ProjectError
from av_pipelines.videos.project_parts import Reel
from av_pipelines.videos.resolve import Found, Resolver
from av_pipelines.videos.shots import Wrong
from av_pipelines.videos.survey import Survey
from av_pipelines.videos.tracks import described

if TYPE_CHECKING:
    from opentimelineio.schema import Clip, Timeline

log = logging.getLogger(__name__)

_MAX_BYTES = 32 * 2**20
_UNNAMED = ("AX", "BL", "")
_KEPT = ("fit", "framing", "gain_db", "effects", "name", "lane")
"""What a timeline of ours, back from an editor, still says of a clip; all else is the project's."""

_NOT_TAKEN = ("overlays", "captions", "wave")


@dataclass(frozen=True)
class GivenSource:
    """What a clip shows, and what the project says of it."""

    found: Found
    said: Reel | None


@dataclass
class Given:
    """A timeline as it was read; its clips' metadata number their sources (``source``)."""

    path: Path
    timeline: Timeline
    rate: Fraction
    sources: list[GivenSource] = field(default_factory=list)

    def clips(self) -> Iterator[tuple[Clip, str]]:
        """Give every clip that has a source, and what to call it in messages."""
        for track in self.timeline.tracks:
            for number, item in enumerate(track, 1):
                if isinstance(item, otio.schema.Clip) and not is_plain(item):
                    event = item.metadata.get(CMX, {}).get("event")
                    place = f"event {event}" if event else f"item {number} of {track.name}"
                    yield item, f"{self.path.name}, {place} ({item.name!r})"


def read_given(path: Path, project: Project, resolver: Resolver) -> Given:
    """Read a timeline and find what its clips show.

    Raises:
        ProjectError: the file, the line or the clip that is wrong is named.
    """
    asked = project.project_settings.fps
    if path.suffix.lower() == ".edl":
        if asked is None:
            raise resolver.wrong(
                "project_settings.fps",
                f"{path.name} is an EDL, which does not say its frame rate: give it",
            )
        rate = Fraction(asked)
        timeline = _read_edl(path, rate)
    else:
        timeline = _read_otio(path, resolver)
        try:
            rate = rate_of(timeline)
        except ValueError as error:
            raise resolver.wrong("timeline", f"{path.name}: {error}") from None
        if asked is not None and Fraction(asked) != rate:
            raise resolver.wrong(
                f"project_settings.fps = {asked}",
                f"{path.name} counts {rate} frames a second; leave fps out, or give that",
            )
    left = [what for what in _NOT_TAKEN if timeline.metadata.get(OURS, {}).get(what)]
    if left:
        log.warning("%s: its %s are not taken: project.json says them", path, " and ".join(left))
    given = Given(path, timeline, rate)
    for clip, where in given.clips():
        found, source = resolver.by_names(_names(clip), project.sources, where)
        kept = {k: v for k, v in clip.metadata.get(OURS, {}).items() if k in _KEPT}
        clip.metadata[OURS] = {**kept, "source": len(given.sources), "where": where}
        given.sources.append(GivenSource(found, source))
    return given


def _names(clip: Clip) -> list[str]:
    """What a clip's source may be called, the most telling first."""
    said = clip.metadata.get(CMX, {})
    reference = clip.media_reference
    address = getattr(reference, "target_url", None) or ""
    names = [address, getattr(reference, "name", "") or "", clip.name, said.get("reel", "")]
    return [name for name in dict.fromkeys(names) if name not in _UNNAMED]


def _read_edl(path: Path, rate: Fraction) -> Timeline:
    try:
        return to_timeline(read_edl(path.read_bytes(), rate, str(path)), rate, str(path))
    except EdlError as error:
        raise ProjectError(str(error)) from None


def _read_otio(path: Path, resolver: Resolver) -> Timeline:
    if path.stat().st_size > _MAX_BYTES:
        raise resolver.wrong("timeline", f"{path.name} is larger than {_MAX_BYTES} bytes")
    try:
        return _plain(read_otio(path.read_text("utf-8")))
    except (ValueError, RecursionError, otio.exceptions.OTIOError) as error:
        raise resolver.wrong("timeline", f"{path.name} cannot be used: {error}") from None


def _plain(timeline: Timeline) -> Timeline:
    """Lay several picture tracks into one, as a viewer sees them; check all items."""
    films = [track for track in timeline.video_tracks() if track.enabled]
    if len(films) > 1:
        flat = otio.algorithms.flatten_stack(films)
        flat.name = "V"
        sounds = [track.deepcopy() for track in timeline.audio_tracks() if track.enabled]
        stack = otio.schema.Stack(name="tracks")
        stack.extend([flat, *sounds])
        timeline.tracks = stack
        timeline.metadata.setdefault(OURS, {})
        timeline.metadata[OURS]["flattened"] = len(films)
    rate = rate_of(timeline)
    for track in timeline.tracks:
        list(placed(track, rate))
    if not any(item for track in timeline.video_tracks() for item in track):
        raise ValueError("it has no picture track with anything on it")
    return timeline


# ---------------------------------------------------------------------- once sources are known


def finish_given(
    given: Given, surveys: Mapping[Path, Survey], reel: Mapping[Path, str], wrong: Wrong
) -> Timeline:
    """Make the clips of a given timeline name the files found, and check their in and out.

    Args:
        given: as it was read; it is changed.
        surveys: what is known of its sources.
        reel: reel names by file, for clips that have none.
        wrong: makes the error of a field.

    Raises:
        ProjectError: a clip reaches beyond its source; it is named.
    """
    for track in given.timeline.tracks:
        items = list(placed(track, given.rate))
        for number, item in enumerate(items):
            if item.clip is None or is_plain(item.clip):
                continue
            following = items[number + 1].overlap if number + 1 < len(items) else 0
            _finish(given, item, item.length + following, surveys, reel, wrong, track.kind)
    return given.timeline


def _finish(
    given: Given,
    item: Placed,
    length: int,
    surveys: Mapping[Path, Survey],
    reel: Mapping[Path, str],
    wrong: Wrong,
    kind: str,
) -> None:
    clip = item.clip
    assert clip is not None
    said = clip.metadata[OURS]
    where, source = str(said["where"]), given.sources[int(said["source"])]
    found, rate = source.found, given.rate
    known = surveys[found.path]
    zero = _zero(
        clip, source.said.timecode if source.said else None, known, item.start / rate, rate
    )
    start = item.start / rate - zero
    if known.kind == "still":
        start = Fraction(0)
    elif known.kind == "sound" and kind == otio.schema.TrackKind.Video:
        raise wrong(where, f"{found.name} has no picture")
    elif known.end is not None:
        end = start + length * abs(item.speed) / rate
        spare = Fraction(1, 2) / min(rate, known.fps)
        if start < -spare or end > known.end + spare:
            first = f"; its first picture is taken to be at {_code(zero, rate)}" if zero else ""
            raise wrong(
                where,
                f"it takes {float(start):.3f} s to {float(end):.3f} s of {found.name}, which is "
                f"{float(known.end):.3f} s long{first}; if the file's timecode is another, say so "
                'in `sources`: {"name": {"path": "…", "timecode": "01:00:00:00"}}',
            )
    end = otio_range(zero * rate, (known.end or Fraction(length) / rate) * rate, rate)
    clip.media_reference = otio.schema.ExternalReference(found.path.as_uri(), end)
    clip.metadata[OURS] = {
        **{k: v for k, v in said.items() if k in _KEPT},
        **described(found, known, max(Fraction(0), start)),
    }
    cmx = dict(clip.metadata.get(CMX, {}))
    clip.metadata[CMX] = {"reel": reel[found.path], "source_file": found.label} | cmx


def _zero(clip: Clip, said: str | None, known: Survey, start: Fraction, rate: Fraction) -> Fraction:
    """Give the time, on the clip's clock, of the source's first picture."""
    reference = clip.media_reference
    there = reference.available_range if reference else None
    for code in (said, known.timecode):
        if code:
            try:
                zero = from_timecode(code, rate) / rate
            except ValueError:
                zero = known.zero / known.clock
            if code == said or (there is None and start >= zero):
                return zero
    return seconds(there.start_time) if there else Fraction(0)


def _code(time: Fraction, rate: Fraction) -> str:
    return to_timecode(round(time * rate), rate)
