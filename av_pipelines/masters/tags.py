"""Tags and cover of delivered files: title and artist, ReplayGain and R128, the picture.

Here: what players show, and what they need to play a file as loud as others, by kind of file. Not
here: writing sound (``media.audio``, ``mp3``).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from av_pipelines.media.loudness import Loudness

TagStyle = Literal["vorbis", "id3", "mp4", "r128"]
"""Vorbis comments, ID3v2.4 (in WAV as a chunk), MP4 atoms, or Vorbis comments with Opus' R128 gain
(RFC 7845)."""

# Loudness that players bring files to: ReplayGain 2.0, and RFC 7845 §5.2.1 for Opus.
_REPLAY_GAIN_LUFS = -18.0
_R128_LUFS = -23.0
_R128_RANGE = 32767  # of the 16-bit number in 1/256 dB
_MAX_COVER = 10_000_000
_FRONT = 3  # kind of picture in ID3 and FLAC: front cover

# FFmpeg's name → Vorbis comment, ID3 frame, MP4 atom.
_NAMES: Mapping[str, tuple[str, str, str]] = {
    "title": ("TITLE", "TIT2", "\xa9nam"),
    "artist": ("ARTIST", "TPE1", "\xa9ART"),
    "album": ("ALBUM", "TALB", "\xa9alb"),
    "album_artist": ("ALBUMARTIST", "TPE2", "aART"),
    "composer": ("COMPOSER", "TCOM", "\xa9wrt"),
    "genre": ("GENRE", "TCON", "\xa9gen"),
    "date": ("DATE", "TDRC", "\xa9day"),
    "track": ("TRACKNUMBER", "TRCK", "trkn"),
    "disc": ("DISCNUMBER", "TPOS", "disk"),
    "comment": ("COMMENT", "COMM", "\xa9cmt"),
    "copyright": ("COPYRIGHT", "TCOP", "cprt"),
    "lyrics": ("LYRICS", "USLT", "\xa9lyr"),
    "isrc": ("ISRC", "TSRC", "----:com.apple.iTunes:ISRC"),
}


@dataclass(frozen=True)
class Cover:
    """A front cover: the bytes of a JPEG or PNG file."""

    data: bytes

    @property
    def mime(self) -> str:
        """Its media type."""
        return "image/png" if self.data.startswith(b"\x89PNG") else "image/jpeg"


def read_cover(path: Path) -> Cover | None:
    """Return the cover in an audio file; None if there is none, or none that is JPEG or PNG.

    Only the file's tags are read, by mutagen; the picture itself is not decoded.
    """
    import mutagen

    try:
        file: Any = mutagen.File(path)
    except mutagen.MutagenError:
        return None
    if file is None:
        return None
    for data in _pictures(file):
        known = data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        if known and len(data) <= _MAX_COVER:
            return Cover(data)
    return None


def _pictures(file: Any) -> list[bytes]:
    from mutagen.flac import Picture
    from mutagen.flac import error as FlacError

    found = [bytes(picture.data) for picture in getattr(file, "pictures", ())]
    tags = file.tags
    if tags is None:
        return found
    if hasattr(tags, "getall"):
        found += [bytes(frame.data) for frame in tags.getall("APIC")]
    else:
        found += [bytes(data) for data in tags.get("covr", ())]
        for text in tags.get("metadata_block_picture", ()):
            try:
                found.append(bytes(Picture(base64.b64decode(text)).data))
            except (FlacError, ValueError):
                continue
    return found


def write_tags(path: Path, style: TagStyle, tags: Mapping[str, str], cover: Cover | None) -> None:
    """Write title, artist and the like, and the cover; what a kind has no place for is left out.

    Args:
        path: the file.
        style: how.
        tags: by FFmpeg's names, such as ``{"title": "…"}``.
        cover: the picture, or None.
    """
    known = {name: tags[name] for name in _NAMES if tags.get(name)}
    if not (known or cover):
        return
    if style == "id3":
        _write_id3(path, known, cover)
    elif style == "mp4":
        _write_mp4(path, known, cover)
    else:
        _write_vorbis(path, known, cover)


def _write_id3(path: Path, tags: Mapping[str, str], cover: Cover | None) -> None:
    import mutagen.id3

    frames = _id3(path)
    for name, value in tags.items():
        kind = getattr(mutagen.id3, _NAMES[name][1])
        extra = {"lang": "und", "desc": ""} if name in ("comment", "lyrics") else {}
        text = value if name == "lyrics" else [value]
        frames.add(kind(encoding=3, text=text, **extra))
    if cover:
        frames.add(
            mutagen.id3.APIC(
                encoding=3, mime=cover.mime, type=_FRONT, desc="Cover", data=cover.data
            )
        )
    frames.save(path)


def _id3(path: Path) -> Any:
    import mutagen.id3
    import mutagen.wave

    if path.suffix == ".wav":
        file: Any = mutagen.wave.WAVE(path)
        if file.tags is None:
            file.add_tags()
        return file.tags
    try:
        return mutagen.id3.ID3(path)
    except mutagen.id3.ID3NoHeaderError:
        return mutagen.id3.ID3()


def can_hold_tags(path: Path) -> bool:
    """Tell whether a file has a place for tags: WAV over 4 GiB (RF64) has none agreed on."""
    with path.open("rb") as file:
        return file.read(4) != b"RF64"


def _write_mp4(path: Path, tags: Mapping[str, str], cover: Cover | None) -> None:
    import mutagen.mp4

    file = mutagen.mp4.MP4(path)
    for name, value in tags.items():
        atom = _NAMES[name][2]
        if name in ("track", "disc"):
            numbers = [int(part) for part in value.split("/") if part.strip().isdigit()]
            if numbers and max(numbers) < 2**16:
                file[atom] = [(*numbers, 0)[:2]]
        elif atom.startswith("----"):
            file[atom] = [mutagen.mp4.MP4FreeForm(value.encode())]
        else:
            file[atom] = [value]
    if cover:
        png = cover.mime == "image/png"
        kind = mutagen.mp4.MP4Cover.FORMAT_PNG if png else mutagen.mp4.MP4Cover.FORMAT_JPEG
        file["covr"] = [mutagen.mp4.MP4Cover(cover.data, kind)]
    file.save()


def _write_vorbis(path: Path, tags: Mapping[str, str], cover: Cover | None) -> None:
    from mutagen.flac import Picture

    file = _vorbis(path)
    for name, value in tags.items():
        file[_NAMES[name][0]] = [value]
    if cover:
        picture = Picture()
        picture.data, picture.type, picture.mime = cover.data, _FRONT, cover.mime
        if path.suffix == ".flac":
            file.add_picture(picture)
        else:
            text = base64.b64encode(picture.write()).decode("ascii")
            file["METADATA_BLOCK_PICTURE"] = [text]
    file.save()


def _vorbis(path: Path) -> Any:
    import mutagen.flac
    import mutagen.oggopus
    import mutagen.oggvorbis

    kinds: Mapping[str, Any] = {
        ".flac": mutagen.flac.FLAC,
        ".ogg": mutagen.oggvorbis.OggVorbis,
        ".opus": mutagen.oggopus.OggOpus,
    }
    return kinds[path.suffix](path)


def write_replay_gain(
    path: Path,
    style: TagStyle,
    loudness: Loudness,
    album: tuple[float, float] | None = None,
) -> None:
    """Add gain and peak of track and album to a file; nothing for silence.

    Args:
        path: the file.
        style: ReplayGain 2.0 as Vorbis comments, ID3 ``TXXX`` or MP4 free-form atoms; or Opus'
            ``R128_TRACK_GAIN`` and ``R128_ALBUM_GAIN`` (RFC 7845).
        loudness: as measured on the file.
        album: loudness in LUFS and true peak in dBTP of the album it is a track of, or None.
    """
    if not math.isfinite(loudness.integrated_lufs):
        return
    import mutagen.id3
    import mutagen.mp4

    levels = {"track": (loudness.integrated_lufs, loudness.true_peak_dbtp)}
    if album:
        levels["album"] = (album[0], max(album[1], loudness.true_peak_dbtp))
    named = {}
    for what, (lufs, dbtp) in levels.items():
        if style == "r128":
            steps = round(256 * (_R128_LUFS - lufs))
            named[f"R128_{what.upper()}_GAIN"] = str(max(-_R128_RANGE, min(_R128_RANGE, steps)))
        else:
            named[f"replaygain_{what}_gain"] = f"{_REPLAY_GAIN_LUFS - lufs:.2f} dB"
            named[f"replaygain_{what}_peak"] = f"{10 ** (dbtp / 20):.6f}"
    if style == "id3":
        frames = _id3(path)
        for name, value in named.items():
            frames.add(mutagen.id3.TXXX(encoding=3, desc=name, text=[value]))
        frames.save(path)
        return
    if style == "mp4":
        file: Any = mutagen.mp4.MP4(path)
        for name, value in named.items():
            file[f"----:com.apple.iTunes:{name}"] = [mutagen.mp4.MP4FreeForm(value.encode())]
    else:
        file = _vorbis(path)
        file.update({name.upper(): [value] for name, value in named.items()})
    file.save()
