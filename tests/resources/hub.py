"""A hub on 127.0.0.1 that answers as the Hugging Face hub does, and misbehaves when told to.

A large file is redirected to another host name, with its SHA-256 and size in the first answer.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Hub:
    """``with Hub({"owner/name": {"file": b"…"}}) as hub``: ``hub.url`` is its address."""

    repositories: dict[str, dict[str, bytes]]
    status: int = 200
    """Another status: what every request is answered with."""
    breaks: list[int] = field(default_factory=list)
    """Bytes after which the connections with bodies break, one after the other."""
    holds: threading.Event | None = None
    """A body stops half way until this is set."""
    serves: bytes | None = None
    """What is sent in place of every file, under the headers of the right one."""
    knows_ranges: bool = True
    large: int = 1000
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            here = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.elsewhere = f"http://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ranges(self) -> list[str | None]:
        """The ranges that bodies were asked for with."""
        return [r.range for r in self.requests if r.method == "GET" and "/cdn/" in r.path]


class _Handler(BaseHTTPRequestHandler):
    here: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self) -> None:
        hub, asked = self.here, self.headers.get("Range")
        hub.requests.append(
            Request(self.command, self.path, asked, self.headers.get("Authorization"))
        )
        if hub.status != 200:
            return self._head(hub.status, {"Content-Length": "0"})
        cdn = self.path.startswith("/cdn/")
        owner, name, _, _, file = self.path.removeprefix("/cdn").strip("/").split("/", 4)
        data = hub.repositories.get(f"{owner}/{name}", {}).get(file)
        if data is None:
            missing = {"Content-Length": "0", "X-Error-Code": "EntryNotFound"}
            return self._head(404, missing | {"X-Repo-Commit": COMMIT})
        if len(data) >= hub.large and not cdn:
            return self._head(
                302,
                {
                    "Location": f"{hub.elsewhere}/cdn{self.path}",
                    "X-Repo-Commit": COMMIT,
                    "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                    "X-Linked-Size": str(len(data)),
                    "Content-Length": "0",
                },
            )
        blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob}"'}
        body = data if hub.serves is None else hub.serves
        status = 200
        if asked and hub.knows_ranges:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            body, status = body[begin:], 206
        self._head(status, headers | {"Content-Length": str(len(body))})
        if self.command == "GET":
            self._body(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _body(self, body: bytes) -> None:
        hub = self.here
        if hub.breaks:
            self.wfile.write(body[: hub.breaks.pop(0)])
            self.close_connection = True
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        if hub.holds:
            hub.holds.wait(30)
        self.wfile.write(body[half:])
