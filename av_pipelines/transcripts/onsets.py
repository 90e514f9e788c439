"""Onsets: where the sound of a word begins, to correct a recogniser's times by.

A recogniser's attention tells in which order words come better than when: it has no silence, so
that the word after a pause often begins with the pause. Here: taking quiet places out of words.
Not here: starts inside flowing speech, which have no onset to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from av_pipelines.transcripts.speech import SAMPLE_RATE
from av_pipelines.transcripts.words import Word

HOP = 80  # 5 ms
HOP_S = HOP / SAMPLE_RATE

REACH_S = 0.35
"""A start this far from the end of a quiet place is meant to be there."""

QUIET_S = 0.08
"""A shorter quiet place is the closure of a consonant."""

QUIET_DB = 26.0
"""Quiet: this much below the loudest of the half second before and after."""

SILENT_DB = -70.0
LEAST_WORD_S = 0.04


def refine(words: Sequence[Word], samples: np.ndarray) -> list[Word]:
    """Move starts of words that are in or near a quiet place to its end, and ends to its start.

    Args:
        words: in order; seconds from the start of ``samples``.
        samples: mono, 16 kHz.
    """
    quiet = _quiet_places(samples)
    refined: list[Word] = []
    for item, after in zip(words, [*words, None][1:], strict=True):
        start, end = item.start_s, item.end_s
        before = refined[-1].start_s if refined else -1.0
        latest = max(end - LEAST_WORD_S, after.start_s if after else 0.0)
        for first, last in quiet:
            mostly = min(last, end) - max(first, start) > (end - start) / 2
            near = first <= start <= last or abs(start - last) <= REACH_S
            if (near or mostly) and before < last < (latest if mostly else end - LEAST_WORD_S):
                start = last
        for first, last in quiet:
            if first <= end <= last and first > start + LEAST_WORD_S:
                end = first
        refined.append(replace(item, start_s=start, end_s=max(end, start)))
    return refined


def _quiet_places(samples: np.ndarray) -> list[tuple[float, float]]:
    """Return where it is quiet, from when to when, in seconds."""
    if len(samples) < 4 * HOP:
        return []
    whole = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    level = 10 * np.log10(np.square(whole).mean(axis=1) + 1e-10)
    level = np.convolve(np.pad(level, 1, "edge"), np.ones(3) / 3, "valid")
    span = round(0.5 / HOP_S)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(level, span, "edge"), 2 * span + 1)
    quiet = level < np.maximum(around.max(axis=1) - QUIET_DB, SILENT_DB)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.view(np.int8), [0]])))
    return [
        (float(a) * HOP_S, float(b) * HOP_S)
        for a, b in edges.reshape(-1, 2)
        if (b - a) * HOP_S >= QUIET_S
    ]
