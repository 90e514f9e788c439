"""The film's file: encoded stretches, copied stretches, sound and chapters put into one container.

Here: what runs in a confined child to write it. Not here: which stretches there are (``segments``),
what is in them.

Every packet's time is written anew as the number of its frame in the film, so that joints cannot
add up to a drift. Packets are in decoding order; with B-frames, they are decoded as many frames
ahead of being shown as the stretch with the longest reordering needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.media.confined import ConfinedError
from av_pipelines.videos.sources import open_media

_OWN = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,wav,ogg"}


def join_and_compare(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Write one film (``join``) and look at it (``compare``); ``wrong``: what it found."""
    from av_pipelines.videos.comparing import compare

    join(request["join"], out, lambda share: progress(share / 2))
    return compare(request["compare"], out, lambda share: progress((1 + share) / 2))


def join(request: Mapping[str, Any], out: Path, progress: Callable[[float], None]) -> None:
    """Write one film.

    Args:
        request: ``name`` of the file; ``rate``; ``frames``; ``title``; ``pieces`` in order, each
            with ``first``, ``frames`` and either ``own`` (a file in ``out``) and its ``rate``, or
            ``fd``, ``stream``, ``zero``, ``step`` and ``seek`` (of ``copying.Copied``); ``sound``:
            a file in ``out`` or None; ``chapters``: (name, first frame, end) of each.
        out: the working folder.
        progress: called with the share done.
    """
    import av

    rate = Fraction(request["rate"])
    pieces = request["pieces"]
    ahead, records = 0, []
    for piece in pieces:
        needs, record = _survey(piece, out)
        ahead = max(ahead, needs)
        records += [record] if record not in records else []
    options = {"movflags": "+faststart"} if not request["name"].endswith(".webm") else {}
    with av.open(str(out / request["name"]), "w", container_options=options) as film:
        film.metadata.update({"title": request["title"]} if request["title"] else {})
        template = _stream(pieces[0], out)
        # PyAV asks for an encoder of the decoder's name; for AV1 there is none (libdav1d).
        picture: Any = film.add_stream_from_template(template[1], _is_av1(template[1]))
        if template[1].codec_context.codec.canonical_name == "hevc":
            picture.codec_context.codec_tag = "hvc1"  # Apple's players take no other
        extra = _parameter_sets(records)
        if extra is not None:
            picture.codec_context.extradata = extra
        picture.time_base = 1 / rate
        sound = av.open(str(out / request["sound"]), options=_OWN) if request["sound"] else None
        heard = film.add_stream_from_template(sound.streams.audio[0]) if sound else None
        if request["chapters"]:
            film.set_chapters(
                [
                    {
                        "id": k,
                        "start": begin,
                        "end": end,
                        "time_base": 1 / rate,
                        "metadata": {"title": name},
                    }
                    for k, (name, begin, end) in enumerate(request["chapters"], 1)
                ]
            )
        frames = 0
        sounds = _sounds(sound, rate)
        waiting = next(sounds, None)
        for packet in _pictures(pieces, out, rate, ahead):
            while waiting is not None and waiting[0] <= packet.pts:
                waiting[1].stream = heard
                film.mux(waiting[1])
                waiting = next(sounds, None)
            packet.stream = picture
            film.mux(packet)
            frames += 1
            if frames % 1000 == 0:
                progress(frames / request["frames"])
        while waiting is not None:
            waiting[1].stream = heard
            film.mux(waiting[1])
            waiting = next(sounds, None)
        if sound:
            sound.close()
        template[0].close()
    if frames != request["frames"]:
        raise ConfinedError(f"{frames} frames were made instead of {request['frames']}")


def _is_av1(stream: Any) -> bool:
    return stream.codec_context.codec.canonical_name == "av1"


def _stream(piece: Mapping[str, Any], out: Path) -> tuple[Any, Any]:
    import av

    if "own" in piece:
        container = av.open(str(out / piece["own"]), options=_OWN)
        return container, container.streams.video[0]
    container = open_media(piece["fd"])
    return container, container.streams[piece["stream"]]


def _packets(piece: Mapping[str, Any], container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
    """Yield (frame within the piece, packet) in decoding order."""
    own = "own" in piece
    step = 1 / (stream.time_base * Fraction(piece["rate"])) if own else Fraction(piece["step"])
    zero = 0 if own else piece["zero"]
    if not own and piece["seek"] is not None:
        container.seek(piece["seek"], stream=stream)
    begun = own
    left = piece["frames"]
    for packet in container.demux(stream):
        if not packet.size or packet.pts is None:
            continue
        begun = begun or packet.pts == zero
        if not begun:
            continue
        yield _nearest(packet.pts - zero, step), packet
        left -= 1
        if not own and not left:
            return


def _nearest(ticks: int, step: Fraction) -> int:
    """``round(ticks / step)``, for each of hundreds of thousands of packets."""
    twice = 2 * step.numerator
    return (2 * ticks * step.denominator + step.numerator) // twice


def _survey(piece: Mapping[str, Any], out: Path) -> tuple[int, bytes]:
    """Count the frames by which decoding must be ahead of showing; give its configuration too."""
    container, stream = _stream(piece, out)
    with container:
        packets = enumerate(_packets(piece, container, stream))
        ahead = max((k - frame for k, (frame, _) in packets), default=0)
        return ahead, bytes(stream.codec_context.extradata or b"")


def _pictures(
    pieces: Sequence[Mapping[str, Any]], out: Path, rate: Fraction, ahead: int
) -> Iterator[Any]:
    number, base = 0, 1 / rate
    for piece in pieces:
        container, stream = _stream(piece, out)
        with container:
            for frame, packet in _packets(piece, container, stream):
                packet.pts, packet.dts = piece["first"] + frame, number - ahead
                packet.duration, packet.time_base = 1, base
                number += 1
                yield packet


def _sounds(sound: Any, rate: Fraction) -> Iterator[tuple[int, Any]]:
    """Yield (frame of the film at which it begins, packet)."""
    if sound is None:
        return
    stream = sound.streams.audio[0]
    step = 1 / (stream.time_base * rate)
    for packet in sound.demux(stream):
        if packet.size and packet.pts is not None:
            yield _nearest(packet.pts, step), packet


# ---------------------------------------------------------------------- H.264 parameter sets


def _parameter_sets(records: Sequence[bytes]) -> bytes | None:
    """Give one ``avcC`` with the parameter sets of all pieces; None if they are all the same.

    What is encoded here has other numbers for its sets than what is copied (``sps-id``), so both
    can be in one list (ISO/IEC 14496-15, 5.3.3).
    """
    if len(records) == 1:
        return None
    if not all(record[:1] == b"\x01" for record in records):
        raise ConfinedError("stretches that were encoded apart do not fit together")
    sequences: list[bytes] = []
    pictures: list[bytes] = []
    for record in records:
        own, theirs = sets_of(record)
        sequences += [s for s in own if s not in sequences]
        pictures += [p for p in theirs if p not in pictures]
    head = max(records, key=lambda record: record[3])[:5]  # the highest level
    made = bytearray(head) + bytes([0xE0 | len(sequences)])
    for one in sequences:
        made += len(one).to_bytes(2, "big") + one
    made.append(len(pictures))
    for one in pictures:
        made += len(one).to_bytes(2, "big") + one
    return bytes(made)


def sets_of(record: bytes) -> tuple[list[bytes], list[bytes]]:
    """Read the sequence and picture parameter sets of an ``avcC``.

    Raises:
        ConfinedError: it is none.
    """
    lists: list[list[bytes]] = []
    at = 5
    try:
        for mask in (0x1F, 0xFF):
            count, found = record[at] & mask, []
            at += 1
            for _ in range(count):
                size = int.from_bytes(record[at : at + 2], "big")
                found.append(record[at + 2 : at + 2 + size])
                at += 2 + size
            lists.append(found)
    except IndexError:
        raise ConfinedError("its H.264 parameter sets cannot be read") from None
    return lists[0], lists[1]
