"""How a track is cut into overlapping segments, and what each counts for where they overlap.

The scheme is that of ``demucs.apply.apply_model`` (Défossez, *Hybrid Spectrogram and Waveform
Source Separation*, 2021, and its code): segments of one length, a stride apart, weighted by a
triangle; a last segment that is shorter is centred in what the network takes, with the real sound
around it as far as there is any. A *lead* is its shift: zeros put before the track.

Here: positions and weights. Not here: sound.
"""

from __future__ import annotations

import functools
import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """One piece of work for the network; positions are samples of the track, and may be < 0."""

    at: int
    """First sample that it says something of."""
    start: int
    """First sample that the network is given."""
    size: int
    """How many samples the network is given."""
    share: NDArray[np.float32]
    """What it counts for at ``at`` and after, shape (length,); of all segments over one sample
    the shares add up to 1."""

    @property
    def end(self) -> int:
        """First sample after those the network is given."""
        return self.start + self.size

    @property
    def inner(self) -> slice:
        """Where in the network's output the samples are that it is asked for."""
        first = self.at - self.start
        return slice(first, first + self.share.size)


@functools.lru_cache(maxsize=64)
def _shares(segment: int, stride: int, before: int) -> NDArray[np.float32]:
    """Shares of a whole segment that has ``before`` others before it, as far as they reach in."""
    half = segment // 2
    rise, fall = np.arange(1, half + 1), np.arange(segment - half, 0, -1)
    weight = np.concatenate([rise, fall]).astype(np.float32)
    weight /= weight.max()
    total = weight.copy()
    for k in range(stride, segment, stride):  # those after it are always there
        total[k:] += weight[: segment - k]
    for number in range(1, before + 1):
        k = number * stride
        total[: segment - k] += weight[k:]
    shares = weight / total
    shares.flags.writeable = False
    return shares


def _lane(
    length: int, segment: int, overlap: float, lead: int, padded: Callable[[int], int]
) -> Iterator[Segment]:
    stride = int((1 - overlap) * segment)
    reach = -(-segment // stride) - 1  # so many segments before one still overlap it
    for number, offset in enumerate(range(0, length + lead, stride)):
        used = min(segment, length + lead - offset)
        size = padded(used)
        yield Segment(
            at=offset - lead,
            start=offset - lead - (size - used) // 2,
            size=size,
            share=_shares(segment, stride, min(number, reach))[:used],
        )


def segments(
    length: int,
    segment: int,
    overlap: float,
    leads: Sequence[int] = (0,),
    padded: Callable[[int], int] | None = None,
) -> Iterator[Segment]:
    """Yield the segments of a track by their beginning.

    Args:
        length: samples of the track.
        segment: samples of a segment.
        overlap: share of a segment that the next one overlaps, 0 ≤ overlap < 1.
        leads: for each pass over the track, how many zeros are put before it.
        padded: how many samples the network wants for the last, shorter segment; None: always
            ``segment``.
    """
    lanes = (
        _lane(length, segment, overlap, lead, padded or (lambda used: segment)) for lead in leads
    )
    return heapq.merge(*lanes, key=lambda s: s.at)


def shift_leads(shifts: int, seed: int, sample_rate_hz: int) -> tuple[int, ...]:
    """Return the leads of so many random shifts of up to half a second; one of 0 for no shift."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    longest = sample_rate_hz // 2
    return tuple(chance.randint(0, longest) for _ in range(shifts)) or (0,)
