"""The pages, the files that they show, and figures for Prometheus, on 127.0.0.1.

Here: what may be asked for and how it is answered. Only files of artifacts leave the store, by
their own names or those of the library; nothing that came from outside is ever run or rendered as
a page. Not here: what pages show (``pages``, ``report``), the figures (``metrics``), who starts
this (``av_pipelines.up``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from av_pipelines.reports.catalog import refresh
from av_pipelines.reports.metrics import CONTENT_TYPE, exposition
from av_pipelines.reports.pages.address import MEDIA, REPORT
from av_pipelines.reports.pages.gather import gather
from av_pipelines.reports.pages.shown import PICTURE, SOUND, STILL
from av_pipelines.reports.pages.writing import render_media
from av_pipelines.reports.report import open_failures, render_report
from partitions.keys import is_key
from resources.store import Store

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"

_SERVED = ("artifacts", "library")
_TEXT = dict.fromkeys(
    (".txt", ".json", ".csv", ".srt", ".vtt", ".ass", ".lrc", ".edl", ".otio", ".toml", ".cube"),
    "text/plain; charset=utf-8",
)
_TYPES = SOUND | PICTURE | STILL | _TEXT
"""What a browser may show; everything else it may only keep (HTML and SVG among it)."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_OF_FILES = (
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox; "
    "frame-ancestors 'none'"
)
_PAGE_S, _METRICS_S = 2.0, 15.0  # figures of a page, of metrics, may be so old

Runs = Callable[[], Mapping[str, int]]


def serve_pages(store: Store, port: int, runs: Runs | None = None) -> None:
    """Serve the pages of a store until this process is told to end.

    Args:
        store: whose pages and files.
        port: on 127.0.0.1.
        runs: asked for how many runs are in which state, for the metrics; upper-case names, with
            those that wait for their turn as ``QUEUED``.

    Raises:
        SystemExit: the port cannot be used.
    """
    import uvicorn

    from av_pipelines.service import guarded

    app = guarded(make_app(store, runs))
    uvicorn.run(
        app, host=HOST, port=port, log_level="warning", access_log=False, server_header=False
    )


def make_app(store: Store, runs: Runs | None = None) -> Starlette:
    """Return the pages as an ASGI application; see ``serve_pages``."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
    from starlette.routing import Route

    catalog = _Catalog(store)

    def begin(_: Request) -> Response:
        return RedirectResponse(f"/reports/{REPORT}")

    def report(_: Request) -> Response:
        catalog.at_most_old(_PAGE_S)
        return HTMLResponse(render_report(store), headers=_OF_PAGES)

    def media(request: Request) -> Response:
        key = request.path_params["key"]
        if not is_key(key):
            return _nothing()
        catalog.at_most_old(_PAGE_S)
        page = gather(store, key, open_failures(store, key))
        if not page.known:
            return _nothing()
        return HTMLResponse(render_media(page, store.root.name), headers=_OF_PAGES)

    def metrics(_: Request) -> Response:
        catalog.at_most_old(_METRICS_S)
        return PlainTextResponse(exposition(store, runs), media_type=CONTENT_TYPE)

    def file(request: Request) -> Response:
        path = file_to_serve(store, request.path_params["path"])
        if path is None:
            return _nothing()
        kind = _TYPES.get(path.suffix.lower())
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            filename=None if kind else path.name,
            headers={"Content-Security-Policy": _OF_FILES, "Cache-Control": "private, no-cache"},
        )

    def _nothing() -> Response:
        return PlainTextResponse("there is nothing here\n", status_code=404)

    def failed(_: Request, error: Exception) -> Response:
        said = " ".join(str(error).split())
        return PlainTextResponse(f"the store cannot be read: {said}\n", status_code=503)

    app = Starlette(
        routes=[
            Route("/", begin),
            Route(f"/reports/{REPORT}", report),
            Route(f"/reports/{MEDIA}/{{key}}.html", media),
            Route("/metrics", metrics),
            Route("/{path:path}", file),
        ],
        exception_handlers={OSError: failed},
    )
    app.add_middleware(_Headers)
    return app


_OF_PAGES = {
    # What the page may load and run, it says itself; see `pages.writing.policy`.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
}


def file_to_serve(store: Store, path: str) -> Path | None:
    """Return the file that a path of a request stands for, or None where none may be served.

    It is a plain file of an artifact, reached by its own name or the library's; no hidden name is
    on the way, and no link leads elsewhere: a source that is only referred to, where it lies
    outside of the store, is not served.
    """
    parts = PurePosixPath(path).parts
    if not parts or parts[0] not in _SERVED or "\0" in path or "\\" in path:
        return None
    if any(part.startswith(".") for part in parts):
        return None
    try:
        found = store.root.joinpath(*parts).resolve(strict=True)
        inside = found.relative_to(store.artifacts.resolve(strict=True))
    except (OSError, ValueError, RuntimeError):
        return None
    if any(part.startswith(".") for part in inside.parts) or not found.is_file():
        return None
    return found


class _Catalog:
    """Brings the catalog up to date, but not for every request."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._when = float("-inf")

    def at_most_old(self, seconds: float) -> None:
        with self._lock:
            if time.monotonic() - self._when > seconds:
                refresh(self._store)
                self._when = time.monotonic()


class _Headers:
    """Adds to every answer what browsers must know of all that comes from here."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        async def sending(message: dict) -> None:
            if message["type"] == "http.response.start":
                extra = [(k.lower().encode(), v.encode()) for k, v in _ALWAYS.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self._app(scope, receive, sending)
