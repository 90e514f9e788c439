"""``avp track`` and ``avp takes``: a track from a prompt, its takes, and which one counts.

Here: what the terminal sees. Not here: what a request is (``tracks.request``), its turn
(``track_queue``), prompts that are dropped (``sensors.prompts``).
"""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

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
    say,
    writable,
)

if TYPE_CHECKING:
    from av_pipelines.maker import Outcome
    from resources.manifest import Manifest


def track(
    *prompt: Annotated[str, Parameter(help='What it should be, in quotes: "slow dark drone".')],
    seconds: Annotated[float | None, Parameter(help="Length: 5 to 120. Default: 30.")] = None,
    seed: Annotated[
        int | None, Parameter(help="The same seed gives the same track. Default: by chance.")
    ] = None,
    takes: Annotated[int | None, Parameter(help="How many versions, each with a seed.")] = None,
    engine: Annotated[
        str | None, Parameter(help="procedural, musicgen, or auto: the best that is here.")
    ] = None,
    priority: Annotated[
        str | None, Parameter(help="normal, or high: before all that waits.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", help="A setting: track.key=value. May be repeated.", negative=""),
    ] = None,
    progress_json: Annotated[
        bool,
        Parameter(help="Tell progress as JSON lines on standard error.", negative=""),
    ] = False,
    store: Store = None,
    json: Json = False,
) -> int:
    """Make a track from a prompt: music with its parts, its score and its seed."""
    from av_pipelines.makers import SETTINGS, open_studio
    from av_pipelines.settings import SettingsError, parse_assignments
    from av_pipelines.track_queue import ask
    from av_pipelines.tracks import request
    from av_pipelines.tracks.errors import TrackError
    from resources.models import ModelError

    if len(prompt) > 1:
        quoted = json_module.dumps(" ".join(prompt), ensure_ascii=False)
        raise UsageError(f"put the prompt in quotes: avp track {quoted}")
    named = {
        "prompt": prompt[0] if prompt and prompt[0] else None,
        "duration_s": seconds,
        "seed": seed,
        "takes": takes,
        "engine": engine,
        "priority": priority,
    }
    values = {name: value for name, value in named.items() if value is not None}
    try:
        values |= parse_assignments(set_ or [], SETTINGS).get("track", {})
    except SettingsError as error:
        raise UsageError(str(request.named(error))) from None
    studio = writable(open_studio(store))
    listener = _JsonLines() if progress_json else progress(1, quiet=json)
    try:
        with listener:
            result = ask(studio, values, listener)
    except TrackError as error:
        if error.code in ("INVALID_DURATION", "INVALID_REQUEST"):
            raise UsageError(str(error)) from None
        return say(str(error), INCOMPLETE)
    except ModelError as error:
        return say(str(error), INCOMPLETE)
    if json:
        print_json({"tracks": [result.to_json()]})
    else:
        print_results([result], studio.store.library)
        _tell_more([o.artifact.manifest for o in result.outcomes if o.artifact], result.key)
    return DONE if result.state == "done" else INCOMPLETE


class _JsonLines:
    """Progress for programs: a JSON object on a line every 5 %, on standard error.

    ``percent`` is 100 only when the track is published; ``tokens_*`` are null where the engine
    does not count any.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._step = -1

    def __enter__(self) -> _JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def progress(
        self, key: str, asset: str, share: float, tokens: tuple[int, int] | None = None
    ) -> None:
        now = time.monotonic()
        self._began = self._began or now  # starting up is not its work
        if (step := int(share * 20)) > self._step:
            self._step = step
            spent = now - self._began
            left = round(spent * (1 - share) / share, 1) if share and spent else None
            self._tell(key, asset, "working", min(int(share * 100), 99), left, tokens)

    def outcome(self, outcome: Outcome) -> None:
        percent = 100 if outcome.ok else min(max(self._step, 0) * 5, 99)
        self._tell(outcome.key, outcome.asset, outcome.event, percent, 0.0 if outcome.ok else None)
        self._began, self._step = None, -1  # the next take

    def _tell(
        self,
        key: str,
        asset: str,
        state: str,
        percent: int,
        eta_s: float | None,
        tokens: tuple[int, int] | None = None,
    ) -> None:
        done, estimated = tokens or (None, None)
        line = {
            "key": key,
            "asset": asset,
            "state": state,
            "percent": percent,
            "eta_s": eta_s,
            "tokens_done": done,
            "tokens_estimated": estimated,
        }
        print(json_module.dumps(line), file=sys.stderr, flush=True)


def _tell_more(made: Sequence[Manifest], key: str) -> None:
    """Say what a person would look up next: seeds, and words of the prompt that did nothing."""
    seeds = ", ".join(str(one.facts["seed"]) for one in made)
    if seeds:
        print(f"  seed {seeds}")
    if made and made[0].facts.get("note"):
        print(f"  {made[0].facts['note']}")
    unknown = made[0].facts.get("not_understood") if made else None
    if unknown:
        print(f"  not understood: {', '.join(unknown)} (docs/tracks.md; prompts are in English)")
    if len(made) > 1:
        print(f"  `avp takes {key}` lists the takes and chooses one")


def takes(
    key: Annotated[str, Parameter(help="Of a track: the name of its folder in the library.")],
    /,
    *,
    choose: Annotated[
        int | None, Parameter(help="Number of the take that counts from now on.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> int:
    """List the takes of a track, or choose the one that counts."""
    from av_pipelines.makers import open_studio
    from partitions.keys import is_key

    kept = existing(open_studio(store)).store
    found = kept.takes(key, "track") if is_key(key) else {}
    if not found:
        raise UsageError(f"{key}: there is no such track in {kept.library}")
    if choose is not None:
        if choose not in found:
            allowed = ", ".join(map(str, found))
            raise UsageError(f"--choose {choose}: there is no such take; allowed: {allowed}")
        kept.link(key, found[choose])
    current = kept.current(key, "track")
    rows = [
        {
            "take": number,
            "active": current is not None and take.version == current.version,
            "seed": take.manifest.facts["seed"],
            "engine": take.manifest.facts["engine"],
            "duration_s": take.manifest.facts["duration_s"],
            "created": take.manifest.created.isoformat(timespec="seconds"),
            "version": take.version,
            "dir": str(take.dir),
        }
        for number, take in found.items()
    ]
    if json:
        print_json({"takes": rows})
    else:
        shown = ["take", "active", "seed", "engine", "duration_s", "created", "dir"]
        print_table(shown, [[row[name] for name in shown] for row in rows])
    return DONE
