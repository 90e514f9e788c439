"""``avp up``: the Dagster UI, its daemon and the watch folder, as one foreground command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from av_pipelines.launch import dagster_home
from av_pipelines.maker import Studio

HOST = "127.0.0.1"
_START_S = 120.0
_STOP_S = 20.0


def serve(studio: Studio, port: int) -> int:
    """Run until stopped; return an exit code.

    Makes the folders a person drops files in, starts ``dagster dev`` (UI and daemon, with the
    inbox sensor on) on 127.0.0.1 and stops it cleanly on Ctrl-C or SIGTERM.
    """
    if not _port_is_free(port):
        print(f"avp: port {port} is in use; try `avp up --port {port + 1}`", file=sys.stderr)
        return 1
    studio.store.root.mkdir(parents=True, exist_ok=True)
    for recipe in studio.recipes.names():
        (studio.store.inbox / recipe).mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "AVP_STORE": str(studio.store.root),
        "DAGSTER_HOME": str(dagster_home(studio)),
        # `dagster dev` still works and needs nothing more; what replaces it is another package
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "av_pipelines.definitions"]
    command += ["-h", HOST, "-p", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    stop = _Stop(process)
    try:
        if _wait_until_up(process, port):
            print(f"Dagster UI:   http://{HOST}:{port}")
            print(f"Watch folder: {studio.store.inbox}  (a subfolder is a recipe)")
            print("Stop with Ctrl-C.", flush=True)
        code = process.wait()
        return 0 if stop.asked else code
    finally:
        stop.now()


class _Stop:
    """Passes Ctrl-C and SIGTERM on, once and politely, then with force."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.asked = False
        self._process = process
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def now(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/server_info", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return False


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
