"""Words of a film on a picture of another shape: broken anew, and clear of what covers the edges.

Here: captions and overlays of a cut, made over for a platform. Not here: drawing them (``render``),
which words are said when.

A caption whose lines are too long for a narrow picture becomes several, one after the other, each
shown from its first word on: words by their own times, or by their share of the letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from av_pipelines.videos.breaking import Words, broken
from av_pipelines.videos.cut import Caption, Captions, Overlay, Word
from av_pipelines.videos.platforms import Platform, SafeArea

_EM = 0.86  # of libass's font size, which is that of a line, in DejaVu Sans
_NARROW, _WIDE = frozenset("iljtf.,:;!'|()[]-’ "), frozenset("mwMW@%—…")
_BOLD = 1.12
_PHONE = 1.3  # how much larger words are on a tall picture, which is watched on a small screen
_MIDDLE = ("left", "centre", "right")
_SUBTITLES, _LARGEST = 0.055, 1.4  # size of what is read beside the picture; most times as large
_AIR = 0.02  # between words and what is covered, in shares of the height


@dataclass(frozen=True)
class _Piece:
    """A word of a caption; ``spaced``: a blank stands before it."""

    text: str
    start: Fraction
    end: Fraction
    spaced: bool


def text_width(text: str, *, bold: bool = False) -> float:
    """Estimate the width of a line, in sizes of its font (``Style.size``).

    Generous, for the widest of the usual sans-serif fonts; scripts of square letters count as such.
    """
    em = sum(map(_letter, text))
    return em * _EM * (_BOLD if bold else 1.0)


def _letter(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in _NARROW:
        return 0.36
    if letter in _WIDE:
        return 0.97
    return 0.72 if letter.isupper() else 0.62


def captions_for(captions: Captions, platform: Platform) -> Captions:
    """Place captions for a platform; those in a stream stay as they are."""
    if captions.mode == "stream":
        return captions
    place, safe = platform.captions, platform.safe
    lyrics = captions.anchor in _MIDDLE  # words that are the picture: they stay, and stay large
    larger = min(max(captions.style.size / _SUBTITLES, 1.0), _LARGEST) if lyrics else 1.0
    style = replace(captions.style, size=round(place.size * larger, 4))
    anchor = captions.anchor if lyrics else place.anchor
    edge = safe.top if anchor.startswith("top") else safe.bottom
    width = _room(safe, platform) / (style.size * platform.height)
    lines = place.lines * 2 if lyrics else place.lines
    return replace(
        captions,
        cues=tuple(
            part
            for cue in captions.cues
            for part in fitted(cue, width, lines, bold=style.bold, language=captions.language)
        ),
        style=style,
        anchor=anchor,
        margin=captions.margin if lyrics else round(edge + _AIR, 4),
    )


def _room(safe: SafeArea, platform: Platform) -> float:
    """Give the pixels that a centred line may have."""
    return (1 - 2 * max(safe.left, safe.right)) * platform.width


def overlays_for(
    overlays: Sequence[Overlay], platform: Platform, aspect: float
) -> tuple[Overlay, ...]:
    """Place texts and pictures over the film for a platform.

    Args:
        overlays: of the film.
        platform: where it is shown.
        aspect: width by height of the film they were made for.
    """
    return tuple(_overlay(overlay, platform, aspect) for overlay in overlays)


def _overlay(overlay: Overlay, platform: Platform, aspect: float) -> Overlay:
    if overlay.kind == "image" and (overlay.size or 0) >= 1:
        return overlay  # it covers the picture
    # As large beside the shorter side as it was, and a little larger where phones are held.
    scale = min(1.0, min(1.0, platform.aspect) / min(1.0, aspect) * _PHONE)
    safe, style = platform.safe, overlay.style
    edges = {"top": safe.top, "bottom": safe.bottom}
    margin = max(overlay.margin, *(v for k, v in edges.items() if overlay.anchor.startswith(k)), 0)
    style = replace(style, size=round(style.size * scale, 4))
    lines = overlay.text.split("\n")
    longest = max((text_width(line, bold=style.bold) for line in lines), default=0)
    room = _room(safe, platform) / platform.height
    # It is broken at blanks, but the longest word must fit.
    words = max((text_width(w, bold=style.bold) for w in overlay.text.split()), default=0)
    if words * style.size > room:
        style = replace(style, size=round(room / words, 4))
    elif len(lines) == 1 and 1 < longest * style.size / room < 1.3:
        style = replace(style, size=round(room / longest, 4))  # rather than one word by itself
    size = overlay.size and round(overlay.size * scale, 4)
    return replace(overlay, style=style, margin=round(margin, 4), size=size)


def fitted(
    cue: Caption, width: float, lines: int, *, bold: bool = False, language: str | None = None
) -> list[Caption]:
    """Make captions of a caption that fit in so many lines of a width (as ``text_width``)."""
    if len(cue.lines) <= lines and all(text_width(x, bold=bold) <= width for x in cue.lines):
        return [cue]
    pieces = _pieces(cue)
    if not pieces:
        return [cue]
    measured = Words(
        [piece.text for piece in pieces],
        [piece.spaced for piece in pieces],
        [text_width(piece.text, bold=bold) for piece in pieces],
        text_width(" ", bold=bold),
    )
    groups = [
        [pieces[first:behind] for first, behind in rows]
        for rows in broken(measured, width, lines, language)
    ]
    starts = [cue.start, *(max(group[0][0].start, cue.start) for group in groups[1:]), cue.end]
    return [
        Caption(
            start,
            max(end, start),
            tuple(map(_write, group)),
            tuple(Word(p.start, p.end, p.text) for row in group for p in row) if cue.words else (),
        )
        for group, (start, end) in zip(groups, pairwise(starts), strict=True)
        if end > start
    ]


def _write(row: Sequence[_Piece]) -> str:
    return "".join((" " if p.spaced and i else "") + p.text for i, p in enumerate(row))


def _pieces(cue: Caption) -> list[_Piece]:
    """Cut a caption into words with times."""
    if cue.words:
        return _timed(cue)
    words = " ".join(cue.lines).split()
    letters = sum(map(len, words)) or 1
    pieces, before = [], 0
    for text, blank in zip(words, _spacing([(text, True) for text in words]), strict=True):
        start = cue.start + (cue.end - cue.start) * Fraction(before, letters)
        before += len(text)
        end = cue.start + (cue.end - cue.start) * Fraction(before, letters)
        pieces.append(_Piece(text, start, end, blank))
    return pieces


def _timed(cue: Caption) -> list[_Piece]:
    found, text, place = [], "\n".join(cue.lines), 0
    for word in cue.words:
        said = word.text.strip()
        where = text.find(said, place)
        between = text[place:where] if where >= 0 else " "
        place = where + len(said) if where >= 0 else place
        found.append((said, bool(between)))
    spaced = _spacing(found)
    return [
        _Piece(said, word.start, word.end, blank)
        for (said, _), word, blank in zip(found, cue.words, spaced, strict=True)
        if said
    ]


def _spacing(words: Sequence[tuple[str, bool]]) -> list[bool]:
    """Tell before which words a blank stands: between square letters there is none."""
    before = ["", *(text for text, _ in words[:-1])]
    return [
        apart and not (_square(last[-1:]) and _square(text[:1]))
        for last, (text, apart) in zip(before, words, strict=True)
    ]


def _square(letter: str) -> bool:
    return bool(letter) and unicodedata.east_asian_width(letter) in "WF"
