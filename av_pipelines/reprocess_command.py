"""``avp reprocess``: what is out of date, what it would cost, and making it again.

Here: what the terminal sees. Not here: finding and pricing it (``reprocess``), doing it by night
(``sensors.reprocessing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from av_pipelines.terminal import (
    DONE,
    INCOMPLETE,
    Json,
    Store,
    UsageError,
    existing,
    print_json,
    print_results,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from av_pipelines.reprocess import Cost, Stale


def reprocess(
    keys: Annotated[
        list[str] | None, Parameter(help="Only these media, by key. Default: all.", negative="")
    ] = None,
    /,
    *,
    assets: Annotated[
        str | None, Parameter(help="Only these assets, comma-separated. Default: all.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(help="Only list what is out of date, why, and its price.", negative="")
    ] = False,
    hours: Annotated[
        float | None, Parameter(help="Make only what is predicted to fit in so many hours.")
    ] = None,
    usd: Annotated[
        float | None, Parameter(help="Make only what is predicted to cost so much.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> int:
    """Make again what is out of date: other code, settings, model or inputs."""
    from av_pipelines.launch import FileResult, run_stale
    from av_pipelines.makers import makers_of, open_studio, products_of
    from av_pipelines.reprocess import Budget, Prices, affordable, out_of_date
    from partitions.keys import is_key

    studio = existing(open_studio(store))
    only = [name.strip() for name in (assets or "").split(",") if name.strip()]
    for name in only:
        if name not in products_of("media"):
            allowed = ", ".join(products_of("media"))
            raise UsageError(f"--assets {name}: no such asset; there are: {allowed}")
    for key in keys or ():
        if not is_key(key) or studio.store.media(key) is None:
            raise UsageError(f"{key}: no such media in {studio.store.library}")
    stale = out_of_date(studio, makers_of("media"), assets=only, keys=keys or ())
    stale = affordable(stale, Budget(hours, usd)) if hours or usd else stale
    if dry_run:
        errors = Prices.of(studio).errors
        if json:
            print_json(
                {
                    "stale": [asdict(item) for item in stale],
                    "total": asdict(_total(stale)),
                    "past_error": errors,
                }
            )
        else:
            _tell(stale, errors)
        return DONE
    results = {item.key: FileResult(studio.store.library / item.key, item.key) for item in stale}
    with progress(len(results), quiet=json) as listener:
        run_stale(studio, stale, results, listener)
    if json:
        print_json({"media": [result.to_json() for result in results.values()]})
    elif results:
        print_results([*results.values()], studio.store.library)
    else:
        print("Nothing is out of date.")
    return DONE if all(r.state == "done" for r in results.values()) else INCOMPLETE


def _total(stale: Sequence[Stale]) -> Cost:
    from av_pipelines.reprocess import Cost

    total = Cost()
    for item in stale:
        total += item.cost
    return total


_MOST_LINES = 50


def _tell(stale: Sequence[Stale], errors: dict[str, float] | Any) -> None:
    """Say by asset what is out of date, and what it would take."""
    from av_pipelines.reprocess import Cost

    if not stale:
        print("Nothing is out of date.")
        return
    rows = [[s.key, s.asset, "+".join(s.reasons), s.said] for s in stale[:_MOST_LINES]]
    print_table(["media", "asset", "why", "what"], rows)
    if len(stale) > _MOST_LINES:
        print(f"… and {len(stale) - _MOST_LINES} more; --json lists all")
    sums: dict[str, tuple[int, Cost]] = {}
    for item in stale:
        count, cost = sums.get(item.asset, (0, Cost()))
        sums[item.asset] = (count + 1, cost + item.cost)
    total = (len(stale), _total(stale))
    print_table(
        ["asset", "out of date", "wall", "cpu", "gpu", "usd", "past error"],
        [
            [
                asset,
                count,
                _time(cost.wall_s),
                _time(cost.cpu_s),
                _time(cost.gpu_s),
                "unknown" if cost.usd is None else f"{cost.usd:.2f}",
                f"±{errors[asset]:.0%}" if asset in errors else "",
            ]
            for asset, (count, cost) in [*sums.items(), ("all", total)]
        ],
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 3600:.2f} h"
