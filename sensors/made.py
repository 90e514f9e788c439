"""Files that stay in their inbox (``copy``, ``link``, ``reference``): which of them were made.

Here: whether a file was made, or refused, as it is now. Not here: when it is whole (``watching``).
"""

from __future__ import annotations

from pathlib import Path

from av_pipelines.inboxes import Inbox
from resources.store import Store
from sensors.listing import Seen

_MADE: dict[tuple[Path, str], tuple[object, ...]] = {}
"""What they looked like when they were made: the library, remembered."""


def made(store: Store, inbox: Inbox, seen: Seen) -> bool:
    """Return whether a file that stays where it is was made, or refused, as it is now."""
    if inbox.claim == "move":
        return False
    key = inbox.key(seen.path)
    place, state = (store.root, key), (seen.size, seen.mtime_ns, seen.sidecars)
    if _MADE.get(place) == state:
        return True
    record = store.media(key)
    if (
        record is None
        or (record.size, record.mtime_ns) != (seen.size, seen.mtime_ns)
        or (not store.current(key, "source") and not store.quarantined(key))
        or (seen.sidecars and any(mtime > _saved_ns(store, key) for _, mtime in seen.sidecars))
    ):
        return False
    _MADE[place] = state
    return True


def _saved_ns(store: Store, key: str) -> int:
    """When the record of a media was last written."""
    return (store.library / key / "media.json").stat().st_mtime_ns
