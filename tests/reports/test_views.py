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


def spent(history: Any, key: str, asset: str, **more: Any) -> None:
    """Half a minute of media on the CPU: 15 s of work for 0.03 $, twice real time."""
    facts = {"duration_s": 30.0, "realtime_factor": 2.0, "device": "cpu"}
    cost = Cost(wall_s=15, cpu_s=12, usd=0.03)
    history.make(key, asset, facts=facts, cost=cost, engine="loud", **more)


def test_costs_are_summed_by_day_asset_engine_device_and_recipe(history):
    history.minutes = 57  # what comes next is of two days
    spent(history, ADA, "master")
    spent(history, ADA, "stems")
    spent(history, BEN, "master")
    history.note("failed", BEN, "stems", reason="no space", recipe="music")
    columns = "made, reused, failed, round(cpu_s), round(usd, 2), media_s"
    per = {
        what: ask(history, f"select {what}, {columns} from cost_per_{what} order by 1")
        for what in ("day", "asset", "engine", "device", "recipe")
    }
    assert per["day"] == [
        ["2026-03-01", 2, 0, 0, 24.0, 0.06, 60.0],
        ["2026-03-02", 1, 0, 1, 12.0, 0.03, 30.0],
    ]
    assert per["asset"] == [
        ["master", 2, 0, 0, 24.0, 0.06, 60.0],
        ["stems", 1, 0, 1, 12.0, 0.03, 30.0],
    ]
    assert per["engine"][0] == ["loud", 3, 0, 0, 36.0, 0.09, 90.0]
    assert per["device"][0] == ["cpu", 3, 0, 0, 36.0, 0.09, 90.0]
    assert per["recipe"] == [
        ["auto", 3, 0, 0, 36.0, 0.09, 90.0],
        ["music", 0, 0, 1, 0.0, None, None],
    ]


def test_a_minute_of_media_and_a_recipe_have_a_price(history):
    spent(history, ADA, "master")
    spent(history, BEN, "master")
    history.make(ADA, "frames", cost=Cost(wall_s=2, cpu_s=1, usd=0.01))  # no length is known
    sql = "select media_min, wall_s, cpu_s, usd from cost_per_media_minute where asset = 'master'"
    assert ask(history, sql) == [[1.0, 30.0, 24.0, 0.06]]
    sql = "select asset, wall_s, cpu_s, round(usd, 3) from would_cost('auto', 10)"
    assert ask(history, sql) == [["frames", 2.0, 1.0, 0.01], ["master", 300.0, 240.0, 0.6]]
    history.make(BEN, "master", version="v2", facts={"duration_s": 30.0}, cost=Cost(cpu_s=1))
    sql = "select usd from would_cost('auto', 10) where asset = 'master'"
    assert ask(history, sql) == [[None]]  # some of it has no price: not known, and not less


def test_speeds_are_told_day_by_day(history):
    history.minutes = 58
    spent(history, ADA, "master")
    spent(history, BEN, "master")
    sql = "select day, asset, device, made, realtime_factor from speeds order by day"
    assert ask(history, sql) == [
        ["2026-03-01", "master", "cpu", 1, 2.0],
        ["2026-03-02", "master", "cpu", 1, 2.0],
    ]


def test_failures_that_differ_in_names_and_figures_only_are_one_reason(history):
    for key, seconds in ((ADA, 7.25), (BEN, 30)):
        reason = f"{key}.wav says 60 s but holds {seconds} s: truncated"
        history.note("quarantined", key, "source", reason=reason, origin=f"/in/{key}.wav")
    history.make(ADA, "source")
    sql = "select kind, times, partitions, unresolved, last_reason from failures_by_reason"
    assert ask(history, sql) == [
        [
            *["* says # s but holds # s: truncated", 2, 2, 1],
            f"{BEN}.wav says 60 s but holds 30 s: truncated",
        ]
    ]


def test_lineage_can_be_followed_up_and_down_all_the_way(history):
    source = history.make(ADA, "source", version="aa11")
    audio = history.make(ADA, "audio", version="bb22", of=[source])
    stems = history.make(ADA, "stems", version="cc33", of=[audio])
    history.make(ADA, "transcript", version="dd44", of=[audio, stems])
    history.make("film-0000000005", "timeline", version="ee55", of=[stems])
    assert ask(history, "select steps, asset, version from upstream('dd4')") == [
        [1, "audio", "bb22"],
        [1, "stems", "cc33"],
        [2, "source", "aa11"],
    ]
    assert ask(history, "select steps, asset, partition from downstream('aa11')") == [
        [1, "audio", ADA],
        [2, "stems", ADA],
        [2, "transcript", ADA],
        [3, "timeline", "film-0000000005"],
    ]


def test_storage_tells_what_old_versions_take(history):
    history.make(ADA, "audio", version="v1", files={"a": b"x" * 700})
    history.make(ADA, "audio", version="v2", files={"a": b"x" * 300})
    sql = "select asset, versions, bytes, current_bytes, superseded_bytes from storage_per_asset"
    assert ask(history, sql) == [["audio", 2, 1000, 300, 700]]


def test_an_empty_studio_answers_with_no_rows(history):
    for view in ("artifacts", "costs", "lineage", "failures", "storage", "media", "library"):
        assert ask(history, f"from {view}") == []
