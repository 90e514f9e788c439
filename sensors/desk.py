"""What a sensor of a watch folder works with, besides the folder itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from av_pipelines.dagster_assets import BATCH
from av_pipelines.maker import Studio
from av_pipelines.settings import Recipe, Settings


@dataclass(frozen=True)
class Desk:
    """The studio, and what is made of a recipe."""

    studio: Studio
    settings: Mapping[str, type[Settings]]
    """Asset → settings model, to check sidecars."""
    assets_of: Callable[[Recipe], list[str]]
    most_files: int
    """Most files in a run."""


def open_desk() -> Desk:
    """Open the studio of the environment; touches nothing on disk."""
    from av_pipelines.makers import SETTINGS, assets_of, open_studio

    return Desk(open_studio(), SETTINGS, assets_of, BATCH)
