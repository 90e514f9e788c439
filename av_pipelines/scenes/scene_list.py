"""Scenes: the parts of a film between its changes of shot.

Here: making them of the changes found, ``scenes.json``, and ``scenes.csv`` with PySceneDetect's
columns. Not here: finding the changes (``detection``), edit lists (``edit_lists``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av_pipelines.scenes.sheet import clock

if TYPE_CHECKING:
    from av_pipelines.media.picture import Picture
    from av_pipelines.scenes.detection import Transition

COLUMNS = (
    "Scene Number",
    "Start Frame",
    "Start Timecode",
    "Start Time (seconds)",
    "End Frame",
    "End Timecode",
    "End Time (seconds)",
    "Length (frames)",
    "Length (timecode)",
    "Length (seconds)",
)
"""As PySceneDetect's ``list-scenes`` writes them: frames from 1, the end included."""


@dataclass(frozen=True)
class Scene:
    """Frames ``start_frame`` (included) to ``end_frame`` (not included), numbered from 0.

    Attributes:
        index: from 0.
        start_s, end_s: from time stamps, on the film's own clock, as exact fractions.
        change: how it begins; None for a first scene that just begins.
    """

    index: int
    start_frame: int
    end_frame: int
    start_s: Fraction
    end_s: Fraction
    change: Transition | None

    @property
    def frames(self) -> int:
        """Its length in frames."""
        return self.end_frame - self.start_frame

    def clear_frames(self, ending: Transition | None) -> tuple[int, int]:
        """Give the frames that no transition covers, first and last + 1; all if it covers all.

        Args:
            ending: the change that begins the next scene.
        """
        first, last = self.start_frame, self.end_frame
        if self.change and self.change.kind != "cut":
            first = max(first, self.change.end_frame)
        if ending and ending.kind != "cut":
            last = min(last, ending.start_frame)
        return (first, last) if first < last else (self.start_frame, self.end_frame)


def scenes_of(picture: Picture, changes: Iterable[Transition]) -> list[Scene]:
    """Part a film at its changes.

    A change at frame 0 is how the first scene begins (a fade from black); one that leads to no
    further frame (a fade to black at the end) begins no scene.
    """
    starts = {0: None} | {max(c.frame, 0): c for c in changes if c.frame < picture.frames}
    frames = [*sorted(starts), picture.frames]
    stamps = [int(picture.pts[frame]) for frame in frames[:-1]] + [picture.header.end_pts]
    times = [stamp * picture.time_base for stamp in stamps]
    return [
        Scene(index, frames[index], frames[index + 1], times[index], times[index + 1], starts[at])
        for index, at in enumerate(frames[:-1])
    ]


def to_json_dict(
    picture: Picture, scenes: Sequence[Scene], keyframes: Sequence[str | None]
) -> dict[str, Any]:
    """Give ``scenes.json``.

    ``fps`` as a fraction, ``frames`` and ``duration_s`` of the film; ``cuts``, the first frame of
    every scene but the first; ``scenes``, each with ``index`` (from 0), ``start_frame`` (included)
    and ``end_frame`` (not included), ``start_s`` and ``end_s`` on the film's own clock,
    ``transition`` (``cut``, ``fade``, ``dissolve``; None if it just begins) with ``confidence``
    (0 to 1), and ``keyframe``, a file's name.
    """
    return {
        "fps": f"{picture.fps.numerator}/{picture.fps.denominator}",
        "frames": picture.frames,
        "duration_s": seconds(scenes[-1].end_s - scenes[0].start_s),
        "cuts": [scene.start_frame for scene in scenes[1:]],
        "scenes": [
            {
                "index": scene.index,
                "start_frame": scene.start_frame,
                "end_frame": scene.end_frame,
                "start_s": seconds(scene.start_s),
                "end_s": seconds(scene.end_s),
                "transition": scene.change.kind if scene.change else None,
                "confidence": round(scene.change.confidence, 3) if scene.change else None,
                "keyframe": keyframe,
            }
            for scene, keyframe in zip(scenes, keyframes, strict=True)
        ],
    }


def to_csv(scenes: Sequence[Scene]) -> str:
    """Give ``scenes.csv``."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for scene in scenes:
        length = scene.end_s - scene.start_s
        table.writerow(
            [
                scene.index + 1,
                scene.start_frame + 1,
                _timecode(scene.start_s),
                f"{float(scene.start_s):.3f}",
                scene.end_frame,
                _timecode(scene.end_s),
                f"{float(scene.end_s):.3f}",
                scene.frames,
                _timecode(length),
                f"{float(length):.3f}",
            ]
        )
    return text.getvalue()


def to_rows(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    """Give the scenes as a short table for people."""
    return [
        {
            "scene": scene.index + 1,
            "start": clock(float(scene.start_s)),
            "end": clock(float(scene.end_s)),
            "frames": scene.frames,
            "begins with": scene.change.kind if scene.change else "",
            "confidence": round(scene.change.confidence, 2) if scene.change else None,
        }
        for scene in scenes
    ]


def seconds(time: Fraction) -> float:
    """Round a time to microseconds."""
    return round(float(time), 6)


def _timecode(time: Fraction) -> str:
    """``HH:MM:SS.mmm``, PySceneDetect's timecode."""
    milliseconds = max(0, round(time * 1000))
    rest, milliseconds = divmod(milliseconds, 1000)
    minutes, rest = divmod(rest, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}.{milliseconds:03}"
