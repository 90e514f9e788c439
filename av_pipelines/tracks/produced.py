"""What an engine gives back beside the files it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Produced:
    """What came out of making a track."""

    facts: Mapping[str, Any]
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Label → file name."""
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Label → rows."""
    degraded: str | None = None
    """Why it is not what was meant."""
