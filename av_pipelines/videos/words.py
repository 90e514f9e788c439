"""What is written on the picture, and when: text overlays, lower thirds, captions, karaoke.

Here: from the cut's overlays and captions to events of an ASS script. Not here: how ASS is written
(``ass``), pictures laid over the film (``graph``), captions as a stream (``subtitles``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from av_pipelines.videos.ass import MS, AssStyle, Event, colour, escape
from av_pipelines.videos.cut import Anchor, Caption, Captions, Overlay, Style

_ALIGNMENTS: dict[Anchor, int] = {
    "top-left": 7, "top": 8, "top-right": 9,
    "left": 4, "centre": 5, "right": 6,
    "bottom-left": 1, "bottom": 2, "bottom-right": 3,
}  # fmt: skip
_BAND = "#000000a0"  # behind a lower third that names no box
_SUBTITLE = 0.7  # size of its second line
_SIDES = 0.06  # of the width: the most that is kept free on either side
_LETTER, _LINE = 0.6, 1.25  # width of a letter, height of a line: shares of its size
_CAPTION_LAYER, _OVERLAY_LAYER = 1, 2


def events(
    overlays: tuple[Overlay, ...],
    captions: Captions | None,
    rate: Fraction,
    size: tuple[int, int],
    frames: int,
) -> list[Event]:
    """List what is written, in order of the film.

    Args:
        overlays: of the film; pictures among them are left out.
        captions: of the film; only burned ones are written.
        rate: frames a second.
        size: width and height of the picture, in pixels.
        frames: of the film.
    """
    found = [_overlay(o, size) for o in overlays if o.kind != "image" and _says(o)]
    if captions and captions.mode == "burned":
        for cue in captions.cues:
            margin = captions.margin
            if captions.anchor.startswith("bottom"):
                span = (round(cue.start * rate), round(cue.end * rate))
                margin = max(margin, _covered(overlays, span, size))
            style = _style(captions.style, captions.anchor, margin, size)
            found += _cue(cue, captions, style, rate)
    inside = [replace(e, start=max(e.start, 0), end=min(e.end, frames)) for e in found]
    return sorted((e for e in inside if e.start < e.end), key=lambda e: (e.start, e.layer))


def borders(events: list[Event]) -> set[int]:
    """List the frames at which the film may not be cut into parts: those within a fade.

    Events without a fade look the same wherever they are entered.
    """
    return {
        frame
        for event in events
        if event.text.startswith(r"{\fad")
        for frame in range(event.start + 1, event.end)
    }


def _covered(overlays: tuple[Overlay, ...], span: tuple[int, int], size: tuple[int, int]) -> float:
    """Up to which share of the height lower thirds cover the picture in some frames."""
    width, height = size
    tops = [0.0]
    for overlay in overlays:
        below = overlay.anchor == "centre" or overlay.anchor.startswith("bottom")
        then = overlay.start < span[1] and span[0] < overlay.start + overlay.frames
        if overlay.kind == "lower_third" and below and then and _says(overlay):
            letters = max(1.0, width * (1 - 2 * _SIDES) / (_LETTER * overlay.style.size * height))
            lines = -(-len(overlay.text) // letters)
            lines += _SUBTITLE * -(-_SUBTITLE * len(overlay.subtitle) // letters)
            tops.append(overlay.margin + _LINE * overlay.style.size * (lines + 1 / 2))
    return max(tops)


def _says(overlay: Overlay) -> bool:
    return bool(overlay.text.strip() or overlay.subtitle.strip())


def _style(style: Style, anchor: Anchor, margin: float, size: tuple[int, int]) -> AssStyle:
    width, height = size
    away = margin * height
    return AssStyle(
        font=style.font,
        size=max(1.0, style.size * height),
        primary=style.colour,
        outline=style.outline,
        outline_width=max(0.0, style.outline_width * height),
        bold=style.bold,
        box=style.box,
        alignment=_ALIGNMENTS[anchor],
        # What keeps words off a phone's controls below would leave none of a tall picture beside.
        margin=(round(min(away, _SIDES * width)), round(away)),
    )


def _overlay(overlay: Overlay, size: tuple[int, int]) -> Event:
    look, anchor = overlay.style, overlay.anchor
    text = escape(overlay.text)
    if overlay.kind == "lower_third":
        anchor = "bottom-left" if anchor == "centre" else anchor
        look = replace(look, box=look.box or _BAND)
        text = rf"{{\b1}}{text}{{\b{int(look.bold)}}}"
        if overlay.subtitle.strip():
            small = look.size * size[1] * _SUBTITLE
            text += rf"\N{{\fs{small:.2f}}}{escape(overlay.subtitle)}"
    tags = ""
    if overlay.fade_frames > 0:
        long = min(overlay.fade_frames, overlay.frames // 2) * MS
        tags += rf"\fad({long},{long})"
    if overlay.opacity < 1:
        tags += _see_through(look, overlay.opacity)
    return Event(
        start=overlay.start,
        end=overlay.start + overlay.frames,
        style=_style(look, anchor, overlay.margin, size),
        text=(f"{{{tags}}}" if tags else "") + text,
        layer=_OVERLAY_LAYER,
    )


def _see_through(look: Style, opacity: float) -> str:
    """Write the alpha of text, outline and box, each of its own colour."""
    parts = ((1, look.colour), (3, look.outline), (4, look.box or "#000000"))
    return "".join(rf"\{n}a{colour(value, opacity)[:4]}&" for n, value in parts)


# ---------------------------------------------------------------------- captions


def _cue(cue: Caption, captions: Captions, style: AssStyle, rate: Fraction) -> Iterator[Event]:
    start, end = round(cue.start * rate), round(cue.end * rate)
    text = "\n".join(cue.lines)
    if not text.strip():
        return
    if not (captions.karaoke and cue.words):
        yield Event(start, end, style, escape(text), _CAPTION_LAYER)
        return
    at = start
    for begin, stop, span in _said(cue, text, rate, start, end):
        if begin > at:
            yield Event(at, begin, style, escape(text), _CAPTION_LAYER)
        yield Event(begin, stop, style, _lit(text, span, captions.style), _CAPTION_LAYER)
        at = stop
    if end > at:
        yield Event(at, end, style, escape(text), _CAPTION_LAYER)


def _said(
    cue: Caption, text: str, rate: Fraction, start: int, end: int
) -> list[tuple[int, int, tuple[int, int]]]:
    """Find each word in the text and its frames: none before the one before has ended."""
    found: list[tuple[int, int, tuple[int, int]]] = []
    place, at = 0, start
    for k, word in enumerate(cue.words):
        said = word.text.strip()
        where = text.find(said, place)
        if not said or where < 0:
            continue  # it is in the text, but cannot be told apart from it
        place = where + len(said)
        begin = max(at, round(word.start * rate))
        latest = round(cue.words[k + 1].start * rate) if k + 1 < len(cue.words) else end
        stop = min(max(round(word.end * rate), begin + 1), max(latest, begin + 1), end)
        if stop > begin:
            found.append((begin, stop, (where, place)))
            at = stop
    return found


def _lit(text: str, span: tuple[int, int], look: Style) -> str:
    begin, stop = span
    on, off = colour(look.highlight), colour(look.colour)
    lit = rf"{{\1c&H{on[4:]}&}}{escape(text[begin:stop])}{{\1c&H{off[4:]}&}}"
    return escape(text[:begin]) + lit + escape(text[stop:])
