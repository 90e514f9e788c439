"""What the views say of a history that is known."""

from __future__ import annotations

from typing import Any

from av_pipelines.reports.catalog import query
from resources.manifest import ModelRef
from resources.metering import Cost

ADA, BEN = "ada-0000000001", "ben-0000000002"


def ask(history: Any, sql: str) -> list[list[Any]]:
    return query(history.store, sql)[1]


def test_costs_add_up_by_asset(history):
    for key in (ADA, BEN):
        history.make(key, "audio", cost=Cost(cpu_s=1.5))
        history.make(key, "transcript", cost=Cost(cpu_s=10, gpu_s=4))
    sums = ask(history, "select asset, sum(cpu_s), sum(gpu_s) from costs group by 1 order by 1")
    assert sums == [["audio", 3.0, 0.0], ["transcript", 20.0, 8.0]]


def test_a_price_nobody_gave_is_null_and_never_zero(history):
    history.make(ADA, "audio", cost=Cost(cpu_s=1))
    history.make(ADA, "master", cost=Cost(cpu_s=1, usd=0.25))
    history.reuse(BEN, history.make(BEN, "audio", cost=Cost(cpu_s=1)))
    assert ask(history, "select asset, sum(usd) from costs group by 1 order by 1") == [
        ["audio", None],
        ["master", 0.25],
    ]


def test_costs_have_the_day_and_the_media_they_were_for(history):
    history.minutes = 58  # the next entries are of 23:59 and 00:00
    history.make(ADA, "audio", facts={"duration_s": 90.0, "device": "cpu", "realtime_factor": 45})
    history.reuse(ADA, history.make(ADA, "master", engine="loud", facts={"device": "cuda"}))
    sql = "select day, event, engine, device, recipe, duration_s, realtime_factor from costs"
    assert ask(history, f"{sql} order by ts") == [
        ["2026-03-01", "made", None, "cpu", "auto", 90.0, 45.0],
        ["2026-03-02", "made", "loud", "cuda", "auto", None, None],
        ["2026-03-02", "reused", "loud", "cuda", "auto", None, None],
    ]


def test_an_artifact_that_two_media_share_is_one_row(history):
    shared = history.make(ADA, "audio", version="v1")
    history.reuse(BEN, shared)
    sql = "select partition, partitions, reused, created, last_used from artifacts"
    assert ask(history, sql) == [
        [ADA, [ADA, BEN], 1, "2026-03-01T23:01:00+00:00", "2026-03-01T23:02:00+00:00"]
    ]


def test_facts_are_typed_columns_of_artifacts(history):
    history.make(
        ADA,
        "transcript",
        engine="faster-whisper",
        model=ModelRef(name="base", sha256="ab"),
        degraded="small is not installed",
        facts={"words": 42, "language": "en", "integrated_lufs": -14.2, "custom": {"deep": 1}},
    )
    sql = """select engine, model, model_sha256, degraded, words, language, integrated_lufs, fps,
             facts ->> '$.custom.deep' from artifacts"""
    assert ask(history, sql) == [
        ["faster-whisper", "base", "ab", "small is not installed", 42, "en", -14.2, None, "1"]
    ]


def test_current_is_what_the_library_points_at(history):
    history.make(ADA, "master", version="old")
    history.make(ADA, "master", version="new")
    history.note("failed", ADA, "master", reason="no space")  # what was there stays
    history.make(BEN, "master", version="gone")
    history.note("skipped", BEN, "master", reason="there is no audio of this file")
    history.store.unlink(BEN, "master")
    current = ask(history, "select version from artifacts where current")
    linked = [history.store.current(key, "master") for key in (ADA, BEN)]
    assert current == [["new"]] == [[a.version] for a in linked if a]
    assert ask(history, "select partition, version from library") == [[ADA, "new"]]


def test_lineage_leads_from_an_artifact_to_what_it_was_made_from(history):
    source = history.make(ADA, "source", version="s1")
    audio = history.make(ADA, "audio", version="a1", of=[source])
    history.make(ADA, "master", version="m1", of=[audio])
    history.reuse(ADA, audio)
    assert ask(history, "from lineage order by asset") == [
        ["audio", ADA, "a1", "source", ADA, "s1"],
        ["master", ADA, "m1", "audio", ADA, "a1"],
    ]


def test_failures_say_why_where_from_and_whether_it_is_over(history):
    history.note("quarantined", ADA, "source", reason="truncated", origin="/in/ada.wav")
    history.note("failed", BEN, "master", reason="no space", origin="/in/ben.wav")
    history.make(BEN, "master")
    sql = "select event, asset, partition, origin, reason, resolved from failures order by ts"
    assert ask(history, sql) == [
        ["quarantined", "source", ADA, "/in/ada.wav", "truncated", False],
        ["failed", "master", BEN, "/in/ben.wav", "no space", True],
    ]


def test_storage_counts_each_artifact_once(history):
    files = {"a.flac": b"x" * 700, "b.png": b"y" * 300}
    history.reuse(BEN, history.make(ADA, "audio", version="v1", files=files))
    history.make(ADA, "audio", version="v2", files={"a.flac": b"z" * 5})
    sql = "select asset, version, files, bytes from storage order by version"
    assert ask(history, sql) == [["audio", "v1", 2, 1000], ["audio", "v2", 1, 5]]


def test_media_tells_where_each_file_stands(history):
    history.make(ADA, "source", version="s1", facts={"duration_s": 60.0})
    history.make(ADA, "master")
    history.make(BEN, "source", version="s2")
    history.note("failed", BEN, "master", reason="no space")
    history.note("quarantined", "cat-0000000003", "source", reason="not media")
    history.make("a-prompt-0000000004", "track")  # has no source: not a media
    sql = "select partition, state, reason, duration_s, artifacts, bytes from media order by 1"
    assert ask(history, sql) == [
        [ADA, "done", None, 60.0, 2, 20],
        [BEN, "partial", "no space", None, 1, 10],
        ["cat-0000000003", "quarantined", "not media", None, 0, 0],
    ]


def test_an_empty_studio_answers_with_no_rows(history):
    for view in ("artifacts", "costs", "lineage", "failures", "storage", "media", "library"):
        assert ask(history, f"from {view}") == []
