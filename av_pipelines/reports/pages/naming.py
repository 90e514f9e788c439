"""What a person calls a media, a track or a film: the heading of its page.

Not here: keys and folders, by which programs know them (``partitions.keys``).
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from resources.manifest import MediaRecord, PartitionRecord, ProjectRecord, PromptRecord
from resources.store import Store

KINDS = (MediaRecord, PromptRecord, ProjectRecord)
_TIMELINE = "timeline.otio"
_LARGEST = 64_000_000  # bytes of a timeline that is read for its title


def name_of(store: Store, record: PartitionRecord) -> str:
    """Return a file's name, a track's prompt, a film's title; the key where there is none.

    Raises:
        OSError: the timeline cannot be read.
        ValueError: the timeline is damaged.
    """
    if isinstance(record, PromptRecord):
        prompt = str(record.sidecar.get("track", {}).get("prompt") or "")
        return " ".join(prompt.split()) or record.key
    title = _title(store, record.key) if isinstance(record, ProjectRecord) else None
    return title or PurePosixPath(record.origin).name or record.key


def _title(store: Store, key: str) -> str | None:
    timeline = store.current(key, "timeline")
    if timeline is None or not any(file.name == _TIMELINE for file in timeline.manifest.files):
        return None
    path = timeline.file(_TIMELINE)
    if path.stat().st_size > _LARGEST:
        return None
    told = json.loads(path.read_bytes())
    title = told.get("name") if isinstance(told, dict) else None
    return title.strip() if isinstance(title, str) else None
