"""Which rate and layout each format gets, and what its encoder is told."""

from __future__ import annotations

import pytest

from av_pipelines.masters.formats import FORMATS, FormatName
from av_pipelines.masters.settings import MasterSettings


@pytest.mark.parametrize(
    ("name", "rate", "delivered"),
    [
        ("flac", 192000, 192000),
        ("wav", 22050, 22050),
        ("mp3", 44100, 44100),
        ("mp3", 10000, 11025),
        ("mp3", 96000, 48000),
        ("mp3", 176400, 44100),
        ("m4a", 192000, 96000),
        ("opus", 44100, 48000),
    ],
)
def test_a_rate_a_format_cannot_hold_becomes_the_nearest_that_it_can(
    name: FormatName, rate: int, delivered: int
):
    assert FORMATS[name].rate_for(rate) == delivered


@pytest.mark.parametrize(
    ("name", "layout", "channels", "delivered"),
    [
        ("flac", "7.1", 8, "7.1"),
        ("mp3", "mono", 1, "mono"),
        ("mp3", "5.1(side)", 6, "stereo"),
        ("m4a", "5.1(side)", 6, "5.1"),
        ("m4a", "7.1(wide)", 8, "5.1"),
        ("opus", "2.1", 3, "stereo"),
        ("ogg", "mono", 1, "stereo"),
    ],
)
def test_a_layout_a_format_cannot_hold_becomes_a_simpler_one(
    name: FormatName, layout: str, channels: int, delivered: str
):
    assert FORMATS[name].layout_for(layout, channels) == delivered


def test_bit_rates_are_for_stereo_and_shared_out_by_channels():
    settings = MasterSettings(mp3_kbps=192, m4a_kbps=128, opus_kbps=96)
    assert FORMATS["mp3"].encoding(settings, 1).bit_rate == 96_000
    assert FORMATS["m4a"].encoding(settings, 6).bit_rate == 384_000
    assert FORMATS["opus"].encoding(settings, 2).bit_rate == 96_000


def test_wav_comes_in_three_depths():
    codecs = [
        FORMATS["wav"].encoding(MasterSettings(wav_bits=bits), 2).codec for bits in (16, 24, 32)
    ]
    assert codecs == ["pcm_s16le", "pcm_s24le", "pcm_f32le"]


def test_a_variable_bit_rate_has_a_quality_instead():
    encoding = FORMATS["mp3"].encoding(MasterSettings(mp3_mode="vbr", mp3_vbr_quality=2), 2)
    assert (encoding.bit_rate, encoding.vbr_quality) == (None, 2)
