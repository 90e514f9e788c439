"""Projects that templates make of media: a dropped song becomes a lyric video.

Here: what a template is given of the store, and where its project is kept. Not here: what a
template makes of it (``videos.templates``), noticing that a media is ready (``sensors.templates``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.maker import Studio
from resources.store import Store

if TYPE_CHECKING:
    from av_pipelines.videos.templates.materials import Material, Materials

ASSETS = ("timeline", "video", "cutdowns")
"""What is made of a template's project."""


def ready(store: Store, key: str, template: str) -> bool:
    """Whether a media has all that a template needs."""
    return not lacking(store, key, template)


def lacking(store: Store, key: str, template: str) -> str:
    """Say what a template needs that a media does not have; empty when it has all."""
    from av_pipelines.videos.templates import TEMPLATES

    missing = [a for a in TEMPLATES[template].needs if store.current(key, a) is None]
    return f"it has no {', no '.join(missing)}" if missing else ""


def project_of(
    studio: Studio,
    key: str,
    template: str,
    settings: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Path:
    """Write the project that a template makes of a media; return its folder.

    One that is there is left as it is: a person may have changed it, and it names the media by its
    key, so it is made of what the media is now.

    Args:
        studio: where the media is.
        key: of the media; ``ready`` for the template.
        template: its name.
        settings: of the template, by name.
        folder: where to; None: ``<store>/projects/<key>-<template>``.

    Raises:
        SettingsError: a setting that is not allowed.
        ValueError: the media has not what the template needs; it is named.
    """
    from av_pipelines.videos.project_file import FILE
    from av_pipelines.videos.templates import TEMPLATES, make_project

    folder = folder or studio.store.root / "projects" / f"{key}-{template.replace('_', '-')}"
    if (folder / FILE).exists():
        return folder
    given = materials_of(studio.store, key, TEMPLATES[template].wants)
    return make_project(template, settings or {}, given, folder)


def materials_of(store: Store, key: str, wants: str) -> Materials:
    """Return what the store has of a media, as the material that a template wants."""
    from av_pipelines.videos.templates.materials import Materials

    material = _material(store, key)
    name = re.sub(r"[\s_]+", " ", material.path.stem).strip()
    if wants == "pictures":
        return Materials(title=name, pictures=(material,))
    if wants == "film":
        return Materials(title=name, film=material)
    return Materials(title=name, song=material)


def _material(store: Store, key: str) -> Material:
    from av_pipelines.videos.project_parts import Named
    from av_pipelines.videos.templates.materials import Material

    source = store.current(key, "source")
    if source is None:
        raise ValueError(f"{key}: its source is not in the store; take the file again")
    audio, picture = store.current(key, "audio"), store.current(key, "picture")
    transcript, scenes = store.current(key, "transcript"), store.current(key, "scenes")
    return Material(
        path=source.dir / source.manifest.facts["file"],
        source=Named(media=key),
        duration_s=source.manifest.facts.get("duration_s"),
        audio=audio and audio.first("audio.flac", "audio.w64"),
        transcript=transcript and transcript.file("transcript.json"),
        loudness=audio and audio.file("loudness.json"),
        scenes=scenes and scenes.file("scenes.json"),
        picture=picture and picture.file(picture.manifest.facts["file"]),
    )
