"""The ``media`` partitions: one per file that was dropped, and ranges of them.

One dynamic definition is shared by every per-file asset: Dagster maps keys between two different
definitions only when both hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg

media_partitions = dg.DynamicPartitionsDefinition(name="media")


def contiguous_ranges(
    known: Sequence[str], wanted: Iterable[str], most: int
) -> list[tuple[str, str]]:
    """Cover the wanted keys with (first, last) ranges that hold nothing else.

    Dagster runs a range of partitions in the order in which the keys were added, so keys that
    are not neighbours there need runs of their own.

    Args:
        known: all keys in the order in which they were added.
        wanted: the keys to cover; all of them are in ``known``.
        most: the largest number of keys in a range.
    """
    position = {key: index for index, key in enumerate(known)}
    ranges: list[list[int]] = []
    for index in sorted({position[key] for key in wanted}):
        if ranges and index == ranges[-1][1] + 1 and index - ranges[-1][0] < most:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return [(known[first], known[last]) for first, last in ranges]


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the run tags that name a partition, or a range of them."""
    if first == last:
        return {"dagster/partition": first}
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }
