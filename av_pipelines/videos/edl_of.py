"""OpenTimelineIO timelines as edit decision lists, without losing a frame.

Here: making events of a timeline, and the names that lists have for sources. Not here: what events
mean (``edl``), the text of a list (``media.edl``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import opentimelineio as otio

from av_pipelines.media.edl import AUXILIARY, BLACK, EditList, Event, Speed
from av_pipelines.media.timecode import may_drop, nominal
from av_pipelines.videos.edl import SPEED, source_frames
from av_pipelines.videos.otio_items import CMX, OURS, Placed, placed, rate_of
from av_pipelines.videos.otio_time import frames

if TYPE_CHECKING:
    from opentimelineio.schema import Timeline, Track

FADE = "* EFFECT NAME: FADE THROUGH BLACK"
"""How a list says of a dissolve that it goes through black."""


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
    source = source_frames(item.length, item.speed, rate)
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
            notes.insert(0, f"{SPEED} {item.speed}")
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


def reel_name(name: str, taken: Sequence[str] = (), longest: int = 8) -> str:
    """Give a reel name of capital letters, digits and ``_`` that is not taken."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:longest] or AUXILIARY
    reserved = {*taken, BLACK, "BLACK", "BARS"}
    count, found = 1, plain
    while found in reserved:
        count += 1
        found = f"{plain[: longest - len(str(count))]}{count}"
    return found
