"""What is in an OpenTimelineIO timeline: rate, clips at their places, speeds, plain colours.

Here: reading these exactly, from our timelines and from any editor's, and the pieces that ours are
made of. Not here: lists (``edl``), the film (``cut_of``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import opentimelineio as otio

from av_pipelines.videos.otio_time import exact_number, exact_rate, exact_text, frames, otio_range

if TYPE_CHECKING:
    from opentimelineio.schema import Clip, Timeline, Track

CMX, OURS = "cmx_3600", "av_pipelines"
"""Names of our metadata in a timeline."""


def speed_effect(speed: Fraction) -> otio.schema.Effect:
    """Give a speed as an effect; 0 holds the first picture."""
    exact = {OURS: {"speed": str(speed)}}
    if speed == 0:
        return otio.schema.FreezeFrame(metadata=exact)
    return otio.schema.LinearTimeWarp(time_scalar=float(speed), metadata=exact)


def speed_of(clip: Clip) -> Fraction:
    """Give the speed of a clip; ValueError where it is not constant."""
    speed = Fraction(1)
    for effect in clip.effects:
        if isinstance(effect, otio.schema.FreezeFrame):
            return Fraction(0)
        if isinstance(effect, otio.schema.LinearTimeWarp):
            said = effect.metadata.get(OURS, {}).get("speed")
            exact = exact_text(str(said)) if said else exact_number(effect.time_scalar)
            close = abs(float(exact) - effect.time_scalar) < 1e-6  # else it was changed since
            speed *= exact if close else exact_number(effect.time_scalar)
        elif isinstance(effect, otio.schema.TimeEffect):
            raise ValueError(f"its time effect {effect.effect_name or effect.name!r} is not linear")
    return speed


def colour_reference(colour: str) -> otio.schema.GeneratorReference:
    """Give a plain colour as a source."""
    return otio.schema.GeneratorReference(
        generator_kind="SolidColor", parameters={"colour": colour}
    )


def is_plain(item: otio.core.Item) -> bool:
    """Whether an item shows no source: a gap, or a colour."""
    return not isinstance(item, otio.schema.Clip) or isinstance(
        item.media_reference, otio.schema.GeneratorReference
    )


def rate_of(timeline: Timeline) -> Fraction:
    """Give the frame rate of a timeline: the one it says, else that of its first clip.

    Raises:
        ValueError: nothing in it says one.
    """
    said = timeline.metadata.get(OURS, {}).get("rate")
    if said:
        return exact_text(str(said))
    for track in [*timeline.video_tracks(), *timeline.tracks]:
        for item in track:
            if isinstance(item, otio.schema.Clip | otio.schema.Gap) and item.duration().value:
                return exact_rate(item.duration().rate)
    if timeline.global_start_time:
        return exact_rate(timeline.global_start_time.rate)
    raise ValueError("nothing in it says a frame rate")


@dataclass(frozen=True)
class Placed:
    """An item of a track with its place in the record, transitions made to begin at the cut.

    ``clip`` None: a gap. ``start`` is in frames of the source's clock, of the timeline's rate.
    ``length`` does not hold the next item's transition, in which this one still goes on.
    """

    clip: Clip | None
    at: int
    length: int
    start: Fraction
    speed: Fraction
    transition: otio.schema.Transition | None = None
    overlap: int = 0
    """Frames of the transition into it."""


def placed(track: Track, rate: Fraction) -> Iterator[Placed]:
    """Give the items of a track in order, in frames from its beginning.

    Raises:
        ValueError: it holds what has no place, naming it.
    """
    items = list(track)
    if items and isinstance(items[-1], otio.schema.Transition):  # it leads to black
        items.append(otio.schema.Gap(source_range=otio_range(0, 0, rate)))
    at = Fraction(0)
    for index, item in enumerate(items):
        if isinstance(item, otio.schema.Transition):
            continue
        if not isinstance(item, otio.schema.Clip | otio.schema.Gap):
            raise ValueError(
                f"{item.name or 'an item'!r} is a {item.schema_name()}, a timeline in a timeline: "
                "flatten it in the program it comes from"
            )
        into = items[index - 1] if index else None
        out_of = items[index + 1] if index + 1 < len(items) else None
        into = into if isinstance(into, otio.schema.Transition) else None
        out_of = out_of if isinstance(out_of, otio.schema.Transition) else None
        early = frames(into.in_offset, rate) if into and at else Fraction(0)
        late = frames(out_of.in_offset, rate) if out_of else Fraction(0)
        span = item.trimmed_range()
        length = frames(span.duration, rate)
        speed = speed_of(item) if isinstance(item, otio.schema.Clip) else Fraction(1)
        begins, ends = round(at - early), round(at + length - late)
        if ends < begins:
            raise ValueError(f"{item.name!r} is shorter than its transitions")
        overlap = round(early + frames(into.out_offset, rate)) if into else 0
        if isinstance(item, otio.schema.Gap):
            overlap = min(overlap, ends - begins)
        yield Placed(
            clip=item if isinstance(item, otio.schema.Clip) else None,
            at=begins,
            length=ends - begins,
            start=Fraction(0) if is_plain(item) else frames(span.start_time, rate) - early * speed,
            speed=speed,
            transition=into,
            overlap=overlap,
        )
        at += length
