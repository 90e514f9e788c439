"""Telling somebody that something failed: a log, the desktop, a webhook.

Here: the ways to tell. Not here: when there is something to tell (``sensors.failures``).

The environment chooses (a webhook's address and secret are nobody else's business):
``AVP_NOTIFY`` is a list of ``log``, ``desktop`` and ``webhook`` (default: ``log``);
``AVP_WEBHOOK_URL`` and ``AVP_WEBHOOK_SECRET`` belong to the last.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

log = logging.getLogger(__name__)

SIGNATURE = "X-Avp-Signature"
"""Header of a webhook: ``t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body", in hex>``."""
_PATIENCE_S = 10.0
_TRIES = 4
_FIRST_DELAY_S = 1.0


@dataclass(frozen=True)
class Notice:
    """What happened, for a person and for a program."""

    title: str
    text: str
    facts: Mapping[str, str | None]


class NotifyError(Exception):
    """Nobody was told, and why."""


class Notifier(Protocol):
    """A way to tell."""

    def tell(self, notice: Notice) -> None:
        """Tell; NotifyError when that did not work."""
        ...


class LogNotifier:
    """Writes to Python's log, which is that of the daemon."""

    def tell(self, notice: Notice) -> None:
        """Write a warning."""
        log.warning("%s: %s", notice.title, notice.text)


class DesktopNotifier:
    """Shows it on the desktop of who runs the daemon, by ``notify-send`` (Linux)."""

    def tell(self, notice: Notice) -> None:
        """Show it."""
        program = shutil.which("notify-send")
        if program is None:
            raise NotifyError("AVP_NOTIFY=desktop needs the program notify-send (libnotify)")
        done = subprocess.run(
            [program, "--app-name=av-pipelines", "--", notice.title, notice.text[:500]],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        if done.returncode:
            raise NotifyError(f"notify-send: {done.stderr.strip() or done.returncode}")


class WebhookNotifier:
    """Posts it as JSON, signed; tries again what may get better by itself.

    Args:
        url: where to.
        secret: what the receiver checks the signature with; None: it is not signed.
        sleep: waits for so many seconds.
    """

    def __init__(
        self, url: str, secret: str | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        if not url.startswith(("https://", "http://")):
            raise NotifyError("AVP_WEBHOOK_URL: give an address that begins with https://")
        self._url, self._secret, self._sleep = url, secret, sleep

    def tell(self, notice: Notice) -> None:
        """Post it: at most four times, each wait twice as long as the one before."""
        import httpx2 as httpx

        said = {"title": notice.title, "text": notice.text, **notice.facts}
        body = json.dumps(said, ensure_ascii=False).encode()
        wrong = ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(_FIRST_DELAY_S * 2 ** (attempt - 1))
            headers = {"Content-Type": "application/json", **self._signed(body)}
            try:
                answer = httpx.post(self._url, content=body, headers=headers, timeout=_PATIENCE_S)
            except httpx.HTTPError as error:
                wrong = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return
            wrong = f"it answered {answer.status_code}"
            if answer.status_code < 500 and answer.status_code != 429:
                break  # it will not like it better the next time
        raise NotifyError(f"the webhook was not told: {wrong}")

    def _signed(self, body: bytes) -> dict[str, str]:
        if self._secret is None:
            return {}
        now = str(int(time.time()))
        digest = hmac.new(self._secret.encode(), f"{now}.".encode() + body, hashlib.sha256)
        return {SIGNATURE: f"t={now},v1={digest.hexdigest()}"}


def notifiers(environment: Mapping[str, str] = os.environ) -> list[Notifier]:
    """Return the ways to tell that the environment asks for; NotifyError when it is wrong."""
    named = [n.strip() for n in environment.get("AVP_NOTIFY", "log").split(",") if n.strip()]
    found: list[Notifier] = []
    for name in named:
        match name:
            case "log":
                found.append(LogNotifier())
            case "desktop":
                found.append(DesktopNotifier())
            case "webhook":
                url = environment.get("AVP_WEBHOOK_URL", "")
                found.append(WebhookNotifier(url, environment.get("AVP_WEBHOOK_SECRET")))
            case _:
                raise NotifyError(f"AVP_NOTIFY={name}: allowed: log, desktop, webhook")
    return found
