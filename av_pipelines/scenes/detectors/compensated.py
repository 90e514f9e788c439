"""Cuts by the change that a camera's move does not explain: our own signal.

A frame is compared with the one before after that has been shifted onto it (``Signals.moved``), and
the result with its neighbours'. So a swinging camera hides no cut and makes none. Here: how strong
each row's evidence is. Not here: flashes (``rejection``), the network's word (``cascade``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from av_pipelines.scenes.detectors.content import neighbours
from av_pipelines.scenes.detectors.signals import Signals

_WINDOW = 3  # neighbours on either side
_FLOOR = 1.0  # of 255: what noise and encoding change


@dataclass(frozen=True)
class _Least:
    """What a row must have: change, of 255; ratio to its neighbours'; change of content."""

    change: float
    ratio: float
    content: float


SURE = _Least(change=12.0, ratio=5.0, content=15.0)
"""Beyond these there is no doubt."""
LIKELY = _Least(change=10.0, ratio=3.5, content=12.0)
"""Beyond these it is taken for a cut where there is no one to ask."""
DOUBTFUL = _Least(change=5.0, ratio=2.2, content=6.0)
"""Below these it is none."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """How much each row looks like a cut.

    ``ratio`` is each row's change divided by its neighbours'.
    """

    signals: Signals
    ratio: np.ndarray

    def rows(self, least: _Least) -> np.ndarray:
        """Give the rows that have at least this, rising."""
        enough = (
            (self.signals.moved >= least.change)
            & (self.ratio >= least.ratio)
            & (self.signals.content >= least.content)
        )
        return np.flatnonzero(enough)

    def confidence(self, row: int) -> float:
        """How sure it is: 0.5 where it is likely, 0.9 at ten times its neighbours, towards 1."""
        ratio = float(self.ratio[row]) ** 2
        return ratio / (ratio + LIKELY.ratio**2)


def evidence(signals: Signals) -> Evidence:
    """Weigh each row's change against its neighbours'."""
    return Evidence(signals, signals.moved / (neighbours(signals.moved, _WINDOW) + _FLOOR))
