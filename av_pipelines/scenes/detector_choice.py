"""Which detector does the work on this machine.

Here: from settings to a detector and the network's weights, without loading anything. Not here:
detecting (``detection``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from av_pipelines.scenes.detector_settings import DetectorSettings
from resources.models import Model, ModelError, obtain_model

MODEL = "transnetv2"
Detector = Literal["transnetv2", "cascade", "signals", "adaptive", "content", "fade"]
_AUTO: dict[str, Detector] = {"high": "transnetv2", "standard": "cascade", "draft": "signals"}


@dataclass(frozen=True)
class Chosen:
    """Who finds the changes.

    Attributes:
        detector: ``cascade`` asks the network where simpler signals leave doubt, ``signals`` are
            these alone.
        model: the network's weights, where it is asked.
        degraded: why it is not what the settings mean; None if it is.
    """

    detector: Detector
    model: Model | None = None
    degraded: str | None = None


def choose(settings: DetectorSettings) -> Chosen:
    """Choose the detector.

    Raises:
        ModelError: the network was asked for by name and cannot be had, or its weights are not
            what they should be.
    """
    detector = _AUTO[settings.quality] if settings.detector == "auto" else settings.detector
    if detector not in ("transnetv2", "cascade"):
        return Chosen(detector)
    try:
        return Chosen(detector, obtain_model(MODEL))
    except ModelError as error:
        if settings.detector != "auto" or error.code != "MODEL_NOT_FOUND":
            raise
        said = f"changes are found without {MODEL}: {error.message}"
        return Chosen("signals", degraded=said)
