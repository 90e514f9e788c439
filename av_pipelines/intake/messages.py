"""What parent and child say to each other: JSON lines over a socket, never pickles.

Here: sending, and receiving within limits of time and size. Not here: who says what when.
"""

from __future__ import annotations

import json
import socket
import time
from types import TracebackType
from typing import Any, NoReturn, Self

MAX_BYTES = 32 * 2**20
"""Longest message that is taken: a probe of a thousand chapters has less than one."""


class Channel:
    """One end of a conversation; owns its socket. The other end is not trusted."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; BrokenPipeError if nobody is left to take it."""
        self._socket.settimeout(None)
        self._socket.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

    def receive(self, seconds: float | None = None) -> dict[str, Any]:
        """Take one message.

        Raises:
            TimeoutError: it did not come, or not all of it, within this time.
            EOFError: the other end is gone.
            ValueError: what came is no message.
        """
        ends = None if seconds is None else time.monotonic() + seconds
        looked = 0
        while (at := self._buffer.find(b"\n", looked)) < 0:
            looked = len(self._buffer)
            if looked > MAX_BYTES:
                raise ValueError(f"longer than {MAX_BYTES} bytes")
            self._buffer += self._read(ends)
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        try:
            message = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise ValueError("not JSON") from None
        if not isinstance(message, dict):
            raise ValueError("not a JSON object")
        return message

    def _read(self, ends: float | None) -> bytes:
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(2**16)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        return data

    def stop_sending(self) -> None:
        """Tell the other end that nothing more will come; it may still answer."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
