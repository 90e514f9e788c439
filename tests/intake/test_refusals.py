"""What is not taken, and the sentence a person gets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from av_pipelines.intake.child import read_media
from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.taps import audio_taps, source_taps


def test_an_empty_file(tmp_path: Path, take: Any) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(Refused, match="is empty"):
        take(tmp_path / "empty.wav")


def test_what_is_no_file_is_refused_and_does_not_block(tmp_path: Path, take: Any) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("pipe.wav", "folder.wav"):
        with pytest.raises(Refused, match="is not a regular file"):
            take(tmp_path / name)


def test_a_file_that_is_not_there_is_no_refusal(tmp_path: Path, take: Any) -> None:
    with pytest.raises(FileNotFoundError):
        take(tmp_path / "nothing.wav")


def test_text_with_the_name_of_a_sound(tmp_path: Path, take: Any) -> None:
    path = tmp_path / "song.mp3"
    path.write_text("This is not a song.\n" * 200)
    with pytest.raises(Refused, match="is not recognised as any kind of audio or video"):
        take(path)


def test_a_picture_is_not_taken(tmp_path: Path, take: Any) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.png")
    with pytest.raises(Refused, match=r"is a kind of file that is not taken here \(png_pipe\)"):
        take(tmp_path / "photo.png")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[str]]:
    """Collect what the system says was opened or read of a file, by any process."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(path), 0x21) >= 0  # IN_ACCESS | IN_OPEN
    seen: list[str] = []
    try:
        yield seen
        with contextlib.suppress(BlockingIOError):
            while event := os.read(watch, 16):
                seen.append("opened" if struct.unpack("=iIII", event)[1] & 0x20 else "read")
    finally:
        os.close(watch)


@pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile 'secret.wav'\n",
        "ffconcat version 1.0\nfile '{secret}'\n",
        "#EXTM3U\n#EXTINF:10,\nsecret.wav\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_opens_nothing(playlist: str, make: Any, take: Any) -> None:
    secret = make.wav("secret.wav")
    with opened(secret) as control:
        secret.read_bytes()
    assert "opened" in control

    path = make.folder / "evil.wav"
    path.write_text(playlist.format(secret=secret))
    with opened(secret) as seen, pytest.raises(Refused, match=r"list of other|not recognised"):
        take(path)
    assert seen == []


def test_a_sample_rate_of_zero(make: Any, take: Any) -> None:
    with pytest.raises(Refused, match="Invalid sample rate: 0"):
        take(make.wav("zero.wav", says_rate=0))


def test_an_absurd_sample_rate(make: Any, take: Any) -> None:
    with pytest.raises(Refused, match=r"1092676 Hz; allowed are 1000 to 768000 Hz"):
        take(make.wav("awful.wav", says_rate=1_092_676))


def test_too_many_channels(make: Any, take: Any) -> None:
    with pytest.raises(Refused, match=r"has 65 channels; allowed are 1 to 64"):
        take(make.wav("wall.wav", np.zeros((65, 100), np.int16)))


def test_too_many_streams(make: Any, take: Any) -> None:
    sound = make.sound(make.tone(0.2, 48000, 1))
    with pytest.raises(Refused, match="has 4 streams; allowed are 3"):
        take(make.mux("many.mkv", sound, sound, sound, sound), max_streams=3)


def test_frames_that_are_huge_by_the_header_are_not_even_decoded(tmp_path: Path, take: Any) -> None:
    size = struct.pack("<HH", 16383, 16383)
    head = b"DKIF" + struct.pack("<HH4s", 0, 32, b"VP80") + size
    head += struct.pack("<IIII", 25, 1, 1, 0)
    frame = b"\x10\x02\x00\x9d\x01\x2a" + size + bytes(200)  # RFC 6386, section 9.1
    path = tmp_path / "wall.ivf"
    path.write_bytes(head + struct.pack("<IQ", len(frame), 0) + frame)
    with pytest.raises(Refused, match="frames of 16383x16383 pixels; allowed are 67108864"):
        take(path)


def test_a_long_sound_in_a_small_file_is_stopped_by_its_header(make: Any, take: Any) -> None:
    path = make.mux("bomb.flac", make.sound(np.zeros((1, 600_000), np.int16), 8000, "flac"))
    assert path.stat().st_size < 25_000
    with pytest.raises(Refused, match="is 75 s long; allowed are 60 s"):
        take(path, max_duration_s=60)


def test_a_long_sound_without_a_header_is_stopped_as_it_comes(make: Any, take: Any) -> None:
    path = make.mux("bomb.aac", make.sound(np.zeros((1, 600_000), np.int16), 8000, "aac"))
    with pytest.raises(Refused, match="long; allowed are 60 s"):
        take(path, max_duration_s=60)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4", "cut.flac", "cut.mp3", "cut.aiff"])
@pytest.mark.parametrize(("share", "kept"), [(0.5, False), (0.95, True)])
def test_what_is_cut_is_noticed_by_its_own_declared_length(
    name: str, share: float, kept: bool, make: Any, take: Any
) -> None:
    noise = np.random.default_rng(5).integers(-8000, 8000, (1, 5 * 48000)).astype(np.int16)
    codec = {"mp3": "libmp3lame", "flac": "flac", "aiff": "pcm_s16be"}.get(name[4:], "aac")
    front = {"movflags": "faststart"} if name == "cut.mp4" else {}
    cut = make.cut(make.mux(name, make.sound(noise, codec=codec), options=front), share)
    if kept:
        taken = take(cut)
        assert "says 5.0 s but holds 4." in taken.report.degraded
        assert taken.audio["duration_s"] == pytest.approx(5 * share, rel=0.05)
    else:
        with pytest.raises(Refused, match=r"says 5.0 s but holds 2.\d s \(\d\d %\): truncated"):
            take(cut)


@pytest.mark.parametrize("name", ["cut.wav", "cut.w64", "cut.caf", "cut.avi"])
def test_what_is_cut_is_noticed_where_ffmpeg_does_not_tell(name: str, make: Any, take: Any) -> None:
    path = make.mux(name, make.sound(make.tone(4, 48000, 2), codec="pcm_s16le"))
    with pytest.raises(Refused, match=r"says 4.0 s but holds 2.0 s \((50|49) %\): truncated"):
        take(make.cut(path, 0.5))
    assert "says 4.0 s but holds 3.8 s" in take(make.cut(path, 0.95)).report.degraded


def test_a_film_that_is_cut_is_noticed_though_its_sound_is_whole(make: Any, take: Any) -> None:
    rng = np.random.default_rng(2)
    frames = [rng.integers(0, 255, (48, 64, 3)).astype(np.uint8) for _ in range(40)]
    sound = make.sound(make.tone(4, 8000, 1), rate=8000)
    # Not interleaved: all of the sound, then the film.
    path = make.mux("film.mp4", sound, make.film(frames), options={"movflags": "faststart"})
    with pytest.raises(Refused, match=r"its video says 4.0 s but holds \d.\d s"):
        take(make.cut(path, 0.5))


def test_how_much_must_be_there_is_a_setting(make: Any, take: Any) -> None:
    path = make.wav("half.wav", make.tone(4, 8000, 1), cut_to=0.5)
    assert "(50 %)" in take(path, min_complete=0.4).report.degraded


@pytest.mark.parametrize("says", [0, 0xFFFF_FFFF, 0x7FFF_F000, 0x7FFF_FFFF])
def test_a_recording_from_a_pipe_has_no_length_and_is_whole(
    says: int, make: Any, take: Any
) -> None:
    taken = take(make.wav("pipe.wav", says_bytes=says))
    assert taken.report.degraded is None
    assert taken.audio["samples"] == 8000


def test_a_film_from_a_recorder_that_crashed_has_no_length(make: Any, take: Any) -> None:
    """AVI: the size in the first chunk is filled in last."""
    path = make.mux("crash.avi", make.film([100] * 30, codec="mpeg4"))
    data = bytearray(path.read_bytes())
    data[4:8] = bytes(4)
    path.write_bytes(data)
    assert take(path).source["frames"] == 30


def test_a_header_that_declares_ten_times_as_much(make: Any, take: Any) -> None:
    with pytest.raises(Refused, match=r"says 10.0 s but holds 1.0 s \(10 %\): truncated"):
        take(make.wav("lie.wav", says_bytes=160_000))


def test_damage_within_a_sound_is_named_with_its_place(make: Any, take: Any) -> None:
    path = make.mux("scratch.flac", make.sound(make.tone(10, 48000, 1), codec="flac"))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    taken = take(path)
    assert "its audio has 1 gaps" in taken.report.degraded
    gap = taken.probe["streams"][0]["gaps"]["first"][0]
    assert gap["at_s"] == pytest.approx(4.5, abs=0.3)
    assert taken.audio["duration_s"] + float(gap["what"].split()[0]) == pytest.approx(10, abs=0.01)


def test_packets_that_cannot_be_decoded_are_counted(make: Any, take: Any) -> None:
    path = make.mux("scratch.mka", make.sound(make.tone(10, 48000, 1)))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 900] = np.random.default_rng(1).bytes(900)
    path.write_bytes(data)
    taken = take(path)
    assert "packets of audio stream 0 (aac) cannot be decoded" in taken.report.degraded
    damage = taken.probe["streams"][0]["damaged_packets"]
    assert damage["count"] > 0
    assert damage["first"][0]["at_s"] == pytest.approx(5, abs=0.5)


def test_a_file_of_rubbish_in_a_good_container(make: Any, take: Any) -> None:
    path = make.mux("rubbish.flac", make.sound(make.tone(5, 48000, 1), codec="flac"))
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    data[len(data) // 10 :] = rng.bytes(len(data) - len(data) // 10)
    path.write_bytes(data)
    with pytest.raises(Refused, match=r"cannot be decoded|truncated|holds nothing"):
        take(path)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_is_changed_in_a_file_it_is_taken_or_refused(
    data: st.DataObject, make: Any, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    name = data.draw(st.sampled_from(["a.mkv", "a.mp4", "a.mp3", "a.ogg", "a.ts", "a.avi"]))
    good = make.folder / name
    if not good.exists():
        codec = {"mp3": "libmp3lame", "ogg": "libopus"}.get(name[2:], "aac")
        streams = [make.sound(make.tone(0.5, 48000, 1), codec=codec)]
        if name[2:] in ("mkv", "mp4", "ts", "avi"):
            streams.insert(0, make.film([50, 100, 150, 200, 250]))
        make.mux(name, *streams)
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    bad = folder / name
    bad.write_bytes(content)
    with contextlib.suppress(Refused):
        read_media(bad, [*source_taps(folder), *audio_taps(folder)])
