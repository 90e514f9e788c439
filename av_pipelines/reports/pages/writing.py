"""Writing pages: templates, what is bundled into each, and the policy that lets nothing else run.

Here: turning what a page shows into HTML that needs nothing but itself and the files of the store
beside it, so that it works from the disk and from the server alike. Not here: what it shows
(``gather``, ``reports.report``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from av_pipelines.reports.pages import graph
from av_pipelines.reports.pages.address import page_path
from av_pipelines.reports.pages.gather import Page, gather
from av_pipelines.reports.pages.shown import PICTURE, SOUND
from resources.store import Store, write_durably

if TYPE_CHECKING:
    from jinja2 import Environment

UPLOT = "vendor/uPlot.iife.min.js"
_FILES = 200  # of one artifact; its folder has them all


@cache
def changed() -> float:
    """Return when this program last changed how pages look, in seconds of the epoch."""
    return max(path.stat().st_mtime for path in Path(__file__).parent.rglob("*") if path.is_file())


def write_page(store: Store, key: str, failures: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write ``reports/media/<key>.html``; return its path.

    Raises:
        OSError: the folder cannot be written.
        ValueError: this cannot be a key.
    """
    path = page_path(store.reports, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    page = gather(store, key, failures)
    write_durably(path, render_media(page, store.root.name).encode("utf-8", "replace"))
    return path


def render_media(page: Page, studio: str) -> str:
    """Return the page of a media as HTML.

    Args:
        page: what it shows.
        studio: name of the studio, for the link back.
    """
    manifests = [one.artifact.manifest for one in page.shown]
    prices = [m.cost.usd for m in manifests if m.cost.usd is not None]
    return render(
        "media.html.j2",
        styles=("style.css", "media.css", "vendor/uPlot.min.css"),
        scripts=(UPLOT, "theme.js", "player.js"),
        data=page.desk,
        page=page,
        studio=studio,
        summary=_summary(page),
        graph=graph.draw(page.shown),
        box_width=graph.WIDTH,
        box_height=graph.HEIGHT,
        picture_kinds=PICTURE,
        sound_kinds=SOUND,
        file_limit=_FILES,
        costs={
            "wall_s": sum(m.cost.wall_s for m in manifests),
            "cpu_s": sum(m.cost.cpu_s for m in manifests),
            "gpu_s": sum(m.cost.gpu_s for m in manifests),
            "peak_rss_bytes": max((m.cost.peak_rss_bytes for m in manifests), default=0),
            "bytes": sum(file.bytes for m in manifests for file in m.files),
            "usd": sum(prices) if prices else None,
            "unpriced": len(manifests) - len(prices),
        },
    )


def _summary(page: Page) -> list[str]:
    """What a person wants to know first."""
    said: list[str] = []
    if source := page.asset("source"):
        facts = source.artifact.manifest.facts
        if facts.get("display_width") and facts.get("display_height"):
            said.append(f"{facts['display_width']} × {facts['display_height']}")
        if facts.get("fps"):
            said.append(f"{facts['fps']:.5g} fps")
        codecs = [facts.get("video_codec"), facts.get("audio_codec")]
        said.append(" + ".join(filter(None, codecs)) or facts.get("container") or "")
    before, after = (
        one.artifact.manifest.facts.get("integrated_lufs") if one else None
        for one in (page.asset("audio"), page.asset("master") or page.asset("track"))
    )
    levels = [f"{level:.1f}" for level in (before, after) if level is not None]
    if levels:
        said.append(" → ".join(levels) + " LUFS")
    if transcript := page.asset("transcript"):
        facts = transcript.artifact.manifest.facts
        if facts.get("words"):
            said.append(f"{facts['words']:,} words, {facts.get('language') or 'no language'}")
    return [text for text in said if text]


# ---------------------------------------------------------------------- any page


def render(
    template: str,
    *,
    styles: Iterable[str],
    scripts: Iterable[str],
    data: Mapping[str, Any],
    **content: Any,
) -> str:
    """Fill a template of this folder.

    Args:
        template: its name.
        styles: style sheets to bundle, files of this folder.
        scripts: scripts to bundle, likewise; the page's policy allows these and no others.
        data: what the scripts are given, as JSON in the page.
        content: what the template is given.
    """
    from markupsafe import Markup

    style = "\n".join(_bundled(name) for name in styles)
    bundled = [_bundled(name) for name in scripts]
    # `<` ends no script element when it is written as an escape.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704 - a file of ours
            scripts=[Markup(script) for script in bundled],  # noqa: S704 - likewise
            data=Markup(text.replace("<", "\\u003c")),  # noqa: S704 - escaped above
            policy=policy(style, bundled),
            now=datetime.now(UTC),
            **content,
        )
    )


def policy(style: str, scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy of a page with this style and these scripts inside."""
    allowed = " ".join(_hash(script) for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; "
        "img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _bundled(name: str) -> str:
    text = resources.files("av_pipelines.reports.pages").joinpath(name).read_text("utf-8")
    return text.replace("\r\n", "\n").strip()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("av_pipelines.reports.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"span": span, "size": size, "usd": usd, "link": quote}
    return environment


# ---------------------------------------------------------------------- how figures are written


def span(seconds: float | None) -> str:
    """Return seconds as a person writes them: ``4.2 s``, ``3 min 20 s``, ``1 h 02 min``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def size(count: float | None) -> str:
    """Return bytes with an SI prefix."""
    if count is None or math.isnan(count):
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.1f} PB"


def usd(amount: float | None, unpriced: int) -> str:
    """Return money; work that has no price is ``unpriced``, never $0."""
    if amount is None:
        return "unpriced" if unpriced else "–"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.3g}"
