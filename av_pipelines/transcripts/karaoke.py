"""The formats that time words: ASS (with karaoke, by setting) and LRC.

Here: their syntax. Not here: the other formats (``formats``), which words and when (``cues``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from av_pipelines.transcripts.cues import Cue, Piece, write
from av_pipelines.transcripts.subtitle_settings import SubtitleSettings

WORD_JOINER = "\u2060"
"""Has no width and is not seen; it stands after a character that would begin markup."""

_RTL_ENCODING = {"he": 177, "yi": 177, **dict.fromkeys(("ar", "fa", "ur", "ps", "sd"), 178)}
"""Language → the style's charset, from which libass takes that lines run from right to left."""

# Colours of the speakers, first to last, then again: white, yellow, cyan, green as in teletext,
# and three more that are told apart on a dark picture.
_COLOURS = (
    (255, 255, 255),
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 170, 80),
    (255, 150, 220),
    (150, 190, 255),
)
_UNSUNG = (150, 150, 150)


def to_ass(
    cues: Sequence[Cue], settings: SubtitleSettings, *, language: str | None, title: str
) -> str:
    r"""Write Advanced SubStation Alpha (v4.00+): a style for every speaker, times in 1/100 s.

    Braces are escaped as libass reads them (``\{``); after a backslash of the text there is a
    word joiner, so that it begins no tag. Karaoke (``\k``) is left out of text that runs from
    right to left: its syllables would be put in the wrong order.
    """
    speakers = sorted({cue.speaker for cue in cues if cue.speaker}, key=_natural)
    karaoke = settings.karaoke and language not in _RTL_ENCODING
    names = ["Default", *map(_field, speakers)]
    lines = [_header(names, settings, language, title)]
    for cue in cues:
        start = _centiseconds(cue.start_ms)
        end = max(_centiseconds(cue.end_ms), start + 1)
        text = _sung(cue, start) if karaoke else r"\N".join(map(ass_text, cue.lines))
        name = _field(cue.speaker or "")
        lines.append(
            f"Dialogue: 0,{_ass_time(start)},{_ass_time(end)},{name or 'Default'},{name},"
            f"0,0,0,,{text}\n"
        )
    return "".join(lines)


def ass_text(text: str) -> str:
    """Escape one line of text for ASS."""
    return text.replace("\\", "\\" + WORD_JOINER).replace("{", r"\{").replace("}", r"\}")


def _header(
    names: Sequence[str], settings: SubtitleSettings, language: str | None, title: str
) -> str:
    import pysubs2

    subtitles = pysubs2.SSAFile()
    subtitles.info.update(
        {
            "Title": " ".join(title.split()),
            "PlayResX": "1920",
            "PlayResY": "1080",
            "WrapStyle": "0",
            "ScaledBorderAndShadow": "yes",
        }
    )
    subtitles.styles.clear()
    for i, name in enumerate(names):
        colour = _COLOURS[max(i - 1, 0) % len(_COLOURS)]
        subtitles.styles[name] = pysubs2.SSAStyle(
            fontname=settings.ass_font,
            fontsize=float(settings.ass_size),
            primarycolor=pysubs2.Color(*colour),
            secondarycolor=pysubs2.Color(*_UNSUNG),
            outline=3.0,
            shadow=1.0,
            marginl=96,  # a twentieth of the picture on each side, EBU R 95
            marginr=96,
            marginv=54,
            encoding=_RTL_ENCODING.get(language or "", 1),
        )
    return subtitles.to_string("ass", header_notice="")


def _sung(cue: Cue, start: int) -> str:
    r"""Write a cue's words with ``\k`` tags; their times add up to each word's own."""
    written, now = "", start
    for number, row in enumerate(cue.rows):
        written += r"\N" if number else ""
        for i, piece in enumerate(row):
            begin = max(_centiseconds(min(piece.start_ms, cue.end_ms)), now)
            end = max(_centiseconds(min(piece.end_ms, cue.end_ms)), begin)
            wait = rf"{{\k{begin - now}}}" if begin > now else ""
            blank = " " if i and piece.spaced else ""
            written += rf"{wait}{blank}{{\k{end - begin}}}{ass_text(piece.text)}"
            now = end
    return written


def to_lrc(
    cues: Sequence[Cue], settings: SubtitleSettings, *, duration_s: float, title: str
) -> str:
    """Write lyrics (LRC), one line of a cue after the other, times in 1/100 s.

    With ``lrc = word``, each word has its time as well (enhanced LRC). A time without text clears
    the display where nothing is said for as long as a cue's longest pause.
    """
    lines = [
        f"[ti:{_tag(title)}]\n" if title else "",
        f"[length:{round(duration_s) // 60:02}:{round(duration_s) % 60:02}]\n",
    ]
    rows = [row for cue in cues for row in cue.rows]
    pause_ms = round(settings.cue_pause_s * 1000)
    for i, row in enumerate(rows):
        text = _timed(row) if settings.lrc == "word" else lrc_text(write(row))
        lines.append(f"[{_lrc_time(row[0].start_ms)}]{text}\n")
        if i + 1 == len(rows) or rows[i + 1][0].start_ms - row[-1].end_ms >= pause_ms:
            lines.append(f"[{_lrc_time(row[-1].end_ms)}]\n")
    return "".join(lines)


def lrc_text(text: str) -> str:
    """Keep what looks like a time or tag in the text from being one."""
    return re.sub(r"[\[<]", lambda found: found[0] + WORD_JOINER, text)


def _timed(row: Sequence[Piece]) -> str:
    return "".join(
        f"{' ' if i and piece.spaced else ''}<{_lrc_time(piece.start_ms)}>{lrc_text(piece.text)}"
        for i, piece in enumerate(row)
    )


def _tag(text: str) -> str:
    return " ".join(text.split()).replace("[", "(").replace("]", ")")


def _field(text: str) -> str:
    return " ".join(text.replace(",", " ").split())


def _natural(name: str) -> list[tuple[int, str]]:
    """Order Speaker 2 before Speaker 10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _centiseconds(ms: int) -> int:
    return (ms + 5) // 10


def _ass_time(cs: int) -> str:
    return f"{cs // 360_000}:{cs // 6000 % 60:02}:{cs // 100 % 60:02}.{cs % 100:02}"


def _lrc_time(ms: int) -> str:
    cs = _centiseconds(ms)
    return f"{cs // 6000:02}:{cs // 100 % 60:02}.{cs % 100:02}"
