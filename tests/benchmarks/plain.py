"""The same work with nothing around it: the rooms' functions, called one after the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from av_pipelines.intake.child import read_media
from av_pipelines.intake.taps import audio_taps, source_taps
from av_pipelines.masters.master import master
from av_pipelines.masters.settings import MasterSettings


def make_all(path: Path, out: Path) -> None:
    """Make ``source``, ``audio`` and ``master`` of a file, into folders."""
    folders = {name: out / name for name in ("source", "audio", "master")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    shutil.copy(path, folders["source"])
    read_media(path, [*source_taps(folders["source"]), *audio_taps(folders["audio"])])
    audio = folders["audio"] / "audio.flac"
    loudness = json.loads((folders["audio"] / "loudness.json").read_text("utf-8"))
    master(audio, folders["master"], MasterSettings(formats=("flac",)), loudness=loudness)
