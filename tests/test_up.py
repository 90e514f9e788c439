"""``avp up`` as a person meets it: one instance of it, files dropped in its inbox, a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect, sync_playwright

from av_pipelines.demo import CLIP
from av_pipelines.makers import open_studio
from av_pipelines.reports.catalog import query
from partitions.keys import media_key

SPEECH = Path(__file__).resolve().parents[1] / "av_pipelines" / "demo" / CLIP
TALK = media_key(PurePosixPath("podcast/talk.opus"))
SONG = media_key(PurePosixPath("music/song.opus"))
BROKEN = media_key(PurePosixPath("music/broken.mp3"))
PATIENCE_S = 120.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
T = TypeVar("T")


def wait_for(what: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    end = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < end, f"not within {patience_s:g} s"
        time.sleep(0.2)
    return found


def avp_up(
    store: Path, port: int, pages_port: int | None = None, **how: Any
) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("AVP_STORE", "DAGSTER_HOME")}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "av_pipelines",
            "up",
            "--store",
            str(store),
            "--port",
            str(port),
            "--pages-port",
            str(pages_port or free_port()),
        ],
        env=environment,
        text=True,
        **how,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Up:
    """A running ``avp up``, and ways to ask it things."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "studio"
        self.port, self.pages_port = free_port(), free_port()
        self.said, self.logged = folder / "stdout", folder / "stderr"
        with self.said.open("w") as out, self.logged.open("w") as log:
            self.process = avp_up(self.store, self.port, self.pages_port, stdout=out, stderr=log)
        wait_for(lambda: "Stop with" in self.said.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.logged.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """It and everything that it started."""
        mine = psutil.Process(self.process.pid)
        return [mine, *mine.children(recursive=True)]

    def drop(self, data: bytes, name: str) -> None:
        """Put a file in the inbox whole, as a careful program does."""
        place = self.store / "inbox" / name
        beside = place.with_name(f".{place.name}")
        beside.write_bytes(data)
        beside.rename(place)

    def made(self, key: str, asset: str) -> bool:
        return (self.store / "library" / key / asset).exists()

    def version(self, key: str, asset: str) -> str:
        return (self.store / "library" / key / asset).readlink().name

    def ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple:
        server = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            server.request(method, path, body, headers)
            answer = server.getresponse()
            return answer.status, answer.read()
        finally:
            server.close()

    def graphql(self, text: str, **variables: Any) -> Any:
        body = json.dumps({"query": text, "variables": variables})
        status, answer = self.ask("POST", "/graphql", body, {"Content-Type": "application/json"})
        assert status == http.HTTPStatus.OK, answer
        return json.loads(answer)["data"]

    def runs(self, status: str) -> dict[str, dict[str, str]]:
        """Return the runs in this state, and their tags."""
        answer = self.graphql(
            """query ($status: [RunStatus!]) {
                 runsOrError(filter: {statuses: $status}) {
                   ... on Runs { results { runId tags { key value } } } } }""",
            status=[status],
        )
        return {
            run["runId"]: {tag["key"]: tag["value"] for tag in run["tags"]}
            for run in answer["runsOrError"]["results"]
        }

    def launch(self, asset: str, key: str, config: dict[str, Any]) -> dict[str, Any]:
        """Do what the launchpad does."""
        answer = self.graphql(
            """mutation ($params: ExecutionParams!) {
                 launchPipelineExecution(executionParams: $params) {
                   ... on LaunchRunSuccess { run { runId } }
                   ... on RunConfigValidationInvalid { errors { message } }
                   ... on PythonError { message } } }""",
            params={
                "selector": {
                    "repositoryLocationName": "av_pipelines",
                    "repositoryName": "__repository__",
                    "pipelineName": "__ASSET_JOB",
                    "assetSelection": [{"path": [asset]}],
                },
                "mode": "default",
                "runConfigData": json.dumps({"ops": {asset: {"config": config}}}),
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
            },
        )
        return answer["launchPipelineExecution"]

    def states(self, asset: str) -> dict[str, list[str]]:
        answer = self.graphql(
            """query ($asset: [AssetKeyInput!]) {
                 assetNodes(assetKeys: $asset) { assetPartitionStatuses {
                   ... on DefaultPartitionStatuses {
                     materializedPartitions failedPartitions } } } }""",
            asset=[{"path": [asset]}],
        )
        return answer["assetNodes"][0]["assetPartitionStatuses"]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Up]:
    up = Up(folder)
    everything = up.processes()
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(60)
        for process in everything:
            if process.is_running():
                process.kill()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One ``avp up`` for all tests, with three files dropped in its inbox."""
    with running(tmp_path_factory.mktemp("up")) as up:
        speech = SPEECH.read_bytes()
        up.drop(bytes(range(256)) * 100, "music/broken.mp3")
        up.drop(speech, "music/song.opus")
        up.drop(speech + b"\0", "podcast/talk.opus")
        yield up


# ---------------------------------------------------------------------- starting


def test_it_says_where_it_is_and_nothing_else(up: Up) -> None:
    assert up.said.read_text().splitlines() == [
        f"Dagster UI:   {up.url}",
        f"Pages:        http://127.0.0.1:{up.pages_port}",
        f"Watch folder: {up.store / 'inbox'}  (a subfolder is a recipe)",
        "              prompts/ in it makes tracks, projects/ makes films",
        "Stop with Ctrl-C.",
    ]
    for word in ("telemetry", "deprecat", "supersede", "Warning", "WARNING"):
        assert word not in up.logged.read_text()


def test_it_listens_on_this_machine_only(up: Up) -> None:
    listening = [
        connection.laddr
        for process in up.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {("127.0.0.1", up.port), ("127.0.0.1", up.pages_port)}


def test_a_second_one_on_the_same_store_or_port_is_refused_in_plain_words(
    up: Up, tmp_path: Path
) -> None:
    second = avp_up(up.store, free_port(), stderr=subprocess.PIPE)
    assert "another `avp up` is at work" in second.communicate(timeout=PATIENCE_S)[1]
    third = avp_up(tmp_path / "other", up.port, stderr=subprocess.PIPE)
    assert f"port {up.port} is in use" in third.communicate(timeout=PATIENCE_S)[1]
    assert (second.returncode, third.returncode) == (1, 1)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Host": "rebound.example.com"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_other_web_pages_in_the_persons_browser_cannot_use_its_api(
    up: Up, headers: dict[str, str]
) -> None:
    assert up.ask("GET", "/graphql?query=%7Bversion%7D", None, headers)[0] == 403
    assert up.ask("GET", "/graphql?query=%7Bversion%7D", None, {})[0] == 200


# ---------------------------------------------------------------------- the inbox


def test_a_dropped_file_is_made_by_itself(up: Up) -> None:
    wait_for(lambda: up.made(TALK, "master") and up.made(TALK, "transcript"))
    library = up.store / "library" / TALK
    assert "ask not" in (library / "transcript" / "transcript.txt").read_text()
    assert not (up.store / "inbox" / "podcast" / "talk.opus").exists()
    _, rows = query(
        open_studio(up.store).store,
        f"select asset, event from ledger where partition = '{TALK}' order by 1",
    )
    assert rows == [[name, "made"] for name in ("audio", "master", "source", "transcript")]


def test_a_broken_file_is_put_aside_and_the_one_dropped_with_it_is_made(up: Up) -> None:
    wait_for(lambda: up.made(SONG, "master") and up.runs("FAILURE"))
    reason = json.loads((up.store / "quarantine" / BROKEN / "reason.json").read_text())
    assert "broken.mp3" in reason["reason"]
    left = [path.name for path in (up.store / "inbox" / "music").iterdir()]
    assert all("._" in name for name in left), left  # notes of what became of them
    assert up.states("source")["failedPartitions"] == [BROKEN]
    assert SONG in up.states("master")["materializedPartitions"]


def test_the_run_with_the_broken_file_is_red_and_names_it(up: Up) -> None:
    wait_for(lambda: up.runs("FAILURE"))
    (run_id,) = up.runs("FAILURE")
    events = up.graphql(
        """query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
             ... on RunFailureEvent { error { message } } } } } }""",
        run=run_id,
    )["logsForRun"]["events"]
    (error,) = [event["error"] for event in events if event.get("error")]
    assert f"{BROKEN}: source quarantined: broken.mp3" in error["message"]


# ---------------------------------------------------------------------- the browser


@pytest.fixture(scope="module")
def browser(up: Up) -> Iterator[BrowserContext]:
    """Chromium with the UI open; whatever a page asks of another host fails the test."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip(f"no browser here: install one of {', '.join(BROWSERS)}")
    elsewhere: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = browser.new_context(viewport={"width": 1500, "height": 1000})

        def note(request: Request) -> None:
            if not request.url.startswith((up.url, "data:", "blob:")):
                elsewhere.append(request.url)

        context.on("request", note)
        yield context
        browser.close()
    assert elsewhere == []


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    yield page
    page.close()


@pytest.mark.browser
def test_the_graph_in_the_browser_shows_every_asset(up: Up, page: Page) -> None:
    groups = ",".join(f"global@global:{group}" for group in ("media", "audio", "reports"))
    page.goto(f"{up.url}/asset-groups?expanded={groups}")
    graph = page.locator("foreignObject")
    for asset in ("source", "audio", "transcript", "master", "catalog", "report"):
        expect(graph.get_by_text(asset, exact=True).last).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Join the Dagster community")).to_have_count(0)


@pytest.mark.browser
def test_the_page_of_a_file_shows_the_waveform_and_how_loud_it_is(up: Up, page: Page) -> None:
    wait_for(lambda: up.made(TALK, "audio"))
    page.goto(f"{up.url}/assets/audio?view=partitions&partition={TALK}")
    row = page.get_by_role("row").filter(has=page.get_by_text("waveform", exact=True))
    row.get_by_text("Show Markdown").click()
    picture = page.locator("img[src^='data:image/png;base64,']")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 0
    page.get_by_role("button", name="Close").click()
    loudness = page.get_by_role("row").filter(has=page.get_by_text("integrated_lufs", exact=True))
    expect(loudness).to_contain_text("-12.5")


# ---------------------------------------------------------------------- the launchpad


def test_a_setting_in_the_launchpad_makes_a_new_version(up: Up) -> None:
    wait_for(lambda: up.made(TALK, "master"))
    before = up.version(TALK, "master")
    assert up.launch("master", TALK, {"target_lufs": -20.0, "formats": ["flac"]})["run"]
    wait_for(lambda: up.version(TALK, "master") != before)
    measured = json.loads((up.store / "library" / TALK / "master" / "manifest.json").read_text())
    assert measured["facts"]["integrated_lufs"] == pytest.approx(-20, abs=0.3)
    assert (up.store / "artifacts" / "master" / before).exists()


def test_a_wrong_setting_in_the_launchpad_is_refused_by_name(up: Up) -> None:
    wait_for(lambda: up.made(TALK, "master"))
    (error,) = up.launch("master", TALK, {"target_loudness": -20})["errors"]
    assert '"target_loudness"' in error["message"]
    assert "target_lufs" in error["message"]


# ---------------------------------------------------------------------- stopping


def test_stopping_it_leaves_nothing_running_and_the_next_start_repeats_what_was_going(
    up: Up,
) -> None:
    wait_for(lambda: up.made(TALK, "audio"))
    run_id = up.launch("stems", TALK, {"shifts": 20})["run"]["runId"]  # takes long enough
    wait_for(lambda: run_id in up.runs("STARTED"))
    everything = up.processes()
    assert len(everything) > 5  # it, its four services, and the run
    runs = [p for p in everything if "--multiprocessing-fork" in p.cmdline()]
    mine = psutil.Process(up.process.pid).nice()
    assert runs
    assert all(run.nice() > mine for run in runs)  # they give way to those that look and answer
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(30) == 0
    assert psutil.wait_procs(everything, timeout=5)[1] == []

    with running(up.folder) as again:
        wait_for(lambda: run_id in again.runs("FAILURE"))
        assert again.runs("FAILURE")[run_id]["dagster/will_retry"] == "true"
        everything = again.processes()
        (webserver,) = [p for p in everything if "webserver" in p.cmdline()]
        webserver.kill()
        assert again.process.wait(30) == 1
        assert "the webserver ended by itself (signal 9)" in again.logged.read_text()
        assert psutil.wait_procs(everything, timeout=5)[1] == []
