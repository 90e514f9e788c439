"""Speed over time: which second of the film is shown at which second of the look.

Here: the map, which picture and sound follow alike, and both as filters. The map is a chain of
straight pieces: a ramp becomes steps of at most 6 %, so that picture and sound meet exactly where
two pieces do, instead of drifting apart. Not here: all other filters (``filters``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

_STEP = math.log(1.06)
_SHORTEST_S = 0.1
_OVERLAP_S = 0.02  # of the look; over this time one piece of sound fades into the next

# Rubber Band keeps a beat as it is around the middle of its window of 2048 samples, so what it puts
# out is early or late by that much, stretched. The pieces begin so that beats come in time.
_PIVOT = 1024
_LEAD_S = 0.1  # of silence, so that a piece can begin before the film


@dataclass(frozen=True)
class Piece:
    """From ``start`` to ``end`` (seconds of the film) at one speed."""

    start: float
    end: float
    speed: float


@dataclass(frozen=True)
class SpeedMap:
    """The pieces, in order, without gaps; the last one is endless."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, speed: float, ramp: Sequence[tuple[float, float]]) -> SpeedMap:
        """Make the map of a constant speed, or of a ramp's points (second, speed)."""
        points = list(ramp) or [(0.0, speed)]
        pieces = [Piece(0.0, points[0][0], points[0][1])]
        for (start, before), (end, after) in itertools.pairwise(points):
            pieces += _ramp(start, end, before, after)
        pieces.append(Piece(points[-1][0], math.inf, points[-1][1]))
        return cls(tuple(_joined([p for p in pieces if p.end > p.start])))

    @property
    def constant(self) -> float | None:
        """The speed, if it never changes."""
        return self.pieces[0].speed if len(self.pieces) == 1 else None

    def shown_at(self, second: float) -> float:
        """Give the second of the look at which a second of the film is shown."""
        return sum(
            (min(second, piece.end) - piece.start) / piece.speed
            for piece in self.pieces
            if piece.start < second
        )

    @cached_property
    def _starts(self) -> list[float]:
        return [self.shown_at(piece.start) for piece in self.pieces]

    def picture_filter(self) -> str:
        """Give the filter that moves the time stamps of the picture."""
        return f"setpts='({self._expression(0, len(self.pieces))})/TB'"

    def _expression(self, first: int, last: int) -> str:
        if last - first == 1:
            piece = self.pieces[first]
            return f"{self._starts[first]:.6f}+(T-{piece.start:.6f})/{piece.speed:.6f}"
        middle = (first + last) // 2
        edge = self.pieces[middle].start
        return (
            f"if(lt(T,{edge:.6f}),{self._expression(first, middle)},"
            f"{self._expression(middle, last)})"
        )

    def sound_filters(self, source: str, result: str, rate: int, length_s: float) -> list[str]:
        """Give the chains that stretch the sound, in pitch, from one label to another.

        Args:
            source: the label of what comes in.
            result: the label of what goes out.
            rate: samples per second.
            length_s: of the film; pieces after it are left out.
        """
        longest = 2 * _OVERLAP_S  # anything shorter has no room to fade into
        pieces = [p for p in self.pieces if p.start < length_s - longest * p.speed]
        pieces = pieces or [self.pieces[0]]
        parts = "".join(f"[p{k}]" for k in range(len(pieces)))
        lead = round(_LEAD_S * rate)
        chains = [f"[{source}]adelay={lead}S:all=1,asplit={len(pieces)}{parts}"]
        joined = ""
        for k, piece in enumerate(pieces):
            last = k == len(pieces) - 1
            first = lead + round(piece.start * rate + _PIVOT * (piece.speed - 1))
            trim, fix = f"atrim=start_sample={first}", ""
            if not last:
                begin, after = (round(second * rate) for second in self._starts[k : k + 2])
                length = after - begin + round(_OVERLAP_S * rate)
                trim += f":end_sample={first + round((length + _PIVOT) * piece.speed)}"
                fix = f"apad=whole_len={length},atrim=end_sample={length},"
            into = result if last and not k else f"q{k}"
            chains.append(
                f"[p{k}]{trim},asetpts=PTS-STARTPTS,rubberband=tempo={piece.speed:.6f},"
                f"{fix}asetpts=N/SR/TB[{into}]"
            )
            if k:
                into = result if last else f"r{k}"
                fade = f"acrossfade=ns={round(_OVERLAP_S * rate)}:c1=qsin:c2=qsin"
                chains.append(f"[{joined}][q{k}]{fade}[{into}]")
            joined = into
        return chains


def _ramp(start: float, end: float, before: float, after: float) -> list[Piece]:
    """Part an even change of speed into steps, each of the time that the even change takes."""
    if end <= start:
        return []
    wanted = math.ceil(abs(math.log(after / before)) / _STEP)
    count = max(1, min(wanted, int((end - start) / _SHORTEST_S)))
    edges = [start + (end - start) * k / count for k in range(count + 1)]
    slope = (after - before) / (end - start)
    pieces = []
    for a, b in itertools.pairwise(edges):
        s, t = before + slope * (a - start), before + slope * (b - start)
        lasts = (b - a) / s if math.isclose(s, t) else math.log(t / s) / slope
        pieces.append(Piece(a, b, (b - a) / lasts))
    return pieces


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Make one piece of neighbours of the same speed."""
    found: list[Piece] = []
    for piece in pieces:
        if found and math.isclose(found[-1].speed, piece.speed, rel_tol=1e-9):
            piece = Piece(found.pop().start, piece.end, piece.speed)
        found.append(piece)
    return found
