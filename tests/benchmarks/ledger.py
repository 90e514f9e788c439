"""The ledger while it is busy: two processes write, one merges, one reads, for a minute.

Nothing may be lost or counted twice, no reader may ever see less than before, nobody may meet a
lock that is taken. Also: what a record costs to write, and what merging a day of them costs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 60


def write(folder: Path, seconds: float) -> None:
    """Append as fast as can be; print how many."""
    from resources.ledger import Entry, Ledger

    ledger, end, count = Ledger(folder / "ledger"), time.monotonic() + seconds, 0
    start = time.process_time()
    while time.monotonic() < end:
        ledger.append(Entry(event="skipped", asset="audio", partition=f"p-{count}"))
        count += 1
    print(count, (time.process_time() - start) / max(count, 1) * 1000)


def read(folder: Path, seconds: float) -> None:
    """Ask the catalog all the time; print how often, and the last answer."""
    from av_pipelines.reports.catalog import query
    from resources.store import Store

    store, end, times, last = Store(folder), time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        found = query(store, "select count(*), count(distinct id) from ledger")[1][0]
        assert found[0] == found[1], f"counted twice: {found}"
        assert found[0] >= last, f"lost: {last} before, {found[0]} now"
        last = found[0]
        times += 1
    print(times, last)


def merge(folder: Path, seconds: float) -> None:
    """Compact today's files every two seconds, as if the day were over; print how many."""
    from datetime import date

    from resources.ledger import Ledger

    end, merged = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        merged += Ledger(folder / "ledger").compact(today=date(9999, 1, 1))
        time.sleep(2)
    print(merged)


def main() -> None:
    """Run them together and count."""
    from av_pipelines.reports.catalog import query
    from resources.store import Store

    with tempfile.TemporaryDirectory() as temporary:
        roles = ["write", "write", "read", "merge"]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.ledger", role, temporary, str(SECONDS)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for role in roles
        ]
        said = [process.communicate()[0].split() for process in processes]
        failed = [r for r, p in zip(roles, processes, strict=True) if p.returncode]
        written = sum(int(said[n][0]) for n in (0, 1))
        held = query(Store(Path(temporary)), "select count(distinct id) from ledger")[1][0][0]
        print(f"\nledger: {SECONDS} s, two write, one merges, one reads")
        print(f"  written {written:,}, in the catalog {held:,}, merged {said[3][0]}")
        print(f"  {float(said[0][1]):.2f} ms of CPU a record; asked {said[2][0]} times")
        print(f"  lost {written - held}, processes that failed: {', '.join(failed) or 'none'}")


if __name__ == "__main__":
    {"write": write, "read": read, "merge": merge}[sys.argv[1]](
        Path(sys.argv[2]), float(sys.argv[3])
    )
