"""Pieces of a long programme that stand for the whole: to try things on before doing them.

Here: choosing the pieces and reading them. What is found on them is a start; every delivered file
is measured as a whole (``delivery``). Not here: what is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from av_pipelines.masters.chain import Programme
from av_pipelines.media.loudness import Curve

_PIECE_S = 5.0
_SPREAD = 12  # pieces over the whole length
_LOUDEST = 5
WORTH_IT_S = 120.0
"""Shorter programmes are tried as a whole."""


@dataclass(frozen=True)
class Excerpts(Programme):
    """Pieces of a programme, one after the other, in memory (23 MB for a minute of stereo)."""

    parts: tuple[np.ndarray, ...] = field(default=(), compare=False, repr=False)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield them."""
        yield from self.parts


@dataclass(frozen=True)
class Sketch:
    """What to try things on.

    Attributes:
        spread: pieces from all over the programme; the programme itself if it is short.
        loudest: its loudest pieces; None if it is short.
    """

    spread: Programme
    loudest: Programme | None

    @classmethod
    def of(cls, programme: Programme, curve: Curve, duration_s: float) -> Self:
        """Read the pieces in one pass.

        Args:
            programme: as it is delivered.
            curve: its short-term loudness over time.
            duration_s: its length.
        """
        if duration_s < WORTH_IT_S:
            return cls(programme, None)
        spread = [(i + 0.5) * duration_s / _SPREAD - _PIECE_S / 2 for i in range(_SPREAD)]
        loudest = _loudest(curve, duration_s - _PIECE_S)
        rate = programme.sample_rate
        size = round(_PIECE_S * rate)
        firsts = [round(start * rate) for start in spread + loudest]
        pieces = [np.zeros((programme.channels, 0), np.float32) for _ in firsts]
        at = 0
        for block in programme.blocks():
            count = block.shape[1]
            for index, first in enumerate(firsts):
                begin, end = max(first - at, 0), min(first + size - at, count)
                if begin < end:
                    pieces[index] = np.concatenate([pieces[index], block[:, begin:end]], axis=1)
            at += count

        def excerpts(chosen: list[np.ndarray]) -> Excerpts:
            return Excerpts(
                programme.path,
                programme.sample_rate,
                programme.channels,
                programme.layout,
                parts=tuple(piece for piece in chosen if piece.shape[1]),
            )

        return cls(excerpts(pieces[:_SPREAD]), excerpts(pieces[_SPREAD:]))


def _loudest(curve: Curve, last_s: float) -> list[float]:
    """Starts of the loudest pieces that do not overlap, from 3 s windows that end at the times."""
    starts: list[float] = []
    for index in np.argsort(-curve.lufs).tolist():
        start = min(max(0.0, float(curve.times_s[index]) - 4.0), last_s)
        if all(abs(start - other) >= _PIECE_S for other in starts):
            starts.append(start)
            if len(starts) == _LOUDEST:
                break
    return sorted(starts)
