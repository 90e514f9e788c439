"""Old artifacts go; the newest, the chosen ones and what those were made from never do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from av_pipelines.cli import run_app
from av_pipelines.retention import Retention, old_artifacts, read_retention, remove
from av_pipelines.settings import SettingsError
from resources.manifest import InputRef, Manifest
from resources.store import Artifact, Store, describe_files

NOW = datetime.now(UTC)
KEY = "talk-0123456789"
ALL = Retention(keep_versions=1, keep_days=0)


def publish(store: Store, asset: str, version: str, days: int, *inputs: InputRef) -> Artifact:
    with store.stage() as folder:
        (folder / "file").write_bytes(b"x" * 100)
        return store.publish(
            folder,
            Manifest(
                asset=asset,
                partition=KEY,
                version=version,
                created=NOW - timedelta(days=days),
                code_version="1",
                settings={},
                inputs=inputs,
                files=describe_files(folder),
            ),
        )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four versions of an audio, of 40, 30, 20 and 10 days ago; the newest is current."""
    store = Store(tmp_path / "studio")
    for days in (40, 30, 20, 10):
        store.link(KEY, publish(store, "audio", f"of{days}", days))
    return store


def versions(store: Store, rule: Retention) -> list[str]:
    return [old.version for old in old_artifacts(store, rule, NOW)]


def test_the_newest_versions_and_the_young_are_kept(store: Store) -> None:
    assert versions(store, ALL) == ["of40", "of30", "of20"]
    assert versions(store, Retention(keep_versions=2, keep_days=0)) == ["of40", "of30"]
    assert versions(store, Retention(keep_versions=1, keep_days=25)) == ["of40", "of30"]


def test_what_is_in_use_is_kept_with_what_it_was_made_from(store: Store) -> None:
    film = publish(
        store, "timeline", "film", 5, InputRef(asset="audio", partition=KEY, version="of30")
    )
    store.link("film-0123456789", film)
    chosen = store.find("audio", "of40")
    assert chosen
    store.add_take(KEY, chosen)
    assert versions(store, ALL) == ["of20"]


def test_removing_is_whole_and_spares_what_came_into_use(store: Store) -> None:
    old = old_artifacts(store, ALL, NOW)
    rescued = store.find("audio", "of30")
    assert rescued
    store.link("other-0123456789", rescued)
    assert [item.version for item in remove(store, old)] == ["of40", "of20"]
    assert store.find("audio", "of30")
    assert store.find("audio", "of40") is None
    assert store.current(KEY, "audio")


def test_avp_gc_lists_first_and_then_removes(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--store", str(store.root), "--keep-versions", "1", "--keep-days", "0"]
    assert run_app(["gc", "--dry-run", *where]) == 0
    assert "would go" in capsys.readouterr().out
    assert len(list(store.all_artifacts())) == 4
    assert run_app(["gc", *where]) == 0
    assert [a.version for a in store.all_artifacts()] == ["of10"]
    assert run_app(["gc", "--store", str(store.root), "--keep-versions", "0"]) == 2


def test_a_wrong_rule_names_its_file(store: Store) -> None:
    (store.root / "retention.toml").write_text("keep_versions = 0\n")
    with pytest.raises(SettingsError, match=r"retention\.toml: keep_versions"):
        read_retention(store)
