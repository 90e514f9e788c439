"""OpenTimelineIO files of others, read so that whatever is in them can do no harm.

Here: checking the JSON part by part and building the timeline anew from what was checked: the
library's own reader ends the whole process on some files (``"tracks": null``). Not here: which
files clips show (``given``), what a timeline means (``cut_of``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import opentimelineio as otio

from av_pipelines.videos.otio_items import CMX, OURS, colour_reference

_MOST = 1e12  # frames
_MAX_ITEMS = 100_000
_MAX_TEXT = 4096
_COLOUR = re.compile("#[0-9a-fA-F]{6}")


def read_otio(text: str) -> otio.schema.Timeline:
    """Read a timeline.

    Raises:
        ValueError: it is none, or holds what cannot be rendered; the part is named.
    """
    data = json.loads(text)
    name, fields = _object(data, "the file")
    if name != "Timeline":
        raise ValueError(f"it holds a {name}, no timeline")
    stack_name, stack = _object(fields.get("tracks"), "tracks")
    if stack_name != "Stack":
        raise ValueError(f"its tracks are a {stack_name}, and should be a Stack")
    timeline = otio.schema.Timeline(name=_text(fields.get("name")))
    if fields.get("global_start_time") is not None:
        timeline.global_start_time = _time(fields["global_start_time"], "global_start_time")
    timeline.metadata.update(_metadata(fields))
    for number, child in enumerate(_list(stack.get("children"), "tracks")):
        timeline.tracks.append(_track(child, f"tracks[{number}]"))
    return timeline


def _object(data: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(data, dict) or not isinstance(data.get("OTIO_SCHEMA"), str):
        raise ValueError(f"{where} is no object of OpenTimelineIO")
    return data["OTIO_SCHEMA"].partition(".")[0], data


def _list(data: Any, where: str) -> list[Any]:
    if data is None:
        return []
    if not isinstance(data, list) or len(data) > _MAX_ITEMS:
        raise ValueError(f"{where} is no list of up to {_MAX_ITEMS} items")
    return data


def _text(data: Any) -> str:
    return data[:_MAX_TEXT] if isinstance(data, str) else ""


def _number(data: Any, where: str) -> float:
    number = isinstance(data, int | float) and not isinstance(data, bool)
    if not number or not math.isfinite(data) or abs(data) > _MOST:
        raise ValueError(f"{where} = {data!r} is no number that a timeline can have")
    return float(data)


def _time(data: Any, where: str) -> otio.opentime.RationalTime:
    name, fields = _object(data, where)
    rate = _number(fields.get("rate"), f"{where}.rate")
    if name != "RationalTime" or not 1 <= rate <= 1_000_000:
        raise ValueError(f"{where} is no time: a {name} at {rate:g} a second")
    return otio.opentime.RationalTime(_number(fields.get("value"), f"{where}.value"), rate)


def _range(data: Any, where: str) -> otio.opentime.TimeRange | None:
    if data is None:
        return None
    name, fields = _object(data, where)
    start, length = (_time(fields.get(n), f"{where}.{n}") for n in ("start_time", "duration"))
    if name != "TimeRange" or length.value < 0:
        raise ValueError(f"{where} is no range of time")
    return otio.opentime.TimeRange(start, length)


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what we write ourselves, and plain values only."""
    said = fields.get("metadata")
    if not isinstance(said, dict):
        return {}
    return {name: _plain(said[name]) for name in (CMX, OURS) if isinstance(said.get(name), dict)}


def _plain(data: Any, depth: int = 0) -> Any:
    if depth > 8:
        raise ValueError("its metadata is nested more than 8 deep")
    if isinstance(data, dict):
        return {
            str(k)[:_MAX_TEXT]: _plain(v, depth + 1) for k, v in data.items() if k != "OTIO_SCHEMA"
        }
    if isinstance(data, list):
        return [_plain(item, depth + 1) for item in data]
    if isinstance(data, str):
        return _text(data)
    fits = isinstance(data, bool | None) or abs(data) < 2**53  # also not NaN
    return data if fits else 0


# ---------------------------------------------------------------------- tracks and items


def _track(data: Any, where: str) -> otio.schema.Track:
    name, fields = _object(data, where)
    if name not in ("Track", "Sequence"):  # as it was called at first
        raise ValueError(f"{where} is a {name}, and should be a Track")
    track = otio.schema.Track(name=_text(fields.get("name")), kind=_text(fields.get("kind")))
    track.enabled = fields.get("enabled") is not False
    track.metadata.update(_metadata(fields))
    for number, child in enumerate(_list(fields.get("children"), where)):
        track.append(_item(child, f"{where}[{number}]"))
    span = _range(fields.get("source_range"), f"{where}.source_range")
    if span and len(track):
        whole = track.available_range()
        if whole.contains(span) and span != whole:
            return otio.algorithms.track_trimmed_to_range(track, span)
    return track


def _item(data: Any, where: str) -> otio.core.Composable:
    name, fields = _object(data, where)
    reader = _READERS.get(name)
    if reader is None:
        called = _text(fields.get("name")) or where
        raise ValueError(
            f"{called!r} is a {name}, which cannot be rendered; a timeline in a timeline is to be "
            "flattened in the program it comes from"
        )
    return reader(fields, where)


def _gap(fields: Mapping[str, Any], where: str) -> otio.schema.Gap:
    span = _range(fields.get("source_range"), f"{where}.source_range")
    if span is None:
        raise ValueError(f"{where} is a gap without a length")
    return otio.schema.Gap(source_range=span)


def _transition(fields: Mapping[str, Any], where: str) -> otio.schema.Transition:
    early, late = (_time(fields.get(n), f"{where}.{n}") for n in ("in_offset", "out_offset"))
    if early.value < 0 or late.value < 0:
        raise ValueError(f"{where} is a transition with a negative offset")
    return otio.schema.Transition(
        name=_text(fields.get("name")),
        transition_type=_text(fields.get("transition_type")) or "SMPTE_Dissolve",
        in_offset=early,
        out_offset=late,
        metadata=_metadata(fields),
    )


def _clip(fields: Mapping[str, Any], where: str) -> otio.core.Item:
    name = _text(fields.get("name"))
    given = fields.get("media_reference")
    if isinstance(references := fields.get("media_references"), dict):
        given = references.get(_text(fields.get("active_media_reference_key")) or "DEFAULT_MEDIA")
    reference = _reference(given, f"{where} ({name!r})")
    span = _range(fields.get("source_range"), f"{where}.source_range")
    span = span or (reference.available_range if reference else None)
    if span is None:
        raise ValueError(f"{where} ({name!r}) says neither which part of its source nor how long")
    if fields.get("enabled") is False:
        return otio.schema.Gap(source_range=span)
    clip = otio.schema.Clip(name=name, source_range=span, metadata=_metadata(fields))
    if reference:
        clip.media_reference = reference
    for effect in _list(fields.get("effects"), f"{where}.effects"):
        clip.effects.extend(_effects(effect, f"{where} ({name!r})"))
    return clip


def _reference(data: Any, where: str) -> otio.core.MediaReference | None:
    if data is None:
        return None
    name, fields = _object(data, where)
    span = _range(fields.get("available_range"), f"{where}.available_range")
    if name == "ExternalReference":
        return otio.schema.ExternalReference(_text(fields.get("target_url")), span)
    if name == "GeneratorReference":
        said = fields.get("parameters")
        colour = said.get("colour") if isinstance(said, dict) else None
        known = isinstance(colour, str) and _COLOUR.fullmatch(colour) is not None
        return colour_reference(str(colour) if known else "#000000")
    if name == "MissingReference":
        return otio.schema.MissingReference(name=_text(fields.get("name")), available_range=span)
    raise ValueError(f"{where} shows a {name}, which cannot be rendered")


def _effects(data: Any, where: str) -> list[otio.schema.Effect]:
    """Give speeds; other effects are other programs' own."""
    name, fields = _object(data, where)
    metadata = _metadata(fields)
    if name == "FreezeFrame":
        return [otio.schema.FreezeFrame(metadata=metadata)]
    if name == "LinearTimeWarp":
        scalar = _number(fields.get("time_scalar"), f"{where}: time_scalar")
        return [otio.schema.LinearTimeWarp(time_scalar=scalar, metadata=metadata)]
    if name == "TimeEffect":
        raise ValueError(f"{where}: its speed is not constant, which cannot be rendered")
    return []


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], otio.core.Composable]] = {
    "Clip": _clip,
    "Gap": _gap,
    "Filler": _gap,
    "Transition": _transition,
}
