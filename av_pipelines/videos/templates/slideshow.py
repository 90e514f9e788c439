"""``slideshow``: pictures that move slowly and turn into each other, with music.

Here: the project. Not here: where a picture's subject is (``framing``), decoding (``looking``).
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.videos import project_parts as say
from av_pipelines.videos.cut import Shot as CutShot
from av_pipelines.videos.framing import held, ken_burns, subject
from av_pipelines.videos.looking import Seen, look_at
from av_pipelines.videos.project import Project
from av_pipelines.videos.project_parts import Transition
from av_pipelines.videos.templates.common import (
    changes,
    frames,
    lane,
    project_of,
    shot,
    title_overlays,
)
from av_pipelines.videos.templates.materials import Material, Materials, frames_of
from av_pipelines.videos.templates.settings import SlideshowSettings

_FADE_S = 1.0  # out of black, and the music at the end
_SNAP_S = 0.5
_MAY_CROP = 0.62  # share of a picture that must be left of it; else it is shown whole


def build(settings: SlideshowSettings, materials: Materials, folder: Path) -> Project:
    """Make the project; what it copies goes into the folder."""
    fps, pictures = settings.fps, materials.pictures
    over = frames_of(settings.dissolve_s, fps) if settings.dissolve_s else 0
    starts = changes(
        settings.picture_s * len(pictures) + 1e-6, settings.picture_s, _beats(settings, materials),
        _SNAP_S,
    )  # fmt: skip
    firsts = [frames_of(s, fps) if s else 0 for s in starts]
    firsts += [firsts[-1] + frames_of(settings.picture_s, fps)]
    across, down = (int(n) for n in settings.aspect_ratio.split(":"))
    shots = []
    for i, (picture, seen) in enumerate(zip(pictures, _seen(pictures), strict=True)):
        last = i + 1 == len(pictures)
        length = firsts[i + 1] - firsts[i] + (0 if last else over)
        how: dict[str, Any] = {"duration": frames(length)}
        if i and over:
            how["transition"] = Transition(kind="dissolve", duration=frames(over))
        elif not i:
            how["transition"] = Transition(kind="fade", duration=frames(frames_of(_FADE_S, fps)))
        how |= _movement(seen, across / down, Fraction(length, fps), i)
        shots.append(shot(picture, folder, **how))
    lanes = ()
    if materials.music:
        lanes = (lane(materials.music, folder, fade_in=0.3, fade_out=2.0, loop=True),)
    return project_of(
        settings,
        materials,
        "A slideshow.",
        fps=Fraction(fps),
        loudness=-16.0,
        shots=tuple(shots),
        overlays=title_overlays(settings, materials, fps, settings.picture_s),
        audio=lanes,
    )


def _seen(pictures: tuple[Material, ...]) -> list[Seen | None]:
    stills = [CutShot(p.path.name, p.path, Fraction(0), 1, still=True) for p in pictures]
    with tempfile.TemporaryDirectory() as scratch:
        return look_at(stills, Fraction(1), {}, Path(scratch))


def _movement(seen: Seen | None, aspect: float, seconds: Fraction, number: int) -> dict[str, Any]:
    """Move over a picture towards what it shows; one of quite another shape is shown whole."""
    if seen is None:
        return {"fit": "ken_burns"}
    if min(seen.aspect / aspect, aspect / seen.aspect) < _MAY_CROP:
        return {"fit": "blur_pad"}
    at = subject(seen.thumbnails[0])
    path = held(ken_burns(at, seconds, inwards=number % 2 == 0), at, seen.aspect, aspect)
    points = tuple(
        say.Framing(at=float(p.at), x=round(p.x, 4), y=round(p.y, 4), zoom=p.zoom) for p in path
    )
    return {"fit": "ken_burns", "framing": points}


def _beats(settings: SlideshowSettings, materials: Materials) -> list[float]:
    if not (settings.on_beats and materials.music and materials.music.audio):
        return []
    from av_pipelines.videos.beats import find_beats

    return list(find_beats(materials.music.audio).times_s)
