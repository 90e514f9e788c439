"""The tracks of a project's timeline: clips, gaps, transitions and lanes of sound, as OTIO.

Here: laying pieces one after the other, and what each clip says beyond OTIO's own words. Not here:
cutting pieces out of sources (``shots``), the whole timeline (``timeline``), reading it
(``cut_of``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from av_pipelines.videos.cut import Framing, Lane, Transition
from av_pipelines.videos.cut_json import to_json
from av_pipelines.videos.edl_of import reel_name
from av_pipelines.videos.otio_items import CMX, OURS, colour_reference, speed_effect
from av_pipelines.videos.otio_time import otio_range, otio_time
from av_pipelines.videos.project_file import ProjectError
from av_pipelines.videos.project_parts import EndCard
from av_pipelines.videos.project_values import fraction
from av_pipelines.videos.resolve import Found
from av_pipelines.videos.shots import Cutter, Piece
from av_pipelines.videos.survey import Survey

BLACK = "#000000"


@dataclass(frozen=True)
class Laid:
    """A piece at its place in the film."""

    piece: Piece
    at: int
    """First frame, its transition included."""
    length: int
    """Frames up to where the next one begins."""


def lay(pieces: Sequence[Piece], cutter: Cutter) -> list[Laid]:
    """Put pieces one after the other, transitions overlapping.

    Raises:
        ProjectError: a piece is shorter than its transitions, or there is none.
    """
    laid: list[Laid] = []
    at = 0
    for number, piece in enumerate(pieces):
        following = pieces[number + 1].transition if number + 1 < len(pieces) else None
        into, out_of = (t.frames if t else 0 for t in (piece.transition, following))
        if into + out_of > piece.frames:
            raise cutter.wrong(
                f"{piece.where}",
                f"it has {piece.frames} frames, its transitions take {into} and {out_of}: make it "
                "longer, or them shorter",
            )
        laid.append(Laid(piece, at, piece.frames - out_of))
        at += piece.frames - out_of
    return laid


def reels(found: Sequence[Found], *, full: bool) -> dict[Path, str]:
    """Give every source a reel name of its own."""
    names: dict[Path, str] = {}
    for one in found:
        if one.path not in names:
            stem = one.held.key if one.held else one.path.stem
            names[one.path] = reel_name(stem, list(names.values()), 32 if full else 8)
    return names


class Tracks:
    """Makes the tracks of a film.

    Args:
        rate: of the film.
        reel: reel names by file.
    """

    def __init__(self, rate: Fraction, reel: Mapping[Path, str]) -> None:
        self.rate, self.reel = rate, reel

    def pictures(self, laid: Sequence[Laid]) -> otio.schema.Track:
        """Lay what is seen."""
        track = otio.schema.Track(name="V", kind=otio.schema.TrackKind.Video)
        for number, one in enumerate(laid):
            if transition := one.piece.transition:
                if not number:
                    track.append(self._black())
                    fades = transition.kind == "fade"  # out of black, not through it
                    transition = Transition("dissolve", transition.frames) if fades else transition
                track.append(self.transition(transition))
            track.append(self.clip(one))
        return track

    def sounds(self, laid: Sequence[Laid]) -> otio.schema.Track:
        """Lay what is heard of the shots themselves."""
        track = otio.schema.Track(name="A1", kind=otio.schema.TrackKind.Audio)
        before = False
        for one in laid:
            heard = is_heard(one.piece)
            if heard and before and one.piece.transition:
                track.append(self.transition(one.piece.transition))
            if heard:
                track.append(self.clip(one))
            else:
                gap = otio_range(0, one.length, self.rate)
                track.append(otio.schema.Gap(source_range=gap))
            before = heard
        return track

    def _black(self) -> otio.schema.Clip:
        return otio.schema.Clip(
            name="black",
            media_reference=colour_reference(BLACK),
            source_range=otio_range(0, 0, self.rate),
        )

    def transition(self, given: Transition) -> otio.schema.Transition:
        """Make a transition that begins at the cut, as lists (EDL) have it."""
        types = otio.schema.TransitionTypes
        wipe = given.kind == "wipe"
        return otio.schema.Transition(
            transition_type="SMPTE_Wipe" if wipe else types.SMPTE_Dissolve,
            in_offset=otio_time(0, self.rate),
            out_offset=otio_time(given.frames, self.rate),
            metadata={OURS: {"kind": given.kind}},
        )

    def clip(self, laid: Laid) -> otio.schema.Clip:
        """Make the clip of a piece."""
        piece = laid.piece
        if piece.found is None or piece.survey is None or piece.is_sound:
            return otio.schema.Clip(
                name=self.name(piece),
                media_reference=colour_reference(_colour(piece)),
                source_range=otio_range(0, laid.length, self.rate),
                metadata={OURS: _said(piece, self.rate)},
            )
        found, survey = piece.found, piece.survey
        clip = otio.schema.Clip(
            name=self.name(piece),
            media_reference=reference(found, survey, self.rate),
            source_range=self.source_range(piece, laid.length),
            metadata={
                CMX: {"reel": self.reel[found.path], "source_file": found.label},
                OURS: {**_said(piece, self.rate), **described(found, survey, piece.start)},
            },
        )
        if piece.speed != 1:
            clip.effects.append(speed_effect(piece.speed))
        return clip

    def source_range(self, piece: Piece, length: int) -> otio.opentime.TimeRange:
        """Give the source's part: its start in the source's own frames, where they are even."""
        survey = piece.survey
        if survey is None or survey.kind == "still":
            return otio_range(0, length, self.rate)
        if survey.constant and survey.fps != self.rate:
            start = otio_time(survey.zero + piece.start * survey.fps, survey.fps)
            return otio.opentime.TimeRange(start, otio_time(length, self.rate))
        zero = survey.zero / survey.clock
        return otio_range((zero + piece.start) * self.rate, length, self.rate)

    @staticmethod
    def name(piece: Piece) -> str:
        """What to call a piece's clip."""
        if isinstance(piece.given, EndCard):
            return "end card"
        return piece.given.name or (piece.found.name if piece.found else "colour")

    def lane(self, lane: Lane, found: Found, survey: Survey, length: int) -> otio.schema.Track:
        """Make the track of a lane: silence up to where it begins, and the sound."""
        track = otio.schema.Track(name=lane.role, kind=otio.schema.TrackKind.Audio)
        if lane.at:
            gap = otio_range(0, lane.at * self.rate, self.rate)
            track.append(otio.schema.Gap(source_range=gap))
        whole = (survey.end or Fraction(0)) - lane.start
        left = max(Fraction(0), length / self.rate - lane.at)
        shown = min(whole if lane.duration is None else lane.duration, whole, left)
        track.append(
            otio.schema.Clip(
                name=found.name,
                media_reference=reference(found, survey, self.rate),
                source_range=otio_range(lane.start * self.rate, shown * self.rate, self.rate),
                metadata={OURS: described(found, survey, lane.start)},
            )
        )
        track.metadata[OURS] = {"lane": to_json(replace(lane, path=Path("-")))}
        return track


def is_heard(piece: Piece) -> bool:
    """Whether a shot's own sound is heard."""
    if isinstance(piece.given, EndCard) or piece.survey is None:
        return False
    return piece.given.sound and piece.is_film and piece.survey.sound and piece.speed > 0


def reference(found: Found, survey: Survey, rate: Fraction) -> otio.schema.ExternalReference:
    """Name a file, and the range of it that there is, on its own clock."""
    clock, zero = (survey.fps, survey.zero) if survey.constant else (rate, 0)
    span = None
    if survey.end is not None:
        zero = zero if survey.constant else survey.zero / survey.clock * rate
        span = otio_range(zero, survey.end * clock, clock)
    return otio.schema.ExternalReference(found.path.as_uri(), span)


def described(found: Found, survey: Survey, start: Fraction) -> dict[str, Any]:
    """Say of a clip what OTIO has no words for, as far as it is the source's."""
    held = found.held
    artifact = {"asset": held.asset, "key": held.key, "version": held.version} if held else {}
    return {"label": found.label, "kind": survey.kind, "start": str(start), **artifact}


def _colour(piece: Piece) -> str:
    return (piece.given.colour or BLACK) if not piece.is_sound else BLACK


def _said(piece: Piece, rate: Fraction) -> dict[str, Any]:
    shot = piece.given
    if isinstance(shot, EndCard):
        return {"name": "end card"}
    said: dict[str, Any] = {"fit": shot.fit, "name": shot.name, "shot": piece.where}
    cutter = Cutter(rate, lambda where, what: ProjectError(f"{where}: {what}"))
    points = [
        Framing(cutter.seconds(f"{piece.where}.framing", p.at), p.x, p.y, p.zoom)
        for p in shot.framing
    ]
    if points:
        said["framing"] = to_json(tuple(sorted(points, key=lambda p: p.at)))
    if shot.gain_db:
        said["gain_db"] = float(fraction(shot.gain_db))
    if shot.effects:
        said["effects"] = [[effect.name, dict(effect.arguments)] for effect in shot.effects]
    return said
