"""Which frames of a film can be copied out of their source, packet by packet.

Here: finding, in a shot that needs nothing, the whole groups of pictures of its stretch. Not here:
writing them (``joining``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.videos import words
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.shot_graph import pixel_format, tolerance
from av_pipelines.videos.sources import Source, Work, open_media, seek_from

_LEAST_S = 1  # less is not worth a joint
_AT_ONCE = 30  # spans in one child
_CANONICAL = {"h264": "h264", "h265": "hevc", "av1": "av1", "vp9": "vp9", "prores": "prores"}


@dataclass(frozen=True)
class Copied:
    """Frames of the film that are packets of a source.

    Attributes:
        first, frames: in the film.
        path: the source.
        stream: its picture.
        zero: time stamp of the first frame, in ticks.
        step: ticks of a frame.
        seek: where to enter the file, in ticks; None: at its beginning.
        parameters: the decoder's configuration.
    """

    first: int
    frames: int
    path: Path
    stream: int
    zero: int
    step: Fraction
    seek: int | None
    parameters: str


def find_copies(
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    work: Work,
) -> list[Copied]:
    """List what can be copied into a delivery, in order.

    H.264 that is copied and H.264 that is encoded here go together in one file; of other codecs,
    and of H.264 of several kinds, a film is copied as a whole or not at all.
    """
    spans = [
        (k, low, high)
        for k, (low, high) in _plain_spans(cut, delivery, sources)
        if high - low >= _LEAST_S * cut.rate or high - low == cut.shots[k].frames
    ]
    found: list[Copied] = []
    for at in range(0, len(spans), _AT_ONCE):
        found += _in_shots(cut, sources, spans[at : at + _AT_ONCE], work)
    if not found:
        return []
    seconds: dict[str, int] = {}
    for one in found:
        seconds[one.parameters] = seconds.get(one.parameters, 0) + one.frames
    most = max(seconds, key=lambda key: seconds[key])
    kept = [one for one in found if one.parameters == most]
    whole = sum(one.frames for one in kept) == delivery.frames(cut)
    mixable = delivery.codec == "h264" and most.startswith("01") and _set_numbers(most) == {0}
    return kept if whole or mixable else []


def _set_numbers(parameters: str) -> set[int]:
    """Give the numbers of the H.264 sequence parameter sets; those encoded here have 1."""
    from av_pipelines.videos.joining import sets_of

    sequences, _ = sets_of(bytes.fromhex(parameters))
    # After one byte of header and three of profile and level: an exponential Golomb code.
    numbers = set()
    for one in sequences:
        bits = "".join(f"{byte:08b}" for byte in one[4:8])
        zeros = len(bits) - len(bits.lstrip("0"))
        numbers.add(int(bits[zeros : 2 * zeros + 1] or "1", 2) - 1)
    return numbers


def _plain_spans(
    cut: Cut, delivery: Delivery, sources: Mapping[tuple[Path, bool], Source]
) -> list[tuple[int, tuple[int, int]]]:
    """List, by shot, the frames (of the shot) that are shown just as the source has them."""
    if delivery.look or delivery.wave or cut.wave:
        return []
    frames = delivery.frames(cut)
    overlays = cut.overlays if delivery.overlays is None else delivery.overlays
    captions = delivery.captions or cut.captions
    size = delivery.width, delivery.height
    written = words.events(overlays, captions, cut.rate, size, cut.frames)
    drawn = [(e.start, e.end) for e in written]
    drawn += [(o.start, o.start + o.frames) for o in overlays if o.kind == "image"]
    found = []
    starts = cut.starts()
    for k, (shot, start) in enumerate(zip(cut.shots, starts, strict=True)):
        if shot.path is None or shot.still or shot.effects or shot.look or shot.speed != 1:
            continue
        framed = shot.framing if delivery.framing is None else delivery.framing.get(k, ())
        fit = delivery.fit or shot.fit
        if framed or fit == "ken_burns":
            continue
        source = sources[shot.path, False]
        same = (
            (source.width, source.height) == (delivery.width, delivery.height)
            and source.upright
            and source.codec == _CANONICAL[delivery.codec]
            and source.pix_fmt == pixel_format(delivery)
            and source.format in ("mov", "matroska")
            and abs(source.fps - cut.rate) < cut.rate / 1000
            and not (source.hdr or source.full_range or source.interlaced)
            and source.matrix == "bt709"
        )
        if not same:
            continue
        low = shot.transition.frames if shot.transition else 0
        after = cut.shots[k + 1].transition if k + 1 < len(cut.shots) else None
        high = min(shot.frames - (after.frames if after else 0), frames - start)
        found += [(k, span) for span in _without(low, high, start, drawn)]
    return found


def _without(
    low: int, high: int, start: int, drawn: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Take stretches of the film out of a stretch of a shot that starts at a frame of the film."""
    spans, at = [], low
    for begin, end in sorted(drawn):
        if begin - start > at:
            spans.append((at, min(begin - start, high)))
        at = max(at, end - start)
    spans.append((at, high))
    return [span for span in spans if span[0] < span[1]]


def _in_shots(
    cut: Cut,
    sources: Mapping[tuple[Path, bool], Source],
    spans: Sequence[tuple[int, int, int]],
    work: Work,
) -> list[Copied]:
    """Find what can be copied of frames ``low`` to ``high`` of some shots, as (shot, low, high)."""
    starts = cut.starts()
    asked: list[dict[str, Any]] = []
    paths: list[Path] = []
    for number, low, high in spans:
        shot = cut.shots[number]
        assert shot.path is not None
        paths.append(shot.path)
        source = sources[shot.path, False]
        begin = shot.start + low / cut.rate
        enter = seek_from(source, begin)
        asked.append(
            {
                "stream": source.video,
                "seek": None if enter is None else int(enter / source.tick),
                "begin": str((source.zero + begin) / source.tick),
                "step": str(1 / cut.rate / source.tick),
                "tolerance": str(tolerance(source, cut.rate) / source.tick),
                "frames": high - low,
            }
        )

    def request(fds: Mapping[Path, int]) -> dict[str, Any]:
        spans = [{**one, "fd": fds[path]} for one, path in zip(asked, paths, strict=True)]
        return {"spans": spans}

    answer = work.run("av_pipelines.videos.copying:groups_of_all", request, paths)
    found = []
    for (number, low, high), path, one, said in zip(
        spans, paths, asked, answer["spans"], strict=True
    ):
        found += [
            Copied(
                first=starts[number] + low + first,
                frames=frames,
                path=path,
                stream=one["stream"],
                zero=zero,
                step=Fraction(one["step"]),
                seek=one["seek"],
                parameters=said["parameters"],
            )
            for first, frames, zero in said["runs"]
            if frames >= _LEAST_S * cut.rate or frames == high - low
        ]
    return found


# ---------------------------------------------------------------------- in the confined child


def groups_of_all(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Look at all spans that are asked for."""
    return {"spans": [groups(one) for one in request["spans"]]}


def groups(request: Mapping[str, Any]) -> dict[str, Any]:
    """Find runs of whole, closed groups of pictures of which every frame is due at its time.

    Returns:
        ``runs``: (frame of the stretch, frames, time stamp of the first) of each;
        ``parameters``: the decoder's configuration, in hex.
    """
    begin, step = Fraction(request["begin"]), Fraction(request["step"])
    late, frames = Fraction(request["tolerance"]), request["frames"]
    found: list[tuple[bool, list[int]]] = []
    with open_media(request["fd"]) as container:
        stream = container.streams[request["stream"]]
        parameters = bytes(stream.codec_context.extradata or b"").hex()
        if request["seek"] is not None:
            container.seek(request["seek"], stream=stream)
        last = begin + (frames + 1) * step
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            if packet.is_keyframe:
                if found and packet.pts > last:
                    found.append((True, [packet.pts]))
                    break
                found.append((_is_entry(packet, stream), []))
            if found:
                found[-1][1].append(packet.pts)
    runs: list[list[int]] = []
    for k, (entry, stamps) in enumerate(found):
        following = found[k + 1][1][0] if k + 1 < len(found) else None
        order = sorted(stamps)
        at = round((order[0] - begin) / step)
        closed = (
            entry
            and stamps[0] == order[0]
            and (following is None or order[-1] < following)
            and (k + 1 == len(found) or found[k + 1][0])
        )
        due = all(
            -step + late < one - (begin + (at + n) * step) <= late for n, one in enumerate(order)
        )
        if not (closed and due and at >= 0 and at + len(order) <= frames):
            continue
        if runs and runs[-1][0] + runs[-1][1] == at:
            runs[-1][1] += len(order)
        else:
            runs.append([at, len(order), order[0]])
    return {"runs": runs, "parameters": parameters}


def _is_entry(packet: Any, stream: Any) -> bool:
    """Say whether decoding can begin here: for H.264, that it is an IDR picture (NAL type 5)."""
    if stream.codec_context.name != "h264":
        return True
    data, at = bytes(packet), 0
    while at + 5 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4] & 0x1F == 5:
            return True
        at += 4 + size
    return False
