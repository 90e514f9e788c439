"""What places ask for, and what is delivered for a purpose: two tables.

Here: data. A new platform or purpose is a row. Not here: what the settings mean (``settings``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

Platform = Literal[
    "spotify",
    "youtube",
    "tidal",
    "apple_music",
    "deezer",
    "amazon",
    "podcast",
    "ebu_r128",
    "atsc_a85",
]
Delivery = Literal["archive", "cd", "streaming", "podcast", "small"]


@dataclass(frozen=True)
class Target:
    """What a place asks for.

    Attributes:
        lufs: integrated loudness.
        dbtp: highest true peak.
        as_of: when this was looked up.
        source: where.
    """

    lufs: float
    dbtp: float
    as_of: date
    source: str

    def settings(self) -> dict[str, Any]:
        """Return it as settings of the master."""
        return {"target_lufs": self.lufs, "ceiling_dbtp": self.dbtp}


_AS_OF = date(2026, 11, 21)
_SAID = "as users and makers of mastering tools report it; the platform's own page not opened"

PLATFORMS: Mapping[Platform, Target] = {
    "spotify": Target(-14, -1, _AS_OF, _SAID),
    "youtube": Target(-14, -1, _AS_OF, _SAID),
    "tidal": Target(-14, -1, _AS_OF, _SAID),
    "apple_music": Target(-16, -1, _AS_OF, _SAID),
    "deezer": Target(-15, -1, _AS_OF, _SAID),
    "amazon": Target(-14, -2, _AS_OF, _SAID),
    "podcast": Target(-16, -1, _AS_OF, "AES recommendations for loudness of streams"),
    "ebu_r128": Target(-23, -1, _AS_OF, "EBU R 128"),
    "atsc_a85": Target(-24, -2, _AS_OF, "ATSC A/85"),
}
"""Loudness and true peak by place."""

DELIVERIES: Mapping[str, Mapping[str, Any]] = {
    "archive": {"formats": ("flac", "wav"), "flac_bits": 24, "wav_bits": 24},
    "cd": {
        "formats": ("flac", "wav"),
        "sample_rate_hz": 44_100,
        "flac_bits": 16,
        "wav_bits": 16,
    },
    "streaming": {"formats": ("flac", "m4a", "opus"), "m4a_kbps": 256, "opus_kbps": 160},
    "podcast": {"formats": ("mp3", "m4a"), "mp3_mode": "cbr", "mp3_kbps": 128, "m4a_kbps": 128},
    "small": {"formats": ("opus", "m4a"), "opus_kbps": 64, "m4a_kbps": 64, "flac_bits": 16},
}
"""Settings by purpose."""
