"""Settings: one pydantic model per asset, and how recipe, sidecar and run config fill it.

Order of precedence: defaults < recipe < sidecar < run config (or ``--set``). What is wrong is
said once, by ``SettingsError``: which file, which key, what was given, what is allowed.
Here: the models' base class, recipes, sidecars, merging. Not here: any asset's own settings.
"""

from __future__ import annotations

import ast
import inspect
import os
import stat
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

Values = Mapping[str, Any]
"""Settings of one asset, by name, as they were given."""


class SettingsError(ValueError):
    """Something given is not allowed; the message names where, the key, the value, what is."""


class Settings(BaseModel):
    """Base of every asset's settings: immutable, and unknown keys are errors."""

    # Built when first used: building them all would cost every run and tick 0.1 s. The help texts
    # are read by ``help_texts``: pydantic's own way to them costs as much again.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    neutral: ClassVar[frozenset[str]] = frozenset()
    """Fields that cannot change what comes out (threads, limits): left out of the version."""

    paths: ClassVar[frozenset[str]] = frozenset()
    """Fields, dotted in tables, that name files of this machine. A sidecar may not set them: it
    comes from whoever can drop a file."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that the version is a hash of."""
        return self.model_dump(mode="json", exclude=set(self.neutral))

    @classmethod
    def merged(cls, asset: str, *layers: tuple[str, Values]) -> Self:
        """Lay settings over each other, the later ones on top.

        Args:
            asset: the asset's name, for messages.
            layers: (where they come from, the values), lowest first.

        Raises:
            SettingsError: naming the layer that holds the wrong value.
        """
        values: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for where, layer in layers:
            values = _laid_over(values, layer)
            origin.update(dict.fromkeys(layer, where))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [_line(asset, cls, origin, item) for item in error.errors()]
            raise SettingsError("\n".join(lines)) from None


def help_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return field → the text written under it, of a model at the top of its module."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        body = (
            _classes_of(cls.__module__).get(cls.__name__, ()) if issubclass(cls, Settings) else ()
        )
        for field, text in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                found[field.target.id] = inspect.cleandoc(text.value.value)
    return found


@cache
def _classes_of(module: str) -> Mapping[str, list[ast.stmt]]:
    path = getattr(sys.modules.get(module), "__file__", None)
    tree = ast.parse(Path(path).read_text("utf-8")) if path else ast.Module([], [])
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


def _laid_over(below: Values, above: Values) -> dict[str, Any]:
    """Lay settings over others; tables add up."""
    laid = dict(below)
    for key, value in above.items():
        under = below.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            value = _laid_over(under, value)
        laid[key] = value
    return laid


def _line(asset: str, model: type[Settings], origin: Mapping[str, str], item: ErrorDetails) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    where = origin.get(name, "the settings")
    key = ".".join([asset, *map(str, item["loc"])])
    if item["type"] == "extra_forbidden":
        for part in item["loc"][:-1]:
            model = _table_model(model, str(part)) or model
        return f"{where}: unknown setting {key}; allowed: {', '.join(sorted(model.model_fields))}"
    said = item["msg"].removeprefix("Value error, ")
    return f"{where}: {key} = {item['input']!r}: {said[:1].lower()}{said[1:]}"


@dataclass(frozen=True)
class Recipe:
    """Named settings: which assets a file gets, and how."""

    name: str
    where: str
    """The file it was read from, for messages."""
    description: str
    assets: tuple[str, ...]
    """Assets to make; empty means every asset that applies."""
    settings: Mapping[str, Values]

    def speaks_of(self, asset: str) -> bool:
        """Whether it asks for an asset or says how to make it."""
        return not self.assets or asset in self.assets or asset in self.settings


class Recipes:
    """The recipes at hand: those that ship, and ``<store>/recipes/*.toml``, which win.

    Args:
        own: the folder of the user's recipes; need not exist.
        assets: name → settings model of every asset a recipe may speak of.
    """

    def __init__(self, own: Path, assets: Mapping[str, type[Settings]]) -> None:
        self._own = own
        self._assets = assets

    def names(self) -> list[str]:
        """Return all names, sorted."""
        shipped = resources.files("av_pipelines.recipes").iterdir()
        found = [*(Path(entry.name) for entry in shipped), *self._own.glob("*.toml")]
        return sorted({path.stem for path in found if path.suffix == ".toml"})

    def get(self, name: str) -> Recipe:
        """Read and check a recipe; SettingsError names the file and what is allowed."""
        own = self._own / f"{name}.toml"
        shipped = resources.files("av_pipelines.recipes").joinpath(f"{name}.toml")
        if own.is_file():
            where, text = str(own), own.read_text("utf-8")
        elif name in self.names():
            where, text = f"built-in recipe {name}", shipped.read_text("utf-8")
        else:
            raise SettingsError(
                f"there is no recipe {name!r}; there are: {', '.join(self.names())}. "
                f"A new one is a file {own}"
            )
        data = parse_toml(text, where)
        description = data.pop("description", "")
        assets = data.pop("assets", [])
        if not isinstance(assets, list) or not all(a in self._assets for a in assets):
            raise SettingsError(f"{where}: assets = {assets!r}; allowed: {sorted(self._assets)}")
        settings = check_tables(data, where, self._assets)
        return Recipe(name, where, str(description), tuple(assets), settings)

    def choose(self, asset: str, name: str, earlier: Sequence[str] = ()) -> Recipe:
        """Return the recipe that says how an asset is made.

        The file's own, unless it does not speak of the asset and one that the file was taken with
        earlier does.
        """
        own = self.get(name)
        if earlier and not own.speaks_of(asset):
            there = self.names()
            before = (self.get(other) for other in earlier if other in there)
            return next((recipe for recipe in before if recipe.speaks_of(asset)), own)
        return own


SIDECAR_SUFFIX = ".toml"
TEXT_SIDECARS = {".lyrics.txt": ("transcript", "text"), ".script.txt": ("transcript", "text")}
"""Endings of texts beside a media file, and the setting each of them is."""
SIDECAR_SUFFIXES = (SIDECAR_SUFFIX, *TEXT_SIDECARS)
MAX_SIDECAR_BYTES = 200_000


def sidecars_of(media: Path) -> list[Path]:
    """Return what is beside a file: ``song.mp3.toml``, ``song.mp3.lyrics.txt`` for ``song.mp3``."""
    beside = (media.with_name(media.name + suffix) for suffix in SIDECAR_SUFFIXES)
    return [path for path in beside if os.path.lexists(path)]


def read_sidecar(media: Path, assets: Mapping[str, type[Settings]]) -> dict[str, Values]:
    """Read the settings beside a media file: asset → values; empty when there is no sidecar.

    Raises:
        SettingsError: a sidecar is no plain file, too large, no UTF-8, or says what is not allowed.
    """
    tables: dict[str, dict[str, Any]] = {}
    for path in sidecars_of(media):
        text = _read_plain(path)
        if path.suffix == SIDECAR_SUFFIX:
            tables |= parse_toml(text, str(path))
            check_tables(tables, str(path), assets)
            _check_no_paths(tables, path, assets)
            continue
        asset, key = TEXT_SIDECARS["".join(path.suffixes[-2:])]
        if key in tables.get(asset, {}):
            raise SettingsError(f"{path}: another sidecar gives {asset}.{key} too; keep one")
        tables.setdefault(asset, {})[key] = text
        check_tables(tables, str(path), assets)
    return cast("dict[str, Values]", tables)


def _check_no_paths(
    tables: Mapping[str, Values], sidecar: Path, assets: Mapping[str, type[Settings]]
) -> None:
    for asset, values in tables.items():
        for dotted in assets[asset].paths:
            value: Any = values
            for key in dotted.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if value:
                raise SettingsError(
                    f"{sidecar}: {asset}.{dotted} names a file of this machine; a sidecar may "
                    "not: set it in a recipe, in the launchpad or with --set"
                )


def _read_plain(path: Path) -> str:
    """Read a text that a stranger put there."""
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_SIDECAR_BYTES:
        raise SettingsError(
            f"{path}: a sidecar is a plain file of at most {MAX_SIDECAR_BYTES} bytes"
        )
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from None


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Parse TOML; SettingsError names the place."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also absurd numbers and nesting
        raise SettingsError(f"{where}: not TOML: {error}") from None


def check_tables(
    data: Mapping[str, Any], where: str, assets: Mapping[str, type[Settings]]
) -> dict[str, Values]:
    """Check that tables are named after assets and hold settings these know and allow."""
    for asset, values in data.items():
        if asset not in assets:
            raise SettingsError(
                f"{where}: unknown asset [{asset}]; allowed: {', '.join(sorted(assets))}"
            )
        if not isinstance(values, dict):
            raise SettingsError(f"{where}: {asset} = {values!r}: a table [{asset}] is expected")
        assets[asset].merged(asset, (where, values))
    return cast("dict[str, Values]", dict(data))


def parse_assignments(
    assignments: list[str], assets: Mapping[str, type[Settings]]
) -> dict[str, dict[str, Any]]:
    """Read ``asset.key=value`` pairs of ``--set``: values as in TOML, else plain text or a,b,c.

    A setting that is a table is given whole, or key by key: ``asset.key.inner=value``.
    """
    tables: dict[str, dict[str, Any]] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        asset, *keys = (part.strip() for part in name.split("."))
        if not (equals and keys and all(keys)):
            raise SettingsError(f"--set {text}: give it as asset.key=value")
        table, model = tables.setdefault(asset, {}), assets.get(asset)
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            model = _table_model(model, key)
            if not isinstance(table, dict):
                raise SettingsError(f"--set {text}: {key} has been given as {table!r}, no table")
        given = _toml_value(value.strip())
        if _is_list(model, keys[-1]) and not isinstance(given, list):
            given = [_toml_value(part.strip()) for part in value.split(",")]
        table[keys[-1]] = given
    check_tables(tables, "--set", assets)
    return tables


def _table_model(model: type[Settings] | None, key: str) -> type[Settings] | None:
    """Return the model of a setting that is a table itself, also of one that may be none."""
    field = model.model_fields.get(key) if model else None
    kinds = (field.annotation, *get_args(field.annotation)) if field else ()
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, Settings)), None)


def _is_list(model: type[Settings] | None, key: str) -> bool:
    field = model.model_fields.get(key) if model else None
    return field is not None and get_origin(field.annotation) in (tuple, list)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text
