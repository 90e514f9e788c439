"""One artifact as pages show it: its files, pictures, facts and settings as links and texts.

Here: what its manifest says. Not here: which artifacts a page shows (``gather``), what its files
hold (``desk``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from resources.manifest import FileRef
from resources.store import Artifact

SOUND = {
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
}
PICTURE = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/webm",
    ".ogv": "video/ogg",
}
STILL = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
}
"""What browsers play and show, by suffix; the page offers the rest to be taken home."""

_INTERNAL = {"file", "actions"}  # facts that are told elsewhere on the page


@dataclass
class Shown:
    """One artifact on the page."""

    artifact: Artifact
    folder: str
    """Relative link, with a slash at its end."""
    takes: dict[int, Shown] = field(default_factory=dict)
    """Its takes by number, where several were asked for."""

    @property
    def name(self) -> str:
        """Of the asset."""
        return self.artifact.manifest.asset

    @property
    def files(self) -> tuple[FileRef, ...]:
        """Its files."""
        return self.artifact.manifest.files

    def link(self, name: str) -> str:
        """Relative link to one of its files."""
        return self.folder + quote(name)

    def of_kind(self, kinds: Mapping[str, str]) -> list[FileRef]:
        """Its files with one of these suffixes."""
        return [file for file in self.files if suffix(file.name) in kinds]

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """Label and link of its pictures."""
        have = {file.name for file in self.files}
        found = self.artifact.manifest.pictures.items()
        return [(label, self.link(name)) for label, name in found if name in have]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Name and text of each fact."""
        facts = self.artifact.manifest.facts
        return [(k, _text(v)) for k, v in facts.items() if k not in _INTERNAL and v is not None]

    @property
    def actions(self) -> list[str]:
        """What was done, as sentences."""
        return [str(action) for action in self.artifact.manifest.facts.get("actions") or []]

    @property
    def settings(self) -> list[tuple[str, str]]:
        """Name and text of each setting."""
        return [(k, _text(v)) for k, v in self.artifact.manifest.settings.items()]

    def poster(self, name: str) -> str | None:
        """Link of the picture to show before one of its films plays: its own, else any."""
        stem = PurePosixPath(name).stem
        known = self.artifact.manifest.pictures.values()
        wanted = (f"{stem}.poster.jpg", "poster.jpg", *known)
        return next((self.link(picture) for picture in wanted if has(self, picture)), None)


def has(shown: Shown, name: str) -> bool:
    """Whether an artifact has a file of this name."""
    return any(file.name == name for file in shown.files)


def suffix(name: str) -> str:
    """Return the ending of a name, in small letters."""
    return PurePosixPath(name).suffix.lower()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    if value is None:
        return "–"
    if isinstance(value, str):
        return value or "–"
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(_text, value)) or "–"
    if isinstance(value, dict) and all(isinstance(v, str | int | float) for v in value.values()):
        return ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) or "–"
    return json.dumps(value, ensure_ascii=False)


def line(error: Exception) -> str:
    """Return what an error says in one line."""
    return " ".join((str(error) or type(error).__name__).split())
