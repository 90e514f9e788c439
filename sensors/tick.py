"""One tick of a watch folder, from the cursor to run requests.

Here: the order of things. Not here: what counts as a file (``listing``), when it is whole and how
often it is tried (``watching``), what shares a run (``batching``), the sensors (``inbox``).

What is whole is claimed at once: written down, with a note for people. Runs are asked for while no
more of them wait than can go at a time: files that come meanwhile share the next ones, and few long
runs start faster than many short ones.

A tick lists and stats, asks the kernel who writes (``writers``), and reads sidecars of files that
it claims; it never reads media. Whatever dies when, nothing is lost or made twice: claiming and
adding keys may be repeated; Dagster stores the cursor before it starts the runs, and finishes
starting them after a crash; and where it falls back to an old cursor all the same, each unfinished
run carries a tag that names its files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg

from av_pipelines.dagster_assets import QUIET
from av_pipelines.inboxes import MAIN, Inbox
from av_pipelines.intake.claim import register
from av_pipelines.maker import Studio
from av_pipelines.settings import SettingsError, read_sidecar
from partitions.media import contiguous_ranges, media_partitions, range_tags
from sensors.batching import cut
from sensors.desk import Desk
from sensors.listing import Found, Listing, check_access, find, measure, recipe_of
from sensors.made import made
from sensors.notes import Notes
from sensors.runs import FILES_TAG, Going, going, note_end, slots
from sensors.telling import shown, summary, together, warnings
from sensors.watching import PLACE, Decision, Memory, Ready, place_of
from sensors.writers import Writing, writers_in

MOST_KEYS = 100
"""Most files asked for in one tick: the daemon looks each key up on its own, 6 ms apiece."""
_LIST_S = 15.0
_CLAIM_S = 5.0  # then runs are asked for, and the next look goes on
_SECOND_LOOK_S = 5.0
_REPEAT_MS = 600_000


class Tick:
    """One evaluation of the sensor; what else is watched like this overrides what differs."""

    name = MAIN
    partitions = media_partitions

    def __init__(
        self,
        context: dg.SensorEvaluationContext,
        desk: Desk,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        writers: Callable[[Path], Writing] = writers_in,
        inbox: Inbox | None = None,
    ) -> None:
        self._context, self._desk, self._clock, self._sleep = context, desk, clock, sleep
        self._box = inbox or self.box(desk.studio)
        self.name = self._box.sensor if inbox else self.name
        self._inbox = self._box.path
        self._writers = writers
        self._started = time.monotonic()
        self._assets: dict[str, list[str]] = {}
        self._wrong_recipes: dict[str, str] = {}

    # ------------------------------------------------------------------ what differs

    def box(self, studio: Studio) -> Inbox:
        """Return what is watched."""
        return Inbox(path=studio.store.inbox)

    def find(self, late: Callable[[], bool]) -> Found:
        """List what is in the folder."""
        return find(self._inbox, late)

    def recipes(self) -> Sequence[str]:
        """Return the recipes that subfolders may stand for."""
        return self._desk.studio.recipes.names()

    def room(self, memory: Memory) -> int:
        """Return how many more files may be claimed."""
        return memory.room()

    def most_asked(self, waiting: int) -> int:
        """Return how many more files runs may be asked for, while so many runs wait."""
        free = max(0, slots(self._context.instance) - waiting)
        return min(MOST_KEYS, free * self._desk.most_files)

    def register(self, path: Path, file: Ready, facts: os.stat_result) -> str:
        """Write down that a file is to be made; return its key.

        Raises:
            SettingsError: its sidecar or its recipe is wrong.
            OSError: it cannot be read or moved.
        """
        recipe = self._recipe_of(file.seen.path)
        self._check_recipe(recipe)
        sidecar = read_sidecar(path, self._desk.settings)
        key = self._box.key(file.seen.path)
        register(
            self._desk.studio.store,
            path,
            key,
            recipe=recipe,
            claim=self._box.claim,
            sidecar=sidecar,
            stat=facts,
        )
        return key

    def assets(self, recipe: str) -> Sequence[str]:
        """Return the assets that a run of a recipe makes."""
        return self._assets[recipe]

    def how(self, file: Ready) -> str:
        """Return how a file is made, as its note says it."""
        return f"with the recipe {self._recipe_of(file.seen.path)}"

    def remarks(self, decision: Decision, taken: Mapping[str, Ready]) -> list[str]:
        """Return what else a person should know after this look."""
        return []

    def tags(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return further tags of the run that makes these keys."""
        return {}

    # ------------------------------------------------------------------ the tick

    def _late(self, seconds: float) -> bool:
        return time.monotonic() - self._started > seconds

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def result(self) -> dg.SensorResult | dg.SkipReason:
        """Look, take what is whole, and return what Dagster is to start."""
        memory = self._recall()
        try:
            found = self.find(lambda: self._late(_LIST_S))
        except OSError as error:
            return dg.SkipReason(
                f"cannot list {self._inbox}: {error.strerror}. `avp up` makes the folder; "
                f"a network drive must be mounted"
            )
        notes = Notes(self._box, found.notes)
        if found.nothing and memory.empty and not notes.in_progress:
            notes.sweep(self._clock())
            return dg.SensorResult(skip_reason="the inbox is empty", cursor=memory.dump())
        instance = self._context.instance
        asks = found.files or notes.in_progress
        runs = going(instance, self.name, self._clock()) if asks else Going()
        recipes = self.recipes()
        listing, decision = self._look(memory, found, recipes, runs.marks)
        for run_key in memory.finished(runs.marks):
            note_end(instance, memory, run_key, self._now())
        memory.resume = listing.resume
        taken = self._take(memory, decision, notes, self.most_asked(runs.waiting))
        known = instance.get_dynamic_partitions(str(self.partitions.name)) if taken else []
        requests, new_keys = self._requests(memory, taken, known, notes)
        self._conclude(memory, notes, runs)
        own = self._desk.studio.store.root / "recipes"
        said = warnings(found, listing, memory, decision, recipes, own, self._recipe_of)
        said += self.remarks(decision, taken)
        said += [notes.trouble] if notes.trouble else []
        self._log(memory, said)
        line = summary(found, memory, decision)
        if requests:
            self._context.log.info(f"{len(taken)} files taken in {len(requests)} runs. {line}")
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(together(line, said)),
            dynamic_partitions_requests=(
                [self.partitions.build_add_request(new_keys)] if new_keys else []
            ),
            cursor=memory.dump(),
        )

    def _recall(self) -> Memory:
        if self._context.cursor:
            try:
                return Memory.load(self._context.cursor)
            except ValueError as error:
                self._context.log.warning(
                    f"{error}; the inbox is looked at as if for the first time"
                )
        return Memory(born=self._now())

    def _look(
        self, memory: Memory, found: Found, recipes: Sequence[str], going: Collection[str]
    ) -> tuple[Listing, Decision]:
        """Look once; and once more in this tick when that may show a file to be whole."""
        files = [file for file in found.files if self._recipe_of(file.path) in recipes]
        writing = self._writers(self._inbox)

        def look() -> tuple[Listing, Decision]:
            listing = measure(
                self._inbox, files, start=memory.resume, late=lambda: self._late(_LIST_S)
            )
            store = self._desk.studio.store
            over = {seen.path for seen in listing.files if made(store, self._box, seen)}
            left = tuple(seen for seen in listing.files if seen.path not in over)
            memory.forget(file.path for file in found.files if file.path not in over)
            listing = replace(listing, files=left)
            return listing, memory.look(listing, going, self._now(), writing)

        listing, decision = look()
        if decision.soon and not listing.resume and not self._late(_SECOND_LOOK_S):
            self._sleep(decision.soon / 1000 + 0.05)
            listing, decision = look()
        return listing, decision

    def _recipe_of(self, path: str) -> str:
        return self._box.recipe or recipe_of(path)

    def _conclude(self, memory: Memory, notes: Notes, runs: Going) -> None:
        """Write the notes on what is over; what is tried again is not over."""
        if notes.in_progress:
            marks = memory.asked_marks | runs.marks | memory.claimed.keys()
            marks |= {mark for mark, waiting in memory.waiting.items() if waiting.until is not None}
            places = {mark[:PLACE] for mark in marks} | set(memory.settling)
            busy = {file for file in notes.in_progress if place_of(file) in places}
            notes.conclude(self._desk.studio.store, self._context.instance, busy)
        notes.sweep(self._clock())

    # ------------------------------------------------------------------ claiming

    def _take(
        self, memory: Memory, decision: Decision, notes: Notes, most: int
    ) -> dict[str, Ready]:
        """Claim what is whole; return the files that runs are to be asked for, by key."""
        claimed: dict[Ready, str] = {}
        for file in decision.ready[: self.room(memory)]:
            if claimed and self._late(_CLAIM_S):
                break
            if key := self._claim(memory, file, notes):
                memory.claim(file)
                claimed[file] = key
        taken: dict[str, Ready] = {}
        for file in [*decision.claimed, *claimed]:
            if len(taken) >= most:
                break
            # what was claimed before is written down again: its recipe may be another by now
            if key := claimed.pop(file, None) or self._claim(memory, file, notes):
                taken[key] = file
        for file in claimed:
            notes.take(file.seen.path, self.how(file))
        return taken

    def _claim(self, memory: Memory, file: Ready, notes: Notes) -> str | None:
        """Write down that a file is to be made; return its key, None when it has to wait."""
        try:
            return self._register(file)
        except (ValueError, OSError, RecursionError) as error:
            # a sidecar is a stranger's file: whatever reading it raises concerns it alone
            why = shown(str(error).replace("\n", "; "))
            memory.hold(file, why, self._now())
            notes.hold(file.seen.path, why)
            return None

    def _register(self, file: Ready) -> str | None:
        """Write down that a file is to be made; None when it is not what it was."""
        path = self._inbox / file.seen.path
        try:
            facts = path.lstat()
        except FileNotFoundError:
            return None
        if (facts.st_size, facts.st_mtime_ns) != (file.seen.size, file.seen.mtime_ns):
            return None
        check_access(path, self._box.claim == "move")
        return self.register(path, file, facts)

    def _check_recipe(self, name: str) -> None:
        if name not in self._assets and name not in self._wrong_recipes:
            try:
                recipe = self._desk.studio.recipes.get(name)
                self._assets[name] = self._desk.assets_of(recipe)
            except (ValueError, OSError, RecursionError) as error:
                self._wrong_recipes[name] = str(error)
        if name in self._wrong_recipes:
            raise SettingsError(self._wrong_recipes[name])

    # ------------------------------------------------------------------ asking

    def _requests(
        self, memory: Memory, taken: Mapping[str, Ready], known: Sequence[str], notes: Notes
    ) -> tuple[list[dg.RunRequest], list[str]]:
        """Return the run requests, and the new keys in the order in which to add them."""
        position = {key: index for index, key in enumerate(known)}
        groups: dict[str, list[str]] = {}
        for key in sorted(
            taken, key=lambda key: (position.get(key, len(known)), taken[key].seen.path)
        ):
            groups.setdefault(self._recipe_of(taken[key].seen.path), []).append(key)
        new = [key for keys in groups.values() for key in keys if key not in position]
        order = [*known, *new]
        position |= {key: len(known) + index for index, key in enumerate(new)}
        requests: list[dg.RunRequest] = []
        for recipe, keys in groups.items():
            sizes = [taken[key].seen.size for key in keys]
            for part in cut(sizes, slots(self._context.instance), self._desk.most_files):
                mine = [keys[index] for index in part]
                for first, last in contiguous_ranges(order, mine, self._desk.most_files):
                    span = range(position[first], position[last] + 1)
                    files = [taken[key] for key in mine if position[key] in span]
                    requests.append(self._request(memory, recipe, first, last, files))
                    for file in files:
                        notes.take(file.seen.path, self.how(file), str(requests[-1].run_key))
        return requests, new

    def _request(
        self, memory: Memory, recipe: str, first: str, last: str, files: Sequence[Ready]
    ) -> dg.RunRequest:
        run_key = memory.run_key(files)
        memory.ask(run_key, files)
        return dg.RunRequest(
            run_key=run_key,
            tags={
                **range_tags(first, last),
                "recipe": recipe,
                FILES_TAG: " ".join(file.mark for file in files),
                **self.tags([first, last]),
            },
            run_config=QUIET,
            asset_selection=[dg.AssetKey(asset) for asset in self.assets(recipe)],
        )

    def _log(self, memory: Memory, said: Sequence[str]) -> None:
        """Log warnings when they change, and now and then; the skip reason has them always."""
        digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:16] if said else ""
        before, when = memory.said
        if digest == before and 0 <= self._now() - when < _REPEAT_MS:
            return
        for line in said:
            self._context.log.warning(line)
        memory.said = (digest, self._now())
