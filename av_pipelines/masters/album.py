"""Loudness of an album: all its tracks as one programme.

Here: measuring it. The gain that follows is the settings' ``album_lufs`` and
``album_true_peak_dbtp`` (``levelling``). Not here: which files are an album.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from av_pipelines.masters.chain import MasterError, Programme
from av_pipelines.media.loudness import Loudness, measure_blocks


def album_loudness(audio_files: Sequence[Path]) -> Loudness:
    """Measure tracks as one programme: gated over all of them (BS.1770-5 Annex 1).

    Tracks of other rates or layouts are converted to those of the one with the most channels, then
    the highest rate.

    Args:
        audio_files: files this project wrote, in order; at least one.

    Raises:
        MasterError: there is no file, or a sample is not a finite number.
    """
    if not audio_files:
        raise MasterError("an album needs at least one track; none was given")
    tracks = [Programme.of(path) for path in audio_files]
    lead = max(tracks, key=lambda track: (track.channels, track.sample_rate))

    def blocks() -> Iterator[np.ndarray]:
        for track in tracks:
            yield from track.converted(lead.sample_rate, lead.layout).blocks()

    return measure_blocks(blocks(), lead.sample_rate, lead.channels, lead.layout)
