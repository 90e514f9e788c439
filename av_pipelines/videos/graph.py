"""The filter graph of a stretch of a cut: every delivery of it from one decode of each source.

Here: from a cut, what is known of its sources, and a stretch of frames, to FFmpeg's inputs and
filters. All text in a graph is made of numbers, of known words, and of file names that this
project chose; what strangers wrote goes into ASS files (``ass``). Not here: running it
(``segments``), encoders (``encoders``).

Time: a shot shows at its frame n what a player shows of the source at ``start + n / rate * speed``:
the last picture that is due by then (``fps`` with ``round=up``, and a tolerance for time stamps
that were rounded). From there on only frames are counted, so nothing can drift.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from av_pipelines.videos import ass, pasting, words
from av_pipelines.videos.cut import Cut, Overlay, Shot
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.fitting import fit_chain, labelled
from av_pipelines.videos.sources import RenderError, Source, seek_from

_TOLERANCE = Fraction(1, 20_000)  # seconds; times that were written with few decimals
_COARSE = Fraction(1, 200)  # a tick as long as this is a frame of the source, and exact
_XFADE = {"dissolve": "fade", "fade": "fadeblack", "wipe": "wipeleft"}
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


@dataclass(frozen=True)
class Plan:
    """What it takes to render a stretch.

    ``files``: to be written beside it; ``labels``: of the outputs, one for each delivery.
    """

    inputs: tuple[Input, ...]
    graph: str
    files: Mapping[str, str]
    labels: tuple[str, ...]


@dataclass
class _Building:
    inputs: list[Input] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    labels: int = 0

    def add(self, given: Input) -> int:
        if given.own and given in self.inputs:
            return self.inputs.index(given)
        self.inputs.append(given)
        return len(self.inputs) - 1

    def label(self) -> str:
        self.labels += 1
        return f"l{self.labels}"


def pixel_format(delivery: Delivery) -> str:
    """Give the pixels of a delivery: 10 bit 4:2:2 for ProRes, else 8 bit 4:2:0."""
    return "yuv422p10le" if delivery.codec == "prores" else "yuv420p"


def build(
    cut: Cut,
    deliveries: Sequence[Delivery],
    sources: Mapping[tuple[Path, bool], Source],
    first: int,
    last: int,
    name: str,
    sound: str | None = None,
) -> Plan:
    """Build the graph of a stretch of the film.

    Args:
        cut: the film.
        deliveries: what is wanted of it; all of them reach to ``last``.
        sources: what is known of every file the cut names.
        first: frame of the stretch; not within a transition.
        last: the frame after the stretch's last; neither is it.
        name: of the stretch; the files it needs have names that begin with it.
        sound: name of the film's own sound in the working folder, where a wave is drawn of it.
    """
    made = _Building()
    parts: list[list[tuple[str, int, Shot]]] = [[] for _ in deliveries]
    for number, (shot, start) in enumerate(zip(cut.shots, cut.starts(), strict=True)):
        low, high = max(first - start, 0), min(last - start, shot.frames)
        if low >= high:
            continue
        if low and shot.transition and low < shot.transition.frames:
            raise ValueError(f"frame {first} is within the transition into {shot.name!r}")
        for k, label in enumerate(_shot(made, cut, deliveries, sources, number, low, high)):
            parts[k].append((label, high - low, replace(shot, transition=None) if low else shot))
    labels = []
    for k, delivery in enumerate(deliveries):
        label = _joined(made, parts[k], cut.rate, pixel_format(delivery))
        labels.append(_finished(made, cut, delivery, sources, label, first, last, name, k, sound))
    return Plan(tuple(made.inputs), ";\n".join(made.chains) + "\n", made.files, tuple(labels))


# ---------------------------------------------------------------------- shots


def _shot(
    made: _Building,
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
        steps.append(_checked(shot.look))
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


def _plain(made: _Building, colour: str, rate: Fraction, delivery: Delivery, frames: int) -> str:
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


def _checked(look: str) -> str:
    if not _LOOK.fullmatch(look):
        raise RenderError(f"the look {look!r} is no plain chain of filters")
    return look


# ---------------------------------------------------------------------- the film


def _joined(
    made: _Building,
    parts: Sequence[tuple[str, int, Shot]],
    rate: Fraction,
    pixels: str,
) -> str:
    """Put shots one after the other, with their transitions; return the label.

    Only the frames of a transition go through its filter, which works in 4:4:4.
    """
    line: list[str] = []
    tail = ""
    for k, (label, frames, shot) in enumerate(parts):
        after = parts[k + 1][2].transition if k + 1 < len(parts) else None
        coming = shot.transition.frames if k and shot.transition else 0
        going = after.frames if after else 0
        cuts = [(0, coming), (coming, frames - going), (frames - going, frames)]
        wanted = [cut for cut in cuts if cut[0] < cut[1]]
        if len(wanted) > 1:
            outs = [made.label() for _ in wanted]
            both = "".join(f"[{out}]" for out in outs)
            made.chains.append(f"[{label}]split={len(outs)}{both}")
        else:
            outs = [label]
        pieces = {
            cut: _then(made, out, f"trim=start_frame={cut[0]}:end_frame={cut[1]},{_counted(rate)}")
            if len(wanted) > 1
            else out
            for cut, out in zip(wanted, outs, strict=True)
        }
        if coming:
            assert shot.transition
            over = made.label()
            made.chains.append(
                f"[{tail}][{pieces[cuts[0]]}]"
                f"xfade=transition={_XFADE[shot.transition.kind]}:"
                f"duration={float(coming / rate):.6f}:offset=0,"
                f"tpad=stop=-1:stop_mode=clone,trim=end_frame={coming},format={pixels}[{over}]"
            )
            line.append(over)
        if cuts[1] in pieces:
            line.append(pieces[cuts[1]])
        tail = pieces.get(cuts[2], "")
    if len(line) == 1:
        return line[0]
    ins = "".join(f"[{one}]" for one in line)
    out = made.label()
    made.chains.append(f"{ins}concat=n={len(line)}:v=1:a=0[{out}]")
    return out


def _counted(rate: Fraction) -> str:
    """Time stamps are the frame's number."""
    return f"settb={rate.denominator}/{rate.numerator},setpts=N"


def _finished(
    made: _Building,
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    label: str,
    first: int,
    last: int,
    name: str,
    number: int,
    sound: str | None,
) -> str:
    """Add look, wave, pictures and words; return the label of the output."""
    frames = delivery.frames(cut)
    if delivery.look:
        label = _then(made, label, _checked(delivery.look))
    wave = delivery.wave or cut.wave
    if wave and sound:
        at = made.add(Input(own=sound))
        wide, high = delivery.width, max(2, 2 * round(wave.height * delivery.height / 2))
        colour = ass.colour(wave.colour)
        drawn, out = made.label(), made.label()
        made.chains.append(
            f"[{at}:a]atrim=start={float(first / cut.rate):.6f},asetpts=PTS-STARTPTS,"
            f"showwaves=s={wide}x{high}:mode=cline:rate={cut.rate}:draw=full:"
            f"colors=0x{colour[8:10]}{colour[6:8]}{colour[4:6]},{_counted(cut.rate)}[{drawn}]"
        )
        top = round(wave.top * delivery.height)
        made.chains.append(f"[{label}][{drawn}]overlay=0:{top}:eof_action=repeat[{out}]")
        label = out
    overlays = cut.overlays if delivery.overlays is None else delivery.overlays
    for overlay in overlays:
        if overlay.kind == "image":
            label = _pasted(made, cut, delivery, sources, overlay, label, first, last)
    captions = delivery.captions or cut.captions
    written = words.events(overlays, captions, cut.rate, (delivery.width, delivery.height), frames)
    script = ass.script(written, delivery.width, delivery.height, first, last)
    steps = []
    if script:
        file = f"{name}_{number}.ass"
        made.files[file] = script
        # The clock of the script: each frame lasts a tenth of a second on it.
        steps += [f"settb=1/1000,setpts=N*{ass.MS}", f"ass=filename={file}"]
    steps += [_counted(cut.rate), f"trim=end_frame={min(last, frames) - first}"]
    steps.append(f"format={pixel_format(delivery)}")
    steps.append("setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv")
    label = _then(made, label, ",".join(steps))
    # Frames that are black are noted (some points of each are looked at): ``verify`` asks why.
    out, seen = made.label(), made.label()
    made.chains.append(f"[{label}]split[{out}][{seen}]")
    made.chains.append(
        f"[{seen}]scale=64:36:flags=neighbor,format=gray,blackframe=amount=100:threshold=24,"
        f"metadata=mode=print:key=lavfi.blackframe.pblack:file={black_file(name, number)},nullsink"
    )
    return out


def black_file(name: str, number: int) -> str:
    """Name the list of the black frames of a stretch, for one of its outputs."""
    return f"{name}_{number}.black"


def _then(made: _Building, label: str, chain: str) -> str:
    out = made.label()
    made.chains.append(f"[{label}]{chain}[{out}]")
    return out


def _pasted(
    made: _Building,
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    overlay: Overlay,
    label: str,
    first: int,
    last: int,
) -> str:
    """Lay a picture over the film; it costs only in the frames that show it."""
    begin, end = max(overlay.start, first), min(overlay.start + overlay.frames, last)
    if begin >= end or overlay.path is None:
        return label
    source = sources[overlay.path, True]
    left, top, *size = pasting.place(overlay, source, cut, delivery)
    drawn = pasting.chain(overlay, (size[0], size[1]), cut.rate, first, end)
    assert source.still
    pasted = made.label()
    given = made.add(Input(own=source.still))
    made.chains.append(f"[{given}:v]{drawn}[{pasted}]")
    out = made.label()
    shown = f"between(n,{begin - first},{end - first - 1})"
    made.chains.append(
        f"[{label}][{pasted}]overlay={left}:{top}:eof_action=repeat:enable='{shown}'[{out}]"
    )
    return out
