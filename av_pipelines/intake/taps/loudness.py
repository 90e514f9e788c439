"""``loudness.json``: how loud the sound is, as a number and over time.

Here: the meter as a tap. Not here: the meter (``av_pipelines.media.loudness``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.intake.blocks import Block
from av_pipelines.intake.containers import Media
from av_pipelines.intake.passes import Summary
from av_pipelines.intake.taps import Appetite, Tap
from av_pipelines.media.loudness import MIN_SAMPLE_RATE, LoudnessMeter

_FACTS = (
    "integrated_lufs",
    "lra_lu",
    "true_peak_dbtp",
    "sample_peak_dbfs",
    "momentary_max_lufs",
    "short_term_max_lufs",
)


class Loudness(Tap):
    """Writes ``loudness.json`` (ITU-R BS.1770-5, EBU Tech 3341 and 3342) with a short-term curve.

    Silence is null. Below 8 kHz, where the weighting filter is not defined, nothing is measured:
    the facts are null and there is no file.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._meter: LoudnessMeter | None = None
        self._heard = False

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Want the chosen sound."""
        return {} if media.audio is None else {media.audio: Appetite.ALL}

    def audio(self, block: Block) -> None:
        """Measure a block."""
        made_of = block.format
        if not self._heard and made_of.sample_rate >= MIN_SAMPLE_RATE:
            self._meter = LoudnessMeter(made_of.sample_rate, made_of.channels, made_of.layout)
        self._heard = True
        if self._meter:
            self._meter.feed(block.samples)

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """Write the file and give the numbers."""
        if not self._heard:
            return {}
        if self._meter is None:
            return dict.fromkeys(_FACTS)
        result = self._meter.result().to_json_dict()
        text = json.dumps(result, allow_nan=False)
        (self.out / "loudness.json").write_text(text + "\n", "utf-8")
        return {name: result[name] for name in _FACTS}
