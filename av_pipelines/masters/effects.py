"""Effects by settings: Pedalboard's, and external plug-ins, in blocks with their state kept.

Here: building the chain and running sound through it. Not here: what can be set
(``effect_settings``), loudness and limiting, which never need this.

Pedalboard is under GPL-3.0, so it is an optional extra that only effects import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from av_pipelines.masters.chain import MasterError, Programme
from av_pipelines.masters.effect_settings import EffectSettings

_BUFFER = 8192


class Effects:
    """A ``Processor`` that runs the effects of the settings; as many samples out as in.

    Args:
        programme: what will be sent through.
        settings: the effects.

    Raises:
        MasterError: Pedalboard is not installed, a plug-in is not there or does not load, or the
            programme has channels that an effect does not take.
    """

    def __init__(self, programme: Programme, settings: EffectSettings) -> None:
        try:
            from pedalboard._pedalboard import Pedalboard
        except ImportError:
            raise MasterError(
                f"{programme.path}: the setting effects asks for effects, and they are not "
                "installed: pip install 'av-pipelines[effects]', or take them out"
            ) from None
        if settings.reverb and programme.channels > 2:
            raise MasterError(
                f"{programme.path}: {programme.channels} channels; effects.reverb takes 1 or 2. "
                "Take it out for this file"
            )
        self._board: Any = Pedalboard(_plugins(programme, settings))
        self._programme = programme
        self._owed = 0

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples, return those that are done."""
        self._owed += block.shape[1]
        # Plug-ins that look ahead give the first samples later.
        out = self._run(block)[:, : self._owed]
        self._owed -= out.shape[1]
        return out

    def flush(self) -> np.ndarray | None:
        """Return what is still inside."""
        owed, self._owed = self._owed, 0
        if not owed:
            return None
        # What is owed comes after at most as much silence, plus a buffer.
        silence = np.zeros((self._programme.channels, owed + _BUFFER), np.float32)
        return self._run(silence)[:, :owed]

    def _run(self, block: np.ndarray) -> np.ndarray:
        programme = self._programme
        try:
            out = self._board.process(block, programme.sample_rate, _BUFFER, reset=False)
        except ValueError as error:  # a plug-in for other channels
            raise MasterError(
                f"{programme.path}: effects.plugins: {error} Take it out for this file"
            ) from None
        return np.asarray(out, np.float32)


def _plugins(programme: Programme, settings: EffectSettings) -> list[Any]:
    import pedalboard

    chain: list[Any] = []
    if settings.highpass_hz is not None:
        chain.append(pedalboard.HighpassFilter(settings.highpass_hz))
    if settings.gate:
        chain.append(pedalboard.NoiseGate(**settings.gate.model_dump()))
    shapes = {
        "low_shelf": pedalboard.LowShelfFilter,
        "peak": pedalboard.PeakFilter,
        "high_shelf": pedalboard.HighShelfFilter,
    }
    chain += [shapes[band.kind](band.hz, band.gain_db, band.q) for band in settings.eq]
    if settings.compressor:
        chain.append(pedalboard.Compressor(**settings.compressor.model_dump()))
    if settings.saturation_db is not None:
        chain.append(pedalboard.Distortion(settings.saturation_db))
    if settings.reverb:
        reverb = settings.reverb
        chain.append(
            pedalboard.Reverb(
                room_size=reverb.room_size,
                damping=reverb.damping,
                wet_level=reverb.wet,
                dry_level=1 - reverb.wet,
            )
        )
    if settings.delay:
        delay = settings.delay
        chain.append(pedalboard.Delay(delay.seconds, delay.feedback, delay.mix))
    chain += [_external(programme, Path(path)) for path in settings.plugins]
    if settings.gain_db:
        chain.append(pedalboard.Gain(settings.gain_db))
    return chain


def _external(programme: Programme, path: Path) -> Any:
    from pedalboard._pedalboard import load_plugin

    where = f"{programme.path}: effects.plugins: {path}"
    if not path.exists():
        raise MasterError(f"{where} is not there. Install the plug-in, or take it out")
    try:
        return load_plugin(str(path))
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        raise MasterError(f"{where} does not load as a plug-in: {error}") from None


def describe(settings: EffectSettings) -> str:
    """Name the effects, in order."""
    said = []
    for name in type(settings).model_fields:
        if name == "plugins":
            said += [Path(path).name for path in settings.plugins]
        elif name != "preset" and getattr(settings, name):
            said.append(name.replace("_hz", "").replace("_db", ""))
    return ", ".join(said)
