"""Resampling, effects and matching: what they do is heard, and what is missing is said."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from av_pipelines.masters.chain import MasterError, Programme, run
from av_pipelines.masters.master import master
from av_pipelines.masters.matching import SpectrumMatch, matching_filter
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.media.audio import probe_audio

NO_VST3 = "needs a plug-in: set AVP_TEST_VST3 to the path of an effect for stereo that is a .vst3"


def made(audio: Path, out: Path, **given: Any):
    out.mkdir(exist_ok=True)
    return master(audio, out, MasterSettings.model_validate({"formats": (), **given}))


def silent_film(path: Path) -> None:
    """Write a second of video without sound."""
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame(64, 48, "yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def level(samples: np.ndarray, hz: float, rate: int = 48000) -> float:
    spectrum = np.abs(np.fft.rfft(samples[0] * np.hanning(samples.shape[1])))
    return 20 * math.log10(float(spectrum[round(hz * samples.shape[1] / rate)]) + 1e-12)


class TestResampling:
    @pytest.mark.parametrize(
        ("rate", "new_rate"), [(44100, 48000), (96000, 44100), (8000, 44100), (48000, 11025)]
    )
    def test_every_file_has_the_rate_and_is_as_long_to_the_sample(
        self, write, read, music, tmp_path, rate, new_rate
    ):
        samples = music(rate)[:, :-7]
        audio = write(samples, rate)
        result = made(audio, tmp_path / "out", sample_rate_hz=new_rate, formats=("wav", "mp3"))
        assert result.sample_rate_hz == new_rate
        length = round(samples.shape[1] * new_rate / rate)
        for name in ("flac", "wav", "mp3"):
            assert probe_audio(tmp_path / "out" / f"master.{name}").sample_rate == new_rate
            assert read(tmp_path / "out" / f"master.{name}").shape == (2, length)
        assert f"Resampled from {rate} to {new_rate} Hz." in result.actions
        assert result.integrated_lufs == pytest.approx(-14, abs=0.1)
        assert result.true_peak_dbtp <= -1

    def test_the_tone_stays_in_step_and_nothing_is_folded_back(self, write, read, tmp_path):
        t = np.arange(96_000) / 96_000
        below, above = (0.05 * np.sin(2 * np.pi * hz * t) for hz in (1000, 30_000))
        audio = write((below + above).astype(np.float32)[None], 96_000, "mono")
        result = made(audio, tmp_path / "out", sample_rate_hz=44_100, target_lufs=-40)
        out = read(tmp_path / "out" / "master.flac")[0]
        wanted = 0.05 * np.sin(2 * np.pi * 1000 * np.arange(44_100) / 44_100)
        gain = 10 ** (result.gain_db / 20)
        inside = slice(2000, -2000)  # a tone that starts at once rings
        np.testing.assert_allclose(out[inside], gain * wanted[inside], atol=2e-6)

    def test_peaks_between_the_samples_of_the_new_rate_are_held_too(
        self, write, read, tmp_path, ffmpeg_meter
    ):
        random = np.random.default_rng(4)
        audio = write(np.sign(random.standard_normal((2, 96_000))).astype(np.float32))
        made(audio, tmp_path / "out", sample_rate_hz=44_100, target_lufs=-8, ceiling_dbtp=-2)
        theirs = ffmpeg_meter([read(tmp_path / "out" / "master.flac")], 44_100)
        assert theirs.true_peak_dbtp <= -2 + 0.05


class TestEffects:
    def test_a_low_cut_takes_lows_and_leaves_length_and_loudness(self, write, read, tmp_path):
        pytest.importorskip("pedalboard")
        t = np.arange(96_007) / 48000
        two = 0.1 * np.sin(2 * np.pi * 40 * t) + 0.1 * np.sin(2 * np.pi * 1000 * t)
        audio = write(np.tile(two, (2, 1)).astype(np.float32))
        result = made(audio, tmp_path / "out", effects={"highpass_hz": 400})
        out = read(tmp_path / "out" / "master.flac")
        assert out.shape == (2, 96_007)
        assert level(out, 1000) - level(out, 40) > 15
        assert result.integrated_lufs == pytest.approx(-14, abs=0.1)
        assert "Effects: highpass." in result.actions
        assert not (tmp_path / "out" / "shaped.wav").exists()

    def test_every_effect_keeps_its_state_from_block_to_block(self, write, music):
        pytest.importorskip("pedalboard")
        from av_pipelines.masters.effects import Effects

        settings = MasterSettings.model_validate(
            {
                "effects": {
                    "preset": "podcast",
                    "saturation_db": 6,
                    "reverb": {},
                    "delay": {},
                    "gain_db": -3,
                }
            }
        ).effects
        samples = music()
        programme = Programme.of(write(samples))
        whole = np.concatenate(list(run([samples], [Effects(programme, settings)])), axis=1)
        blocks = np.array_split(samples, 7, axis=1)
        cut = np.concatenate(list(run(blocks, [Effects(programme, settings)])), axis=1)
        assert whole.shape == samples.shape
        np.testing.assert_allclose(cut, whole, atol=1e-6)

    @pytest.mark.parametrize("preset", ["music", "podcast", "film"])
    def test_every_preset_makes_a_master(self, write, music, tmp_path, preset):
        pytest.importorskip("pedalboard")
        result = made(write(music()), tmp_path / "out", effects={"preset": preset})
        assert result.integrated_lufs == pytest.approx(-14, abs=0.1)
        assert result.true_peak_dbtp <= -1

    @pytest.mark.skipif("AVP_TEST_VST3" not in os.environ, reason=NO_VST3)
    def test_a_real_plugin_is_heard_and_keeps_its_state(self, write, read, music, tmp_path):
        pytest.importorskip("pedalboard")
        from av_pipelines.masters.effects import Effects

        plugin = os.environ["AVP_TEST_VST3"]
        given = {"effects": {"plugins": [plugin]}}
        samples = music()
        audio = write(samples)
        result = made(audio, tmp_path / "out", **given)
        out = read(tmp_path / "out" / "master.flac")
        assert out.shape == samples.shape
        assert np.abs(out / 10 ** (result.gain_db / 20) - samples).max() > 0.01
        assert result.integrated_lufs == pytest.approx(-14, abs=0.1)
        assert f"Effects: {Path(plugin).name}." in result.actions

        programme, effects = Programme.of(audio), MasterSettings.model_validate(given).effects
        whole, cut = (
            np.concatenate(list(run(blocks, [Effects(programme, effects)])), axis=1)
            for blocks in ([samples], np.array_split(samples, 7, axis=1))
        )
        # A click at a joint would be as large as the sound; plug-ins that modulate drift a little.
        assert np.abs(cut - whole).max() < 0.1 * np.abs(whole).max()

    @pytest.mark.skipif("AVP_TEST_VST3" not in os.environ, reason=NO_VST3)
    def test_a_plugin_for_other_channels_is_refused_with_its_name(self, write, music, tmp_path):
        pytest.importorskip("pedalboard")
        audio = write(music(channels=6), layout="5.1")
        plugin = os.environ["AVP_TEST_VST3"]
        with pytest.raises(MasterError, match=r"audio\.w64: effects\.plugins: .* 6-channel"):
            made(audio, tmp_path / "out", effects={"plugins": [plugin]})
        assert not list((tmp_path / "out").iterdir())

    def test_a_missing_plugin_is_named_with_file_and_setting(self, write, music, tmp_path):
        pytest.importorskip("pedalboard")
        plugin = tmp_path / "none.vst3"
        with pytest.raises(
            MasterError, match=r"audio\.w64: effects\.plugins: .*none\.vst3 is not there"
        ):
            made(write(music()), tmp_path / "out", effects={"plugins": [str(plugin)]})
        assert not list((tmp_path / "out").iterdir())

    def test_a_file_that_is_no_plugin_is_refused(self, write, music, tmp_path):
        pytest.importorskip("pedalboard")
        plugin = tmp_path / "text.vst3"
        plugin.write_text("no plug-in")
        with pytest.raises(MasterError, match=r"text\.vst3 does not load as a plug-in"):
            made(write(music()), tmp_path / "out", effects={"plugins": [str(plugin)]})

    def test_without_the_extra_its_name_is_given(self, write, music, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pedalboard", None)
        monkeypatch.setitem(sys.modules, "pedalboard._pedalboard", None)
        with pytest.raises(MasterError, match=r"pip install 'av-pipelines\[effects\]'"):
            made(write(music()), tmp_path / "out", effects={"highpass_hz": 100})
        made(write(music()), tmp_path / "out")  # loudness and limiting need none of it

    def test_a_room_for_surround_is_refused(self, write, music, tmp_path):
        pytest.importorskip("pedalboard")
        audio = write(music(channels=6), layout="5.1")
        with pytest.raises(MasterError, match=r"6 channels; effects\.reverb takes 1 or 2"):
            made(audio, tmp_path / "out", effects={"reverb": {}})


class TestMatching:
    def tilted(self, db_per_octave: float, seed: int) -> np.ndarray:
        noise = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, 240_000)))
        hz = np.maximum(np.fft.rfftfreq(240_000, 1 / 48000), 20)
        tilt = 10 ** (db_per_octave * np.log2(hz / 1000) / 20)
        return (0.05 * np.fft.irfft(noise * tilt)).astype(np.float32)

    def test_the_balance_comes_near_the_references(self, write, read, tmp_path):
        audio = write(self.tilted(0.0, 1))
        reference = write(self.tilted(-2.0, 2), name="reference.wav")
        result = made(audio, tmp_path / "out", reference=str(reference))
        out = read(tmp_path / "out" / "master.flac")

        def tilt(samples: np.ndarray) -> float:
            power = np.abs(np.fft.rfft(samples[0])) ** 2
            hz = np.fft.rfftfreq(samples.shape[1], 1 / 48000)
            bands = [power[(hz > f / 1.2) & (hz < f * 1.2)].mean() for f in (200, 6400)]
            return float(10 * np.log10(bands[1] / bands[0])) / 5

        assert tilt(out) == pytest.approx(-2.0, abs=0.2)
        assert out.shape == (2, 240_000)
        assert "Tonal balance brought near that of reference.wav." in result.actions

    def test_a_sound_matched_to_itself_stays_in_place(self, write):
        samples = self.tilted(-1.0, 3)[:, :100_001]
        programme = Programme.of(write(samples))
        taps = matching_filter(programme, programme.blocks, str(programme.path))
        match = SpectrumMatch(taps, 2)
        out = np.concatenate(list(run(np.array_split(samples, 9, axis=1), [match])), axis=1)
        np.testing.assert_allclose(out, samples, atol=1e-4)

    def test_what_effects_do_is_part_of_the_comparison(self, write, read, tmp_path):
        pytest.importorskip("pedalboard")
        samples = self.tilted(-1.0, 5)
        audio = write(samples)
        # A shelf that the reference does not have is taken out again.
        shelf = {"eq": [{"kind": "high_shelf", "hz": 2000, "gain_db": 6}]}
        made(audio, tmp_path / "out", reference=str(audio), effects=shelf)
        out = read(tmp_path / "out" / "master.flac")
        gain = [
            float(np.linalg.norm(np.fft.rfft(x[0])[200 * 5 : 400 * 5]))
            / float(np.linalg.norm(np.fft.rfft(x[0])[6000 * 5 : 9000 * 5]))
            for x in (samples, out)
        ]
        assert 20 * math.log10(gain[0] / gain[1]) == pytest.approx(0, abs=0.5)

    @pytest.mark.parametrize("given", ["nothing", "text", "empty", "folder", "video"])
    def test_a_reference_that_is_none_is_named(self, write, music, tmp_path, given):
        reference = tmp_path / "reference.mov"
        if given == "text":
            reference.write_text("no audio at all")
        elif given == "empty":
            reference.touch()
        elif given == "folder":
            reference.mkdir()
        elif given == "video":
            silent_film(reference)
        said = {
            "nothing": "is not there",
            "folder": "is not there",
            "video": "cannot be read as audio: .*has no audio stream",
        }.get(given, "cannot be read as audio")
        with pytest.raises(MasterError, match=rf"audio\.w64: reference: .*reference\.mov {said}"):
            made(write(music()), tmp_path / "out", reference=str(reference))
        assert not list((tmp_path / "out").iterdir())

    def test_a_silent_reference_is_refused(self, write, music, tmp_path):
        silent = write(np.zeros((2, 48000), np.float32), name="silent.wav")
        with pytest.raises(MasterError, match="is silent"):
            made(write(music()), tmp_path / "out", reference=str(silent))
