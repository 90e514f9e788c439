"""Which files of a watched folder are whole and whose turn it is: looks in, decisions out.

Here: the memory between two looks (the sensor's cursor) and every rule about waiting. Not here:
the disk (``listing``), Dagster (``inbox``), which files share a run (``batching``).

A file is *settling* until it is whole, then *claimed* until there is a run for it, then *asked* for
in a run until it leaves the inbox; when its run ended and left it there, it is *waiting* for
another try. Nothing is remembered of a file
that is no longer there, so the memory is as small as the inbox, and smaller: of a heap of files
only the next few hundred are watched, the oldest first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from sensors.listing import Listing, Seen
from sensors.writers import Writing

SETTLE_MS = 2_000
"""Two looks this far apart must show the same size and time."""
QUIET_MS = 1_000
"""A file that nobody has open for writing is whole this long after its last change: whoever wrote
it may open it once more."""
EMPTY_MS = 30_000
"""An empty file is often about to be filled; after this it is taken as it is (and refused)."""
UNSTABLE_MS = 3_600_000
"""A file that was not whole for so long is told of."""
HOLD_MS = 60_000
"""What keeps a file from being taken (its sidecar, its rights) is looked at again after this."""
RETRY_MS = (30_000, 300_000)
"""Pauses before the second and the third run for a file that its run left where it was."""
MOST_WATCHED = 500
MOST_CLAIMED = 1_000
"""Files that may be claimed or with runs at a time: keeps the cursor short."""

_VERSION = 3
PLACE = 8
"""Letters of a mark that stand for the path."""
_WHY = 300


def place_of(path: str) -> str:
    """Return eight letters that stand for a path."""
    return _letters(os.fsencode(path), 6)


def mark_of(seen: Seen) -> str:
    """Return 14 letters that stand for a file as it was seen; the first eight are its place."""
    state = f"{seen.size} {seen.mtime_ns} {seen.sidecars}"
    return place_of(seen.path) + _letters(state.encode(), 4)


def _letters(data: bytes, size: int) -> str:
    digest = hashlib.blake2b(data, digest_size=size).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Settling(NamedTuple):
    """A file that is not known to be whole yet."""

    mark: str
    since: int
    """When a look first showed it as it is now, in ms."""
    seen: int
    """When it was first seen at all, in ms."""
    closed: bool = False
    """Whether nobody had it open for writing when it was last looked at."""
    again: bool = False
    """Whether something wrote to it after it had been closed: that may happen once more."""


class Asked(NamedTuple):
    """Files that one run was asked to make."""

    attempts: tuple[int, ...]
    """How many runs each was asked for in, this one included."""
    marks: tuple[str, ...]


class Waiting(NamedTuple):
    """A file that was not taken, and when it is tried again."""

    attempts: int
    """How many runs it was asked for in."""
    until: int | None
    """In ms; None means: when it changes."""
    why: str


@dataclass(frozen=True)
class Ready:
    """A file whose turn it is."""

    seen: Seen
    mark: str
    attempt: int
    """In how many runs it will have been asked for."""


@dataclass(frozen=True)
class Decision:
    """What one look means."""

    ready: list[Ready]
    """Whole files, in the order in which they should be claimed."""
    claimed: list[Ready]
    """Files that were claimed before, in the order in which they should be asked for."""
    soon: int | None
    """After how many ms one more look may find some file whole; None: not within ``SETTLE_MS``."""
    behind: int
    """How many files are not even watched yet, because others come first."""
    unstable: list[tuple[Seen, int]]
    """Files that were not whole for very long, and since when (ms)."""


@dataclass
class Memory:
    """What is remembered from look to look."""

    born: int = 0
    """When it began, in ms: run keys differ after a person reset the sensor's cursor."""
    settling: dict[str, Settling] = field(default_factory=dict)
    """By place."""
    claimed: dict[str, int] = field(default_factory=dict)
    """In how many runs each will have been asked for, by mark."""
    asked: dict[str, Asked] = field(default_factory=dict)
    """By run key."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """By mark."""
    resume: str = ""
    """The path that the next look starts from."""
    said: tuple[str, int] = ("", 0)
    """A hash of the warnings that were last logged, and when (ms)."""

    @property
    def empty(self) -> bool:
        """Whether no file is remembered."""
        return not (self.settling or self.claimed or self.asked or self.waiting)

    @property
    def asked_marks(self) -> set[str]:
        """All files that are with a run."""
        return {mark for asked in self.asked.values() for mark in asked.marks}

    def forget(self, paths: Iterable[str]) -> None:
        """Remember only files that are there.

        Args:
            paths: of all files in the inbox.
        """
        if self.empty:
            return
        places = {place_of(path) for path in paths}
        self.settling = {p: s for p, s in self.settling.items() if p in places}
        self._keep(lambda mark: mark[:PLACE] in places)

    def _keep(self, holds: Callable[[str], bool]) -> None:
        """Keep only the claimed, the asked and the waiting whose mark it holds for."""
        self.claimed = {mark: attempt for mark, attempt in self.claimed.items() if holds(mark)}
        self.waiting = {mark: w for mark, w in self.waiting.items() if holds(mark)}
        kept: dict[str, Asked] = {}
        for run_key, asked in self.asked.items():
            left = [(a, m) for a, m in zip(*asked, strict=True) if holds(m)]
            if left:
                attempts, marks = zip(*left, strict=True)
                kept[run_key] = Asked(attempts, marks)
        self.asked = kept

    def look(
        self,
        listing: Listing,
        going: Collection[str],
        now: int,
        writing: Writing = lambda path: None,
    ) -> Decision:
        """Take note of a look, and decide which files may be claimed.

        Args:
            listing: what was seen; files that were not looked at stay as they were.
            going: marks of the files that some unfinished run was asked to make.
            now: time in ms.
            writing: tells of a path whether something has it open for writing.
        """
        there = {mark[:PLACE]: (mark, seen) for seen in listing.files for mark in (mark_of(seen),)}
        self._keep(lambda mark: there.get(mark[:PLACE], (mark,))[0] == mark)
        busy = self.asked_marks.union(going, self.waiting)
        free = sorted(
            ((mark, seen) for mark, seen in there.values() if mark not in busy),
            key=lambda item: (item[1].mtime_ns, item[1].path),
        )
        claimed = [Ready(seen, m, self.claimed[m]) for m, seen in free if m in self.claimed]
        fresh = [item for item in free if item[0] not in self.claimed]
        watched = fresh[:MOST_WATCHED]
        settling = {p: s for p, s in self.settling.items() if p not in there}
        ready: list[Ready] = []
        unstable: list[tuple[Seen, int]] = []
        soon: int | None = None
        for mark, seen in watched:
            busy_now = writing(seen.path)
            state = _settle(self.settling.get(mark[:PLACE]), mark, now, busy_now)
            settling[mark[:PLACE]] = state
            wait = None if seen.writing or busy_now else _wait(seen, state, now)
            if wait is not None and wait <= 0:
                ready.append(Ready(seen, mark, 1))
            elif now - state.seen >= UNSTABLE_MS:
                unstable.append((seen, state.seen))
            elif wait is not None and wait <= SETTLE_MS:
                soon = wait if soon is None else min(soon, wait)
        self.settling = settling
        ready += self._due(there, now)
        return Decision(ready, claimed, soon, len(fresh) - len(watched), unstable)

    def _due(self, there: Mapping[str, tuple[str, Seen]], now: int) -> list[Ready]:
        """The waiting files whose time has come; a clock that was set back delays none."""
        due: list[Ready] = []
        for mark, waiting in self.waiting.items():
            if mark[:PLACE] not in there or waiting.until is None:
                continue
            if not now < waiting.until <= now + max(*RETRY_MS, HOLD_MS):
                seen = there[mark[:PLACE]][1]
                due.append(Ready(seen, mark, waiting.attempts + 1))
        return due

    def finished(self, going: Collection[str]) -> list[str]:
        """Return the run keys whose files are with no unfinished run any more."""
        return [key for key, asked in self.asked.items() if not set(asked.marks) & set(going)]

    def room(self) -> int:
        """How many more files may be claimed."""
        return max(0, MOST_CLAIMED - len(self.claimed) - len(self.asked_marks))

    def run_key(self, files: Sequence[Ready]) -> str:
        """Return the key of a run for these files: the same when a tick is played again."""
        text = [f"{file.mark} {file.seen.ctime_ns} {file.attempt}" for file in files]
        return _letters(f"{self.born} {text}".encode(), 12)

    def claim(self, file: Ready) -> None:
        """Note that a file is written down, and waits for a run."""
        self._drop(file)
        self.claimed[file.mark] = file.attempt

    def ask(self, run_key: str, files: Sequence[Ready]) -> None:
        """Note that a run is asked to make these files."""
        for file in files:
            self._drop(file)
        self.asked[run_key] = Asked(tuple(f.attempt for f in files), tuple(f.mark for f in files))

    def hold(self, file: Ready, why: str, now: int) -> None:
        """Note that a file cannot be taken as things are, and why."""
        self._drop(file)
        self.waiting[file.mark] = Waiting(file.attempt - 1, now + HOLD_MS, why[:_WHY])

    def _drop(self, file: Ready) -> None:
        self.settling.pop(file.mark[:PLACE], None)
        self.claimed.pop(file.mark, None)
        self.waiting.pop(file.mark, None)

    def ended(
        self, run_key: str, how: str, now: int, *, final: bool = False, killed: bool = False
    ) -> None:
        """Note that a run ended and left files in the inbox: they are tried again, or given up.

        Args:
            run_key: of the run.
            how: what became of it, for the person who wonders about the file.
            now: time in ms.
            final: a person stopped the run: its files are not tried again.
            killed: it went down with the daemon, which is no fault of its files: never given up.
        """
        for attempts, mark in zip(*self.asked.pop(run_key), strict=True):
            if final:
                again, why = None, f"{how}: touch the file to have it made after all"
            elif killed:
                again, why = now + RETRY_MS[0], f"{how}: tried again soon"
            elif attempts > len(RETRY_MS):
                again, why = None, f"given up after {attempts} runs ({how}): touch it to try again"
            else:
                again, why = now + RETRY_MS[attempts - 1], f"{how}: tried again soon"
            self.waiting[mark] = Waiting(attempts, again, why[:_WHY])

    # ------------------------------------------------------------------ the cursor

    @classmethod
    def load(cls, text: str) -> Self:
        """Read what ``dump`` wrote; ValueError when it is anything else."""
        try:
            data = json.loads(text)
            if data["v"] != _VERSION:
                raise ValueError(f"version {data['v']}")
            return cls(
                data["born"],
                settling={
                    place: Settling(place + mark, since, since - before, bool(flags & 1), flags > 1)
                    for place, (mark, since, before, flags) in data["settling"].items()
                },
                claimed=dict(data["claimed"]),
                asked={k: Asked(tuple(a), tuple(m.split())) for k, (a, m) in data["asked"].items()},
                waiting={mark: Waiting(*waiting) for mark, waiting in data["waiting"].items()},
                resume=data["resume"],
                said=(data["said"][0], data["said"][1]),
            )
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the sensor's cursor is not what it wrote: {error!r}") from None

    def dump(self) -> str:
        """Return it as compact JSON: Dagster keeps a copy with every tick."""
        data = {
            "v": _VERSION,
            "born": self.born,
            "settling": {
                place: [s.mark[PLACE:], s.since, s.since - s.seen, s.closed + 2 * s.again]
                for place, s in self.settling.items()
            },
            "claimed": self.claimed,
            "asked": {key: [a.attempts, " ".join(a.marks)] for key, a in self.asked.items()},
            "waiting": self.waiting,
            "resume": self.resume,
            "said": self.said,
        }
        return json.dumps(data, separators=(",", ":"))


def _settle(before: Settling | None, mark: str, now: int, writing: bool | None) -> Settling:
    """What is known of a settling file after a look; a clock that was set back starts anew."""
    closed = writing is False
    if before is None:
        return Settling(mark, now, now, closed)
    seen = min(before.seen, now)
    again = before.again or (before.closed and (before.mark != mark or writing is True))
    if before.mark != mark or before.since > now:
        return Settling(mark, now, seen, closed, again)
    return Settling(mark, before.since, seen, closed, again)


def _wait(seen: Seen, state: Settling, now: int) -> int:
    """How many ms are left until a file that stays as it is counts as whole."""
    if seen.size == 0:
        return EMPTY_MS - (now - state.since)
    changed = max(seen.ctime_ns, *(mtime_ns for _, mtime_ns in seen.sidecars), 0) // 1_000_000
    if state.closed and not state.again and changed <= now:
        return QUIET_MS - (now - changed)
    return SETTLE_MS - (now - state.since)
