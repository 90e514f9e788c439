"""What many tests need: a studio in a temporary folder, and a toy pair of makers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from av_pipelines.intake.claim import identify, place, register, settle
from av_pipelines.maker import Job, Made, Maker, Product, Refused, Skip, Studio
from av_pipelines.settings import Recipes, Settings
from partitions.keys import media_key
from resources.ledger import Ledger
from resources.store import Store


class NoSettings(Settings):
    """A toy source has no settings."""


class ShoutSettings(Settings):
    """Settings of the toy product."""

    ending: str = "!"
    threads: int = 1
    neutral = frozenset({"threads"})


class EchoSettings(Settings):
    """Settings of the toy with an optional input."""

    loud: bool = True


class Toys:
    """Makers on text files: ``source`` takes a file, ``shout`` is made from it in capitals.

    ``echo`` repeats the file, or what was shouted if it is to be loud and that is there.

    A file that holds ``poison`` is refused; ``boom`` makes shout fail; ``mute`` does not apply.
    ``made`` lists every call of the domain functions, so a test can see what was not done.
    """

    def __init__(self) -> None:
        self.made: list[str] = []
        self.source = Maker(
            name="toy_intake",
            products=(Product("source", "the file", "media", NoSettings, "1"),),
            make=self._take,
            identify=identify,
            settle=settle,
        )
        self.shout = self.shouting("1")
        self.settings: Mapping[str, type[Settings]] = {
            "source": NoSettings,
            "shout": ShoutSettings,
            "echo": EchoSettings,
        }
        self.echo = Maker(
            name="toy_echo",
            products=(
                Product(
                    "echo",
                    "the file again",
                    "text",
                    EchoSettings,
                    "1",
                    ("source",),
                    {"shout": lambda settings: settings.loud},
                ),
            ),
            make=self._echo,
        )

    def shouting(self, code_version: str) -> Maker:
        return Maker(
            name="toy_shout",
            products=(
                Product("shout", "capitals", "text", ShoutSettings, code_version, ("source",)),
            ),
            make=self._shout,
        )

    def _take(self, job: Job) -> dict[str, Made]:
        path = place(job.media, job.out["source"])
        self.made.append(f"source {path.name}")
        if "poison" in path.read_text():
            raise Refused("the file is poisoned", lambda path: f"cat {path}")
        return {"source": Made({"bytes": path.stat().st_size, "name": path.name})}

    def _echo(self, job: Job) -> dict[str, Made]:
        source = job.inputs["source"]
        shouted = job.inputs.get("shout")
        heard = shouted.file("shout.txt") if shouted else source.file(source.manifest.facts["name"])
        (job.out["echo"] / "echo.txt").write_text(heard.read_text())
        return {"echo": Made({})}

    def _shout(self, job: Job) -> dict[str, Made | Skip]:
        source = job.inputs["source"]
        text = source.file(source.manifest.facts["name"]).read_text()
        self.made.append(f"shout {text}")
        job.progress(0.5)
        if "boom" in text:
            (job.out["shout"] / "half.txt").write_text("half")
            raise ValueError("it went boom")
        if "mute" in text:
            return {"shout": Skip("there is nothing to shout")}
        (job.out["shout"] / "shout.txt").write_text(text.upper() + job.settings["shout"].ending)
        return {"shout": Made({"letters": len(text)})}


@pytest.fixture
def toys() -> Toys:
    return Toys()


@pytest.fixture
def studio(tmp_path: Path, toys: Toys) -> Studio:
    store = Store(tmp_path / "studio")
    return Studio(store, Ledger(store.ledger_dir), Recipes(store.root / "recipes", toys.settings))


@pytest.fixture
def toy_auto_recipe(studio: Studio) -> None:
    """A recipe that only speaks of the toys."""
    folder = studio.store.root / "recipes"
    folder.mkdir(parents=True)
    (folder / "auto.toml").write_text('assets = ["source", "shout"]\n')


def drop(studio: Studio, path: Path, text: str | bytes, **how: object) -> str:
    """Write a file and register it as a media; return its key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    key = media_key(path)
    given = {"recipe": "auto", "claim": "copy", "sidecar": {}, **how}
    register(studio.store, path, key, **given)  # pyright: ignore[reportArgumentType]
    return key
