"""Cuts by change of content: PySceneDetect's ``content`` and ``adaptive`` detectors.

The formulae, names and defaults are those of its ``ContentDetector`` and ``AdaptiveDetector``
(version 0.7), over all frames at once; the pictures they are applied to are thumbnails.
Here: which rows they call a cut. Not here: what is no cut after all (``rejection``).
"""

from __future__ import annotations

import numpy as np

_ALMOST_ZERO = 1e-5
_MAX_RATIO = 255.0


def content_cuts(content: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Find rows whose change of content is large.

    Args:
        content: ``content_val`` of each row.
        threshold: from which it is a cut.

    Returns:
        Rows, rising, and how sure each is, 0.5 at the threshold, towards 1.
    """
    rows = np.flatnonzero(content >= threshold)
    return rows, content[rows] / (content[rows] + threshold)


def adaptive_cuts(
    content: np.ndarray, threshold: float, min_content_val: float, window_width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find rows whose change of content is large beside that of their neighbours.

    Args:
        content: ``content_val`` of each row.
        threshold: ``adaptive_threshold``: from which ratio it is a cut.
        min_content_val: smallest change that can be one.
        window_width: neighbours on either side.

    Returns:
        As ``content_cuts``.
    """
    ratio = adaptive_ratio(content, window_width)
    rows = np.flatnonzero((ratio >= threshold) & (content >= min_content_val))
    return rows, ratio[rows] / (ratio[rows] + threshold)


def adaptive_ratio(content: np.ndarray, window_width: int) -> np.ndarray:
    """Divide each row's change by the mean of its neighbours', those of the row itself left out.

    At the ends of the film, where PySceneDetect says nothing, the neighbours there are count.
    """
    mean = neighbours(content, window_width)
    ratio = np.where(mean > _ALMOST_ZERO, content / np.maximum(mean, _ALMOST_ZERO), _MAX_RATIO)
    return np.where(content > _ALMOST_ZERO, np.minimum(ratio, _MAX_RATIO), 0.0)


def neighbours(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the values up to ``width`` rows before and after each, itself left out."""
    kernel = np.ones(2 * width + 1)
    kernel[width] = 0
    inside = slice(width, width + len(values))
    count = np.convolve(np.ones(len(values)), kernel)[inside]
    return np.convolve(values, kernel)[inside] / np.maximum(count, 1)
