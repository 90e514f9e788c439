"""Where a page is found: in the store, and in the browser. Light: everything may import this."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

REPORT = "report.html"
MEDIA = "media"
BASE = "AVP_PAGES"
"""Environment variable: the address at which ``avp up`` serves the pages, such as
``http://127.0.0.1:3001``."""


def page_path(reports: Path, key: str) -> Path:
    """Return the file of a media's page, in a store's folder ``reports``."""
    return reports / MEDIA / f"{key}.html"


def page_url(reports: Path, key: str | None = None, asset: str | None = None) -> str:
    """Return the address of a page: served where pages are served, else of the file.

    Args:
        reports: the store's folder ``reports``.
        key: of the media; None: the studio's page.
        asset: the part of the media's page that is about this asset.
    """
    path = page_path(reports, key) if key else reports / REPORT
    base = os.environ.get(BASE)
    if base:
        address = f"{base.rstrip('/')}/reports/{quote(path.relative_to(reports).as_posix())}"
    else:
        address = path.absolute().as_uri()
    return f"{address}#{quote(asset)}" if key and asset else address
