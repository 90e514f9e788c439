"""The parts of a cut as JSON, and back.

Here: the dataclasses of ``cut``, whatever they hold. Not here: where the JSON is kept (``timeline``
writes it into OTIO's metadata, ``cut_of`` reads it there).
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from av_pipelines.videos.otio_time import exact_text

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Give a part of a cut as JSON: fractions and paths as texts; what is as usual left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_json(getattr(value, f.name))
            for f in fields(value)
            if getattr(value, f.name) != f.default
        }
    if isinstance(value, Fraction | Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def from_json(kind: type[T], data: Any) -> T:
    """Read what ``to_json`` gave.

    Raises:
        ValueError: it is no such part; the field is named.
    """
    return cast("T", _read(kind, data, kind.__name__))


def _read(kind: Any, data: Any, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in inner:
            return None
        kind = next(k for k in inner if k is not type(None))
        return _read(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise ValueError(f"{where}: a list is expected, not {data!r}")
        if inner[-1] is Ellipsis:
            return tuple(_read(inner[0], item, f"{where}[{n}]") for n, item in enumerate(data))
        return tuple(_read(k, item, where) for k, item in zip(inner, data, strict=True))
    if origin is dict:
        return dict(data)
    if origin is Literal:
        if data not in inner:
            raise ValueError(f"{where} = {data!r}: allowed: {', '.join(map(str, inner))}")
        return data
    if is_dataclass(kind):
        return _part(cast("type", kind), data, where)
    try:
        if kind is Fraction:
            return exact_text(str(data))
        if kind in (Path, int, float, str):
            return kind(data)
    except (TypeError, ValueError):
        raise ValueError(f"{where} = {data!r} is no {kind.__name__}") from None
    return data


def _part(kind: type, data: Any, where: str) -> Any:
    hints = _hints(kind)
    if not isinstance(data, Mapping) or not set(data) <= set(hints):
        raise ValueError(f"{where}: a table with {', '.join(hints)} is expected")
    read = {name: _read(hints[name], item, f"{where}.{name}") for name, item in data.items()}
    try:
        return kind(**read)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
