"""The lineage of a media as a small drawing: boxes in columns, each right of what it is made from.

Here: where boxes and lines go, as numbers for an SVG. Not here: reading artifacts (``gather``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote

from av_pipelines.reports.pages.shown import Shown
from partitions.keys import is_key

WIDTH, HEIGHT = 148, 46
_ACROSS, _DOWN = 56, 16
_LANE = 6  # what a line that passes by takes of a column
_EDGE = 2

_Place = tuple[str, str | None]
"""An asset, and its partition where it is another's."""


@dataclass(frozen=True)
class Box:
    """One artifact or file; ``page`` is a relative link to what is told of it, if anything is."""

    asset: str
    note: str
    x: int
    y: int
    page: str | None


@dataclass(frozen=True)
class Graph:
    """Boxes, the lines between them as SVG paths, and the size of it all."""

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    width: int
    height: int


def draw(shown: list[Shown]) -> Graph:
    """Place artifacts, which come in an order in which each is after its inputs.

    A line that leads further than to the next column passes below the boxes between.
    """
    own = {one.name for one in shown}
    column: dict[_Place, int] = {}
    edges: list[tuple[_Place, _Place]] = []
    notes: dict[_Place, str] = {}
    for one in shown:
        manifest, place = one.artifact.manifest, (one.name, None)
        for given in manifest.inputs:
            before = (given.asset, None if given.asset in own else given.partition)
            column.setdefault(before, 0)
            notes.setdefault(before, given.partition)
            edges.append((before, place))
        column[place] = max((column[b] + 1 for b, after in edges if after == place), default=0)
        notes[place] = manifest.engine or ("degraded" if manifest.degraded else "")
    bottom = [_EDGE] * (max(column.values(), default=0) + 1)
    boxes: dict[_Place, Box] = {}
    for place, at in column.items():
        x = _EDGE + at * (WIDTH + _ACROSS)
        boxes[place] = Box(place[0], notes[place], x, bottom[at], _page(*place))
        bottom[at] += HEIGHT + _DOWN
    lanes: dict[tuple[_Place, int], int] = {}
    lines = []
    for before, after in edges:
        points = [(boxes[before].x + WIDTH, boxes[before].y + HEIGHT // 2)]
        for at in range(column[before] + 1, column[after]):
            if (before, at) not in lanes:
                lanes[before, at] = bottom[at] - _DOWN // 2
                bottom[at] += _LANE
            x, y = _EDGE + at * (WIDTH + _ACROSS), lanes[before, at]
            points += [(x, y), (x + WIDTH, y)]
        lines.append(_line([*points, (boxes[after].x, boxes[after].y + HEIGHT // 2)]))
    return Graph(
        boxes=tuple(boxes.values()),
        lines=tuple(lines),
        width=2 * _EDGE + len(bottom) * (WIDTH + _ACROSS) - _ACROSS,
        height=max(bottom) - _DOWN + 2 * _EDGE,
    )


def _page(asset: str, partition: str | None) -> str | None:
    if partition is None:
        return f"#{quote(asset)}"
    return f"{quote(partition)}.html#{quote(asset)}" if is_key(partition) else None


def _line(points: list[tuple[int, int]]) -> str:
    """Return an SVG path through points: curves between columns, straight along them."""
    path = f"M{points[0][0]},{points[0][1]}"
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = _ACROSS // 2
        path += f"H{x1}" if y0 == y1 else f"C{x0 + bend},{y0} {x1 - bend},{y1} {x1},{y1}"
    return path
