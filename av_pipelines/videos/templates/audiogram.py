"""``audiogram``: something said, as a picture: its waveform, its title, its words.

Here: the project. Not here: drawing waveforms (``render``), words (``words``).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

from av_pipelines.videos.project import Project
from av_pipelines.videos.project_parts import Captions, Overlay, Style, Wave
from av_pipelines.videos.templates.common import background, lane, names, project_of
from av_pipelines.videos.templates.materials import (
    Material,
    Materials,
    frames_of,
    length_of,
    lines_of,
)
from av_pipelines.videos.templates.settings import AudiogramSettings


def build(settings: AudiogramSettings, materials: Materials, folder: Path) -> Project:
    """Make the project; what it draws or copies goes into the folder."""
    talk = cast("Material", materials.song)
    length = frames_of(length_of(talk), settings.fps)
    wide = settings.aspect_ratio == "16:9"
    said = settings.captions and talk.transcript is not None and lines_of(talk.transcript)
    captions = Captions(
        of="lanes",
        karaoke=True,
        max_chars=44 if wide else 30,
        max_lines=2,
        anchor="bottom",
        margin=0.13,
        style=Style(
            size=0.06 if wide else 0.05, bold=True, outline_width=0.003, highlight=settings.accent
        ),
    )
    picture = materials.pictures[0] if materials.pictures else None
    return project_of(
        settings,
        materials,
        "An audiogram.",
        fps=Fraction(settings.fps),
        loudness=settings.loudness,
        shots=(background(settings, materials, folder, length),),
        overlays=_head(settings, materials, picture, folder),
        captions=captions if said else None,
        audio=(lane(talk, folder, role="voice"),),
        wave=Wave(top=0.50 if picture else 0.40, height=0.16, colour=settings.accent),
    )


def _head(
    settings: AudiogramSettings, materials: Materials, picture: Material | None, folder: Path
) -> tuple[Overlay, ...]:
    """Put picture and title at the top, for the whole film."""
    title, artist = names(settings, materials)
    found = []
    if picture:
        # By its path: an overlay names no key.
        path = Material(picture.path).named(folder)["path"]
        found.append(Overlay(kind="image", path=path, anchor="top", margin=0.07, size=0.26))
    if title:
        style = Style(size=0.055, bold=True, outline_width=0.0)
        at = 0.36 if picture else 0.12
        found.append(Overlay(text=title, anchor="top", margin=at, style=style))
        if artist:
            small = Style(size=0.036, outline_width=0.0)
            found.append(
                Overlay(text=artist, anchor="top", margin=at + 0.075, style=small, opacity=0.8)
            )
    return tuple(found)
