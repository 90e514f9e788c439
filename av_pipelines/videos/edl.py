"""Edit decision lists as OpenTimelineIO timelines, without losing a frame.

Here: what events mean (tracks, clips, gaps, transitions, speeds). Not here: making events of a
timeline (``edl_of``), the text of a list (``media.edl``), which files clips show (``resolve``).

A transition of a list begins at the cut and runs into the new clip, so what is read has
``in_offset`` 0. What a list says beyond that (reel, event number, comments) is kept in the clip's
metadata ``cmx_3600`` and written again as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import opentimelineio as otio

from av_pipelines.media.edl import BLACK, EditList, EdlError, Event, at_speed
from av_pipelines.media.timecode import nominal
from av_pipelines.videos.otio_items import CMX, OURS, colour_reference, speed_effect
from av_pipelines.videos.otio_time import exact_text, otio_range, otio_time

if TYPE_CHECKING:
    from opentimelineio.schema import Clip, Timeline

SILENT = "* SOUND: NONE"
"""How a list of ours says that nothing is heard; one that just names no sound leaves it open."""

SPEED = "* SPEED:"
"""How a list of ours says a speed exactly; M2 has one decimal."""

_NOTE = re.compile(r"\*?\s*(?P<name>[A-Z][A-Z _]*[A-Z]):\s*(?P<value>.*)")
_LOCATOR = re.compile(r"\*?\s*LOC:\s*(?P<at>\S+)\s+(?P<colour>\w+)\s*(?P<text>.*)")


def to_timeline(edits: EditList, rate: Fraction, where: str = "EDL") -> Timeline:
    """Give the timeline that a list says: one track for each channel.

    Raises:
        EdlError: naming the line of an event that cannot be.
    """
    timeline = otio.schema.Timeline(name=edits.title)
    first = min(event.record_in for event in edits.events)
    timeline.global_start_time = otio_time(first, rate)
    timeline.metadata[CMX] = {"drop": edits.drop, "notes": list(edits.notes)}
    timeline.metadata[OURS] = {"rate": str(rate), "silent": SILENT in edits.notes}
    lanes: dict[str, _Lane] = {}
    carried: tuple[str, ...] = ()
    events = _in_record_order(edits.events)
    for index, event in enumerate(events):
        before = events[index - 1] if index else None
        after = events[index + 1] if index + 1 < len(events) else None
        if event.kind.startswith("K"):
            raise EdlError(f"{where}:{event.line}: keys ({event.kind}) cannot be rendered")
        if event.kind != "C" and (before is None or before.number != event.number):
            raise EdlError(
                f"{where}:{event.line}: event {event.number} comes in with a {event.kind}, but no "
                "line of that event says from what"
            )
        if event.transition > event.frames:
            raise EdlError(
                f"{where}:{event.line}: the transition takes {event.transition} frames, its event "
                f"has {event.frames}"
            )
        paired = after is not None and after.number == event.number and after.kind != "C"
        if not event.frames and event.kind == "C":
            carried = event.notes
            if not paired:
                continue
        elif carried:
            event, carried = replace(event, notes=(*carried, *event.notes)), ()
        for channel in event.channels:
            if channel not in lanes:
                lanes[channel] = _Lane(channel, first, rate, where)
            lanes[channel].add(event)
    if not any(lane.last for lane in lanes.values()):
        raise EdlError(f"{where}: no event of it has a length")
    for channel in sorted(lanes, key=lambda name: (name[0] != "V", len(name), name)):
        timeline.tracks.append(lanes[channel].track)
    return timeline


def _in_record_order(events: Sequence[Event]) -> list[Event]:
    """Sort events that are listed by source (B and C mode); the lines of one stay together."""
    groups: list[list[Event]] = []
    for event in events:
        if event.kind != "C" and groups and groups[-1][-1].number == event.number:
            groups[-1].append(event)
        else:
            groups.append([event])
    groups.sort(key=lambda group: group[0].record_in)
    return [event for group in groups for event in group]


class _Lane:
    """One track while it is filled."""

    def __init__(self, channel: str, start: int, rate: Fraction, where: str) -> None:
        kind = otio.schema.TrackKind
        video = channel.startswith("V")
        self.track = otio.schema.Track(name=channel, kind=kind.Video if video else kind.Audio)
        self.end, self.rate, self.where = start, rate, where
        self.last: Event | None = None

    def add(self, event: Event) -> None:
        if event.record_in < self.end:
            raise EdlError(
                f"{self.where}:{event.line}: event {event.number} begins in the record "
                f"{self.end - event.record_in} frames before the one before it ends"
            )
        goes_on = (
            self.last is not None
            and self.last.reel == event.reel
            and self.last.source_out == event.source_in
            and self.last.record_out == event.record_in
        )
        if not event.frames and goes_on:
            return  # the "from" line of a transition: it says the clip before once more
        if event.record_in > self.end:
            gap = otio_range(0, event.record_in - self.end, self.rate)
            self.track.append(otio.schema.Gap(source_range=gap))
        if event.kind != "C":
            self.track.append(_transition(event, self.rate))
        self.track.append(_clip(event, self.rate, self.where))
        self.end, self.last = event.record_out, event


def _transition(event: Event, rate: Fraction) -> otio.schema.Transition:
    types = otio.schema.TransitionTypes
    wipe = event.kind.startswith("W")
    return otio.schema.Transition(
        transition_type="SMPTE_Wipe" if wipe else types.SMPTE_Dissolve,
        in_offset=otio_time(0, rate),
        out_offset=otio_time(event.transition, rate),
        metadata={
            CMX: {"transition": event.kind},
            OURS: {"kind": "wipe" if wipe else "fade" if _fades(event) else "dissolve"},
        },
    )


def _fades(event: Event) -> bool:
    name = (values(event.notes, "EFFECT NAME") or [""])[0].upper()
    return "BLACK" in name and ("FADE" in name or "DIP" in name)


def _clip(event: Event, rate: Fraction, where: str) -> Clip:
    notes = tuple(note for note in event.notes if not note.startswith(SPEED))
    said: dict[str, Any] = {"reel": event.reel, "event": event.number, "notes": list(notes)}
    source = event.source_out - event.source_in
    speed = _speed_of(event, rate)
    if speed is None and source != event.frames and event.reel != BLACK:
        raise EdlError(
            f"{where}:{event.line}: event {event.number} takes {source} frames of its source for "
            f"{event.frames} of the record, and no M2 line says at which speed"
        )
    names = values(notes, "TO CLIP NAME") if event.kind != "C" else []
    names += values(notes, "FROM CLIP NAME")
    clip = otio.schema.Clip(
        name=names[0] if names else event.reel,
        source_range=otio_range(event.source_in, event.frames, rate),
        metadata={CMX: said},
    )
    if speed is not None and speed != 1:
        clip.effects.append(speed_effect(speed))
    if speed is not None and source != source_frames(event.frames, speed, rate):
        said |= {"source_frames": source, "record_frames": event.frames}
        clip.metadata[CMX] = said
    files = [v for n in ("SOURCE FILE", "FROM FILE", "FROM CLIP") for v in values(notes, n)]
    if event.reel in (BLACK, "BLACK"):
        colour = (values(notes, "COLOUR") or ["#000000"])[0]
        clip.media_reference = colour_reference(colour)
    elif files:
        clip.media_reference = otio.schema.ExternalReference(files[0])
    _markers(clip, notes, rate)
    return clip


def _markers(clip: Clip, notes: Sequence[str], rate: Fraction) -> None:
    """Add the locators and the colour decision (ASC CDL) that comments say."""
    from av_pipelines.media.timecode import from_timecode

    for match in filter(None, map(_LOCATOR.match, notes)):
        try:
            at = from_timecode(match["at"], rate)
        except ValueError:
            continue  # a comment is free to say anything
        colour = match["colour"].upper()
        clip.markers.append(
            otio.schema.Marker(
                name=match["text"].strip(),
                marked_range=otio_range(at, 0, rate),
                color=colour if hasattr(otio.schema.MarkerColor, colour) else "RED",
            )
        )
    sop = [re.findall(r"-?\d*\.?\d+", v) for v in values(notes, "ASC_SOP")]
    sat = [re.findall(r"\d*\.?\d+", v) for v in values(notes, "ASC_SAT")]
    if sop and len(sop[0]) == 9:
        numbers = [float(n) for n in sop[0]]
        parts = {"slope": numbers[:3], "offset": numbers[3:6], "power": numbers[6:]}
        clip.metadata["cdl"] = {
            "asc_sop": parts, "asc_sat": float(sat[0][0]) if sat and sat[0] else 1.0,
        }  # fmt: skip


def values(notes: Sequence[str], name: str) -> list[str]:
    """Give what comments of a name say: ``* FROM CLIP NAME: x``."""
    found = (_NOTE.fullmatch(note) for note in notes)
    return [match["value"].strip() for match in found if match and match["name"] == name]


def _speed_of(event: Event, rate: Fraction) -> Fraction | None:
    """Give the speed of an event; the exact one of our comment where it agrees with M2."""
    mine = [s for s in event.speeds if s.reel[:8].rstrip() == event.reel[:8].rstrip()]
    if not mine and event.kind == "C":
        mine = list(event.speeds)
    if not mine:
        return None
    speed = mine[-1].fps / nominal(rate)
    for note in values(event.notes, "SPEED"):
        try:
            exact = exact_text(note)
        except ValueError:  # a comment is free to say anything
            continue
        if abs(exact * nominal(rate) - mine[-1].fps) <= Fraction(1, 20):
            return exact
    return speed


def source_frames(length: int, speed: Fraction, rate: Fraction) -> int:
    """Give the frames of the source that so many of the record take."""
    return (
        length if speed == 1 else at_speed(length, abs(speed) * nominal(rate), rate) * bool(length)
    )
