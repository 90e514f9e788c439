"""Who speaks when: voiceprints in groups, and words given to the group that they sound like.

Here: how many speakers, and whose each word is. Not here: voiceprints (``voiceprints``), what
becomes of turns (``turns``, ``formats``).

In three steps: agglomerative clustering (average linkage, cosine) of at most ``_SAMPLE``
voiceprints into small groups; groups whose means are alike are one speaker; then Viterbi over the
words, in which a change of speaker costs less at a pause or after a sentence. Time and memory of
the clustering do not grow with the length of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from av_pipelines.transcripts.subtitle_settings import SpeakerSettings
from av_pipelines.transcripts.turns import Turn
from av_pipelines.transcripts.voiceprints import (
    MODEL,
    STEP_S,
    Embedder,
    Voiceprints,
    find_voiceprints,
)
from av_pipelines.transcripts.words import Word
from resources.models import Model, ModelError, obtain_model

_SAMPLE = 1500
_GROUP_DISTANCE = 0.34
"""Two voiceprints of one speaker, each over 1.6 s, are seldom farther apart."""
_LEAST = 4
"""Voiceprints of a speaker, at least: 2 s. Fewer are laughter, music, two at once."""
_LEAST_SHARE = 0.02
_UNSURE = 0.25
"""The mean of n voiceprints may be off by this through n: small groups must be farther apart."""
_VOICED_GAP_S = 0.5

_PER_S = 8.0
"""Weight of a second of voice against a change of speaker."""
_CHANGE, _CHANGE_AT_PAUSE, _CHANGE_AT_SENTENCE = 4.0, 1.5, 1.0
_PAUSE_S = 0.2


def turns_if_asked(
    audio: Path,
    words: Sequence[Word],
    settings: SpeakerSettings,
    find: Callable[[str], Model] = obtain_model,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[tuple[Turn, ...], str | None]:
    """Find turns where the settings want them; else, and where there is no model, none.

    Returns:
        The turns, and why there are none although they were asked for (for ``degraded``).
    """
    if not settings.speakers or not words:
        return (), None
    try:
        model = find(MODEL)
    except ModelError as error:
        return (), f"speakers are not told apart: {error.message}"
    return find_turns(audio, words, settings, model=model, progress=progress), None


def find_turns(
    audio: Path,
    words: Sequence[Word],
    settings: SpeakerSettings,
    *,
    model: Model,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Turn, ...]:
    """Say who speaks when, from the words of a transcript and the sound under them.

    Args:
        audio: the file the words were heard in, one this project wrote.
        words: in order.
        settings: ``speaker_count``, or how far apart speakers are.
        model: ``voiceprints.MODEL``.
        progress: called with the share done.

    Returns:
        Turns in order, not overlapping, each from the start of a first word to the end of a last
        one; speakers are ``Speaker 1``, ``Speaker 2`` … in the order in which they begin. Empty
        where there are no words.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if not words:
        return ()
    prints = find_voiceprints(audio, voiced(words), Embedder(model), progress)
    return turns_of(words, prints, settings)


def voiced(words: Sequence[Word]) -> list[tuple[float, float]]:
    """Return from when to when somebody speaks, going over gaps of less than half a second."""
    spans: list[tuple[float, float]] = []
    for word in words:
        if spans and word.start_s - spans[-1][1] < _VOICED_GAP_S:
            spans[-1] = (spans[-1][0], max(spans[-1][1], word.end_s))
        else:
            spans.append((word.start_s, word.end_s))
    return spans


def turns_of(
    words: Sequence[Word], prints: Voiceprints, settings: SpeakerSettings
) -> tuple[Turn, ...]:
    """Find the speakers among voiceprints, and give each word to one (see ``find_turns``)."""
    prints = prints.audible()
    smooth = _smoothed(prints)
    voices = find_voices(smooth, settings.speaker_count, settings.speaker_distance)
    labels = _labels(words, prints.times_s, smooth, voices)
    names: dict[int, str] = {}
    for label in labels:
        names.setdefault(label, f"Speaker {len(names) + 1}")
    turns: list[Turn] = []
    for label, group in groupby(zip(words, labels, strict=True), key=lambda pair: pair[1]):
        said = [word for word, _ in group]
        turns.append(Turn(said[0].start_s, said[-1].end_s, names[label]))
    return tuple(turns)


def find_voices(vectors: np.ndarray, count: int, distance: float) -> np.ndarray:
    """Return the mean voiceprint of each speaker, shape (speakers, 256), of length 1.

    Args:
        vectors: voiceprints (n, 256).
        count: how many speakers; 0: as many as are ``distance`` apart.
        distance: cosine distance of two speakers' means, at least.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) < 2 or count == 1:
        return _unit(vectors.mean(axis=0, keepdims=True)) if len(vectors) else np.zeros((1, 256))
    chosen = np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).round().astype(int)
    sample = vectors[chosen].astype(np.float64)
    near = fcluster(linkage(sample, "average", metric="cosine"), _GROUP_DISTANCE, "distance")
    groups = [sample[near == label] for label in np.unique(near)]
    groups.sort(key=len, reverse=True)
    least = max(_LEAST, round(_LEAST_SHARE * len(sample)))
    large = [group for group in groups if len(group) >= least]
    groups = large if len(large) >= max(count, 1) else groups[: max(count, 1)]
    while len(groups) > max(count, 1):
        means = _unit(np.array([_typical(group) for group in groups]))
        apart = 1 - means @ means.T + 9 * np.tri(len(groups))
        a, b = np.unravel_index(apart.argmin(), apart.shape)
        unsure = _UNSURE / min(len(groups[a]), len(groups[b]))
        if not count and apart[a, b] >= distance + unsure:
            break
        groups[a] = np.concatenate([groups[a], groups.pop(b)])
    voices = _unit(np.array([group.mean(axis=0) for group in groups])).astype(np.float32)
    for _ in range(3):  # spherical k-means, from a good start
        whose = np.eye(len(voices), dtype=np.float32)[(vectors @ voices.T).argmax(axis=1)]
        has_any = np.any(whose, axis=0, keepdims=True).T
        voices = np.where(has_any, _unit(whose.T @ vectors), voices)
    return voices


def _smoothed(prints: Voiceprints) -> np.ndarray:
    """Average each voiceprint with its neighbours in time, as far as they sound like it."""
    vectors = prints.vectors
    total = vectors.copy()
    if len(vectors) > 1:
        alike = np.sum(vectors[1:] * vectors[:-1], axis=1)
        weight = np.clip((alike - 0.5) / 0.3, 0, 1) * (np.diff(prints.times_s) < 1.5 * STEP_S)
        total[1:] += vectors[:-1] * weight[:, None]
        total[:-1] += vectors[1:] * weight[:, None]
    return _unit(total)


def _typical(group: np.ndarray) -> np.ndarray:
    """Return the mean of the half that is nearest to the mean: not of where two voices meet."""
    likeness = group @ group.mean(axis=0)
    return group[likeness >= np.median(likeness)].mean(axis=0)


def _labels(
    words: Sequence[Word], times_s: np.ndarray, vectors: np.ndarray, voices: np.ndarray
) -> list[int]:
    """Viterbi: the likeliest speaker of each word, changes being rare."""
    if len(voices) == 1 or not len(times_s):
        return [0] * len(words)
    likeness = vectors @ voices.T
    best = np.zeros(len(voices))
    back: list[np.ndarray] = []
    for before, word in pairwise([None, *words]):
        assert word is not None
        middle = (word.start_s + word.end_s) / 2
        heard = np.array([np.interp(middle, times_s, column) for column in likeness.T])
        weight = _PER_S * min(max(word.end_s - word.start_s, 0.1), 2.0)
        change = _change(before, word)
        source = np.where(best >= best.max() - change, np.arange(len(best)), best.argmax())
        best = np.maximum(best, best.max() - change) + weight * (heard - heard.max())
        back.append(source)
    labels = [int(best.argmax())]
    for source in reversed(back[1:]):
        labels.append(int(source[labels[-1]]))
    return labels[::-1]


def _change(before: Word | None, word: Word) -> float:
    """What a change of speaker between two words costs."""
    if before is None:
        return 0.0
    sentence = before.text.rstrip("\"'”’»)]")[-1:] in set(".!?…。！？؟")
    if word.start_s - before.end_s >= _PAUSE_S:
        return _CHANGE_AT_SENTENCE if sentence else _CHANGE_AT_PAUSE
    return _CHANGE_AT_PAUSE if sentence else _CHANGE


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
