"""Exposure, white balance, lift, gamma and gain as one curve per channel.

Here: the arithmetic. It is done on a table of 4096 points that FFmpeg then looks up, so it costs
the same whatever is set, and the table (``grade.cube``) can be used elsewhere. Not here: saturation
and the user's table, which mix channels (``filters``).

Of a channel's value x, 0 (black) to 1 (white):

1. light: x^2.4 (the display of ITU-R BT.1886), times 2^exposure, times the channel's white balance;
   back with ^(1/2.4)
2. gain × (y + lift × (1 - y)), then ^(1/gamma), kept within 0 and 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from av_pipelines.scenes.cube import Cube

if TYPE_CHECKING:
    from av_pipelines.scenes.look_settings import LookSettings

_POINTS = 4096
_DISPLAY_GAMMA = 2.4
_NEUTRAL_K = 6500.0
_TINT_STOPS = 0.5  # of green at full tint
LUMA = np.array([0.2126, 0.7152, 0.0722])
"""Share of red, green and blue in luma (ITU-R BT.709)."""

_XYZ_TO_RGB = np.array(  # linear light, BT.709 primaries (IEC 61966-2-1)
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def curves(settings: LookSettings) -> Cube | None:
    """Give the table of all per-channel settings; None if they change nothing."""
    neutral = type(settings)()
    names = ("exposure_ev", "temperature_k", "tint", "lift", "gamma", "gain")
    if all(getattr(settings, name) == getattr(neutral, name) for name in names):
        return None
    values = grade(np.linspace(0, 1, _POINTS)[:, None].repeat(3, axis=1), settings)
    return Cube(_POINTS, False, values.astype(np.float32))


def grade(colours: np.ndarray, settings: LookSettings) -> np.ndarray:
    """Apply the per-channel settings to colours, (…, 3), 0 to 1."""
    light = colours**_DISPLAY_GAMMA * 2.0**settings.exposure_ev
    light = light * white_balance(settings.temperature_k, settings.tint)
    y = light ** (1 / _DISPLAY_GAMMA)
    y = np.array(settings.gain) * (y + np.array(settings.lift) * (1 - y))
    return np.clip(np.clip(y, 0, None) ** (1 / np.array(settings.gamma)), 0, 1)


def white_balance(temperature_k: float, tint: float) -> np.ndarray:
    """Give the factors of red, green and blue light, (3,), that keep the luma of white.

    What is lit by a black body of this temperature comes out as it would under 6500 K.
    """
    factors = _black_body(_NEUTRAL_K) / _black_body(temperature_k)
    factors[1] *= 2.0 ** (-_TINT_STOPS * tint / 100)
    return factors / (LUMA @ factors)


def _black_body(kelvin: float) -> np.ndarray:
    """Linear RGB of a black body, (3,); Kim et al., US patent 7024034, 1667 to 25000 K."""
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    rgb = _XYZ_TO_RGB @ np.array([x / y, 1.0, (1 - x - y) / y])
    return np.maximum(rgb, 0.01)  # candle light has no blue that could be brought back
