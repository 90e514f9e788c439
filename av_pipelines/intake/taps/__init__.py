"""What takes something from the one pass: a tap each.

Here: what a tap is, and how one is named so that the child can load it. The taps themselves are
modules beside this one; other rooms may have their own. Not here: the pass (``passes``), which
knows no tap by name: adding one does not touch it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

    from av_pipelines.intake.blocks import Block, Picture
    from av_pipelines.intake.containers import Media
    from av_pipelines.intake.passes import Summary


class Appetite(IntEnum):
    """How much of a stream a tap wants decoded; the pass decodes what the hungriest one wants."""

    NONE = 0
    KEYFRAMES = 1
    """Of video, the frames that need no others; of audio, all."""
    ALL = 2


class Tap:
    """Takes what it wants from the pass and leaves facts, and files in its own folder.

    A subclass overrides what it needs. Taps are called in the child, in the order they were given,
    in a single thread. What a tap raises is this program's fault, not the file's. Files other than
    those in its folder, such as a model, can only be read while it is being made.

    Args:
        out: the folder to write to; shared with the taps of the same group.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.beat: Callable[[], None] = lambda: None
        """To be called now and then in work of more than a few seconds: "I am not stuck"."""

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Begin. Say which streams are wanted, by index; what cannot be decoded never comes."""
        return {}

    def packet(self, packet: Packet[Stream]) -> None:
        """Take a packet, as it is read, of any stream. Taps without this method cost nothing."""

    def audio(self, block: Block) -> None:
        """Take the next block of a stream that is wanted."""

    def video(self, picture: Picture) -> Appetite:
        """Take the next picture of a stream that is wanted; say how hungry the tap still is."""
        return Appetite.NONE

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """End: write what is left to be written and give the facts, fit for JSON."""
        return {}


@dataclass(frozen=True)
class TapSpec:
    """A tap to be made in the child.

    Args:
        tap: ``module:class``, importable with this process's ``sys.path``.
        group: the artifact its facts belong to; no two taps of a group give the same fact.
        out: the folder it may write to; must exist.
        options: further keyword arguments, fit for JSON.
    """

    tap: str
    group: str
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Tap:
        """Import the class and make the tap."""
        module, _, name = self.tap.partition(":")
        kind = getattr(importlib.import_module(module), name)
        if not (isinstance(kind, type) and issubclass(kind, Tap)):
            raise TypeError(f"{self.tap} is no {Tap.__qualname__}")
        return kind(self.out, **self.options)

    def to_json_dict(self) -> dict[str, Any]:
        """Give the spec for the child."""
        out, options = str(self.out.absolute()), dict(self.options)
        return {"tap": self.tap, "group": self.group, "out": out, "options": options}

    @classmethod
    def from_json_dict(cls, data: Mapping[str, Any]) -> TapSpec:
        """Read what ``to_json_dict`` gave."""
        return cls(data["tap"], data["group"], Path(data["out"]), data["options"])


_HERE = __name__


def source_taps(out: Path) -> list[TapSpec]:
    """Name the taps that fill a ``source`` artifact: ``probe.json`` and ``poster.jpg``."""
    return [TapSpec(f"{_HERE}.{t}", "source", out) for t in ("probe:Probe", "poster:Poster")]


def audio_taps(out: Path) -> list[TapSpec]:
    """Name the taps that fill an ``audio`` artifact: sound, ``loudness.json``, ``waveform.png``."""
    taps = ("audio_file:AudioFile", "loudness:Loudness", "waveform:Waveform")
    return [TapSpec(f"{_HERE}.{t}", "audio", out) for t in taps]


def picture_taps(out: Path, *, keyframes_only: bool = False) -> list[TapSpec]:
    """Name the tap that fills a ``picture`` artifact: ``picture.npz``."""
    tap = "KeyframePictureFile" if keyframes_only else "PictureFile"
    return [TapSpec(f"{_HERE}.picture:{tap}", "picture", out)]
