"""The page of a media, as a person uses it in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from av_pipelines.reports.pages.address import page_url
from av_pipelines.reports.pages.gather import gather
from av_pipelines.reports.pages.graph import HEIGHT, draw
from av_pipelines.reports.pages.shown import Shown
from av_pipelines.reports.pages.writing import render_media, write_page
from resources.manifest import InputRef, ProjectRecord, PromptRecord, Quarantine
from tests.reports.conftest import told

SONG = "a-song-0000000001"
NAME = "<img src=x onerror=alert(1)>&\"'.webm"


@pytest.fixture
def desk(reviewed: Any, tab: Any) -> Any:
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.goto(write_page(reviewed.store, SONG).as_uri())
    return tab


def position(desk: Any) -> float:
    return desk.evaluate("window.desk.now")


def until(what: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def spread_ms(desk: Any, sounds: int) -> float:
    """How far the clocks of the sounds that play are apart, at their worst over a second."""
    worst = 0.0
    for _ in range(20):
        clocks = desk.evaluate("window.desk.clocks()")[:sounds]
        assert len(clocks) == sounds
        assert not any(clock["paused"] for clock in clocks)
        worst = max(worst, *(abs(clock["at"] - clocks[0]["at"]) for clock in clocks))
        time.sleep(0.05)
    return worst * 1000


# ---------------------------------------------------------------------- playing


@pytest.mark.browser
def test_original_and_master_play_together_and_one_is_heard(desk):
    desk.get_by_role("button", name="Play", exact=True).click()
    until(lambda: position(desk) > 0.3)
    loud = "() => [...document.querySelectorAll('video')].map((v) => v.muted)"
    assert desk.evaluate(loud) == [True]  # the picture is seen and not heard
    assert spread_ms(desk, 2) <= 20
    desk.get_by_role("button", name="Master", exact=True).click()
    before = position(desk)
    until(lambda: position(desk) > before + 0.2)  # it goes on
    desk.get_by_role("button", name="Pause").click()
    here = position(desk)
    time.sleep(0.3)
    assert position(desk) == pytest.approx(here, abs=0.02)


@pytest.mark.browser
def test_stems_stay_together_after_every_seek(desk):
    desk.get_by_role("button", name="Stems", exact=True).click()
    desk.get_by_role("button", name="Play", exact=True).click()
    for at in (7.3, 1.1, 5.0):
        desk.evaluate(f"window.desk.go({at})")
        until(lambda at=at: at + 0.05 < position(desk) < at + 3)
        assert spread_ms(desk, 4) <= 20


@pytest.mark.browser
def test_solo_and_mute_say_what_is_heard(desk):
    desk.get_by_role("button", name="solo vocals").click()
    assert desk.get_by_role("button", name="Stems", exact=True).get_attribute("aria-pressed")
    assert desk.get_by_role("button", name="solo vocals").get_attribute("aria-pressed") == "true"
    desk.keyboard.press("Digit1")  # the first stem; again: not any more
    first = desk.locator(".stem").first.get_by_role("button").first
    before = first.get_attribute("aria-pressed")
    desk.keyboard.press("Digit1")
    assert first.get_attribute("aria-pressed") != before


@pytest.mark.browser
def test_a_click_on_a_word_goes_there_and_the_words_follow_the_sound(desk):
    desk.locator(".word", has_text="good").click()
    until(lambda: abs(position(desk) - 8.0) < 0.02)
    assert desk.locator(".word.now").inner_text() == "good"
    desk.keyboard.press("Space")
    until(lambda: desk.locator(".word.now").inner_text() == "bye.")


@pytest.mark.browser
def test_words_in_doubt_are_marked_and_can_be_gone_to(desk):
    marked = desk.locator(".word.suspect")
    assert marked.all_inner_texts() == ["<b>unsure</b>"]
    assert marked.get_attribute("title") == "in doubt: unsure"
    desk.keyboard.press("n")
    until(lambda: abs(position(desk) - 4.0) < 0.02)


@pytest.mark.browser
def test_a_scene_shows_its_own_picture(desk):
    desk.get_by_role("button", name="Scene 3").click()
    until(lambda: abs(position(desk) - 8.0) < 0.02)
    grey = """() => {
        const canvas = document.createElement("canvas"), video = document.querySelector("video");
        [canvas.width, canvas.height] = [16, 9];
        const paper = canvas.getContext("2d");
        paper.drawImage(video, 0, 0, 16, 9);
        return video.currentTime;
    }"""
    until(lambda: abs(desk.evaluate(grey) - 8.0) < 0.05)
    assert desk.locator("#strip .now").inner_text().startswith("3")


@pytest.mark.browser
def test_a_click_on_the_curve_goes_there(desk):
    place = desk.locator("#wave .u-over")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    desk.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    until(lambda: abs(position(desk) - 6.0) < 0.1)


@pytest.mark.browser
def test_everything_can_be_done_with_keys(desk):
    desk.keyboard.press("ArrowRight")
    until(lambda: abs(position(desk) - 5.0) < 0.02)
    desk.keyboard.press("Shift+ArrowLeft")
    until(lambda: abs(position(desk) - 4.0) < 0.02)
    desk.keyboard.press("]")
    until(lambda: abs(position(desk) - 8.0) < 0.02)
    desk.keyboard.press("m")
    assert desk.get_by_role("button", name="Master", exact=True).get_attribute("aria-pressed")
    desk.keyboard.press("?")
    assert desk.get_by_role("dialog").is_visible()
    desk.keyboard.press("Escape")
    desk.keyboard.press("k")
    until(lambda: desk.evaluate("window.desk.playing"))
    desk.keyboard.press("k")
    assert not desk.evaluate("window.desk.playing")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(desk, scheme):
    desk.emulate_media(color_scheme=scheme)
    for width in (360, 1280, 2560):
        desk.set_viewport_size({"width": width, "height": 800})
        assert desk.evaluate("document.documentElement.scrollWidth") == width
        for name in ("Play", "Original", "Master", "Stems"):
            box = desk.get_by_role("button", name=name, exact=True).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] >= 32


# ---------------------------------------------------------------------- what is on it


def test_names_are_text_and_never_markup(reviewed):
    html = render_media(gather(reviewed.store, SONG), "studio")
    assert NAME not in html
    assert "&lt;img src=x" in html
    assert "<b>unsure" not in html


def test_the_page_has_everything_of_each_artifact(reviewed):
    html = render_media(gather(reviewed.store, SONG), "studio")
    for text in ("Gain +6.00 dB.", "integrated lufs", "demucs", "-20.0 → -14.0 LUFS", "5 words"):
        assert text in html
    for name in ("master.flac", "vocals.flac", "a%20song.webm"):
        assert f'{name}" download' in html


def test_lineage_is_drawn_from_left_to_right(reviewed):
    graph = draw(gather(reviewed.store, SONG).shown)
    column = {box.asset: box.x for box in graph.boxes}
    assert column["source"] < column["audio"] < column["master"] == column["stems"]
    assert len(graph.lines) == 5
    boxes = {box.asset: box for box in graph.boxes}
    assert all(b.y + HEIGHT <= graph.height for b in boxes.values())
    assert max(column.values()) < graph.width


def test_a_line_that_leads_further_passes_below_the_boxes_between(history):
    source = history.make(SONG, "source")
    audio = history.make(SONG, "audio", of=[source])
    history.make(SONG, "stems", of=[audio])
    stems = history.make(SONG, "master", of=[audio])
    history.make(SONG, "transcript", of=[audio, stems])
    graph = draw(gather(history.store, SONG).shown)
    boxes = {box.asset: box for box in graph.boxes}
    lowest = max(boxes["master"].y, boxes["stems"].y) + HEIGHT
    (past,) = [line for line in graph.lines if line.count("C") == 2]
    at = int(past.split("C")[1].split("H")[0].split(",")[-1])
    assert lowest < at <= graph.height


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("qc.json", b"{half", "transcript/qc.json cannot be shown"),
        ("transcript.json", b'{"segments": [{}]}', "transcript/transcript.json cannot be shown"),
        ("transcript.json", b"[]", "transcript/transcript.json cannot be shown"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_is_shown(history, name, data, said):
    history.make(SONG, "transcript", files={name: data}, facts={"words": 3})
    html = render_media(gather(history.store, SONG), "studio")
    assert said in html
    assert "words" in html


def test_a_damaged_manifest_costs_the_page_one_artifact(history):
    history.make(SONG, "audio", facts={"codec": "flac"})
    history.make(SONG, "master")
    (history.store.library / SONG / "master" / "manifest.json").write_text("{half")
    page = gather(history.store, SONG)
    assert [one.name for one in page.shown] == ["audio"]
    assert page.faults[0].startswith("master: 1 validation error")


def test_a_refused_file_says_why_and_how_to_see_it(history):
    record = Quarantine(
        key=SONG,
        origin="/in/<x>.mp3",
        reason="it says 30 s & gives 7 s",
        command="avp run '/in/<x>.mp3'",
        attempt="1",
        created=history.make("other-0000000002", "source").created,
    )
    history.store.quarantine(record)
    html = render_media(gather(history.store, SONG), "studio")
    assert "it says 30 s &amp; gives 7 s" in html
    assert "avp run &#39;/in/&lt;x&gt;.mp3&#39;" in html


def test_what_failed_since_is_told(history):
    failure = {"asset": "stems", "event": "failed", "reason": "no memory", "ts": history_start()}
    history.make(SONG, "audio")
    page = gather(history.store, SONG, [failure])
    assert page.state == "partial"
    assert "no memory" in render_media(page, "studio")


def history_start() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 3, 1, tzinfo=UTC)


def test_a_track_has_its_whole_and_its_parts(history):
    key = "calm-piano-0000000003"
    sidecar = {"track": {"prompt": "calm piano"}}
    history.store.save(PromptRecord(key=key, origin="avp track", sidecar=sidecar))
    files = {"track.flac": b"1", "parts/piano.flac": b"2", "parts/bass.flac": b"3"}
    history.make(key, "track", files=files, facts={"duration_s": 30.0, "integrated_lufs": -16.0})
    page = gather(history.store, key)
    assert page.name == "calm piano"
    assert [mix["label"] for mix in page.desk["mixes"]] == ["Track"]
    assert sorted(stem["label"] for stem in page.desk["stems"]) == ["bass", "piano"]


def test_takes_are_compared_with_each_other(history):
    key = "calm-piano-0000000003"
    for version, lufs in (("v1", -16.0), ("v2", -15.0)):
        files = {"track.flac": version.encode()}
        history.make(key, "track", version=version, files=files, facts={"integrated_lufs": lufs})
        history.store.add_take(key, history.store.find("track", version))
    mixes = gather(history.store, key).desk["mixes"]
    assert [(mix["label"], mix["lufs"]) for mix in mixes] == [("Take 1", -16.0), ("Take 2", -15.0)]
    assert mixes[0]["sources"][0]["src"] == f"../../library/{key}/takes/track/1/track.flac"


def test_a_project_shows_its_film_and_leads_to_the_media_it_is_made_of(history):
    key = "my-film-0000000004"
    history.store.save(ProjectRecord(key=key, origin="/projects/my film"))
    master = history.make(SONG, "master")
    timeline = history.make(key, "timeline", of=[master], files={"timeline.otio": b"{}"})
    history.make(key, "video", of=[timeline], files={"video.mp4": b"1"})
    history.make(key, "cutdowns", of=[timeline], files={"9x16.mp4": b"1", "1x1.mp4": b"2"})
    page = gather(history.store, key)
    assert page.desk["video"]["sources"][0]["label"] == "video"
    html = render_media(page, "studio")
    assert f'href="{SONG}.html#master"' in html
    assert html.count("<video controls") == 2


def test_a_film_is_called_by_its_title_and_every_player_shows_its_own_poster(history):
    key = "my-film-0000000004"
    history.store.save(ProjectRecord(key=key, origin="/projects/my film"))
    project = InputRef(asset="project", partition="/projects/my film", version="1")
    timeline = history.make(key, "timeline", files={"timeline.otio": told({"name": "The Sea <3"})})
    film = {"video.mp4": b"1", "storyboard.jpg": b"2", "poster.jpg": b"3"}
    history.make(key, "video", of=[timeline], files=film)
    cut = {f"tiktok.{name}": b"1" for name in ("mp4", "storyboard.jpg", "poster.jpg")}
    history.make(key, "cutdowns", of=[timeline], files=cut | {"square.mp4": b"2"})
    page = gather(history.store, key)
    assert page.name == "The Sea <3"
    assert page.desk["video"]["poster"] == f"../../library/{key}/video/poster.jpg"
    html = render_media(page, "studio")
    assert "<h1>The Sea &lt;3</h1>" in html
    assert html.count(f'poster="../../library/{key}/cutdowns/tiktok.poster.jpg"') == 1
    assert "recipe" not in html.split("</header>")[0]  # only files have one
    graph = draw([replace_inputs(page.shown[0], project)])
    assert [(box.asset, box.page) for box in graph.boxes] == [
        ("project", None),  # it has no page
        ("timeline", "#timeline"),
    ]


def replace_inputs(shown: Shown, *inputs: InputRef) -> Shown:
    manifest = shown.artifact.manifest.model_copy(update={"inputs": inputs})
    return replace(shown, artifact=replace(shown.artifact, manifest=manifest))


@pytest.mark.parametrize("data", [b"{half", b"[]", b'{"name": 7}', b"\xff"])
def test_a_film_whose_title_cannot_be_read_is_called_as_its_folder(history, data):
    key = "my-film-0000000004"
    history.store.save(ProjectRecord(key=key, origin="/projects/my film"))
    history.make(key, "timeline", files={"timeline.otio": data})
    assert gather(history.store, key).name == "my film"


def test_what_was_understood_of_a_prompt_is_a_text_for_people(history):
    facts = {"understood": {"slow": "bpm 52 to 72", "dark": "mood dark"}, "not_understood": []}
    history.make("dark-drone-0000000003", "track", facts=facts)
    told = dict(gather(history.store, "dark-drone-0000000003").shown[0].facts)
    assert told == {"understood": "slow: bpm 52 to 72, dark: mood dark", "not_understood": "–"}


@pytest.mark.browser
def test_only_what_can_be_used_is_shown(history, tab):
    """One sound cannot be made as loud as another."""
    history.make(SONG, "audio", files={"audio.flac": b"1"}, facts={"integrated_lufs": -20.0})
    tab.goto(write_page(history.store, SONG).as_uri())
    assert tab.locator("#bar").is_visible()
    assert tab.locator("#equal-label").is_visible() is False


def test_a_key_of_nobody_is_not_known(history):
    assert not gather(history.store, SONG).known
    with pytest.raises(ValueError, match="not a partition key"):
        gather(history.store, "../../etc")


def test_the_address_is_the_servers_where_there_is_one(history, monkeypatch):
    monkeypatch.delenv("AVP_PAGES", raising=False)
    path = write_page(history.store, SONG)
    assert page_url(history.store.reports, SONG) == path.as_uri()
    monkeypatch.setenv("AVP_PAGES", "http://127.0.0.1:3001")
    address = f"http://127.0.0.1:3001/reports/media/{SONG}.html#master"
    assert page_url(history.store.reports, SONG, "master") == address
    assert page_url(history.store.reports) == "http://127.0.0.1:3001/reports/report.html"
