"""Which files are opened at all, and what they say about themselves.

Here: the allow-lists of FFmpeg's demuxers and decoders, opening, the description of the streams,
the choice of the best ones, and the limits that a header alone can break. Not here: reading
packets (``passes``), measuring (``tally``), judging (``verdict``).

Nothing but the one open file can be read: FFmpeg gets a file descriptor, and ``fd`` is the only
protocol it may use, so what a container names (playlists, external tracks) is out of reach.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import av
import av.logging
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError
from av.stream import DataStream, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from av_pipelines.intake.blocks import layout_name
from av_pipelines.intake.lengths import declared_share
from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.text import clean, clean_tags
from av_pipelines.settings import SettingsError

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.stream import Stream

DEMUXERS = tuple(
    """
    mov matroska webm avi flv asf mpegts mpeg mxf dv ivf nut
    wav w64 aiff caf au flac mp3 ogg aac loas ac3 eac3 dts dtshd mlp truehd amr amrnb amrwb
    wv ape tta tak mpc mpc8 dsf iff voc sox
    """.split()  # noqa: SIM905 - to be read as a table
)
"""Containers of real media. No playlists, image sequences, devices or filter graphs."""

DECODERS = frozenset(
    """
    h264 hevc vvc av1 libdav1d vp3 vp5 vp6 vp6a vp6f vp8 vp9 libvpx libvpx-vp9 theora
    mpeg1video mpeg2video mpeg4 msmpeg4v1 msmpeg4v2 msmpeg4 wmv1 wmv2 wmv3 vc1 h261 h263 h263i
    flv flashsv flashsv2 mjpeg mjpegb png jpeg2000 prores dnxhd cfhd dvvideo ffv1 huffyuv ffvhuff
    utvideo magicyuv lagarith rawvideo v210 v410 r210 qtrle rpza cinepak svq1 svq3 indeo3 indeo5
    msvideo1 msrle hap
    aac aac_latm mp1 mp1float mp2 mp2float mp3 mp3float ac3 eac3 dca mlp truehd vorbis opus libopus
    flac alac als wavpack ape tta tak wmav1 wmav2 wmapro wmalossless wmavoice amrnb amrwb
    libopencore_amrnb libopencore_amrwb speex libspeex nellymoser gsm gsm_ms mpc7 mpc8
    adpcm_ms adpcm_ima_wav adpcm_ima_qt adpcm_swf adpcm_yamaha g722 g726 g726le s302m
    dsd_lsbf dsd_msbf dsd_lsbf_planar dsd_msbf_planar
    pcm_alaw pcm_mulaw pcm_bluray pcm_dvd pcm_u8 pcm_s8 pcm_s8_planar
    pcm_s16le pcm_s16be pcm_u16le pcm_u16be pcm_s16le_planar pcm_s16be_planar
    pcm_s24le pcm_s24be pcm_u24le pcm_u24be pcm_s24le_planar pcm_s24daud
    pcm_s32le pcm_s32be pcm_u32le pcm_u32be pcm_s32le_planar pcm_s64le pcm_s64be
    pcm_f16le pcm_f24le pcm_f32le pcm_f32be pcm_f64le pcm_f64be
    """.split()  # noqa: SIM905 - to be read as a table
)
"""Decoders that may run, by FFmpeg's names."""

_NOT_LISTED = "Format not on whitelist"
_PLAYLISTS = frozenset({"concat", "hls", "dash", "imf", "sdp", "rtsp", "image2", "lavfi"})

# These have a length in their header. That of the others FFmpeg reckons from what the file holds.
_DECLARING = frozenset(
    {"mov", "matroska", "webm", "wav", "w64", "aiff", "caf", "au", "flac", "mp3", "avi", "flv"}
    | {"asf", "ape", "wv", "tta", "tak", "mpc", "mpc8", "mxf", "dsf", "ivf"}
)
_ESTIMATED = "Estimating duration from bitrate"

_MATROSKA_END = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,9})?)")
_MAX_CHAPTERS = 1000

# Sound beside the programme: commentary, description for the blind, music and effects …
_SECONDARY = frozenset(
    {"comment", "lyrics", "karaoke", "hearing_impaired", "visual_impaired"}
    | {"descriptions", "clean_effects"}
)
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

Kind = Literal["video", "audio", "subtitle", "data", "attachment", "unknown"]


@dataclass(frozen=True)
class StreamInfo:
    """What the header says of a stream; None where it says nothing.

    ``decodable``: there is a decoder for it and it is on the list. ``duration_s`` is the length
    that the header declares for this stream. ``attached_picture``: a cover, not a film.
    """

    index: int
    type: Kind
    codec: str | None
    decodable: bool
    profile: str | None
    time_base: Fraction | None
    start_s: float | None
    duration_s: float | None
    language: str | None
    title: str | None
    dispositions: tuple[str, ...]
    attached_picture: bool
    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    sample_aspect_ratio: str | None = None
    fps: Fraction | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    layout: str | None = None
    sample_format: str | None = None


@dataclass(frozen=True)
class Media:
    """An opened file as its header describes it.

    ``declared_s`` is the length the container declares in seconds, None where it declares none or
    FFmpeg had to estimate it. ``video`` and ``audio`` are the indices of the chosen streams.
    """

    container: str
    size: int
    declared_s: float | None
    start_s: float
    streams: tuple[StreamInfo, ...]
    video: int | None
    audio: int | None
    tags: dict[str, str]
    chapters: tuple[dict[str, Any], ...]


def open_media(
    fd: int, settings: SourceSettings, audio: AudioSettings
) -> tuple[InputContainer, Media]:
    """Open a file from outside and describe it; nothing is decoded beyond FFmpeg's probing.

    Args:
        fd: a regular file, open for reading.
        settings: the limits.
        audio: which audio stream is wanted.

    Returns:
        The container, to be closed by the caller, and its description.

    Raises:
        Refused: not media, not an allowed container, no stream to decode, or beyond a limit.
        SettingsError: the audio stream asked for is not there.
    """
    options = {
        "fd": str(fd),
        "protocol_whitelist": "fd",
        "format_whitelist": ",".join(DEMUXERS),
        "codec_whitelist": ",".join(DECODERS),
        "max_pixels": str(settings.max_pixels),
    }
    os.lseek(fd, 0, os.SEEK_SET)
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as logs:
            try:
                container = av.open("fd:", options=options, metadata_errors="replace")
            except FFmpegError as error:
                raise _unopened(error, logs) from None
    finally:
        av.logging.set_level(None)  # decoder threads must not wait for Python to log
    try:
        estimated = any(_ESTIMATED in message for _, _, message in logs)
        media = _describe(container, fd, audio, estimated=estimated)
        _check(media, settings)
    except BaseException:
        container.close()
        raise
    return container, media


def decoder_options(settings: SourceSettings) -> dict[str, str]:
    """Options for every decoder that is opened: the limits that FFmpeg itself enforces."""
    return {"max_pixels": str(settings.max_pixels), "codec_whitelist": ",".join(DECODERS)}


# ---------------------------------------------------------------------- opening


def _unopened(error: FFmpegError, logs: Iterable[tuple[int, str, str]]) -> Exception:
    """Say in words why FFmpeg did not open a file."""
    if isinstance(error, MemoryError):
        return error
    said = [(name.split(",")[0], clean(message)) for _, name, message in logs]
    detail = "\n".join(f"[{name}] {message}" for name, message in said) or str(error)
    if not said:
        return Refused("is not recognised as any kind of audio or video", detail)
    name, message = said[-1]
    if "m3u8" in message:
        name, message = "hls", _NOT_LISTED
    if _NOT_LISTED not in message:
        if "moov atom not found" in message:
            message = "the index is missing, most likely with the end of the file (no moov atom)"
        return Refused(f"cannot be opened as {name or 'media'}: {message}", detail)
    if name in _PLAYLISTS:
        return Refused(
            f"is not media but a list of other files or addresses ({name}); none was opened", detail
        )
    return Refused(f"is a kind of file that is not taken here ({name})", detail)


# ---------------------------------------------------------------------- describing


def _describe(
    container: InputContainer, fd: int, audio: AudioSettings, *, estimated: bool
) -> Media:
    streams = tuple(_stream(s) for s in container.streams)
    names = container.format.name.split(",")
    declares = not estimated and bool(_DECLARING.intersection(names))
    share = declared_share(fd)
    length = None if container.duration is None else container.duration / av.time_base
    if share is not None and length is not None:
        # The header's own count of bytes, where FFmpeg reports only what is there.
        length, declares = length / share, True
    elif not declares:
        length = None
    if not declares or share is not None:
        streams = tuple(replace(s, duration_s=None) for s in streams)
    tags = clean_tags(dict(container.metadata))
    if names[0] == "ogg":  # keeps its tags on the streams
        for stream in container.streams:
            tags = {**clean_tags(dict(stream.metadata)), **tags}
    return Media(
        container=names[0],
        size=os.fstat(fd).st_size,
        declared_s=length if length and length > 0 else None,
        start_s=(container.start_time or 0) / av.time_base,
        streams=streams,
        video=_best_video(streams),
        audio=_best_audio(streams, audio),
        tags=tags,
        chapters=tuple(_chapters(container)),
    )


def _stream(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    flags = stream.disposition
    common: dict[str, Any] = {
        "index": stream.index,
        "type": stream.type,
        "codec": _codec_name(stream),
        "decodable": _decodable(context),
        "profile": clean(context.profile or "", 40) or None if context is not None else None,
        "time_base": stream.time_base,
        "start_s": _seconds(stream.start_time, stream.time_base),
        "duration_s": None if flags & _PICTURES else _declared(stream),
        "language": _language(stream),
        "title": clean(stream.metadata.get("title", "")) or None,
        "dispositions": tuple(d.name for d in Disposition if d in flags and d.name),
        "attached_picture": bool(flags & _PICTURES),
    }
    if isinstance(context, VideoCodecContext) and isinstance(stream, VideoStream):
        ratio = stream.sample_aspect_ratio
        return StreamInfo(
            **common,
            width=context.width or None,
            height=context.height or None,
            pixel_format=context.pix_fmt,
            sample_aspect_ratio=f"{ratio.numerator}:{ratio.denominator}" if ratio else None,
            fps=stream.guessed_rate or stream.average_rate,
        )
    if isinstance(context, AudioCodecContext):
        return StreamInfo(
            **common,
            sample_rate_hz=context.sample_rate,
            channels=context.channels,
            layout=layout_name(context.layout),
            sample_format=context.format.name.removesuffix("p") if context.format else None,
        )
    return StreamInfo(**common)


def _decodable(context: CodecContext | None) -> bool:
    return context is not None and context.type in ("video", "audio") and context.name in DECODERS


def _language(stream: Stream) -> str | None:
    name = clean(stream.metadata.get("language", ""), 40)
    return name if name and name != "und" else None


def _codec_name(stream: Stream) -> str | None:
    if stream.codec_context is not None:
        # The standard's name (mp3), not the decoder's (mp3float).
        return stream.codec_context.codec.canonical_name
    name = stream.name if isinstance(stream, DataStream) else None
    return name and clean(name, 40)


def _seconds(ticks: int | None, base: Fraction | None) -> float | None:
    return None if ticks is None or base is None else float(ticks * base)


def _declared(stream: Stream) -> float | None:
    """Length a stream's own header declares; Matroska has it as a tag with the time of its end."""
    length = _seconds(stream.duration, stream.time_base)
    if length is None:
        match = _MATROSKA_END.fullmatch(stream.metadata.get("DURATION", ""))
        if match:
            hours, minutes, seconds = match.groups()
            length = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            length -= max(_seconds(stream.start_time, stream.time_base) or 0.0, 0.0)
    return length if length and length > 0 else None


def _chapters(container: InputContainer) -> Iterator[dict[str, Any]]:
    for chapter in container.chapters()[:_MAX_CHAPTERS]:
        base = chapter["time_base"]
        start, end = (_seconds(chapter[edge], base) for edge in ("start", "end"))
        title = clean(chapter["metadata"].get("title", ""))
        yield {"start_s": start, "end_s": end, "title": title or None}


# ---------------------------------------------------------------------- choosing and checking


def _best_video(streams: Iterable[StreamInfo]) -> int | None:
    """Choose the default film, else the largest picture, else the first."""
    films = [s for s in streams if s.type == "video" and s.decodable and not s.attached_picture]
    if not films:
        return None
    return max(
        films,
        key=lambda s: ("default" in s.dispositions, (s.width or 0) * (s.height or 0), -s.index),
    ).index


def _best_audio(streams: Sequence[StreamInfo], wanted: AudioSettings) -> int | None:
    """Choose the one asked for, else the default programme, else most channels, else the first."""
    sounds = [s for s in streams if s.type == "audio"]
    if wanted.stream is not None:
        if wanted.stream not in {s.index for s in sounds}:
            there = ", ".join(str(s.index) for s in sounds) or "none"
            raise SettingsError(
                f"audio.stream = {wanted.stream}: the file has no such audio stream; "
                f"its audio streams are: {there}"
            )
        return wanted.stream if streams[wanted.stream].decodable else None
    sounds = [s for s in sounds if s.decodable]
    if not sounds:
        return None
    return max(
        sounds,
        key=lambda s: (
            _SECONDARY.isdisjoint(s.dispositions),
            "default" in s.dispositions,
            s.channels or 0,
            -s.index,
        ),
    ).index


def _check(media: Media, settings: SourceSettings) -> None:
    """Refuse what breaks a limit by its header alone, before anything is decoded."""
    if media.video is None and media.audio is None:
        raise Refused(_nothing_to_decode(media))
    if len(media.streams) > settings.max_streams:
        raise Refused(
            f"has {len(media.streams)} streams; allowed are {settings.max_streams} "
            "(source.max_streams)"
        )
    if media.declared_s is not None:
        check_duration(media.declared_s, settings)
    if media.video is not None:
        film = media.streams[media.video]
        check_picture(film.index, film.width or 0, film.height or 0, settings)
    if media.audio is not None:
        sound = media.streams[media.audio]
        # FFmpeg may learn rate and channels only from the first packets; 0 is "not yet".
        if sound.sample_rate_hz and sound.channels:
            check_sound(sound.index, sound.sample_rate_hz, sound.channels, settings)


def _nothing_to_decode(media: Media) -> str:
    films = [s for s in media.streams if s.type in ("video", "audio") and not s.attached_picture]
    if not films:
        return "holds neither audio nor video"
    named = ", ".join(f"{s.type} stream {s.index} ({s.codec or 'unknown codec'})" for s in films)
    return f"holds nothing that can be decoded here: {named}"


def check_duration(seconds: float, settings: SourceSettings) -> None:
    """Refuse what is too long."""
    if seconds > settings.max_duration_s:
        raise Refused(
            f"is {seconds:.0f} s long; allowed are {settings.max_duration_s:.0f} s "
            "(source.max_duration_s)"
        )


def check_picture(stream: int, width: int, height: int, settings: SourceSettings) -> None:
    """Refuse frames that are too large."""
    if width * height > settings.max_pixels:
        raise Refused(
            f"video stream {stream} has frames of {width}x{height} pixels; allowed are "
            f"{settings.max_pixels} pixels in all (source.max_pixels)"
        )


def check_sound(stream: int, rate: int, channels: int, settings: SourceSettings) -> None:
    """Refuse sample rates and channel counts out of range."""
    low, high = settings.min_sample_rate_hz, settings.max_sample_rate_hz
    if not low <= rate <= high:
        raise Refused(
            f"audio stream {stream} claims a sample rate of {rate} Hz; allowed are {low} to "
            f"{high} Hz (source.min_sample_rate_hz, source.max_sample_rate_hz)"
        )
    if not 1 <= channels <= settings.max_channels:
        raise Refused(
            f"audio stream {stream} has {channels} channels; allowed are 1 to "
            f"{settings.max_channels} (source.max_channels)"
        )
