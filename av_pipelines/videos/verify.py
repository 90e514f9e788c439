"""Whether a film is what its cut says, before anyone sees it.

Here: what is looked at: its length, the first and last frame of every shot against the source,
sound against picture, black frames. Not here: the looking (``comparing``), what is done about it
(``render`` refuses to publish).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from av_pipelines.videos.comparing import REMEMBERED
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.fitting import shown
from av_pipelines.videos.pasting import veils
from av_pipelines.videos.shot_graph import tolerance
from av_pipelines.videos.sources import Source, Work

_AT_ONCE = 20


def looks_at(
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    film: str,
    sound: bool,
    black: Sequence[int],
) -> list[Check]:
    """Say what is to be compared of a film and its cut.

    Args:
        cut: the film as it is meant.
        delivery: the file as it is meant.
        sources: what is known of every file the cut names.
        film: name of the file in the working folder.
        sound: whether it shall have sound.
        black: frames that were found to be black.

    Returns:
        Requests for ``compare``, each with the few files that it needs; the first also checks
        lengths. What they find wrong are sentences that name the shot.
    """
    looks = _looks(cut, delivery, sources, black)
    return [
        Check(
            {
                "film": film,
                "frames": delivery.frames(cut),
                "rate": str(cut.rate),
                "sound": sound,
                "whole": at == 0,
            },
            looks[at : at + _AT_ONCE],
        )
        for at in range(0, max(len(looks), 1), _AT_ONCE)
    ]


@dataclass(frozen=True)
class Check:
    """A part of the comparison."""

    request: dict[str, Any]
    looks: list[dict[str, Any]]

    @property
    def paths(self) -> set[Path]:
        """The sources it looks at."""
        return {Path(look["path"]) for look in self.looks}

    def asked(self, fds: Mapping[Path, int]) -> dict[str, Any]:
        """Give the request, with the descriptors of its sources."""
        looks = [{**look, "fd": fds[Path(look["path"])]} for look in self.looks]
        return {**self.request, "looks": looks}

    def run(self, work: Work) -> list[str]:
        """Compare; return what is wrong."""
        return work.run("av_pipelines.videos.comparing:compare", self.asked, self.paths)["wrong"]


def prepare(checks: Sequence[Check], work: Work) -> None:
    """Look at the sources before the film is there, if there is a process that can remember it."""
    checks = checks[: REMEMBERED // _AT_ONCE]
    if work.lasting and checks:

        def request(fds: Mapping[Path, int]) -> dict[str, Any]:
            return {"looks": [look for check in checks for look in check.asked(fds)["looks"]]}

        task = "av_pipelines.videos.comparing:look_at_sources"
        work.run(task, request, {path for check in checks for path in check.paths})


def _looks(
    cut: Cut,
    delivery: Delivery,
    sources: Mapping[tuple[Path, bool], Source],
    black: Sequence[int],
) -> list[dict[str, Any]]:
    """List the frames to look at: first and last of each shot, and those that are black."""
    found: list[dict[str, Any]] = []
    end = delivery.frames(cut)
    size = delivery.width, delivery.height
    for k, (shot, start) in enumerate(zip(cut.shots, cut.starts(), strict=True)):
        if shot.path is None or shot.still or shot.effects:
            continue
        source = sources[shot.path, False]
        before = shot.transition.frames if shot.transition else 0
        after = cut.shots[k + 1].transition if k + 1 < len(cut.shots) else None
        first = start + before
        last = min(start + shot.frames - (after.frames if after else 0), end) - 1
        framing, fit = shot.framing, delivery.fit or shot.fit
        if delivery.framing is not None and k in delivery.framing:
            framing, fit = delivery.framing[k], "crop"
        dark = [frame for frame in black if first <= frame <= last]
        for frame in sorted({first, last, *dark[:1], *dark[-1:]}):
            if not first <= frame <= last:
                continue
            n = frame - start
            shape = source.width, source.height
            theirs, ours = shown(fit, framing, shape, size, cut.rate, n, shot.frames)
            time = source.zero + shot.start + n * shot.speed / cut.rate
            found.append(
                {
                    "shot": shot.name,
                    "file": shot.path.name,
                    "path": str(shot.path),
                    "stream": source.video,
                    "frame": frame,
                    "time": str(time + tolerance(source, cut.rate)),
                    "theirs": theirs,
                    "ours": ours,
                    "graded": bool(shot.look or delivery.look or source.hdr),
                    "dark": frame in dark,
                    "veils": veils(cut, sources, delivery, frame),
                }
            )
    return found
