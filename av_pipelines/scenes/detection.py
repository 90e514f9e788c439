"""Finding where shots change, from what the intake pass left of a film; nothing is decoded.

Here: ``detect``, which puts the detectors to work. Not here: any of them (``detectors``), which one
it is (``detector_choice``), what is made of the changes (``scenes``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from av_pipelines.media.picture import Picture
from av_pipelines.scenes.detector_choice import Chosen, choose
from av_pipelines.scenes.detector_settings import DetectorSettings
from av_pipelines.scenes.detectors import cascade
from av_pipelines.scenes.detectors.cascade import Answers, Network
from av_pipelines.scenes.detectors.compensated import DOUBTFUL, LIKELY, Evidence, evidence
from av_pipelines.scenes.detectors.content import adaptive_cuts, content_cuts
from av_pipelines.scenes.detectors.gradual import Dissolve, dissolves, fades
from av_pipelines.scenes.detectors.rejection import flash_at, relit, swings
from av_pipelines.scenes.detectors.signals import Signals, measure
from av_pipelines.scenes.detectors.transitions import Transition, cut, merged
from resources import accelerator

__all__ = ["Detection", "Transition", "detect", "examine"]

Progress = Callable[[float], None]
_MEASURING = 0.3  # share of the progress


@dataclass(frozen=True)
class Detection:
    """What was found.

    Attributes:
        transitions: changes of shot, in order.
        rejected: flashes: sudden changes that are none, as ``flash-rejected``.
        chosen: who found them.
        asked: share of the film that the network was asked about, 0 to 1.
    """

    transitions: list[Transition]
    rejected: list[Transition]
    chosen: Chosen
    asked: float = 0.0


def detect(
    picture: Picture, settings: DetectorSettings, progress: Progress = lambda share: None
) -> list[Transition]:
    """Find the changes of shot of a film, in order; see ``examine`` for what was rejected."""
    return examine(picture, settings, progress).transitions


def examine(
    picture: Picture,
    settings: DetectorSettings,
    progress: Progress = lambda share: None,
    chosen: Chosen | None = None,
) -> Detection:
    """Find the changes of shot of a film, and what looks like one and is none.

    Where only keyframes were looked at, changes are found between these: a cut is put at the later
    one, where encoders place keyframes, and is half as sure.

    Args:
        picture: what the intake pass left of it.
        settings: how.
        progress: called with the share done.
        chosen: as ``detector_choice.choose`` gives it; None to let it choose now.

    Raises:
        ModelError: the network cannot be had, or its weights not read.
        DeviceError: the device asked for is not here.
    """
    chosen = choose(settings) if chosen is None else chosen
    signals = measure(picture, lambda share: progress(_MEASURING * share))
    if picture.keyframes_only:
        return Detection(_between_keyframes(picture, signals, settings), [], chosen)
    slow = [] if chosen.detector == "content" else dissolves(picture, signals)
    sudden = _Sudden(picture, signals, round(settings.flash_s * float(picture.fps)))
    asked = 0.0
    if chosen.detector in ("signals", "cascade", "transnetv2"):
        weighed = evidence(signals)
        rows = sudden.cuts(weighed.rows(DOUBTFUL).tolist())
        answers = _ask(picture, settings, chosen, weighed, rows, slow, progress)
        asked = answers.asked() / len(picture.thumbnails)
        threshold = settings.transnetv2_threshold
        cuts = cascade.cuts(weighed, rows, answers, threshold)
        gradual = cascade.dissolves(slow, answers, threshold)
        for change in cascade.by_network_alone(answers, threshold):
            if change.kind == "dissolve" and not _overlaps(change, gradual):
                gradual.append(change)
            elif change.kind == "cut":
                # It may be a frame off: what counts is where most changes.
                near = range(max(change.frame - 1, 1), min(change.frame + 2, len(signals.raw)))
                row = max(near, key=lambda row: float(signals.raw[row]))
                cuts += [cut(row, change.confidence) for row in sudden.cuts([row])]
    else:
        confidence = _supposed(signals, settings, chosen.detector)
        cuts = [cut(row, confidence[row]) for row in sudden.cuts(confidence)]
        gradual = [each.transition for each in slow]
    gradual = _apart([*fades(picture, settings.fade_threshold), *gradual])
    shortest = max(1, round(settings.min_scene_s * float(picture.fps)))
    return Detection(
        transitions=merged(cuts, gradual, shortest),
        rejected=[flash for flash in sudden.flashes if not _overlaps(flash, gradual)],
        chosen=chosen,
        asked=asked,
    )


def _supposed(signals: Signals, settings: DetectorSettings, detector: str) -> dict[int, float]:
    """Give the rows that a detector of PySceneDetect's calls cuts, and how sure it is."""
    if detector == "fade":
        return {}
    if detector == "content":
        rows, confidence = content_cuts(signals.content, settings.threshold)
    else:
        rows, confidence = adaptive_cuts(
            signals.content,
            settings.adaptive_threshold,
            settings.min_content_val,
            settings.window_width,
        )
    return dict(zip(rows.tolist(), confidence.tolist(), strict=True))


def _ask(
    picture: Picture,
    settings: DetectorSettings,
    chosen: Chosen,
    weighed: Evidence,
    rows: Sequence[int],
    slow: Sequence[Dissolve],
    progress: Progress,
) -> Answers:
    """Ask the network about the whole film, where there is doubt, or not at all."""
    count = len(picture.thumbnails)
    if chosen.model is None:
        return Answers.none(count)
    whole = chosen.detector == "transnetv2"
    spans = [(0, count)] if whole else cascade.doubts(weighed, rows, slow)
    device = accelerator.choose(settings.device, kinds=("cuda", "cpu"))
    network = Network(chosen.model.weights[0], device.torch_name)
    rest = 1 - _MEASURING
    return cascade.ask(picture, network, spans, lambda s: progress(_MEASURING + rest * s))


class _Sudden:
    """Parts what looks like a cut into cuts and flashes.

    A camera that swings and the same picture in another light are neither.

    Attributes:
        flashes: those found so far.
    """

    def __init__(self, picture: Picture, signals: Signals, longest: int) -> None:
        self._thumbnails, self._longest = picture.thumbnails, longest
        self._swings = swings(signals.raw, signals.moved)
        self.flashes: list[Transition] = []

    def cuts(self, rows: Iterable[int]) -> list[int]:
        """Give the rows that are cuts, of some in rising order."""
        return [row for row in rows if row > 0 and not self._swings[row] and self._stays(row)]

    def _stays(self, row: int) -> bool:
        if any(flash.start_frame <= row <= flash.end_frame for flash in self.flashes):
            return False
        flash = flash_at(self._thumbnails, row, self._longest)
        if flash is not None:
            self.flashes.append(
                Transition(flash.start, "flash-rejected", flash.start, flash.end, 1 - flash.left)
            )
            return False
        return not relit(self._thumbnails, row)


def _between_keyframes(
    picture: Picture, signals: Signals, settings: DetectorSettings
) -> list[Transition]:
    """Find cuts where only keyframes were looked at.

    Encoders put a keyframe at a cut, and where there has been none for a set time; keyframes that
    came because of the time say nothing.
    """
    number = picture.number
    waits = np.diff(number)
    longest = waits == waits.max(initial=0)
    forced = longest & (1 < longest.sum() < len(waits))
    supposed = _supposed(signals, settings, "content")
    return [
        cut(int(number[row]), 0.5 * confidence)
        for row, confidence in supposed.items()
        if row > 0 and not forced[row - 1] and signals.raw[row] >= LIKELY.change
    ]


def _apart(gradual: Sequence[Transition]) -> list[Transition]:
    """Leave out what overlaps with something before it in the list."""
    kept: list[Transition] = []
    for each in gradual:
        if not _overlaps(each, kept):
            kept.append(each)
    return kept


def _overlaps(one: Transition, others: Iterable[Transition]) -> bool:
    return any(o.start_frame <= one.end_frame and one.start_frame <= o.end_frame for o in others)
