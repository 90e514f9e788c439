"""Gain and limiter on a programme, and on pieces of a long one that stand for the whole.

Here: the sound after gain and limiter, how loud it is, and the pieces on which to try that and the
codecs before doing it. What is found on them is a start; every delivered file is measured as a
whole (``delivery``). Not here: which gain to try (``levelling``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from av_pipelines.masters.chain import Programme, run
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.media.limiter import TruePeakLimiter
from av_pipelines.media.loudness import Curve, Loudness, measure_blocks

_SPREAD, _SPREAD_S = 12, 5.0  # pieces over the whole length
_LOUDEST, _LOUDEST_S = 5, 3.0
WORTH_IT_S = 120.0
"""Shorter programmes are tried as a whole."""


def limiter_for(
    programme: Programme, gain_db: float, ceiling_dbtp: float, settings: MasterSettings
) -> TruePeakLimiter:
    """Return the limiter of the settings, with a gain before it."""
    return TruePeakLimiter(
        programme.sample_rate,
        programme.channels,
        ceiling_dbtp,
        gain_db=gain_db,
        lookahead_ms=settings.lookahead_ms,
        release_ms=settings.release_ms,
    )


def loudness_after(
    programme: Programme, gain_db: float, ceiling_dbtp: float, settings: MasterSettings
) -> float:
    """Measure a programme's integrated loudness after gain and limiter, without writing it."""
    limiter = limiter_for(programme, gain_db, ceiling_dbtp, settings)
    blocks = run(programme.blocks(), [limiter])
    found = measure_blocks(blocks, programme.sample_rate, programme.channels, programme.layout)
    return found.integrated_lufs


@dataclass(frozen=True)
class Excerpts(Programme):
    """Pieces of a programme, one after the other, in memory (23 MB for a minute of stereo)."""

    parts: tuple[np.ndarray, ...] = field(default=(), compare=False, repr=False)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield them."""
        yield from self.parts

    @classmethod
    def pieces(cls, programme: Programme, starts_s: list[float], seconds: float) -> Self:
        """Read the pieces that start at these times."""
        parts = [list(programme.excerpt(start, seconds).blocks()) for start in starts_s]
        return cls(
            programme.path,
            programme.sample_rate,
            programme.channels,
            programme.layout,
            parts=tuple(np.concatenate(blocks, axis=1) for blocks in parts if blocks),
        )


@dataclass(frozen=True)
class Sketch:
    """What to try things on.

    Attributes:
        settings: of the limiter.
        spread: pieces from all over the programme; the programme itself if it is short.
        loudest: its loudest pieces; None if it is short.
    """

    settings: MasterSettings
    spread: Programme
    loudest: Programme | None

    @classmethod
    def of(
        cls, programme: Programme, curve: Curve, duration_s: float, settings: MasterSettings
    ) -> Self:
        """Read the pieces.

        Args:
            programme: as it is delivered.
            curve: its short-term loudness over time.
            duration_s: its length.
            settings: of the limiter.
        """
        if duration_s < WORTH_IT_S:
            return cls(settings, programme, None)
        spread = [(i + 0.5) * duration_s / _SPREAD - _SPREAD_S / 2 for i in range(_SPREAD)]
        loudest = _loudest(curve, duration_s - _LOUDEST_S)
        return cls(
            settings,
            Excerpts.pieces(programme, spread, _SPREAD_S),
            Excerpts.pieces(programme, loudest, _LOUDEST_S),
        )

    @cached_property
    def own(self) -> Loudness:
        """Loudness of the pieces as they are."""
        return self.spread.measured()

    @cached_property
    def _found(self) -> dict[tuple[float, float], float]:
        return {}

    def after(self, gain_db: float, ceiling_dbtp: float) -> float:
        """Return the integrated loudness of the pieces after gain and limiter."""
        at = (gain_db, ceiling_dbtp)
        if at not in self._found:
            self._found[at] = loudness_after(self.spread, gain_db, ceiling_dbtp, self.settings)
        return self._found[at]


def _loudest(curve: Curve, last_s: float) -> list[float]:
    """Starts of the loudest pieces that do not overlap; the curve's windows end at its times."""
    starts: list[float] = []
    for index in np.argsort(-curve.lufs).tolist():
        start = min(max(0.0, float(curve.times_s[index]) - _LOUDEST_S), last_s)
        if all(abs(start - other) >= _LOUDEST_S for other in starts):
            starts.append(start)
            if len(starts) == _LOUDEST:
                break
    return sorted(starts)
