"""Whether a film is what its cut says, before anyone sees it.

Here: its length, the first and last frame of every shot against the source, sound against picture,
black frames. Not here: what is done about it (``render`` refuses to publish).

Frames are compared small and in grey, by the structural similarity of Wang et al. (2004): without
the worst third of its windows, which may be covered by words; and where the picture moves, with the
frames before and after the one that is due, so that one frame off is found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.media.confined import run_task
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.fitting import shown
from av_pipelines.videos.graph import tolerance
from av_pipelines.videos.pasting import veils
from av_pipelines.videos.sources import Source, open_media, opened

if TYPE_CHECKING:
    import numpy as np

_LIKE = 0.6  # a similarity below this is another picture
_LIKE_GRADED = 0.4  # where a look has changed its tones
_MOVES = 0.9  # windows in which neighbours are less alike than this tell them apart
_ENOUGH = 6  # of such windows
_BETTER = 0.1  # a neighbour that is more like it by this much there is the one that is shown
_DARKER = 8  # levels of luma
_SMALL = (96, 54)
_LOOKED_AT = (384, 216)
_WINDOW = 8
_AT_ONCE = 20


def looks_at(
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    film: str,
    sound: bool,
    black: Sequence[int],
) -> list[Check]:
    """Say what is to be compared of a film and its cut.

    Args:
        cut: the film as it is meant.
        delivery: the file as it is meant.
        sources: what is known of every file the cut names.
        film: name of the file in the working folder.
        sound: whether it shall have sound.
        black: frames that were found to be black.

    Returns:
        Requests for ``compare``, each with the few files that it needs; the first also checks
        lengths. What they find wrong are sentences that name the shot.
    """
    looks = _looks(cut, delivery, sources, black)
    return [
        Check(
            {
                "film": film,
                "frames": delivery.frames(cut),
                "rate": str(cut.rate),
                "sound": sound,
                "whole": at == 0,
            },
            looks[at : at + _AT_ONCE],
        )
        for at in range(0, max(len(looks), 1), _AT_ONCE)
    ]


@dataclass(frozen=True)
class Check:
    """A part of the comparison."""

    request: dict[str, Any]
    looks: list[dict[str, Any]]

    def opened(self, stack: ExitStack) -> tuple[dict[str, Any], list[int]]:
        """Open its sources; return the request, and the descriptors it names."""
        paths = dict.fromkeys(look["path"] for look in self.looks)
        fds = {path: stack.enter_context(opened(Path(path))).fileno() for path in paths}
        looks = [{**look, "fd": fds[look["path"]]} for look in self.looks]
        return {**self.request, "looks": looks}, list(fds.values())

    def run(self, out: Path) -> list[str]:
        """Compare, in a child of its own; return what is wrong."""
        with ExitStack() as stack:
            request, fds = self.opened(stack)
            task = "av_pipelines.videos.verify:compare"
            return run_task(task, request, fds=fds, out=out)["wrong"]


def _looks(
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    black: Sequence[int],
) -> list[dict[str, Any]]:
    """List the frames to look at: first and last of each shot, and those that are black."""
    found: list[dict[str, Any]] = []
    end = delivery.frames(cut)
    size = delivery.width, delivery.height
    for k, (shot, start) in enumerate(zip(cut.shots, cut.starts(), strict=True)):
        if shot.path is None or shot.still or shot.effects:
            continue
        source = sources[shot.path, False]
        before = shot.transition.frames if shot.transition else 0
        after = cut.shots[k + 1].transition if k + 1 < len(cut.shots) else None
        first = start + before
        last = min(start + shot.frames - (after.frames if after else 0), end) - 1
        framing, fit = shot.framing, delivery.fit or shot.fit
        if delivery.framing is not None and k in delivery.framing:
            framing, fit = delivery.framing[k], "crop"
        dark = [frame for frame in black if first <= frame <= last]
        for frame in sorted({first, last, *dark[:1], *dark[-1:]}):
            if not first <= frame <= last:
                continue
            n = frame - start
            shape = source.width, source.height
            theirs, ours = shown(fit, framing, shape, size, cut.rate, n, shot.frames)
            time = source.zero + shot.start + n * shot.speed / cut.rate
            found.append(
                {
                    "shot": shot.name,
                    "file": shot.path.name,
                    "path": str(shot.path),
                    "stream": source.video,
                    "frame": frame,
                    "time": str(time + tolerance(source, cut.rate)),
                    "theirs": theirs,
                    "ours": ours,
                    "graded": bool(shot.look or delivery.look or source.hdr),
                    "dark": frame in dark,
                    "veils": veils(cut, sources, delivery, frame),
                }
            )
    return found


# ---------------------------------------------------------------------- in the confined child


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
    for number in wanted:
        if at < 0 or number - at > rate:
            film.seek(int(number / rate / base), stream=stream)
            decoding = film.decode(stream)
        for frame in decoding:
            at = round(frame.pts * base * rate)
            if at >= number:
                if at == number:
                    yield number, _grey(frame)
                break


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


def _near(fd: int, number: int, time: Fraction) -> list[np.ndarray | None]:
    """Give the frame shown at a time, between the one before it and the one after it."""
    from av.error import FFmpegError

    with open_media(os.dup(fd)) as container:
        stream = container.streams[number]
        stream.thread_type = "SLICE"
        ticks = int(time / stream.time_base)
        for back in (0, 5, None):
            if back is None:
                container.seek(stream.start_time or 0, stream=stream)
            else:
                container.seek(ticks - int(back / stream.time_base), stream=stream)
            shown: list[Any] = [None, None]
            try:
                for frame in container.decode(stream):
                    if frame.pts is None:
                        continue
                    if frame.pts * stream.time_base > time:
                        if shown[1] is None:
                            break  # entered too late
                        return [None if f is None else _grey(f) for f in (*shown, frame)]
                    shown = [shown[1], frame]
            except FFmpegError:
                pass  # what is damaged is left out, as in a full decode
            if shown[1] is not None:
                return [*(None if f is None else _grey(f) for f in shown), None]
    return [None, None, None]


def _grey(frame: Any) -> np.ndarray:
    """Give a frame upright, small, as luma, (height, width)."""
    import numpy as np

    grey = frame.reformat(
        width=_LOOKED_AT[0], height=_LOOKED_AT[1], format="gray", interpolation="AREA"
    ).to_ndarray()
    turns = round((frame.rotation or 0) / 90) % 4
    return np.rot90(grey, turns).astype(np.float32)


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
    small = Image.fromarray(image).resize(_SMALL, Image.Resampling.BOX, box=edges)
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
