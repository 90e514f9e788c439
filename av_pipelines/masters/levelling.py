"""Which gain brings a programme to its target loudness through a limiter.

Here: the search for that gain, and what happens when there is none. It knows numbers only: how the
loudness after the limiter is measured is given to it. Not here: reading, limiting, writing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from av_pipelines.masters.chain import MasterError
from av_pipelines.masters.settings import MasterSettings

__all__ = ["TOLERANCE_LU", "Level", "find_gain"]

TOLERANCE_LU = 0.1
"""How far a delivered file may be from the target before its gain is corrected."""

_MEASURED_PASSES = 3
_CLOSE_ENOUGH_LU = 0.05  # leaves room for what an encoder and another meter do
_FAR_LU = 2.0  # after all passes: what is this far away does not come near
_LONGEST_STEP_DB = 12.0
_HIGHEST_SLOPE = 0.8
# Less than this many LU for one dB more gain: the limiter eats what the gain gives.
_LOWEST_SLOPE = 0.1


@dataclass(frozen=True)
class Level:
    """How far to turn a programme up or down.

    Attributes:
        gain_db: before the limiter.
        target_lufs: what the delivered files should have; None: what comes out is what there is.
        actions: what was done beyond the plain gain, as sentences.
    """

    gain_db: float
    target_lufs: float | None
    actions: tuple[str, ...] = ()


def find_gain(
    integrated_lufs: float,
    true_peak_dbtp: float,
    settings: MasterSettings,
    measure: Callable[[float], float],
) -> Level:
    """Find the gain after which limiter and all give the target loudness.

    Where the peaks stay under the ceiling this is a subtraction. Where they do not, limiting takes
    loudness away: up to three passes measure how much, and the gain is raised by it.

    Args:
        integrated_lufs: of the programme as it is; -inf for silence.
        true_peak_dbtp: of the programme as it is.
        settings: target, ceiling, and what to do when the target is far.
        measure: gain in dB → integrated loudness after gain and limiter, in LUFS.

    Raises:
        MasterError: the target needs more limiting than allowed, and the settings say ``fail``.
    """
    if integrated_lufs == -math.inf:
        silent = "The programme is silent (nothing above -70 LUFS): its level was not changed."
        return Level(0.0, None, (silent,))
    target = settings.target_lufs
    gain = target - integrated_lufs
    if true_peak_dbtp + gain <= settings.ceiling_dbtp:
        return Level(gain, target)

    # With this gain the highest peak is limited by just as much as is allowed.
    most = settings.ceiling_dbtp + settings.max_limiting_db - true_peak_dbtp
    tried: list[tuple[float, float]] = []
    while True:
        if gain > most and settings.when_too_quiet != "limit":
            return _held_back(gain, most, true_peak_dbtp, settings, measure)
        tried.append((gain, measure(gain)))
        error = target - tried[-1][1]
        if abs(error) <= _CLOSE_ENOUGH_LU:
            break
        slope = _slope(tried, integrated_lufs, true_peak_dbtp, settings)
        if slope < _LOWEST_SLOPE and error > 0:
            return _out_of_reach(tried, settings)
        step = error / max(slope, _LOWEST_SLOPE)
        gain += math.copysign(min(abs(step), _LONGEST_STEP_DB), step)
        if len(tried) == _MEASURED_PASSES:
            if abs(error) > _FAR_LU:
                return _out_of_reach(tried, settings)
            break  # the delivered file is measured too, and has the last word

    actions = []
    made_up = gain - (target - integrated_lufs)
    if abs(made_up) >= _CLOSE_ENOUGH_LU:
        actions.append(
            f"Limiting changes the loudness: the gain was corrected by {made_up:+.2f} dB, after "
            f"measuring it {_times(len(tried))}."
        )
    if gain > most:
        needed = true_peak_dbtp + gain - settings.ceiling_dbtp
        actions.append(
            f"The target of {target:g} LUFS needs up to {needed:.1f} dB of limiting, more than "
            f"max_limiting_db = {settings.max_limiting_db:g}; when_too_quiet = limit, so it was "
            "limited harder."
        )
    return Level(gain, target, tuple(actions))


def _slope(
    tried: list[tuple[float, float]],
    integrated_lufs: float,
    true_peak_dbtp: float,
    settings: MasterSettings,
) -> float:
    """Loudness gained per dB of gain, from the last two tries, or guessed from the first."""
    gain, loudness = tried[-1]
    if len(tried) > 1:
        before_gain, before = tried[-2]
        return min(1.0, (loudness - before) / (gain - before_gain))
    # The loss grows about with the power 2.5 of how far the peaks are over the ceiling.
    lost = gain + integrated_lufs - loudness
    over = true_peak_dbtp + gain - settings.ceiling_dbtp
    return 1 - min(_HIGHEST_SLOPE, max(0.0, 2.5 * lost / over))


def _held_back(
    gain: float,
    most: float,
    true_peak_dbtp: float,
    settings: MasterSettings,
    measure: Callable[[float], float],
) -> Level:
    """Do what ``when_too_quiet`` says when the target needs more limiting than allowed."""
    needed = true_peak_dbtp + gain - settings.ceiling_dbtp
    reason = (
        f"the target of {settings.target_lufs:g} LUFS needs {needed:.1f} dB of limiting under a "
        f"ceiling of {settings.ceiling_dbtp:g} dBTP, more than max_limiting_db = "
        f"{settings.max_limiting_db:g}"
    )
    if settings.when_too_quiet == "fail":
        raise MasterError(
            f"{reason}, and when_too_quiet = fail. Lower target_lufs, raise max_limiting_db, or set "
            "when_too_quiet to limit or lower_target"
        )
    reached = measure(most)
    action = (
        f"{reason[0].upper()}{reason[1:]}; when_too_quiet = lower_target, so the target was lowered "
        f"to {reached:.1f} LUFS."
    )
    return Level(most, reached, (action,))


def _out_of_reach(tried: list[tuple[float, float]], settings: MasterSettings) -> Level:
    """Take the least gain of those that came about as close as any did."""
    closest = min(abs(settings.target_lufs - loudness) for _, loudness in tried)
    near = [one for one in tried if abs(settings.target_lufs - one[1]) <= closest + TOLERANCE_LU]
    gain, loudness = min(near)
    action = (
        f"The target of {settings.target_lufs:g} LUFS cannot be reached under a ceiling of "
        f"{settings.ceiling_dbtp:g} dBTP: more gain only means more limiting. The master has "
        f"{loudness:.1f} LUFS."
    )
    return Level(gain, None, (action,))


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
