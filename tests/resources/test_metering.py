"""What a piece of work used is booked to it: threads, children, and children of children."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from av_pipelines.intake.assets import INTAKE
from av_pipelines.intake.child import read_media
from av_pipelines.intake.claim import register
from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.taps import audio_taps
from av_pipelines.maker import make
from av_pipelines.makers import open_studio
from partitions.keys import media_key
from resources.metering import Meter
from tests.intake.conftest import Make

BURN = "import time\nwhile time.process_time() < {}: pass\n"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(0.4)!r}])"


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_process_that_sleeps_uses_time_but_no_cpu() -> None:
    with Meter() as meter:
        time.sleep(0.2)
    assert meter.cost.wall_s >= 0.2
    assert meter.cost.cpu_s < 0.1


def test_threads_that_have_ended_are_booked() -> None:
    with Meter() as meter:
        threads = [threading.Thread(target=burn, args=(0.2,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert meter.cost.cpu_s == pytest.approx(0.6, rel=0.2)


def test_the_child_of_a_child_is_booked() -> None:
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", CHILD], check=True)
    assert meter.cost.cpu_s >= 0.4


def test_work_before_and_after_is_not_booked() -> None:
    burn(0.3)
    with Meter() as meter:
        pass
    burn(0.3)
    assert meter.cost.cpu_s < 0.1


def test_a_child_of_another_process_is_booked_by_its_own_report() -> None:
    with Meter() as meter:
        meter.add_child(12.5, 2**40)
    assert meter.cost.cpu_s == pytest.approx(12.5, abs=0.1)
    assert meter.cost.peak_rss_bytes == 2**40


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is that of the process")
def test_memory_that_was_given_back_before_is_not_booked() -> None:
    bytearray(300 * 2**20)
    with Meter() as meter:
        pass
    with Meter() as larger:
        bytearray(300 * 2**20)
    assert larger.cost.peak_rss_bytes - meter.cost.peak_rss_bytes > 200 * 2**20


def test_what_it_took_to_refuse_a_file_is_booked(tmp_path: Path) -> None:
    """Half of a long recording is read, and then refused, in a process that is not our child."""
    make_media = Make(tmp_path)
    path = make_media.wav("half.wav", make_media.tone(120, 48_000, 2), rate=48_000, cut_to=0.5)
    out, told = tmp_path / "out", []
    out.mkdir()
    with pytest.raises(Refused, match="truncated"):
        read_media(path, audio_taps(out), spent=lambda cpu_s, peak: told.append((cpu_s, peak)))
    ((child_s, peak),) = told
    assert child_s > 0.1
    assert peak > 2**24
    studio = open_studio(tmp_path / "studio")
    key = media_key(path)
    register(studio.store, path, key, recipe="auto", claim="copy", sidecar={})
    outcomes = make(studio, INTAKE, key)
    assert {outcome.event for outcome in outcomes} == {"quarantined"}
    assert sum(outcome.cost.cpu_s for outcome in outcomes) > 0.7 * child_s


# ---------------------------------------------------------------------- around the work


def test_what_a_run_does_between_two_pieces_of_work_is_booked_to_the_next() -> None:
    with Meter("a run") as first:
        burn(0.1)
        booked = first.book()
        burn(0.2)  # it publishes
    burn(0.2)  # it writes its events
    with Meter("a run") as second:
        burn(0.1)
    assert booked.cpu_s == pytest.approx(0.1, abs=0.05)
    assert second.cost.cpu_s == pytest.approx(0.5, abs=0.05)
    assert second.cost.wall_s < 0.3  # it is not slower for it


def test_another_run_and_work_that_made_nothing_leave_nothing_to_the_next() -> None:
    with Meter("a run") as first:
        first.book()
        burn(0.2)
    with Meter("another run") as other:
        burn(0.2)
    with Meter("another run") as after:
        pass
    assert other.cost.cpu_s == pytest.approx(0.2, abs=0.05)
    assert after.cost.cpu_s < 0.05


def test_work_that_failed_after_it_was_booked_counts_once() -> None:
    meter = Meter("a run")

    def publish() -> None:
        with meter:
            meter.book()
            burn(0.2)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        publish()
    assert meter.cost.cpu_s == pytest.approx(0.2, abs=0.05)
    with Meter("a run") as after:
        pass
    assert after.cost.cpu_s < 0.05


def test_the_memory_of_a_child_that_was_larger_is_booked() -> None:
    large = "x = bytearray(600 * 2**20); x[::4096] = b'1' * len(x[::4096])"
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", large], check=True)
    assert meter.cost.peak_rss_bytes > 600 * 2**20
