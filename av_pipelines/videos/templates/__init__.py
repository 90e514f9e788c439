"""Templates: a film from a song, a talk, a film or some pictures, without anybody editing.

A template is a function from settings and materials to a project, which is then made like any
other. Here: the table of templates, and writing the project. Not here: what a template does (a
module for each), what its materials are (``materials``).

To add one: its settings in ``settings``, its module with ``build``, its line in ``TEMPLATES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.videos.templates.settings import (
    AudiogramSettings,
    LyricVideoSettings,
    SlideshowSettings,
    TemplateSettings,
    TrailerSettings,
)

if TYPE_CHECKING:
    from av_pipelines.videos.templates.materials import Materials


@dataclass(frozen=True)
class Template:
    """One template, by what it needs.

    Attributes:
        description: for people.
        settings: its settings.
        wants: the part of the materials that must be there: ``song``, ``film`` or ``pictures``.
        needs: assets of that media which must be made before.
        uses: assets that are used where they are there.
    """

    description: str
    settings: type[TemplateSettings]
    wants: str
    needs: tuple[str, ...]
    uses: tuple[str, ...] = ()


TEMPLATES: Mapping[str, Template] = {
    "lyric_video": Template(
        "A song with its words, each lit up while it is sung, over pictures, clips or a drawn "
        "background.",
        LyricVideoSettings,
        "song",
        needs=("source", "audio", "transcript"),
        uses=("stems",),
    ),
    "audiogram": Template(
        "A talk or a piece of a podcast: its waveform, its title and what is said.",
        AudiogramSettings,
        "song",
        needs=("source", "audio", "transcript"),
    ),
    "trailer": Template(
        "The scenes of a film in which most happens, in short, with its title.",
        TrailerSettings,
        "film",
        needs=("source", "picture", "scenes"),
        uses=("audio",),
    ),
    "slideshow": Template(
        "Pictures that move slowly and turn into each other, with music.",
        SlideshowSettings,
        "pictures",
        needs=("source",),
        uses=("audio",),
    ),
}


def make_project(
    template: str, settings: Mapping[str, Any], materials: Materials, folder: Path
) -> Path:
    """Write the project of a template.

    Args:
        template: its name in ``TEMPLATES``.
        settings: as they were given, by name.
        materials: what it is made of.
        folder: of the project, made where it is not there; what is drawn or copied goes into its
            ``01_Assets``.

    Returns:
        The folder.

    Raises:
        SettingsError: a setting that is not allowed.
        ValueError: no such template, or a material is missing; it is named.
        StaleVersion: the folder has a project already.
    """
    from av_pipelines.videos.project_file import StaleVersion, project_file, save_project

    known = TEMPLATES.get(template)
    if known is None:
        raise ValueError(f"there is no template {template!r}; there are: {', '.join(TEMPLATES)}")
    checked = known.settings.merged(template, ("the settings", settings))
    if not getattr(materials, known.wants):
        raise ValueError(f"the template {template} needs {known.wants}, and none was given")
    (folder / "01_Assets").mkdir(parents=True, exist_ok=True)
    if (file := project_file(folder)).exists():  # before anything is drawn over its pictures
        raise StaleVersion(f"{file}: there is a project already; give the new one another folder")
    build = importlib.import_module(f"{__name__}.{template}").build
    save_project(folder, build(checked, materials, folder), 0)
    return folder
