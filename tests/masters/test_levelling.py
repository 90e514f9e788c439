"""The search for the gain, on programmes that are formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.masters.chain import MasterError
from av_pipelines.masters.levelling import Level, find_gain
from av_pipelines.masters.settings import MasterSettings


def limiter(lufs: float, peak: float, hardness: float) -> Callable[[float], float]:
    """Loudness after gain and a limiter at -1 dBTP that takes the more the more it works."""

    def measure(gain: float) -> float:
        over = max(0.0, peak + gain + 1.0)
        return lufs + gain - over**2 / (over + hardness)

    return measure


def no_pass_needed(gain: float) -> float:
    raise AssertionError(f"measured after {gain} dB")


def test_without_peaks_over_the_ceiling_the_gain_is_the_difference():
    level = find_gain(-20.0, -10.0, MasterSettings(target_lufs=-14), no_pass_needed)
    assert level == Level(6.0, -14.0, -20.0, -10.0)


@given(lufs=st.floats(-40, -15), crest=st.floats(8, 20), hardness=st.floats(15, 60))
def test_what_limiting_takes_is_made_up_for(lufs, crest, hardness):
    measure = limiter(lufs, lufs + crest, hardness)
    settings = MasterSettings(target_lufs=-14)
    level = find_gain(lufs, lufs + crest, settings, measure)
    assert abs(measure(level.gain_db) - settings.target_lufs) <= 0.1


def test_silence_is_left_alone_and_it_says_so():
    level = find_gain(-math.inf, -math.inf, MasterSettings(), no_pass_needed)
    assert (level.gain_db, level.target_lufs) == (0.0, None)
    assert "silent" in level.actions[0]


class TestTooQuiet:
    """Peaks 25 dB over the loudness: -14 LUFS would need 12 dB of limiting and more."""

    measure = staticmethod(limiter(-34.0, -9.0, 40.0))

    def find(self, when_too_quiet: str) -> Level:
        settings = MasterSettings.model_validate(
            {"max_limiting_db": 6, "when_too_quiet": when_too_quiet}
        )
        return find_gain(-34.0, -9.0, settings, self.measure)

    def test_limit_reaches_the_target_and_says_that_it_limited_harder(self):
        level = self.find("limit")
        assert self.measure(level.gain_db) == pytest.approx(-14, abs=0.1)
        assert "limited harder" in level.actions[-1]

    def test_lower_target_limits_as_much_as_allowed(self):
        level = self.find("lower_target")
        assert -9.0 + level.gain_db + 1.0 == pytest.approx(6)
        assert level.target_lufs == pytest.approx(self.measure(level.gain_db))
        assert "lowered to" in level.actions[0]

    def test_fail_names_the_settings(self):
        with pytest.raises(MasterError, match=r"max_limiting_db = 6.*when_too_quiet = fail"):
            self.find("fail")


def test_a_target_that_no_gain_reaches_ends_the_search_with_a_sentence():
    level = find_gain(-30.0, -5.0, MasterSettings(), lambda gain: min(-30.0 + gain, -25.0))
    assert level.target_lufs is None
    assert level.gain_db <= 16.0
    assert "out of reach" in level.actions[0]


def test_an_estimate_of_a_little_limiting_needs_no_pass():
    measure = limiter(-20.0, -6.5, 40.0)  # 0.25 dB over: next to nothing is taken
    settings = MasterSettings(target_lufs=-14)
    level = find_gain(-20.0, -6.5, settings, no_pass_needed, estimate=measure)
    assert measure(level.gain_db) == pytest.approx(-14, abs=0.06)


def test_an_estimate_that_is_a_little_wrong_is_measured_and_corrected():
    measure = limiter(-30.0, -10.0, 30.0)
    level = find_gain(
        -30.0, -10.0, MasterSettings(), measure, estimate=lambda gain: measure(gain) + 0.3
    )
    assert measure(level.gain_db) == pytest.approx(-14, abs=0.1)
