"""Torture of the watch folder: how soon a dropped file is claimed, and that each is, once, whole.

Real files by real writers (slow ones that pause for longer than any settling time, renames while
copying, temporary and partial names, hard links, folders moved in, files that vanish), Dagster's
own sensor loop in a process that is killed at random, its instance on disk. A player takes the
queued runs, reads what each run would read, and removes it as a run does.

``AVP_DROPS`` (1,000) and ``AVP_SEED`` (1) set the size and the dice.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import dagster as dg

from av_pipelines.launch import open_instance
from av_pipelines.maker import Studio
from tests.benchmarks import _inbox_daemon as daemon
from tests.benchmarks.harness import ROOT

_PATIENCE_S = 60.0
_PAUSES = (0.05, 0.8)
_LONG_PAUSES = (2.2, 4.5)


@dataclass
class Drop:
    """One dropped file: what it is to hold, and what became of it."""

    number: int
    data: bytes
    kind: str
    done: float = 0.0
    """When its last byte was written or it got its final name, in seconds since 1970."""
    vanished: bool = False
    claims: list[tuple[float, int, bytes]] = field(default_factory=list)
    """When it was claimed (its record written), with which size, and what its run read."""
    asked: float = 0.0
    """When its run was in Dagster's queue."""


@dataclass
class Outcome:
    """What the torture showed."""

    drops: list[Drop]
    kills: int
    seconds: float
    cpu_s: float
    """Of the daemons, starts included."""

    @property
    def kept(self) -> list[Drop]:
        """The drops that did not vanish."""
        return [drop for drop in self.drops if not drop.vanished]

    @property
    def premature(self) -> list[Drop]:
        """Claimed before they were whole."""
        return [
            drop
            for drop in self.kept
            if any(
                at < drop.done or size != len(drop.data) or data != drop.data
                for at, size, data in drop.claims
            )
        ]

    @property
    def lost(self) -> list[Drop]:
        """Never claimed."""
        return [drop for drop in self.kept if not drop.claims]

    @property
    def twice(self) -> list[Drop]:
        """Claimed more than once."""
        return [drop for drop in self.kept if len(drop.claims) > 1]

    @property
    def latencies(self) -> list[float]:
        """Seconds from the last byte to the claim."""
        return [drop.claims[0][0] - drop.done for drop in self.kept if drop.claims]


# ---------------------------------------------------------------------- writers


class Writers:
    """Everybody who puts files into the inbox."""

    def __init__(self, inbox: Path, outside: Path) -> None:
        self.inbox, self.outside = inbox, outside
        self.kinds: dict[str, tuple[int, Callable[[Drop, random.Random], None]]] = {
            "at once": (20, self._at_once),
            "slowly": (12, lambda d, r: self._slowly(d, r, _PAUSES)),
            "with long pauses": (8, lambda d, r: self._slowly(d, r, _LONG_PAUSES)),
            "hidden name, then renamed": (10, lambda d, r: self._renamed(d, r, ".{}.x7Gh2")),
            "partial name, then renamed": (10, lambda d, r: self._renamed(d, r, "{}.part")),
            "browser with placeholder": (5, self._browser),
            "moved in": (10, self._moved),
            "hard link": (6, self._linked),
            "renamed while written": (8, self._renamed_open),
            "case changed while written": (4, self._case_changed),
            "opened again and again": (4, self._appended),
            "in a folder moved in": (5, self._in_folder),
            "old times kept": (6, self._old),
            "vanishes": (4, self._vanishes),
        }

    def put(self, drop: Drop, dice: random.Random) -> None:
        """Drop one file; it is whole when this returns."""
        self.kinds[drop.kind][1](drop, dice)
        drop.done = drop.done or time.time()

    def _path(self, drop: Drop, dice: random.Random) -> Path:
        folder = self.inbox / dice.choice(["", "", "music", "music/live"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{drop.kind} {drop.number}.mp3"

    def _at_once(self, drop: Drop, dice: random.Random) -> None:
        self._path(drop, dice).write_bytes(drop.data)

    def _slowly(
        self, drop: Drop, dice: random.Random, pauses: tuple[float, float],
        path: Path | None = None, half: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        cut = dice.randrange(1, len(drop.data))
        with (path or self._path(drop, dice)).open("wb", buffering=0) as file:
            for piece, then in ((drop.data[:cut], half), (drop.data[cut:-1], lambda: None)):
                file.write(piece)
                time.sleep(dice.uniform(*pauses))
                then()
            file.write(drop.data[-1:])
        drop.done = time.time()

    def _renamed(self, drop: Drop, dice: random.Random, pattern: str) -> None:
        path = self._path(drop, dice)
        before = path.with_name(pattern.format(path.name))
        self._slowly(drop, dice, _PAUSES, before)
        before.rename(path)
        drop.done = time.time()

    def _browser(self, drop: Drop, dice: random.Random) -> None:
        path = self._path(drop, dice)
        path.touch()
        before = path.with_name(f"{path.name}.part")
        self._slowly(drop, dice, _LONG_PAUSES, before)
        before.replace(path)
        drop.done = time.time()

    def _moved(self, drop: Drop, dice: random.Random) -> None:
        before = self.outside / str(drop.number)
        before.write_bytes(drop.data)
        before.rename(self._path(drop, dice))

    def _linked(self, drop: Drop, dice: random.Random) -> None:
        before = self.outside / str(drop.number)
        before.write_bytes(drop.data)
        os.link(before, self._path(drop, dice))

    def _renamed_open(self, drop: Drop, dice: random.Random) -> None:
        path = self._path(drop, dice)
        after = path.with_name(f"renamed {path.name}")
        self._slowly(drop, dice, _LONG_PAUSES, path, lambda: path.rename(after))

    def _case_changed(self, drop: Drop, dice: random.Random) -> None:
        path = self._path(drop, dice)
        self._slowly(
            drop, dice, _LONG_PAUSES, path, lambda: path.rename(path.with_name(path.name.upper()))
        )

    def _appended(self, drop: Drop, dice: random.Random) -> None:
        path, cut = self._path(drop, dice), dice.randrange(1, len(drop.data))
        for piece in (drop.data[:cut], drop.data[cut:-1], drop.data[-1:]):
            time.sleep(dice.uniform(*_PAUSES))
            with path.open("ab") as file:
                file.write(piece)
        drop.done = time.time()

    def _in_folder(self, drop: Drop, dice: random.Random) -> None:
        before = self.outside / f"album {drop.number}"
        before.mkdir()
        (before / f"{drop.kind} {drop.number}.mp3").write_bytes(drop.data)
        (self.inbox / "music").mkdir(exist_ok=True)
        before.rename(self.inbox / "music" / before.name)

    def _old(self, drop: Drop, dice: random.Random) -> None:
        path = self._path(drop, dice)
        path.write_bytes(drop.data)
        os.utime(path, (1e9, 1e9))

    def _vanishes(self, drop: Drop, dice: random.Random) -> None:
        drop.vanished = True
        path = self._path(drop, dice)
        path.write_bytes(drop.data)
        time.sleep(dice.uniform(0, 2))
        path.unlink(missing_ok=True)


# ---------------------------------------------------------------------- runs and the daemon


class Player:
    """Plays the runs: takes them from Dagster's queue, reads their files and removes them."""

    def __init__(self, studio: Studio, drops: list[Drop]) -> None:
        self._drops = {hashlib.sha256(d.data[:16]).digest(): d for d in drops}
        self._studio = studio
        self.over = threading.Event()

    def play(self, instance: dg.DagsterInstance) -> None:
        """Take what is in the queue, until told that it is over."""
        queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
        while not self.over.wait(0.2):
            records = instance.get_run_records(queued)
            known = list(instance.get_dynamic_partitions("media"))  # after them: keys come first
            for record in records:
                run, at = record.dagster_run, record.create_timestamp.timestamp()
                tags = run.tags
                first = known.index(
                    tags.get("dagster/partition") or tags["dagster/asset_partition_range_start"]
                )
                last = known.index(
                    tags.get("dagster/partition") or tags["dagster/asset_partition_range_end"]
                )
                self._take(known[first : last + 1], at)
                instance.report_run_canceling(run)
                instance.report_run_canceled(run)

    def _take(self, keys: list[str], at: float) -> None:
        for key in keys:
            media = self._studio.store.media(key)
            assert media, f"{key} is asked for and not registered"
            origin = Path(media.origin)
            try:
                data = origin.read_bytes()
                origin.unlink()
            except FileNotFoundError:
                continue  # it vanished; or a run before took it, then it was claimed twice
            drop = self._drops[hashlib.sha256(data[:16]).digest()]
            record = self._studio.store.library / key / "media.json"
            drop.claims.append((record.stat().st_mtime, media.size, data))
            drop.asked = at


@contextmanager
def _daemon(environment: dict[str, str]) -> Iterator[Callable[[], None]]:
    """Run the daemon; give what kills it and starts it anew."""

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks._inbox_daemon"],
            env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return process

    running = start()
    assert running.stdout
    running.stdout.readline()  # drops wait for the first start only

    def kill() -> None:
        nonlocal running
        running.send_signal(signal.SIGKILL)
        running.wait()
        running = start()

    try:
        yield kill
    finally:
        running.kill()
        running.wait()


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def torture(folder: Path, drops: int, seed: int, per_s: float, kill_every_s: float) -> Outcome:
    """Drop so many files, kill the daemon now and then, and see what became of each file.

    Args:
        folder: an empty folder to work in.
        drops: how many files.
        seed: of everything that is left to chance.
        per_s: how many files are dropped in a second.
        kill_every_s: mean time between two kills.
    """
    dice = random.Random(seed)
    outside = folder / "outside"
    inbox = folder / "studio" / "inbox"
    for made in (outside, inbox, folder / "studio" / "recipes"):
        made.mkdir(parents=True)
    for recipe in ("auto", "music"):
        (folder / "studio" / "recipes" / f"{recipe}.toml").write_text('assets = ["source"]\n')
    studio = daemon.studio(folder / "studio")
    home = str(folder / "studio" / "dagster_home")
    environment = {**os.environ, "AVP_STORE": str(folder / "studio"), "DAGSTER_HOME": home}
    writers = Writers(inbox, outside)
    names, weights = zip(*((name, kind[0]) for name, kind in writers.kinds.items()), strict=True)
    heap = [
        Drop(n, dice.randbytes(dice.randrange(100, 50_000)), dice.choices(names, weights)[0])
        for n in range(drops)
    ]
    began, kills, cpu = time.time(), 0, _cpu_of_children()
    player = Player(studio, heap)
    os.environ.pop("DAGSTER_HOME", None)  # the store's own is meant
    with (
        open_instance(studio) as instance,
        _daemon(environment) as kill,
        ThreadPoolExecutor(64) as pool,
    ):
        playing = pool.submit(player.play, instance)
        next_kill = time.monotonic() + dice.expovariate(1 / kill_every_s)
        putting = []
        for drop in heap:
            putting.append(
                pool.submit(writers.put, drop, random.Random(seed * drops + drop.number))
            )
            time.sleep(dice.expovariate(per_s))
            if time.monotonic() > next_kill:
                kill()
                kills += 1
                next_kill = time.monotonic() + dice.expovariate(1 / kill_every_s)
        for put in putting:
            put.result()
        left, until = len(heap), time.monotonic() + _PATIENCE_S
        while left and time.monotonic() < until:
            time.sleep(0.2)
            now_left = sum(not (d.claims or d.vanished) for d in heap)
            if now_left < left:
                left, until = now_left, time.monotonic() + _PATIENCE_S
        time.sleep(3)  # for what should not come any more
        player.over.set()
        playing.result()
    return Outcome(heap, kills, time.time() - began, _cpu_of_children() - cpu)


def main() -> None:
    """Torture the inbox and print what it showed."""
    drops, seed = int(os.environ.get("AVP_DROPS", "1000")), int(os.environ.get("AVP_SEED", "1"))
    folder = Path(tempfile.mkdtemp(prefix="avp-inbox-"))
    try:
        seen = torture(folder, drops, seed, per_s=5, kill_every_s=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    late = seen.latencies
    print(
        f"\ninbox torture: {drops} drops in {seen.seconds:.0f} s, {seen.kills} kills, seed {seed}"
    )
    print(
        f"  the daemon used {seen.cpu_s:.0f} s of CPU, for {seen.kills + 1} starts too; "
        f"load of the machine {os.getloadavg()[0]:.1f}"
    )
    print(f"  premature {len(seen.premature)}, lost {len(seen.lost)}, twice {len(seen.twice)}")
    nine = quantiles(late, n=10)[-1]
    print(f"  last byte to claimed: median {median(late):.2f} s, 90 % {nine:.2f} s, most "
          f"{max(late):.2f} s")  # fmt: skip
    asked = [drop.asked - drop.done for drop in seen.kept if drop.claims]
    print(f"  last byte to a run in Dagster's queue: median {median(asked):.2f} s")
    for kind in sorted({drop.kind for drop in seen.kept}):
        mine = [d.claims[0][0] - d.done for d in seen.kept if d.kind == kind and d.claims] or [0]
        bad = [d.number for d in (*seen.premature, *seen.lost, *seen.twice) if d.kind == kind]
        print(f"    {kind:<28}{len(mine):>5}  median {median(mine):.2f} s  {bad or ''}")
    assert [*seen.premature, *seen.lost, *seen.twice] == []


if __name__ == "__main__":
    main()
