"""The watch folder of prompts: a file in ``<store>/inbox/prompts`` becomes a request for a track.

Here: what differs from the inbox of media. Not here: when a file is whole and how often it is
tried (``inbox``, ``watching``), what a request is (``tracks.request``).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from av_pipelines.inboxes import Inbox, part_of_main
from av_pipelines.maker import Studio
from av_pipelines.settings import SIDECAR_SUFFIXES, SettingsError
from av_pipelines.track_queue import MOST, full, tags_of, under_way
from av_pipelines.tracks.errors import TrackError
from av_pipelines.tracks.request import key_of, read_prompt, settle, with_seed
from av_pipelines.tracks.settings import TrackSettings
from partitions.prompts import prompt_partitions
from resources.manifest import PromptRecord
from sensors.desk import Desk, open_desk
from sensors.listing import DEFAULT_RECIPE, Candidate, Found, find
from sensors.tick import Tick
from sensors.watching import Decision, Memory, Ready, mark_of

NAME = "prompts"
FOLDER = "prompts"


def prompts_sensor(
    job: Any,
    desk: Callable[[], Desk] = open_desk,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> dg.SensorDefinition:
    """Return the sensor that watches ``inbox/prompts``; arguments as of ``inbox_sensor``."""

    @dg.sensor(
        name=NAME,
        job=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes prompts from inbox/prompts: *.prompt.toml, or text that is the prompt.",
    )
    def prompts(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return _Tick(context, desk(), clock, sleep).result()

    return prompts


class _Tick(Tick):
    name = NAME
    partitions = prompt_partitions

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        desk: Desk,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(context, replace(desk, most_files=1), clock, sleep)
        self._settings: dict[str, TrackSettings] = {}

    def box(self, studio: Studio) -> Inbox:
        return part_of_main(studio.store.root, FOLDER)

    def find(self, late: Callable[[], bool]) -> Found:
        """List the prompts; to the inbox of media their names are those of sidecars."""
        if not self._inbox.is_dir():
            return Found()
        found = find(self._inbox, late)
        with os.scandir(self._inbox) as scan:
            sidecars = [e.name for e in scan if e.name.endswith(SIDECAR_SUFFIXES) and e.is_file()]
        found.files = [replace(file, sidecars=()) for file in found.files if "/" not in file.path]
        found.files += [Candidate(name) for name in sorted(sidecars) if name[0] != "."]
        return found

    def recipes(self) -> Sequence[str]:
        return [DEFAULT_RECIPE]

    def room(self, memory: Memory) -> int:
        return max(0, MOST - under_way(self._context.instance, self._desk.studio.store))

    def most_asked(self, waiting: int) -> int:
        return MOST  # each has a run of its own, and there are no more than may wait

    def how(self, file: Ready) -> str:
        return "as a track"

    def remarks(self, decision: Decision, taken: Mapping[str, Ready]) -> list[str]:
        waiting = len(decision.ready) - len(taken)
        held = under_way(self._context.instance, self._desk.studio.store) + len(taken)
        if held < MOST:  # those that wait are wrong, and were told of
            return []
        return [f"QUEUE_FULL: {full()}; {waiting} prompts stay here until then"] if waiting else []

    def assets(self, recipe: str) -> Sequence[str]:
        return ["track"]

    def tags(self, keys: Sequence[str]) -> Mapping[str, str]:
        return tags_of(self._settings[keys[0]])

    def register(self, path: Path, file: Ready, facts: os.stat_result) -> str:
        try:
            recipe = self._desk.studio.recipes.get(DEFAULT_RECIPE)
            # the same drop has the same seed, also when this tick is played again
            mark = f"{mark_of(file.seen)} {facts.st_ctime_ns}"
            seed = int.from_bytes(hashlib.blake2b(mark.encode(), digest_size=4).digest())
            values = with_seed(read_prompt(path), seed)
            settings = settle((recipe.where, recipe.settings.get("track", {})), (path.name, values))
        except TrackError as error:
            raise SettingsError(str(error)) from None
        key = key_of(settings)
        self._settings[key] = settings
        self._desk.studio.store.save(
            PromptRecord(
                key=key, origin=str(path), sidecar={"track": values}, mtime_ns=facts.st_mtime_ns
            )
        )
        return key
