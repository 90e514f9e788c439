"""``lyric_video``: a song, its words, and something to look at.

Here: the project. Not here: how words are lit (``words``), where they come from (``transcript``).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from av_pipelines.videos.project import Project
from av_pipelines.videos.project_parts import Captions, Overlay, Shot, Style, Transition
from av_pipelines.videos.templates.common import (
    background,
    changes,
    frames,
    lane,
    project_of,
    shade,
    shot,
    title_overlays,
)
from av_pipelines.videos.templates.materials import (
    Material,
    Materials,
    frames_of,
    length_of,
    lines_of,
)
from av_pipelines.videos.templates.settings import LyricVideoSettings

_DISSOLVE_S = 0.6
_LEAD_S = 0.25  # a picture changes a little before the line begins
_BAR = 4  # beats


def build(settings: LyricVideoSettings, materials: Materials, folder: Path) -> Project:
    """Make the project; what it draws or copies goes into the folder."""
    song = cast("Material", materials.song)
    if song.transcript is None:
        raise ValueError(f"{song.path}: a lyric video needs its transcript: make that first")
    fps, length_s = settings.fps, length_of(song)
    lines = lines_of(song.transcript)
    length = frames_of(length_s, fps)
    shots, under = _pictures(settings, materials, folder, length, [x.start_s for x in lines])
    first_word_s = lines[0].start_s if lines else length_s
    across, down = (int(n) for n in settings.aspect_ratio.split(":"))
    captions = Captions(
        of="lanes",
        karaoke=True,
        max_chars=max(10, round(across / down * 0.86 / settings.text_size / 0.6)),
        max_lines=2 if across >= down else 4,
        anchor="centre",
        margin=0.08,
        style=Style(
            size=settings.text_size, bold=True, outline_width=0.004, highlight=settings.accent
        ),
    )
    return project_of(
        settings,
        materials,
        "A lyric video.",
        fps=Fraction(fps),
        loudness=settings.loudness,
        shots=shots,
        overlays=(*under, *title_overlays(settings, materials, fps, first_word_s)),
        captions=captions if lines else None,
        audio=(lane(song, folder, role="music"),),
    )


def _pictures(
    settings: LyricVideoSettings,
    materials: Materials,
    folder: Path,
    length: int,
    lines: list[float],
) -> tuple[tuple[Shot, ...], tuple[Overlay, ...]]:
    """Lay pictures and clips in turn under the song, or one background."""
    shown = (*materials.clips, *materials.pictures)
    if settings.background or (not materials.clips and len(materials.pictures) < 2):
        return (background(settings, materials, folder, length),), ()
    fps = settings.fps
    starts = changes(length / fps, settings.picture_s, _fitting(settings, materials, lines))
    over = frames_of(_DISSOLVE_S, fps)
    firsts = [frames_of(s, fps) if s else 0 for s in starts]
    shots = []
    for i, (first, following) in enumerate(zip(firsts, [*firsts[1:], None], strict=True)):
        on_screen = length - first if following is None else following - first + over
        shots.append(
            _shot(shown[i % len(shown)], folder, on_screen, i // len(shown), over if i else 0, fps)
        )
    return tuple(shots), shade(folder, settings.shade)


def _shot(material: Material, folder: Path, length: int, turn: int, over: int, fps: int) -> Shot:
    """Show a clip, each time another part of it, as slowly as it must be to last; or a still."""
    how: dict[str, Any] = {"duration": frames(length), "sound": False}
    if over:
        how["transition"] = Transition(kind="dissolve", duration=frames(over))
    if material.duration_s is None:
        return shot(material, folder, fit="ken_burns", **how)
    wanted, there = length / fps, material.duration_s - 0.1
    begins = turn * wanted % (there - wanted) if there > wanted else 0.0
    speed = 1.0 if there > wanted else max(round(there / wanted, 3) - 0.001, 0.01)
    return shot(material, folder, round(begins, 3), speed=speed, fit="crop", **how)


def _fitting(settings: LyricVideoSettings, materials: Materials, lines: list[float]) -> list[float]:
    """List when a change fits the song."""
    song = cast("Material", materials.song)
    if settings.cut_on == "beats" and song.audio:
        from av_pipelines.videos.beats import find_beats

        found = find_beats(song.audio).times_s[::_BAR]
        if found:
            return list(found)
    return [max(start - _LEAD_S, 0.0) for start in lines]
