"""Which old artifacts may go: never the newest, never one that is in use.

Here: the rule, and removing by it. Not here: the terminal (``gc_command``).

In use is what the library shows, every take, and all that these were made from. Of the rest, each
partition keeps its newest versions, and all keep what is young.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from av_pipelines.settings import SettingsError
from resources.store import Artifact, Store

FILE = "retention.toml"


class Retention(BaseModel):
    """What ``<store>/retention.toml`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    keep_versions: int = Field(default=2, ge=1)
    """Newest versions that are kept of each asset of each partition."""
    keep_days: float = Field(default=30.0, ge=0)
    """What was made within so many days is kept."""


@dataclass(frozen=True)
class Old:
    """An artifact that may go."""

    asset: str
    version: str
    partition: str
    created: datetime
    bytes: int
    dir: Path


def read_retention(store: Store) -> Retention:
    """Read a store's rule; SettingsError says what is wrong in its file."""
    path = store.root / FILE
    try:
        return Retention(**tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return Retention()
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    except ValueError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None


def old_artifacts(store: Store, rule: Retention, now: datetime | None = None) -> list[Old]:
    """Return what may go by a rule, oldest first.

    Args:
        store: whose artifacts.
        rule: what is kept.
        now: None means the clock.
    """
    oldest_kept = (now or datetime.now(UTC)) - timedelta(days=rule.keep_days)
    everything = {(a.manifest.asset, a.version): a for a in store.all_artifacts()}
    kept = _in_use(store, everything)
    groups: dict[tuple[str, str], list[Artifact]] = {}
    for artifact in everything.values():
        place = (artifact.manifest.asset, artifact.manifest.partition)
        groups.setdefault(place, []).append(artifact)
    found: list[Old] = []
    for artifacts in groups.values():
        artifacts.sort(key=lambda a: a.manifest.created, reverse=True)
        for artifact in artifacts[rule.keep_versions :]:
            m = artifact.manifest
            if (m.asset, m.version) not in kept and m.created < oldest_kept:
                size = sum(file.bytes for file in m.files)
                found.append(Old(m.asset, m.version, m.partition, m.created, size, artifact.dir))
    return sorted(found, key=lambda old: old.created)


def remove(store: Store, old: list[Old]) -> Iterator[Old]:
    """Remove artifacts; yield each that is gone. One that came into use meanwhile stays."""
    for item in old:
        if store.remove(item.asset, item.version):
            yield item


def _in_use(store: Store, everything: dict[tuple[str, str], Artifact]) -> set[tuple[str, str]]:
    """What the library shows, all takes, and what these were made from, however far back."""
    used: set[tuple[str, str]] = set()
    todo = list(store.linked())
    while todo:
        place = todo.pop()
        if place in used:
            continue
        used.add(place)
        artifact = everything.get(place)
        if artifact:
            todo += [(ref.asset, ref.version) for ref in artifact.manifest.inputs]
    return used
