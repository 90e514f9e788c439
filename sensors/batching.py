"""Which files share a run: enough to be worth its start, few enough to keep every slot busy.

Here: sizes in, cuts out. Not here: which files there are, or how a run is asked for.

A run costs about 5 s to start (a new process that imports everything), whatever it makes, and
those seconds are spent beside the other slots' work. So a second run pays as soon as it takes
more than that off the first: five short files, or 2 MB (two minutes of MP3, which a transcript
alone needs longer for; 12 s of WAV, which comes out even). Beyond that, files are dealt out
evenly, in runs of at most ``most`` files and about 1 GB, so that none keeps the others waiting.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_BYTES = 1_000_000_000
_WORTH_A_RUN_BYTES = 2_000_000
_WORTH_A_RUN_FILES = 5


def cut(sizes: Sequence[int], slots: int, most: int) -> list[range]:
    """Cut a row of files into runs of neighbours.

    Args:
        sizes: of the files, in bytes, in the order in which they are to be made.
        slots: how many runs go at a time.
        most: the largest number of files in a run.

    Returns:
        The positions of each run's files; every file is in one of them. A run has at most
        ``most`` files and ``MOST_BYTES``, but a file that is larger has a run of its own.
    """
    weights = [max(size / _WORTH_A_RUN_BYTES, 1 / _WORTH_A_RUN_FILES) for size in sizes]
    share = sum(weights) / _parts(sizes, sum(weights), slots, most)
    runs: list[range] = []
    start, held, before, part = 0, 0, 0.0, 0
    for position, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        mine = int((before + weight / 2) / share)
        full = position - start >= most or held + size > MOST_BYTES
        if position > start and (full or mine > part):
            runs.append(range(start, position))
            start, held = position, 0
        part, held, before = mine, held + size, before + weight
    return [*runs, range(start, len(sizes))] if sizes else []


def _parts(sizes: Sequence[int], weight: float, slots: int, most: int) -> int:
    """How many runs to aim at: a multiple of the slots, once each of them has enough to do."""
    needed = max(-(-len(sizes) // most), -(-sum(sizes) // MOST_BYTES), 1)
    if needed > 1:
        needed = -(-needed // slots) * slots
    return max(needed, min(slots, int(weight + 1e-9)), 1)
