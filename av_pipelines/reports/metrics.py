"""Figures of a studio for Prometheus: what waits, how fast it is made, what failed, what is left.

Here: which figures there are. Not here: where they are asked for (``server``), the catalog that
most of them come from. Counters only grow as long as the ledger is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.reports.catalog import reading
from resources.store import Store

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NOTES = ("._IN_PROGRESS.txt", "._DONE.txt", "._FAILED.txt")
"""What the inbox sensor writes beside dropped files."""
_MEMORY = Path("/proc/meminfo")
_SUMS = """
select asset, sum(wall_s) as wall_s, sum(cpu_s) as cpu_s, sum(gpu_s) as gpu_s, sum(usd) as usd,
    sum(unpriced) as unpriced, max(peak_rss_bytes) as peak
from days group by asset order by asset
"""
_EVENTS = "select asset, event, sum(events) from days group by all order by all"
_SPEEDS = """
select asset, coalesce(device, ''), sum(media_s) / sum(media_s / realtime_factor)
from speeds where realtime_factor > 0 and day > (select max(day) from days) - 7
group by all order by all
"""
_FAILURES = """
select asset, event, count(*) from latest where event in ('failed', 'quarantined')
group by all order by all
"""
_MEDIA = "select state, count(*) from media group by all order by all"
_STORED = "select asset, sum(bytes) from storage group by all order by all"
_SPEED = "Media seconds for each second of work, over the last seven days"
_OPEN = "Failures and refusals that are not resolved"
_FAMILIES = (
    ("counter", "avp_events", "What happened to assets", ("asset", "event"), _EVENTS),
    ("gauge", "avp_realtime_factor", _SPEED, ("asset", "device"), _SPEEDS),
    ("gauge", "avp_failures", _OPEN, ("asset", "event"), _FAILURES),
    ("gauge", "avp_media", "Media by state", ("state",), _MEDIA),
    ("gauge", "avp_stored_bytes", "Size of all artifacts", ("asset",), _STORED),
)


def exposition(store: Store, runs: Callable[[], Mapping[str, int]] | None = None) -> bytes:
    """Return the figures of a store in Prometheus' text format, version 0.0.4.

    Args:
        store: whose catalog is up to date.
        runs: asked for how many runs are in which state; without it there is no figure of them.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    class Figures:
        def collect(self) -> Iterator[Metric]:
            yield from _of_catalog(store)
            yield from _of_machine(store)
            if runs:
                yield from _of_runs(runs())

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Figures())  # pyright: ignore[reportArgumentType]
    return generate_latest(registry)


def _of_catalog(store: Store) -> Iterator[Metric]:
    with reading(store) as connection:

        def ask(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        sums = ask(_SUMS)
        for name, said, at in (
            ("avp_wall_seconds", "Wall time of the work on an asset", 1),
            ("avp_cpu_seconds", "CPU time of the work on an asset", 2),
            ("avp_gpu_seconds", "GPU time of the work on an asset", 3),
            ("avp_cost_usd", "Price of the work on an asset, where it is known", 4),
            ("avp_unpriced", "Pieces of work on an asset whose price is not known", 5),
        ):
            known = [((row[0],), row[at]) for row in sums if row[at] is not None]
            yield _family("counter", name, said, ("asset",), known)
        peaks = [((row[0],), row[6]) for row in sums if row[6] is not None]
        said = "Most memory that work on an asset took"
        yield _family("gauge", "avp_peak_memory_bytes", said, ("asset",), peaks)
        for kind, name, said, labels, sql in _FAMILIES:
            rows = [(row[:-1], row[-1]) for row in ask(sql)]
            yield _family(kind, name, said, labels, rows)


def _of_machine(store: Store) -> Iterator[Metric]:
    disk = shutil.disk_usage(store.root)
    yield _family("gauge", "avp_disk_free_bytes", "Left on the store's disk", (), [((), disk.free)])
    yield _family("gauge", "avp_disk_bytes", "Size of the store's disk", (), [((), disk.total)])
    waiting = sum(
        not (name.startswith(".") or name.endswith(_NOTES))
        for _, _, names in os.walk(store.inbox)
        for name in names
    )
    yield _family("gauge", "avp_inbox_files", "Files in the inbox", (), [((), waiting)])
    if _MEMORY.exists():
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
        said = "Memory that can be had without swapping"
        yield _family("gauge", "avp_memory_available_bytes", said, (), [((), free)])


def _of_runs(runs: Mapping[str, int]) -> Iterator[Metric]:
    counts = [((state.lower(),), count) for state, count in sorted(runs.items())]
    yield _family("gauge", "avp_runs", "Runs by state", ("state",), counts)
    queued = runs.get("QUEUED", 0)
    yield _family("gauge", "avp_queue_depth", "Runs that wait", (), [((), queued)])


def _family(
    kind: str, name: str, said: str, labels: tuple[str, ...], rows: Sequence[tuple[tuple, float]]
) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    family = make(name, said, labels=labels)
    for values, figure in rows:
        family.add_metric([str(value) for value in values], float(figure))
    return family
