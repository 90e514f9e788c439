"""What parent, server and child say to each other: JSON over sockets, never pickles.

Here: the few forms of messages and their limits. Not here: who sends them when.
"""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any

MAX_BYTES = 32 * 2**20
"""Longest message that is taken: a probe of a thousand chapters has less than one."""


def send(connection: Connection, message: dict[str, Any]) -> None:
    """Send one message; BrokenPipeError if nobody is left to take it."""
    connection.send_bytes(json.dumps(message, allow_nan=False).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """Take one message.

    Raises:
        EOFError: the other side is gone.
        ValueError: what came is no message.
    """
    try:
        data = connection.recv_bytes(MAX_BYTES)
    except (ConnectionResetError, BrokenPipeError):
        raise EOFError from None
    except EOFError:
        raise
    except OSError:
        raise ValueError(f"longer than {MAX_BYTES} bytes") from None
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message
