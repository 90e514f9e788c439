"""What the page of one media has to show, from its current artifacts.

Here: reading manifests and the files of artifacts whose contents the page draws: loudness curves,
transcripts, scenes. Every other artifact is shown by what its manifest says. Not here: how it looks
(``media.html.j2``, ``player.js``), the way from one artifact to another (``graph``).

A file that is missing, damaged or of another shape costs the page that part, and is named on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from partitions.keys import is_key
from resources.manifest import (
    FileRef,
    MediaRecord,
    PartitionRecord,
    ProjectRecord,
    PromptRecord,
    Quarantine,
)
from resources.store import Artifact, Store

_LARGEST = 64_000_000  # bytes of a JSON file that a page takes in
_POINTS = 1500  # of a curve
_KINDS = (MediaRecord, PromptRecord, ProjectRecord)

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
        return [file for file in self.files if _suffix(file.name) in kinds]

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


@dataclass
class Page:
    """All that the page of one media shows."""

    key: str
    record: PartitionRecord | None = None
    refused: Quarantine | None = None
    shown: list[Shown] = field(default_factory=list)
    """Its artifacts, each after what it was made from."""
    failures: Sequence[Mapping[str, Any]] = ()
    """``asset``, ``event``, ``reason`` and ``ts`` of what failed last and was not made since."""
    desk: dict[str, Any] = field(default_factory=dict)
    """What ``player.js`` is given; see ``desk_of``."""
    faults: list[str] = field(default_factory=list)
    """What could not be read."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        if isinstance(self.record, PromptRecord):
            return str(self.record.sidecar.get("track", {}).get("prompt") or self.key)
        origin = self.record.origin if self.record else self.refused.origin if self.refused else ""
        return PurePosixPath(origin).name or self.key

    @property
    def state(self) -> str:
        """As in the catalog: done, partial, quarantined; ``empty`` where there is nothing."""
        if self.refused:
            return "quarantined"
        if self.failures:
            return "partial"
        return "done" if self.shown else "empty"

    @property
    def known(self) -> bool:
        """Whether the store knows this key at all."""
        return bool(self.record or self.refused or self.shown)

    def asset(self, name: str) -> Shown | None:
        """The artifact of an asset, if it is there."""
        return next((shown for shown in self.shown if shown.name == name), None)


def gather(store: Store, key: str, failures: Sequence[Mapping[str, Any]] = ()) -> Page:
    """Read what the page of a media shows.

    Args:
        store: where everything is.
        key: of the media, prompt or project.
        failures: rows of the catalog's view ``failures`` that are of this key and not resolved.

    Raises:
        ValueError: this cannot be a key.
    """
    if not is_key(key):
        raise ValueError(f"{key!r} is not a partition key of this project")
    page = Page(key, failures=failures)
    records = (_try(page, "its record", store.record, key, kind) for kind in _KINDS)
    page.record = next(filter(None, records), None)
    page.refused = _try(page, "why it was refused", store.quarantined, key)
    for link in sorted((store.library / key).glob("[!.]*")):
        if not link.is_symlink():
            continue
        artifact = _try(page, link.name, store.current, key, link.name)
        if artifact:
            page.shown.append(Shown(artifact, f"../../library/{quote(key)}/{quote(link.name)}/"))
    page.shown = _in_order(page.shown)
    for one in page.shown:
        takes = _try(page, f"takes of {one.name}", store.takes, key, one.name) or {}
        folder = f"../../library/{quote(key)}/takes/{quote(one.name)}"
        one.takes = {n: Shown(take, f"{folder}/{n}/") for n, take in takes.items()}
    page.desk = desk_of(page)
    return page


def _in_order(shown: list[Shown]) -> list[Shown]:
    """Sort artifacts so that each comes after what it was made from."""
    waiting, done = {one.name: one for one in shown}, []
    while waiting:
        ready = [
            one
            for one in waiting.values()
            if not any(i.asset in waiting for i in one.artifact.manifest.inputs)
        ] or list(waiting.values())
        for one in ready:
            done.append(waiting.pop(one.name))
    return done


# ---------------------------------------------------------------------- what is played


def desk_of(page: Page) -> dict[str, Any]:
    """Say what there is to play, see and read along one line of time.

    Returns:
        ``duration_s``; ``video``: sources, poster, ``offset_s`` (where in the picture the sound
        begins), or None; ``mixes``: whole programmes to compare, with ``lufs`` where it is known;
        ``stems``: parts of one programme; ``curves``: loudness over time; ``target_lufs``;
        ``scenes``; ``segments`` of words ``[start, end, text, suspect, spaced]``; ``doubts``.
    """
    audio, source = page.asset("audio"), page.asset("source")
    desk: dict[str, Any] = {
        "video": _video(page),
        "mixes": _mixes(page),
        "stems": [],
        "curves": [],
        "target_lufs": None,
        "scenes": [],
        "segments": [],
        "doubts": [],
    }
    for owner in (page.asset("stems"), page.asset("track")):
        if owner and not desk["stems"]:
            desk["stems"] = _stems(owner)
    if audio:
        _take(page, desk, audio, "loudness.json", _original_curve)
    for name in ("master", "track"):
        if owner := page.asset(name):
            _take(page, desk, owner, "loudness.json", _later_curve(name))
    if scenes := page.asset("scenes"):
        _take(page, desk, scenes, "scenes.json", _scenes_of(scenes))
    if transcript := page.asset("transcript"):
        _take(page, desk, transcript, "qc.json", _doubts)
        _take(page, desk, transcript, "transcript.json", _words)
    lengths = [one.artifact.manifest.facts.get("duration_s") for one in (audio, source) if one]
    lengths += [one.artifact.manifest.facts.get("duration_s") for one in page.shown]
    desk["duration_s"] = next((length for length in lengths if length), None)
    return desk


def _video(page: Page) -> dict[str, Any] | None:
    """What is to be seen: what was asked for last, that browsers may be able to play."""
    found = []
    for name in ("video", "look", "source"):
        shown = page.asset(name)
        if shown is None:
            continue
        facts = shown.artifact.manifest.facts
        if name == "source" and not facts.get("video_codec"):
            continue
        files = shown.of_kind(PICTURE)
        if files:
            kind = PICTURE[_suffix(files[0].name)]
            found.append({"label": name, "src": shown.link(files[0].name), "type": kind})
    source, audio = page.asset("source"), page.asset("audio")
    poster = source.link("poster.jpg") if source and _has(source, "poster.jpg") else None
    if not found and not poster:
        return None
    offset = audio.artifact.manifest.facts.get("start_offset_s") if audio else 0.0
    return {"sources": found, "poster": poster, "offset_s": offset or 0.0}


def _mixes(page: Page) -> list[dict[str, Any]]:
    """Whole programmes to compare: as it came and as it goes out, or take after take."""
    owners = [("Original", page.asset("audio"), page.asset("audio"))]
    if owners[0][1] and not owners[0][1].of_kind(SOUND):  # in a form that browsers do not play
        owners = [("Original", page.asset("source"), page.asset("audio"))]
    owners.append(("Master", page.asset("master"), page.asset("master")))
    if track := page.asset("track"):
        takes = {f"Take {number}": take for number, take in track.takes.items()}
        named = takes if len(takes) > 1 else {"Track": track}
        owners += [(label, take, take) for label, take in named.items()]
    found = []
    for label, owner, measured in owners:
        files = owner.of_kind(SOUND) if owner else []
        if owner and owner.name == "track":
            files = [file for file in files if PurePosixPath(file.name).stem == owner.name]
        if owner and measured and files:
            sources = [{"src": owner.link(f.name), "type": SOUND[_suffix(f.name)]} for f in files]
            lufs = measured.artifact.manifest.facts.get("integrated_lufs")
            found.append({"label": label, "sources": sources, "lufs": lufs})
    return found


def _stems(shown: Shown) -> list[dict[str, Any]]:
    """The parts of a programme: every sound of the artifact but the whole."""
    files = [f for f in shown.of_kind(SOUND) if PurePosixPath(f.name).stem != shown.name]
    return [
        {
            "label": PurePosixPath(file.name).stem,
            "sources": [{"src": shown.link(file.name), "type": SOUND[_suffix(file.name)]}],
        }
        for file in files
    ]


# ---------------------------------------------------------------------- what is drawn and read

_Taker = Callable[[dict[str, Any], Any], None]


def _take(page: Page, desk: dict[str, Any], shown: Shown, name: str, take: _Taker) -> None:
    """Give a JSON file of an artifact to who knows what to do with it."""
    if not _has(shown, name):
        return
    try:
        path = shown.artifact.file(name)
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large for a page")
        take(desk, json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        page.faults.append(f"{shown.name}/{name} cannot be shown: {_line(error)}")


def _original_curve(desk: dict[str, Any], loudness: Any) -> None:
    if loudness.get("curve"):
        desk["curves"].append({"label": "Original", **_thin(loudness["curve"])})


def _later_curve(name: str) -> _Taker:
    def take(desk: dict[str, Any], loudness: Any) -> None:
        desk["target_lufs"] = loudness.get("target_lufs")
        if loudness.get("curve"):
            desk["curves"].append({"label": name.capitalize(), **_thin(loudness["curve"])})

    return take


def _thin(curve: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Keep so many points of a curve as can be seen: of each stretch the loudest."""
    times, lufs = curve["times_s"], curve["lufs"]
    step = max(1, len(times) // _POINTS)
    starts = range(0, min(len(times), len(lufs)), step)
    stretches = [[v for v in lufs[at : at + step] if v is not None] for at in starts]
    return {
        "times": [float(times[at]) for at in starts],
        "lufs": [max(map(float, stretch)) if stretch else None for stretch in stretches],
    }


def _scenes_of(shown: Shown) -> _Taker:
    def take(desk: dict[str, Any], scenes: Any) -> None:
        for scene in scenes["scenes"]:
            picture = scene.get("keyframe")
            desk["scenes"].append(
                {
                    "start_s": float(scene["start_s"]),
                    "end_s": float(scene["end_s"]),
                    "picture": shown.link(picture) if picture and _has(shown, picture) else None,
                }
            )

    return take


def _doubts(desk: dict[str, Any], qc: Any) -> None:
    for doubt in qc.get("doubts") or []:
        desk["doubts"].append(
            {
                "start_s": float(doubt["start_s"]),
                "end_s": float(doubt["end_s"]),
                "reason": str(doubt["reason"]),
                "text": str(doubt.get("text") or ""),
                "removed": bool(doubt.get("removed")),
            }
        )


def _words(desk: dict[str, Any], transcript: Any) -> None:
    spans = [(d["start_s"], d["end_s"]) for d in desk["doubts"] if not d["removed"]]
    for segment in transcript["segments"]:
        words = [
            [
                float(word["start_s"]),
                float(word["end_s"]),
                str(word["text"]),
                any(s <= word["start_s"] < max(e, s + 0.001) for s, e in spans),
                bool(word.get("spaced", True)),
            ]
            for word in segment["words"]
        ]
        desk["segments"].append(
            {
                "start_s": float(segment["start_s"]),
                "speaker": segment.get("speaker"),
                "words": words,
            }
        )


# ---------------------------------------------------------------------- small things


def _try(page: Page, what: str, ask: Callable[..., Any], *of: object) -> Any:
    """Ask the store; what cannot be read is a fault of the page, not its end."""
    try:
        return ask(*of)
    except (OSError, ValueError) as error:
        page.faults.append(f"{what}: {_line(error)}")
        return None


def _has(shown: Shown, name: str) -> bool:
    return any(file.name == name for file in shown.files)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())


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
        return ", ".join(map(str, value)) or "–"
    return json.dumps(value, ensure_ascii=False)
