"""A request for a track: read from a file or a call, completed, and given its partition.

Here: what makes two requests the same, the seeds of their takes, and the named errors. Not here:
how many may wait (``av_pipelines.track_queue``), who makes the sound.
"""

from __future__ import annotations

import json
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.settings import SettingsError, Values
from av_pipelines.tracks.errors import TrackError
from av_pipelines.tracks.settings import TrackSettings
from partitions.keys import prompt_key

PROMPT_SUFFIX = ".prompt.toml"
SEEDS = 2**32
_MOST_BYTES = 100_000


def settle(*layers: tuple[str, Values]) -> TrackSettings:
    """Return the settings of a request, checked.

    Args:
        layers: (where they come from, the values), lowest first.

    Raises:
        TrackError: ``INVALID_DURATION`` or ``INVALID_REQUEST``, with what is allowed.
    """
    try:
        settings = TrackSettings.merged("track", *layers)
    except SettingsError as error:
        raise named(error) from None
    if not settings.prompt.strip() and settings.engine == "musicgen":
        raise TrackError("INVALID_REQUEST", "musicgen needs a prompt: say what it should play")
    return settings


def named(error: SettingsError) -> TrackError:
    """Give what is wrong with a setting its name."""
    code = "INVALID_DURATION" if "track.duration_s =" in str(error) else "INVALID_REQUEST"
    return TrackError(code, str(error))


def with_seed(values: Values, seed: int | None = None) -> dict[str, Any]:
    """Return the values of a request with a seed: its own, else this one, else one by chance."""
    if values.get("seed") is not None:
        return dict(values)
    return {**values, "seed": secrets.randbelow(SEEDS) if seed is None else seed % SEEDS}


def key_of(settings: TrackSettings) -> str:
    """Return the partition of a request: the same for the same request."""
    return prompt_key(settings.prompt, json.dumps(settings.identity(), sort_keys=True))


def more_takes(settings: TrackSettings) -> list[Mapping[str, Any]]:
    """Return what differs in the second and each further take: the seed counts up."""
    first = seed_of(settings)
    return [{"seed": (first + take) % SEEDS} for take in range(1, settings.takes)]


def seed_of(settings: TrackSettings) -> int:
    """Return the seed; TrackError when the request was not completed with one."""
    if settings.seed is None:
        raise TrackError("INVALID_REQUEST", "track.seed is not set: give a whole number")
    return settings.seed


def read_prompt(path: Path) -> dict[str, Any]:
    """Read a prompt file: TOML (``*.prompt.toml``), else plain text, which is the prompt.

    Raises:
        TrackError: ``INVALID_REQUEST``: it is too large, no UTF-8 text, or no TOML.
    """
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise TrackError("INVALID_REQUEST", f"{path.name}: more than {_MOST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
        if path.name.lower().endswith(PROMPT_SUFFIX):
            return tomllib.loads(text)
    except UnicodeDecodeError:
        raise TrackError("INVALID_REQUEST", f"{path.name} is no UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise TrackError("INVALID_REQUEST", f"{path.name}: {error}") from None
    return {"prompt": " ".join(text.split())}
