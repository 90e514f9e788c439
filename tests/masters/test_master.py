"""Whole masters: what was promised of loudness, peaks, length and files is in the files."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from av_pipelines.masters.master import MasterError, MasterResult, master
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.masters.tags import Cover, read_cover
from av_pipelines.media.audio import probe_audio
from av_pipelines.media.loudness import measure_blocks

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@pytest.fixture
def make(tmp_path: Path):
    """Master a file into ``tmp_path / "out"``; only ``master.flac`` unless told."""

    def run(
        audio: Path, *, loudness=None, tags=None, cover=None, progress=lambda _: None, **given: Any
    ):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        chosen = MasterSettings(**{"formats": (), **given})
        return out, master(
            audio, out, chosen, loudness=loudness, tags=tags, cover=cover, progress=progress
        )

    return run


def delivered(out: Path) -> dict[str, Any]:
    return json.loads((out / "loudness.json").read_text("utf-8"))


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_loudness_and_ceiling_on_ffmpegs_meter(
    make, write, read, music, ffmpeg_meter, rate, channels
):
    layout = LAYOUTS[channels]
    samples = music(rate, channels)
    out, result = make(write(samples, rate, layout), target_lufs=-12, ceiling_dbtp=-3)
    theirs = ffmpeg_meter([read(out / "master.flac")], rate, layout)
    assert theirs.integrated_lufs == pytest.approx(-12, abs=0.1)
    assert theirs.true_peak_dbtp <= -3 + 0.05
    assert (result.sample_rate_hz, result.channels) == (rate, channels)
    assert result.integrated_lufs == pytest.approx(theirs.integrated_lufs, abs=0.1)
    assert result.limiter_max_db > 0.5


PROGRAMMES = ["noise bursts", "sine near fs/4", "clicks", "silence", "DC", "square", "music"]


def sound(kind: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    t = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 12000 * random.uniform(0.98, 1.02) * t + seed)
    sounds = {
        "noise bursts": 0.3 * random.standard_normal((2, t.size)) * (np.sin(20 * t) > 0.5),
        "sine near fs/4": np.tile(0.8 * tone, (2, 1)),
        "clicks": (random.random((2, t.size)) > 0.9995) * random.choice([-1.0, 1.0], (2, t.size)),
        "silence": np.zeros((2, t.size)),
        "DC": np.full((2, t.size), 0.5),
        "square": np.tile(np.sign(np.sin(2 * np.pi * 441 * t)), (2, 1)),
        "music": random.standard_normal((2, t.size)) * 0.1 * np.exp(-6 * (t % 0.25)),
    }
    return sounds[kind].astype(np.float32)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(PROGRAMMES),
    target=st.floats(-40, -6),
    ceiling=st.floats(-20, 0),
    policy=st.sampled_from(["limit", "lower_target"]),
    seed=st.integers(0, 1000),
)
def test_any_programme_keeps_the_ceiling_and_meets_the_target_or_says_why_not(
    make, write, read, ffmpeg_meter, kind, target, ceiling, policy, seed
):
    audio = write(sound(kind, seed))
    out, result = make(
        audio, target_lufs=target, ceiling_dbtp=ceiling, when_too_quiet=policy, max_limiting_db=20
    )
    theirs = ffmpeg_meter([read(out / "master.flac")], 48000)
    assert theirs.true_peak_dbtp <= ceiling + 0.05
    if abs(result.integrated_lufs - target) > 0.1:
        said = " ".join(result.actions)
        assert any(why in said for why in ("silent", "out of reach", "lowered to", "the target"))


def test_it_is_as_long_as_it_was_and_in_step_to_the_sample(make, write, read, music):
    samples = music(44100)[:, :100_003]
    out, result = make(write(samples, 44100), target_lufs=-30)
    mastered = read(out / "master.flac")
    assert mastered.shape == samples.shape
    gain = 10 ** (result.gain_db / 20)
    np.testing.assert_allclose(mastered, samples * gain, atol=2**-22)
    assert result.limiter_max_db == 0


def test_eight_channels_stay_in_their_places(make, write, read):
    t = np.arange(48000) / 48000
    samples = np.stack([0.05 * np.sin(2 * np.pi * hz * t) for hz in range(100, 900, 100)])
    out, result = make(write(samples.astype(np.float32), 48000, "7.1"), target_lufs=-25)
    mastered = read(out / "master.flac")
    np.testing.assert_allclose(mastered, samples * 10 ** (result.gain_db / 20), atol=2**-22)


def test_every_format_is_measured_and_keeps_target_and_ceiling(make, write, read, music):
    names = ("flac", "wav", "mp3", "m4a", "ogg", "opus")
    out, result = make(write(music()), formats=names, tags={"title": "Lied", "artist": "Jørgen"})
    assert result.files == (*(f"master.{n}" for n in names), "loudness.json", "loudness.png")
    assert sorted(p.name for p in out.iterdir()) == sorted(result.files)
    for name, said in delivered(out)["files"].items():
        info = probe_audio(out / name)
        found = measure_blocks([read(out / name)], info.sample_rate, info.channels)
        assert said["integrated_lufs"] == pytest.approx(found.integrated_lufs, abs=0.01)
        assert said["true_peak_dbtp"] == pytest.approx(found.true_peak_dbtp, abs=0.01)
        assert found.true_peak_dbtp <= -1 or f"{name}: peaks at" in " ".join(result.actions)
        assert found.integrated_lufs == pytest.approx(-14, abs=0.1) or name in str(result.actions)


def test_a_codec_that_lifts_the_peaks_is_fed_less_and_it_is_written_down(make, write):
    random = np.random.default_rng(0)
    noise = np.clip(random.standard_normal((2, 96000)), -1, 1).astype(np.float32)
    out, result = make(write(noise), formats=("opus",), opus_kbps=32, target_lufs=-7)
    file = delivered(out)["files"]["master.opus"]
    assert file["encodings"] > 1
    assert any("master.opus: decoded, it had" in said for said in result.actions)
    assert file["true_peak_dbtp"] <= -1 or any("opus: peaks at" in said for said in result.actions)


def test_surround_at_96_khz_becomes_stereo_at_48_for_mp3_at_the_same_target(make, write, music):
    out, result = make(write(music(96000, 6), 96000, "5.1"), formats=("mp3",))
    file = delivered(out)["files"]["master.mp3"]
    assert (file["sample_rate_hz"], file["channels"]) == (48000, 2)
    assert file["integrated_lufs"] == pytest.approx(-14, abs=0.1)
    assert "master.mp3: resampled from 96000 to 48000 Hz." in result.actions
    assert "master.mp3: mixed from 5.1 to stereo." in result.actions


def tags_of(path: Path) -> Any:
    file = mutagen.File(path)
    assert file is not None
    return file


def test_tags_are_kept_and_say_the_gain_for_even_loudness(make, write, music):
    audio = write(music(seconds=2.0))
    names = ("flac", "wav", "mp3", "m4a", "ogg", "opus")
    out, _ = make(audio, formats=names, tags={"title": "Ärger"})
    flac, wav, mp3, m4a, ogg, opus = (tags_of(out / f"master.{name}") for name in names)
    assert wav["TIT2"].text == mp3["TIT2"].text == m4a["\xa9nam"] == ["Ärger"]
    assert flac["title"] == ogg["title"] == opus["title"] == ["Ärger"]

    # From -14 to the -18 LUFS that ReplayGain plays at, and the -23 of R128.
    gains = [
        wav["TXXX:replaygain_track_gain"].text[0],
        mp3["TXXX:replaygain_track_gain"].text[0],
        bytes(m4a["----:com.apple.iTunes:replaygain_track_gain"][0]).decode(),
        flac["replaygain_track_gain"][0],
        ogg["replaygain_track_gain"][0],
    ]
    assert [float(g.removesuffix(" dB")) for g in gains] == pytest.approx([-4] * 5, abs=0.11)
    assert int(opus["r128_track_gain"][0]) == pytest.approx(-9 * 256, abs=28)
    assert 0.5 < float(flac["replaygain_track_peak"][0]) <= 10 ** (-1 / 20)


def test_the_cover_is_kept(make, write, music, tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(data, "PNG")
    names = ("wav", "mp3", "m4a", "ogg", "opus")
    out, _ = make(write(music(seconds=1.0)), formats=names, cover=Cover(data.getvalue()))
    for name in ("flac", *names):
        assert read_cover(out / f"master.{name}") == Cover(data.getvalue()), name


def test_a_long_programme_is_tried_in_pieces_and_encoded_once(make, write, read, music):
    samples = np.tile(music(24000, 1, seconds=13.0), (1, 10)).astype(np.float32)
    samples *= np.linspace(0.3, 1.0, samples.shape[1], dtype=np.float32)
    audio = write(samples, 24000, "mono")
    out, result = make(audio, formats=("mp3", "m4a"), target_lufs=-15)
    for name, file in delivered(out)["files"].items():
        assert file["encodings"] == 1, (name, result.actions)
        assert file["true_peak_dbtp"] <= -1
        assert file["integrated_lufs"] == pytest.approx(-15, abs=0.1)


def test_loudness_json_says_what_was_done(make, write, music):
    out, result = make(write(music()))
    written = delivered(out)
    assert (written["target_lufs"], written["ceiling_dbtp"]) == (-14, -1)
    assert written["actions"] == list(result.actions)
    assert written["gain_db"] == result.facts()["gain_db"]
    assert written["limiter"]["max_db"] == result.facts()["limiter_max_db"]
    input_lufs = written["input"]["integrated_lufs"]
    assert f"from {input_lufs:.2f} LUFS" in result.actions[0]
    assert written["files"]["master.flac"]["integrated_lufs"] == pytest.approx(-14, abs=0.1)


def test_a_measurement_that_is_there_is_used(make, write, read, music):
    audio = write(music())
    known = measure_blocks([read(audio)], 48000, 2).to_json_dict()
    _, measured_here = make(audio)
    _, given = make(audio, loudness=known)
    assert given.gain_db == pytest.approx(measured_here.gain_db, abs=0.02)


def test_silence_stays_silent_and_it_says_so(make, write, read):
    out, result = make(write(np.zeros((2, 48000), np.float32)), formats=("mp3",), flac_bits=16)
    assert not read(out / "master.flac").any()
    assert result.integrated_lufs == -math.inf
    assert result.facts()["integrated_lufs"] is None
    assert "silent" in result.actions[0]


def test_sixteen_bits_are_dithered(make, write, read):
    t = np.arange(96000) / 48000
    quiet = np.tile(1e-5 * np.sin(2 * np.pi * 1000 * t), (2, 1)).astype(np.float32)
    # A third of a step: rounded it would be nothing; dithered the tone is there.
    out, _ = make(write(quiet), flac_bits=16, target_lufs=-70, max_limiting_db=0)
    mastered = read(out / "master.flac")
    np.testing.assert_array_equal(mastered * 2**15, np.rint(mastered * 2**15))
    spectrum = np.abs(np.fft.rfft(mastered[0]))
    assert int(spectrum.argmax()) == 2000


def test_a_preview_is_a_piece_of_the_whole_master(make, write, read, music):
    audio = write(music(seconds=6.0))
    out, _ = make(audio)
    whole = read(out / "master.flac")
    out, result = make(audio, preview_s=1.5, preview_start_s=3.0)
    piece = read(out / "master.flac")
    assert piece.shape == (2, 72000)
    # Apart from what the limiter still had to let go at its start.
    np.testing.assert_allclose(piece[:, 24000:], whole[:, 168000:216000], atol=0.005)
    assert result.actions[0].startswith("A preview of 1.5 s from 3 s")


def test_the_picture_is_small_and_has_its_size(make, write, music):
    out, _ = make(write(music()))
    with Image.open(out / "loudness.png") as picture:
        assert picture.size == (800, 220)
    assert (out / "loudness.png").stat().st_size < 40_000


def test_progress_goes_up_to_one(make, write, music):
    heard: list[float] = []
    make(write(music()), formats=("mp3", "m4a"), progress=heard.append)
    assert heard == sorted(heard)
    assert len(heard) > 5
    assert heard[-1] == 1.0


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.35])
def test_very_short_programmes_are_mastered_too(make, write, music, seconds):
    out, result = make(write(music()[:, : round(48000 * seconds)]))
    assert result.true_peak_dbtp <= -1
    assert probe_audio(out / "master.flac").duration_s == pytest.approx(seconds, abs=1e-4)


class TestRefusals:
    @pytest.mark.parametrize("bad", [math.nan, -math.inf])
    @pytest.mark.parametrize("known", [None, {"integrated_lufs": -20.0}])
    def test_samples_that_are_not_numbers(self, make, write, music, bad, known):
        samples = music()
        samples[1, 60000] = bad
        with pytest.raises(
            MasterError, match=r"audio\.w64: the sample at 1\.250000 s is -?(nan|inf)"
        ):
            make(write(samples), loudness=known)

    def test_more_channels_than_flac_holds(self, make, write):
        audio = write(np.zeros((24, 4800), np.float32), 48000, "22.2")
        with pytest.raises(MasterError, match=r"audio\.w64: 24 channels.*1 to 8"):
            make(audio)

    def test_rates_that_flac_or_the_meter_do_not_know(self, make, write):
        for rate in (4000, 700_000):
            audio = write(np.zeros((1, 4800), np.float32), rate, "mono")
            with pytest.raises(MasterError, match=f"{rate} Hz; a master has 8000 to 655350 Hz"):
                make(audio)

    def test_a_preview_from_beyond_the_end(self, make, write, music):
        with pytest.raises(MasterError, match=r"preview_start_s = 9 .* end at 4\.00 s"):
            make(write(music()), preview_s=1, preview_start_s=9)

    def test_a_programme_without_samples(self, make, write):
        audio = write(np.zeros((2, 0), np.float32), name="audio.flac", codec="flac")
        with pytest.raises(MasterError, match="no samples"):
            make(audio)


def test_result_is_what_the_asset_promises():
    assert set(MasterResult.__dataclass_fields__) >= {
        "integrated_lufs",
        "true_peak_dbtp",
        "lra_lu",
        "gain_db",
        "limiter_max_db",
        "limiter_mean_db",
        "actions",
        "duration_s",
    }
