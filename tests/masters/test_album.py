"""Albums: one gain for all tracks, found on what they are after their effects and the limiter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest

from av_pipelines.masters.album import AlbumLevel, album_level
from av_pipelines.masters.chain import MasterError
from av_pipelines.masters.master import MasterResult, master
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.media.audio import probe_audio
from av_pipelines.media.loudness import LoudnessMeter, joint_loudness


def loudness_of(*files: np.ndarray, rate: int = 48000) -> tuple[float, float]:
    meters = [LoudnessMeter(rate, samples.shape[0]) for samples in files]
    for meter, samples in zip(meters, files, strict=True):
        meter.feed(samples)
    return joint_loudness(meters)


@pytest.fixture
def make(tmp_path: Path):
    """Master tracks as an album: what was found for it, and a result for each track."""

    def run(*tracks: Path, **given: Any) -> tuple[AlbumLevel, list[MasterResult]]:
        given = {"formats": (), **given}
        found = album_level([(path, MasterSettings.model_validate(given)) for path in tracks])
        settings = MasterSettings.model_validate(
            {
                **given,
                "album_gain_db": found.gain_db,
                "album_lufs": found.integrated_lufs,
                "album_true_peak_dbtp": found.true_peak_dbtp,
            }
        )
        results = []
        for path in tracks:
            out = tmp_path / path.stem
            out.mkdir()
            results.append(master(path, out, settings))
        return found, results

    return run


def test_all_tracks_get_one_gain_and_the_album_the_target(make, write, read, tmp_path, music):
    loud, soft = write(music(), name="loud.w64"), write(0.3 * music(), name="soft.w64")
    _, results = make(loud, soft, target_lufs=-24)
    assert results[0].gain_db == results[1].gain_db
    difference = results[0].integrated_lufs - results[1].integrated_lufs
    assert difference == pytest.approx(20 * math.log10(1 / 0.3), abs=0.05)
    masters = [read(tmp_path / name / "master.flac") for name in ("loud", "soft")]
    assert loudness_of(*masters)[0] == pytest.approx(-24, abs=0.05)


def test_what_limiting_takes_from_the_album_is_made_up_for(make, write, read, tmp_path, music):
    tracks = [write(gain * music(), name=f"{gain}.w64") for gain in (1.0, 0.7)]
    found, results = make(*tracks, target_lufs=-11)
    assert results[0].limiter_mean_db > 0.2
    masters = [read(tmp_path / path.stem / "master.flac") for path in tracks]
    lufs, peak = loudness_of(*masters)
    assert lufs == pytest.approx(-11, abs=0.1)
    assert (found.integrated_lufs, found.true_peak_dbtp) == pytest.approx((lufs, peak), abs=0.02)
    assert "Limiting changes the loudness" in found.actions[0]


def test_the_album_is_measured_after_its_effects(make, write, read, tmp_path):
    pytest.importorskip("pedalboard")
    t = np.arange(3 * 48000) / 48000
    rumble = np.tile(0.3 * np.sin(2 * np.pi * 60 * t), (2, 1))
    tone = np.tile(0.05 * np.sin(2 * np.pi * 1000 * t), (2, 1))
    tracks = [
        write((rumble + tone).astype(np.float32), name="rumble.w64"),
        write(tone.astype(np.float32), name="tone.w64"),
    ]
    make(*tracks, target_lufs=-20, effects={"highpass_hz": 500})
    masters = [read(tmp_path / path.stem / "master.flac") for path in tracks]
    assert loudness_of(*masters)[0] == pytest.approx(-20, abs=0.1)


def test_tracks_of_other_rates_and_layouts_are_one_album(write, music):
    stereo = write(music(48000, 2), name="stereo.w64")
    mono = write(music(44100, 1), 44100, "mono", name="mono.w64")
    found = album_level([(mono, MasterSettings()), (stereo, MasterSettings())])
    assert found.integrated_lufs == pytest.approx(-14, abs=0.1)


def test_the_files_say_how_loud_the_album_is(make, write, music, tmp_path):
    names = ("wav", "mp3", "m4a", "ogg", "opus")
    loud, soft = write(music(), name="loud.w64"), write(0.3 * music(), name="soft.w64")
    found, _ = make(loud, soft, target_lufs=-23, formats=names)
    for name in ("flac", *names):
        gains, peaks = zip(
            *(album_tags(tmp_path / track / f"master.{name}") for track in ("loud", "soft")),
            strict=True,
        )
        assert gains[0] == gains[1] == pytest.approx(-18 - found.integrated_lufs, abs=0.01)
        assert peaks[0] in (None, pytest.approx(10 ** (found.true_peak_dbtp / 20), rel=0.1))


def album_tags(path: Path) -> tuple[float, float | None]:
    """Album gain against -18 LUFS, and peak, as a player would read them."""
    assert probe_audio(path).channels == 2
    file = mutagen.File(path)
    assert file is not None
    tags: dict[str, Any] = {}
    for key, value in dict(file.tags).items():
        name = key.lower().removeprefix("txxx:").removeprefix("----:com.apple.itunes:")
        value = getattr(value, "text", value)[0]
        tags[name] = value.decode() if isinstance(value, bytes) else value
    if path.suffix == ".opus":
        return int(tags["r128_album_gain"]) / 256 + 5, None
    gain = float(tags["replaygain_album_gain"].removesuffix(" dB"))
    return gain, float(tags["replaygain_album_peak"])


def test_no_track_is_no_album():
    with pytest.raises(MasterError, match="at least one track"):
        album_level([])


def test_silence_is_left_as_it_is(write):
    silent = write(np.zeros((2, 48000), np.float32))
    found = album_level([(silent, MasterSettings())])
    assert (found.gain_db, found.integrated_lufs) == (0.0, -math.inf)


def test_tracks_with_different_targets_are_refused_by_name(write, music):
    one, two = write(music(), name="one.w64"), write(music(), name="two.w64")
    with pytest.raises(MasterError, match=r"one target_lufs: .*one\.w64 has -14.*two\.w64 has -16"):
        album_level([(one, MasterSettings()), (two, MasterSettings(target_lufs=-16))])


def test_more_limiting_than_allowed_does_as_the_setting_says(write, music):
    audio = write(0.1 * music())
    given = {"target_lufs": -6, "max_limiting_db": 3}
    lowered = MasterSettings.model_validate({**given, "when_too_quiet": "lower_target"})
    found = album_level([(audio, lowered)])
    assert found.integrated_lufs < -7
    assert "lowered to" in found.actions[0]
    refused = MasterSettings.model_validate({**given, "when_too_quiet": "fail"})
    with pytest.raises(MasterError, match=r"audio\.w64.*when_too_quiet = fail"):
        album_level([(audio, refused)])
