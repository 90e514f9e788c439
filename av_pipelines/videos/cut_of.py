"""From a timeline to a cut: what is rendered, out of OTIO.

Here: reading ``timeline.otio`` as ``timeline`` writes it, changed by an editor or not, into the
render plan. Not here: which files clips show (``timeline`` has resolved them), rendering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import opentimelineio as otio

from av_pipelines.videos.cut import Captions, Cut, Framing, Lane, Overlay, Shot, Transition, Wave
from av_pipelines.videos.cut_json import from_json
from av_pipelines.videos.otio_items import OURS, Placed, placed, rate_of
from av_pipelines.videos.otio_time import exact_text, seconds

if TYPE_CHECKING:
    from opentimelineio.schema import Clip, Timeline, Track

_ROUNDING = Fraction(1, 10**5)  # of times in seconds, which OTIO holds as floating-point numbers


def read_cut(path: Path) -> Cut:
    """Read ``timeline.otio``.

    Raises:
        ValueError: it cannot be rendered, or a file that it names is gone; the clip is named.
    """
    timeline = otio.adapters.read_from_string(path.read_text("utf-8"), "otio_json")
    cut = cut_of(cast("Timeline", timeline))
    for what, file in _files(cut):
        if not file.is_file():
            raise ValueError(
                f"{what}: its source {file} is gone; put it back, or change the project"
            )
    return cut


def cut_of(timeline: Timeline) -> Cut:
    """Give the cut of a timeline; ValueError names the clip that cannot be rendered."""
    rate = rate_of(timeline)
    said = timeline.metadata.get(OURS, {})
    films = [track for track in timeline.tracks if track.kind == otio.schema.TrackKind.Video]
    if not films:
        raise ValueError(f"{timeline.name!r} has no picture track")
    sounds = [t for t in timeline.tracks if t.kind == otio.schema.TrackKind.Audio]
    lanes = [lane for t in sounds if "lane" in t.metadata.get(OURS, {}) for lane in _lane(t)]
    own = [t for t in sounds if "lane" not in t.metadata.get(OURS, {})]
    items = list(placed(films[0], rate))
    loose, heard = _heard(own, items, rate)
    all_heard = not own and not said.get("silent", False)
    shots = _shots(items, rate, lambda item: all_heard or id(item) in heard)
    if not shots:
        raise ValueError(f"{timeline.name!r} has nothing to show")
    plain = _plain(said)
    return Cut(
        title=timeline.name,
        rate=rate,
        width=int(plain.get("width", 1920)),
        height=int(plain.get("height", 1080)),
        shots=tuple(shots),
        overlays=from_json(tuple[Overlay, ...], plain.get("overlays", [])),
        captions=from_json(Captions, plain["captions"]) if "captions" in plain else None,
        lanes=(*lanes, *loose),
        wave=from_json(Wave, plain["wave"]) if "wave" in plain else None,
        loudness_lufs=plain.get("loudness_lufs"),
        quality=plain.get("quality", "standard"),
    )


def _plain(value: Any) -> Any:
    """Give OTIO's own kinds of tables and lists as Python's."""
    if isinstance(value, Mapping) or hasattr(value, "keys"):
        return {str(key): _plain(value[key]) for key in value}
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return [_plain(item) for item in value]


def _shots(items: list[Placed], rate: Fraction, is_heard: Any) -> list[Shot]:
    shots: list[Shot] = []
    for number, item in enumerate(items):
        following = items[number + 1].overlap if number + 1 < len(items) else 0
        length = item.length + following
        if not length:
            continue
        transition = None
        if item.overlap and item.transition:
            if not shots:
                shots.append(Shot("black", None, Fraction(0), item.overlap))
            transition = Transition(_kind(item.transition), item.overlap)
        shots.append(_shot(item, length, transition, rate, sound=is_heard(item)))
    return shots


def _kind(transition: otio.schema.Transition) -> Any:
    said = transition.metadata.get(OURS, {}).get("kind")
    if said in ("dissolve", "fade", "wipe"):
        return said
    return "wipe" if "wipe" in transition.transition_type.lower() else "dissolve"


def _shot(
    item: Placed, length: int, transition: Transition | None, rate: Fraction, *, sound: bool
) -> Shot:
    clip = item.clip
    if clip is None:
        return Shot("black", None, Fraction(0), length, transition=transition)
    said = _plain(clip.metadata.get(OURS, {}))
    name = str(said.get("name") or clip.name)
    if isinstance(clip.media_reference, otio.schema.GeneratorReference):
        colour = str(clip.media_reference.parameters.get("colour", "#000000"))
        return Shot(name, None, Fraction(0), length, colour=colour, transition=transition)
    if item.speed < 0:
        raise ValueError(f"{name!r} runs backwards, which cannot be rendered")
    held = item.speed == 0  # so slow that it never comes to the next picture
    return Shot(
        name=name,
        path=path_of(clip),
        start=start_of(item, rate),
        frames=length,
        still=said.get("kind") == "still",
        speed=Fraction(1, 100 * length) if held else item.speed,
        fit=said.get("fit", "pad"),
        framing=from_json(tuple[Framing, ...], said.get("framing", [])),
        transition=transition,
        sound=sound and not held,
        gain_db=float(said.get("gain_db", 0.0)),
        effects=tuple((str(n), dict(a)) for n, a in said.get("effects", [])),
    )


def path_of(clip: Clip) -> Path:
    """Give the file of a clip; ValueError where it names none."""
    address = getattr(clip.media_reference, "target_url", None) or ""
    parts = urlsplit(address)
    if parts.scheme != "file":
        raise ValueError(f"{clip.name!r} names no file of this machine: {address!r}")
    return Path(unquote(parts.path))


def start_of(item: Placed, rate: Fraction) -> Fraction:
    """Give where a placed clip begins, in seconds from its source's first picture."""
    clip = cast("Clip", item.clip)
    there = clip.media_reference.available_range if clip.media_reference else None
    zero = seconds(there.start_time) if there else Fraction(0)
    start = item.start / rate - zero
    exact = clip.metadata.get(OURS, {}).get("start")
    if exact is not None and abs(exact_text(exact) - start) < _ROUNDING:
        return exact_text(exact)  # not changed since it was written, but for rounding
    return max(Fraction(0), start)


def _heard(
    tracks: list[Track], pictures: list[Placed], rate: Fraction
) -> tuple[list[Lane], set[int]]:
    """Find which shots are heard, and the sounds that are not those of shots."""
    seen = {
        (item.at, item.length, path_of(item.clip), item.start): item
        for item in pictures
        if item.clip and isinstance(item.clip.media_reference, otio.schema.ExternalReference)
    }
    heard: set[int] = set()
    loose: dict[tuple[Any, ...], Lane] = {}
    for track in tracks:
        for item in placed(track, rate):
            if item.clip is None or not item.length:
                continue
            where = (item.at, item.length, path_of(item.clip), item.start)
            if where in seen:
                heard.add(id(seen[where]))
                continue
            if item.speed != 1:
                raise ValueError(
                    f"{item.clip.name!r} is heard at speed {float(item.speed):g} without its "
                    "picture, which cannot be rendered"
                )
            gain = float(item.clip.metadata.get(OURS, {}).get("gain_db", 0.0))
            loose[where] = Lane(
                path_of(item.clip), "effect", item.at / rate, start_of(item, rate),
                item.length / rate, gain,
            )  # fmt: skip
    return list(loose.values()), heard


def _lane(track: Track) -> list[Lane]:
    """Read a lane: as it was written, moved or cut anew where an editor did so."""
    said = from_json(Lane, _plain(track.metadata[OURS]["lane"]))
    lanes = []
    at = Fraction(0)
    for item in track:
        length = seconds(item.duration())
        if isinstance(item, otio.schema.Clip):
            start = seconds(item.trimmed_range().start_time)
            lane = replace(said, path=path_of(item))
            if abs(at - said.at) > _ROUNDING:
                lane = replace(lane, at=at)
            if abs(start - said.start) > _ROUNDING:
                lane = replace(lane, start=start, duration=length)
            lanes.append(lane)
        at += length
    return lanes


def _files(cut: Cut) -> list[tuple[str, Path]]:
    shots = [(f"shot {n + 1} ({s.name!r})", s.path) for n, s in enumerate(cut.shots) if s.path]
    overlays = [(f"overlay {n + 1}", o.path) for n, o in enumerate(cut.overlays) if o.path]
    return [
        *shots,
        *overlays,
        *((f"{lane.role} {lane.path.name}", lane.path) for lane in cut.lanes),
    ]
