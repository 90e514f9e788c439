"""The formats a master is delivered in: one table.

Here: for each format its suffix, encoder, container options, and which sample rates and channel
layouts it can hold. A new format is a row here and, where it has a bit rate, a setting. Not here:
writing the files (``delivery``), tags (``tags``).

What a format cannot hold is converted before gain and limiter, rates by soxr and layouts by FFmpeg,
so that the target and the ceiling hold for the converted sound: MP3 holds mono and stereo to
48 kHz, AAC and Opus to 7.1, Opus 48 kHz only, FFmpeg's Vorbis encoder stereo only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from av_pipelines.masters.settings import FormatName, MasterSettings
from av_pipelines.masters.tags import TagStyle

MAX_FLAC_CHANNELS = 8
MAX_FLAC_RATE = 655_350


@dataclass(frozen=True)
class Encoding:
    """How one file is encoded: FFmpeg's encoder and what it is told.

    Attributes:
        codec: FFmpeg's name of the encoder.
        bits: of integer samples; None for float samples and lossy codecs.
        bit_rate: in bit/s, for codecs that have one.
        vbr_quality: of LAME, where there is no bit rate.
        options: of the encoder.
    """

    codec: str
    bits: int | None = None
    bit_rate: int | None = None
    vbr_quality: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: of the file, with dot.
        encoding: settings and number of channels → how to encode.
        tags: how it holds title, artist and the gain for even loudness; see ``tags``.
        lossless: the samples come back as they went in (but for the bit depth).
        rates: sample rates it holds, in Hz, ascending; None: any.
        layouts: FFmpeg's names of the channel layouts it holds; None: any.
        container_options: for FFmpeg's muxer.
        headroom_db: how far under the ceiling its encoder is fed at first, because decoding raises
            the peaks: about what it takes to encode most music once only.
    """

    suffix: str
    encoding: Callable[[MasterSettings, int], Encoding]
    tags: TagStyle
    lossless: bool = False
    rates: tuple[int, ...] | None = None
    layouts: tuple[str, ...] | None = None
    container_options: Mapping[str, str] = field(default_factory=dict)
    headroom_db: float = 0.0

    @property
    def file_name(self) -> str:
        """Name of the delivered file."""
        return f"master{self.suffix}"

    def rate_for(self, sample_rate: int) -> int:
        """Return the rate to deliver a programme at: its own if possible, else the next above.

        Above the highest rate: the highest that divides the programme's, so that 176.4 kHz becomes
        44.1 and 192 kHz becomes 48.
        """
        if self.rates is None or sample_rate in self.rates:
            return sample_rate
        above = [rate for rate in self.rates if rate > sample_rate]
        if above:
            return above[0]
        dividing = [rate for rate in self.rates if sample_rate % rate == 0]
        return dividing[-1] if dividing else self.rates[-1]

    def layout_for(self, layout: str, channels: int) -> str:
        """Return the layout to deliver a programme in: its own if possible, else a simpler one."""
        if self.layouts is None or layout in self.layouts:
            return layout
        plain = layout.removesuffix("(side)")
        if plain in self.layouts:
            return plain
        simpler = {1: "mono", 2: "stereo", 6: "5.1"}
        held = [n for n, name in simpler.items() if name in self.layouts and n <= channels]
        # Mono to a format without mono: the same sound on both channels.
        return simpler[max(held)] if held else "stereo"


def _share(kbps: int, channels: int) -> int:
    """Bit rate in bit/s for a number of channels, from one in kbit/s for two."""
    return round(kbps * 1000 * channels / 2)


def _flac(settings: MasterSettings, _channels: int) -> Encoding:
    return Encoding("flac", bits=settings.flac_bits)


def _wav(settings: MasterSettings, _channels: int) -> Encoding:
    if settings.wav_bits == 32:
        return Encoding("pcm_f32le")
    return Encoding(f"pcm_s{settings.wav_bits}le", bits=settings.wav_bits)


def _mp3(settings: MasterSettings, channels: int) -> Encoding:
    if settings.mp3_mode == "vbr":
        return Encoding("lame", vbr_quality=settings.mp3_vbr_quality)
    return Encoding("lame", bit_rate=max(32_000, _share(settings.mp3_kbps, channels)))


def _m4a(settings: MasterSettings, channels: int) -> Encoding:
    # FFmpeg's developers on its encoder (commit fcb681ac): at higher bit rates ``twoloop`` "sounds
    # worse than the fast coder" and takes much longer.
    coder = "fast" if settings.m4a_kbps >= _FAST_AAC_KBPS else "twoloop"
    share = _share(settings.m4a_kbps, channels)
    return Encoding("aac", bit_rate=share, options={"aac_coder": coder})


def _ogg(settings: MasterSettings, _channels: int) -> Encoding:
    # FFmpeg's own Vorbis encoder, which it calls experimental; 118 is FFmpeg's unit of quality.
    quality = str(118 * settings.ogg_quality)
    return Encoding(
        "vorbis", options={"strict": "-2", "flags": "+qscale", "global_quality": quality}
    )


_FAST_AAC_KBPS = 128  # for two channels


def _opus(settings: MasterSettings, channels: int) -> Encoding:
    share = _share(settings.opus_kbps, channels)
    return Encoding("libopus", bit_rate=min(max(6_000, share), 256_000 * channels))


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_RATES = (7350, *_MP3_RATES, 64000, 88200, 96000)

FORMATS: Mapping[FormatName, Format] = {
    "flac": Format(".flac", _flac, "vorbis", lossless=True),
    # RF64 over 4 GiB, which then has no tags.
    "wav": Format(".wav", _wav, "id3", lossless=True, container_options={"rf64": "auto"}),
    "mp3": Format(
        ".mp3",
        _mp3,
        "id3",
        rates=_MP3_RATES,
        layouts=("mono", "stereo"),
        headroom_db=0.6,
    ),
    "m4a": Format(
        ".m4a",
        _m4a,
        "mp4",
        rates=_AAC_RATES,
        layouts=("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"),
        headroom_db=0.7,
    ),
    "ogg": Format(".ogg", _ogg, "vorbis", layouts=("stereo",), headroom_db=0.8),
    "opus": Format(
        ".opus",
        _opus,
        "r128",
        rates=(48000,),
        layouts=("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"),
        headroom_db=1.0,
    ),
}
"""All formats by the name they have in the settings."""
