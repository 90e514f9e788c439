"""What can be set about subtitles and speakers: a broadcaster's rules, and how files look.

Here: the settings and what follows for a language. Not here: keeping the rules (``segmentation``,
``timing``), checking them (``lint``), telling voices apart (``speakers``).

The defaults are those of the common style guides (Netflix, Timed Text Style Guide: General
Requirements, Subtitle Timing Guidelines, and the guides of the languages).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from av_pipelines.settings import Settings

LINE_COLUMNS: Mapping[str, int] = {"zh": 32, "yue": 32, "ko": 32, "ja": 26}
"""Language → columns in a line, where it is not 42; a full-width character takes two."""

CHARACTERS_PER_SECOND: Mapping[str, float] = {
    "ar": 23,
    "hi": 25,
    "ja": 7,
    "ko": 14,
    "yue": 11,
    "zh": 11,
}
"""Language → the reading speed of its guide for what is said in it (SDH), where it is not 20."""


class SubtitleSettings(Settings):
    """How words become subtitles."""

    max_lines: int = Field(default=2, ge=1, le=4)
    """Lines on the screen at once."""

    line_characters: int | None = Field(default=None, ge=8, le=120)
    """Characters in a line, a full-width one counting two; nothing: by language, mostly 42."""

    characters_per_second: float | None = Field(default=None, gt=0, le=100)
    """Reading speed that is not exceeded while there is room; nothing: by language, mostly 20."""

    min_cue_s: float = Field(default=5 / 6, ge=0, le=10)
    """A subtitle stays at least this many seconds where there is room."""

    max_cue_s: float = Field(default=7.0, ge=0.5, le=60, validate_default=True)
    """A subtitle stays at most this many seconds."""

    cue_pause_s: float = Field(default=1.5, ge=0.1, le=60)
    """A pause of this many seconds always ends a subtitle."""

    gap_frames: int = Field(default=2, ge=0, le=24)
    """Frames between two subtitles, and between a subtitle and a cut it does not start on."""

    close_gap_frames: int = Field(default=12, ge=0, le=48)
    """Gaps of fewer frames than this are closed to ``gap_frames``."""

    snap_frames: int = Field(default=7, ge=0, le=24)
    """A subtitle whose words start within so many frames of a cut starts on the cut."""

    frame_rate: float = Field(default=25.0, ge=1, le=240)
    """Frames per second that frames are counted in where there is no picture."""

    karaoke: bool = False
    """Mark the words of the ASS file one after the other as they are sung."""

    lrc: Literal["line", "word"] = "line"
    """Times in the LRC file: of lines, or (enhanced LRC) of every word."""

    ass_font: str = Field(default="Arial", max_length=60, pattern=r"^[^,\r\n{}\\]+$")
    """Font of the ASS file."""

    ass_size: int = Field(default=54, ge=8, le=200)
    """Size of the ASS file's font, in pixels of a picture 1080 high."""

    @field_validator("max_cue_s")
    @classmethod
    def _not_less_than_the_least(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("min_cue_s", 0.0)
        if value < least:
            raise ValueError(f"it is less than min_cue_s = {least:g}")
        return value


class SpeakerSettings(Settings):
    """Who speaks when."""

    speakers: bool = False
    """Tell voices apart, and write who says what."""

    speaker_count: int = Field(default=0, ge=0, le=20)
    """How many speakers there are; 0: find out."""

    speaker_distance: float = Field(default=0.38, gt=0, lt=2)
    """When the number is to be found: the cosine distance from which on two voices are two."""


@dataclass(frozen=True)
class Rules:
    """The settings in numbers, for one language and one frame rate; times in milliseconds."""

    max_lines: int
    line_columns: int
    per_second: float
    min_ms: int
    max_ms: int
    pause_ms: int
    gap_ms: int
    """The least distance of two cues, and of a time from a cut."""
    close_ms: int
    """The least distance of two cues that is left as it is."""
    snap_ms: int
    sync_ms: int
    """How far from its words a cue may start: three frames, or the way to a cut."""


def rules_for(
    settings: SubtitleSettings, language: str | None = None, fps: Fraction | None = None
) -> Rules:
    """Work the rules out for a language (Whisper's code) and the frame rate of the picture."""
    frame_ms = 1000 / (float(fps) if fps else settings.frame_rate)
    code = language or ""
    gap_ms = _up(settings.gap_frames * frame_ms)
    return Rules(
        max_lines=settings.max_lines,
        line_columns=settings.line_characters or LINE_COLUMNS.get(code, 42),
        per_second=settings.characters_per_second or CHARACTERS_PER_SECOND.get(code, 20.0),
        min_ms=round(settings.min_cue_s * 1000),
        max_ms=round(settings.max_cue_s * 1000),
        pause_ms=round(settings.cue_pause_s * 1000),
        gap_ms=gap_ms,
        close_ms=max(gap_ms, _up(settings.close_gap_frames * frame_ms)),
        snap_ms=round(settings.snap_frames * frame_ms),
        sync_ms=_up(max(3, settings.snap_frames, settings.gap_frames) * frame_ms),
    )


def _up(ms: float) -> int:
    return -int(-(ms - 1e-6) // 1)
