"""What the page of one media plays, draws and reads along one line of time.

Here: picking players and stems from artifacts, and reading the files whose contents the page draws:
loudness curves, transcripts, scenes. Not here: which artifacts there are (``gather``), how it is
played (``player.js``).

A file that is missing, damaged or of another shape costs the page that part, and is named on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from av_pipelines.reports.pages.shown import PICTURE, SOUND, Shown, has, line, suffix

_LARGEST = 64_000_000  # bytes of a JSON file that a page takes in
_POINTS = 1500  # of a curve


def desk_of(shown: Sequence[Shown], faults: list[str]) -> dict[str, Any]:
    """Say what there is to play, see and read along one line of time.

    Args:
        shown: the artifacts of a media.
        faults: is told what cannot be read.

    Returns:
        ``duration_s``; ``video``: sources, poster, ``offset_s`` (where in the picture the sound
        begins), or None; ``mixes``: whole programmes to compare, with ``lufs`` where it is known;
        ``stems``: parts of one programme; ``curves``: loudness over time; ``target_lufs``;
        ``scenes``; ``segments`` of words ``[start, end, text, suspect, spaced]``; ``doubts``.
    """
    assets = {one.name: one for one in shown}
    audio, source = assets.get("audio"), assets.get("source")
    desk: dict[str, Any] = {
        "video": _video(assets),
        "mixes": _mixes(assets),
        "stems": [],
        "curves": [],
        "target_lufs": None,
        "scenes": [],
        "segments": [],
        "doubts": [],
    }
    for owner in (assets.get("stems"), assets.get("track")):
        if owner and not desk["stems"]:
            desk["stems"] = _stems(owner)
    if audio:
        _take(faults, desk, audio, "loudness.json", _original_curve)
    for name in ("master", "track"):
        if owner := assets.get(name):
            _take(faults, desk, owner, "loudness.json", _later_curve(name))
    if scenes := assets.get("scenes"):
        _take(faults, desk, scenes, "scenes.json", _scenes_of(scenes))
    if transcript := assets.get("transcript"):
        _take(faults, desk, transcript, "qc.json", _doubts)
        _take(faults, desk, transcript, "transcript.json", _words)
    lengths = [one.artifact.manifest.facts.get("duration_s") for one in (audio, source) if one]
    lengths += [one.artifact.manifest.facts.get("duration_s") for one in shown]
    desk["duration_s"] = next((length for length in lengths if length), None)
    return desk


def _video(assets: Mapping[str, Shown]) -> dict[str, Any] | None:
    """What is to be seen: what was asked for last, that browsers may be able to play."""
    found, posters = [], []
    for name in ("video", "look", "source"):
        shown = assets.get(name)
        if shown is None:
            continue
        facts = shown.artifact.manifest.facts
        if name == "source" and not facts.get("video_codec"):
            continue
        files = shown.of_kind(PICTURE)
        if files:
            kind = PICTURE[suffix(files[0].name)]
            found.append({"label": name, "src": shown.link(files[0].name), "type": kind})
            posters.append(shown.poster(files[0].name))
    source, audio = assets.get("source"), assets.get("audio")
    if source and has(source, "poster.jpg"):
        posters.insert(0, source.link("poster.jpg"))
    poster = next(filter(None, posters), None)
    if not found and not poster:
        return None
    offset = audio.artifact.manifest.facts.get("start_offset_s") if audio else 0.0
    return {"sources": found, "poster": poster, "offset_s": offset or 0.0}


def _mixes(assets: Mapping[str, Shown]) -> list[dict[str, Any]]:
    """Whole programmes to compare: as it came and as it goes out, or take after take."""
    owners = [("Original", assets.get("audio"), assets.get("audio"))]
    if owners[0][1] and not owners[0][1].of_kind(SOUND):  # in a form that browsers do not play
        owners = [("Original", assets.get("source"), assets.get("audio"))]
    owners.append(("Master", assets.get("master"), assets.get("master")))
    if track := assets.get("track"):
        takes = {f"Take {number}": take for number, take in track.takes.items()}
        named = takes if len(takes) > 1 else {"Track": track}
        owners += [(label, take, take) for label, take in named.items()]
    found = []
    for label, owner, measured in owners:
        files = owner.of_kind(SOUND) if owner else []
        if owner and owner.name == "track":
            files = [file for file in files if PurePosixPath(file.name).stem == owner.name]
        if owner and measured and files:
            sources = [{"src": owner.link(f.name), "type": SOUND[suffix(f.name)]} for f in files]
            lufs = measured.artifact.manifest.facts.get("integrated_lufs")
            found.append({"label": label, "sources": sources, "lufs": lufs})
    return found


def _stems(shown: Shown) -> list[dict[str, Any]]:
    """The parts of a programme: every sound of the artifact but the whole."""
    files = [f for f in shown.of_kind(SOUND) if PurePosixPath(f.name).stem != shown.name]
    return [
        {
            "label": PurePosixPath(file.name).stem,
            "sources": [{"src": shown.link(file.name), "type": SOUND[suffix(file.name)]}],
        }
        for file in files
    ]


# ---------------------------------------------------------------------- what is drawn and read

_Taker = Callable[[dict[str, Any], Any], None]


def _take(faults: list[str], desk: dict[str, Any], shown: Shown, name: str, take: _Taker) -> None:
    """Give a JSON file of an artifact to who knows what to do with it."""
    if not has(shown, name):
        return
    try:
        path = shown.artifact.file(name)
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large for a page")
        take(desk, json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        faults.append(f"{shown.name}/{name} cannot be shown: {line(error)}")


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
                    "picture": shown.link(picture) if picture and has(shown, picture) else None,
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
