"""The network where it is worth asking, and what its word counts beside cheaper signals.

Here: which rows to ask it about, and putting both together. Not here: the network
(``transnetv2``, which this module loads only when there is something to ask), the signals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from av_pipelines.media.picture import Picture
from av_pipelines.scenes.detectors.compensated import LIKELY, SURE, Evidence
from av_pipelines.scenes.detectors.gradual import Dissolve
from av_pipelines.scenes.detectors.transitions import Transition, cut, runs

Progress = Callable[[float], None]

_AROUND = 12  # rows on either side of a doubt that the network is asked about
_STRAIGHT = 0.3  # straightness from which a dissolve is beyond doubt
_PART = 0.5  # probability from which a row is part of a transition
_SOME = 0.6  # of the threshold that is enough where there is other evidence
_LONGEST_CUT = 4  # rows that the network may take for part of a cut


@dataclass(frozen=True)
class Network:
    """The network's weights, found and checked, and the device to run it on."""

    weights: Path
    device: str


@dataclass(frozen=True, eq=False)
class Answers:
    """What the network said: float32 (rows,), NaN where it was not asked.

    ``changes``: that the shot changes right after a row; ``parts``: that it is part of a change.
    """

    changes: np.ndarray
    parts: np.ndarray

    @classmethod
    def none(cls, rows: int) -> Answers:
        """Nothing was asked."""
        return cls(np.full(rows, np.nan, np.float32), np.full(rows, np.nan, np.float32))

    def change_at(self, row: int) -> float | None:
        """Probability of a cut before a row, or one row off; None if it was not asked."""
        return _highest(self.changes[max(row - 2, 0) : row + 1])

    def change_within(self, start: int, end: int) -> float | None:
        """Highest probability that the shot changes in between."""
        return _highest(self.changes[max(start - 1, 0) : end + 1])

    def asked(self) -> int:
        """Number of rows it was asked about."""
        return int((~np.isnan(self.changes)).sum())


def _highest(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmax(values))


def ask(
    picture: Picture, network: Network, spans: Sequence[tuple[int, int]], progress: Progress
) -> Answers:
    """Ask the network about some parts of a film: first row and last + 1 of each."""
    answers = Answers.none(len(picture.thumbnails))
    if not spans:
        return answers
    from av_pipelines.scenes.detectors.transnetv2 import load, predict

    loaded = load(network.weights, network.device)
    for start, changes, parts in predict(loaded, picture.thumbnails, spans, progress):
        answers.changes[start : start + len(changes)] = changes
        answers.parts[start : start + len(parts)] = parts
    return answers


def doubts(
    evidence: Evidence, candidates: Iterable[int], dissolves: Iterable[Dissolve]
) -> list[tuple[int, int]]:
    """Give the parts of a film about which the cheap signals leave doubt, joined and in order.

    Args:
        evidence: of the film.
        candidates: rows that may be cuts.
        dissolves: what may be dissolves.
    """
    sure = set(evidence.rows(SURE).tolist())
    wanted = np.zeros(len(evidence.ratio), bool)
    for row in candidates:
        if row not in sure:
            wanted[max(row - _AROUND, 0) : row + _AROUND] = True
    for each in dissolves:
        if each.straightness < _STRAIGHT:
            start, end = each.transition.start_frame, each.transition.end_frame
            wanted[max(start - _AROUND, 0) : end + _AROUND] = True
    return list(runs(wanted))


def cuts(
    evidence: Evidence, candidates: Iterable[int], answers: Answers, threshold: float
) -> list[Transition]:
    """Give the candidates that are cuts: those beyond doubt, and those the network confirms."""
    sure, likely = set(evidence.rows(SURE).tolist()), set(evidence.rows(LIKELY).tolist())
    found: list[Transition] = []
    for row in candidates:
        said, seen = answers.change_at(row), evidence.confidence(row)
        if row in sure:
            found.append(cut(row, seen if said is None else max(seen, said)))
        elif said is None and row in likely:
            found.append(cut(row, seen))
        elif said is not None and said >= threshold * (_SOME if row in likely else 1):
            found.append(cut(row, said))
    return found


def dissolves(
    candidates: Iterable[Dissolve], answers: Answers, threshold: float
) -> list[Transition]:
    """Give the candidates that are dissolves: those beyond doubt, and those confirmed."""
    found: list[Transition] = []
    for each in candidates:
        change = each.transition
        said = answers.change_within(change.start_frame, change.end_frame)
        if said is None or each.straightness >= _STRAIGHT or said >= threshold * _SOME:
            found.append(change)
    return found


def by_network_alone(answers: Answers, threshold: float) -> list[Transition]:
    """Find what the network sees: cuts, and transitions of several rows, called dissolves."""
    changes = np.nan_to_num(answers.changes)
    found: list[Transition] = []
    for start, end in runs(np.maximum(np.nan_to_num(answers.parts), changes) >= _PART):
        peak = start + int(changes[start:end].argmax())
        confidence = float(changes[peak])
        if confidence < threshold or peak + 1 >= len(changes):
            continue
        if end - start <= _LONGEST_CUT:
            found.append(cut(peak + 1, confidence))
        else:
            found.append(Transition((start + end) // 2, "dissolve", start, end, confidence))
    return found
