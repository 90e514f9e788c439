"""A film made shorter: which of it stays.

Here: choosing stretches of a cut, and making a cut of them. Not here: how long it may be
(``platforms``), rendering.

Two ways. Where words belong to a sound that runs under the film (a song, a voice), one stretch of
it is taken, from the beginning of a line: a song cannot be cut to pieces. Otherwise shots are
chosen: first all of them are made shorter, then the least interesting go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from av_pipelines.videos.cut import Caption, Cut, Framing, Lane, Overlay, Shot
from av_pipelines.videos.framing import at as framing_at

Window = tuple[int, int]
"""First frame of the film, and the one after the last."""
Interest = Callable[[float, float], float]
"""Seconds of the film, from and to → how much one would miss them; only their order counts."""

_SHOT_S = 4.0  # shots at the pace of 1 when a film is cut short
_SHORTEST_S = 1.2
_LEAD_S = Fraction(3, 10)  # before the first word
_TAIL_S = Fraction(8, 10)  # after the last
_FADE_IN_S, _FADE_OUT_S = 0.3, 1.5
_SPARE = 0.25  # share by which an excerpt may end early, where a line ends


def shortened(
    cut: Cut, seconds: Fraction, pace: float = 1.0, interest: Interest | None = None
) -> Cut:
    """Make a film of at most some seconds of a longer one; as it is if it is not longer.

    Args:
        cut: the film.
        seconds: how long it may be.
        pace: how much faster shots follow each other.
        interest: which shots are worth most; None: all are worth the same.
    """
    wanted = int(seconds * cut.rate)
    if cut.frames <= wanted:
        return cut
    if _runs_through(cut):
        return keep(cut, [_excerpt(cut, wanted)])
    return keep(cut, _chosen(cut, wanted, pace, interest))


def _runs_through(cut: Cut) -> bool:
    """Whether words belong to a sound under the film."""
    if any(lane.role == "voice" for lane in cut.lanes):
        return True
    speaks = any(s.sound and s.path is not None and not s.still for s in cut.shots)
    return bool(cut.lanes) and cut.captions is not None and not speaks


# ---------------------------------------------------------------------- one stretch


def _excerpt(cut: Cut, wanted: int) -> Window:
    """Choose where it begins by what is said in it: most, and what is said more than once.

    Lines that come again are a song's chorus.
    """
    cues = cut.captions.cues if cut.captions else ()
    said = Counter(_plain(cue) for cue in cues)
    length = Fraction(wanted) / cut.rate
    best, best_score = Fraction(0), -1.0
    for first in (Fraction(0), *(max(cue.start - _LEAD_S, Fraction(0)) for cue in cues)):
        begin = min(first, cut.duration - length)
        inside = [c for c in cues if c.start >= begin and c.end <= begin + length]
        score = float(sum(len(_plain(c)) * said[_plain(c)] for c in inside))
        if score > best_score * 1.02:  # else the earlier one
            best, best_score = begin, score
    end = best + length
    last = max((c.end for c in cues if best < c.end <= end - _TAIL_S), default=None)
    if last is not None and last + _TAIL_S > end - length * Fraction(_SPARE):
        end = last + _TAIL_S
    begin = int(best * cut.rate)
    return begin, min(begin + wanted, round(end * cut.rate), cut.frames)


def _plain(cue: Caption) -> str:
    return "".join(c for c in " ".join(cue.lines).casefold() if c.isalnum())


# ---------------------------------------------------------------------- chosen shots


def _chosen(cut: Cut, wanted: int, pace: float, interest: Interest | None) -> list[Window]:
    """Shorten shots to a common length, and leave out the dullest where that is not enough."""
    whole = _alone(cut)
    kept = [i for i, (first, last) in enumerate(whole) if last > first]
    shortest = round(max(_SHORTEST_S, _SHOT_S / pace) * cut.rate)
    worth = {i: _worth(cut, whole[i], interest) for i in kept}
    windows = {i: _trimmed(cut, whole[i], shortest) for i in kept}
    while len(kept) > 1 and sum(_length(windows[i]) for i in kept) > wanted:
        dullest = _dullest(cut, kept, worth)
        if sum(_length(whole[i]) for i in kept if i != dullest) < wanted:
            break  # without it too little is left: all of them become shorter still
        kept.remove(dullest)
    low, high = 1, wanted
    while low < high:  # the longest common length that fits
        middle = (low + high + 1) // 2
        total = sum(_length(_trimmed(cut, whole[i], middle)) for i in kept)
        low, high = (middle, high) if total <= wanted else (low, middle - 1)
    windows = {i: _trimmed(cut, whole[i], low) for i in kept}
    total = sum(map(_length, windows.values()))
    for i in kept:  # what is left over goes to shots that have more
        first, last = windows[i]
        more = min(wanted - total, whole[i][1] - last)
        # a sentence that leaves less than half of the time used is cut off all the same
        if more > 0 and (2 * total < wanted or not _cues_in(cut, (first, whole[i][1]))):
            windows[i], total = (first, last + more), total + more
    return _joined(cut, [windows[i] for i in kept], wanted)


def _alone(cut: Cut) -> list[Window]:
    """Give the frames of each shot that no transition covers."""
    starts = [*cut.starts(), cut.frames]
    return [
        (first + (shot.transition.frames if shot.transition else 0), following)
        for shot, (first, following) in zip(cut.shots, pairwise(starts), strict=True)
    ]


def _worth(cut: Cut, window: Window, interest: Interest | None) -> float:
    if interest is None:
        return 0.0
    return interest(float(window[0] / cut.rate), float(window[1] / cut.rate))


def _dullest(cut: Cut, kept: Sequence[int], worth: dict[int, float]) -> int:
    """Choose the shot to leave out: not the first, by which people stay or leave, nor a card.

    Of shots worth the same, the one whose neighbours are nearest, so that all of the film is told.
    """
    gaps = {i: after - before for before, i, after in zip(kept, kept[1:], kept[2:], strict=False)}
    pictures = [i for i in kept[1:] if cut.shots[i].path is not None]
    return min(pictures or kept[1:], key=lambda i: (worth[i], gaps.get(i, len(worth)), i))


def _trimmed(cut: Cut, window: Window, most: int) -> Window:
    """Shorten a stretch; a sentence that has begun is let end."""
    first, last = window
    end = min(last, first + most)
    for cue in _cues_in(cut, window):
        begins, ends = round(cue.start * cut.rate), round(cue.end * cut.rate)
        if begins < end < ends:
            end = min(last, ends)
    return first, end


def _cues_in(cut: Cut, window: Window) -> list[Caption]:
    cues = cut.captions.cues if cut.captions else ()
    first, last = window[0] / cut.rate, window[1] / cut.rate
    return [cue for cue in cues if cue.start < last and cue.end > first]


def _length(window: Window) -> int:
    return window[1] - window[0]


def _joined(cut: Cut, windows: Sequence[Window], wanted: int) -> list[Window]:
    """Join neighbours that are kept whole, so that the transition between them stays.

    The transition's own frames come on top, and are taken from the end.
    """
    overlaps = {
        first: first + (shot.transition.frames if shot.transition else 0)
        for shot, first in zip(cut.shots, cut.starts(), strict=True)
    }
    joined: list[Window] = []
    for first, last in windows:
        if joined and overlaps.get(joined[-1][1]) == first:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    over = sum(map(_length, joined)) - wanted
    while over > 0 and len(joined) > 1 and _length(joined[-1]) <= over:
        over -= _length(joined.pop())
    first, last = joined[-1]
    return [*joined[:-1], (first, last - max(over, 0))]


# ---------------------------------------------------------------------- a cut of stretches


def keep(cut: Cut, windows: Sequence[Window]) -> Cut:
    """Make a cut of stretches of a film, in order.

    What is over the pictures goes with them. With one stretch, so do the sounds under the film;
    with several, music plays on from its beginning, and other sounds go with the picture they
    began over. A sound that is cut off fades out.

    Args:
        cut: the film.
        windows: stretches of it, in order, not overlapping, not empty.
    """
    shots: list[Shot] = []
    overlays: list[Overlay] = []
    cues: list[Caption] = []
    lanes: list[Lane] = []
    at = 0
    for window in windows:
        part = _part(cut, window)
        overlays += (_moved(o, window, at) for o in cut.overlays if _overlaps(o, window))
        cues += (_said(cue, cut.rate, window, at) for cue in _cues_in(cut, window))
        if len(windows) > 1:
            lanes += _begun_in(cut, window, at)
        shots += part
        at += _length(window)
    captions = cut.captions and replace(cut.captions, cues=tuple(cues))
    length = Fraction(at) / cut.rate
    if len(windows) == 1:
        begin = windows[0][0] / cut.rate
        lanes = [lane for old in cut.lanes if (lane := _later(old, begin, length))]
    else:
        lanes += (lane for lane in cut.lanes if lane.role == "music")
    return replace(
        cut,
        shots=tuple(shots),
        overlays=tuple(overlays),
        captions=captions,
        lanes=tuple(_ended(lane, length) for lane in lanes if lane.at < length),
    )


def _part(cut: Cut, window: Window) -> list[Shot]:
    """Give the shots of a stretch; one that begins or ends within a transition has the one shot."""
    first, last = window
    spans = [(at, at + shot.frames) for at, shot in zip(cut.starts(), cut.shots, strict=True)]
    begins = max(i for i, (start, _) in enumerate(spans) if start <= first)
    ends = min(i for i, (_, end) in enumerate(spans) if end >= last)
    ends = max(ends, begins)
    shots = []
    for i in range(begins, ends + 1):
        start, end = spans[i]
        head, tail = max(first - start, 0) if i == begins else 0, max(end - last, 0)
        shots.append(_cut_down(cut.shots[i], cut.rate, head, tail, i == begins))
    return shots


def _cut_down(shot: Shot, rate: Fraction, head: int, tail: int, bare: bool) -> Shot:
    skipped = head / rate
    return replace(
        shot,
        start=shot.start if shot.still else shot.start + skipped * shot.speed,
        frames=shot.frames - head - tail,
        framing=_framing_from(shot.framing, skipped),
        transition=None if bare else shot.transition,
    )


def _framing_from(framing: tuple[Framing, ...], skipped: Fraction) -> tuple[Framing, ...]:
    """Let a path begin later."""
    if len(framing) < 2 or not skipped:
        return framing
    after = tuple(replace(point, at=point.at - skipped) for point in framing if point.at > skipped)
    return (replace(framing_at(framing, float(skipped)), at=Fraction(0)), *after)


def _overlaps(overlay: Overlay, window: Window) -> bool:
    return overlay.start < window[1] and overlay.start + overlay.frames > window[0]


def _moved(overlay: Overlay, window: Window, at: int) -> Overlay:
    first = max(overlay.start, window[0])
    last = min(overlay.start + overlay.frames, window[1])
    return replace(overlay, start=first - window[0] + at, frames=last - first)


def _said(cue: Caption, rate: Fraction, window: Window, at: int) -> Caption:
    """Move a caption; words that are cut off stay written but are not highlighted."""
    first, last = window[0] / rate, window[1] / rate
    by = at / rate - first
    words = (word for word in cue.words if word.start < last and word.end > first)
    return replace(
        cue,
        start=max(cue.start, first) + by,
        end=min(cue.end, last) + by,
        words=tuple(
            replace(w, start=max(w.start, first) + by, end=min(w.end, last) + by) for w in words
        ),
    )


def _later(lane: Lane, begin: Fraction, length: Fraction) -> Lane | None:
    """Let a sound begin where a stretch does."""
    at = lane.at - begin
    if at >= 0:
        return lane if at >= length else replace(lane, at=at)
    if lane.duration is not None and lane.duration <= -at:
        return None
    return replace(
        lane,
        at=Fraction(0),
        # Where a loop would be by now depends on the file's length, and is not heard either.
        start=lane.start if lane.loop else lane.start - at,
        duration=lane.duration and lane.duration + at,
        fade_in_s=max(lane.fade_in_s, _FADE_IN_S),
    )


def _begun_in(cut: Cut, window: Window, at: int) -> list[Lane]:
    first, last = window[0] / cut.rate, window[1] / cut.rate
    return [
        replace(lane, at=lane.at - first + at / cut.rate)
        for lane in cut.lanes
        if lane.role != "music" and first <= lane.at < last
    ]


def _ended(lane: Lane, length: Fraction) -> Lane:
    """End a sound with the film."""
    left = length - lane.at
    if lane.duration is not None and lane.duration <= left:
        return lane
    fade = min(max(lane.fade_out_s, _FADE_OUT_S), float(left) / 2)
    return replace(lane, duration=left, fade_out_s=fade)
