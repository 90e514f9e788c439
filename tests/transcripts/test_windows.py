"""Windows: all the voice of a stream in pieces an engine can take, and the way back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.transcripts.speech import FRAME, FRAME_S, SAMPLE_RATE, Frames, detect
from av_pipelines.transcripts.windows import Window, cut

LONGEST_S = 6.0


def stream(flags: list[bool], block: int) -> list[Frames]:
    """Frames whose samples tell their place in the file, with voice where the flag is set."""
    samples = np.arange(len(flags) * FRAME, dtype=np.float32).reshape(-1, FRAME)
    voice = np.asarray(flags, np.float32)
    return [
        Frames(samples[i : i + block], voice[i : i + block]) for i in range(0, len(voice), block)
    ]


def runs(lengths: list[int]) -> list[bool]:
    """Silence and voice by turns, so many frames each."""
    return [bool(i % 2) for i, length in enumerate(lengths) for _ in range(length)]


some_runs = st.lists(st.integers(1, 400), max_size=12).map(runs)


@settings(max_examples=60, deadline=None)
@given(some_runs, st.integers(1, 400))
def test_windows_hold_every_voiced_sample_once_and_know_where_it_was(
    flags: list[bool], block: int
) -> None:
    windows = list(cut(stream(flags, block), LONGEST_S))

    taken = np.concatenate([np.zeros(0), *(w.samples for w in windows)]).astype(int)
    assert (np.diff(taken) > 0).all()
    assert all(w.duration_s <= LONGEST_S for w in windows)
    kept = set((taken // FRAME).tolist())
    for first, last in voiced_runs(flags):
        assert last - first < 3 or set(range(first, last)) <= kept
    for window in windows:
        for piece in window.pieces:
            assert window.samples[piece.offset] == piece.start
            middle_s = (piece.offset + piece.length / 2) / SAMPLE_RATE
            file_s = (piece.start + piece.length / 2) / SAMPLE_RATE
            assert np.allclose(window.in_file(middle_s, middle_s), file_s)


def voiced_runs(flags: list[bool]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff([False, *flags, False]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


@settings(max_examples=30, deadline=None)
@given(some_runs, st.integers(1, 400), st.integers(1, 400))
def test_blocks_do_not_matter(flags: list[bool], one: int, other: int) -> None:
    def seen(block: int) -> list[tuple[object, ...]]:
        return [(w.pieces, w.voiced) for w in cut(stream(flags, block), LONGEST_S)]

    assert seen(one) == seen(other)


def test_a_word_stays_in_its_piece() -> None:
    flags = runs([20, 40, 60, 40, 20])
    (window,) = cut(stream(flags, 50), LONGEST_S)
    first, second = window.pieces
    end_s = (first.start + first.length) / SAMPLE_RATE

    # 0.5 s of a word in the first piece that the engine let run on into the second
    edge_s = second.offset / SAMPLE_RATE
    assert window.in_file(edge_s - 0.5, edge_s + 0.1)[1] == end_s


def test_without_voice_there_is_no_window() -> None:
    assert list(cut(stream([False] * 500, 100), LONGEST_S)) == []


def test_everything_that_can_be_heard_is_taken_where_voice_does_not_decide() -> None:
    hum = 0.1 * np.sin(np.arange(SAMPLE_RATE * 20) * 0.1).astype(np.float32)
    silence = np.zeros(SAMPLE_RATE * 20, np.float32)

    windows = list(cut(detect([hum, silence]), LONGEST_S, everything=True))

    assert 19.5 < sum(w.duration_s for w in windows) < 21
    assert [span for w in windows for span in w.voiced] == []


def test_a_long_stretch_is_cut_where_it_is_quietest() -> None:
    samples = np.ones((400, FRAME), np.float32)
    samples[150] = 0.001  # 4.8 s, in the second half of the six that fit
    windows: list[Window] = list(cut([Frames(samples, np.ones(400, np.float32))], LONGEST_S))

    edges = [a.end_s for a, _ in pairwise(windows)]
    assert abs(edges[0] - 150.5 * FRAME_S) <= FRAME_S
