"""``trailer``: the scenes in which most happens, in short.

Here: which scenes, which part of each, for how long. Not here: finding scenes (``scenes``).

A scene is worth what moves in it and how loud it is, each compared with the film's other scenes;
dark ones are worth less. Shots come in the film's order, and ever faster.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from av_pipelines.media.picture import Picture, read_picture
from av_pipelines.videos.project import Project
from av_pipelines.videos.project_parts import EndCard, Style, Transition
from av_pipelines.videos.project_values import Frame
from av_pipelines.videos.templates.common import frames, lane, names, project_of, shot
from av_pipelines.videos.templates.materials import Material, Materials, frames_of, loudness_over
from av_pipelines.videos.templates.settings import TrailerSettings

_FIRST, _LAST = 1.4, 0.7  # length of the first and last shot, of the usual
_END = 0.9  # of the film; what comes after gives the end away
_CLEAR_S = 0.15  # around a cut, where a transition may be
_DARK = 32.0  # mean luma, of 255, below which a scene is hardly seen
_FADE_S = 0.6
_MUSIC_UNDER = {"gain_db": -9.0}  # of the film's own sound, under music


class _Part(NamedTuple):
    """Frames of the film: the first, and the one after the last."""

    first: int
    end: int

    @property
    def frames(self) -> int:
        """Its length."""
        return self.end - self.first


def build(settings: TrailerSettings, materials: Materials, folder: Path) -> Project:
    """Make the project; what it copies goes into the folder."""
    film = cast("Material", materials.film)
    if film.scenes is None or film.picture is None:
        raise ValueError(f"{film.path}: a trailer needs its scenes and picture: make these first")
    scenes = json.loads(film.scenes.read_text("utf-8"))["scenes"]
    with read_picture(film.picture) as picture:
        chosen = _choose(settings, film, scenes, picture)
        fps = picture.fps
    if not chosen:
        raise ValueError(f"{film.path}: no scene is long enough for a trailer")
    shots = [
        shot(
            film,
            folder,
            Frame(frame=part.first),
            duration=frames(part.frames),
            fit="crop",
            **(_MUSIC_UNDER if materials.music else {}),
            **_opening(i, fps),
        )
        for i, part in enumerate(chosen)
    ]
    title, artist = names(settings, materials)
    card = EndCard(
        text=title, subtitle=artist, duration=3, style=Style(size=0.09, bold=True),
        transition=Transition(kind="fade", duration=frames(frames_of(_FADE_S, fps))),
    )  # fmt: skip
    lanes = ()
    if materials.music:
        lanes = (lane(materials.music, folder, fade_out=2.0, loop=True),)
    return project_of(
        settings,
        materials,
        "A trailer.",
        fps=fps,
        loudness=-16.0,
        shots=tuple(shots),
        end_cards=(card,) if settings.end_card and title else (),
        audio=lanes,
    )


def _opening(number: int, fps: Fraction) -> dict[str, Any]:
    if number:
        return {}
    return {"transition": Transition(kind="fade", duration=frames(frames_of(_FADE_S, fps)))}


def _choose(
    settings: TrailerSettings, film: Material, scenes: list[dict[str, Any]], picture: Picture
) -> list[_Part]:
    """Choose parts that together are as long as wanted, in the film's order."""
    fps = picture.fps
    clear, usual = round(_CLEAR_S * fps), frames_of(settings.shot_s, fps)
    end = picture.frames if settings.keep_end else round(picture.frames * _END)
    whole = [_Part(s["start_frame"] + clear, min(s["end_frame"] - clear, end)) for s in scenes]
    spans = [span for span in whole if span.frames >= usual * _LAST]
    if not spans:
        return []
    longest = frames_of(settings.shot_s * _FIRST, fps)
    wanted = round(settings.length_s * fps)
    parts = [
        part
        for span in spans
        for part in _parts(picture, span, longest, max(1, round(wanted / usual / len(spans))))
    ]
    worth = _worth(film, picture, parts)
    count = max(1, min(len(parts), round(wanted / usual)))
    best = sorted(np.argsort(-worth, kind="stable")[:count].tolist())
    lengths = np.linspace(_FIRST, _LAST, len(best)) * usual
    lengths *= min(1.0, wanted / lengths.sum())
    return [
        part
        for i, length in zip(best, lengths.astype(int).tolist(), strict=True)
        for part in _parts(picture, parts[i], max(1, length), 1)
    ]


def _parts(picture: Picture, span: _Part, longest: int, most: int) -> list[_Part]:
    """Take parts of a stretch that do not overlap, the ones in which most moves; in order."""
    rows = [picture.row(frame) for frame in range(*span)]
    moves = np.concatenate([[0.0], np.cumsum(picture.difference[rows])])
    length = min(longest, span.frames)
    sums = moves[length:] - moves[:-length]
    found: list[_Part] = []
    while len(found) < most and np.isfinite(sums).any():
        at = int(np.argmax(sums))
        found.append(_Part(span.first + at, span.first + at + length))
        sums[max(at - length + 1, 0) : at + length] = -np.inf
    return sorted(found)


def _worth(film: Material, picture: Picture, parts: list[_Part]) -> np.ndarray:
    """Say how much each part is worth; only the order counts."""
    times = picture.times_s
    ends = [min(p.end, len(times) - 1) for p in parts]
    spans = [(float(times[p.first]), float(times[e])) for p, e in zip(parts, ends, strict=True)]
    rows = [
        slice(picture.row(p.first), picture.row(e) + 1) for p, e in zip(parts, ends, strict=True)
    ]
    moves = np.array([float(picture.difference[r].mean()) for r in rows])
    light = np.array([float(picture.luma_mean[r].mean()) for r in rows])
    loud = loudness_over(film.loudness, spans)
    return _rank(moves) + _rank(loud) - 1.0 * (light < _DARK)


def _rank(values: np.ndarray) -> np.ndarray:
    """Give 0 to the least, 1 to the most; equal ones alike: outliers count no more than others."""
    ordered = np.unique(values)
    return np.searchsorted(ordered, values) / max(len(ordered) - 1, 1)
