"""What a project's names stand for: artifacts of the store, and files.

Here: media, tracks, takes and paths become files, each noted so that it counts for the version; and
the rule which files a project may name. Not here: what is in the files (``survey``), the film
(``timeline``), the store itself, which is asked through a ``Library``.
"""

from __future__ import annotations

import ntpath
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from av_pipelines.videos.project_file import ProjectError
from av_pipelines.videos.project_parts import Reel, Source
from partitions.keys import is_key

_MOST_FILES = 20_000
_SOUND_FILES = ("track.flac", "track.wav")


@dataclass(frozen=True)
class Held:
    """An artifact of the store."""

    asset: str
    key: str
    version: str
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)


class Library(Protocol):
    """What the store holds."""

    def held(self, key: str, asset: str, take: int | None = None) -> Held | None:
        """Give the artifact that counts for a key now, or a take of it; None if there is none."""
        ...


@dataclass(frozen=True)
class Found:
    """A file that a project shows or plays."""

    label: str
    """What the project calls it; a list (EDL) names it so, and it is found again by that."""
    path: Path
    held: Held | None = None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.held.key if self.held else self.path.name


class Resolver:
    """Finds what a project names, and notes it.

    Args:
        file: ``project.json``, for messages; its folder is the project's.
        library: the store.
        allowed: folders, beside the project's, out of which it may take files.
    """

    def __init__(self, file: Path, library: Library, allowed: Iterable[Path] = ()) -> None:
        self.file, self.folder, self._library = file, file.parent, library
        self._allowed = [folder.resolve() for folder in (self.folder, *allowed)]
        self.held: dict[tuple[str, str, str], Held] = {}
        self.files: set[Path] = set()

    def wrong(self, where: str, said: str) -> ProjectError:
        """Make the error for a field."""
        return ProjectError(f"{self.file}: {where}: {said}")

    def source(self, given: Source, where: str) -> Found:
        """Find the file of a source.

        Args:
            given: one that has a media, a track or a path.
            where: the shot or lane, for messages: ``shots[2]``.

        Raises:
            ProjectError: it is not there, or may not be used.
        """
        if given.path is not None:
            return Found(given.path, self.path(given.path, f"{where}.path"))
        if given.track is not None:
            held = self._artifact(given.track, "track", f"{where}.track", given.take)
            names = (*_SOUND_FILES, str(held.facts.get("file", "")))
            return Found(given.label, self._in(held, names, f"{where}.track"), held)
        key = given.media or ""
        held = self._artifact(key, "look" if given.look else "source", f"{where}.media")
        names = ("look.mp4",) if given.look else (str(held.facts.get("file", "")),)
        return Found(given.label, self._in(held, names, f"{where}.media"), held)

    def part(self, key: str, asset: str, name: str, where: str) -> Path:
        """Find a file of another asset of a media, such as its ``scenes.json``."""
        return self._in(self._artifact(key, asset, where), (name,), where)

    def part_if_any(self, key: str, asset: str, name: str) -> Path | None:
        """Find a file of another asset of a media; None if it has none."""
        held = self._library.held(key, asset) if is_key(key) else None
        if held is None or not (held.folder / name).is_file():
            return None
        self.held[held.asset, held.key, held.version] = held
        return held.folder / name

    def _artifact(self, key: str, asset: str, where: str, take: int | None = None) -> Held:
        if not is_key(key):
            raise self.wrong(
                where, f"{key!r} is no key: keys look like my-film-0123456789 (see library/)"
            )
        held = self._library.held(key, asset, take)
        if held is None:
            what = f"take {take} of the track" if take else f"{asset}"
            how = (
                "`avp track` makes tracks"
                if asset == "track"
                else f"`avp run FILE --assets {asset}` makes it"
            )
            raise self.wrong(where, f"the store has no {what} of {key}; {how}")
        self.held[held.asset, held.key, held.version] = held
        return held

    def _in(self, held: Held, names: Sequence[str], where: str) -> Path:
        for name in names:
            if name and (held.folder / name).is_file():
                return held.folder / name
        raise self.wrong(where, f"{held.asset} {held.version[:12]} has no {' or '.join(names)}")

    # ------------------------------------------------------------ files

    def path(self, text: str, where: str) -> Path:
        """Find a file by its path, relative to the project's folder or absolute.

        Raises:
            ProjectError: it is not there, no plain file, or outside of where files may be.
        """
        try:
            path = Path(os.path.abspath(self.folder / text))  # noqa: PTH100 - keeps links' names
            real = path.resolve()
            if not any(real.is_relative_to(folder) for folder in self._allowed):
                raise self.wrong(
                    where,
                    f"{text!r} is outside of the project's folder; put the file there, or allow "
                    "its folder with timeline.allowed",
                )
            if not real.is_file():
                there = "is no plain file" if real.exists() else "is not there"
                raise self.wrong(where, f"{text!r} {there} (looked for {path})")
        except (OSError, ValueError) as error:  # too long, a null byte, a loop of links
            if isinstance(error, ProjectError):
                raise
            raise self.wrong(where, f"{text[:200]!r} is no path: {error}") from None
        self.files.add(path)
        return path

    @cached_property
    def _index(self) -> list[Path]:
        """All files of the project's folder."""
        found: list[Path] = []
        for folder, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
            if len(found) > _MOST_FILES:
                raise self.wrong("timeline", f"its folder has more than {_MOST_FILES} files")
        return found

    def by_names(
        self, names: Sequence[str], given: Mapping[str, Reel], where: str
    ) -> tuple[Found, Reel | None]:
        """Find the source of a clip of a given timeline by what the clip is called.

        Args:
            names: its media's address, its name, its reel, the most telling first.
            given: what names stand for, as the project says.
            where: the clip, for messages.

        Returns:
            The file, and what the project says of it.

        Raises:
            ProjectError: nothing, or more than one file, has these names.
        """
        names = [name for name in names if name]
        for name in names:
            if name in given:
                return self.source(given[name], f"sources[{name!r}]"), given[name]
        for name in names:
            if (source := _reference(name)) is not None:
                return self.source(source, where), None
        for name in names:
            text = _local(name)
            if text and self._usable(text):
                return Found(text, self.path(text, where)), None
        for same in (_same_name, _same_stem, _same_reel):
            for name in names:
                alike = [path for path in self._index if same(path, name)]
                if len(alike) == 1:
                    label = alike[0].relative_to(self.folder).as_posix()
                    return Found(label, self.path(label, where)), None
                if len(alike) > 1:
                    shown = ", ".join(p.relative_to(self.folder).as_posix() for p in alike[:5])
                    raise self.wrong(
                        where,
                        f"{name!r} may be any of {shown}; say which in `sources`: "
                        f'{{"{name}": {{"path": "…"}}}}',
                    )
        shown = ", ".join(map(repr, names)) or "no name"
        raise self.wrong(
            where,
            f"its source is missing: no file of the project's folder is called {shown}; put it "
            'there, or say in `sources` which file it is: {"name": {"path": "…"}}',
        )

    def _usable(self, text: str) -> bool:
        try:
            real = (self.folder / text).resolve()
            inside = any(real.is_relative_to(folder) for folder in self._allowed)
            return inside and real.is_file()
        except (OSError, ValueError):
            return False


def _reference(name: str) -> Source | None:
    """Read what our lists call a source of the store: ``track KEY take 2``."""
    match = re.fullmatch(r"(media|track) (\S+?)(?: take (\d+))?", name)
    if not match or not is_key(match[2]):
        return None
    take = int(match[3]) if match[3] and match[1] == "track" else None
    return Source.model_validate({match[1]: match[2], "take": take})


def _local(name: str) -> str | None:
    """Give the path in an address; None if it is one of another machine's."""
    parts = urlsplit(name) if "://" in name else None
    if parts is None:
        return name
    return unquote(parts.path) if parts.scheme == "file" else None


def _last(name: str) -> str:
    text = _local(name) if "://" in name else name
    return ntpath.basename(text or "").casefold()  # both kinds of slashes


def _same_name(path: Path, name: str) -> bool:
    return path.name.casefold() == _last(name)


def _same_stem(path: Path, name: str) -> bool:
    return path.stem.casefold() == ntpath.splitext(_last(name))[0] and path.suffix != ".json"


def _same_reel(path: Path, name: str) -> bool:
    from av_pipelines.videos.edl_of import reel_name

    return reel_name(path.stem) == name.upper()
