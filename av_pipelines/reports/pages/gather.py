"""What the page of one media has to show, from its current artifacts.

Here: what is known of the media, and its artifacts in order. Not here: one artifact (``shown``),
what is played and drawn (``desk``), how it looks (``media.html.j2``), the way from one artifact to
another (``graph``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from av_pipelines.reports.pages.desk import desk_of
from av_pipelines.reports.pages.naming import KINDS, name_of
from av_pipelines.reports.pages.shown import Shown, line
from partitions.keys import is_key
from resources.manifest import MediaRecord, PartitionRecord, Quarantine
from resources.store import Store


@dataclass
class Page:
    """All that the page of one media shows."""

    key: str
    name: str
    """What a person calls it."""
    record: PartitionRecord | None = None
    refused: Quarantine | None = None
    shown: list[Shown] = field(default_factory=list)
    """Its artifacts, each after what it was made from."""
    failures: Sequence[Mapping[str, Any]] = ()
    """``asset``, ``event``, ``reason`` and ``ts`` of what failed last and was not made since."""
    desk: dict[str, Any] = field(default_factory=dict)
    """What ``player.js`` is given; see ``desk_of``."""
    faults: list[str] = field(default_factory=list)
    """What could not be read."""

    @property
    def recipe(self) -> str | None:
        """The recipe it was taken with; only files have one."""
        return self.record.recipe if isinstance(self.record, MediaRecord) else None

    @property
    def state(self) -> str:
        """As in the catalog: done, partial, quarantined; ``empty`` where there is nothing."""
        if self.refused:
            return "quarantined"
        if self.failures:
            return "partial"
        return "done" if self.shown else "empty"

    @property
    def known(self) -> bool:
        """Whether the store knows this key at all."""
        return bool(self.record or self.refused or self.shown)

    def asset(self, name: str) -> Shown | None:
        """The artifact of an asset, if it is there."""
        return next((shown for shown in self.shown if shown.name == name), None)


def gather(store: Store, key: str, failures: Sequence[Mapping[str, Any]] = ()) -> Page:
    """Read what the page of a media shows.

    Args:
        store: where everything is.
        key: of the media, prompt or project.
        failures: rows of the catalog's view ``failures`` that are of this key and not resolved.

    Raises:
        ValueError: this cannot be a key.
    """
    if not is_key(key):
        raise ValueError(f"{key!r} is not a partition key of this project")
    page = Page(key, key, failures=failures)
    records = (_try(page, "its record", store.record, key, kind) for kind in KINDS)
    page.record = next(filter(None, records), None)
    page.refused = _try(page, "why it was refused", store.quarantined, key)
    known = page.record or page.refused
    page.name = (PurePosixPath(known.origin).name if known else "") or key
    if page.record:
        page.name = _try(page, "its title", name_of, store, page.record) or page.name
    for link in sorted((store.library / key).glob("[!.]*")):
        if not link.is_symlink():
            continue
        artifact = _try(page, link.name, store.current, key, link.name)
        if artifact:
            page.shown.append(Shown(artifact, f"../../library/{quote(key)}/{quote(link.name)}/"))
    page.shown = _in_order(page.shown)
    for one in page.shown:
        takes = _try(page, f"takes of {one.name}", store.takes, key, one.name) or {}
        folder = f"../../library/{quote(key)}/takes/{quote(one.name)}"
        one.takes = {n: Shown(take, f"{folder}/{n}/") for n, take in takes.items()}
    page.desk = desk_of(page.shown, page.faults)
    return page


def _in_order(shown: list[Shown]) -> list[Shown]:
    """Sort artifacts so that each comes after what it was made from."""
    waiting, done = {one.name: one for one in shown}, []
    while waiting:
        ready = [
            one
            for one in waiting.values()
            if not any(i.asset in waiting for i in one.artifact.manifest.inputs)
        ] or list(waiting.values())
        for one in ready:
            done.append(waiting.pop(one.name))
    return done


def _try(page: Page, what: str, ask: Callable[..., Any], *of: object) -> Any:
    """Ask the store; what cannot be read is a fault of the page, not its end."""
    try:
        return ask(*of)
    except (OSError, ValueError) as error:
        page.faults.append(f"{what}: {line(error)}")
        return None
