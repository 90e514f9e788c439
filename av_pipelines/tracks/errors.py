"""The named errors of the room: what a person or a program asking for a track can be told.

Here: the name and its sentence. Not here: how they are shown (``av_pipelines.cli``), and what goes
wrong with a model's files, which is ``resources.models.ModelError`` with four of these names.
"""

from __future__ import annotations

from typing import Literal

from resources.models import ErrorCode as ModelErrorCode

ErrorCode = (
    Literal["INVALID_DURATION", "INVALID_REQUEST", "QUEUE_FULL", "MODEL_INFERENCE_FAILED"]
    | ModelErrorCode
)


class TrackError(Exception):
    """A track cannot be made.

    Args:
        code: ``INVALID_DURATION``: not a length that can be made; ``INVALID_REQUEST``: another
            value of the request is wrong; ``QUEUE_FULL``: too many are waiting;
            ``MODEL_INFERENCE_FAILED``: the model was loaded and could not compute; the others as
            ``resources.models.ModelError`` has them.
        message: what was given, what is allowed, what to do.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message
