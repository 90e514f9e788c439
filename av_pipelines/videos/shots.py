"""From what a project says of a shot to frames: where in its source it begins, how long it lasts.

Here: times, frames, timecodes and scene numbers against what the source really has, with errors
that name the shot and the field. Not here: finding sources (``resolve``), tracks (``timeline``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.media.timecode import from_timecode, timecode_rate
from av_pipelines.videos.cut import Transition
from av_pipelines.videos.project_file import ProjectError
from av_pipelines.videos.project_parts import EndCard, Shot
from av_pipelines.videos.project_parts import Transition as GivenTransition
from av_pipelines.videos.project_values import Frame, Scene, fraction, is_timecode, seconds_of
from av_pipelines.videos.resolve import Found
from av_pipelines.videos.survey import Survey

Wrong = Callable[[str, str], ProjectError]
"""Field, what is wrong → the error."""


@dataclass(frozen=True)
class Piece:
    """A shot in frames of the film."""

    where: str
    """``shots[2]``, for messages."""
    given: Shot | EndCard
    frames: int
    """On the screen, transitions on both sides included."""
    start: Fraction = Fraction(0)
    """Seconds from the source's first picture."""
    speed: Fraction = Fraction(1)
    found: Found | None = None
    survey: Survey | None = None
    transition: Transition | None = None

    @property
    def is_film(self) -> bool:
        """Whether it is a stretch of a film."""
        return self.survey is not None and self.survey.kind == "film"

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to see in its source."""
        return self.survey is not None and self.survey.kind == "sound"


def frames_of(length: Any, rate: Fraction) -> int:
    """Give a length in frames of the film; ValueError if it is a timecode that is not."""
    return round(film_seconds(length, rate) * rate)


def film_seconds(length: Any, rate: Fraction) -> Fraction:
    """Give a length in seconds; frames and timecodes count those of the film."""
    if isinstance(length, Frame):
        return length.frame / rate
    if isinstance(length, str):
        if is_timecode(length):
            return from_timecode(length, timecode_rate(rate)) / rate
        return seconds_of(length)
    return fraction(length)


def read_scenes(path: Path) -> list[tuple[int, int]]:
    """Read the frames of each scene, ``[start, end)``, out of ``scenes.json``."""
    scenes = json.loads(path.read_text("utf-8"))["scenes"]
    return [(int(scene["start_frame"]), int(scene["end_frame"])) for scene in scenes]


class Cutter:
    """Cuts shots out of their sources.

    Args:
        rate: of the film.
        wrong: makes an error of a field.
    """

    def __init__(self, rate: Fraction, wrong: Wrong) -> None:
        self.rate, self.wrong = rate, wrong

    def piece(
        self,
        where: str,
        shot: Shot,
        found: Found | None,
        survey: Survey | None,
        scenes: Sequence[tuple[int, int]],
    ) -> Piece:
        """Cut a shot; ProjectError names the field that cannot be."""
        speed = fraction(shot.speed)
        transition = self._transition(f"{where}.transition", shot.transition)
        if survey is None or survey.kind == "still":
            for name, value in (("in", shot.in_), ("out", shot.out)):
                if value is not None:
                    raise self.wrong(f"{where}.{name}", "a picture that stands has no time in it")
            if shot.duration is None:
                raise self.wrong(f"{where}.duration", "a still has no length of its own: give one")
            frames = self._length(f"{where}.duration", shot.duration)
            return Piece(where, shot, frames, found=found, survey=survey, transition=transition)
        source = _Part(self, where, found.name if found else "", survey, scenes)
        start, end = source.span(shot)
        if shot.duration is not None:
            frames = self._length(f"{where}.duration", shot.duration)
            source.check("duration", shot.duration, start + frames / self.rate * speed)
        else:
            frames = max(1, round((end - start) / speed * self.rate))
        return Piece(where, shot, frames, start, speed, found, survey, transition)

    def card(self, where: str, card: EndCard) -> Piece:
        """Give an end card as a piece."""
        frames = self._length(f"{where}.duration", card.duration)
        transition = self._transition(f"{where}.transition", card.transition)
        return Piece(where, card, frames, transition=transition)

    def _length(self, where: str, length: Any) -> int:
        frames = self.frames(where, length)
        if frames < 1:
            raise self.wrong(where, f"{shown(length)} is shorter than a frame of the film")
        return frames

    def frames(self, where: str, length: Any) -> int:
        """Give a length in frames of the film."""
        return round(self.seconds(where, length) * self.rate)

    def seconds(self, where: str, length: Any) -> Fraction:
        """Give a length in seconds."""
        try:
            return film_seconds(length, self.rate)
        except ValueError as error:
            raise self.wrong(where, str(error)) from None

    def _transition(self, where: str, given: GivenTransition | None) -> Transition | None:
        if given is None or given.kind == "cut":
            return None
        frames = self.frames(f"{where}.duration", given.duration)
        return Transition(given.kind, frames) if frames else None


class _Part:
    """What a shot may take of its source."""

    def __init__(
        self,
        cutter: Cutter,
        where: str,
        name: str,
        survey: Survey,
        scenes: Sequence[tuple[int, int]],
    ) -> None:
        self.cutter, self.where, self.name = cutter, where, name
        self.survey, self.scenes = survey, scenes
        self.end = survey.end or Fraction(0)

    def span(self, shot: Shot) -> tuple[Fraction, Fraction]:
        """Give where it begins and ends, in seconds of the source."""
        if shot.scene is not None:
            first, last = self._scene("scene", shot.scene)
            return self._time("scene", first), self._time("scene", last)
        start = Fraction(0) if shot.in_ is None else self._at("in", shot.in_, last=False)
        end = self.end if shot.out is None else self._at("out", shot.out, last=True)
        if end <= start and shot.duration is None:
            field = "out" if shot.out is not None else "in"
            given = shot.out if shot.out is not None else shot.in_
            raise self._wrong(
                field, given,
                f"it would end at {float(end):.3f} s and begin at {float(start):.3f} s",
            )  # fmt: skip
        return start, end

    def check(self, field: str, given: Any, end: Fraction) -> None:
        """Make sure that it ends within the source, but for half a frame of the film."""
        if end > self.end + Fraction(1, 2) / min(self.survey.fps, self.cutter.rate):
            long = f"{float(self.end):.3f} s"
            if self.survey.frames:
                long += f" ({self.survey.frames} frames)"
            raise self._wrong(
                field, given,
                f"{float(end):.3f} s is past the end of {self.name}, which is {long} long",
            )  # fmt: skip

    def _at(self, field: str, given: Any, *, last: bool) -> Fraction:
        survey = self.survey
        if isinstance(given, Scene):
            return self._time(field, self._scene(field, given.scene)[last])
        if isinstance(given, Frame):
            if survey.kind == "sound":
                raise self._wrong(field, given, f"{self.name} has no frames: give a time")
            return self._frame(field, given, given.frame)
        if isinstance(given, str) and is_timecode(given):
            try:
                number = from_timecode(given, survey.clock) - survey.zero
            except ValueError as error:
                raise self._wrong(field, given, str(error)) from None
            if number < 0:
                raise self._wrong(
                    field, given, f"{self.name} begins at {survey.timecode}, after that"
                )
            return self._frame(field, given, number)
        time = seconds_of(given) if isinstance(given, str) else fraction(given)
        self.check(field, given, time)
        if survey.kind == "sound" or time >= self.end:
            return min(time, self.end)
        return survey.time_of(survey.frame_at(time))

    def _frame(self, field: str, given: Any, number: int) -> Fraction:
        if number > self.survey.frames:
            self.check(field, given, self.end + (number - self.survey.frames) / self.survey.fps)
        return self._time(field, number)

    def _time(self, field: str, frame: int) -> Fraction:
        return self.survey.time_of(min(frame, self.survey.frames))

    def _scene(self, field: str, number: int) -> tuple[int, int]:
        if not 1 <= number <= len(self.scenes):
            raise self._wrong(
                field, number, f"{self.name} has {len(self.scenes)} scenes, counted from 1"
            )
        return self.scenes[number - 1]

    def _wrong(self, field: str, given: Any, said: str) -> ProjectError:
        return self.cutter.wrong(f"{self.where}.{field} = {shown(given)}", said)


def shown(given: Any) -> str:
    """Give a time as the project says it."""
    if isinstance(given, Frame | Scene):
        return given.model_dump_json()
    return repr(given) if isinstance(given, str) else f"{given:g}" if given is not None else "null"
