"""Hostile files by the thousand: good media spoilt by a seeded chance, and bombs.

The same seed and number always give the same file. Here: making them. Not here: what is done with
them (``test_hostile``, ``tests.benchmarks.hostile``).
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.intake.conftest import Make

SUFFIXES = ("wav", "flac", "mp3", "m4a", "ogg", "mka", "mkv", "mp4", "ts", "avi", "aiff", "mov")
_CODECS = {"flac": "flac", "mp3": "libmp3lame", "ogg": "libopus", "aiff": "pcm_s16be"}
_FILMS = {"mkv": "libx264", "mp4": "libx264", "ts": "libx264", "avi": "mpeg4", "mov": "mpeg4"}


def seeds(folder: Path) -> dict[str, bytes]:
    """Return one good file of each kind, half a second long: suffix → bytes."""
    make = Make(folder)
    made: dict[str, bytes] = {}
    for suffix in SUFFIXES:
        sound = make.sound(make.tone(0.5, 48_000, 2), codec=_CODECS.get(suffix, "aac"))
        if suffix == "wav":
            path = make.wav("seed.wav", make.tone(0.5, 48_000, 2), rate=48_000)
        elif suffix in _FILMS:
            film = make.film([40, 90, 140, 190, 240], codec=_FILMS[suffix])
            path = make.mux(f"seed.{suffix}", film, sound)
        else:
            path = make.mux(f"seed.{suffix}", sound, tags={"title": "seed"})
        made[suffix] = path.read_bytes()
        path.unlink()
    return made


# ---------------------------------------------------------------------- spoilt by chance

Spoil = Callable[[bytearray, random.Random], bytes]


def _flip(data: bytearray, chance: random.Random) -> bytes:
    """Turn a few bits over, half of them near the beginning, where the structure is."""
    for _ in range(chance.randint(1, 40)):
        end = len(data) if chance.random() < 0.5 else min(len(data), 600)
        data[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(data)


def _truncate(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data))])


def _extreme(data: bytearray, chance: random.Random) -> bytes:
    """Put numbers at the edge of what fits where lengths and counts may stand."""
    for _ in range(chance.randint(1, 6)):
        number = chance.choice([0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE])
        at = chance.randrange(max(1, min(len(data), 2000) - 4))
        data[at : at + 4] = struct.pack(chance.choice("<>") + "I", number)
    return bytes(data)


def _shuffle(data: bytearray, chance: random.Random) -> bytes:
    """Put a piece of it somewhere else."""
    first, last = sorted(chance.randrange(len(data)) for _ in range(2))
    piece = data[first:last]
    at = chance.randrange(len(data))
    return bytes(data[:at] + piece + data[at:])


def _rubbish(data: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    length = chance.randint(1, max(1, len(data) - at))
    data[at : at + length] = chance.randbytes(length)
    return bytes(data)


_SPOILS: tuple[Spoil, ...] = (_flip, _flip, _truncate, _extreme, _shuffle, _rubbish)


def mutant(good: Mapping[str, bytes], number: int, seed: int) -> tuple[str, bytes]:
    """Return name and bytes of a spoilt file."""
    chance = random.Random(f"{seed}/{number}")
    suffix = chance.choice(SUFFIXES)
    data = good[suffix]
    for spoil in chance.sample(_SPOILS, chance.choice((0, 1, 1, 1, 2))):
        data = spoil(bytearray(data), chance) or b"\0"
    if chance.random() < 0.2:
        suffix = chance.choice([*SUFFIXES, "webm", "opus", "wma", "w64"])
    return f"{number:05}.{suffix}", data


# ---------------------------------------------------------------------- bombs


def bombs(folder: Path) -> dict[str, bytes]:
    """Return small files that ask for much, or for what is not theirs: name → bytes."""
    make = Make(folder)
    silence = np.zeros((1, 8000 * 900), np.int16)
    sound = make.sound(make.tone(0.2, 48_000, 1))
    files = {
        "long.flac": make.mux("long.flac", make.sound(silence, 8000, "flac")).read_bytes(),
        "long.mka": make.mux("long.mka", make.sound(silence, 8000, "flac")).read_bytes(),
        "many-streams.mkv": make.mux("many.mkv", *[sound] * 60).read_bytes(),
        "many-channels.wav": make.wav("wide.wav", np.zeros((64, 2000), np.int16)).read_bytes(),
        "cover.mka": make.mux("cover.mka", sound, cover=_png()).read_bytes(),
        "tags.mka": make.mux(
            "tags.mka", sound, tags={f"key{n}": "x" * 2000 for n in range(2000)}
        ).read_bytes(),
        "boxes.mp4": _nested_boxes(4000),
        "ebml.mkv": b"\x1a\x45\xdf\xa3" + b"\x01\xff\xff\xff\xff\xff\xff\xfe" * 4000,
        "frames.ivf": _huge_frames(),
        "id3.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(100_000),
        "zip.mp3": b"PK\x03\x04" + zlib.compress(bytes(10_000_000), 9),
        "png.mp4": _png(),
        "svg.mp4": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/>',
        "list.wav": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "list.mp4": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "net.ts": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "sdp.mp3": b"v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        "dash.mp4": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
        "reference.mov": _reference_movie(),
        "empty.wav": b"",
        "zeros.mp4": bytes(1_000_000),
    }
    for path in folder.iterdir():
        path.unlink()
    return files


def bomb(bombs: Mapping[str, bytes], number: int, seed: int) -> tuple[str, bytes]:
    """Return name and bytes of a bomb; later rounds of them are spoilt a little too."""
    names = sorted(bombs)
    name = names[number % len(names)]
    data = bombs[name]
    if number >= len(names) and data:
        data = _flip(bytearray(data), random.Random(f"{seed}/bomb/{number}"))
    return f"bomb-{number:05}-{name}", data


def hostile(
    good: Mapping[str, bytes], bombs: Mapping[str, bytes], number: int, seed: int
) -> tuple[str, bytes]:
    """Return name and bytes of a hostile file; every hundredth is a bomb."""
    if number % 100 == 0:
        return bomb(bombs, number // 100, seed)
    return mutant(good, number, seed)


def _png() -> bytes:
    """A picture of 12,000 × 12,000 pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 12_000, 12_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(12_000 * 1501), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _nested_boxes(depth: int) -> bytes:
    """Boxes in boxes, as deep as it goes."""
    data = b""
    for _ in range(depth):
        data = struct.pack(">I4s", len(data) + 8, b"moov") + data
    return struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom") + data


def _huge_frames() -> bytes:
    """VP8 frames of 16383 × 16383 pixels, by the header (RFC 6386, section 9.1)."""
    size = struct.pack("<HH", 16383, 16383)
    frame = b"\x10\x02\x00\x9d\x01\x2a" + size + bytes(200)
    head = b"DKIF" + struct.pack("<HH4s", 0, 32, b"VP80") + size + struct.pack("<IIII", 25, 1, 1, 0)
    return head + struct.pack("<IQ", len(frame), 0) + frame


def _reference_movie() -> bytes:
    """A QuickTime film whose data is said to be in a file beside it (``dref`` with ``url``)."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", len(data) + 8, kind) + data

    url = box(b"url ", struct.pack(">I", 0) + b"file:///etc/passwd\0")
    dref = box(b"dref", struct.pack(">II", 0, 1) + url)
    moov = box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"dinf", dref)))))
    return box(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + moov
