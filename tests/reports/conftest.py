"""A studio whose history is told line by line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from resources.ledger import Entry, Event, Ledger
from resources.manifest import InputRef, Manifest, MediaRecord
from resources.metering import Cost
from resources.store import Store, describe_files

START = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


class History:
    """Publishes small artifacts and writes ledger entries, one a minute from 23:00 UTC."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.ledger = Ledger(self.store.ledger_dir)
        self.minutes = 0

    def make(
        self,
        key: str,
        asset: str,
        *,
        version: str | None = None,
        of: Sequence[Manifest] = (),
        files: Mapping[str, bytes] | None = None,
        facts: Mapping[str, Any] | None = None,
        cost: Cost | None = None,
        **more: Any,
    ) -> Manifest:
        """Publish an artifact, link it, record it as made."""
        spent = cost or Cost(wall_s=1, cpu_s=2)
        with self.store.stage() as folder:
            for name, data in (files or {f"{asset}.bin": b"0123456789"}).items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
            manifest = Manifest(
                asset=asset,
                partition=key,
                version=version or sha256(f"{key} {asset}".encode()).hexdigest(),
                created=START,
                code_version="1",
                settings={},
                inputs=tuple(
                    InputRef(asset=m.asset, partition=m.partition, version=m.version) for m in of
                ),
                files=describe_files(folder),
                facts=dict(facts or {}),
                cost=spent,
                **more,
            )
            artifact = self.store.publish(folder, manifest)
        self.store.link(key, artifact)
        self.note("made", key, asset, manifest=manifest, cost=spent)
        return manifest

    def reuse(self, key: str, manifest: Manifest) -> None:
        """Record that a media got an artifact that was there."""
        artifact = self.store.find(manifest.asset, manifest.version)
        assert artifact
        self.store.link(key, artifact)
        self.note("reused", key, manifest.asset, manifest=manifest)

    def note(
        self,
        event: Event,
        key: str,
        asset: str,
        *,
        origin: str | None = None,
        recipe: str | None = "auto",
        **more: Any,
    ) -> Path:
        """Write one entry; return its file."""
        self.minutes += 1
        entry = Entry(
            event=event,
            partition=key,
            asset=asset,
            ts=START + timedelta(minutes=self.minutes),
            origin=origin or f"/in/auto/{key}.wav",
            recipe=recipe,
            **more,
        )
        return self.ledger.append(entry)


ROOT = "stu'dio [1]"  # a path that a careless quote or glob would break


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / ROOT)


@pytest.fixture(scope="module")
def kept_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """One for all tests of a module, for those that only ask."""
    return History(tmp_path_factory.mktemp("kept") / ROOT)


# ---------------------------------------------------------------------- pages in a browser


def sound(path: Path, seed: int, seconds: float = 12.0) -> bytes:
    """A FLAC file with noise: each moment of it is like no other."""
    import numpy as np

    from av_pipelines.media.audio import AudioWriter

    rate = 48_000
    noise = np.random.default_rng(seed).normal(0, 0.05, (2, round(seconds * rate)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with AudioWriter(path, "flac", rate, "stereo") as writer:
        writer.write(noise.astype("float32"))
    return path.read_bytes()


def film(path: Path, seconds: int = 12, fps: int = 10) -> bytes:
    """A WebM film whose grey tells the second."""
    import av
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libvpx", rate=fps, options={"deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(seconds * fps):
            grey = np.full((90, 160, 3), 20 * (number // fps), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        out.mux(stream.encode(None))
    return path.read_bytes()


def still(path: Path, size: tuple[int, int] = (160, 90)) -> bytes:
    """A small PNG."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (37, 106, 232)).save(path)
    return path.read_bytes()


SONG = "a-song-0000000001"
WORDS = [
    *([0.5, 0.9, "Hello"], [1.0, 1.4, "there,"], [4.0, 4.5, "<b>unsure</b>"], [8.0, 8.6, "good"]),
    [9.0, 9.6, "bye."],
]
NAME = "<img src=x onerror=alert(1)>&\"'.webm"


@pytest.fixture(scope="session")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A studio with one media that has everything there is to review."""
    here = tmp_path_factory.mktemp("reviewed")
    history = History(here / ROOT)
    noise = sound(here / "noise.flac", 1)
    times = [n / 10 for n in range(1, 121)]
    curve = {"times_s": times, "lufs": [-20 - (n % 10) for n in range(120)]}
    of_song: dict[str, Any] = {"origin": f"/in/music/{NAME}", "recipe": "music"}
    history.store.save(MediaRecord(key=SONG, claim="copy", size=1, mtime_ns=1, inode=1, **of_song))
    source = history.make(
        SONG,
        "source",
        files={"a song.webm": film(here / "film.webm"), "poster.jpg": still(here / "p.png")},
        facts={
            "duration_s": 12.0,
            "video_codec": "vp8",
            "display_width": 160,
            "display_height": 90,
        },
        pictures={"poster": "poster.jpg"},
    )
    audio = history.make(
        SONG,
        "audio",
        of=[source],
        files={"audio.flac": noise, "loudness.json": told({"curve": curve})},
        facts={"duration_s": 12.0, "integrated_lufs": -20.0, "start_offset_s": 0.0},
    )
    history.make(
        SONG,
        "master",
        of=[audio],
        files={
            "master.flac": noise,
            "loudness.json": told({"target_lufs": -14.0, "curve": curve}),
        },
        facts={"duration_s": 12.0, "integrated_lufs": -14.0, "actions": ["Gain +6.00 dB."]},
    )
    names = ("vocals", "drums", "bass", "other")
    stems = {f"{name}.flac": noise for name in names}
    history.make(SONG, "stems", of=[audio], files=stems, engine="demucs")
    scenes = [
        {"start_s": at, "end_s": at + 4.0, "keyframe": f"keyframes/{at:.0f}.png"}
        for at in (0.0, 4.0, 8.0)
    ]
    history.make(
        SONG,
        "scenes",
        of=[source],
        files={
            "scenes.json": told({"scenes": scenes}),
            **{str(s["keyframe"]): still(here / "k.png") for s in scenes},
        },
    )
    words = [
        {"start_s": s, "end_s": e, "text": text, "probability": 0.9, "spaced": True}
        for s, e, text in WORDS
    ]
    segments = [
        {"start_s": part[0]["start_s"], "end_s": part[-1]["end_s"], "words": part}
        for part in (words[:3], words[3:])
    ]
    doubt = {"start_s": 4.0, "end_s": 4.5, "reason": "unsure", "text": "unsure", "removed": False}
    history.make(
        SONG,
        "transcript",
        of=[audio],
        files={
            "transcript.json": told({"segments": segments}),
            "qc.json": told({"doubts": [doubt]}),
        },
        facts={"words": 5, "language": "en"},
    )
    return history


def told(value: Any) -> bytes:
    """JSON as it lies in an artifact."""
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser that may play without a click; playwright keeps an event loop until it ends."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        pytest.skip("no chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    arguments = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """A tab that fails the test when a page complains or something cannot be had."""
    said: list[str] = []
    page = chromium.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    # players give up a request when they are moved elsewhere
    page.on(
        "requestfailed",
        lambda request: said.append(request.url) if "ABORTED" not in request.failure else None,
    )
    yield page
    page.close()
    assert said == []
