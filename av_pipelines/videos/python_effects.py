"""Effects written in Python, composed by MoviePy 2, for the shots that ask for them.

An effect is a function ``effect(clip, **arguments) -> clip`` on a MoviePy ``VideoClip``, registered
in the entry-point group ``avp.effects`` of an installed package:

    [project.entry-points."avp.effects"]
    shake = "my_package.effects:shake"

Here: finding them, and passing a shot through them. Only shots with effects come here: FFmpeg hands
their frames over without loss, and gets them back as a source of its own. The shot's sound is left
as it is. Not here: the rest of the film.

Effects are programs that the user installed, and are trusted; the frames come from strangers, so
all of it runs in the confined child.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av_pipelines.media.confined import ConfinedError, run_task
from av_pipelines.videos.cut import Cut, Shot
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.graph import build
from av_pipelines.videos.running import run_ffmpeg
from av_pipelines.videos.sources import RenderError, Source

if TYPE_CHECKING:
    import numpy as np

GROUP = "avp.effects"
_LOSSLESS = ("-c:v", "ffv1", "-g", "1", "-slices", "4", "-pix_fmt", "bgr0")


def available() -> dict[str, EntryPoint]:
    """Find all effects that are installed, by name; nothing is loaded."""
    return {point.name: point for point in entry_points(group=GROUP)}


def check(cut: Cut) -> None:
    """Raise RenderError, naming the shot, if an effect of the cut cannot be had."""
    known = available()
    for shot in cut.shots:
        for name, _ in shot.effects:
            if name not in known:
                raise RenderError(
                    f"shot {shot.name!r} has the effect {name!r}, which is not installed; there "
                    f"are: {', '.join(sorted(known)) or 'none'} (entry points of {GROUP})"
                )
            if not _installed("moviepy"):
                raise RenderError(
                    f"shot {shot.name!r} has the effect {name!r}, which needs MoviePy: install "
                    "av-pipelines[moviepy]"
                )


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it is there, and was made unusable
        return False


def pass_through(
    cut: Cut,
    sources: Mapping[tuple[Path, bool], Source],
    out: Path,
) -> tuple[Cut, dict[tuple[Path, bool], Source]]:
    """Pass the shots that have effects through them.

    Args:
        cut: the film.
        sources: what is known of every file the cut names.
        out: the working folder.

    Returns:
        The cut with those shots taken from files in ``out``, and the sources with these files.
    """
    shots, known = list(cut.shots), dict(sources)
    for number, shot in enumerate(cut.shots):
        if not shot.effects or shot.path is None:
            continue
        source = sources[shot.path, shot.still]
        size = 2 * -(-source.width // 2), 2 * -(-source.height // 2)
        folder = out / f"effect{number}"
        folder.mkdir()
        _hand_over(cut.rate, shot, size, known, folder)
        points = available()
        try:
            run_task(
                "av_pipelines.videos.python_effects:apply",
                {
                    "rate": str(cut.rate),
                    "frames": shot.frames,
                    "effects": [
                        {"at": points[name].value, "arguments": given}
                        for name, given in shot.effects
                    ],
                },
                fds=[],
                out=folder,
            )
        except ConfinedError as error:
            names = ", ".join(name for name, _ in shot.effects)
            failed = RenderError(f"shot {shot.name!r}: the effects {names} failed: {error}")
            failed.__notes__ = getattr(error, "__notes__", [])
            raise failed from error
        made = folder / "after.mkv"
        shots[number] = replace(
            shot,
            path=made,
            start=Fraction(0),
            still=False,
            speed=Fraction(1),
            look=None,
            effects=(),
        )
        known[made, False] = Source(
            format="matroska",
            video=0,
            width=size[0],
            height=size[1],
            end=shot.frames / cut.rate,
            fps=cut.rate,
            codec="ffv1",
            pix_fmt="bgr0",
            full_range=True,
        )
    return replace(cut, shots=tuple(shots)), known


def _hand_over(
    rate: Fraction,
    shot: Shot,
    size: tuple[int, int],
    sources: Mapping[tuple[Path, bool], Source],
    folder: Path,
) -> None:
    """Write the frames of a shot, at the film's rate, in the source's own size."""
    alone = replace(shot, transition=None, effects=(), framing=(), fit="crop")
    if shot.still:
        name = sources[shot.path, True].still if shot.path else None
        assert name
        (folder / name).write_bytes((folder.parent / name).read_bytes())
    cut = Cut("", rate, size[0], size[1], (alone,))
    made = build(cut, [Delivery("before.mp4", *size)], sources, 0, shot.frames, "before")
    (folder / "graph.txt").write_text(made.graph, "utf-8")
    arguments = ["-/filter_complex", "graph.txt", "-map", f"[{made.labels[0]}]", *_LOSSLESS]
    run_ffmpeg(made.inputs, [*arguments, "-fps_mode", "passthrough", "before.mkv"], folder)


# ---------------------------------------------------------------------- in the confined child


def apply(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Pass ``before.mkv`` through effects, to ``after.mkv``."""
    import av
    import numpy as np

    os.environ["IMAGEIO_FFMPEG_EXE"] = "ffmpeg"  # MoviePy looks for it, and may start nothing here
    from moviepy import VideoClip  # pyright: ignore[reportMissingImports]

    rate, frames = Fraction(request["rate"]), request["frames"]
    before = _Frames(out / "before.mkv", frames)
    clip: Any = VideoClip(
        frame_function=lambda t: before[round(t * float(rate))], duration=float(frames / rate)
    )
    clip.fps = float(rate)
    for effect in request["effects"]:
        function = EntryPoint("effect", effect["at"], GROUP).load()
        clip = function(clip, **effect["arguments"])
    with av.open(str(out / "after.mkv"), "w") as film:
        options = {"g": "1", "slices": "4"}
        stream: Any = film.add_stream("ffv1", rate=rate, options=options)
        stream.pix_fmt = "bgr0"
        stream.height, stream.width = before[0].shape[:2]
        stream.codec_context.time_base = 1 / rate
        for n in range(frames):
            image = np.asarray(clip.get_frame(n / float(rate)))
            if image.shape != before[0].shape:
                raise ConfinedError(
                    f"it gave a picture of {image.shape[1]}x{image.shape[0]} pixels instead of "
                    f"{before[0].shape[1]}x{before[0].shape[0]}"
                )
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8)), format="rgb24"
            )
            frame.pts, frame.time_base = n, 1 / rate
            film.mux(stream.encode(frame))
            progress((n + 1) / frames)
        film.mux(stream.encode(None))
    return {}


class _Frames(Sequence["np.ndarray"]):
    """Frames of a file in which each can be decoded alone; some are kept."""

    def __init__(self, path: Path, count: int) -> None:
        import av

        options = {"protocol_whitelist": "file", "format_whitelist": "matroska"}
        self._container = av.open(str(path), options=options)
        self._stream: Any = self._container.streams.video[0]
        self._packets = [
            bytes(p) for p in self._container.demux(self._stream) if p.size
        ]  # compressed: far less than the frames
        self._count = count
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        import av

        number = min(max(int(number), 0), min(self._count, len(self._packets)) - 1)
        if number not in self._kept:
            if len(self._kept) > 16:
                self._kept.pop(next(iter(self._kept)))
            frames = self._stream.codec_context.decode(av.Packet(self._packets[number]))
            self._kept[number] = frames[0].to_ndarray(format="rgb24")
        return self._kept[number]
