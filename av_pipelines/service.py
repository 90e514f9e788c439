"""One service as a child of ``avp up``: ``python -m av_pipelines.service NAME ARGUMENT…``.

Here: what Dagster's own commands lack when they are one program's parts: they end when their
parent ends, however that comes about; the code server takes its runs with it; the UI answers
nobody but its own pages. Not here: which services there are and how they are watched (``up``).
"""

from __future__ import annotations

import importlib
import logging
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CODE, WEBSERVER, DAEMON, PAGES = "code server", "webserver", "daemon", "pages"
_MODULES = {CODE: "dagster", WEBSERVER: "dagster_webserver", DAEMON: "dagster._daemon"}
_OWN_NAMES = {"127.0.0.1", "localhost"}

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def main() -> None:
    """Run a service until its parent closes the pipe that is our standard input."""
    name, socket, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_parent, args=(name,), daemon=True).start()
    # Dagster takes the first entry for the folder of a script and drops it; without one that would
    # be the first of PYTHONPATH
    sys.path.insert(0, os.devnull)
    if name == PAGES:
        _serve_pages(int(arguments[0]))
        return
    module = _MODULES[name]
    if name == WEBSERVER:
        _guard_webserver()
    if name == CODE:
        _let_runs_stand_back()
    else:
        _ask_the_code_server_seldom()
        importlib.import_module(f"{module}.cli")  # the slow part, while the code server starts
        while not Path(socket).exists():
            time.sleep(0.05)
    sys.argv = [module, *arguments]
    if name == DAEMON:
        _run_daemon(module)
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _let_runs_stand_back() -> None:
    from dagster._grpc import server

    from av_pipelines.pace import run_behind

    server.start_run_in_subprocess = run_behind  # pyright: ignore[reportPrivateImportUsage]


def _ask_the_code_server_seldom() -> None:
    """Have Dagster ask every 10 s, not every second, whether it is still the same: it always is."""
    from dagster._grpc import server_watcher

    server_watcher.WATCH_INTERVAL = 10


def _serve_pages(port: int) -> None:
    from av_pipelines.launch import open_instance
    from av_pipelines.makers import open_studio
    from av_pipelines.reports.server import serve_pages

    studio = open_studio()
    instance = cache(lambda: open_instance(studio))  # not at once: the others make its database

    def runs() -> Mapping[str, int]:
        from dagster import DagsterRunStatus, RunsFilter

        count = instance().get_runs_count
        return {state.value: count(RunsFilter(statuses=[state])) for state in DagsterRunStatus}

    serve_pages(studio.store, port, runs)


def _run_daemon(module: str) -> None:
    """Be the one daemon of the store, and first end what another one left going."""
    from av_pipelines.inboxes import read_inboxes
    from av_pipelines.launch import UP, close_dead_runs, dagster_home, open_instance
    from av_pipelines.makers import open_studio
    from av_pipelines.pace import keep_pace
    from av_pipelines.track_queue import limit_pool

    studio = open_studio()
    inboxes = {inbox.sensor: inbox.path for inbox in read_inboxes(studio.store.root)}
    others = {name: studio.store.inbox / name for name in ("prompts", "projects")}
    keep_pace({**inboxes, **others}, dagster_home(studio), ("templates", "failures"))
    with open_instance(studio) as instance:
        close_dead_runs(studio, instance)
        limit_pool(instance)
    studio.store.sweep()
    # at its first start it warns that it was not started before
    noisy = logging.getLogger("dagster.daemon.EventLogConsumerDaemon")
    noisy.addFilter(lambda record: record.levelno > logging.WARNING)
    try:
        with studio.store.presence(UP):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BlockingIOError:
        sys.exit(f"avp: another `avp up` is at work in {studio.store.root}")


# ---------------------------------------------------------------------- ending


def _end_with_parent(name: str) -> None:
    while os.read(0, 1):
        pass
    if name == CODE:
        # It would wait for the runs that it started.
        # Killed, a run leaves nothing half-made; the next start finds it dead and repeats it.
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)


# ---------------------------------------------------------------------- the UI's door


def _guard_webserver() -> None:
    import uvicorn

    run = uvicorn.run
    uvicorn.run = lambda app, **how: run(guarded(app), **how)


def guarded(app: App) -> App:
    """Let nobody in but the app's own pages, and links and addresses that a person follows.

    Dagster's API starts runs for whoever can reach it, and takes queries in a plain URL. Any web
    page that is open on this machine can reach it: by its address, or under a name of its own
    that leads to 127.0.0.1 (DNS rebinding). Programs that are no browser are not concerned.
    """

    async def door(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] in ("http", "websocket") and not _welcome(dict(scope["headers"])):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"not from this site\n"})
            return
        await app(scope, receive, send)

    return door


def _welcome(headers: dict[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"").decode("latin-1")
    origin = headers.get(b"origin")
    site = headers.get(b"sec-fetch-site", b"none")
    if urlsplit(f"//{host}").hostname not in _OWN_NAMES:
        return False
    if origin is not None and origin.decode("latin-1") != f"http://{host}":
        return False
    return site in (b"same-origin", b"none") or headers.get(b"sec-fetch-mode") == b"navigate"


if __name__ == "__main__":
    main()
