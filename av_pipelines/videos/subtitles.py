"""Captions as a stream of the film, which players can turn on and off.

Here: adding it to a finished file. Not here: burned captions (``words``).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av_pipelines.videos.cut import Captions
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.graph import Input
from av_pipelines.videos.running import run_ffmpeg

_CODECS = {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt"}


def add_stream(captions: Captions, delivery: Delivery, duration: Fraction, out: Path) -> None:
    """Add captions to a film.

    Args:
        captions: what is said.
        delivery: the film; its file is in ``out``, and is replaced.
        duration: of the film, in seconds; later captions are left out.
        out: the working folder.
    """
    blocks = []
    for cue in captions.cues:
        if cue.start >= duration or cue.end <= cue.start:
            continue
        text = "\n".join(" ".join(line.split()) for line in cue.lines if line.strip())
        # SubRip has no way to write a blank line or an arrow within a caption.
        text = text.replace("-->", "→").replace("\0", "")
        if text:
            times = f"{_clock(cue.start)} --> {_clock(min(cue.end, duration))}"
            blocks.append(f"{len(blocks) + 1}\n{times}\n{text}\n")
    if not blocks:
        return
    (out / "captions.srt").write_text("\n".join(blocks), "utf-8", "replace")
    suffix = Path(delivery.name).suffix
    whole = out / f"captioned{suffix}"
    arguments = [
        *("-map", "0", "-map", "1", "-map_chapters", "0", "-c", "copy"),
        *("-c:s", _CODECS[suffix], "-metadata:s:s:0", f"language={captions.language}"),
        *(("-movflags", "+faststart") if suffix != ".webm" else ()),
        *("-fflags", "+bitexact", whole.name),
    ]
    run_ffmpeg([Input(own=delivery.name), Input(own="captions.srt")], arguments, out)
    whole.replace(out / delivery.name)


def _clock(time: Fraction) -> str:
    ms = round(time * 1000)
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
