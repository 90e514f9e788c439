"""How reading a file from outside can end other than well.

Here: the exceptions, and the words for what killed a child. Not here: when they are raised.
"""

from __future__ import annotations

import signal


class Refused(Exception):
    """The file itself is at fault: unreadable, untrue about itself, or beyond a limit.

    Args:
        reason: a sentence for a person.
        detail: more, for an engineer: FFmpeg's words, or the end of standard error.
    """

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class IntakeError(RuntimeError):
    """Not the file but this program or machine is at fault; the message says what happened."""


def died_of(status: int, limits: str) -> str:
    """Say what a process died of that gave no answer.

    Args:
        status: exit code, or minus the number of the signal that ended it.
        limits: the CPU seconds it was allowed, in words.
    """
    if status >= 0:
        return f"reading it ended without an answer (exit code {status})"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"{-status}"
    if -status == signal.SIGXCPU:
        return f"reading it took more than the {limits} of CPU time allowed"
    if -status == signal.SIGKILL:
        return "reading it was stopped by the system, most likely for want of memory"
    return f"reading it crashed the decoder ({name})"
