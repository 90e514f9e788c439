"""A dropped file gets a run, once, with its recipe; what cannot be taken is told of."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast
from uuid import uuid4

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.inboxes import Inbox as Box
from av_pipelines.maker import Studio
from av_pipelines.settings import Recipes, Settings
from partitions.keys import media_key
from partitions.media import media_partitions
from resources.ledger import Ledger
from resources.store import Store
from sensors import tick as ticks
from sensors.desk import Desk
from sensors.inbox import inbox_sensor
from sensors.runs import slots
from sensors.tick import MOST_KEYS
from sensors.writers import Writing

MEDIA = str(media_partitions.name)


class ToySettings(Settings):
    """Settings of both toy assets."""

    ending: str = "!"


SETTINGS: dict[str, type[Settings]] = {"source": ToySettings, "shout": ToySettings}


class Inbox:
    """An inbox with a sensor, played by hand: time passes only when a test says so."""

    def __init__(
        self,
        studio: Studio,
        box: Box | None = None,
        writers: Callable[[Path], Writing] = lambda folder: lambda path: None,
    ) -> None:
        self.studio, self.store = studio, studio.store
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None
        self.now = time.time()
        self.slept = 0.0
        self.skipped = ""
        self.meanwhile: Callable[[], object] = lambda: None
        self.sensor = inbox_sensor(
            dg.define_asset_job("media"),
            self.desk,
            clock=lambda: self.now,
            sleep=self.sleep,
            inbox=box,
            writers=writers,  # if nothing is said: as on a network drive
        )
        self.folder = box.path if box else self.store.inbox
        self.store.inbox.mkdir(parents=True)
        folder = self.store.root / "recipes"
        folder.mkdir()
        (folder / "auto.toml").write_text('assets = ["source", "shout"]\n')
        (folder / "podcast.toml").write_text('assets = ["source"]\n')

    def desk(self) -> Desk:
        return Desk(self.studio, SETTINGS, lambda recipe: list(recipe.assets), most_files=25)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds
        self.meanwhile()

    def drop(self, name: str, data: str | bytes = "x") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def evaluate(self, pause: float = 5) -> dg.SensorResult:
        """One tick, without what Dagster does with its result."""
        self.now += pause
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = self.sensor(context)
        if isinstance(result, dg.SkipReason):
            result = dg.SensorResult(skip_reason=result, cursor=self.cursor)
        result = cast("dg.SensorResult", result)
        reason = result.skip_reason
        self.skipped = reason.skip_message or "" if isinstance(reason, dg.SkipReason) else ""
        return result

    def tick(self, pause: float = 5) -> list[dg.RunRequest]:
        """One tick, and what the daemon does with it up to the runs."""
        result = self.evaluate(pause)
        self.add_keys(result)
        self.cursor = result.cursor
        return list(result.run_requests or [])

    def add_keys(self, result: dg.SensorResult) -> None:
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(MEDIA, list(request.partition_keys))

    def start(
        self, request: dg.RunRequest, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
    ) -> str:
        """Make the run that was requested, as the daemon does; return its id."""
        run = dg.DagsterRun(
            job_name="media",
            run_id=str(uuid4()),
            status=status,
            tags={
                **request.tags,
                "dagster/run_key": str(request.run_key),
                "dagster/sensor_name": "inbox",
            },
        )
        self.instance.add_run(run)
        return run.run_id

    def begin(self, run_id: str) -> None:
        began = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="media")
        self.instance.report_dagster_event(began, run_id)

    def end(self, run_id: str, how: str) -> None:
        event = getattr(self.instance, f"report_run_{how}")
        event(self.instance.get_run_by_id(run_id))

    def keys_of(self, tags: Mapping[str, str]) -> list[str]:
        """The partitions that the tags of a run cover, as Dagster resolves them."""
        if "dagster/partition" in tags:
            return [tags["dagster/partition"]]
        known = list(self.instance.get_dynamic_partitions(MEDIA))
        first = known.index(tags["dagster/asset_partition_range_start"])
        return known[first : known.index(tags["dagster/asset_partition_range_end"]) + 1]

    def take(self, requests: Sequence[dg.RunRequest]) -> None:
        """Remove the files as their runs do when they took them."""
        for request in requests:
            for key in self.keys_of(request.tags):
                record = self.store.media(key)
                assert record
                Path(record.origin).unlink()


@contextlib.contextmanager
def played(folder: Path, box: Box | None = None) -> Iterator[Inbox]:
    store = Store(folder / "studio")
    recipes = Recipes(store.root / "recipes", SETTINGS)
    inbox = Inbox(Studio(store, Ledger(store.ledger_dir), recipes), box)
    with inbox.instance:
        yield inbox


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with played(tmp_path) as inbox:
        yield inbox


def key(name: str) -> str:
    return media_key(PurePosixPath(name))


# ---------------------------------------------------------------------- from file to run


def test_a_dropped_file_becomes_a_partition_and_a_run_of_its_recipe(inbox: Inbox) -> None:
    path = inbox.drop("podcast/Episode 1.wav")
    (request,) = inbox.tick()
    assert request.tags["dagster/partition"] == key("podcast/Episode 1.wav")
    assert request.tags["recipe"] == "podcast"
    assert request.asset_selection == [dg.AssetKey("source")]
    assert inbox.instance.get_dynamic_partitions(MEDIA) == [key("podcast/Episode 1.wav")]
    record = inbox.store.media(key("podcast/Episode 1.wav"))
    assert record
    assert (record.origin, record.claim, record.recipe) == (str(path), "move", "podcast")
    assert path.exists()  # only intake moves it, when its bytes are published


def test_a_file_directly_in_the_inbox_gets_the_auto_recipe(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    (request,) = inbox.tick()
    assert request.tags["recipe"] == "auto"
    assert request.asset_selection == [dg.AssetKey("source"), dg.AssetKey("shout")]


def test_the_second_look_is_taken_in_the_same_tick_two_seconds_later(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    assert len(inbox.tick()) == 1
    assert 2 <= inbox.slept < 2.5


def test_a_file_that_still_grows_is_left_alone(inbox: Inbox) -> None:
    def grow() -> None:
        with (inbox.store.inbox / "song.mp3").open("a") as file:
            file.write("more")

    inbox.meanwhile = grow
    for _ in range(5):
        grow()
        assert inbox.tick() == []
    assert "1 settling" in inbox.skipped


def test_a_sidecar_is_read_when_its_file_is_claimed(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    inbox.drop("song.mp3.toml", '[shout]\nending = "?"\n')
    assert len(inbox.tick()) == 1
    record = inbox.store.media(key("song.mp3"))
    assert record
    assert record.sidecar == {"shout": {"ending": "?"}}


def test_an_idle_inbox_costs_a_listing(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object) -> None:
        raise AssertionError("an idle tick asks nobody")

    monkeypatch.setattr(type(inbox.studio.recipes), "names", forbidden)
    monkeypatch.setattr(type(inbox.instance), "get_run_records", forbidden)
    monkeypatch.setattr(type(inbox.instance), "get_dynamic_partitions", forbidden)
    inbox.drop("podcast/prompts.toml")
    for _ in range(3):
        assert inbox.tick() == []
        assert inbox.skipped == "the inbox is empty"


def test_a_missing_inbox_forgets_nothing(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    inbox.tick()
    cursor = inbox.cursor
    inbox.store.inbox.rename(inbox.store.root / "unmounted")
    assert inbox.tick() == []
    assert "cannot list" in inbox.skipped
    assert inbox.cursor == cursor


# ---------------------------------------------------------------------- many files


def test_files_dropped_together_share_runs_by_recipe_as_ranges_of_neighbours(
    inbox: Inbox,
) -> None:
    for number in range(10):
        inbox.drop(f"{number}.mp3")
        inbox.drop(f"podcast/{number}.mp3")
    requests = inbox.tick()
    made = {}
    for request in requests:
        keys = inbox.keys_of(request.tags)
        assert len(keys) <= 25
        made |= dict.fromkeys(keys, request.tags["recipe"])
    assert made == {
        **{key(f"{number}.mp3"): "auto" for number in range(10)},
        **{key(f"podcast/{number}.mp3"): "podcast" for number in range(10)},
    }
    assert sum(len(inbox.keys_of(request.tags)) for request in requests) == 20


def test_known_files_dropped_again_are_covered_without_touching_their_neighbours(
    inbox: Inbox,
) -> None:
    known = [key(f"{number}.mp3") for number in range(8)]
    inbox.instance.add_dynamic_partitions(MEDIA, known)
    for name in ("1.mp3", "2.mp3", "5.mp3", "new.mp3"):
        inbox.drop(name)
    covered = [inbox.keys_of(request.tags) for request in inbox.tick()]
    assert {name for keys in covered for name in keys} == {
        key("1.mp3"),
        key("2.mp3"),
        key("5.mp3"),
        key("new.mp3"),
    }
    assert list(inbox.instance.get_dynamic_partitions(MEDIA)) == [*known, key("new.mp3")]


def test_a_heap_is_taken_some_files_a_tick_and_each_once(inbox: Inbox) -> None:
    for number in range(130):
        inbox.drop(f"{number:03}.mp3")
    taken: list[str] = []
    while len(taken) < 130:
        requests = inbox.tick()
        for request in requests:
            inbox.start(request)
        keys = [k for request in requests for k in inbox.keys_of(request.tags)]
        assert 0 < len(keys) <= min(MOST_KEYS, slots(inbox.instance) * 25)
        taken += keys
    assert sorted(taken) == sorted(key(f"{number:03}.mp3") for number in range(130))


def test_while_runs_wait_files_are_claimed_and_share_the_next_run(inbox: Inbox) -> None:
    waiting: list[str] = []
    for number in range(slots(inbox.instance)):
        inbox.drop(f"{number}.mp3")
        waiting.append(inbox.start(inbox.tick()[0], dg.DagsterRunStatus.NOT_STARTED))
    later = [f"later {number}.mp3" for number in range(20)]
    for name in later:
        inbox.drop(name)
        assert inbox.tick() == []
    assert "20 claimed" in inbox.skipped
    for name in later:
        assert inbox.store.media(key(name))
        assert "is being made" in (inbox.folder / f"{name}._IN_PROGRESS.txt").read_text()
    inbox.begin(waiting[0])
    requests = inbox.tick()
    assert sorted(k for r in requests for k in inbox.keys_of(r.tags)) == sorted(map(key, later))
    assert len(requests) < len(later) / 2


def test_a_claimed_file_that_changes_before_its_run_is_claimed_again(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "slots", lambda instance: 0)
    inbox.drop("song.mp3")
    assert inbox.tick() == []
    path = inbox.drop("song.mp3", "longer")
    assert inbox.tick() == []
    record = inbox.store.media(key("song.mp3"))
    assert record
    assert record.size == len("longer")
    path.unlink()
    inbox.tick()
    monkeypatch.undo()
    assert inbox.tick() == []


# ---------------------------------------------------------------------- once


def test_nothing_is_asked_twice_while_its_run_goes(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    inbox.start(inbox.tick()[0])
    for _ in range(5):
        assert inbox.tick(pause=600) == []
    assert "1 with runs" in inbox.skipped


def test_a_tick_that_is_played_again_asks_for_the_same_runs(inbox: Inbox) -> None:
    inbox.tick()
    for number in range(12):
        inbox.drop(f"{number}.mp3")
        inbox.drop(f"podcast/{number}.mp3")
    first = inbox.evaluate()
    inbox.add_keys(first)
    again = inbox.evaluate()  # Dagster died before it stored the cursor
    assert first.run_requests
    assert [r.run_key for r in again.run_requests or []] == [r.run_key for r in first.run_requests]
    assert [r.tags for r in again.run_requests or []] == [r.tags for r in first.run_requests]
    assert not again.dynamic_partitions_requests


def test_a_lost_cursor_asks_for_nothing_that_a_run_already_makes(inbox: Inbox) -> None:
    for number in range(3):
        inbox.drop(f"{number}.mp3")
    for request in inbox.tick():
        inbox.start(request)
    inbox.cursor = None
    inbox.drop("new.mp3")
    (request,) = inbox.tick()
    assert inbox.keys_of(request.tags) == [key("new.mp3")]


@given(st.lists(st.sampled_from(["drop", "whole", "early", "late", "half"]), max_size=12))
@settings(max_examples=15, deadline=None)
def test_wherever_dagster_dies_every_file_gets_one_run(steps: list[str]) -> None:
    """Dagster dies before it adds the keys, before it stores the cursor, or half way through.

    ``half``: it gives up after the first run was started, and goes back to the old cursor.
    """
    with tempfile.TemporaryDirectory() as folder, played(Path(folder)) as inbox:
        dropped: list[str] = []
        for step in [*steps, "whole", "whole"]:
            if step == "drop":
                dropped += [f"{len(dropped)}.mp3", f"podcast/{len(dropped)}.mp3"]
                for name in dropped[-2:]:
                    inbox.drop(name)
                continue
            result = inbox.evaluate()
            if step == "early":
                continue
            inbox.add_keys(result)
            if step == "late":
                continue
            requests = list(result.run_requests or [])
            if step == "whole":
                inbox.cursor = result.cursor
            for request in requests[: 1 if step == "half" else None]:
                inbox.start(request)
        runs = inbox.instance.get_runs()
        made = [key for run in runs for key in inbox.keys_of(run.tags)]
        assert sorted(made) == sorted(key(name) for name in dropped)


def test_a_cursor_that_somebody_edited_is_replaced(inbox: Inbox) -> None:
    inbox.cursor = "hello"
    inbox.drop("song.mp3")
    assert len(inbox.tick()) == 1


def test_the_same_file_dropped_again_after_it_was_taken_gets_a_run_of_its_own(
    inbox: Inbox,
) -> None:
    path = inbox.drop("song.mp3")
    os.utime(path, (1, 1))
    first = inbox.tick()
    inbox.end(inbox.start(first[0]), "failed")
    inbox.take(first)
    inbox.tick()
    os.utime(inbox.drop("song.mp3"), (1, 1))
    (second,) = inbox.tick()
    assert second.run_key != first[0].run_key
    assert second.tags["dagster/partition"] == first[0].tags["dagster/partition"]


def test_a_changed_file_is_asked_for_even_while_the_run_for_the_old_one_goes(
    inbox: Inbox,
) -> None:
    inbox.drop("song.mp3")
    inbox.start(inbox.tick()[0])
    inbox.drop("song.mp3", "longer")
    (request,) = inbox.tick()
    assert inbox.keys_of(request.tags) == [key("song.mp3")]


# ---------------------------------------------------------------------- runs that end


def test_a_file_that_its_run_left_behind_gets_two_more_runs_and_then_a_word(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    (request,) = inbox.tick()
    run_keys = {request.run_key}
    for pause in (60, 600):
        inbox.end(inbox.start(request), "failed")
        assert inbox.tick() == []
        assert "song.mp3: run " in inbox.skipped
        assert "ended as FAILURE" in inbox.skipped
        (request,) = inbox.tick(pause)
        run_keys.add(request.run_key)
    inbox.end(inbox.start(request), "failed")
    inbox.tick()
    assert inbox.tick(86_400) == []
    assert "song.mp3: given up after 3 runs" in inbox.skipped
    assert len(run_keys) == 3


def test_a_run_that_a_person_cancelled_is_not_started_again_until_the_file_is_touched(
    inbox: Inbox,
) -> None:
    path = inbox.drop("song.mp3")
    inbox.end(inbox.start(inbox.tick()[0]), "canceled")
    inbox.tick()
    assert inbox.tick(86_400) == []
    assert "CANCELED" in inbox.skipped
    path.touch()
    assert len(inbox.tick()) == 1


def test_a_run_that_dagster_will_retry_is_waited_for(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    run_id = inbox.start(inbox.tick()[0])
    inbox.end(run_id, "failed")
    inbox.instance.add_run_tags(run_id, {"dagster/will_retry": "true"})
    assert inbox.tick(3600) == []
    assert "1 with runs" in inbox.skipped
    inbox.instance.add_run_tags(run_id, {"dagster/will_retry": "false"})
    inbox.tick()
    assert len(inbox.tick(60)) == 1


def test_a_run_that_was_never_queued_does_not_hold_its_files_for_ever(inbox: Inbox) -> None:
    inbox.drop("song.mp3")
    (request,) = inbox.tick()
    run = dg.DagsterRun(
        job_name="media",
        run_id=str(uuid4()),
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags={**request.tags, "dagster/sensor_name": "inbox"},
    )
    inbox.instance.add_run(run)
    assert inbox.tick(60) == []
    inbox.tick(3600)
    assert len(inbox.tick(60)) == 1


# ---------------------------------------------------------------------- what cannot be taken


def test_a_folder_without_a_recipe_is_named_with_the_recipes_there_are(inbox: Inbox) -> None:
    inbox.drop("Podcats/one.wav")
    inbox.drop("Podcats/two.wav")
    inbox.drop("song.mp3")
    assert len(inbox.tick()) == 1
    assert inbox.tick() == []
    assert "Podcats/ holds 2 files, but there is no recipe 'Podcats'; there are: " in (
        inbox.skipped
    )
    (inbox.store.root / "recipes" / "Podcats.toml").write_text('assets = ["source"]\n')
    assert sum(len(inbox.keys_of(request.tags)) for request in inbox.tick()) == 2


def test_a_wrong_sidecar_holds_its_file_only_and_is_read_again_when_it_changes(
    inbox: Inbox,
) -> None:
    inbox.drop("good.mp3")
    inbox.drop("bad.mp3")
    sidecar = inbox.drop("bad.mp3.toml", "[shout]\nvolume = 11\n")
    (request,) = inbox.tick()
    assert inbox.keys_of(request.tags) == [key("good.mp3")]
    inbox.tick()
    assert f"bad.mp3: {sidecar}: unknown setting shout.volume; allowed: ending" in inbox.skipped
    inbox.drop("bad.mp3.toml", '[shout]\nending = "?"\n')
    (request,) = inbox.tick()
    assert inbox.keys_of(request.tags) == [key("bad.mp3")]


@pytest.mark.parametrize(
    "sidecar",
    ["[" * 50_000, "[shout]\nending = " + "9" * 5000, "# " + "x" * 300_000, b"\xff\xfe"],
    ids=["nested", "huge number", "huge", "binary"],
)
def test_a_hostile_sidecar_stops_nothing_else(inbox: Inbox, sidecar: str | bytes) -> None:
    inbox.drop("good.mp3")
    inbox.drop("bad.mp3")
    inbox.drop("bad.mp3.toml", sidecar)
    (request,) = inbox.tick()
    assert inbox.keys_of(request.tags) == [key("good.mp3")]
    inbox.tick()
    assert "bad.mp3: " in inbox.skipped


def test_a_sidecar_that_is_a_pipe_or_a_link_is_not_opened(inbox: Inbox) -> None:
    inbox.drop("pipe.mp3")
    os.mkfifo(inbox.store.inbox / "pipe.mp3.toml")
    inbox.drop("link.mp3")
    (inbox.store.inbox / "link.mp3.toml").symlink_to("/dev/zero")
    assert inbox.tick() == []
    assert inbox.skipped.count("a sidecar is a plain file") == 2


def test_a_broken_recipe_holds_its_own_folder_only(inbox: Inbox) -> None:
    recipe = inbox.store.root / "recipes" / "podcast.toml"
    recipe.write_text('assets = ["sauce"]\n')
    inbox.drop("podcast/one.wav")
    inbox.drop("song.mp3")
    requests = inbox.tick()
    assert inbox.keys_of(requests[0].tags) == [key("song.mp3")]
    inbox.take(requests)
    inbox.tick()
    assert f"podcast/one.wav: {recipe}: assets = ['sauce']; allowed:" in inbox.skipped
    recipe.write_text('assets = ["source"]\n')
    (request,) = inbox.tick(120)
    assert inbox.keys_of(request.tags) == [key("podcast/one.wav")]


def test_a_link_is_named_and_left_alone(inbox: Inbox) -> None:
    (inbox.store.inbox / "link.mp3").symlink_to("/etc/hostname")
    assert inbox.tick() == []
    assert "left alone, because a link or no plain file: link.mp3" in inbox.skipped


def test_a_name_that_is_not_utf_8_is_told_of_and_stops_nothing(inbox: Inbox) -> None:
    name = os.fsdecode(b"caf\xe9\n.mp3")
    try:
        inbox.drop(name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    inbox.drop("song.mp3")
    assert len(inbox.tick()) == 1
    inbox.tick()
    assert r"caf\udce9\n.mp3: its name is not UTF-8: rename it" in inbox.skipped
    inbox.skipped.encode()


def test_an_empty_file_is_asked_for_after_a_while(inbox: Inbox) -> None:
    inbox.drop("song.mp3", "")
    assert inbox.tick() == []
    assert inbox.tick(20) == []
    assert len(inbox.tick(15)) == 1


def test_a_store_that_cannot_be_written_is_told_of_and_loses_nothing(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.drop("song.mp3")
    with monkeypatch.context() as full:

        def no_space(record: object) -> None:
            raise OSError(28, "No space left on device")

        full.setattr(inbox.store, "save", no_space)
        assert inbox.tick() == []
        assert "song.mp3: [Errno 28] No space left on device" in inbox.skipped
    assert len(inbox.tick(61)) == 1


def test_warnings_are_logged_when_they_are_new_and_now_and_then(
    inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    (inbox.store.inbox / "link.mp3").symlink_to("/etc/hostname")
    seen = []
    for pause in (5, 5, 5, 700):
        inbox.tick(pause)
        seen.append(capsys.readouterr().err.count("link.mp3"))
        assert "link.mp3" in inbox.skipped
    assert seen == [1, 0, 0, 1]


# ---------------------------------------------------------------------- Dagster


@dg.asset(partitions_def=media_partitions)
def source() -> None:
    """Stands for a maker: only what runs are asked for matters here."""


@dg.asset(partitions_def=media_partitions, deps=[source])
def shout() -> None:
    """Stands for another one."""


def test_dagster_accepts_what_the_sensor_asks_for(inbox: Inbox) -> None:
    job = dg.define_asset_job("media", selection=[source, shout])
    sensor = inbox_sensor(job, inbox.desk, clock=lambda: inbox.now, sleep=inbox.sleep)
    definitions = dg.Definitions(assets=[source, shout], jobs=[job], sensors=[sensor])
    for number in range(3):
        inbox.drop(f"{number}.mp3")
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(
            instance=instance, repository_def=definitions.get_repository_def()
        )
        data = sensor.evaluate_tick(context)
    (request,) = data.run_requests or []
    assert request.tags["dagster/sensor_name"] == "inbox"  # by which unfinished runs are found
    assert request.asset_selection == [dg.AssetKey("source"), dg.AssetKey("shout")]
    (added,) = data.dynamic_partitions_requests or []
    assert sorted(added.partition_keys) == sorted(key(f"{number}.mp3") for number in range(3))
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
