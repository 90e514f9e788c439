"""What detectors find: changes in a film, by row of its arrays.

Here: the form, and putting together what several found. Not here: finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["cut", "fade", "dissolve", "flash-rejected"]


@dataclass(frozen=True)
class Transition:
    """A change of shot.

    Attributes:
        frame: the first frame of the new shot; of a gradual change, the one in its middle. 0 is a
            fade at the very beginning, the number of frames a fade at the very end.
        kind: ``flash-rejected`` is none: a sudden change that was gone at once.
        start_frame: the first frame that is part of the change; of a cut, ``frame``.
        end_frame: the first frame that no longer is; of a cut, ``frame``.
        confidence: 0 to 1.
    """

    frame: int
    kind: Kind
    start_frame: int
    end_frame: int
    confidence: float


def cut(row: int, confidence: float) -> Transition:
    """Give a cut before a row."""
    return Transition(row, "cut", row, row, confidence)


def merged(
    cuts: Iterable[Transition], gradual: Sequence[Transition], shortest: int
) -> list[Transition]:
    """Put cuts and gradual changes together, in order.

    What is found within a gradual change, or sooner than ``shortest`` rows after something else, is
    left out; of two so close the surer one stays.
    """
    kept: list[Transition] = []
    for found in sorted([*cuts, *gradual], key=lambda t: (t.frame, t.start_frame)):
        before = kept[-1] if kept else None
        if before is None or not _same(before, found, shortest):
            kept.append(found)
        elif _rank(found) > _rank(before):
            kept[-1] = found
    return kept


def _same(one: Transition, other: Transition, shortest: int) -> bool:
    overlap = other.start_frame <= one.end_frame and one.start_frame <= other.end_frame
    return overlap or other.frame - one.frame < shortest


def _rank(found: Transition) -> tuple[bool, float]:
    """What counts more: gradual changes, and those that are surer."""
    return found.kind != "cut", found.confidence


def runs(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """Give first and last + 1 of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
