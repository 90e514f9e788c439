"""The filter graph of a look.

Here: from settings, which are numbers and choices, to FFmpeg's filters. The only file names in a
graph are those below, relative to the folder the look is made in. Not here: running it (``look``).

The order: deinterlace, denoise, square pixels, stabilise, cut, size, colour, speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from av_pipelines.media.timecode import RATES, timecode_rate
from av_pipelines.scenes.grade import LUMA

if TYPE_CHECKING:
    from av_pipelines.scenes.cube import Cube
    from av_pipelines.scenes.look_settings import LookSettings
    from av_pipelines.scenes.speed import SpeedMap

TRANSFORMS, GRADE, TABLE = "transforms.trf", "grade.cube", "table.cube"
SOUND_RATE = 48_000

_DENOISE = {  # spatial and temporal strength for luma and chroma
    "light": "hqdn3d=3:2:4.5:3",
    "medium": "hqdn3d=6:4.5:9:7",
    "strong": "hqdn3d=12:9:18:13",
}
# In linear light, 1 being the white of ITU-R BT.2408 at 203 cd/m²; what is brighter is bent.
_STANDARD_RANGE = (
    "setparams=color_primaries=bt2020:colorspace=bt2020nc",
    "zscale=t=linear:npl=203",
    "format=gbrpf32le",
    "zscale=p=bt709",
    "tonemap=tonemap=mobius:desat=0",
    "zscale=t=bt709:m=bt709:r=tv",
    "format=yuv420p10le",
)
_SLOW_MOTION = {"blend": "blend", "flow": "mci"}
_FIELDS = 3  # the fewest lines and columns that can be deinterlaced
_WRITTEN = 0.005  # 29.97 is written for 30000/1001


@dataclass(frozen=True)
class Footage:
    """What the filters need to know of the film.

    Attributes:
        width, height: upright, in square pixels.
        fps: frames per second.
        variable: whether its frames are shown for unequal times.
        matrix: its colour matrix, by FFmpeg's name for ``scale``.
        hdr: whether it is of high dynamic range (PQ or HLG); it is then mapped to standard range.
        sound: index of its audio stream; None if there is none.
        length_s: seconds from the beginning of the file to the end of the picture.
    """

    width: int
    height: int
    fps: Fraction
    variable: bool
    matrix: str
    hdr: bool
    sound: int | None
    length_s: float


@dataclass(frozen=True)
class Tables:
    """The look-up tables of a look, None where there is none."""

    curves: Cube | None
    table: Cube | None


def detect_graph(film: int, footage: Footage, settings: LookSettings) -> str:
    """Give the graph of the first pass of stabilisation, which measures the movement."""
    chain = [
        *_cleaned(footage, settings),
        "format=yuv420p",
        f"vidstabdetect=result={TRANSFORMS}:fileformat=ascii:"
        f"shakiness={settings.stabilise_shakiness}:accuracy=15",
    ]
    return f"[0:{film}]{','.join(chain)}[v]"


def look_graph(
    film: int, footage: Footage, settings: LookSettings, tables: Tables, speed: SpeedMap
) -> str:
    """Give the graph of the look, with outputs ``[v]`` and, if there is sound, ``[a]``."""
    chain = [
        *_cleaned(footage, settings),
        *_stabilised(settings),
        *_sized(footage, settings),
        *_coloured(footage, settings, tables),
        *_timed(footage, settings, speed),
        "scale=in_range=auto:out_color_matrix=bt709:out_range=tv",
        "format=yuv420p",
        "setsar=1",
    ]
    graph = [f"[0:{film}]{','.join(chain)}[v]"]
    if footage.sound is not None and settings.sound:
        graph += _sound(footage, speed)
    return ";\n".join(graph)


def output_size(footage: Footage, settings: LookSettings) -> tuple[int, int]:
    """Give width and height of the look."""
    _, _, width, height = _window(footage, settings)
    if settings.width and settings.height:
        return settings.width, settings.height
    if settings.width:
        return settings.width, _even(height * settings.width / width)
    if settings.height:
        return _even(width * settings.height / height), settings.height
    return _even(width), _even(height)


def output_rate(footage: Footage, settings: LookSettings, speed: SpeedMap) -> Fraction | None:
    """Give the frames per second of the look; None: each frame keeps its own time stamp."""
    if settings.fps is not None:
        near = (rate for rate in RATES if abs(rate - settings.fps) < _WRITTEN)
        return next(near, Fraction(settings.fps).limit_denominator(1001))
    if footage.variable:
        return None if speed.constant == 1 else timecode_rate(footage.fps, constant=False)
    return footage.fps


def _cleaned(footage: Footage, settings: LookSettings) -> list[str]:
    """What comes before anything is measured: both passes of stabilisation see the same."""
    chain = []
    if settings.deinterlace != "never" and min(footage.width, footage.height) >= _FIELDS:
        frames = "interlaced" if settings.deinterlace == "auto" else "all"
        chain.append(f"bwdif=mode=send_frame:deint={frames}")
    if settings.denoise:
        chain.append(_DENOISE[settings.denoise])
    if footage.hdr:
        chain += _STANDARD_RANGE
    size = f"{footage.width}:{footage.height}"
    return [*chain, f"scale={size}:flags=bicubic:in_color_matrix={_matrix(footage)}", "setsar=1"]


def _stabilised(settings: LookSettings) -> list[str]:
    if not settings.stabilise:
        return []
    zoom = 1 if settings.stabilise_zoom else 0
    return [
        "format=yuv420p",
        f"vidstabtransform=input={TRANSFORMS}:smoothing={settings.stabilise_smoothing}:"
        f"optzoom={zoom}:interpol=bicubic:crop=black",
    ]


def _window(footage: Footage, settings: LookSettings) -> tuple[int, int, int, int]:
    """Give left, top, width and height of what is left of the picture."""
    left, top, right, bottom = settings.crop
    x, y = round(footage.width * left), round(footage.height * top)
    width = max(1, round(footage.width * (1 - right)) - x)
    height = max(1, round(footage.height * (1 - bottom)) - y)
    return x, y, width, height


def _sized(footage: Footage, settings: LookSettings) -> list[str]:
    x, y, width, height = _window(footage, settings)
    chain = []
    if (width, height) != (footage.width, footage.height):
        chain.append(f"crop={width}:{height}:{x}:{y}:exact=1")
    wide, high = output_size(footage, settings)
    if settings.width and settings.height and settings.fit != "stretch":
        choose = min if settings.fit == "pad" else max
        scale = choose(wide / width, high / height)
        inner = _even(width * scale), _even(height * scale)
        chain.append(f"scale={inner[0]}:{inner[1]}:flags=bicubic")
        if settings.fit == "pad":
            chain.append(f"pad={wide}:{high}:-1:-1:color=black")
        else:
            chain.append(f"crop={wide}:{high}")
    elif (wide, high) != (width, height):
        chain.append(f"scale={wide}:{high}:flags=bicubic")
    return chain


def _coloured(footage: Footage, settings: LookSettings, tables: Tables) -> list[str]:
    chain = []
    if tables.curves:
        chain.append(f"lut1d=file={GRADE}:interp=linear")
    if settings.saturation != 1:
        chain.append(_saturated(settings.saturation))
    if tables.table:
        name = "lut3d" if tables.table.solid else "lut1d"
        how = "tetrahedral" if tables.table.solid else "linear"
        chain.append(f"{name}=file={TABLE}:interp={how}")
    # With 16 bits in between, several steps do not add up to banding.
    return [f"scale=in_color_matrix={_matrix(footage)}", "format=gbrp16le", *chain] if chain else []


def _matrix(footage: Footage) -> str:
    return "bt709" if footage.hdr else footage.matrix


def _saturated(strength: float) -> str:
    """Mix every channel with luma: strength × colour + (1 - strength) × grey."""
    terms = []
    for k, out in enumerate("rgb"):
        for j, channel in enumerate("rgb"):
            share = (1 - strength) * LUMA[j] + (strength if j == k else 0)
            terms.append(f"{out}{channel}={share:.6f}")
    return "colorchannelmixer=" + ":".join(terms)


def _timed(footage: Footage, settings: LookSettings, speed: SpeedMap) -> list[str]:
    chain = [] if speed.constant == 1 else [speed.picture_filter()]
    rate = output_rate(footage, settings, speed)
    if rate is None:
        return chain
    slower = any(piece.speed < 1 for piece in speed.pieces)
    if slower and settings.slow_motion in _SLOW_MOTION:
        mode = _SLOW_MOTION[settings.slow_motion]
        chain.append(f"minterpolate=fps={rate}:mi_mode={mode}")
    return [*chain, f"fps={rate}:start_time=0"]


def _sound(footage: Footage, speed: SpeedMap) -> list[str]:
    length = f"{footage.length_s:.6f}"
    ready = f"aresample={SOUND_RATE}:async=1:first_pts=0,apad=whole_dur={length}"
    source = f"[0:{footage.sound}]{ready}"
    if speed.constant == 1:
        return [f"{source}[a]"]
    return [f"{source}[s]", *speed.sound_filters("s", "a", SOUND_RATE, footage.length_s)]


def _even(size: float) -> int:
    return max(2, 2 * round(size / 2))
