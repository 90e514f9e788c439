"""The server: pages and files of artifacts, ranges of them, and not a byte more."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from av_pipelines.reports.server import file_to_serve

SONG = "a-song-0000000001"
LATE = "late-0000000009"
PROGRAM = """
import sys
from pathlib import Path
from av_pipelines.reports.server import serve_pages
from resources.store import Store
serve_pages(Store(Path(sys.argv[1])), int(sys.argv[2]), lambda: {"QUEUED": 3, "STARTED": 1})
"""


class Server:
    """The server of a store, in a process of its own."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(reviewed: Any) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = reviewed.store.root
    secret = root.parent / "secret.txt"
    secret.write_text("hush")
    reviewed.make(LATE, "source", files={"page.html": b"<script>1</script>", "x.svg": b"<svg/>"})
    outside = root / "artifacts" / "source"
    (next(outside.glob("*")) / "leak.txt").symlink_to(secret)
    (root / "library" / LATE / "elsewhere").symlink_to(root.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), str(port)], env=environment
    )
    server = Server(root, port)
    try:
        for _ in range(200):
            try:
                server.get("/metrics")
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(20)


# ---------------------------------------------------------------------- what is served


def test_pages_are_written_when_they_are_asked_for(server, reviewed):
    status, headers, body = server.get(f"/reports/media/{SONG}.html")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Gain +6.00 dB." in body
    status, _, body = server.get("/reports/report.html")
    assert (status, SONG.encode() in body) == (200, True)
    assert server.get("/")[1]["location"] == "/reports/report.html"
    assert server.get("/reports/media/nobody-0000000000.html")[0] == 404


def test_parts_of_a_file_can_be_asked_for(server):
    path = f"/library/{SONG}/audio/audio.flac"
    whole = (server.root / path[1:]).read_bytes()
    status, headers, body = server.get(path)
    assert (status, body, headers["content-type"]) == (200, whole, "audio/flac")
    assert headers["accept-ranges"] == "bytes"
    status, headers, body = server.get(path, Range="bytes=100-199")
    assert (status, body) == (206, whole[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert server.get(path, Range="bytes=-5")[2] == whole[-5:]
    assert server.get(path, Range=f"bytes={len(whole)}-")[0] == 416
    assert server.get(path, "HEAD")[1]["content-length"] == str(len(whole))


def test_nothing_of_a_stranger_is_run_or_shown_as_a_page(server):
    for name in ("page.html", "x.svg"):
        status, headers, _ = server.get(f"/library/{LATE}/source/{name}")
        assert status == 200
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment")
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]
    page = server.get(f"/reports/media/{SONG}.html")[1]
    assert page["x-frame-options"] == "DENY"
    assert page["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/library/../../secret.txt",
        "/library/%2e%2e/%2e%2e/secret.txt",
        "/library/%252e%252e/secret.txt",
        "/library/..%2f..%2fsecret.txt",
        "/library/..%5c..%5csecret.txt",
        "//secret.txt",
        "/%2fetc%2fpasswd",
        f"/library/{LATE}/elsewhere/secret.txt",
        f"/library/{LATE}/source/leak.txt",
        f"/library/{SONG}/audio/audio.flac%00.txt",
        f"/library/{SONG}/audio/",
        f"/library/{SONG}/media.json",
        "/artifacts/.locks/catalog.duckdb-ref",
        "/ledger/2026-03-01",
        "/reports/catalog.duckdb",
        "/reports/media/..%2f..%2fsecret.txt.html",
        "/inbox/x",
        "/.alive",
    ],
)
def test_nothing_else_of_the_machine_is_served(server, path):
    status, _, body = server.get(path)
    assert (status, b"hush" in body) == (404, False)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "library", "artifacts", LATE, "source", "elsewhere", "secret.txt"]
        )
        | st.text(max_size=5),
        max_size=8,
    )
)
def test_no_path_leads_out_of_the_artifacts(reviewed, parts):
    found = file_to_serve(reviewed.store, "/".join(parts))
    assert found is None or reviewed.store.artifacts.resolve() in found.parents


def test_a_source_that_is_only_referred_to_stays_where_it_is(history):
    outside = history.store.root.parent / "archive.mov"
    outside.write_bytes(b"far away")
    source = history.make(LATE, "source")
    folder = history.store.artifacts / "source" / source.version
    (folder / "archive.mov").symlink_to(outside)
    assert file_to_serve(history.store, f"library/{LATE}/source/archive.mov") is None
    assert file_to_serve(history.store, f"library/{LATE}/source/source.bin")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Host": "rebound.example.com"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
def test_other_web_pages_cannot_look(server, headers):
    assert server.get("/metrics", **headers)[0] == 403


def test_nothing_can_be_changed(server):
    for method in ("POST", "PUT", "DELETE"):
        assert server.get(f"/library/{SONG}/audio/audio.flac", method)[0] == 405


def test_a_port_that_is_taken_is_said(server):
    second = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(server.root), str(server.port)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert second.returncode != 0
    assert "address already in use" in second.stderr


# ---------------------------------------------------------------------- in a browser


@pytest.mark.browser
def test_the_page_plays_and_seeks_over_the_server(server, tab):
    tab.goto(f"{server.url}/reports/media/{SONG}.html")
    tab.get_by_role("button", name="Stems", exact=True).click()
    tab.locator(".word", has_text="good").click()
    tab.get_by_role("button", name="Play", exact=True).click()
    for _ in range(200):
        if tab.evaluate("window.desk.now") > 8.5:
            break
        time.sleep(0.05)
    assert 8.5 < tab.evaluate("window.desk.now") < 12
    for _ in range(10):
        clocks = [clock["at"] for clock in tab.evaluate("window.desk.clocks()")[:4]]
        assert max(clocks) - min(clocks) <= 0.02
        time.sleep(0.03)
    tab.get_by_role("link", name=server.root.name).first.click()
    tab.wait_for_selector("#work canvas")


RECORD = """
async () => {
  const sound = new AudioContext({sampleRate: 48000});
  await sound.resume();
  const code = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process(inputs) {
      this.port.postMessage(inputs.map((input) => input[0] ? Array.from(input[0]) : []));
      return true;
    }
  })`;
  await sound.audioWorklet.addModule(
    URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  const players = window.players.slice(2);  // after original and master
  const tap = new AudioWorkletNode(sound, "tap", {numberOfInputs: players.length});
  window.heard = players.map(() => []);
  tap.port.onmessage = ({data}) => {
    if (data.every((block) => block.length)) {
      data.forEach((block, n) => window.heard[n].push(...block));
    }
  };
  players.forEach((player, n) => {
    sound.createMediaStreamSource(player.captureStream()).connect(tap, 0, n);
  });
}
"""
KEEP_PLAYERS = """
window.players = [];
const create = document.createElement.bind(document);
document.createElement = (tag, ...more) => {
  const element = create(tag, ...more);
  if (tag === "audio") window.players.push(element);
  return element;
};
"""


@pytest.mark.browser
def test_stems_sound_together_after_a_seek(server, chromium):
    """Not by the players' clocks, but by what comes out of them: all stems hold the same noise."""
    import numpy as np

    context = chromium.new_context(bypass_csp=True)  # for the recorder
    try:
        tab = context.new_page()
        tab.add_init_script(KEEP_PLAYERS)
        tab.goto(f"{server.url}/reports/media/{SONG}.html")
        tab.evaluate(RECORD)
        tab.evaluate("window.desk.listen('Stems')")
        tab.evaluate("window.desk.go(2, true)")
        time.sleep(0.5)
        tab.evaluate("window.desk.go(6)")
        time.sleep(0.3)
        tab.evaluate("window.heard.forEach((one) => one.length = 0)")
        time.sleep(1.5)
        heard = np.array(tab.evaluate("window.heard.map((one) => one.slice(0, 24000))"))
    finally:
        context.close()
    assert heard.shape == (4, 24_000)  # half a second of each
    first = np.fft.rfft(heard[0], 65_536)
    for other in heard[1:]:
        match = np.fft.irfft(first * np.conj(np.fft.rfft(other, 65_536)))
        lag = int(np.argmax(match))
        lag -= 65_536 if lag > 32_768 else 0
        assert abs(lag) / 48_000 <= 0.020
        assert match.max() > 0.5 * float(np.sum(heard[0] ** 2))


# ---------------------------------------------------------------------- figures


def samples(text: str) -> dict[str, float]:
    """Figures by name and labels, as Prometheus itself reads them."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        f"{s.name}{''.join(f' {k}={v}' for k, v in sorted(s.labels.items()))}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_prometheus_can_read_the_figures(server):
    status, headers, body = server.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(body.decode())
    assert found["avp_queue_depth"] == 3
    assert found["avp_runs state=started"] == 1
    assert found["avp_events_total asset=stems event=made"] == 1
    assert found["avp_media state=done"] == 2
    assert found["avp_cpu_seconds_total asset=stems"] == 2
    for name in ("avp_disk_free_bytes", "avp_inbox_files", "process_resident_memory_bytes"):
        assert name in found
    assert "avp_cost_usd_total asset=stems" not in found  # nobody said what a second costs


def test_figures_tell_of_failures_and_speed(history):
    from av_pipelines.reports.catalog import refresh
    from av_pipelines.reports.metrics import exposition

    fast = {"duration_s": 60.0, "realtime_factor": 30.0, "device": "cpu"}
    history.make(SONG, "audio", facts=fast)
    history.note("failed", SONG, "master", reason="no space")
    history.store.inbox.mkdir()
    (history.store.inbox / "song.wav").touch()
    (history.store.inbox / ".part").touch()
    refresh(history.store)
    found = samples(exposition(history.store).decode())
    assert found["avp_realtime_factor asset=audio device=cpu"] == pytest.approx(60.0)
    assert found["avp_failures asset=master event=failed"] == 1
    assert found["avp_inbox_files"] == 1
    assert "avp_queue_depth" not in found
