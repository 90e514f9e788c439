"""A file is handed on when it is whole: never before, never twice, and it is never lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import watching
from sensors.listing import Listing, Seen
from sensors.watching import (
    EMPTY_MS,
    HOLD_MS,
    QUIET_MS,
    RETRY_MS,
    SETTLE_MS,
    UNSTABLE_MS,
    Asked,
    Decision,
    Memory,
    mark_of,
)

START = 1_700_000_000_000
SONG = Seen("podcast/song.mp3", 1000, 5)


def look(memory: Memory, now: int, *files: Seen, going: set[str] | None = None) -> Decision:
    memory.forget(file.path for file in files)
    return memory.look(Listing(files), going or set(), START + now)


def ready(memory: Memory, now: int, *files: Seen, going: set[str] | None = None) -> list[str]:
    return [file.seen.path for file in look(memory, now, *files, going=going).ready]


def ask(memory: Memory, now: int, file: Seen, run_key: str) -> int:
    """Look, ask for the file in a run, and return which try it is."""
    (mine,) = look(memory, now, file).ready
    memory.ask(run_key, [mine])
    return mine.attempt


# ---------------------------------------------------------------------- whole


def test_a_file_is_whole_when_two_looks_two_seconds_apart_show_the_same() -> None:
    memory = Memory()
    assert ready(memory, 0, SONG) == []
    assert ready(memory, SETTLE_MS - 1, SONG) == []
    assert ready(memory, SETTLE_MS, SONG) == [SONG.path]


@pytest.mark.parametrize(
    "changed",
    [
        replace(SONG, size=1001),
        replace(SONG, mtime_ns=6),
        replace(SONG, sidecars=((10, 1),)),
    ],
    ids=["size", "time", "sidecar"],
)
def test_a_file_that_changed_has_to_settle_again(changed: Seen) -> None:
    memory = Memory()
    look(memory, 0, SONG)
    assert ready(memory, 10_000, changed) == []
    assert ready(memory, 10_000 + SETTLE_MS, changed) == [SONG.path]


def test_a_renamed_file_is_another_file() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    assert ready(memory, 5000, replace(SONG, path="podcast/Song.mp3")) == []


def test_a_file_that_something_still_writes_is_not_whole_however_long_it_stays_the_same() -> None:
    memory, film = Memory(), replace(SONG, writing="song.mp3.aria2")
    look(memory, 0, film)
    assert ready(memory, 60_000, film) == []
    assert ready(memory, 61_000, SONG) == [SONG.path]


def test_an_empty_file_is_handed_on_after_a_while_so_that_it_is_refused_with_a_reason() -> None:
    memory, empty = Memory(), replace(SONG, size=0)
    look(memory, 0, empty)
    assert ready(memory, EMPTY_MS - 1, empty) == []
    assert ready(memory, EMPTY_MS, empty) == [SONG.path]


def test_what_is_never_whole_is_told_of_after_an_hour_and_never_handed_on() -> None:
    memory = Memory()
    for now in range(0, UNSTABLE_MS, 60_000):
        decision = look(memory, now, replace(SONG, size=now))
        assert decision.ready == []
        assert decision.unstable == []
    decision = look(memory, UNSTABLE_MS, replace(SONG, size=7))
    assert decision.ready == []
    assert decision.unstable == [(replace(SONG, size=7), START)]


def test_one_more_look_is_worth_it_only_if_it_may_show_a_whole_file() -> None:
    assert look(Memory(), 0, SONG).soon == SETTLE_MS
    assert look(Memory(), 0, replace(SONG, size=0)).soon is None
    assert look(Memory(), 0, replace(SONG, writing="song.mp3.aria2")).soon is None
    assert look(Memory(), 0).soon is None


@pytest.mark.parametrize("jump", [-3_600_000, 3_600_000])
def test_a_clock_that_jumps_costs_a_file_two_looks_at_most(jump: int) -> None:
    memory = Memory()
    look(memory, 0, SONG)
    look(memory, jump, SONG)
    assert ready(memory, jump + SETTLE_MS, SONG) == [SONG.path]


# ---------------------------------------------------------------------- who has it open


def changed_at(ms: int, size: int = 1000) -> Seen:
    """The song as it is after something was done to it at this time."""
    at = (START + ms) * 1_000_000
    return Seen(SONG.path, size, at, ctime_ns=at)


def told(memory: Memory, now: int, seen: Seen, writing: bool | None) -> Decision:
    memory.forget([seen.path])
    return memory.look(Listing((seen,)), set(), START + now, lambda path: writing)


def test_what_nobody_has_open_is_whole_a_second_after_its_last_change() -> None:
    decision = told(Memory(), 300, changed_at(0), writing=False)
    assert (decision.ready, decision.soon) == ([], QUIET_MS - 300)
    assert told(Memory(), QUIET_MS, changed_at(0), writing=False).ready


def test_what_is_open_for_writing_is_not_whole_however_long_it_pauses() -> None:
    memory = Memory()
    for now in range(0, 60_000, 1000):
        decision = told(memory, now, changed_at(0), writing=True)
        assert (decision.ready, decision.soon) == ([], None)
    assert told(memory, 60_000, changed_at(0), writing=False).ready


def test_what_was_closed_and_is_written_again_has_to_stay_the_same_for_longer() -> None:
    memory = Memory()
    told(memory, 500, changed_at(0), writing=False)
    assert not told(memory, 1400, changed_at(900, 2000), writing=False).ready
    assert not told(memory, 2400, changed_at(900, 2000), writing=False).ready
    assert told(memory, 1400 + SETTLE_MS, changed_at(900, 2000), writing=False).ready


def test_a_sidecar_that_was_just_written_is_waited_for_too() -> None:
    fresh = replace(changed_at(0), sidecars=((10, (START + 2900) * 1_000_000),))
    assert not told(Memory(), 3000, fresh, writing=False).ready
    assert told(Memory(), 2900 + QUIET_MS, fresh, writing=False).ready


def test_a_change_in_the_future_proves_nothing_and_two_looks_have_to() -> None:
    memory = Memory()
    assert not told(memory, 0, changed_at(3_600_000), writing=False).ready
    assert told(memory, SETTLE_MS, changed_at(3_600_000), writing=False).ready


@dataclass
class World:
    """One file, the sensor's memory of it, and what must hold of everything handed on."""

    now: int = 0
    size: int = 0
    changed: int = 0
    memory: Memory = field(default_factory=Memory)
    looks: list[tuple[int, Seen]] = field(default_factory=list)
    handed: list[Seen] = field(default_factory=list)
    going: set[str] = field(default_factory=set)

    @property
    def file(self) -> Seen:
        return Seen("podcast/film.mkv", self.size, self.changed)

    def write(self, amount: int) -> None:
        self.size += amount
        self.changed += 1

    def tick(self, pause: int, *, crash: bool = False) -> None:
        """Look; after a crash Dagster comes back with the cursor of the tick before."""
        self.now += pause
        before = self.memory.dump()
        decision = look(self.memory, self.now, self.file, going=self.going)
        self.looks.append((self.now, self.file))
        for mine in decision.ready:
            since = [at for at, seen in self.looks if seen == mine.seen]
            assert self.now - since[0] >= SETTLE_MS
            assert all(seen == mine.seen for at, seen in self.looks if at >= since[0])
            self.handed.append(mine.seen)
            self.going.add(mine.mark)
            self.memory.ask(f"run-{len(self.handed)}", [mine])
        self.memory = Memory.load(before if crash else self.memory.dump())


events = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 1000)),
        st.tuples(st.just("tick"), st.integers(100, 6000)),
        st.tuples(st.just("crash"), st.integers(100, 6000)),
    ),
    max_size=60,
)


@given(events)
def test_a_growing_file_is_never_handed_on_early_never_lost_and_never_twice(
    steps: list[tuple[str, int]],
) -> None:
    world = World()
    world.write(1)
    for step, amount in steps:
        if step == "write":
            world.write(amount)
        else:
            world.tick(amount, crash=step == "crash")
    for _ in range(4):
        world.tick(SETTLE_MS)
    assert world.handed[-1] == world.file
    assert len(world.handed) == len(set(world.handed))


# ---------------------------------------------------------------------- asked


def test_a_file_is_not_asked_for_again_while_its_run_goes() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    ask(memory, 5000, SONG, "run")
    assert ready(memory, 3_600_000, SONG, going={mark_of(SONG)}) == []
    assert memory.finished({mark_of(SONG)}) == []


def test_a_file_whose_run_is_known_to_dagster_is_not_asked_for_even_if_the_cursor_is_lost() -> None:
    memory = Memory()
    look(memory, 0, SONG, going={mark_of(SONG)})
    assert ready(memory, 10_000, SONG, going={mark_of(SONG)}) == []


def test_a_file_left_behind_is_asked_for_two_more_times_and_then_given_up() -> None:
    memory, now = Memory(), 0
    look(memory, now, SONG)
    now += SETTLE_MS
    assert ask(memory, now, SONG, "first") == 1
    for attempt, pause in enumerate(RETRY_MS, start=2):
        (run_key,) = memory.finished(set())
        memory.ended(run_key, "run 12345678 ended as FAILURE", START + now)
        assert ready(memory, now + pause - 1, SONG) == []
        now += pause
        assert ask(memory, now, SONG, f"run {attempt}") == attempt
    memory.ended("run 3", "run 12345678 ended as FAILURE", START + now)
    assert ready(memory, now + 86_400_000, SONG) == []
    assert memory.waiting[mark_of(SONG)].why == (
        "given up after 3 runs (run 12345678 ended as FAILURE): touch it to try again"
    )


def test_a_given_up_file_that_changes_is_new() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    ask(memory, 5000, SONG, "run")
    memory.ended("run", "run 12345678 ended as CANCELED", START, final=True)
    touched = replace(SONG, mtime_ns=6)
    assert ready(memory, 10_000, touched) == []
    assert ask(memory, 10_000 + SETTLE_MS, touched, "again") == 1


def test_a_run_that_a_person_stopped_is_not_started_again() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    ask(memory, 5000, SONG, "run")
    memory.ended("run", "run 12345678 ended as CANCELED", START, final=True)
    assert ready(memory, 86_400_000, SONG) == []


def test_a_file_that_changes_while_its_run_goes_is_new() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    ask(memory, 5000, SONG, "run")
    changed = replace(SONG, mtime_ns=6)
    going = {mark_of(SONG)}
    assert ready(memory, 10_000, changed, going=going) == []
    assert ready(memory, 10_000 + SETTLE_MS, changed, going=going) == [SONG.path]


def test_the_same_file_dropped_again_is_told_from_the_first_time() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    (first,) = look(memory, 5000, SONG).ready
    memory.ask("run", [first])
    look(memory, 10_000)  # it is gone: its run took it
    again = replace(SONG, ctime_ns=99)
    look(memory, 15_000, again)
    (second,) = look(memory, 20_000, again).ready
    assert memory.run_key([first]) != memory.run_key([second])


def test_what_is_held_is_looked_at_again_after_a_minute_and_at_once_when_it_changes() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    (file,) = look(memory, 5000, SONG).ready
    memory.hold(file, "unknown setting", START + 5000)
    assert ready(memory, 5000 + HOLD_MS - 1, SONG) == []
    (again,) = look(memory, 5000 + HOLD_MS, SONG).ready
    assert again.attempt == 1
    mended = replace(SONG, sidecars=((30, 8),))
    look(memory, 6000, mended)
    assert ready(memory, 6000 + SETTLE_MS, mended) == [SONG.path]


def test_a_clock_that_was_set_back_does_not_put_off_the_next_try() -> None:
    memory = Memory()
    look(memory, 0, SONG)
    ask(memory, 5000, SONG, "run")
    memory.ended("run", "run 12345678 ended as FAILURE", START + 5000)
    assert ready(memory, -86_400_000, SONG) == [SONG.path]


# ---------------------------------------------------------------------- many files


def songs(number: int) -> list[Seen]:
    return [Seen(f"{index:05}.mp3", 1000, 1_000_000 - index) for index in range(number)]


def test_files_that_are_gone_are_forgotten() -> None:
    memory = Memory()
    one, two, three = songs(3)
    look(memory, 0, one, two, three)
    first, second, _ = look(memory, 5000, one, two, three).ready
    memory.ask("run", [first])
    memory.hold(second, "unknown setting", START)
    assert not memory.empty
    look(memory, 10_000)
    assert memory.empty


def test_of_a_heap_the_oldest_are_watched_and_the_cursor_stays_small() -> None:
    memory, heap = Memory(), songs(3000)
    decision = look(memory, 0, *heap)
    assert (len(memory.settling), decision.behind) == (watching.MOST_WATCHED, 2500)
    first = look(memory, SETTLE_MS, *heap).ready[0]
    assert first.seen == heap[-1]
    assert len(memory.dump()) < 25_000


def test_no_more_than_a_thousand_files_are_with_runs_and_the_rest_follows() -> None:
    memory, heap, asked = Memory(), songs(1300), set[str]()
    for tick in range(20):
        decision = look(memory, tick * 5000, *heap)
        files = decision.ready[: min(100, memory.room())]
        if files:
            memory.ask(f"run {tick}", files)
            asked.update(file.mark for file in files)
    assert len(asked) == watching.MOST_CLAIMED
    assert memory.room() == 0
    assert len(memory.dump()) < 50_000
    left = [song for song in heap if mark_of(song) not in asked]
    for tick in range(20, 40):  # the runs took what they were asked for
        decision = look(memory, tick * 5000, *left)
        if decision.ready:
            memory.ask(f"run {tick}", decision.ready[:100])
    assert {mark_of(song) for song in left} == memory.asked_marks


def test_files_a_look_had_no_time_for_stay_as_they_were() -> None:
    memory = Memory()
    one, two = songs(2)
    look(memory, 0, one, two)
    memory.forget([one.path, two.path])
    memory.look(Listing((two,), complete=False, resume=one.path), set(), START + 1000)
    assert set(ready(memory, SETTLE_MS, one, two)) == {one.path, two.path}


# ---------------------------------------------------------------------- the cursor


def test_the_cursor_holds_everything() -> None:
    memory = Memory(born=START, resume="podcast/é\udcff.mp3", said=("abc", 5))
    one, two, three, four, five = songs(5)
    look(memory, 0, one, two, three, four)
    first, second, third, fourth = look(memory, 5000, one, two, three, four, five).ready
    memory.ask("run", [first, second])
    memory.hold(third, "unknown setting", START)
    memory.claim(fourth)
    look(memory, 6000, one, two, three, four, replace(five, size=4))
    assert memory.claimed
    assert memory.settling
    assert Memory.load(memory.dump()) == memory


def test_a_claimed_file_is_offered_for_a_run_until_it_is_asked_for_gone_or_changed() -> None:
    memory = Memory()
    one, two, three = songs(3)
    look(memory, 0, one, two, three)
    for file in look(memory, 5000, one, two, three).ready:
        memory.claim(file)
    # the oldest first
    assert [file.seen for file in look(memory, 6000, one, two, three).claimed] == [three, two, one]
    decision = look(memory, 7000, one, replace(two, size=9))
    assert [file.seen for file in decision.claimed] == [one]
    assert decision.ready == []  # what changed has to settle again
    memory.ask("run", decision.claimed)
    assert look(memory, 8000, one).claimed == []


def test_a_claimed_file_keeps_the_count_of_its_runs() -> None:
    memory = Memory()
    (one,) = songs(1)
    look(memory, 0, one)
    memory.ask("run", look(memory, 5000, one).ready)
    memory.ended("run", "it failed", START)
    (again,) = look(memory, watching.RETRY_MS[0], one).ready
    memory.claim(again)
    assert [f.attempt for f in look(memory, 2 * watching.RETRY_MS[0], one).claimed] == [2]


def test_a_run_key_says_which_files_and_which_try_and_nothing_of_when() -> None:
    memory = Memory(born=START)
    look(memory, 0, SONG)
    cursor = memory.dump()
    early, late = Memory.load(cursor), Memory.load(cursor)
    keys = {
        early.run_key(look(early, 5000, SONG).ready),
        late.run_key(look(late, 90_000, SONG).ready),
    }
    assert len(keys) == 1
    first = look(memory, 5000, SONG).ready[0]
    keys.add(memory.run_key([replace(first, attempt=2)]))
    keys.add(Memory(born=START + 1).run_key([first]))
    assert len(keys) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"v":1}', '{"v":2}', '{"v":2,"settling":3}'])
def test_a_cursor_that_somebody_edited_is_an_error_and_not_a_surprise(text: str) -> None:
    with pytest.raises(ValueError, match="cursor is not what it wrote"):
        Memory.load(text)


def test_files_of_a_run_that_was_killed_with_the_daemon_are_never_given_up() -> None:
    memory = Memory()
    for attempt in range(1, 8):
        memory.asked["run"] = Asked((attempt,), ("placemarkstate",))
        memory.ended("run", "it was killed", 1_000, killed=True)
        assert memory.waiting["placemarkstate"].until == 1_000 + RETRY_MS[0]
