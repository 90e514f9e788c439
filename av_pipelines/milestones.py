"""Progress as lines: when a share of work that is done is worth one, and what it says.

For Dagster's log and for pipes. Not here: bars on a terminal (``cli``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

_STEPS = 20
_PAUSE_S = 5.0
"""Short work needs no lines: each one is an event in Dagster's database."""


class Milestones:
    """Turns shares of work, as they come, into a line every 5 %, and at most one in 5 s.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work: tuple[str, str] | None = None
        self._began = self._last = 0.0
        self._step = 0

    def line(self, key: str, asset: str, share: float) -> str | None:
        """Return the line for a share (0 to 1) of an asset that is done, None if it is too soon."""
        now = self._clock()
        if self._work != (key, asset):
            self._work = (key, asset)
            self._began = self._last = now
            self._step = 0
        step = int(share * _STEPS)
        if step <= self._step or now - self._last < _PAUSE_S:
            return None
        self._last, self._step = now, step
        left = (now - self._began) * (1 - share) / share
        return f"{key}: {asset} {share:.0%}, about {_spoken(left)} left"


def _spoken(seconds: float) -> str:
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h"
