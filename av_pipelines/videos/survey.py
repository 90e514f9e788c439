"""How long sources are and when each of their pictures is shown, before anything is rendered.

Here: one confined reading of the packets of every file, undecoded. Not here: what is known of
pictures and sound for rendering (``sources``), which parts a film takes (``timeline``).
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from av_pipelines.media.confined import ConfinedError, run_task
from av_pipelines.media.timecode import from_timecode, timecode_rate
from av_pipelines.videos.sources import open_media, opened

STILLS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_AT_ONCE = 24
_ROUNDING = Fraction(1, 1000)  # Matroska and FLV count milliseconds
_MOST_TIMES = 400_000  # an answer has at most 4 MiB
_GUESSED_FPS = Fraction(25)
_SLACK = Fraction(1, 1000)  # of a frame: times are written with few decimals


@dataclass(frozen=True)
class Survey:
    """A source's length and its pictures' times, in seconds from the first that is shown.

    Attributes:
        kind: a film, a still, or a sound without a picture.
        fps: frames a second; exact if constant, else on average.
        frames: of the picture.
        end: when the last picture, or of a sound the last sample, is over.
        sound: whether it has one.
        sound_at: when the sound begins, before or after the first picture.
        timecode: of the first picture, as the file says it.
        times: of every picture where they are shown for unequal times; else none.
    """

    kind: str
    fps: Fraction = _GUESSED_FPS
    frames: int = 0
    end: Fraction | None = None
    sound: bool = False
    sound_at: Fraction = Fraction(0)
    timecode: str | None = None
    times: tuple[Fraction, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether all pictures are shown equally long."""
        return self.kind == "film" and not self.times

    def time_of(self, frame: int) -> Fraction:
        """Give when a picture is shown; that after the last is the end."""
        if self.times:
            return self.times[frame] if frame < self.frames else self._known_end
        return frame / self.fps

    def frame_at(self, time: Fraction) -> int:
        """Give the picture that is shown at a time."""
        if self.times:
            return max(0, bisect_right(self.times, time + _SLACK / self.fps) - 1)
        return int(time * self.fps + _SLACK)

    @property
    def _known_end(self) -> Fraction:
        return self.end if self.end is not None else Fraction(0)

    @property
    def clock(self) -> Fraction:
        """Rate in which its timecode counts."""
        return timecode_rate(self.fps, constant=self.constant)

    @cached_property
    def zero(self) -> int:
        """Frame number of its first picture's timecode; 0 where it says none."""
        try:
            return from_timecode(self.timecode, self.clock) if self.timecode else 0
        except ValueError:
            return 0


def survey(paths: Iterable[Path]) -> dict[Path, Survey]:
    """Look at every file.

    Raises:
        RenderError: a file cannot be opened; it is named.
        ConfinedError: one is no media; it is named.
    """
    found: dict[Path, Survey] = {}
    wanted: list[Path] = []
    for path in sorted(set(paths)):
        if path.suffix.lower() in STILLS:
            found[path] = Survey("still")
        else:
            wanted.append(path)
    for at in range(0, len(wanted), _AT_ONCE):
        batch = wanted[at : at + _AT_ONCE]
        with ExitStack() as stack:
            fds = [stack.enter_context(opened(path)).fileno() for path in batch]
            out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            answer = run_task(
                "av_pipelines.videos.survey:read_packets", {"fds": fds}, fds=fds, out=out
            )
        for path, said in zip(batch, answer["files"], strict=True):
            if "refused" in said:
                raise ConfinedError(f"{path}: {said['refused']}")
            found[path] = _survey(said)
    return found


def _survey(said: Mapping[str, Any]) -> Survey:
    """Make sense of what the child said; it is not trusted to be more than numbers."""
    if not said["film"]:
        return Survey("sound", end=Fraction(said["end"]), sound=True)
    return Survey(
        "film",
        fps=Fraction(said["fps"]),
        frames=int(said["frames"]),
        end=Fraction(said["end"]),
        sound=bool(said["sound"]),
        sound_at=Fraction(said["sound_at"]),
        timecode=str(said["timecode"]) if said["timecode"] else None,
        times=tuple(tick * Fraction(said["tick"]) for tick in map(int, said["times"])),
    )


# ---------------------------------------------------------------------- in the confined child


def read_packets(
    request: Mapping[str, Any], out: Path, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Read the time stamps of files."""
    answers: list[dict[str, Any]] = []
    for number, fd in enumerate(request["fds"]):
        try:
            answers.append(_read(fd, progress))
        except ConfinedError as error:
            answers.append({"refused": str(error)})
        progress((number + 1) / len(request["fds"]))
    return {"files": answers}


def _read(fd: int, progress: Callable[[float], None]) -> dict[str, Any]:
    from av.error import FFmpegError

    with open_media(fd) as container:
        films = [s for s in container.streams.video if not int(s.disposition) & 0x400]
        sounds = list(container.streams.audio)
        if not films and not sounds:
            raise ConfinedError("there is neither picture nor sound in it")
        stream = films[0] if films else sounds[0]
        stamps: list[int] = []
        end, count = 0, 0
        try:
            for packet in container.demux(stream):
                if packet.pts is None or not packet.size or packet.is_discard:
                    continue
                stamps.append(packet.pts)
                end = max(end, packet.pts + (packet.duration or 0))
                count += 1
                if not count % 10_000:
                    progress(0)
        except FFmpegError as error:
            raise ConfinedError(f"it cannot be read to its end: {error.strerror}") from None
        if not stamps:
            raise ConfinedError("nothing is in it")
        tick = Fraction(stream.time_base or 1)
        stamps = sorted(set(stamps))
        if not films:
            first = Fraction(stamps[0]) * tick
            return {"film": False, "end": str(max(end, stamps[-1]) * tick - first)}
        code = stream.metadata.get("timecode") or container.metadata.get("timecode")
        for other in container.streams:
            code = code or other.metadata.get("timecode")
        return {
            "film": True,
            "sound": bool(sounds),
            "sound_at": str(_sound_at(sounds, stamps[0] * tick)),
            "timecode": code,
            "tick": str(tick),
            **_rate(stamps, end, tick, stream.average_rate),
        }


def _sound_at(sounds: Sequence[Any], picture: Fraction) -> Fraction:
    """When the first sound begins, in seconds after the first picture."""
    if not sounds or sounds[0].start_time is None:
        return Fraction(0)
    return sounds[0].start_time * Fraction(sounds[0].time_base) - picture


def _rate(stamps: list[int], end: int, tick: Fraction, said: Fraction | None) -> dict[str, Any]:
    """Find the frame rate, and whether all pictures keep to it."""
    first, frames = stamps[0], len(stamps)
    span = (stamps[-1] - first) * tick
    fps = Fraction(said or _GUESSED_FPS) if frames == 1 or not span else (frames - 1) / span
    near = timecode_rate(fps)
    exact = near if abs(near / fps - 1) < Fraction(1, 1000) else fps.limit_denominator(1001)
    off = max(abs((stamp - first) * tick - n / exact) for n, stamp in enumerate(stamps))
    constant = off <= max(tick, _ROUNDING)
    if not constant and frames > _MOST_TIMES:
        raise ConfinedError(f"its {frames} pictures are shown for unequal times: too many to list")
    last = (end - first) * tick if end > stamps[-1] else span + 1 / fps
    return {
        "fps": str(exact if constant else fps),
        "frames": frames,
        "end": str(frames / exact if constant else last),
        "times": [] if constant else [stamp - first for stamp in stamps],
    }
