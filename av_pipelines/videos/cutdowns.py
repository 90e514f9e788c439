"""One film, many shapes: what is rendered of a cut for each platform.

Here: for every platform its length, framing, words, grade and loudness, and which of them can be
rendered in one go. Not here: the platforms' table (``platforms``), rendering (``render``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from av_pipelines.videos.cut import Cut, Framing, Shot
from av_pipelines.videos.delivery import CONTAINERS, Codec, Delivery, Quality
from av_pipelines.videos.framing import STEP_S, crop_size, follow, held, ken_burns, subject
from av_pipelines.videos.looking import Seen
from av_pipelines.videos.platforms import Platform, Platforms, load_platforms
from av_pipelines.videos.restyle import captions_for, overlays_for
from av_pipelines.videos.settings import Sizes
from av_pipelines.videos.shorten import Interest, shortened

_SAME_SHAPE = 0.01  # shapes this near to each other are one
_LEAST = 720  # pixels of the shorter side: with less, words are coarse
_LEAST_SHARE = 0.75  # of a smaller film's own: of 720p it is 540, the least that places take

Looks = Callable[[Sequence[Shot], Fraction], Sequence[Seen | None]]
"""Looks at shots of a cut of some frame rate: ``looking.look_at`` with its folders given."""


@dataclass(frozen=True)
class Batch:
    """Deliveries that are rendered of one cut, with one decode."""

    cut: Cut
    deliveries: tuple[Delivery, ...]


def plan(
    cut: Cut,
    names: Sequence[str] = (),
    *,
    durations_s: Mapping[str, float] | None = None,
    looks: Looks | None = None,
    interest: Interest | None = None,
    captions: bool = True,
    codec: Codec = "h264",
    quality: Quality | None = None,
    sizes: Sizes = "auto",
    table: Platforms | None = None,
) -> list[Batch]:
    """Say what to render for some platforms.

    Args:
        cut: the film.
        names: of platforms; none: the table's usual ones, one of each shape.
        durations_s: platform → seconds, in place of the table's.
        looks: how shots are looked at, to keep their subject in the picture; None: the middle is
            kept.
        interest: what of the film is worth most, where it must be made shorter; None: in what
            most moves.
        captions: whether captions are placed anew for each shape.
        codec: of the picture.
        quality: of the picture; None: what the film says.
        sizes: ``platform``: those of the table; ``auto``: no larger than what is cut out of the
            film (``_size``).
        table: of platforms; None: the one that ships.

    Returns:
        As few cuts as there are different lengths, each with its deliveries, which are named after
        their platforms.

    Raises:
        ValueError: a platform that is not in the table, or a duration longer than it takes.
    """
    table = table or load_platforms()
    names = tuple(dict.fromkeys(names or table.usual))
    given = durations_s or {}
    for name in given:
        table.get(name)
    lengths = {name: _seconds(name, table.get(name), cut, given.get(name)) for name in names}
    if looks and interest is None and min(lengths.values()) < cut.duration:
        interest = _motion(cut, looks(cut.shots, cut.rate))
    batches: list[tuple[Cut, list[str]]] = []
    for name, seconds in lengths.items():
        made = shortened(cut, seconds, table.get(name).pace, interest)
        for known, group in batches:
            if known == made:
                group.append(name)
                break
        else:
            batches.append((made, [name]))
    planned = []
    for made, group in batches:
        seen = looks(made.shots, made.rate) if looks else [None] * len(made.shots)
        planned.append(
            Batch(
                made,
                tuple(
                    _delivery(made, name, table.get(name), seen, captions, codec, quality, sizes)
                    for name in group
                ),
            )
        )
    return planned


def _seconds(name: str, platform: Platform, cut: Cut, given: float | None) -> Fraction:
    if given is not None and given > platform.max_s:
        raise ValueError(
            f"cutdowns.durations_s.{name} = {given:g}: {name} takes films of up to "
            f"{platform.max_s:g} s"
        )
    usual = platform.max_s if platform.cut_s is None else platform.cut_s
    return Fraction(usual if given is None else given).limit_denominator(1000)


def _motion(cut: Cut, seen: Sequence[Seen | None]) -> Interest:
    """Measure how much the pictures change, on average, in a stretch of the film."""
    moves = np.zeros(int(cut.duration / STEP_S) + 1)
    for first, one in zip(cut.starts(), seen, strict=True):
        if one is not None and len(one.thumbnails) > 1:
            change = np.abs(np.diff(one.thumbnails.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
            at = int(first / cut.rate / STEP_S)
            moves[at : at + len(change)] = change[: len(moves) - at]

    def interest(start: float, end: float) -> float:
        part = moves[int(start / STEP_S) : max(int(end / STEP_S), int(start / STEP_S) + 1)]
        return float(part.mean()) if len(part) else 0.0

    return interest


def _delivery(
    cut: Cut,
    name: str,
    platform: Platform,
    seen: Sequence[Seen | None],
    captions: bool,
    codec: Codec,
    quality: Quality | None,
    sizes: Sizes,
) -> Delivery:
    width, height = _size(cut, platform, sizes)
    aspect = width / height
    own = cut.width / cut.height
    anew = abs(aspect / own - 1) > _SAME_SHAPE
    framing = {
        number: path
        for number, shot in enumerate(cut.shots)
        if anew and (path := _framing(number, shot, seen[number], aspect, cut.rate))
    }
    return Delivery(
        name=name + CONTAINERS[codec],
        width=width,
        height=height,
        codec=codec,
        quality=quality,
        # What is not cropped to its subject (a title, a poster) is shown whole.
        fit="blur_pad" if anew else None,
        framing=framing or None,
        captions=captions_for(cut.captions, platform) if cut.captions and captions else None,
        overlays=overlays_for(cut.overlays, platform, own),
        look=platform.grade,
        loudness_lufs=None if cut.loudness_lufs is None else platform.lufs,
    )


def _size(cut: Cut, platform: Platform, sizes: Sizes) -> tuple[int, int]:
    """Give the platform's size, or that shape as small as the film's own pixels fill it.

    From 1920x1080, 4:5 is cut out as 864x1080, and more pixels would show no more. The shorter
    side has ``_LEAST`` all the same, or of a smaller film three quarters of its shorter side.
    Pictures that stand have more pixels than the film: it is made in full height or width.
    """
    if sizes == "platform":
        return platform.width, platform.height
    share, _ = crop_size(cut.width / cut.height, platform.aspect)
    moving = any(shot.path is not None and not shot.still for shot in cut.shots)
    shorter = min(cut.width, cut.height)
    least = min(_LEAST, _LEAST_SHARE * shorter) if moving else shorter
    scale = max(share * cut.width / platform.width, least / min(platform.width, platform.height))
    scale = min(1.0, scale)
    return 2 * round(platform.width * scale / 2), 2 * round(platform.height * scale / 2)


def _framing(
    number: int, shot: Shot, seen: Seen | None, aspect: float, rate: Fraction
) -> tuple[Framing, ...]:
    """Give the path of the crop; none for what is to be shown whole."""
    if shot.path is None or (shot.still and shot.fit in ("pad", "blur_pad")):
        return ()
    middle = Framing(Fraction(0), 0.5, 0.5)
    if shot.still:
        at = subject(seen.thumbnails[0]) if seen else (0.5, 0.5)
        if shot.fit != "ken_burns":
            return shot.framing or (replace(middle, x=at[0], y=at[1]),)
        path = shot.framing or ken_burns(at, shot.frames / rate, inwards=number % 2 == 0)
        return held(path, at, seen.aspect, aspect) if seen else path
    if shot.framing:  # somebody has said where the subject is
        return shot.framing
    if seen is None:
        return (middle,)
    return follow(seen.thumbnails, STEP_S, seen.aspect, aspect) or (middle,)
