"""Prices: what measured seconds cost in money, from ``rates.toml``.

Here: reading prices and applying them. Not here: measuring (``metering``).
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Rates(BaseModel):
    """Prices in US dollars; None where nobody said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu_hour_usd: float | None = Field(default=None, ge=0)
    gpu_hour_usd: float | None = Field(default=None, ge=0)

    def price(self, cpu_s: float, gpu_s: float) -> float | None:
        """Return the price of so many seconds, or None when a part that was used has no price."""
        total = 0.0
        for seconds, hourly in ((cpu_s, self.cpu_hour_usd), (gpu_s, self.gpu_hour_usd)):
            if seconds > 0:
                if hourly is None:
                    return None
                total += seconds / 3600 * hourly
        return total


def load_rates(store_root: Path) -> Rates:
    """Read ``<store>/rates.toml``, else the shipped one; ValueError names file and key."""
    own = store_root / "rates.toml"
    text = (
        own.read_text("utf-8")
        if own.is_file()
        else resources.files("resources").joinpath("rates.toml").read_text("utf-8")
    )
    try:
        data = tomllib.loads(text)
        unknown = set(data) - {"as_of", "machine"}
        if unknown:
            raise ValueError(f"{own}: unknown {sorted(unknown)}; allowed: as_of and [machine]")
        return Rates.model_validate(data.get("machine", {}))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ValueError(f"{own}: {error}") from error
