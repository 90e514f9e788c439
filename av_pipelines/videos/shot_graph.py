"""The filters of one shot: from its source to frames of a delivery's size, counted from its first.

Here: entering the source, its clock, its colours, how it fits; plain colours. Not here: putting
shots together and what is drawn over them (``graph``), what fits how (``fitting``).

Time: a shot shows at its frame n what a player shows of the source at ``start + n / rate * speed``:
the last picture that is due by then (``fps`` with ``round=up``, and a tolerance for time stamps
that were rounded). From there on only frames are counted, so nothing can drift.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av_pipelines.videos import ass
from av_pipelines.videos.cut import Cut, Shot
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.fitting import fit_chain, labelled
from av_pipelines.videos.sources import RenderError, Source, seek_from

_TOLERANCE = Fraction(1, 20_000)  # seconds; times that were written with few decimals
_COARSE = Fraction(1, 200)  # a tick as long as this is a frame of the source, and exact
# In linear light, 1 being the white of ITU-R BT.2408 at 203 cd/m²; what is brighter is bent.
_TO_STANDARD_RANGE = (
    "setparams=color_primaries=bt2020:colorspace=bt2020nc,zscale=t=linear:npl=203,"
    "format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=mobius:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p10le"
)


@dataclass(frozen=True)
class Input:
    """One ``-i`` of FFmpeg.

    ``own``: a file in the working folder, or a plain colour (lavfi); else ``path`` is opened.
    """

    options: tuple[str, ...] = ()
    path: Path | None = None
    own: str | None = None


@dataclass
class Building:
    """A graph while it is built."""

    inputs: list[Input] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    labels: int = 0

    def add(self, given: Input) -> int:
        """Add an input; return its number."""
        if given.own and given in self.inputs:
            return self.inputs.index(given)
        self.inputs.append(given)
        return len(self.inputs) - 1

    def label(self) -> str:
        """Give a name that no other has."""
        self.labels += 1
        return f"l{self.labels}"


def pixel_format(delivery: Delivery) -> str:
    """Give the pixels of a delivery: 10 bit 4:2:2 for ProRes, else 8 bit 4:2:0."""
    return "yuv422p10le" if delivery.codec == "prores" else "yuv420p"


def shot_chains(
    made: Building,
    cut: Cut,
    deliveries: Sequence[Delivery],
    sources: Mapping[tuple[Path, bool], Source],
    number: int,
    low: int,
    high: int,
) -> list[str]:
    """Add a shot's frames ``low`` to ``high``; return a label for each delivery."""
    shot = cut.shots[number]
    if shot.path is None:
        return [_plain(made, shot.colour, cut.rate, d, high - low) for d in deliveries]
    source = sources[shot.path, shot.still]
    begin = shot.start + low * shot.speed / cut.rate
    if source.still:
        chain = [f"[{made.add(Input(own=source.still))}:v]"]
        steps = []
    else:
        chain, steps = [f"[{made.add(_film(shot.path, source, begin))}:{source.video}]"], []
        if source.interlaced:
            steps.append("bwdif=mode=send_frame:deint=interlaced")
        steps.append(_clock(source, begin, shot.speed, cut.rate))
        if source.hdr:
            steps.append(_TO_STANDARD_RANGE)
    if shot.look:
        steps.append(checked_look(shot.look))
    outs = [made.label() for _ in deliveries]
    split = f"split={len(outs)}" if len(outs) > 1 else ""
    head = ",".join(filter(None, [*steps, split])) or "null"
    ins = [made.label() for _ in deliveries]
    made.chains.append("".join(chain) + head + "".join(f"[{label}]" for label in ins))
    for delivery, given, out in zip(deliveries, ins, outs, strict=True):
        fitted, moving = _fitted(shot, number, source, delivery, cut.rate, low)
        fitted = labelled(fitted, made.labels * 100 + number)
        end = f"tpad=stop=-1:stop_mode=clone,trim=end_frame={high - low}"
        still = f"fps={cut.rate}:start_time=0,settb=1/{cut.rate}" if source.still else ""
        frames = ",".join(filter(None, [still, end]))
        # A still is fitted once and then repeated; only what moves is made for each frame.
        order = [fitted, frames, moving]
        last = f"format={pixel_format(delivery)},setsar=1"
        made.chains.append(f"[{given}]{','.join(filter(None, [*order, last]))}[{out}]")
    return outs


def _film(path: Path, source: Source, begin: Fraction) -> Input:
    options = ["-max_pixels", "67108864"]
    enter = seek_from(source, begin)
    if enter is not None:
        options += ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{float(enter):.6f}"]
    return Input(tuple(options), path=path)


def _clock(source: Source, begin: Fraction, speed: Fraction, rate: Fraction) -> str:
    """Count time from the shot's beginning, at its speed, and take a picture for each frame."""
    zero = source.zero + begin + tolerance(source, rate)
    moved = f"(PTS-({float(zero * 1_000_000):.3f}))"
    if speed != 1:
        moved += f"/{float(speed):.12g}"
    return f"settb=1/1000000,setpts='floor({moved})',fps={rate}:round=up:start_time=0"


def tolerance(source: Source, rate: Fraction) -> Fraction:
    """Give how late a picture's time stamp may be, in seconds, to count as due.

    Time stamps are rounded to ticks, and a coarse tick (Matroska and FLV have milliseconds) would
    show every other frame late. Where pictures come at any time, a stamp is what it says.
    """
    late = source.tick * 11 / 10 if source.constant and source.tick < _COARSE else Fraction(0)
    return min(max(_TOLERANCE, late), 1 / (4 * max(rate, source.fps)))


def _fitted(
    shot: Shot, number: int, source: Source, delivery: Delivery, rate: Fraction, low: int
) -> tuple[str, str]:
    size = delivery.width, delivery.height
    framing, fit = shot.framing, delivery.fit or shot.fit
    if delivery.framing is not None and number in delivery.framing:
        framing, fit = delivery.framing[number], "crop"
    fitting = pixel_format(delivery)
    plain = source.matrix == "bt709" and not source.full_range and not source.hdr
    same = (source.width, source.height) == size and source.upright and not framing
    if same and plain and source.pix_fmt == fitting and fit != "ken_burns":
        return "", ""
    matrix = "bt709" if source.hdr else source.matrix
    reach = "pc" if source.full_range and not source.hdr else "tv"
    colours = f"in_range={reach}:out_color_matrix=bt709:out_range=tv"
    if not source.pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr")):
        colours += f":in_color_matrix={matrix}"
    return fit_chain(
        fit,
        framing,
        (source.width, source.height),
        size,
        rate,
        low,
        shot.frames,
        colours,
        fitting,
    )


def _plain(made: Building, colour: str, rate: Fraction, delivery: Delivery, frames: int) -> str:
    out = made.label()
    value = ass.colour(colour)  # checks it
    rgb = f"0x{value[8:10]}{value[6:8]}{value[4:6]}"
    # An input, not a source in the graph: FFmpeg aborts on graphs that have no input at all.
    size = f"{delivery.width}x{delivery.height}"
    colours = f"color=c={rgb}:s={size}:r={rate},trim=end_frame=1,format=gbrp"
    made.chains.append(
        f"[{made.add(Input(('-f', 'lavfi'), own=colours))}:v]"
        f"scale=out_color_matrix=bt709:out_range=tv,format={pixel_format(delivery)},setsar=1,"
        f"fps={rate}:start_time=0,tpad=stop=-1:stop_mode=clone,trim=end_frame={frames}[{out}]"
    )
    return out


_LOOK = re.compile(r"[A-Za-z0-9_=:,.+\-/*'() ]+")


def checked_look(look: str) -> str:
    """Give a look back; RenderError if it is more than filters and numbers."""
    if not _LOOK.fullmatch(look):
        raise RenderError(f"the look {look!r} is no plain chain of filters")
    return look
