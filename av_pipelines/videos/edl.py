"""Edit decision lists as OpenTimelineIO timelines, and back, without losing a frame.

Here: what events mean (tracks, clips, gaps, transitions, speeds), and making events of a timeline.
Not here: the text of a list (``media.edl``), which files clips show (``resolve``).

A transition of a list begins at the cut and runs into the new clip, so what is read has
``in_offset`` 0. What a list says beyond that (reel, event number, comments) is kept in the clip's
metadata ``cmx_3600`` and written again as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import opentimelineio as otio

from av_pipelines.media.edl import AUXILIARY, BLACK, EditList, EdlError, Event, Speed, at_speed
from av_pipelines.media.timecode import may_drop, nominal
from av_pipelines.videos.otio_items import (
    CMX,
    OURS,
    Placed,
    colour_reference,
    placed,
    rate_of,
    speed_effect,
)
from av_pipelines.videos.otio_time import exact_text, frames, otio_range, otio_time

if TYPE_CHECKING:
    from opentimelineio.schema import Clip, Timeline, Track

FADE = "* EFFECT NAME: FADE THROUGH BLACK"
"""How a list says of a dissolve that it goes through black."""

SILENT = "* SOUND: NONE"
"""How a list of ours says that nothing is heard; one that just names no sound leaves it open."""

_NOTE = re.compile(r"\*?\s*(?P<name>[A-Z][A-Z _]*[A-Z]):\s*(?P<value>.*)")
_LOCATOR = re.compile(r"\*?\s*LOC:\s*(?P<at>\S+)\s+(?P<colour>\w+)\s*(?P<text>.*)")
_SPEED = "* SPEED:"


# ---------------------------------------------------------------------- reading


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
    notes = tuple(note for note in event.notes if not note.startswith(_SPEED))
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
    if speed is not None and source != _source_frames(event.frames, speed, rate):
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


# ---------------------------------------------------------------------- writing


def to_edits(timeline: Timeline, *, drop: bool | None = None) -> EditList:
    """Give the list of a timeline: its first picture track and its own sound.

    Args:
        timeline: tracks that are marked as lanes are left out.
        drop: drop-frame; None: as it was read, else where it is usual.

    Raises:
        ValueError: something in it cannot be said, naming it.
    """
    rate = rate_of(timeline)
    said = timeline.metadata.get(CMX, {})
    usual = said.get("drop", may_drop(rate))
    dropping = may_drop(rate) and (usual if drop is None else drop)
    start = timeline.global_start_time
    zero = round(frames(start, rate)) if start else 0
    groups: list[_Group] = []
    merged: dict[tuple[Event, ...], _Group] = {}
    for channel, track in _channels(timeline):
        for group in _groups(track, channel, zero, rate):
            twin = merged.get(group.events) if not channel.startswith("V") else None
            if twin:  # the sound of a picture, or of another channel
                twin.channels.append(channel)
            else:
                groups.append(group)
                merged.setdefault(group.events, group)
    if not groups:
        raise ValueError(f"{timeline.name!r} has nothing that a list can say")
    numbered = all(group.number for group in groups)
    groups.sort(key=lambda g: (g.at, int(g.number) if numbered else 0))
    events = [
        replace(event, number=event.number if numbered else f"{count:03}",
                channels=tuple(group.channels))
        for count, group in enumerate(groups, 1)
        for event in group.events
    ]  # fmt: skip
    return EditList(
        timeline.name or "Untitled", tuple(events), dropping, tuple(said.get("notes", ()))
    )


@dataclass
class _Group:
    """The lines of one event."""

    events: tuple[Event, ...]
    channels: list[str]

    @property
    def number(self) -> str:
        return self.events[-1].number

    @property
    def at(self) -> int:
        return self.events[-1].record_in


def _channels(timeline: Timeline) -> Iterator[tuple[str, Track]]:
    """Name the tracks that a list can hold."""
    sounds = 0
    videos = 0
    for track in timeline.tracks:
        if track.metadata.get(OURS, {}).get("lane") or not isinstance(track, otio.schema.Track):
            continue
        if track.kind == otio.schema.TrackKind.Video:
            videos += 1
            yield ("V" if videos == 1 else f"V{videos}"), track
        elif track.kind == otio.schema.TrackKind.Audio:
            sounds += 1
            named = re.fullmatch(r"A\d+", track.name or "")
            yield (track.name if named else f"A{sounds}"), track


def _groups(track: Track, channel: str, zero: int, rate: Fraction) -> Iterator[_Group]:
    before: Event | None = None
    empty: Event | None = None
    name = ""
    for item in placed(track, rate):
        if item.clip is None and not item.overlap:
            before = None  # a gap: the record just goes on
            continue
        event = _event(item, zero, rate, channel, name)
        name = item.clip.name if item.clip else ""
        lines = [event]
        if item.overlap:
            lines.insert(0, empty or _from_line(before, event))
        empty = None if event.frames else replace(event, speeds=(), notes=())
        if not empty:
            yield from _split(lines, before, channel)
        before = event


def _split(lines: list[Event], before: Event | None, channel: str) -> Iterator[_Group]:
    """A "from" line is left out where the clip before is a line of the same event itself."""
    if len(lines) == 2 and before and before.number and before.number == lines[1].number:
        lines = lines[1:] if before.frames else lines
    yield _Group(tuple(lines), [channel])


def _from_line(before: Event | None, event: Event) -> Event:
    """The first line of a transition: where the clip before it is at that moment."""
    at = before.source_out if before else 0
    reel = before.reel if before else BLACK
    return Event(event.number, reel, (), "C", at, at, event.record_in, event.record_in)


def _event(item: Placed, zero: int, rate: Fraction, channel: str, before: str) -> Event:
    clip = item.clip
    said = clip.metadata.get(CMX, {}) if clip else {}
    black = clip is None or isinstance(clip.media_reference, otio.schema.GeneratorReference)
    reel = BLACK if black else said.get("reel") or reel_name(clip.name if clip else "")
    start = max(0, math.ceil(item.start - Fraction(1, 1000)))
    source = _source_frames(item.length, item.speed, rate)
    if said.get("record_frames") == item.length:
        source = said["source_frames"]
    kind = "C"
    if item.overlap and item.transition:
        wipe = item.transition.transition_type == "SMPTE_Wipe"
        kind = item.transition.metadata.get(CMX, {}).get("transition") or ("W001" if wipe else "D")
    notes = list(said["notes"]) if "notes" in said else _notes(item, before, black)
    speeds = ()
    if item.speed != 1:
        fps = item.speed * nominal(rate)
        speeds = (Speed(reel, fps),)
        if fps * 10 != round(fps * 10):
            notes.insert(0, f"{_SPEED} {item.speed}")
    return Event(
        said.get("event", ""), reel, (), kind, start, start + source,
        zero + item.at, zero + item.at + item.length, item.overlap, speeds, tuple(notes),
    )  # fmt: skip


def _notes(item: Placed, before: str, black: bool) -> list[str]:
    clip = item.clip
    notes = []
    if item.overlap:
        notes += [f"* FROM CLIP NAME: {before}"] * bool(before)
        notes += [f"* TO CLIP NAME: {clip.name}"] if clip and clip.name else []
        if item.transition and item.transition.metadata.get(OURS, {}).get("kind") == "fade":
            notes.append(FADE)
    elif clip and clip.name:
        notes.append(f"* FROM CLIP NAME: {clip.name}")
    if clip and not black and (file := clip.metadata.get(CMX, {}).get("source_file")):
        notes.append(f"* SOURCE FILE: {file}")
    if clip and isinstance(clip.media_reference, otio.schema.GeneratorReference):
        colour = clip.media_reference.parameters.get("colour", "#000000")
        notes += [f"* COLOUR: {colour}"] * (colour != "#000000")
    return notes


def _source_frames(length: int, speed: Fraction, rate: Fraction) -> int:
    return (
        length if speed == 1 else at_speed(length, abs(speed) * nominal(rate), rate) * bool(length)
    )


def reel_name(name: str, taken: Sequence[str] = (), longest: int = 8) -> str:
    """Give a reel name of capital letters, digits and ``_`` that is not taken."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:longest] or AUXILIARY
    reserved = {*taken, BLACK, "BLACK", "BARS"}
    count, found = 1, plain
    while found in reserved:
        count += 1
        found = f"{plain[: longest - len(str(count))]}{count}"
    return found
