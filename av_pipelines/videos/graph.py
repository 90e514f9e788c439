"""The filter graph of a stretch of a cut: every delivery of it from one decode of each source.

Here: from a cut, what is known of its sources, and a stretch of frames, to FFmpeg's inputs and
filters. All text in a graph is made of numbers, of known words, and of file names that this
project chose; what strangers wrote goes into ASS files (``ass``). Not here: a shot's own filters
(``shot_graph``), running it (``segments``), encoders (``encoders``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from av_pipelines.videos import ass, pasting, words
from av_pipelines.videos.cut import Cut, Overlay, Shot
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.shot_graph import (
    Building,
    Input,
    checked_look,
    pixel_format,
    shot_chains,
)
from av_pipelines.videos.sources import Source

_XFADE = {"dissolve": "fade", "fade": "fadeblack", "wipe": "wipeleft"}


@dataclass(frozen=True)
class Plan:
    """What it takes to render a stretch.

    ``files``: to be written beside it; ``labels``: of the outputs, one for each delivery.
    """

    inputs: tuple[Input, ...]
    graph: str
    files: Mapping[str, str]
    labels: tuple[str, ...]


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
    made = Building()
    parts: list[list[tuple[str, int, Shot]]] = [[] for _ in deliveries]
    for number, (shot, start) in enumerate(zip(cut.shots, cut.starts(), strict=True)):
        low, high = max(first - start, 0), min(last - start, shot.frames)
        if low >= high:
            continue
        if low and shot.transition and low < shot.transition.frames:
            raise ValueError(f"frame {first} is within the transition into {shot.name!r}")
        for k, label in enumerate(shot_chains(made, cut, deliveries, sources, number, low, high)):
            parts[k].append((label, high - low, replace(shot, transition=None) if low else shot))
    labels = []
    for k, delivery in enumerate(deliveries):
        label = _joined(made, parts[k], cut.rate, pixel_format(delivery))
        labels.append(_finished(made, cut, delivery, sources, label, first, last, name, k, sound))
    return Plan(tuple(made.inputs), ";\n".join(made.chains) + "\n", made.files, tuple(labels))


def _joined(
    made: Building,
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
    made: Building,
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
        label = _then(made, label, checked_look(delivery.look))
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


def _then(made: Building, label: str, chain: str) -> str:
    out = made.label()
    made.chains.append(f"[{label}]{chain}[{out}]")
    return out


def _pasted(
    made: Building,
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
