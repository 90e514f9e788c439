"""How often the daemon of ``avp up`` looks into the watch folders: within a second when it counts.

Here: the pace, and what is changed in Dagster's daemon for it, in this process only. Not here: what
a look is (``sensors``).

Dagster's daemon goes round every 5 s and each look costs it about 50 ms of CPU. Here it goes round
every second, and asks a sensor of a watch folder only when something stirs in its folder (a look
at the times of the folders, microseconds), when files there settle, or, in case neither can be
seen, every few seconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROUND_S = 1
AWAKE_S = 10.0
"""How long a folder counts as stirring after a change."""
BUSY_S = 5.0
"""Pause between looks while files are with runs, or wait for another try."""
IDLE_S = 30.0
"""Pause between looks at a folder in which nothing stirs: a network drive may not tell."""


class Folder:
    """A watched folder, with all that are in it."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = os.fspath(root), clock
        self._times: dict[str, int] = {}
        self._below: dict[str, list[str]] = {}
        self._stirred = clock()

    def rests(self, elapsed: float | None, cursor: str | None) -> bool:
        """Whether a look can wait.

        Args:
            elapsed: seconds since the last look; None: there was none.
            cursor: what the sensor remembers.
        """
        if self._stirs() or elapsed is None:
            return False
        settling, remembered = _remembered(cursor)
        return not settling and elapsed < (BUSY_S if remembered else IDLE_S)

    def _stirs(self) -> bool:
        """Whether some folder changed of late: a name came, went or moved."""
        times = self._look()
        if times != self._times:
            self._times, self._stirred = times, self._clock()
        return self._clock() - self._stirred < AWAKE_S

    def _look(self) -> dict[str, int]:
        """Return the times of all folders; one that is as it was is not listed again."""
        times: dict[str, int] = {}
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            try:
                times[folder] = Path(folder).stat().st_mtime_ns
                if self._times.get(folder) != times[folder]:
                    with os.scandir(folder) as scan:
                        below = [e.path for e in scan if e.is_dir(follow_symlinks=False)]
                    self._below[folder] = below
            except OSError:  # gone, or not ours to see: the sensor tells of that
                times.pop(folder, None)
                self._below.pop(folder, None)
                continue
            waiting += self._below.get(folder, ())
        return times


def _remembered(cursor: str | None) -> tuple[bool, bool]:
    """Whether a sensor remembers files that settle, and whether it remembers any."""
    memory = json.loads(cursor or "{}")
    kinds = [memory.get(kind) for kind in ("settling", "asked", "waiting")]
    return bool(kinds[0]), any(kinds)


def keep_pace(folders: Mapping[str, Path]) -> None:
    """Make the sensor daemon of this process keep the pace.

    Args:
        folders: what each sensor of a watch folder looks at, by its name.
    """
    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData
    from dagster._daemon import sensor as daemon

    watched = {name: Folder(root) for name, root in folders.items()}
    too_early = daemon.is_under_min_interval

    def rests(state: InstigatorState, sensor: RemoteSensor) -> bool:
        if too_early(state, sensor):
            return True
        folder, data = watched.get(sensor.name), state.instigator_data
        cursor = data.cursor if isinstance(data, SensorInstigatorData) else None
        return folder is not None and folder.rests(daemon.get_elapsed(state), cursor)

    daemon.is_under_min_interval = rests
    daemon.MIN_INTERVAL_LOOP_TIME = ROUND_S
