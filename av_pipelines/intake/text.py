"""Text from outside made safe to print, store and show.

Here: cleaning names, tags and FFmpeg's messages. Not here: what is done with them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

MAX_TAGS = 64
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_UNSAFE = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})


def clean(text: str, limit: int = 500) -> str:
    """Make one line of anything: no control or direction characters, cut at ``limit``."""
    kept = "".join(
        " " if c in "\t\r\n\v\f" else "" if unicodedata.category(c) in _UNSAFE or c in _BIDI else c
        for c in text[: 4 * limit]
    )
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def clean_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Clean a container's tags: at most 64, names as lower-case ASCII words, empty ones dropped."""
    out: dict[str, str] = {}
    for name, value in tags.items():
        word = re.sub(r"[^a-z0-9]+", "_", name[:64].lower()).strip("_")
        text = clean(value)
        if word and text and word not in out and len(out) < MAX_TAGS:
            out[word] = text
    return out
