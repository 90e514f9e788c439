"""M4A files decode to what FFmpeg's own muxer would give, and players find length and tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mutagen.mp4
import numpy as np
import pytest

from av_pipelines.masters.m4a import M4aWriter
from av_pipelines.media.audio import AudioWriter, probe_audio

OPTIONS = {"aac_coder": "fast"}


@pytest.mark.parametrize(
    ("rate", "layout", "channels"),
    [
        (48000, "stereo", 2),
        (44100, "mono", 1),
        (96000, "5.1", 6),
        (8000, "mono", 1),
        (48000, "7.1", 8),
        (48000, "4.0", 4),
    ],
)
@pytest.mark.parametrize("length", [5, 2048, 60_001])
def test_it_holds_what_ffmpegs_own_muxer_would_write(
    tmp_path: Path, read, rate, layout, channels, length
):
    random = np.random.default_rng(length)
    sound = (0.1 * random.standard_normal((channels, length))).astype(np.float32)
    ours, theirs = tmp_path / "ours.m4a", tmp_path / "theirs.m4a"
    bit_rate = 64_000 * channels
    with M4aWriter(ours, rate, layout, bit_rate, OPTIONS) as writer:
        for block in np.array_split(sound, 3, axis=1):
            writer.write(block)
    with AudioWriter(theirs, "aac", rate, layout, bit_rate=bit_rate, options=OPTIONS) as writer:
        writer.write(sound)
    np.testing.assert_array_equal(read(ours), read(theirs))
    assert read(ours).shape[1] >= length
    assert probe_audio(ours) == probe_audio(theirs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.m4a", "theirs.m4a"]


def test_tags_find_their_place_and_the_index_stays_right(tmp_path: Path, read):
    path = tmp_path / "a.m4a"
    sound = (0.1 * np.random.default_rng(1).standard_normal((2, 480_000))).astype(np.float32)
    with M4aWriter(path, 48000, "stereo", 128_000, OPTIONS) as writer:
        writer.write(sound)
    before = read(path)
    file: Any = mutagen.mp4.MP4(path)
    assert file.info.length == pytest.approx(10 + 1024 / 48000)
    assert file.info.bitrate == pytest.approx(128_000, rel=0.05)
    file["\xa9nam"] = ["x" * 100_000]  # longer than any padding: the data move
    file.save()
    np.testing.assert_array_equal(read(path), before)


def test_over_four_gigabytes_the_index_points_further(tmp_path: Path, monkeypatch, read):
    import av_pipelines.masters.m4a as module

    sound = np.zeros((1, 48000), np.float32)
    with M4aWriter(tmp_path / "small.m4a", 48000, "mono", 64_000, OPTIONS) as writer:
        writer.write(sound)
    monkeypatch.setattr(module, "_WIDE_FROM", 0)
    with M4aWriter(tmp_path / "wide.m4a", 48000, "mono", 64_000, OPTIONS) as writer:
        writer.write(sound)
    assert b"co64" in (tmp_path / "wide.m4a").read_bytes()
    np.testing.assert_array_equal(read(tmp_path / "wide.m4a"), read(tmp_path / "small.m4a"))


def test_a_failure_leaves_no_stream_behind(tmp_path: Path):
    def fail() -> None:
        with M4aWriter(tmp_path / "a.m4a", 48000, "mono", 64_000, OPTIONS) as writer:
            writer.write(np.zeros((1, 4800), np.float32))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert not list(tmp_path.iterdir())
