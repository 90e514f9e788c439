"""A failure reaches who should hear of it: signed, again when the other side is busy."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import pytest

from resources.notifiers import (
    SIGNATURE,
    DesktopNotifier,
    LogNotifier,
    Notice,
    NotifyError,
    WebhookNotifier,
    notifiers,
)

NOTICE = Notice("media failed: talk", "it is empty — é", {"run_id": "r1", "job": "media"})


class Receiver(HTTPServer):
    """A webhook's other side: answers what it is told to, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = cast("Receiver", self.server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.got.append((dict(self.headers), body))
        self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_json_that_it_can_check(receiver: Receiver) -> None:
    WebhookNotifier(receiver.url, "secret").tell(NOTICE)
    ((headers, body),) = receiver.got
    assert json.loads(body) == {
        "title": NOTICE.title,
        "text": NOTICE.text,
        "run_id": "r1",
        "job": "media",
    }
    given = {name.lower(): value for name, value in headers.items()}[SIGNATURE.lower()]
    stamp, signature = (part.split("=")[1] for part in given.split(","))
    wanted = hmac.new(b"secret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signature, wanted)


def test_it_is_tried_again_while_the_other_side_is_busy(receiver: Receiver) -> None:
    receiver.answers = [503, 429, 200]
    waits: list[float] = []
    WebhookNotifier(receiver.url, sleep=waits.append).tell(NOTICE)
    assert len(receiver.got) == 3
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(("answer", "tries"), [(404, 1), (500, 4)])
def test_who_gives_up_says_so(receiver: Receiver, answer: int, tries: int) -> None:
    receiver.answers = [answer] * 4
    with pytest.raises(NotifyError, match=str(answer)):
        WebhookNotifier(receiver.url, sleep=lambda seconds: None).tell(NOTICE)
    assert len(receiver.got) == tries


def test_the_environment_chooses_the_ways() -> None:
    assert [type(n) for n in notifiers({})] == [LogNotifier]
    both = notifiers({"AVP_NOTIFY": "desktop, webhook", "AVP_WEBHOOK_URL": "https://x.example"})
    assert [type(n) for n in both] == [DesktopNotifier, WebhookNotifier]
    with pytest.raises(NotifyError, match="pigeon: allowed"):
        notifiers({"AVP_NOTIFY": "pigeon"})
    with pytest.raises(NotifyError, match="AVP_WEBHOOK_URL"):
        notifiers({"AVP_NOTIFY": "webhook"})
