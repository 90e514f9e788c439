"""``avp gc``: remove old artifacts. Not here: which ones those are (``retention``)."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from av_pipelines.terminal import DONE, Json, Store, UsageError, existing, print_json, print_table


def gc(
    *,
    keep_versions: Annotated[
        int | None, Parameter(help="Newest versions kept of each asset. Default: 2.")
    ] = None,
    keep_days: Annotated[
        float | None, Parameter(help="What was made within so many days stays. Default: 30.")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Only list what would go.", negative="")] = False,
    store: Store = None,
    json: Json = False,
) -> int:
    """Remove old versions that nothing uses; retention.toml in the store sets what is kept."""
    from av_pipelines.makers import open_studio
    from av_pipelines.retention import old_artifacts, read_retention, remove

    kept = existing(open_studio(store)).store
    rule = read_retention(kept)
    given = {"keep_versions": keep_versions, "keep_days": keep_days}
    if keep_versions is not None and keep_versions < 1:
        raise UsageError(
            f"--keep-versions {keep_versions}: at least 1; the newest is never removed"
        )
    if keep_days is not None and keep_days < 0:
        raise UsageError(f"--keep-days {keep_days}: 0 or more")
    rule = rule.model_copy(update={k: v for k, v in given.items() if v is not None})
    old = old_artifacts(kept, rule)
    gone = old if dry_run else list(remove(kept, old))
    size = sum(item.bytes for item in gone)
    if json:
        rows = [
            {
                "asset": item.asset,
                "version": item.version,
                "partition": item.partition,
                "created": item.created.isoformat(),
                "bytes": item.bytes,
            }
            for item in gone
        ]
        print_json({"dry_run": dry_run, "bytes": size, "artifacts": rows})
        return DONE
    shown = ["asset", "partition", "created", "MB", "version"]
    if gone:
        print_table(
            shown,
            [
                [i.asset, i.partition, f"{i.created:%F}", f"{i.bytes / 1e6:.1f}", i.version[:12]]
                for i in gone
            ],
        )
    verb = "would go" if dry_run else "are gone"
    print(f"{len(gone)} old artifacts {verb}: {size / 1e6:.1f} MB")
    return DONE
