"""Media that were dropped for a template get their film once all that it needs is made.

A template is a recipe of its own: ``inbox/lyric_video/song.mp3`` is made like any media, and when
the last of its assets is there, a project is written and marked. Here: noticing that. Not here: the
project (``av_pipelines.template_projects``), its run (``projects``).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import dagster as dg

from av_pipelines.maker import Studio
from av_pipelines.makers import open_studio
from av_pipelines.template_projects import ASSETS, project_of, ready
from sensors.projects import mark_dropped

NAME = "templates"
_MOST_EVENTS = 100
_LAST = ("transcript", "scenes")
"""Assets of which one is the last that any template needs."""


def templates_sensor(studio: Callable[[], Studio] = open_studio) -> dg.SensorDefinition:
    """Return the sensor that follows what is made.

    Args:
        studio: opened anew in every tick.
    """

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes the project of media that were dropped for a template.",
        asset_selection=dg.AssetSelection.assets("timeline"),
    )
    def templates(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from av_pipelines.videos.templates import TEMPLATES

        opened = studio()
        cursors = json.loads(context.cursor or "{}")
        said: list[str] = []
        for asset in _LAST:
            found = context.instance.fetch_materializations(
                dg.AssetRecordsFilter(dg.AssetKey(asset), after_storage_id=cursors.get(asset, 0)),
                limit=_MOST_EVENTS,
                ascending=True,
            )
            for record in found.records:
                cursors[asset] = record.storage_id
                key = record.partition_key or ""
                media = opened.store.media(key)
                if media is None or media.recipe not in TEMPLATES:
                    continue
                if not ready(opened.store, key, media.recipe):
                    continue
                try:
                    mark_dropped(project_of(opened, key, media.recipe), ASSETS)
                except ValueError as error:
                    said.append(f"{key}: {error}")
        return dg.SensorResult(
            skip_reason=". ".join(said) or "nothing new for a template",
            cursor=json.dumps(cursors),
        )

    return templates
