"""Effects, matching and albums: what they do is heard, and what is missing is said."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from av_pipelines.masters.album import album_loudness
from av_pipelines.masters.chain import MasterError, Programme, run
from av_pipelines.masters.master import master
from av_pipelines.masters.matching import SpectrumMatch
from av_pipelines.masters.settings import MasterSettings


def made(audio: Path, out: Path, **given: Any):
    out.mkdir(exist_ok=True)
    return master(audio, out, MasterSettings.model_validate({"formats": (), **given}))


def level(samples: np.ndarray, hz: float, rate: int = 48000) -> float:
    spectrum = np.abs(np.fft.rfft(samples[0] * np.hanning(samples.shape[1])))
    return 20 * math.log10(float(spectrum[round(hz * samples.shape[1] / rate)]) + 1e-12)


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
        assert not (tmp_path / "out" / "shaped.w64").exists()

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
        path = write(samples)
        match = SpectrumMatch(Programme.of(path), str(path))
        out = np.concatenate(list(run(np.array_split(samples, 9, axis=1), [match])), axis=1)
        np.testing.assert_allclose(out, samples, atol=1e-4)

    @pytest.mark.parametrize(
        ("content", "said"),
        [(None, "is not there"), (b"no audio at all", "holds no audio")],
    )
    def test_a_reference_that_is_none_is_named(self, write, music, tmp_path, content, said):
        reference = tmp_path / "reference.wav"
        if content:
            reference.write_bytes(content)
        with pytest.raises(MasterError, match=rf"audio\.w64: reference: .*reference\.wav {said}"):
            made(write(music()), tmp_path / "out", reference=str(reference))
        assert not list((tmp_path / "out").iterdir())

    def test_a_silent_reference_is_refused(self, write, music, tmp_path):
        silent = write(np.zeros((2, 48000), np.float32), name="silent.wav")
        with pytest.raises(MasterError, match="is silent"):
            made(write(music()), tmp_path / "out", reference=str(silent))


class TestAlbum:
    def test_all_tracks_get_one_gain_and_the_album_the_target(self, write, read, tmp_path, music):
        loud = write(music(), name="loud.w64")
        soft = write(0.3 * music(), name="soft.w64")
        album = album_loudness([loud, soft])
        given = {
            "album_lufs": album.integrated_lufs,
            "album_true_peak_dbtp": album.true_peak_dbtp,
            "target_lufs": -24,
        }
        results = [made(p, tmp_path / p.stem, **given) for p in (loud, soft)]
        assert results[0].gain_db == results[1].gain_db
        masters = [tmp_path / p.stem / "master.flac" for p in (loud, soft)]
        assert album_loudness(masters).integrated_lufs == pytest.approx(-24, abs=0.05)
        assert any("One gain for the album" in said for said in results[1].actions)

    def test_tracks_of_other_rates_and_layouts_are_measured_together(self, write, music):
        stereo = write(music(48000, 2), name="stereo.w64")
        mono = write(music(44100, 1), 44100, "mono", name="mono.w64")
        found = album_loudness([mono, stereo])
        assert found.duration_s == pytest.approx(8, abs=0.01)

    def test_no_track_is_no_album(self):
        with pytest.raises(MasterError, match="at least one track"):
            album_loudness([])

    def test_more_limiting_than_allowed_does_as_the_setting_says(self, write, music, tmp_path):
        audio = write(music())
        given = {"album_lufs": -30, "album_true_peak_dbtp": -3, "max_limiting_db": 6}
        result = made(audio, tmp_path / "out", **given, when_too_quiet="lower_target")
        assert result.gain_db == pytest.approx(8)
        with pytest.raises(MasterError, match="when_too_quiet = fail"):
            made(audio, tmp_path / "out", **given, when_too_quiet="fail")
