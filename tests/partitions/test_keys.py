"""Keys are safe wherever they go, stay the same for the same path, and differ between paths."""

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from partitions.keys import MAX_KEY, is_key, media_key
from partitions.media import contiguous_ranges

names = st.text(min_size=1, max_size=300).filter(lambda s: "/" not in s and s not in (".", ".."))


@given(names, names)
def test_any_name_becomes_a_safe_key(folder: str, name: str) -> None:
    key = media_key(PurePosixPath(folder, name))
    assert is_key(key)
    assert len(key) <= MAX_KEY
    assert key == media_key(PurePosixPath(folder, name))


def test_the_same_name_in_two_folders_is_two_media() -> None:
    first, second = media_key(PurePosixPath("a/Ep 1.mp3")), media_key(PurePosixPath("b/Ep 1.mp3"))
    assert first.startswith("ep-1-")
    assert first != second


def test_names_that_could_leave_a_folder_are_not_keys() -> None:
    for text in (
        "../x-0123456789",
        "a/b-0123456789",
        "",
        "A-0123456789",
        "a-012345678",
        "a\n-0123456789",
    ):
        assert not is_key(text), text


@given(st.lists(st.integers(0, 60), unique=True, max_size=60), st.integers(1, 25))
def test_ranges_cover_what_is_wanted_and_nothing_else(wanted: list[int], most: int) -> None:
    known = [f"k{i}" for i in range(61)]
    covered: list[str] = []
    for first, last in contiguous_ranges(known, [f"k{i}" for i in wanted], most):
        part = known[known.index(first) : known.index(last) + 1]
        assert len(part) <= most
        covered += part
    assert covered == [f"k{i}" for i in sorted(wanted)]
