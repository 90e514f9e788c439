"""How a picture fills the frame: crop, pad, blurred borders, slow movement over it.

Here: from the size of a source and of the film to a chain of libavfilter's filters. Not here: time,
colour, and what comes before and after (``graph``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from av_pipelines.videos.cut import Fit, Framing

Box = tuple[float, float, float, float]

_KEN_BURNS = (1.0, 1.15)  # zoom at the beginning and the end, where nothing is said
_MAX_ZOOM = 20.0
_BLURRED = 8  # the blurred border is drawn at this part of the size
_FLAGS = "flags=bicubic"


def fit_chain(
    fit: Fit,
    framing: Sequence[Framing],
    source: tuple[int, int],
    size: tuple[int, int],
    rate: Fraction,
    first: int,
    frames: int,
    colours: str,
    pixels: str,
) -> tuple[str, str]:
    """Give the filters that bring a picture to the frame's size.

    Args:
        fit: how.
        framing: where the crop is, over time.
        source: width and height upright, in square pixels.
        size: of the frame.
        rate: frames a second.
        first: frames of the shot that come before what is drawn here.
        frames: of the whole shot.
        colours: options of ``scale`` that say what the source's colours are and shall be.
        pixels: format that is moved.

    Returns:
        The chain (it may hold ``;`` and labels) in two parts: the second moves with the frame
        number, and is empty if nothing does.
    """
    (w, h), (width, height) = source, size
    if fit == "ken_burns" or (fit == "crop" and len({f.zoom for f in framing}) > 1):
        points = _points(framing, rate, first) or [
            (-first, 0.5, 0.5, _KEN_BURNS[0]),
            (frames - first, 0.5, 0.5, _KEN_BURNS[1]),
        ]
        return _moving(points, source, size, f"{colours},format={pixels}")
    scale = f"scale={width}:{height}:{_FLAGS}:{colours}"
    if fit == "crop":
        cut = _crop(_points(framing, rate, first), source, size)
        chain = f"{cut},{scale}" if cut else scale
        return ("", chain) if len(framing) > 1 else (chain, "")
    inner = _inside(source, size)
    if inner == size or w * height == h * width:
        return scale, ""
    x, y = _even_down((width - inner[0]) / 2), _even_down((height - inner[1]) / 2)
    within = f"scale={inner[0]}:{inner[1]}:{_FLAGS}:{colours}"
    if fit == "pad":
        return f"{within},pad={width}:{height}:{x}:{y}:color=black", ""
    small = max(2, _even(width / _BLURRED)), max(2, _even(height / _BLURRED))
    behind = _crop([], source, size)
    behind = f"{behind}," if behind else ""
    label = f"{width}x{height}"
    return (
        f"split[near{label}@][far{label}@];"
        f"[far{label}@]{behind}scale={small[0]}:{small[1]}:{_FLAGS}:{colours},"
        f"gblur=sigma={max(small) / 40:.2f},eq=brightness=-0.06,"
        f"scale={width}:{height}:flags=bilinear[behind{label}@];"
        f"[near{label}@]{within}[inner{label}@];"
        f"[behind{label}@][inner{label}@]overlay={x}:{y}:format=auto",
        "",
    )


def _inside(source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Give the largest size of the source's shape that fits within the frame."""
    scale = min(size[0] / source[0], size[1] / source[1])
    return min(size[0], _even(source[0] * scale)), min(size[1], _even(source[1] * scale))


def _points(
    framing: Sequence[Framing], rate: Fraction, first: int
) -> list[tuple[float, float, float, float]]:
    """Give key points as (frame of what is drawn, x, y, zoom)."""
    return [
        (float(f.at * rate) - first, f.x, f.y, min(max(f.zoom, 1.0), _MAX_ZOOM)) for f in framing
    ]


def _crop(
    points: Sequence[tuple[float, float, float, float]],
    source: tuple[int, int],
    size: tuple[int, int],
) -> str:
    """Give the ``crop`` around the points, in shares of the picture; empty if all of it is shown.

    Shares, as the picture may be stored with pixels that are not square.
    """
    zoom = points[0][3] if points else 1.0
    wide, high = _cover(source, size)
    wide, high = wide / zoom, high / zoom
    if wide > 0.9995 and high > 0.9995:
        return ""
    x = _path([(at, _left(x, wide)) for at, x, _, _ in points]) if points else f"{(1 - wide) / 2}"
    y = _path([(at, _left(y, high)) for at, _, y, _ in points]) if points else f"{(1 - high) / 2}"
    return f"crop=w=iw*{wide:.8f}:h=ih*{high:.8f}:x='iw*({x})':y='ih*({y})'"


def _cover(source: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Give the largest crop of the frame's shape, in shares of the source."""
    ratio = (size[0] * source[1]) / (size[1] * source[0])
    return (ratio, 1.0) if ratio <= 1 else (1.0, 1 / ratio)


def _left(centre: float, share: float) -> float:
    """Give where a crop begins so that it stays within the picture."""
    return min(max(centre - share / 2, 0.0), 1.0 - share)


def _moving(
    points: Sequence[tuple[float, float, float, float]],
    source: tuple[int, int],
    size: tuple[int, int],
    colours: str,
) -> tuple[str, str]:
    """Move and zoom with parts of a pixel: whole ones would jump in slow movements.

    First only what is seen at any time is cut out and made small (of a still, once); then that is
    moved, a little larger than the frame, which keeps it sharp between pixels.
    """
    most = max(zoom for *_, zoom in points)
    cover = _cover(source, size)
    # As large as the closest look needs, but never larger than the source is.
    scale = min(most, max(1.0, source[0] * cover[0] / size[0]))
    crop, inner, corners = [], [], []
    for axis in (0, 1):
        parts = [cover[axis] / point[3] for point in points]
        starts = [_left(point[1 + axis], p) for point, p in zip(points, parts, strict=True)]
        ends = [start + part for start, part in zip(starts, parts, strict=True)]
        low, high = min(starts), max(ends)
        crop.append((high - low, low))
        inner.append(_even(size[axis] * scale / cover[axis] * (high - low)))
        corners.append(
            [
                _path(
                    [(p[0], (v - low) / (high - low)) for p, v in zip(points, edge, strict=True)],
                    "on",
                )
                for edge in (starts, ends)
            ]
        )
    (wide, x), (tall, y) = crop
    w, h = inner
    (x0, x1), (y0, y1) = corners
    return (
        f"crop=w=iw*{wide:.8f}:h=ih*{tall:.8f}:x=iw*{x:.8f}:y=ih*{y:.8f},"
        f"scale={w}:{h}:{_FLAGS}:{colours}",
        f"perspective=x0='{w}*({x0})':y0='{h}*({y0})':x1='{w}*({x1})':y1='{h}*({y0})':"
        f"x2='{w}*({x0})':y2='{h}*({y1})':x3='{w}*({x1})':y3='{h}*({y1})':"
        f"interpolation=linear:sense=source:eval=frame,"
        f"scale={size[0]}:{size[1]}:{_FLAGS}",
    )


def _path(points: Sequence[tuple[float, float]], clock: str = "n") -> str:
    """Write a value that moves linearly between key points as an expression of the frame number.

    Nested in halves: an expression may hold hundreds of points, and is evaluated for each frame.
    """

    def between(k: int) -> str:
        (a, u), (b, v) = points[k], points[k + 1]
        if b <= a or u == v:
            return f"{v:.8f}"
        return f"{u:.8f}+({clock}-({a:.4f}))*{(v - u) / (b - a):.10f}"

    def choose(low: int, high: int) -> str:
        """Over the stretches from point ``low`` to point ``high``."""
        if high - low == 1:
            return between(low)
        half = (low + high) // 2
        return f"if(lt({clock},{points[half][0]:.4f}),{choose(low, half)},{choose(half, high)})"

    if len({value for _, value in points}) == 1:
        return f"{points[0][1]:.8f}"
    (a, u), (b, v) = points[0], points[-1]
    inner = choose(0, len(points) - 1)
    return f"if(lt({clock},{a:.4f}),{u:.8f},if(gte({clock},{b:.4f}),{v:.8f},{inner}))"


def _even(size: float) -> int:
    return max(2, 2 * round(size / 2))


def _even_down(size: float) -> int:
    return 2 * int(size / 2)


def labelled(chain: str, number: int) -> str:
    """Make the labels within a chain its own."""
    return chain.replace("@]", f"_{number}]")


def shown(
    fit: Fit,
    framing: Sequence[Framing],
    source: tuple[int, int],
    size: tuple[int, int],
    rate: Fraction,
    frame: int,
    frames: int,
) -> tuple[Box, Box]:
    """Say which part of the source is seen where, at a frame of the shot.

    Returns:
        (x, y, width, height) within the source, and within the frame, in shares of each.
    """
    if fit in ("pad", "blur_pad"):
        inner = _inside(source, size)
        w, h = inner[0] / size[0], inner[1] / size[1]
        return (0.0, 0.0, 1.0, 1.0), ((1 - w) / 2, (1 - h) / 2, w, h)
    points = _points(framing, rate, 0)
    if not points:
        zooms = _KEN_BURNS if fit == "ken_burns" else (1.0, 1.0)
        points = [(0, 0.5, 0.5, zooms[0]), (frames, 0.5, 0.5, zooms[1])]
    wide, high = _cover(source, size)
    corners = [
        (at, _left(x, wide / zoom), _left(y, high / zoom), wide / zoom, high / zoom)
        for at, x, y, zoom in points
    ]
    before = [c for c in corners if c[0] <= frame] or corners[:1]
    after = [c for c in corners if c[0] > frame] or corners[-1:]
    one, other = before[-1], after[0]
    share = (frame - one[0]) / (other[0] - one[0]) if other[0] > one[0] <= frame else 0.0
    x, y, w, h = (u + (v - u) * share for u, v in zip(one[1:], other[1:], strict=True))
    return (x, y, w, h), (0.0, 0.0, 1.0, 1.0)
