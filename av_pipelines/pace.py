"""How often the daemon of ``avp up`` looks into the watch folders: within a second when it counts.

Here: the pace, and what is changed in Dagster's daemon for it, in this process only. Not here: what
a look is (``sensors``).

Dagster's daemon goes round its sensors every 5 s, which costs it 10 ms, and each look costs it and
the code server 100 ms. Here it goes round every second while something stirs in a watched folder
(a look at the times of the folders, microseconds) or while files settle there, and asks a sensor
only when there may be something for it, or, in case that cannot be seen, every two minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

ROUND_S = 1
CALM_ROUND_S = 5.0
"""Pause between rounds while nothing stirs."""
AWAKE_S = 10.0
"""How long a folder counts as stirring after a change."""
BUSY_S = 4.0
"""Pause between looks while files are with runs, or wait for another try."""
IDLE_S = 120.0
"""Pause between looks where nothing stirs: a network drive may not tell."""
_EVENTS_AWAKE_S = 60.0  # its sensors look every 10 s, and take a few events each time

_BEHIND = 5  # niceness


def run_behind(*given: Any) -> None:
    """Be the process of a run: its work gives way to those that look and answer.

    Args:
        given: what the code server gives to a run's process.
    """
    from dagster._grpc.impl import start_run_in_subprocess

    os.nice(_BEHIND)
    start_run_in_subprocess(*given)


class _Watched(ABC):
    """What a sensor looks at, and whether that stirs."""

    awake_s = AWAKE_S

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: Mapping[str, int] = {}
        self._stirred = clock()

    @abstractmethod
    def _look(self) -> Mapping[str, int]:
        """Return the times of all that tells of a change."""

    def stirs(self) -> bool:
        """Whether something changed of late."""
        times = self._look()
        if times != self._times:
            self._times, self._stirred = times, self._clock()
        return self._clock() - self._stirred < self.awake_s

    def rests(self, elapsed: float | None, cursor: str | None) -> bool:
        """Whether a look can wait.

        Args:
            elapsed: seconds since the last look; None: there was none.
            cursor: what the sensor remembers.
        """
        return not self.stirs() and elapsed is not None and elapsed < self._pause(cursor)

    def _pause(self, cursor: str | None) -> float:
        """Return how many seconds to rest while nothing stirs."""
        return IDLE_S


class Folder(_Watched):
    """A watched folder, with all that are in it: a name that comes, goes or moves is seen."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._root = os.fspath(root)
        self._below: dict[str, list[str]] = {}
        self._times = self._look()

    def _pause(self, cursor: str | None) -> float:
        memory = json.loads(cursor or "{}")
        if memory.get("settling"):
            return 0
        return BUSY_S if any(map(memory.get, ("claimed", "asked", "waiting"))) else IDLE_S

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


class Events(_Watched):
    """What runs tell, as far as it lies in SQLite files of Dagster's home: of the last minute."""

    awake_s = _EVENTS_AWAKE_S

    def __init__(self, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        index = home / "history" / "runs" / "index.db"
        self._files = (index, index.with_name("index.db-wal"))
        self._times = self._look()

    def stirs(self) -> bool:
        """Whether something was told of late; when it lies elsewhere nobody knows."""
        return super().stirs() or not self._times

    def _look(self) -> dict[str, int]:
        times: dict[str, int] = {}
        for file in self._files:
            with contextlib.suppress(OSError):  # whoever only reads makes an empty log, and goes
                facts = file.stat()
                times |= {file.name: facts.st_mtime_ns} if facts.st_size else {}
        return times


def keep_pace(
    folders: Mapping[str, Path],
    home: Path,
    followers: Collection[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Make the sensor daemon of this process keep the pace.

    Args:
        folders: what each sensor of a watch folder looks at, by its name.
        home: Dagster's.
        followers: names of the sensors that follow what runs tell.
        clock: seconds since some moment.
    """
    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._core.scheduler.instigation import InstigatorState, SensorInstigatorData
    from dagster._daemon import sensor as daemon

    inboxes = {name: Folder(root, clock) for name, root in folders.items()}
    watched: dict[str, _Watched] = {**inboxes, **{name: Events(home, clock) for name in followers}}
    too_early, look_at_all = daemon.is_under_min_interval, daemon.execute_sensor_iteration
    awake, last_round = True, 0.0

    def rests(state: InstigatorState, sensor: RemoteSensor) -> bool:
        nonlocal awake
        what, data = watched.get(sensor.name), state.instigator_data
        cursor = data.cursor if isinstance(data, SensorInstigatorData) else None
        resting = what is not None and what.rests(daemon.get_elapsed(state), cursor)
        awake = awake or (isinstance(what, Folder) and not resting)
        return resting or too_early(state, sensor)

    def go_round(*args: Any, **how: Any) -> Iterator[Any]:
        nonlocal awake, last_round
        now = clock()
        calm = not awake and now - last_round < CALM_ROUND_S
        if calm and not any(folder.stirs() for folder in inboxes.values()):
            yield
            return
        awake, last_round = False, now
        yield from look_at_all(*args, **how)

    daemon.is_under_min_interval = rests
    daemon.execute_sensor_iteration = go_round
    daemon.MIN_INTERVAL_LOOP_TIME = ROUND_S
