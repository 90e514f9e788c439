"""The sound that is taken: sample for sample what is in the file."""

from __future__ import annotations

import json
import math
from typing import Any

import av
import numpy as np
import pytest

RNG = np.random.default_rng(7)


def noise(dtype: str, shape: tuple[int, int]) -> np.ndarray:
    """Every kind of sample value, with the extremes."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return RNG.uniform(-1.5, 1.5, shape).astype(kind)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    samples = RNG.integers(low, high, shape, kind, endpoint=True)
    samples[:, :2] = low, high
    return samples


def decoded(path: Any) -> np.ndarray:
    """All samples of a file as FFmpeg gives them: (channels, samples)."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        channels = container.streams.audio[0].channels
    whole = np.concatenate(frames, axis=1)
    return whole if whole.shape[0] == channels else whole.reshape(-1, channels).T


@pytest.mark.parametrize(
    ("dtype", "file", "bits"),
    [
        ("<i2", "audio.flac", 16),
        ("<i4", "audio.w64", 32),
        ("<f4", "audio.w64", 32),
        ("<f8", "audio.w64", 64),
    ],
)
def test_recorded_samples_are_kept_bit_by_bit(
    dtype: str, file: str, bits: int, make: Any, take: Any
) -> None:
    samples = noise(dtype, (2, 30_000))
    taken = take(make.wav("noise.wav", samples, rate=44100))
    assert (taken.audio["file"], taken.audio["bit_depth"]) == (file, bits)
    assert np.array_equal(decoded(taken.audio_path), samples)
    assert taken.report.degraded is None


def test_8_bit_samples_are_exact_in_16(make: Any, take: Any) -> None:
    samples = noise("u1", (1, 9_000))
    taken = take(make.wav("old.wav", samples))
    assert taken.audio["bit_depth"] == 16
    assert np.array_equal(taken.samples() * 128, samples.astype(np.float32) - 128)


def test_24_bit_samples_are_exact_in_a_24_bit_flac(make: Any, take: Any) -> None:
    samples = RNG.integers(-(2**23), 2**23, (2, 30_000), np.int32)
    samples[:, :2] = -(2**23), 2**23 - 1
    low_bytes = samples.astype("<i4")[..., None].view(np.uint8)[..., :3]
    taken = take(make.wav("studio.wav", low_bytes, rate=96000))
    assert (taken.audio["file"], taken.audio["bit_depth"]) == ("audio.flac", 24)
    assert np.array_equal(taken.samples() * 2**23, samples)


def test_a_32_bit_file_that_turns_out_to_need_all_bits_late_loses_nothing(
    make: Any, take: Any
) -> None:
    samples = noise("<i4", (1, 60_000)) & ~0xFF
    samples[0, 50_000] |= 1
    taken = take(make.wav("late.wav", samples, rate=8000))
    assert taken.audio["file"] == "audio.w64"
    assert np.array_equal(decoded(taken.audio_path), samples)
    assert not (taken.folder / "audio" / "audio.flac").exists()


def test_six_channels_stay_apart_and_in_order(make: Any, take: Any) -> None:
    samples = noise("<i2", (6, 20_000))
    taken = take(make.mux("surround.mkv", make.sound(samples, codec="pcm_s16le")))
    assert (taken.audio["channels"], taken.audio["layout"]) == (6, "5.1")
    assert taken.audio["codec"] == "flac"
    assert np.array_equal(taken.samples() * 32768, samples)


def test_what_flac_has_no_place_for_goes_into_w64(make: Any, take: Any) -> None:
    many_channels = noise("<i2", (24, 5_000))
    odd_rate = noise("<i2", (1, 5_000))
    for name, samples, rate in (("a.wav", many_channels, 48000), ("b.wav", odd_rate, 66_001)):
        taken = take(make.wav(name, samples, rate=rate))
        assert (taken.audio["file"], taken.audio["bit_depth"]) == ("audio.w64", 16)
        assert taken.audio["sample_rate_hz"] == rate
        assert np.array_equal(decoded(taken.audio_path), samples)


def test_a_lossy_codec_below_full_scale_becomes_24_bit_flac(make: Any, take: Any) -> None:
    path = make.mux("soft.m4a", make.sound(make.tone(2, 48000, 2)))
    taken = take(path)
    assert (taken.audio["file"], taken.audio["bit_depth"]) == ("audio.flac", 24)
    assert np.abs(taken.samples() - decoded(path)).max() <= 2.0**-24


def test_a_lossy_codec_beyond_full_scale_is_not_clipped(make: Any, take: Any) -> None:
    """Clipped music comes out of a decoder with peaks above full scale."""
    loud = np.sign(make.tone(4, 48000, 2)) * np.linspace(0.1, 1, 4 * 48000) * 32767
    path = make.mux("loud.mp3", make.sound(loud.astype(np.int16), codec="libmp3lame"))
    expected = decoded(path)
    taken = take(path)
    assert np.abs(expected).max() > 1.0
    assert (taken.audio["file"], taken.audio["codec"]) == ("audio.w64", "pcm_f32le")
    assert np.abs(taken.samples() - expected).max() <= 2.0**-24
    assert taken.audio["sample_peak_dbfs"] > 0


def test_nan_and_infinity_become_silence_and_are_told(make: Any, take: Any) -> None:
    samples = noise("<f4", (2, 20_000))
    samples[0, 100], samples[1, 200:203] = np.nan, (np.inf, -np.inf, 1e20)
    taken = take(make.wav("broken.wav", samples, rate=44100))
    expected = samples.copy()
    expected[0, 100] = expected[1, 200:203] = 0
    assert np.array_equal(taken.samples(), expected)
    assert "4 samples of its audio are no numbers" in taken.report.degraded
    assert math.isfinite(taken.audio["integrated_lufs"])


def test_a_rate_and_channels_that_change_are_converted_and_told(make: Any, take: Any) -> None:
    first = make.mux("1.aac", make.sound(make.tone(2, 44100, 2), rate=44100))
    second = make.mux("2.aac", make.sound(make.tone(2, 22050, 1), rate=22050))
    both = make.folder / "both.aac"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    taken = take(both)
    assert (taken.audio["sample_rate_hz"], taken.audio["channels"]) == (44100, 2)
    assert taken.audio["duration_s"] == pytest.approx(4.0, abs=0.15)
    assert "changes sample rate or channels 1 times" in taken.report.degraded
    changes = taken.probe["streams"][0]["format_changes"]
    assert changes["first"][0]["what"] == "22050 Hz, 1 channels from here on"


def test_a_gap_is_closed_and_named(make: Any, take: Any) -> None:
    tone = make.tone(1, 48000, 1)
    one = make.sound(tone, codec="pcm_s16le")
    path = make.mux("gap.mkv", one)
    with av.open(str(path)) as source, av.open(str(make.folder / "hole.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None and not 400 <= packet.pts < 700:
                packet.stream = stream
                out.mux(packet)
    taken = take(make.folder / "hole.mkv")
    gaps = taken.probe["streams"][0]["gaps"]
    assert gaps["count"] == 1
    assert gaps["first"][0]["at_s"] == pytest.approx(0.4, abs=0.03)
    assert taken.audio["duration_s"] == pytest.approx(0.7, abs=0.03)
    assert "1 gaps, 0.3 s in all" in taken.report.degraded


@pytest.mark.parametrize(("rate", "measured"), [(8000, True), (4000, False)])
def test_telephone_rates_are_kept(rate: int, measured: bool, make: Any, take: Any) -> None:
    taken = take(make.wav("phone.wav", make.tone(1, rate, 1), rate=rate))
    assert taken.audio["sample_rate_hz"] == rate
    # The loudness filter is not defined below 8 kHz.
    assert (taken.audio["integrated_lufs"] is not None) == measured
    assert (taken.folder / "audio" / "loudness.json").exists() == measured


def test_loudness_is_that_of_the_sound(make: Any, take: Any) -> None:
    """EBU Tech 3341, case 1: a stereo tone at -23 dBFS reads -23 LUFS."""
    t = np.arange(48000 * 4) / 48000
    tone = np.round(np.sin(2 * np.pi * 1000 * t) * 10 ** (-23 / 20) * 32767).astype(np.int16)
    taken = take(make.wav("ebu.wav", np.stack([tone, tone]), rate=48000))
    assert taken.audio["integrated_lufs"] == pytest.approx(-23.0, abs=0.1)
    stored = json.loads((taken.folder / "audio" / "loudness.json").read_text("utf-8"))
    assert stored["integrated_lufs"] == taken.audio["integrated_lufs"]
    assert len(stored["curve"]["lufs"]) == len(stored["curve"]["times_s"]) == 40


def test_a_decoder_s_priming_and_padding_are_left_out(make: Any, take: Any) -> None:
    tone = make.tone(1, 44100, 1)
    taken = take(make.mux("exact.mp3", make.sound(tone, codec="libmp3lame", rate=44100)))
    assert taken.audio["samples"] == 44100
    assert taken.source["duration_s"] == 1.0
