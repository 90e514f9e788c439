"""Which gain brings a programme to its target loudness through a limiter.

Here: the search for that gain, and what happens when there is none. It knows numbers only: how the
loudness after the limiter is measured is given to it. Not here: reading, limiting, writing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from av_pipelines.masters.chain import MasterError
from av_pipelines.masters.settings import MasterSettings

__all__ = [
    "LOSS_POWER",
    "SURE_LU",
    "TOLERANCE_LU",
    "Level",
    "Outcome",
    "Search",
    "find_gain",
    "times",
]

TOLERANCE_LU = 0.1
"""How far a delivered file may be from the target."""

LOSS_POWER = 2.5
"""What limiting takes away grows about with this power of how far the peaks are over."""

SURE_LU = 0.15
"""So little taken away is estimated well enough: no need to measure it."""

_PASSES = 4
_CLOSE_ENOUGH_LU = 0.06  # leaves room for what an encoder and another meter do
_LONGEST_STEP_DB = 12.0
_SMALL_STEP_LU = 0.5
_LEAST_GUESS = 0.25  # of the slope, before it has been measured
# Less than this many LU for one dB more gain: the limiter eats what the gain gives.
_LOWEST_SLOPE = 0.2


class Outcome(Enum):
    """How a search ended."""

    FOUND = auto()
    """The loudness is there, or as near as some passes bring it."""
    CAPPED = auto()
    """More gain would help, but is not allowed."""
    FLAT = auto()
    """More gain only means more limiting."""


def times(count: int) -> str:
    """Say a number of times in words."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


@dataclass(frozen=True)
class Search:
    """Search for the gain after which limiter and all give a loudness.

    Where the peaks stay under the ceiling this is a subtraction. Where they do not, limiting takes
    loudness away: passes through the limiter measure how much, four at most, usually one or two.

    Attributes:
        integrated_lufs: of the programme as it is.
        true_peak_dbtp: of the programme as it is.
        ceiling_dbtp: of the limiter.
        measure: gain in dB → integrated loudness after gain and limiter, in LUFS.
        estimate: the same, about, and much faster; None: there is nothing faster.
    """

    integrated_lufs: float
    true_peak_dbtp: float
    ceiling_dbtp: float
    measure: Callable[[float], float]
    estimate: Callable[[float], float] | None = None

    def over(self, gain_db: float) -> float:
        """Return how far the highest peak is over the ceiling after a gain, in dB."""
        return self.true_peak_dbtp + gain_db - self.ceiling_dbtp

    def run(
        self, target_lufs: float, *, start_db: float | None = None, most_db: float = math.inf
    ) -> tuple[Outcome, float, int]:
        """Search.

        Args:
            target_lufs: the loudness wanted.
            start_db: a gain that is probably near; None: what would do without a limiter.
            most_db: the highest gain allowed.

        Returns:
            The outcome; the gain it came to (``CAPPED``: that it asked for; ``FLAT``: the least
            that does about as much as any); and how often it measured.
        """
        plain = target_lufs - self.integrated_lufs
        if self.over(plain) <= 0:
            return Outcome.FOUND, plain, 0
        gain = plain if start_db is None else start_db
        if self.estimate:
            rough = Search(
                self.integrated_lufs, self.true_peak_dbtp, self.ceiling_dbtp, self.estimate
            )
            _, gain, _ = rough.run(target_lufs, start_db=start_db)
            if abs(gain - plain) <= SURE_LU and gain <= most_db:
                return Outcome.FOUND, gain, 0  # the delivered file is measured in any case
        tried: list[tuple[float, float]] = []
        while gain <= most_db:
            tried.append((gain, self.measure(gain)))
            error = target_lufs - tried[-1][1]
            if abs(error) <= _CLOSE_ENOUGH_LU:
                break
            if self.estimate and len(tried) == 1 and abs(error) <= _SMALL_STEP_LU:
                # The estimate knows the slope well: no need to measure after so small a step.
                slope = (self.estimate(gain + error) - self.estimate(gain)) / error
                if slope >= _LOWEST_SLOPE:
                    gain += error / slope
                    break
            slope = self._slope(tried)
            if slope < _LOWEST_SLOPE and error > 0:  # never after one try: that is a guess
                return Outcome.FLAT, self._least(tried, target_lufs), len(tried)
            step = error / max(slope, _LOWEST_SLOPE)
            gain += math.copysign(min(abs(step), _LONGEST_STEP_DB), step)
            if len(tried) == _PASSES:
                break  # the delivered file is measured too, and has the last word
        return Outcome.FOUND if gain <= most_db else Outcome.CAPPED, gain, len(tried)

    def _slope(self, tried: list[tuple[float, float]]) -> float:
        """Loudness gained per dB of gain, from the last two tries, or guessed from the first."""
        gain, loudness = tried[-1]
        if len(tried) > 1:
            before_gain, before = tried[-2]
            return min(1.0, (loudness - before) / (gain - before_gain))
        lost = gain + self.integrated_lufs - loudness
        over = self.over(gain)
        return min(1.0, max(_LEAST_GUESS, 1 - LOSS_POWER * lost / over)) if over > 0 else 1.0

    @staticmethod
    def _least(tried: list[tuple[float, float]], target_lufs: float) -> float:
        """Return the least gain of those that came about as close as any did."""
        closest = min(abs(target_lufs - loudness) for _, loudness in tried)
        return min(g for g, found in tried if abs(target_lufs - found) <= closest + TOLERANCE_LU)


@dataclass(frozen=True)
class Level:
    """How far to turn a programme up or down.

    Attributes:
        gain_db: before the limiter.
        target_lufs: what the delivered files should have; None: what comes out is what there is.
        integrated_lufs: of the programme as it is.
        true_peak_dbtp: of the programme as it is.
        actions: what was done beyond the plain gain, as sentences.
    """

    gain_db: float
    target_lufs: float | None
    integrated_lufs: float
    true_peak_dbtp: float
    actions: tuple[str, ...] = ()


def find_gain(
    integrated_lufs: float,
    true_peak_dbtp: float,
    settings: MasterSettings,
    measure: Callable[[float], float],
    estimate: Callable[[float], float] | None = None,
) -> Level:
    """Find the gain for the target of the settings, and do as they say where there is none.

    Args:
        integrated_lufs: of the programme as it is; -inf for silence.
        true_peak_dbtp: of the programme as it is.
        settings: target, ceiling, and what to do when the target is far.
        measure: gain in dB → integrated loudness after gain and limiter, in LUFS.
        estimate: the same, about, and much faster; see ``Search``.

    Raises:
        MasterError: the target needs more limiting than allowed, and the settings say ``fail``.
    """

    def level(gain: float, target: float | None, *actions: str) -> Level:
        return Level(gain, target, integrated_lufs, true_peak_dbtp, actions)

    if settings.album_gain_db is not None:
        said = f"The gain of the whole album, which it brings to {settings.album_lufs:.2f} LUFS."
        return level(settings.album_gain_db, None, said)
    if integrated_lufs == -math.inf:
        said = "The programme is silent (nothing above -70 LUFS): its level was not changed."
        return level(0.0, None, said)
    target, ceiling = settings.target_lufs, settings.ceiling_dbtp
    search = Search(integrated_lufs, true_peak_dbtp, ceiling, measure, estimate)
    # With this gain the highest peak is limited by just as much as is allowed.
    most = ceiling + settings.max_limiting_db - true_peak_dbtp
    hard = settings.when_too_quiet == "limit"
    outcome, gain, passes = search.run(target, most_db=math.inf if hard else most)

    needs = (
        f"The target of {target:g} LUFS needs {search.over(gain):.1f} dB of limiting under a "
        f"ceiling of {ceiling:g} dBTP, more than max_limiting_db = {settings.max_limiting_db:g}"
    )
    if outcome is Outcome.CAPPED:
        if settings.when_too_quiet == "fail":
            raise MasterError(
                f"{needs}, and when_too_quiet = fail. Lower target_lufs, raise max_limiting_db, or "
                "set when_too_quiet to limit or lower_target"
            )
        reached = measure(most)
        said = f"{needs}; when_too_quiet = lower_target: it was lowered to {reached:.1f} LUFS."
        return level(most, reached, said)
    if outcome is Outcome.FLAT:
        said = (
            f"The target of {target:g} LUFS is out of reach under a ceiling of {ceiling:g} dBTP: "
            "more gain only means more limiting."
        )
        return level(gain, None, said)
    actions = []
    made_up = gain - (target - integrated_lufs)
    if abs(made_up) >= _CLOSE_ENOUGH_LU:
        actions.append(
            f"Limiting changes the loudness: the gain was corrected by {made_up:+.2f} dB, after "
            f"measuring it {times(passes) if passes else 'on pieces'}."
        )
    if gain > most:
        actions.append(f"{needs}; when_too_quiet = limit: it was limited harder.")
    return level(gain, target, *actions)
