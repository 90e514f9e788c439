"""Which fonts libass really takes for the words of a film, and which characters none has.

Here: asking libass itself, with one small picture of all the text, and reading what it says. Not
here: where words stand (``words``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from av_pipelines.videos import ass, words
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.running import run_ffmpeg

_CHOSEN = re.compile(r"fontselect: \((.+?), \d+, \d+\) -> (.+), -?\d+, (\S+)")
_MISSING = re.compile(r"failed to find any fallback with glyph 0x([0-9A-F]+) for font")
_SHOWN = 12  # missing characters that are named
Fonts = tuple[tuple[str, ...], str | None]


def find_fonts(cut: Cut, deliveries: Sequence[Delivery], out: Path) -> list[Fonts]:
    """Ask libass which fonts it takes.

    Args:
        cut: the film.
        deliveries: what is wanted of it.
        out: the working folder.

    Returns:
        For each delivery: the fonts, and a sentence about those that were not to be had and the
        characters that no font has; None if all is well.
    """
    known: dict[str, Fonts] = {}
    found = []
    for delivery in deliveries:
        overlays = cut.overlays if delivery.overlays is None else delivery.overlays
        events = words.events(
            overlays, delivery.captions or cut.captions, cut.rate, (1280, 720), cut.frames
        )
        text = _sample(events)
        if text is None:
            found.append(((), None))
            continue
        if text not in known:
            known[text] = _ask(text, out / f"fonts{len(known)}")
        found.append(known[text])
    return found


def _sample(events: Sequence[ass.Event]) -> str | None:
    """Write a script with every character once per font."""
    seen: dict[tuple[str, bool], tuple[ass.AssStyle, set[str]]] = {}
    for event in events:
        plain = re.sub(r"\\N", "", re.sub(r"(?<!\\)\{[^}]*\}", "", event.text))
        bold = event.style.bold or r"\b1" in event.text
        key = (event.style.font, bold)
        style = replace(event.style, bold=bold)
        seen.setdefault(key, (style, set()))[1].update(plain)
    shown = [
        ass.Event(
            0, 10, style, ass.escape("".join(sorted(c for c in characters if c.isprintable())))
        )
        for style, characters in seen.values()
    ]
    return ass.script(shown, 1280, 720, 0, 10)


def _ask(script: str, folder: Path) -> Fonts:
    folder.mkdir()
    (folder / "fonts.ass").write_text(script, "utf-8")
    graph = f"color=s=64x36:r=10:d=0.1,settb=1/1000,setpts=N*{ass.MS},ass=filename=fonts.ass[v]"
    arguments = ["-report", "-filter_complex", graph, "-map", "[v]", "-f", "null", "-"]
    run_ffmpeg([], arguments, folder)
    said = "".join(path.read_text("utf-8", "replace") for path in folder.glob("ffmpeg-*.log"))
    used, other = [], []
    for wanted, _, name in _CHOSEN.findall(said):
        if name not in used:
            used.append(name)
        plain, taken = (re.sub(r"\W", "", n).lower() for n in (wanted, name))
        if not taken.startswith(plain) and f"{wanted}: {name}" not in other:
            other.append(f"{wanted}: {name}")
    missing = sorted({chr(int(code, 16)) for code in _MISSING.findall(said)})
    sentences = []
    if other:
        sentences.append("other fonts were taken (" + ", ".join(other) + ")")
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        named = " ".join(missing[:_SHOWN])
        sentences.append(f"no font here has {named}{more}: install one that has")
    return tuple(used), "; ".join(sentences) or None
