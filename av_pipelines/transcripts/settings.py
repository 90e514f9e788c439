"""Settings of the ``transcript`` asset: what a user may choose, and what is allowed.

Not here: which models are on this machine and which one is taken (``engines``).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from av_pipelines.settings import Settings
from av_pipelines.transcripts.languages import WHISPER_LANGUAGES
from resources.models import registry

ENGINES = ("faster-whisper",)
"""The engines of this room, the best first."""


class TranscriptSettings(Settings):
    """How speech becomes text. Words always have times."""

    neutral: ClassVar[frozenset[str]] = frozenset({"threads"})

    quality: Literal["draft", "standard", "high"] = "standard"
    """Chooses the model: draft is the fastest, high the most exact one on this machine."""

    engine: Literal["auto", "faster-whisper"] = "auto"
    """Who transcribes; auto takes the best that is on this machine."""

    language: str | None = None
    """The language spoken, as a code of Whisper's (en, de, fr …); auto or nothing: detected."""

    task: Literal["transcribe", "translate"] = "transcribe"
    """Write down what is said, or translate it into English."""

    model: str | None = None
    """A model by name (``avp models list``); nothing: by quality. Not there: an error."""

    beam_size: int = Field(default=5, ge=1, le=20)
    """How many hypotheses are kept at once: 1 is fastest, 5 is usual."""

    vad: bool = True
    """Leave out stretches without voice before transcribing: faster, and less invented text."""

    initial_prompt: str | None = Field(default=None, max_length=1000)
    """Text that comes before the recording, for its spelling and style; used at the start."""

    hotwords: str | None = Field(default=None, max_length=1000)
    """Names and terms to expect, separated by blanks; used all the way through."""

    threads: int = Field(default=0, ge=0, le=256)
    """CPU threads; 0: as many as this process may use, at most 8. Changes no version."""

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
