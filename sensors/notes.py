"""Notes in an inbox for the people who drop files: in progress, done, failed.

Here: where a note is, what it says, when it goes. Not here: when a file is taken (``inbox``).

``song.mp3._IN_PROGRESS.txt`` lies where ``song.mp3`` was dropped, becomes ``song.mp3._DONE.txt`` or
``song.mp3._FAILED.txt``, and is removed after some days. (Or, for ``folders``, the note is in a
folder ``_DONE`` of the inbox.) The notes are all the state there is: whatever dies, the next look
finds those in progress and asks the store and Dagster what became of the file.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from av_pipelines.inboxes import Inbox
from av_pipelines.reports.pages.address import page_url
from resources.manifest import Manifest
from resources.store import Store
from sensors.listing import DONE, FAILED, IN_PROGRESS, STATES

_TICKET = "ticket: "
_MOST = 100  # notes that are concluded, and that are looked at for their age, in one tick
_FACTS = {
    "duration_s": "{:.1f} s",
    "integrated_lufs": "{:.1f} LUFS",
    "true_peak_dbtp": "{:.1f} dBTP",
    "language": "language {}",
    "words": "{} words",
    "scenes": "{} scenes",
}


class Notes:
    """The notes of one inbox.

    Args:
        inbox: whose notes they are.
        there: paths in the inbox of the notes beside files, as the listing found them.
    """

    def __init__(self, inbox: Inbox, there: Collection[str]) -> None:
        self._inbox = inbox
        self.trouble = ""
        """Why the last note could not be written, if one could not."""
        self._there = dict(self._found(there))

    def _found(self, there: Collection[str]) -> Iterator[tuple[tuple[str, str], Path]]:
        root = self._inbox.path
        for path in there:
            file, _, state = path.removesuffix(".txt").rpartition(".")
            yield (file, state), root / path
        if self._inbox.notes == "folders":
            for state in STATES:
                folder = root / state
                for place, _, names in os.walk(folder):
                    for name in names:
                        path = Path(place) / name
                        if name[0] != "." and path.is_file() and not path.is_symlink():
                            file = path.relative_to(folder).as_posix().removesuffix(".txt")
                            yield (file, state), path

    @property
    def in_progress(self) -> list[str]:
        """The files that a note says are in progress."""
        return [file for file, state in self._there if state == IN_PROGRESS]

    def write(self, file: str, state: str, text: str) -> None:
        """Write a file's note, and remove its others; trouble with it is noted, not raised."""
        if self._inbox.notes == "off":
            return
        root = self._inbox.path
        files = self._inbox.notes == "files"
        path = root / (f"{file}.{state}.txt" if files else f"{state}/{file}.txt")
        if (root / state).is_symlink():
            self.trouble = f"{root / state} is a link: no note is written there"
            return
        fresh = path.with_name(f".{state}-{os.getpid()}-{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._there.get((file, state)) != path or path.read_text("utf-8") != text:
                try:
                    fresh.write_text(text, "utf-8")
                    fresh.replace(path)  # never written through: it may be a link
                finally:
                    fresh.unlink(missing_ok=True)
            self._there[file, state] = path
            self._remove(file, [other for other in STATES if other != state])
        except (OSError, UnicodeError) as error:
            self.trouble = f"cannot write notes into {self._inbox.path}: {error}"

    def _remove(self, file: str, states: Sequence[str]) -> None:
        for state in states:
            if path := self._there.pop((file, state), None):
                path.unlink(missing_ok=True)

    def take(self, file: str, how: str, ticket: str = "") -> None:
        """Note that a file is claimed.

        Args:
            file: its path.
            how: it is being made: ``with the recipe podcast``.
            ticket: the key of its run, once that was asked for.
        """
        said = (
            f"{Path(file).name} is being made {how}.\n"
            f"This note becomes one named {DONE} or {FAILED} when it is over.\n\n"
            f"{_TICKET}{ticket}\n"
        )
        self.write(file, IN_PROGRESS, said)

    def hold(self, file: str, why: str) -> None:
        """Note that a file cannot be taken as things are."""
        self.write(
            file, FAILED, f"{Path(file).name} was not taken:\n\n  {why}\n\n"
            f"Mend that and it is taken; it is looked at again every minute.\n",
        )  # fmt: skip

    def conclude(
        self,
        store: Store,
        instance: dg.DagsterInstance,
        busy: Collection[str] = (),
        tickets: Collection[str] = (),
    ) -> None:
        """Say what became of files whose run is over.

        Args:
            store: where the results are.
            instance: who knows the runs.
            busy: the files that are with a run, or will be tried again.
            tickets: of the runs that are not over, or not known to Dagster yet.
        """
        over = [file for file in self.in_progress if file not in busy]
        for file in over[:_MOST]:
            try:
                ticket = self._there[file, IN_PROGRESS].read_text("utf-8").partition(_TICKET)[2]
            except (OSError, UnicodeError):
                ticket = ""
            if (ticket := ticket.strip()) in tickets:
                continue
            run = _run(instance, ticket)
            if run is None or (run.is_finished and not run.is_complete_and_waiting_to_retry):
                key = run.tags.get("dagster/partition") if run else None
                key = key or self._inbox.key(file)
                self.write(file, *_end(store, instance, run, file, key))

    def sweep(self, now: float) -> None:
        """Remove some of the notes on what was over long ago."""
        old = [item for item in self._there.items() if item[0][1] != IN_PROGRESS]
        start = int(now) * _MOST % max(len(old), 1)
        for (file, state), path in (old + old)[start : start + min(_MOST, len(old))]:
            try:
                if now - path.stat().st_mtime > self._inbox.notes_days * 86_400:
                    self._remove(file, [state])
            except FileNotFoundError:
                continue
            except OSError as error:
                self.trouble = f"cannot remove old notes from {self._inbox.path}: {error}"


def _run(instance: dg.DagsterInstance, ticket: str) -> dg.DagsterRun | None:
    if not ticket:
        return None
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": ticket}), limit=1)
    return runs[0] if runs else None


def _end(
    store: Store, instance: dg.DagsterInstance, run: dg.DagsterRun | None, file: str, key: str
) -> tuple[str, str]:
    """Return the state and the text of the note on a file whose run is over."""
    name, wrong = Path(file).name, _failures(instance, run, key)
    refused = store.quarantined(key)
    results = _results(store, key)
    lines = []
    if refused:
        lines += [f"{name} was refused: {refused.reason}", f"To see it: {refused.command}"]
        lines += [f"It was put into {store.quarantine_dir / key}"] if refused.kept else []
        lines += ["Mend the file and drop it again."]
    elif wrong:
        lines += [f"Not all of {name} could be made:", *(f"  {line}" for line in wrong)]
    elif not results:
        how = f"its run ended as {run.status.value}" if run else "its run is gone"
        lines += [f"{name} was not made: {how}. Drop it again, or touch it to try again."]
    state = FAILED if lines else DONE
    lines = lines or [f"{name} is done."]
    if results:
        lines += ["", f"Results: {store.library / key}", *results]
        lines += [f"Page:    {page_url(store.reports, key)}"] if store.media(key) else []
    if run and state == FAILED:
        lines += ["", f"Run {run.run_id} in the Dagster UI has the whole log."]
    lines += ["", f"{datetime.fromtimestamp(time.time(), UTC):%F %H:%M} UTC"]
    return state, "\n".join(lines) + "\n"


def _failures(instance: dg.DagsterInstance, run: dg.DagsterRun | None, key: str) -> list[str]:
    """What a run said of a file that it failed for."""
    if run is None or run.status != dg.DagsterRunStatus.FAILURE:
        return []
    said: dict[str, None] = {}
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        data = entry.dagster_event.step_failure_data if entry.dagster_event else None
        failure = data.user_failure_data if data else None
        for line in ((failure.description or "") if failure else "").splitlines():
            if line.startswith(f"{key}: "):
                said[line.removeprefix(f"{key}: ")] = None
    return list(said)


def _results(store: Store, key: str) -> list[str]:
    lines = []
    folder = store.library / key
    for link in sorted(folder.iterdir()) if folder.is_dir() else ():
        if link.is_symlink() and (artifact := store.current(key, link.name)):
            lines.append(f"  {link.name:<12}{_facts(artifact.manifest)}".rstrip())
    return lines


def _facts(manifest: Manifest) -> str:
    facts = [
        form.format(manifest.facts[name])
        for name, form in _FACTS.items()
        if isinstance(manifest.facts.get(name), int | float | str)
    ]
    return ", ".join([*facts, *([f"degraded: {manifest.degraded}"] if manifest.degraded else [])])
