"""Pictures laid over the film: where each lies, how it is drawn, how much of it is seen when.

Here: image overlays, for the graph that draws them and for ``verify``, which expects them. Not
here: words (``words``), the rest of the graph (``graph``).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from av_pipelines.videos.cut import Cut, Overlay
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.sources import Source

_SAME_SHAPE = 0.01


def place(
    overlay: Overlay, source: Source, cut: Cut, delivery: Delivery
) -> tuple[int, int, int, int]:
    """Give left, top, width and height of a picture on the film's, in pixels.

    One that fills the film (a shade, a frame) fills it in every shape.
    """
    high = source.height if overlay.size is None else overlay.size * delivery.height
    scales = high / source.height, delivery.width / source.width
    own = cut.width * source.height / (cut.height * source.width)
    middle = overlay.margin == 0 or overlay.anchor == "centre"
    fills = (overlay.size or 0) >= 1 and middle and abs(own - 1) < _SAME_SHAPE
    scale = max(scales) if fills else min(scales)
    wide, high = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    away = round(overlay.margin * delivery.height)
    x = {"left": away, "right": delivery.width - wide - away}
    y = {"top": away, "bottom": delivery.height - high - away}
    sides = ["centre"] if fills else overlay.anchor.split("-")
    left = next((x[s] for s in sides if s in x), (delivery.width - wide) // 2)
    top = next((y[s] for s in sides if s in y), (delivery.height - high) // 2)
    return left, top, wide, high


def chain(overlay: Overlay, size: tuple[int, int], rate: Fraction, first: int, last: int) -> str:
    """Give the filters from its file to what is laid over the film's frames ``first`` to ``last``.

    Args:
        overlay: the picture.
        size: width and height it is drawn at.
        rate: frames a second.
        first: frame of the film at which the stretch begins.
        last: the frame after the last that shows it there.
    """
    steps = [f"scale={size[0]}:{size[1]}:flags=lanczos", "format=rgba"]
    if overlay.opacity < 1:
        steps.append(f"colorchannelmixer=aa={max(overlay.opacity, 0.0):.4f}")
    steps.append("scale=out_color_matrix=bt709:out_range=tv,format=yuva420p")
    if overlay.fade_frames > 0:
        n, at = _fade(overlay), overlay.start - first
        steps += [
            f"fps={rate}:start_time=0,settb={rate.denominator}/{rate.numerator},setpts=N",
            f"tpad=stop=-1:stop_mode=clone,trim=end_frame={last - first}",
            f"fade=in:start_frame={max(at, 0)}:nb_frames={n}:alpha=1" if at >= 0 else "null",
            f"fade=out:start_frame={at + overlay.frames - n}:nb_frames={n}:alpha=1",
        ]
    return ",".join(steps)


def _fade(overlay: Overlay) -> int:
    return max(1, min(overlay.fade_frames, overlay.frames // 2))


def veils(
    cut: Cut,
    sources: Mapping[tuple[Path, bool], Source],
    delivery: Delivery,
    frame: int,
) -> list[dict[str, Any]]:
    """List the pictures over a frame of the film, from the lowest up.

    Returns:
        ``file`` in the working folder; ``box``: left, top, right and bottom in shares of the
        frame; ``opacity``, with which its own alpha is multiplied.
    """
    found = []
    for one in cut.overlays if delivery.overlays is None else delivery.overlays:
        if one.kind != "image" or one.path is None:
            continue
        n = frame - one.start
        if not 0 <= n < one.frames:
            continue
        source = sources[one.path, True]
        left, top, wide, high = place(one, source, cut, delivery)
        seen = min(max(one.opacity, 0.0), 1.0)
        if one.fade_frames > 0:
            seen *= min(1.0, n / _fade(one), (one.frames - n) / _fade(one))
        edges = (left, top, left + wide, top + high)
        size = (delivery.width, delivery.height) * 2
        box = [edge / length for edge, length in zip(edges, size, strict=True)]
        found.append({"file": source.still, "box": box, "opacity": seen})
    return found
