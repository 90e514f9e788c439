"""Runs are worth their start, keep all slots busy, and lose no file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensors.batching import MOST_BYTES, cut

MB = 1_000_000


def lengths(sizes: list[int], slots: int = 2) -> list[int]:
    return [len(run) for run in cut(sizes, slots, 25)]


def test_short_files_share_a_run_until_a_second_one_pays() -> None:
    assert lengths([50_000] * 4) == [4]
    assert lengths([50_000] * 10) == [5, 5]


def test_songs_are_spread_over_the_slots() -> None:
    assert lengths([8 * MB] * 2) == [1, 1]
    assert lengths([8 * MB] * 10) == [5, 5]
    assert lengths([8 * MB] * 12, slots=4) == [3, 3, 3, 3]


def test_slots_get_equal_work_rather_than_equal_numbers() -> None:
    assert lengths([300 * MB, *[20 * MB] * 15]) == [1, 15]


def test_many_files_make_runs_of_at_most_25_and_keep_all_slots_busy_to_the_end() -> None:
    assert lengths([50_000] * 50) == [25, 25]
    assert lengths([50_000] * 60) == [15, 15, 15, 15]


def test_a_big_file_has_a_run_of_its_own() -> None:
    assert lengths([MB, 3 * MOST_BYTES, MB]) == [1, 1, 1]


def test_no_files_make_no_runs() -> None:
    assert cut([], 2, 25) == []


@given(
    st.lists(st.integers(0, 2 * MOST_BYTES), max_size=120), st.integers(1, 8), st.integers(1, 25)
)
def test_every_file_is_in_one_run_and_no_run_is_too_big(
    sizes: list[int], slots: int, most: int
) -> None:
    runs = cut(sizes, slots, most)
    assert [position for run in runs for position in run] == list(range(len(sizes)))
    for run in runs:
        assert 1 <= len(run) <= most
        assert len(run) == 1 or sum(sizes[position] for position in run) <= MOST_BYTES
