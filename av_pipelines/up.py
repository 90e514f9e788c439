"""``avp up``: the Dagster UI, its daemon, the watch folders and the pages, as one command.

Here: four services as child processes (``service``): a code server, which also starts the runs,
the webserver, the daemon, and the server of the pages. They start together and end together. Not
here: what a child does to end well.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from av_pipelines.launch import UP, dagster_home
from av_pipelines.maker import Studio
from av_pipelines.reports.pages import address as page_address
from av_pipelines.service import CODE, DAEMON, PAGES, WEBSERVER

HOST = "127.0.0.1"
LOCATION = "av_pipelines"
"""Dagster keeps the sensor's state under this name: it must not change."""

_LOOK_S = 0.3
_ENDING = (DAEMON, WEBSERVER, PAGES, CODE)  # nothing is asked for any more, then the runs end
_PATIENCE_S = 10.0
_SELDOM = {  # seconds between looks of parts of Dagster that have little to do here
    "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "15",
    "FRESHNESS_DAEMON_INTERVAL_SECONDS": "120",
}


def serve(studio: Studio, port: int, pages_port: int) -> int:
    """Run until stopped by Ctrl-C, SIGTERM or SIGHUP; return an exit code.

    Makes the folders a person drops files in and serves the UI and the pages on 127.0.0.1, with the
    sensors on. Nothing is left running, also when this process is killed.
    """
    for option, number in (("--port", port), ("--pages-port", pages_port)):
        if wrong := _port_problem(option, number):
            return _say(wrong)
    if studio.store.is_present(UP):
        return _say(f"another `avp up` is at work in {studio.store.root}; stop that one first")
    try:
        home = dagster_home(studio)
        for recipe in studio.recipes.names():
            (studio.store.inbox / recipe).mkdir(parents=True, exist_ok=True)
        for folder in ("prompts", "projects"):
            (studio.store.inbox / folder).mkdir(exist_ok=True)
        _skip_dagsters_welcome(home)
    except OSError as error:
        return _say(f"cannot make the store in {studio.store.root}: {error}")
    environment = {
        **_SELDOM,
        **os.environ,
        "AVP_STORE": str(studio.store.root),
        "DAGSTER_HOME": str(home),
        page_address.BASE: f"http://{HOST}:{pages_port}",
    }
    with _stop_signals() as stop, _Services(environment, port, pages_port) as services:
        while not (stop.asked or services.ended()) and not _answers(port):
            time.sleep(_LOOK_S)
        if not (stop.asked or services.ended()):
            print(f"Dagster UI:   http://{HOST}:{port}")
            print(f"Pages:        http://{HOST}:{pages_port}")
            print(f"Watch folder: {studio.store.inbox}  (a subfolder is a recipe)")
            print("              prompts/ in it makes tracks, projects/ makes films")
            print("Stop with Ctrl-C.", flush=True)
        while not (stop.asked or services.ended()):
            time.sleep(_LOOK_S)
        ended = services.ended()
        services.stop()
    return 0 if stop.asked else _say(f"{ended}; everything else was stopped too")


def _skip_dagsters_welcome(home: Path) -> None:
    """Spare people the dialog that asks for their e-mail address before it shows anything."""
    seen = home / ".nux" / "nux.yaml"
    seen.parent.mkdir(exist_ok=True)
    seen.touch()


def _say(text: str) -> int:
    print(f"avp: {text}", file=sys.stderr)
    return 1


class _Stop:
    """Whether somebody asked us to stop.

    No ``threading.Event``: its lock may be held by what a signal interrupts.
    """

    asked = False

    def ask(self, *_: object) -> None:
        """Be the handler of a signal."""
        self.asked = True


@contextlib.contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Give what is told when somebody asks us to stop."""
    stop = _Stop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]  # `nohup avp up &`
    before = {number: signal.signal(number, stop.ask) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Services:
    """The services, as child processes.

    Each leads a process group of its own, so that Ctrl-C in a terminal is for us alone. The
    standard input of each is a pipe that nothing is written to: when it is closed, by us or by
    our death, the service ends.
    """

    def __init__(self, environment: dict[str, str], port: int, pages_port: int) -> None:
        self._environment = environment
        self._port, self._pages_port = port, pages_port
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="avp-")

    def __enter__(self) -> _Services:
        code = Path(self._folder.name) / "code.sock"
        workspace = Path(self._folder.name) / "workspace.yaml"
        server = {"host": "localhost", "socket": str(code), "location_name": LOCATION}
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is YAML
        self._start(CODE, code, [
            "api", "grpc", "-m", "av_pipelines.definitions", "--empty-working-directory",
            "--socket", str(code), "--location-name", LOCATION, "--log-level", "warning",
        ])  # fmt: skip
        self._start(WEBSERVER, code, [
            "-h", HOST, "-p", str(self._port), "-w", str(workspace),
            "--dagster-log-level", "warning",
        ])  # fmt: skip
        self._start(PAGES, code, [str(self._pages_port)])
        self._start(DAEMON, code, ["run", "-w", str(workspace), "--log-level", "warning"])
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def _start(self, name: str, code: Path, arguments: list[str]) -> None:
        self._running[name] = subprocess.Popen(
            # -P: what lies in the folder that we were started in is no part of the program
            [sys.executable, "-P", "-m", "av_pipelines.service", name, str(code), *arguments],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
            process_group=0,
        )

    def ended(self) -> str | None:
        """Say which service ended by itself, if one did."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                how = f"exit code {code}" if code >= 0 else f"signal {-code}"
                return f"the {name} ended by itself ({how})"
        return None

    def stop(self) -> None:
        """End what still runs: politely, then with force."""
        for name in _ENDING:
            process = self._running.pop(name, None)
            if process and process.stdin:
                process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE_S)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE_S)  # the kernel may hold it: a disk that hangs


def _answers(port: int) -> bool:
    server = http.client.HTTPConnection(HOST, port, timeout=2)  # never by way of a proxy
    try:
        server.request("GET", "/server_info")
        return server.getresponse().status == http.HTTPStatus.OK
    except (http.client.HTTPException, OSError):
        return False
    finally:
        server.close()


def _port_problem(option: str, port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is in use; another one: `avp up {option} {_free_port()}`"
            return f"{option} {port}: {error.strerror}"
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
