"""Settings of the ``transcript`` asset: what a user may choose, and what is allowed.

Not here: which models are on this machine and which one is taken (``engines``).
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from av_pipelines.transcripts.languages import WHISPER_LANGUAGES
from av_pipelines.transcripts.subtitle_settings import SpeakerSettings, SubtitleSettings
from resources.models import registry

ENGINES = ("mlx-whisper", "faster-whisper")
"""The engines of this room, the best first."""

MOST_TEXT = 500_000


class TranscriptSettings(SubtitleSettings, SpeakerSettings):
    """How speech becomes text, and text subtitles. Words always have times."""

    neutral: ClassVar[frozenset[str]] = frozenset({"threads"})
    paths: ClassVar[frozenset[str]] = frozenset({"text_file"})

    quality: Literal["draft", "standard", "high"] = "standard"
    """Chooses the model: draft is the fastest, high the most exact one on this machine."""

    engine: Literal["auto", "faster-whisper", "mlx-whisper"] = "auto"
    """Who transcribes; auto takes the best that is on this machine."""

    device: Literal["auto", "cpu", "cuda", "mlx"] = "auto"
    """What computes; auto takes the best that is on this machine."""

    language: str | None = None
    """The language spoken, as a code of Whisper's (en, de, fr …); auto or nothing: detected."""

    task: Literal["transcribe", "translate"] = "transcribe"
    """Write down what is said, or translate it into English."""

    model: str | None = None
    """A model by name (``avp models list``); nothing: by quality. Not there: an error."""

    mixed_languages: bool = False
    """Detect the language of every stretch anew, for files in which it changes."""

    channels: Literal["mix", "each"] = "mix"
    """Listen to all channels together, or to each alone: interviews with one speaker a channel."""

    song: bool = False
    """It is a song: its stems are made, and voice is found in the vocals, not in the mix."""

    sung: Literal["mix", "vocals"] = "mix"
    """What of a song is recognised; the mix is often better understood than lone vocals."""

    beam_size: int = Field(default=5, ge=1, le=20)
    """How many hypotheses are kept at once where the first one is unsure: 1 is fastest."""

    vad: bool = True
    """Leave out stretches without voice before transcribing: faster, and less invented text."""

    invented: Literal["remove", "mark"] = "remove"
    """Text where nobody speaks: take it out, or leave it and name it in qc.json."""

    window_s: float = Field(default=20.0, ge=5, le=29)
    """Seconds of voice that are recognised in one piece."""

    batch_size: int = Field(default=8, ge=1, le=64)
    """Pieces that are recognised together: more is faster and takes more memory."""

    initial_prompt: str | None = Field(default=None, max_length=1000)
    """Text as if spoken before every piece, for its spelling and style."""

    hotwords: str | None = Field(default=None, max_length=1000)
    """Names and terms to expect, separated by blanks; used all the way through."""

    keep_off_cuts: bool = False
    """Of a film: its scenes are made, and subtitles come and go off the cuts."""

    text: str | None = Field(default=None, max_length=MOST_TEXT)
    """What is said, word for word: it is timed instead of transcribed. One line, one segment."""

    text_file: str | None = Field(default=None, max_length=4096)
    """A file with that text, UTF-8; the same as ``song.mp3.lyrics.txt`` beside ``song.mp3``."""

    threads: int = Field(default=0, ge=0, le=256)
    """CPU threads; 0: as many as this process may use, at most 8. Changes no version."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that the version is a hash of: of a text file, what is in it."""
        values = super().identity()
        if self.text_file:
            with contextlib.suppress(OSError):  # not there: said when it is read
                content = Path(self.text_file).expanduser().read_bytes()
                values["text_file"] = hashlib.sha256(content).hexdigest()
        return values

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str | None) -> str | None:
        if value is None or value.strip().lower() == "auto":
            return None
        code = value.strip().lower()
        if code not in WHISPER_LANGUAGES:
            allowed = ", ".join(sorted(WHISPER_LANGUAGES))
            raise ValueError(f"not a language code of Whisper's; allowed: auto, {allowed}")
        return code

    @field_validator("text")
    @classmethod
    def _says_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("no text in it")
        return value

    @field_validator("model")
    @classmethod
    def _model_fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check the model against what is set beside it; these come before it in this class."""
        if value is None:
            return None
        known = {n: e for n, e in registry().items() if e.engine in ENGINES}
        if value not in known:
            raise ValueError(f"not a model for speech; allowed: {', '.join(known)}")
        entry, given = known[value], info.data
        if given.get("engine") not in ("auto", None, entry.engine):
            raise ValueError(f"it is for the engine {entry.engine}, not {given['engine']}")
        language = given.get("language")
        if language is not None and not entry.knows(language):
            raise ValueError(f"it does not know language = {language!r}; {_fitting(language)}")
        if given.get("task") == "translate" and not entry.translates:
            able = [name for name, e in known.items() if e.translates]
            raise ValueError(f"it cannot translate; these can: {', '.join(able)}")
        return value


def _fitting(language: str) -> str:
    able = [n for n, e in registry().items() if e.engine in ENGINES and e.knows(language)]
    return f"these do: {', '.join(able)}"
