"""What is done to the sound before its loudness is set: another rate, effects, tonal balance.

Here: the order of the three, and reading the result in blocks. Not here: the effects (``effects``),
the filter (``matching``), loudness (``levelling``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from av_pipelines.masters.chain import Processor, Programme, run
from av_pipelines.masters.effects import Effects, describe
from av_pipelines.masters.matching import SpectrumMatch, matching_filter
from av_pipelines.masters.settings import MasterSettings

_Read = Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Shaped:
    """A programme after all that.

    Attributes:
        programme: what is read for it; tells rate, channels and layout.
        read: start reading it, in blocks; each time the effects run anew.
        actions: what is done, as sentences; empty: it is the programme as it is.
    """

    programme: Programme
    read: _Read
    actions: tuple[str, ...]

    @classmethod
    def of(cls, programme: Programme, settings: MasterSettings) -> Self:
        """Shape a programme by settings; a reference is read here, twice if there are effects.

        Raises:
            MasterError: an effect, a plug-in or the reference is not there or of no use. Of effects
                it may be raised when reading starts.
        """
        said = []
        rate = settings.sample_rate_hz
        if rate not in (None, programme.sample_rate):
            said.append(f"Resampled from {programme.sample_rate} to {rate} Hz.")
            programme = programme.converted(rate, programme.layout)
        read = programme.blocks
        if settings.effects.wanted:
            said.append(f"Effects: {describe(settings.effects)}.")
            read = _through(read, lambda: Effects(programme, settings.effects))
        if settings.reference:
            said.append(f"Tonal balance brought near that of {Path(settings.reference).name}.")
            taps = matching_filter(programme, read, settings.reference)
            read = _through(read, lambda: SpectrumMatch(taps, programme.channels))
        return cls(programme, read, tuple(said))


def _through(read: _Read, processor: Callable[[], Processor]) -> _Read:
    return lambda: run(read(), [processor()])
