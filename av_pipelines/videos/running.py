"""Running FFmpeg confined, with files from outside as open descriptors.

Here: the one command line. Not here: graphs (``graph``, ``shot_graph``), encoders (``encoders``).

FFmpeg is the program in the imageio-ffmpeg package: it has what the libraries in PyAV's wheels lack
(libass, zscale), and being under the GPL, it is used as a program only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from av_pipelines.media.confined import ConfinedError, Limits, run_program
from av_pipelines.videos.shot_graph import Input
from av_pipelines.videos.sources import FORMATS, RenderError, opened

_OWN_FORMATS = "png_pipe,image2,mov,matroska,wav,srt,webvtt,ass,nut,lavfi"


def run_ffmpeg(
    inputs: Sequence[Input],
    arguments: Sequence[str],
    out: Path,
    *,
    limits: Limits | None = None,
    progress: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Run FFmpeg over inputs; it can write to ``out`` only.

    Args:
        inputs: files from outside, and own ones in ``out``.
        arguments: what comes after the inputs.
        out: its working folder.
        limits: what it may use.
        progress: called with the seconds of the output that are done.

    Raises:
        OSError: the disk is full.
        RenderError: FFmpeg failed; what it said is in it.
    """
    import imageio_ffmpeg

    def hear(line: str) -> float | None:
        match = re.fullmatch(r"(?:out_time_us|frame)=(-?\d{1,18})", line.strip())
        if not match:
            return None
        if line.startswith("out_time_us"):
            progress(int(match[1]) / 1e6)
        return float(match[1])

    with ExitStack() as stack:
        given, fds = [], []
        for one in inputs:
            given += one.options
            if one.own:
                given += ["-protocol_whitelist", "file", "-format_whitelist", _OWN_FORMATS]
                given += ["-i", one.own]
                continue
            assert one.path is not None
            # A descriptor of its own for each: those that are copied share where they read.
            fds.append(stack.enter_context(opened(one.path)).fileno())
            given += ["-protocol_whitelist", "fd", "-format_whitelist", FORMATS]
            given += ["-fd", f"{fds[-1]}", "-i", "fd:"]
        try:
            run_program(
                Path(imageio_ffmpeg.get_ffmpeg_exe()),
                [
                    *("-hide_banner", "-nostdin", "-y", "-v", "error", "-nostats"),
                    *("-progress", "pipe:1", "-copyts", *given, *arguments),
                ],
                fds=fds,
                out=out,
                hear=hear,
                limits=limits,
            )
        except ConfinedError as error:
            said = "\n".join(getattr(error, "__notes__", ()))
            if "No space left on device" in said:
                raise OSError(28, f"the disk is full: {out}") from error
            failed = RenderError(f"FFmpeg could not render the film: {error}")
            failed.add_note(said)
            raise failed from error
