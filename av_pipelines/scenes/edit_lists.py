"""Scenes for editing programs: CMX3600 EDL and OpenTimelineIO.

Here: what both say of scenes. An edit list counts frames of one constant rate, so where a film's
frames are shown for unequal times, or some are missing, positions come from the time stamps instead
of the frame numbers. Not here: the text of an EDL (``media.edl``), the scenes (``scene_list``).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING
from urllib.parse import quote

from av_pipelines.media.edl import AUXILIARY, EditList, Event, one_line, write_edl
from av_pipelines.media.timecode import may_drop

if TYPE_CHECKING:
    from av_pipelines.media.picture import Picture
    from av_pipelines.scenes.scene_list import Scene


@dataclass(frozen=True)
class Clip:
    """A part of the film for an edit list, in frames of its rate: [start, end)."""

    name: str
    start: int
    end: int
    transition: str | None


def clips_of(picture: Picture, scenes: Sequence[Scene], rate: Fraction) -> list[Clip]:
    """Give the scenes as clips; their positions count from the film's beginning.

    Args:
        picture: the film as intake saw it.
        scenes: of it.
        rate: frames per second to count in.
    """
    if picture.variable_frame_rate or picture.gaps or rate != picture.fps:
        zero = scenes[0].start_s
        edges = [round((scene.start_s - zero) * rate) for scene in scenes]
        edges.append(round((scenes[-1].end_s - zero) * rate))
        for k in range(1, len(edges)):  # no clip is without a frame
            edges[k] = max(edges[k], edges[k - 1] + 1)
    else:
        edges = [scene.start_frame for scene in scenes] + [scenes[-1].end_frame]
    return [
        Clip(f"scene {scene.index + 1}", start, end, scene.change.kind if scene.change else None)
        for scene, (start, end) in zip(scenes, itertools.pairwise(edges), strict=True)
    ]


def to_edl(clips: Sequence[Clip], rate: Fraction, *, film: str, drop: bool | None = None) -> str:
    """Write a CMX3600 edit decision list: the film cut at its scenes, source and record alike.

    Args:
        clips: in order.
        rate: frames per second.
        film: file name of the source.
        drop: drop-frame timecode; None: where it is usual, at 29.97 and 59.94.
    """
    dropping = may_drop(rate) if drop is None else drop and may_drop(rate)
    name = one_line(film)[:120]
    events = [
        Event(
            number=f"{number:03}",
            reel=AUXILIARY,
            channels=("V",),
            kind="C",
            source_in=clip.start,
            source_out=clip.end,
            record_in=clip.start,
            record_out=clip.end,
            notes=(
                f"* FROM CLIP NAME: {name}",
                *[f"* {clip.name.upper()} BEGINS WITH A {kind.upper()}" for kind in _kinds(clip)],
            ),
        )
        for number, clip in enumerate(clips, 1)
    ]
    return write_edl(EditList(name, tuple(events), dropping), rate)


def _kinds(clip: Clip) -> list[str]:
    return [clip.transition] if clip.transition else []


def to_otio(clips: Sequence[Clip], rate: Fraction, *, film: str) -> str:
    """Write an OpenTimelineIO timeline with one video track of the clips, as JSON."""
    import opentimelineio as otio
    from opentimelineio.opentime import RationalTime, TimeRange

    def span(start: int, end: int) -> TimeRange:
        return TimeRange(RationalTime(start, float(rate)), RationalTime(end - start, float(rate)))

    track = otio.schema.Track(name="scenes", kind=otio.schema.TrackKind.Video)
    for clip in clips:
        media = otio.schema.ExternalReference(quote(film), span(clips[0].start, clips[-1].end))
        track.append(
            otio.schema.Clip(
                name=clip.name,
                media_reference=media,
                source_range=span(clip.start, clip.end),
                metadata={"av_pipelines": {"transition": clip.transition}},
            )
        )
    timeline = otio.schema.Timeline(name=film)
    timeline.global_start_time = RationalTime(0, float(rate))
    timeline.tracks.append(track)
    return otio.adapters.write_to_string(timeline, "otio_json")
