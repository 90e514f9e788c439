"""What several templates do alike.

Here: the frame of a project, its title, backgrounds, when pictures change. Not here: reading
materials (``materials``), drawing (``backgrounds``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.videos.project import Project, ProjectSettings
from av_pipelines.videos.project_parts import Lane, Overlay, Shot, Style
from av_pipelines.videos.project_values import Frame
from av_pipelines.videos.templates.backgrounds import draw_gradient, draw_shade, soften
from av_pipelines.videos.templates.materials import ASSETS, Material, Materials, frames_of
from av_pipelines.videos.templates.settings import TemplateSettings


def project_of(
    settings: TemplateSettings,
    materials: Materials,
    description: str,
    *,
    fps: Fraction | None,
    loudness: float | None,
    **parts: Any,
) -> Project:
    """Make a project of its parts."""
    title, _ = names(settings, materials)
    return Project(
        title=title or "Untitled",
        description=description,
        project_settings=ProjectSettings(
            aspect_ratio=settings.aspect_ratio,
            resolution=settings.resolution,
            fps=None if fps is None else str(fps),
            quality=settings.quality,
            loudness=loudness,
        ),
        **parts,
    )


def names(settings: TemplateSettings, materials: Materials) -> tuple[str, str]:
    """Give title and artist: as set, else as the material has them, on one line each."""
    title = materials.title if settings.title is None else settings.title
    artist = materials.artist if settings.artist is None else settings.artist
    return " ".join(title.split())[:200], " ".join(artist.split())[:200]


def shot(material: Material, folder: Path, begin: float | Frame = 0, **fields: Any) -> Shot:
    """Show a material from a time or frame of it on."""
    start = {"in": begin} if material.duration_s is not None else {}
    return Shot.model_validate({**material.named(folder), **start, **fields})


def lane(material: Material, folder: Path, **fields: Any) -> Lane:
    """Play a material under the film."""
    return Lane.model_validate({**material.heard(folder), **fields})


def frames(count: int) -> Frame:
    """Give a number of frames as a project has it."""
    return Frame(frame=count)


def title_overlays(
    settings: TemplateSettings, materials: Materials, fps: int, free_s: float
) -> tuple[Overlay, ...]:
    """Show title and artist at the beginning.

    Args:
        settings: which may give them.
        materials: which have them else.
        fps: frames a second.
        free_s: how long nothing else is written: large in the middle if that is long enough,
            else smaller at the top.
    """
    title, artist = names(settings, materials)
    if not title:
        return ()
    if free_s < 2.5:
        style = Style(size=0.06, bold=True, outline_width=0.003)
        text = f"{title} – {artist}" if artist else title
        shown = Overlay(text=text, anchor="top", margin=0.07, style=style, opacity=0.9)
        return (_timed(shown, 0.3, 4.0, fps),)
    length = min(free_s - 0.8, 5.0)
    style = Style(size=0.1, bold=True, outline_width=0.004)
    large = Overlay(text=title, anchor="centre", style=style)
    if not artist:
        return (_timed(large, 0.3, length, fps),)
    small = Style(size=0.05, bold=True, outline_width=0.003)
    below = Overlay(text=artist, anchor="bottom", margin=0.28, style=small, opacity=0.9)
    return _timed(large, 0.3, length, fps), _timed(below, 0.6, length - 0.3, fps)


def _timed(overlay: Overlay, start_s: float, length_s: float, fps: int) -> Overlay:
    return overlay.model_copy(
        update={
            "at": frames(frames_of(start_s, fps)),
            "duration": frames(frames_of(length_s, fps)),
            "fade": frames(frames_of(0.4, fps)),
        }
    )


def background(settings: TemplateSettings, materials: Materials, folder: Path, length: int) -> Shot:
    """Show one background for the whole film: the picture, made soft and dark, or a gradient."""
    target = folder / ASSETS / "background.png"
    if materials.pictures and not settings.background:
        soften(materials.pictures[0].path, target)
    else:
        draw_gradient(target, settings.background, materials.title)
    return Shot.model_validate(
        {"path": f"{ASSETS}/{target.name}", "duration": frames(length), "fit": "crop"}
    )


def shade(folder: Path, opacity: float) -> tuple[Overlay, ...]:
    """Darken all that is under the words."""
    if not opacity:
        return ()
    target = folder / ASSETS / "shade.png"
    draw_shade(target)
    return (
        Overlay(
            kind="image", path=f"{ASSETS}/{target.name}", anchor="centre", size=1.0, margin=0.0,
            opacity=opacity,
        ),
    )  # fmt: skip


def changes(
    length_s: float, every_s: float, fits: Sequence[float], snap_s: float | None = None
) -> list[float]:
    """Choose when pictures change: about every so many seconds, where it fits the sound.

    Args:
        length_s: of the film.
        every_s: about how long a picture is shown.
        fits: seconds at which a change fits, in order; where none is near, it is made anyway.
        snap_s: how far a change may be moved; None: half of ``every_s``.

    Returns:
        The starts of all pictures; the first is 0.
    """
    reach = every_s / 2 if snap_s is None else snap_s
    starts = [0.0]
    while (wanted := starts[-1] + every_s) < length_s - every_s / 2:
        near = [t for t in fits if abs(t - wanted) <= reach and t < length_s - every_s / 3]
        starts.append(min(near, key=lambda t: abs(t - wanted)) if near else wanted)
    return starts
