"""Looking at a finished film and at its sources, in the confined child.

Here: what runs there: lengths, frames of both side by side. Not here: which frames (``verify``).

Frames are compared small and in grey, by the structural similarity of Wang et al. (2004): without
the worst third of its windows, which may be covered by words; and where the picture moves, with the
frames before and after the one that is due, so that one frame off is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.videos.sources import open_media

if TYPE_CHECKING:
    import numpy as np

REMEMBERED = 240
"""Looks at sources that are kept; each has three pictures."""
_LIKE = 0.6  # a similarity below this is another picture
_LIKE_GRADED = 0.4  # where a look has changed its tones
_MOVES = 0.9  # windows in which neighbours are less alike than this tell them apart
_ENOUGH = 6  # of such windows
_BETTER = 0.1  # a neighbour that is more like it by this much there is the one that is shown
_DARKER = 8  # levels of luma
_SMALL = (96, 54)
_LOOKED_AT = (384, 216)
_WINDOW = 8
_SKIPPING = ("h264", "hevc")  # decoders that can skip some frames and not others
_NEAR_S = Fraction(1, 5)  # before and after a picture: its neighbours, at most rates


def compare(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Look at frames of the film and of the sources; ``wrong``: what does not fit."""
    import av

    wrong: list[str] = []
    options = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska"}
    rate = Fraction(request["rate"])
    with av.open(str(out / request["film"]), options=options) as film:
        picture = film.streams.video[0]
        if request["whole"]:
            wrong += _lengths(film, request, rate)
        looks = sorted(request["looks"], key=lambda look: look["frame"])
        wanted = sorted({look["frame"] for look in looks})
        seen = dict(_frames(film, picture, wanted, rate))
        for look in looks:
            frame = seen.get(look["frame"])
            if frame is None:
                wrong.append(f"shot {look['shot']!r}: frame {look['frame']} is missing")
            else:
                wrong += _look_at(look, frame, out)
    return {"wrong": wrong}


def look_at_sources(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Decode what ``compare`` will want of the sources."""
    import_module("PIL.Image")  # it wants that too
    for number, look in enumerate(request["looks"]):
        _near(look["fd"], look["stream"], Fraction(look["time"]))
        progress(number / len(request["looks"]))
    return {}


def _lengths(film: Any, request: Mapping[str, Any], rate: Fraction) -> Iterator[str]:
    frame, wanted = float(1 / rate), float(request["frames"] / rate)
    picture = film.streams.video[0]
    length = _seconds(picture) if picture.duration else (film.duration or 0) / 1e6
    if abs(length - wanted) > frame:
        yield f"the picture lasts {length:.3f} s instead of {wanted:.3f} s"
    if request["sound"] != bool(film.streams.audio):
        yield "it has no sound" if request["sound"] else "it has sound"
    elif request["sound"]:
        heard = film.streams.audio[0]
        # An encoder works in blocks: what is beyond the end is up to one of them.
        block = (heard.codec_context.frame_size or 0) / heard.rate
        if heard.duration and not -frame <= _seconds(heard) - wanted <= frame + block:
            yield f"the sound lasts {_seconds(heard):.3f} s instead of {wanted:.3f} s"


def _seconds(stream: Any) -> float:
    return float(stream.duration * stream.time_base)


def _frames(
    film: Any, stream: Any, wanted: Sequence[int], rate: Fraction
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames of our own film by number, from the keyframe before each."""
    base = stream.time_base
    stream.thread_type = "SLICE"
    at = -1
    decoding: Iterator[Any] = iter(())
    due = {round(number / rate / base) for number in wanted}
    for number in wanted:
        if at < 0 or number - at > rate:
            film.seek(int(number / rate / base), stream=stream)
            decoding = _decoded(film, stream, lambda pts: pts in due)
        for frame in decoding:
            at = round(frame.pts * base * rate)
            if at >= number:
                if at == number:
                    yield number, _grey(frame)
                break


def _decoded(container: Any, stream: Any, wanted: Callable[[int], bool]) -> Iterator[Any]:
    """Decode on from here; of what is not wanted, only what others are predicted from."""
    context = stream.codec_context
    skips = context.name in _SKIPPING
    for packet in container.demux(stream):
        needed = not skips or packet.pts is None or wanted(packet.pts)
        context.skip_frame = "DEFAULT" if needed else "NONREF"
        yield from packet.decode()


def _look_at(look: Mapping[str, Any], ours: np.ndarray, out: Path) -> Iterator[str]:
    import numpy as np

    near = _near(look["fd"], look["stream"], Fraction(look["time"]))
    mine = _part(ours, look["ours"])
    before, due, after = (None if one is None else _part(one, look["theirs"]) for one in near)
    for veil in look["veils"]:
        light, clear = (_part(one, look["ours"]) for one in _veil(veil, out))
        before, due, after = (
            None if one is None else one * clear + light for one in (before, due, after)
        )
    where = f"shot {look['shot']!r}, frame {look['frame']} of the film"
    if due is None:
        yield f"{where}: {look['file']} has no picture at {float(Fraction(look['time'])):.3f} s"
        return
    if look["dark"] and due.mean() - mine.mean() > _DARKER:
        yield f"{where} is black, and {look['file']} is not"
        return
    values = _similarity(mine, due)
    score = float(np.sort(values)[values.size // 3 :].mean())
    if score < (_LIKE_GRADED if look["graded"] else _LIKE):
        yield f"{where} is not like {look['file']} there (similarity {score:.2f})"
        return
    for side, other in (("before", before), ("after", after)):
        if other is None:
            continue
        moving = _similarity(due, other) < _MOVES
        if moving.sum() < _ENOUGH:
            continue  # nothing moves: they cannot be told apart
        theirs = float(_similarity(mine, other)[moving].mean())
        if theirs > float(values[moving].mean()) + _BETTER:
            yield f"{where} shows the picture {side} the one that is due"


@lru_cache(maxsize=REMEMBERED)
def _near(fd: int, number: int, time: Fraction) -> list[np.ndarray | None]:
    """Give the frame shown at a time, between the one before it and the one after it.

    It is remembered: this process has the same files under the same descriptors to its end.
    """
    from av.error import FFmpegError

    with open_media(fd) as container:
        stream = container.streams[number]
        stream.thread_type = "SLICE"
        ticks = int(time / stream.time_base)
        near = int(_NEAR_S / stream.time_base)
        # First only what is near in time, then, where pictures are far apart, all.
        for back, reach in ((0, near), (0, None), (5, None), (None, None)):

            def wanted(pts: int, reach: int | None = reach) -> bool:
                return reach is None or abs(pts - ticks) <= reach

            shown: list[Any] = [None, None]
            enter = None if back is None else ticks - int(back / stream.time_base)
            try:
                container.seek((stream.start_time or 0) if enter is None else enter, stream=stream)
                for frame in _decoded(container, stream, wanted):
                    if frame.pts is None:
                        continue
                    if frame.pts * stream.time_base > time:
                        shown.append(frame)
                        break
                    shown = [shown[1], frame]
            except FFmpegError:
                pass  # what is damaged is left out, as in a full decode; not all can be entered
            # Else it was entered too late, or something between them was left out.
            if shown[1] and all(wanted(frame.pts) for frame in shown if frame):
                return [None if f is None else _grey(f) for f in (*shown, None)[:3]]
    return [None, None, None]


def _grey(frame: Any) -> np.ndarray:
    """Give a frame upright, small, as luma, uint8 (height, width)."""
    import numpy as np

    grey = frame.reformat(
        width=_LOOKED_AT[0], height=_LOOKED_AT[1], format="gray", interpolation="AREA"
    ).to_ndarray()
    turns = round((frame.rotation or 0) / 90) % 4
    return np.rot90(grey, turns)


def _veil(veil: Mapping[str, Any], out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Give what a picture over the film adds to its luma, and the share it lets through."""
    import numpy as np
    from PIL import Image

    wide, high = _LOOKED_AT
    x0, y0, x1, y1 = (
        round(e * size) for e, size in zip(veil["box"], (wide, high) * 2, strict=True)
    )
    with Image.open(out / veil["file"], formats=("PNG",)) as image:
        small = image.convert("RGBA").resize((max(1, x1 - x0), max(1, y1 - y0)))
    over = Image.new("RGBA", (wide, high))
    over.paste(small, (x0, y0))
    red, green, blue, alpha = np.moveaxis(np.asarray(over, np.float32), 2, 0)
    alpha = alpha / 255 * veil["opacity"]
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # ITU-R BT.709
    return (16 + luma * 219 / 255) * alpha, 1 - alpha


def _part(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Cut a part out, given in shares, and make it small."""
    import numpy as np
    from PIL import Image

    high, wide = image.shape
    x, y, w, h = box
    edges = (x * wide, y * high, max((x + w) * wide, 1), max((y + h) * high, 1))
    small = Image.fromarray(image.astype(np.float32)).resize(
        _SMALL, Image.Resampling.BOX, box=edges
    )
    return np.asarray(small, np.float32)


def _similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Structural similarity of two grey pictures, for each of their windows."""
    from numpy.lib.stride_tricks import sliding_window_view

    def windows(image: np.ndarray) -> np.ndarray:
        view = sliding_window_view(image, (_WINDOW, _WINDOW))[::2, ::2]
        return view.reshape(-1, _WINDOW * _WINDOW)

    a, b = windows(one), windows(other)
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    var_a, var_b = a.var(axis=1), b.var(axis=1)
    both = (a * b).mean(axis=1) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return values / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
