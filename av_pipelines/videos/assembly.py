"""A project's timeline while it is put together: shots, lanes, overlays, captions.

Here: from what a project says and what its sources are to an OTIO timeline. Not here: each of the
parts, the files that are written (``timeline``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio

from av_pipelines.media.confined import ConfinedError
from av_pipelines.media.timecode import from_timecode, may_drop, timecode_rate
from av_pipelines.settings import SettingsError
from av_pipelines.videos import captions as words
from av_pipelines.videos.cut import Caption, Captions, Lane, Overlay, Style, Wave
from av_pipelines.videos.cut_json import to_json
from av_pipelines.videos.cut_of import cut_of
from av_pipelines.videos.edl import SILENT
from av_pipelines.videos.gather import Material
from av_pipelines.videos.given import finish_given
from av_pipelines.videos.otio_items import CMX, OURS
from av_pipelines.videos.otio_time import otio_time
from av_pipelines.videos.project import Project
from av_pipelines.videos.project_parts import Captions as GivenCaptions
from av_pipelines.videos.project_parts import EndCard
from av_pipelines.videos.project_parts import Overlay as GivenOverlay
from av_pipelines.videos.project_parts import Style as GivenStyle
from av_pipelines.videos.settings import TimelineSettings
from av_pipelines.videos.shots import Cutter, Piece, Wrong, read_scenes
from av_pipelines.videos.sources import RenderError
from av_pipelines.videos.survey import Survey, survey
from av_pipelines.videos.tracks import Laid, Tracks, lay, reels

_USUAL_RATE = Fraction(25)  # of a film of stills


class Assembly:
    """One timeline while it is put together."""

    def __init__(
        self, project: Project, material: Material, settings: TimelineSettings, wrong: Wrong
    ) -> None:
        self.project, self.material = project, material
        self.settings, self.wrong = settings, wrong
        given = material.given
        clips = [source.found for source in given.sources] if given else []
        self.found = [*filter(None, material.shots), *clips]
        try:
            self.surveys = survey(one.path for one in [*self.found, *material.lanes])
        except (RenderError, ConfinedError) as error:
            raise wrong(self._field_of(str(error)), str(error)) from None
        self.rate = given.rate if given else self._rate()
        self.cutter = Cutter(self.rate, wrong)
        self.tracks = Tracks(self.rate, reels(self.found, full=settings.reel_names == "full"))
        self.heard: list[words.Heard] = []
        self.languages: list[str] = []

    def _field_of(self, said: str) -> str:
        """Name the first shot or lane whose file a message speaks of."""
        for name, all_found in (("shots", self.material.shots), ("audio", self.material.lanes)):
            for number, one in enumerate(all_found):
                if one and str(one.path) in said:
                    return f"{name}[{number}]"
        return "timeline"

    def _rate(self) -> Fraction:
        asked = self.project.project_settings.fps
        if asked is not None:
            return Fraction(asked)
        films = (self.surveys[one.path] for one in self.found)
        first = next((film for film in films if film.kind == "film"), None)
        return timecode_rate(first.fps, constant=first.constant) if first else _USUAL_RATE

    def timeline(self) -> otio.schema.Timeline:
        """Put it together; ProjectError names what cannot be."""
        cards = [
            self.cutter.card(f"end_cards[{n}]", c) for n, c in enumerate(self.project.end_cards)
        ]
        if self.material.given:
            timeline, laid = self._given(cards)
        else:
            timeline, laid = self._own(cards)
        length = cut_of(timeline).frames
        self._add_lanes(timeline, laid, length)
        self._describe(timeline, laid, length)
        return timeline

    # ------------------------------------------------------------ shots

    def _own(self, cards: Sequence[Piece]) -> tuple[otio.schema.Timeline, list[Laid]]:
        pieces = [
            self._piece(f"shots[{n}]", shot, found)
            for n, (shot, found) in enumerate(
                zip(self.project.shots, self.material.shots, strict=True)
            )
        ]
        laid = lay([*pieces, *cards], self.cutter)
        timeline = otio.schema.Timeline(name=self.project.title)
        timeline.global_start_time = otio_time(self._start(), self.rate)
        timeline.tracks.extend([self.tracks.pictures(laid), self.tracks.sounds(laid)])
        drop = self.settings.drop_frame
        dropping = may_drop(self.rate) if drop is None else drop and may_drop(self.rate)
        silent = not any(isinstance(item, otio.schema.Clip) for item in timeline.tracks[1])
        timeline.metadata[CMX] = {"drop": dropping, "notes": [SILENT] * silent}
        timeline.metadata[OURS] = {"rate": str(self.rate), "silent": silent}
        for one in laid:
            self._hear(one)
        return timeline, laid

    def _piece(self, where: str, shot: Any, found: Any) -> Piece:
        scenes = self.material.scenes.get(shot.media or "")
        piece = self.cutter.piece(
            where,
            shot,
            found,
            self.surveys[found.path] if found else None,
            read_scenes(scenes) if scenes else (),
        )
        if piece.is_sound and piece.speed != 1:
            raise self.wrong(f"{where}.speed", "a sound without a picture keeps its speed")
        return piece

    def _start(self) -> int:
        code = self.settings.start_timecode
        if may_drop(self.rate) and self.settings.drop_frame is not False:
            code = f"{code[:8]};{code[9:]}"
        try:
            return from_timecode(code.replace(";", ":") if not may_drop(self.rate) else code,
                                 timecode_rate(self.rate))  # fmt: skip
        except ValueError as error:
            raise SettingsError(f"timeline.start_timecode: {error}") from None

    def _given(self, cards: Sequence[Piece]) -> tuple[otio.schema.Timeline, list[Laid]]:
        given = self.material.given
        assert given is not None
        timeline = finish_given(given, self.surveys, self.tracks.reel, self.wrong)
        if self.project.audio:
            own = [t for t in timeline.tracks if "lane" not in t.metadata.get(OURS, {})]
            stack = otio.schema.Stack(name="tracks")
            stack.extend([track.deepcopy() for track in own])
            timeline.tracks = stack
        film = next(t for t in timeline.tracks if t.kind == otio.schema.TrackKind.Video)
        at = cut_of(timeline).frames
        laid: list[Laid] = []
        for one in lay(cards, self.cutter):
            overlap = one.piece.transition.frames if one.piece.transition else 0
            at -= 0 if one.at else overlap
            laid.append(replace(one, at=at + one.at))
            if one.piece.transition:
                film.append(self.tracks.transition(one.piece.transition))
            film.append(self.tracks.clip(one))
        return timeline, laid

    # ------------------------------------------------------------ sound

    def _hear(self, laid: Laid) -> None:
        piece = laid.piece
        if isinstance(piece.given, EndCard) or not piece.given.sound or not piece.survey:
            return
        wanted = self.project.captions and self.project.captions.of in ("shots", "all")
        if wanted and piece.found:
            start = piece.start
            end = start + piece.frames / self.rate * piece.speed
            self._said(piece.found.path, piece.survey, start, end, laid.at / self.rate, piece.speed)

    def _said(
        self,
        file: Path,
        source: Survey,
        start: Fraction,
        end: Fraction,
        at: Fraction,
        speed: Fraction,
    ) -> None:
        path = self.material.transcripts.get(file)
        if path is None:
            return
        language, spoken = words.read_transcript(path)
        if language:
            self.languages.append(language)
        late = source.sound_at
        self.heard.append(words.Heard(spoken, start - late, end - late, at, speed))

    def _add_lanes(self, timeline: otio.schema.Timeline, laid: Sequence[Laid], length: int) -> None:
        wanted = self.project.captions and self.project.captions.of in ("lanes", "all")
        for one in laid:
            piece = one.piece
            if piece.is_sound and piece.found and piece.survey and piece.given.sound:  # type: ignore[union-attr]
                lane = Lane(
                    piece.found.path, "effect", one.at / self.rate, piece.start,
                    piece.frames / self.rate, float(piece.given.gain_db),  # type: ignore[union-attr]
                )  # fmt: skip
                timeline.tracks.append(self.tracks.lane(lane, piece.found, piece.survey, length))
        for number, (given, found) in enumerate(
            zip(self.project.audio, self.material.lanes, strict=True)
        ):
            where = f"audio[{number}]"
            source = self.surveys[found.path]
            if source.kind == "still" or (source.kind == "film" and not source.sound):
                raise self.wrong(where, f"{found.name} has no sound")
            lane = self._lane(where, given, found.path, source)
            if lane.at * self.rate >= length:
                raise self.wrong(
                    f"{where}.at", f"the film is only {float(length / self.rate):.3f} s long"
                )
            timeline.tracks.append(self.tracks.lane(lane, found, source, length))
            if wanted:
                end = lane.start + (lane.duration or source.end or Fraction(0))
                self._said(found.path, source, lane.start, end, lane.at, Fraction(1))

    def _lane(self, where: str, given: Any, path: Path, source: Survey) -> Lane:
        at, start, fade_in, fade_out = (
            self.cutter.seconds(f"{where}.{name}", value)
            for name, value in (
                ("at", given.at), ("in", given.in_ or 0),
                ("fade_in", given.fade_in), ("fade_out", given.fade_out),
            )
        )  # fmt: skip
        out = None if given.out is None else self.cutter.seconds(f"{where}.out", given.out)
        end = source.end or Fraction(0)
        for field, value in (("in", start), ("out", out)):
            if value is not None and value > end + Fraction(1, 20):
                raise self.wrong(
                    f"{where}.{field}",
                    f"{float(value):.3f} s is past the end of {path.name}, which is "
                    f"{float(end):.3f} s long",
                )
        if out is not None and out <= start:
            raise self.wrong(f"{where}.out", "it ends before it begins")
        return Lane(
            path, given.role, at, start, None if out is None else out - start,
            float(given.gain_db), float(fade_in), float(fade_out), float(given.duck_db), given.loop,
        )  # fmt: skip

    # ------------------------------------------------------------ what OTIO has no words for

    def _describe(self, timeline: otio.schema.Timeline, laid: Sequence[Laid], length: int) -> None:
        project = self.project
        settings = project.project_settings
        width, height = settings.size
        overlays = [
            self._overlay(f"overlays[{n}]", o, 0, length) for n, o in enumerate(project.overlays)
        ]
        for one in laid:
            overlays += self._overlays(one)
        said: dict[str, Any] = {
            "uuid": str(project.uuid),
            "project_version": project.version,
            "description": project.description,
            "width": width,
            "height": height,
            "loudness_lufs": settings.loudness,
            "quality": settings.quality,
            "overlays": to_json(overlays),
        }
        if project.captions:
            said["captions"] = to_json(self._captions(project.captions, length))
        if project.wave:
            wave = project.wave
            said["wave"] = to_json(Wave(float(wave.top), float(wave.height), wave.colour))
        known = timeline.metadata.get(OURS, {})
        kept = {name: known[name] for name in ("rate", "silent", "flattened") if name in known}
        timeline.metadata[OURS] = kept | {k: v for k, v in said.items() if v not in ("", [])}
        timeline.metadata[OURS]["rate"] = str(self.rate)

    def _overlays(self, laid: Laid) -> Iterable[Overlay]:
        given = laid.piece.given
        if isinstance(given, EndCard):
            yield Overlay(
                "text", laid.at, laid.piece.frames, given.text, anchor="centre",
                style=_style(given.style),
            )  # fmt: skip
            if given.subtitle:
                small = replace(_style(given.style), size=given.style.size * 0.6)
                yield Overlay(
                    "text", laid.at, laid.piece.frames, given.subtitle, anchor="bottom",
                    margin=0.2, style=small,
                )  # fmt: skip
            return
        for number, overlay in enumerate(given.overlays):
            where = f"{laid.piece.where}.overlays[{number}]"
            yield self._overlay(where, overlay, laid.at, laid.at + laid.piece.frames)

    def _overlay(self, where: str, given: GivenOverlay, zero: int, end: int) -> Overlay:
        start = zero + self.cutter.frames(f"{where}.at", given.at)
        if start >= end:
            raise self.wrong(f"{where}.at", f"what it stands in is only {end - zero} frames long")
        last = end
        if given.duration is not None:
            last = min(end, start + self.cutter.frames(f"{where}.duration", given.duration))
        usual = "bottom-left" if given.kind == "lower_third" else "centre"
        return Overlay(
            kind=given.kind,
            start=start,
            frames=max(1, last - start),
            text=given.text,
            subtitle=given.subtitle,
            path=self.material.pictures[given.path] if given.path is not None else None,
            anchor=given.anchor or usual,
            margin=float(given.margin),
            size=given.size,
            opacity=float(given.opacity),
            fade_frames=self.cutter.frames(f"{where}.fade", given.fade),
            style=_style(given.style),
        )

    def _captions(self, given: GivenCaptions, length: int) -> Captions:
        language = given.language or next(iter(self.languages), None)
        if given.cues:
            cues: tuple[Caption, ...] = tuple(
                sorted(
                    (self._cue(f"captions.cues[{n}]", cue) for n, cue in enumerate(given.cues)),
                    key=lambda cue: cue.start,
                )
            )
        else:
            cues = words.make_captions(
                words.on_film(self.heard),
                max_chars=given.max_chars,
                max_lines=given.max_lines,
                until=length / self.rate,
                language=language,
            )
        return Captions(
            cues,
            given.mode,
            given.karaoke,
            language or "und",
            given.anchor,
            float(given.margin),
            _style(given.style),
        )

    def _cue(self, where: str, cue: Any) -> Caption:
        start, end = (
            self.cutter.seconds(f"{where}.{name}", value)
            for name, value in (("start", cue.start), ("end", cue.end))
        )
        if end <= start:
            raise self.wrong(f"{where}.end", "it ends before it begins")
        return Caption(start, end, cue.lines)


def _style(given: GivenStyle) -> Style:
    return Style(**given.model_dump())
