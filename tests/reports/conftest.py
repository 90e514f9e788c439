"""A studio whose history is told line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from resources.ledger import Entry, Event, Ledger
from resources.manifest import InputRef, Manifest
from resources.metering import Cost
from resources.store import Store, describe_files

START = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


class History:
    """Publishes small artifacts and writes ledger entries, one a minute from 23:00 UTC."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.ledger = Ledger(self.store.ledger_dir)
        self.minutes = 0

    def make(
        self,
        key: str,
        asset: str,
        *,
        version: str | None = None,
        of: Sequence[Manifest] = (),
        files: Mapping[str, bytes] | None = None,
        facts: Mapping[str, Any] | None = None,
        cost: Cost | None = None,
        **more: Any,
    ) -> Manifest:
        """Publish an artifact, link it, record it as made."""
        spent = cost or Cost(wall_s=1, cpu_s=2)
        with self.store.stage() as folder:
            for name, data in (files or {f"{asset}.bin": b"0123456789"}).items():
                (folder / name).write_bytes(data)
            manifest = Manifest(
                asset=asset,
                partition=key,
                version=version or sha256(f"{key} {asset}".encode()).hexdigest(),
                created=START,
                code_version="1",
                settings={},
                inputs=tuple(
                    InputRef(asset=m.asset, partition=m.partition, version=m.version) for m in of
                ),
                files=describe_files(folder),
                facts=dict(facts or {}),
                cost=spent,
                **more,
            )
            artifact = self.store.publish(folder, manifest)
        self.store.link(key, artifact)
        self.note("made", key, asset, manifest=manifest, cost=spent)
        return manifest

    def reuse(self, key: str, manifest: Manifest) -> None:
        """Record that a media got an artifact that was there."""
        artifact = self.store.find(manifest.asset, manifest.version)
        assert artifact
        self.store.link(key, artifact)
        self.note("reused", key, manifest.asset, manifest=manifest)

    def note(
        self,
        event: Event,
        key: str,
        asset: str,
        *,
        origin: str | None = None,
        recipe: str | None = "auto",
        **more: Any,
    ) -> Path:
        """Write one entry; return its file."""
        self.minutes += 1
        entry = Entry(
            event=event,
            partition=key,
            asset=asset,
            ts=START + timedelta(minutes=self.minutes),
            origin=origin or f"/in/auto/{key}.wav",
            recipe=recipe,
            **more,
        )
        return self.ledger.append(entry)


ROOT = "stu'dio [1]"  # a path that a careless quote or glob would break


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / ROOT)


@pytest.fixture(scope="module")
def kept_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """One for all tests of a module, for those that only ask."""
    return History(tmp_path_factory.mktemp("kept") / ROOT)
