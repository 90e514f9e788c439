"""Advanced SubStation Alpha (ASS), as libass reads it: text escaped, styles, events, the file.

Here: the one place where text becomes ASS. Not here: which words are shown when, and where on the
picture (``words``).

Times are whole frames. A script is drawn over pictures that are a tenth of a second apart on
libass's clock, however long a frame really lasts (``graph`` sets that clock): ASS counts hundredths
of a second, and a frame of 59.94 or 120 a second would not be met exactly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

TICKS = 10
"""Hundredths of a second of a script's clock in a frame."""
MS = TICKS * 10
"""Milliseconds of a script's clock in a frame."""

_WORD_JOINER = "\u2060"
_MAX_TEXT = 20_000  # characters in an event; nobody reads more, and laying them out takes long
_MAX_RUN = 200  # characters without a place to break a line
_STYLE_FORMAT = (
    "Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, "
    "Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, "
    "Alignment, MarginL, MarginR, MarginV, Encoding"
)
_EVENT_FORMAT = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"


def escape(text: str) -> str:
    r"""Write text so that libass shows it as it is.

    Braces would begin override tags and a backslash an escape; libass takes ``\{`` for a brace,
    and a backslash followed by an invisible word joiner for itself (as mpv writes it). Control
    characters, which no font has, and halves of surrogate pairs are left out.
    """
    text = text[:_MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))
    kept = re.sub(rf"(\S{{{_MAX_RUN}}})(?=\S)", "\\1\u200b", kept)  # a line can be broken there
    kept = kept.replace("\\", "\\" + _WORD_JOINER).replace("{", r"\{").replace("}", r"\}")
    return kept.replace("\u2028", "\n").replace("\u2029", "\n").replace("\n", r"\N")


def colour(value: str, opacity: float = 1.0) -> str:
    """Write ``#rrggbb`` or ``#rrggbbaa`` as ASS has it: ``&HAABBGGRR``, alpha 0 being opaque.

    Raises:
        ValueError: it is neither.
    """
    found = re.fullmatch(r"#([0-9a-fA-F]{6})([0-9a-fA-F]{2})?", value)
    if not found:
        raise ValueError(f"colour {value!r} is not #rrggbb or #rrggbbaa")
    red, green, blue = found[1][:2], found[1][2:4], found[1][4:]
    seen = int(found[2] or "ff", 16) * min(max(opacity, 0.0), 1.0)
    return f"&H{255 - round(seen):02X}{blue}{green}{red}".upper()


@dataclass(frozen=True)
class AssStyle:
    """One style; sizes in pixels. ``box``: colour of a box behind the text, None for none."""

    font: str
    size: float
    primary: str
    outline: str
    outline_width: float
    bold: bool
    box: str | None
    alignment: int
    """As on the number pad: 1 bottom left … 9 top right."""
    margin: tuple[int, int]
    """To the sides, and to top or bottom."""

    def line(self, name: str) -> str:
        """Write the ``Style:`` line."""
        # A font's name is text of a stranger too: a comma would end the field.
        font = re.sub(r"[^\w .+-]", "", self.font).strip() or "Sans"
        padding = self.size * 0.3
        border = (4, self.outline_width, padding) if self.box else (1, self.outline_width, 0)
        fields = (
            *(name, font, f"{self.size:.2f}", colour(self.primary), colour(self.primary)),
            *(colour(self.outline), colour(self.box or "#000000"), -1 if self.bold else 0),
            *(0, 0, 0, 100, 100, 0, 0, border[0], f"{border[1]:.2f}", f"{border[2]:.2f}"),
            *(self.alignment, self.margin[0], self.margin[0], self.margin[1], 1),
        )
        return "Style: " + ",".join(map(str, fields))


@dataclass(frozen=True)
class Event:
    """Text on the screen from one frame to another; ``text`` is ASS already."""

    start: int
    end: int
    style: AssStyle
    text: str
    layer: int = 0


def script(events: Iterable[Event], width: int, height: int, first: int, last: int) -> str | None:
    """Write the script of a stretch of the film.

    Args:
        events: of the whole film.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        first: frame of the stretch; it is at 0 on the script's clock.
        last: the frame after the stretch's last.

    Returns:
        The file's text; None if nothing is shown in that stretch.
    """
    shown = [e for e in events if e.start < last and e.end > first and e.end > e.start]
    if not shown:
        return None
    styles = {style: f"S{k}" for k, style in enumerate(dict.fromkeys(e.style for e in shown))}
    lines = [
        *("[Script Info]", "ScriptType: v4.00+", f"PlayResX: {width}", f"PlayResY: {height}"),
        *("WrapStyle: 0", "ScaledBorderAndShadow: yes", "YCbCr Matrix: None", ""),
        *("[V4+ Styles]", f"Format: {_STYLE_FORMAT}"),
        *(style.line(name) for style, name in styles.items()),
        *("", "[Events]", f"Format: {_EVENT_FORMAT}"),
        *(
            f"Dialogue: {e.layer},{_clock(e.start - first)},{_clock(e.end - first)},"
            f"{styles[e.style]},,0,0,0,,{e.text}"
            for e in shown
        ),
    ]
    return "\n".join(lines) + "\n"


def _clock(frame: int) -> str:
    """Write a frame as a time; what began before the stretch begins with it.

    Fades are counted from an event's start, so those of an event that the stretch cuts are not
    written (``words`` cuts the film so that this does not happen).
    """
    minutes, hundredths = divmod(max(frame, 0) * TICKS, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"
