"""The page: right figures, links that lead somewhere, nothing that a file's name can break."""

from __future__ import annotations

from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from av_pipelines.reports.pages.writing import size, span, usd
from av_pipelines.reports.report import write_report
from resources.manifest import ProjectRecord, PromptRecord, Quarantine
from resources.metering import Cost

ADA, BEN = "ada-0000000001", "ben-0000000002"
HOSTILE = "<img src=x onerror=alert(1)>&\"'.wav"


class Page(HTMLParser):
    """Text, tags, links of a page, as a browser would see them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.running = False
        self.feed(path.read_text("utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.running = tag == "script" and ("type", "application/json") not in attrs
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        if self.running:
            self.scripts.append(data)
            self.running = False
        elif self.lasttag not in ("style", "script"):
            self.words.append(data)

    def leads_to(self, link: str) -> Path:
        return self.path.parent / unquote(link.split("#")[0])


def bundled(*names: str) -> list[str]:
    folder = resources.files("av_pipelines.reports.pages")
    return [folder.joinpath(name).read_text("utf-8").strip() for name in names]


def waveform(folder: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (800, 160), (37, 106, 232)).save(folder / "w.png")
    return (folder / "w.png").read_bytes()


@pytest.fixture
def told(history: Any, tmp_path: Path) -> Any:
    """Two media: one done, with a hostile name; one refused."""
    origin = f"/in/auto/{HOSTILE}"
    source = history.make(ADA, "source", facts={"duration_s": 3725.0}, files={HOSTILE: b"1" * 1500})
    history.make(
        ADA,
        "audio",
        of=[source],
        files={"audio.flac": b"1" * 500, "waveform.png": waveform(tmp_path)},
        facts={"integrated_lufs": -14.04, "realtime_factor": 33.3},
        pictures={"waveform": "waveform.png"},
        cost=Cost(cpu_s=75),
    )
    history.note("skipped", ADA, "scenes", reason="no video", origin=origin)
    reason, command = "it says 30 s & gives 7.7 s", "avp run '/in/auto/<b>.wav' --strict"
    for asset in ("source", "audio"):
        history.note("quarantined", BEN, asset, reason=reason, origin="/in/auto/<b>.wav")
    history.store.quarantine(
        Quarantine(
            key=BEN,
            origin="/in/auto/<b>.wav",
            reason=reason,
            command=command,
            attempt="1",
            created=source.created,
        )
    )
    return history


def test_the_page_tells_what_was_made_and_what_failed(told):
    page = Page(write_report(told.store))
    assert "1 h 02 min" in page.text  # of media
    assert "1 min 17 s" in page.text  # of CPU
    assert "2 1 quarantined files" in page.text
    assert "unpriced" in page.text
    assert "$" not in page.text
    assert "quarantined audio, source of /in/auto/<b>.wav" in page.text
    assert "the last of" not in page.text  # the two fell in one attempt
    assert "-14.0 LUFS" in page.text
    assert "it says 30 s & gives 7.7 s" in page.text
    assert "avp run '/in/auto/<b>.wav' --strict" in page.text


def test_files_tracks_and_films_are_counted_as_they_are_listed(told):
    track, film = "calm-piano-0000000003", "my-film-0000000004"
    sidecar = {"track": {"prompt": "calm piano"}}
    told.store.save(PromptRecord(key=track, origin="avp track", sidecar=sidecar))
    told.store.save(ProjectRecord(key=film, origin="/projects/f"))
    told.make(track, "track", cost=Cost(cpu_s=7))
    timeline = told.make(film, "timeline", files={"timeline.otio": b'{"name": "The Sea"}'})
    told.make(film, "video", of=[timeline])
    page = Page(write_report(told.store))
    assert "2 1 quarantined files 1 tracks 1 films" in page.text
    assert "Files, tracks and films The Sea done · – · film" in page.text
    assert "calm piano done · – · track" in page.text
    assert "7.0 s CPU" in page.text


def test_names_and_reasons_are_text_and_never_markup(told):
    page = Page(write_report(told.store))
    assert HOSTILE in page.text
    assert page.tags.isdisjoint({"b", "iframe", "object", "base"})
    assert not any(name.startswith("on") for name in page.attributes)
    assert page.scripts == bundled("vendor/uPlot.iife.min.js", "theme.js", "charts.js")


def test_every_link_leads_to_something_in_the_store(told):
    page = Page(write_report(told.store))
    assert len(page.links) >= 8
    for link in page.links:
        assert link.startswith(("../", "media/")) or link == "data:,"
        assert link == "data:," or page.leads_to(link).exists(), link
        assert told.store.root in page.leads_to(link).resolve().parents
    pictures = [link for link in page.links if link.endswith("waveform.png")]
    assert f"../library/{ADA}/audio/waveform.png" in pictures


def test_a_failure_comes_with_a_command_that_works_on_the_kept_file(history):
    """The inbox file was moved into the store: the command names it where it is now."""
    source = history.make(ADA, "source", files={"probe.json": b"{}", "a song.wav": b"1"})
    for _ in range(3):
        history.note("failed", ADA, "master", reason="no space", recipe="music")
    page = Page(write_report(history.store))
    kept = history.store.artifacts / "source" / source.version / "a song.wav"
    assert "the last of 3 times" in page.text
    assert "--assets master --recipe music --store" in page.text
    assert kept.exists()
    assert "/a song.wav" in page.text


def test_a_failure_that_is_over_is_not_shown(history):
    history.make(ADA, "source")
    history.note("failed", ADA, "master", reason="no space was left")
    history.make(ADA, "master")
    assert "no space was left" not in Page(write_report(history.store)).text


def test_costs_are_money_where_there_is_a_price(history):
    history.make(ADA, "source", cost=Cost(cpu_s=60, usd=1.5))
    history.make(ADA, "audio", cost=Cost(cpu_s=60))
    text = Page(write_report(history.store)).text
    assert "$1.50 and 1 unpriced" in text


def test_an_empty_studio_has_a_page_that_says_how_to_begin(history):
    assert "avp run PATH" in Page(write_report(history.store)).text


def test_damage_is_told_on_the_page_and_does_not_prevent_it(told):
    (told.store.library / ADA / "audio" / "manifest.json").write_text("{half")
    (told.store.quarantine_dir / BEN / "reason.json").write_text("{half")
    (told.store.ledger_dir / "2026-03-01" / "0-half.parquet").write_bytes(b"PAR1")
    text = Page(write_report(told.store)).text
    assert "1 ledger file could not be read" in text
    assert "audio: 1 validation error for Manifest" in text
    assert "what is kept of it cannot be read: 1 validation error for Quarantine" in text
    assert "-14.0 LUFS" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (4.21, "4.2 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7e6, "1,944 h 26 min"),
    ],
)
def test_spans_are_written_as_people_do(seconds, text):
    assert span(seconds) == text


def test_sizes_and_money_are_written_as_people_do():
    assert [size(n) for n in (None, 0, 999, 1500, 2_340_000)] == [
        *("–", "0 B", "999 B", "1.5 kB", "2.34 MB")
    ]
    assert [usd(*a) for a in ((None, 0), (None, 3), (0.0, 0), (0.0123, 0), (1234.5, 1))] == [
        *("–", "unpriced", "$0.00", "$0.0123", "$1,234.50")
    ]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_from_the_disk_without_complaint(told, tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    tab.goto(write_report(told.store).as_uri())
    picture = tab.locator("img")
    picture.scroll_into_view_if_needed()
    picture.evaluate("image => image.decode()")
    assert picture.evaluate("image => image.naturalWidth") == 800
    for place in ("#work", "#events", "#speeds"):
        assert tab.locator(f"{place} canvas").count() == 1
    for width in (360, 1400, 2560):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") == width
