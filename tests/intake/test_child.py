"""The child process: what it may not do, and how it ends when it does not end well."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from av_pipelines.intake import containers, passes
from av_pipelines.intake.child import PassReport, read_media, reproduce_command
from av_pipelines.intake.refusal import IntakeError, Refused
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import Appetite, Tap, TapSpec, audio_taps, source_taps

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a mechanism of Linux")

FAULTS = '''
"""Taps that behave as a child taken over by a file might."""

import ctypes, json, os, signal, socket, time
from pathlib import Path
from av_pipelines.intake.taps import Appetite, Tap


class Listens(Tap):
    def open(self, media):
        return {media.audio: Appetite.ALL}


class Crashes(Listens):
    def audio(self, block):
        ctypes.string_at(0)


class Killed(Listens):
    def audio(self, block):
        signal.raise_signal(signal.SIGKILL)


class Leaves(Listens):
    def audio(self, block):
        os._exit(7)


class Eats(Listens):
    def audio(self, block):
        self.food = [bytearray(2**26) for _ in range(100)]


class Burns(Listens):
    def audio(self, block):
        while True:
            self.beat()


class Sleeps(Listens):
    def audio(self, block):
        (self.out / "pid").write_text(str(os.getpid()))
        time.sleep(600)


class Fills(Listens):
    def audio(self, block):
        with (self.out / "big").open("wb") as file:
            for _ in range(100):
                file.write(bytes(2**20))


class Fails(Listens):
    def audio(self, block):
        raise KeyError("a mistake of ours")


class Lies(Listens):
    def __init__(self, out, said):
        super().__init__(out)
        self.said = said

    def audio(self, block):
        os.write(3, bytes.fromhex(self.said))
        time.sleep(600)


class Links(Listens):
    def audio(self, block):
        (self.out / "audio.flac").symlink_to("/etc/passwd")


class Snoops(Listens):
    def __init__(self, out, secret):
        super().__init__(out)
        self.secret = Path(secret)

    def audio(self, block):
        self.found = {}
        for name, reach in {
            "read": lambda: self.secret.read_bytes(),
            "write": lambda: self.secret.write_bytes(b"x"),
            "make": lambda: self.secret.with_name("new").touch(),
            "source": lambda: os.write(4, b"x"),
            "net": lambda: socket.socket().close(),
            "program": lambda: os.execv("/bin/true", ["true"]),
            "process": lambda: os.fork() or os._exit(0),
            "parent": lambda: os.kill(os.getppid(), 0),
        }.items():
            try:
                reach()
                self.found[name] = "done"
            except OSError as error:
                self.found[name] = "refused"

    def finish(self, summary):
        return {"found": self.found, "environment": sorted(os.environ)}


class Counts(Listens):
    def finish(self, summary):
        return {"frames": [tally.decoded_frames for tally in summary.tallies]}
'''


@pytest.fixture
def fault(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PassReport]:
    """Read a good file with a tap that does harm."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "faults.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    out = tmp_path / "out"
    out.mkdir()
    path = make.wav("good.wav")

    def fault(name: str, options: dict[str, Any] | None = None, **limits: Any) -> PassReport:
        spec = TapSpec(f"faults:{name}", "test", out, options or {})
        return read_media(path, [spec], SourceSettings(**limits))

    return fault


def test_a_child_that_crashes_is_a_refusal_and_the_next_file_is_read(fault: Any) -> None:
    with pytest.raises(Refused, match=r"crashed the decoder \(SIGSEGV\)"):
        fault("Crashes")
    assert fault("Counts").facts["test"] == {"frames": [0]}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Killed", "stopped by the system, most likely for want of memory"),
        ("Leaves", r"ended without an answer \(exit code 7\)"),
    ],
)
def test_a_child_that_ends_by_itself_is_a_refusal(name: str, reason: str, fault: Any) -> None:
    with pytest.raises(Refused, match=reason):
        fault(name)


@LINUX
def test_memory_is_limited(fault: Any) -> None:
    with pytest.raises(Refused, match="more than the 1073741824 bytes of memory allowed"):
        fault("Eats", max_memory_bytes=2**30)


def test_cpu_time_is_limited(fault: Any) -> None:
    with pytest.raises(Refused, match="more than the 1 s of CPU time allowed"):
        fault("Burns", max_cpu_s=1)


def test_time_by_the_clock_is_limited(fault: Any) -> None:
    started = time.monotonic()
    with pytest.raises(Refused, match="longer than the 1 s allowed"):
        fault("Burns", max_wall_s=1)
    assert time.monotonic() - started < 5


def test_a_standstill_is_ended(fault: Any) -> None:
    started = time.monotonic()
    with pytest.raises(Refused, match=r"standstill: nothing for 0.5 s \(source.stall_s\)"):
        fault("Sleeps", stall_s=0.5)
    assert time.monotonic() - started < 5


def test_files_are_limited(fault: Any) -> None:
    with pytest.raises(Refused, match="does not fit into the 2097152 bytes allowed"):
        fault("Fills", max_output_bytes=2**21)


def test_a_mistake_of_ours_is_not_the_file_s_fault(fault: Any) -> None:
    with pytest.raises(IntakeError, match="KeyError: 'a mistake of ours'") as caught:
        fault("Fails")
    assert 'raise KeyError("a mistake of ours")' in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "said",
    [
        b"\x80\x04\x95 a pickle\n",
        b"[]\n",
        b'{"facts": 1}\n',
        b'{"facts": {}, "flaws": [], "video": -1, "audio": 0}\n',
        b'{"progress": "all"}\n',
        b'{"progress": NaN}\n',
        b"[" * 100_000 + b"\n",
        b'{"hello": "there"}\n',
    ],
)
def test_a_child_that_lies_is_found_out(said: bytes, fault: Any) -> None:
    with pytest.raises(Refused, match="gave a wrong answer"):
        fault("Lies", {"said": said.hex()})


def test_a_child_that_stops_in_mid_sentence_is_ended(fault: Any) -> None:
    with pytest.raises(Refused, match="standstill"):
        fault("Lies", {"said": b'{"facts": '.hex()}, stall_s=0.5)


@LINUX
def test_a_child_can_reach_nothing_but_its_file_and_folder(fault: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    report = fault("Snoops", {"secret": str(secret)})
    if not (report.confined["files"] and report.confined["network"]):
        pytest.skip(f"this system confines only {report.confined}")
    assert set(report.facts["test"]["found"].values()) == {"refused"}
    assert secret.read_text() == "untouched"


def test_a_child_has_none_of_the_parents_environment(
    fault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    found = fault("Snoops", {"secret": str(tmp_path / "nothing")}).facts["test"]["environment"]
    assert "PYTHONPATH" in found
    assert "API_TOKEN" not in found


def test_only_plain_files_are_taken_from_a_child(fault: Any, tmp_path: Path) -> None:
    with pytest.raises((Refused, OSError)):  # by us, or by the system's limits on it
        fault("Links")
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_left_of_a_refused_file(fault: Any, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        fault("Sleeps", stall_s=0.3)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_stands_in_the_folder_already_is_left_alone(make: Any, tmp_path: Path) -> None:
    path = make.wav("original.wav")
    before = path.read_bytes()
    read_media(path, source_taps(tmp_path))
    assert path.read_bytes() == before
    assert (tmp_path / "probe.json").exists()


@LINUX
def test_a_parent_that_is_killed_takes_its_child_along(
    make: Any, tmp_path: Path, fault: Any
) -> None:
    code = (
        "import sys; from pathlib import Path; from av_pipelines.intake.child import read_media;"
        "from av_pipelines.intake.taps import TapSpec;"
        "read_media(Path(sys.argv[1]), [TapSpec('faults:Sleeps', 'test', Path(sys.argv[2]))])"
    )
    out = tmp_path / "mine"
    out.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(make.wav("a.wav")), str(out)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    pid = int(_wait_for(lambda: next((p.read_text() for p in out.glob("*/pid")), "")))
    assert _alive(pid)
    parent.kill()
    parent.wait()
    _wait_for(lambda: not _alive(pid))


def test_the_process_that_forks_is_started_again_when_it_was_killed(fault: Any) -> None:
    from av_pipelines.intake.child import _server

    fault("Counts")
    assert _server._process is not None
    first = _server._process.pid
    os.kill(first, signal.SIGKILL)
    _server._process.wait()
    assert fault("Counts").facts["test"] == {"frames": [0]}
    assert _server._process.pid != first


def test_files_are_read_at_the_same_time_from_several_threads(make: Any, tmp_path: Path) -> None:
    rates = [8000, 11025, 16000, 22050]
    reports: dict[int, PassReport] = {}

    def read(rate: int) -> None:
        out = tmp_path / str(rate)
        out.mkdir()
        path = make.wav(f"{rate}.wav", make.tone(0.5, rate, 1), rate=rate)
        reports[rate] = read_media(path, audio_taps(out))

    threads = [threading.Thread(target=read, args=(rate,)) for rate in rates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r: reports[r].facts["audio"]["sample_rate_hz"] for r in rates} == {r: r for r in rates}


def test_progress_and_cost_are_reported(make: Any, tmp_path: Path) -> None:
    path = make.wav("long.wav", make.tone(240, 16000, 2), rate=16000)
    shares: list[float] = []
    report = read_media(path, audio_taps(tmp_path), progress=shares.append)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] == 1.0
    assert report.cpu_s > 0
    assert 2**24 < report.peak_rss_bytes < 2**28


def test_an_error_of_who_watches_is_not_taken_for_the_child_s(make: Any, tmp_path: Path) -> None:
    def watch(share: float) -> None:
        raise ValueError("stop here")

    with pytest.raises(ValueError, match="stop here"):
        read_media(make.wav("good.wav"), audio_taps(tmp_path), progress=watch)
    assert [path.name for path in tmp_path.iterdir()] == ["good.wav"]


def test_a_film_is_decoded_only_as_far_as_a_tap_wants(make: Any, tmp_path: Path) -> None:
    """And adding a tap needs no change to the pass: this one is the test's own."""
    path = make.mux("film.mkv", make.film([100] * 100, options=(("g", "10"),)))

    class Watches(Tap):
        def __init__(self, out: Path, appetite: Appetite, enough: int) -> None:
            super().__init__(out)
            self.appetite, self.enough, self.times = appetite, enough, []

        def open(self, media: Any) -> dict[int, Appetite]:
            return {media.video: self.appetite}

        def video(self, picture: Any) -> Appetite:
            self.times.append(picture.time_s)
            return self.appetite if len(self.times) < self.enough else Appetite.NONE

        def finish(self, summary: Any) -> dict[str, Any]:
            return {"tried": summary.tallies[0].sent, "frames": summary.tallies[0].filled}

    def watch(appetite: Appetite, enough: int) -> tuple[Watches, dict[str, Any]]:
        tap = Watches(tmp_path, appetite, enough)
        with path.open("rb") as file:
            opened = containers.open_media(file.fileno(), SourceSettings(), AudioSettings())
            container, media = opened
            with container:
                _, facts = passes.run_pass(container, file.fileno(), media, [tap], SourceSettings())
        return tap, facts[0]

    tap, facts = watch(Appetite.ALL, 3)
    assert tap.times == pytest.approx([0.0, 0.1, 0.2])
    assert facts["tried"] < 50
    assert facts["frames"] == 100

    tap, facts = watch(Appetite.KEYFRAMES, 1000)
    assert tap.times == pytest.approx(np.arange(10).tolist())
    assert facts["tried"] == 10

    tap, facts = watch(Appetite.ALL, 1000)
    assert len(tap.times) == facts["tried"] == 100


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "av_pipelines.intake", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def test_the_command_prints_the_probe_of_a_good_file(make: Any, tmp_path: Path) -> None:
    done = run(str(make.wav("good.wav")), "--out", str(tmp_path / "kept"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["duration_s"] == 1.0
    assert (tmp_path / "kept" / "audio" / "audio.flac").exists()


def test_the_command_shows_a_refusal_again(make: Any) -> None:
    path = make.wav("-strange name;.wav", says_rate=0)
    shown = reproduce_command(path, SourceSettings(min_complete=0.5), AudioSettings(stream=1))
    program, *words = shlex.split(shown)
    assert program == sys.executable
    assert words[:6] == [
        "-m",
        "av_pipelines.intake",
        "--min-complete",
        "0.5",
        "--audio-stream",
        "1",
    ]
    done = run(*words[2:])
    assert done.returncode == 3
    assert "Invalid sample rate: 0" in done.stderr
    assert done.stdout == ""


def test_the_command_tells_what_a_setting_allows(make: Any) -> None:
    done = run("--max-pixels", "many", str(make.wav("good.wav")))
    assert done.returncode == 2
    assert "source.max_pixels = 'many'" in done.stderr


def _wait_for(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.02)
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
