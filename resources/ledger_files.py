"""Reading the ledger's files: many at once, damaged ones left out, old records as today's.

Not here: writing and merging them (``ledger``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resources.ledger import SCHEMA, schema

if TYPE_CHECKING:
    import polars as pl

_BATCH = 2000  # files read at once: bounds the memory, and the work when one is damaged
_REQUIRED = ("id", "ts", "event", "asset", "partition")


def read(files: Sequence[Path]) -> tuple[list[pl.DataFrame], dict[Path, str]]:
    """Read files of the ledger.

    Returns:
        Their records, in frames of the present schema (``ledger.schema``), and the files that
        could not be read with what is wrong with each.
    """
    frames: list[pl.DataFrame] = []
    faults: dict[Path, str] = {}
    for start in range(0, len(files), _BATCH):
        found, wrong = _read(files[start : start + _BATCH])
        frames += found
        faults |= wrong
    return frames, faults


def _read(files: Sequence[Path]) -> tuple[list[pl.DataFrame], dict[Path, str]]:
    """Read files in one go; where that fails, halve them until the damaged ones are found."""
    import polars as pl

    try:
        # Several times faster on many small files than DuckDB's or pyarrow's own reader.
        frame = pl.scan_parquet(
            [str(file) for file in files],
            schema=pl.DataFrame(schema().empty_table()).schema,
            missing_columns="insert",  # of records older than a column
            extra_columns="ignore",
            glob=False,
        ).collect()
        fault = _fault(frame)
        if fault is None:
            return [_as_today(frame)], {}
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        fault = (str(error) or type(error).__name__).splitlines()[0]
    if len(files) == 1:
        return [], {files[0]: fault}
    half = len(files) // 2
    frames, faults = _read(files[:half])
    more_frames, more_faults = _read(files[half:])
    return frames + more_frames, faults | more_faults


def _fault(frame: pl.DataFrame) -> str | None:
    import polars as pl

    if frame.select(pl.any_horizontal(pl.col(_REQUIRED).is_null().any())).item():
        return f"it has records without {', '.join(_REQUIRED)}"
    newest = frame.select(pl.col("schema_version").max()).item()
    if newest is not None and newest > SCHEMA:
        return f"it has records of schema {newest}; this program knows up to {SCHEMA}: update it"
    return None


def _as_today(frame: pl.DataFrame) -> pl.DataFrame:
    """Say what older records mean in the present schema.

    A new column needs nothing here: it is NULL, not known, in what was written before it.
    """
    import polars as pl

    version = pl.col("schema_version").fill_null(1)
    reuse = pl.col("event") != "made"
    return frame.with_columns(
        # 2: only the work itself has a speed
        pl.when((version < 2) & reuse).then(None).otherwise(pl.col("realtime_factor"))
        .alias("realtime_factor"),
        pl.lit(SCHEMA, pl.Int32).alias("schema_version"),
    )  # fmt: skip
