"""Which stretches of a film are encoded, side by side, and which are copied as they are.

Here: cutting the film into stretches and making those that are encoded. Not here: what is drawn in
them (``graph``), putting them together (``joining``).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from av_pipelines.videos import words
from av_pipelines.videos.copying import Copied
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.encoders import Encoder, hardware_limits, video_options
from av_pipelines.videos.graph import black_file, build
from av_pipelines.videos.mix import WAVE
from av_pipelines.videos.running import run_ffmpeg
from av_pipelines.videos.sources import Source

_MOST_INPUTS = 20  # FFmpeg holds two descriptors for each of its 64
_THREADS_EACH = 8  # x264 gains little from more at 720p
_LEAST_S = 4.0  # a stretch shorter than that is not worth a process


@dataclass(frozen=True)
class Stretch:
    """Frames ``first`` to ``last`` of the film, ``last`` not included; made for all deliveries."""

    name: str
    first: int
    last: int
    copied: Copied | None = None

    def file(self, number: int, delivery: Delivery) -> str:
        """Name the file of a delivery's stretch."""
        return f"{self.name}_{number}{'.mov' if delivery.codec == 'prores' else '.mp4'}"

    def wanted(self, cut: Cut, deliveries: Sequence[Delivery]) -> list[int]:
        """List the deliveries that reach into it."""
        return [k for k, d in enumerate(deliveries) if d.frames(cut) > self.first]


def black_frames(
    cut: Cut, deliveries: Sequence[Delivery], stretches: Sequence[Stretch], number: int, out: Path
) -> list[int]:
    """List the frames of a delivery that were rendered black; those that are copied are not."""
    found = []
    for stretch in stretches:
        wanted = stretch.wanted(cut, deliveries)
        if stretch.copied or number not in wanted:
            continue
        text = (out / black_file(stretch.name, wanted.index(number))).read_text("ascii", "replace")
        found += [stretch.first + int(n) for n in re.findall(r"pts:(\d+)", text)]
    return found


def plan(
    cut: Cut, deliveries: Sequence[Delivery], copies: Sequence[Copied], threads: int
) -> list[Stretch]:
    """Cut the film into stretches, in order.

    Args:
        cut: the film.
        deliveries: what is wanted of it.
        copies: what need not be encoded.
        threads: of the CPU that may be used.
    """
    end = max(delivery.frames(cut) for delivery in deliveries)
    closed = _closed(cut, deliveries)
    jobs = max(1, threads // _THREADS_EACH)
    stretches: list[Stretch] = []

    def add(first: int, last: int, copied: Copied | None = None) -> None:
        if first < last:
            stretches.append(Stretch(f"part{len(stretches)}", first, last, copied))

    at = 0
    for copied in sorted(copies, key=lambda c: c.first):
        for first, last in _parts(cut, at, copied.first, jobs, closed):
            add(first, last)
        add(copied.first, copied.first + copied.frames, copied)
        at = copied.first + copied.frames
    for first, last in _parts(cut, at, end, jobs, closed):
        add(first, last)
    return stretches


def _closed(cut: Cut, deliveries: Sequence[Delivery]) -> set[int]:
    """List the frames at which no stretch may begin."""
    closed: set[int] = set()
    for shot, start in zip(cut.shots, cut.starts(), strict=True):
        if shot.transition:
            closed |= set(range(start, start + shot.transition.frames + 1))
    for delivery in deliveries:
        overlays = cut.overlays if delivery.overlays is None else delivery.overlays
        closed |= words.borders(
            words.events(overlays, None, cut.rate, (delivery.width, delivery.height), cut.frames)
        )
        for one in overlays:
            if one.kind == "image" and one.fade_frames:
                closed |= set(range(one.start + 1, one.start + one.frames))
    return closed


def _parts(
    cut: Cut, first: int, last: int, jobs: int, closed: set[int]
) -> Iterable[tuple[int, int]]:
    """Cut a stretch so that no part has too many inputs, and there are parts for all jobs."""
    starts = cut.starts()
    at = first
    while at < last:
        size = last - first
        if jobs > 1:
            size = max(-(-(last - first) // jobs), round(_LEAST_S * float(cut.rate)))
        until = min(last, at + size)
        if last - until < size // 2:
            until = last
        shown = [k for k, s in enumerate(starts) if s < until and s + cut.shots[k].frames > at]
        if len(shown) > _MOST_INPUTS:
            until = starts[shown[_MOST_INPUTS]]
        while until in closed and until > at + 1:
            until -= 1
        if until in closed:  # all the way: then forward, with more inputs
            until = next((f for f in range(at + 1, last) if f not in closed), last)
        yield at, until
        at = until


def encode(
    cut: Cut,
    deliveries: Sequence[Delivery],
    encoders: Sequence[Encoder],
    sources: Mapping[tuple[Path, bool], Source],
    stretches: Sequence[Stretch],
    out: Path,
    threads: int,
    progress: Callable[[float], None],
) -> None:
    """Render and encode all stretches that are not copied, as many at a time as wins.

    Raises:
        RenderError, OSError: of the first that failed; the others are not begun.
    """
    todo = [s for s in stretches if s.copied is None]
    if not todo:
        return
    jobs = min(len(todo), max(1, threads // _THREADS_EACH))
    if threads <= 2 and len(todo) > 2:
        jobs = min(len(todo), threads)  # many short ones: starting up is not parallel
    each = 0 if jobs == 1 else max(1, threads // jobs)
    alone = threads <= 2  # threads of a decoder would only cost
    total = sum(s.last - s.first for s in todo) / float(cut.rate)
    done: dict[str, float] = {}
    lock = threading.Lock()

    def one(stretch: Stretch) -> None:
        def come(seconds: float) -> None:
            with lock:
                done[stretch.name] = min(seconds, (stretch.last - stretch.first) / float(cut.rate))
                progress(min(1.0, sum(done.values()) / max(total, 1e-9)))

        _encode(cut, deliveries, encoders, sources, stretch, out, each, alone, come)

    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(one, stretch) for stretch in todo]
        try:
            for future in running:
                future.result()
        except BaseException:
            for future in running:
                future.cancel()
            raise


def _encode(
    cut: Cut,
    deliveries: Sequence[Delivery],
    encoders: Sequence[Encoder],
    sources: Mapping[tuple[Path, bool], Source],
    stretch: Stretch,
    out: Path,
    threads: int,
    alone: bool,
    progress: Callable[[float], None],
) -> None:
    wanted = stretch.wanted(cut, deliveries)
    made = build(
        cut,
        [deliveries[k] for k in wanted],
        sources,
        stretch.first,
        stretch.last,
        stretch.name,
        WAVE if (out / WAVE).exists() else None,
    )
    for name, text in made.files.items():
        (out / name).write_text(text, "utf-8")
    graph = f"{stretch.name}.filter.txt"
    (out / graph).write_text(made.graph, "utf-8")
    arguments = ["-/filter_complex", graph]
    for label, k in zip(made.labels, wanted, strict=True):
        delivery = deliveries[k]
        quality = delivery.quality or cut.quality
        arguments += ["-map", f"[{label}]", "-an", "-fps_mode", "passthrough"]
        arguments += ["-enc_time_base", f"{cut.rate.denominator}:{cut.rate.numerator}"]
        arguments += video_options(encoders[k], delivery, quality, float(cut.rate), threads)
        arguments += ["-fflags", "+bitexact", "-flags:v", "+bitexact", stretch.file(k, delivery)]
    device = next((e.device for e in encoders if e.device != "cpu"), "cpu")
    decoding = ("-threads", "1") if alone else ()
    inputs = [replace(one, options=(*one.options, *decoding)) for one in made.inputs]
    run_ffmpeg(inputs, arguments, out, limits=hardware_limits(device), progress=progress)
