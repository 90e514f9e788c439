"""The ``master`` asset: from ``audio``, with ``MasterSettings``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.checks import same_length
from av_pipelines.maker import Check, Checked, Job, Made, Maker, Product
from av_pipelines.masters.settings import MasterSettings


def _make(job: Job) -> dict[str, Made]:
    from av_pipelines.masters.master import master
    from av_pipelines.masters.tags import read_cover

    audio, source, folder = job.inputs["audio"], job.inputs["source"], job.out["master"]
    probe = json.loads(source.file("probe.json").read_text("utf-8"))
    result = master(
        audio.first("audio.flac", "audio.w64"),
        folder,
        job.settings["master"],
        loudness=json.loads(audio.file("loudness.json").read_text("utf-8")),
        tags=probe.get("tags", {}),
        cover=read_cover(source.file(source.manifest.facts["file"])),
        progress=job.progress,
    )
    return {
        "master": Made(
            result.facts(),
            pictures={"loudness": "loudness.png"},
            tables={"delivered": _files(folder)},
        )
    }


def _files(folder: Path) -> list[dict[str, Any]]:
    """The delivered files with what was measured on each, for the UI."""
    measured: Mapping[str, Mapping[str, Any]] = json.loads(
        (folder / "loudness.json").read_text("utf-8")
    )["files"]
    return [{"file": name, **numbers} for name, numbers in measured.items()]


def _verify(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.media.audio import verify_audio

    verify_audio(folder / "master.flac", facts)


_TOLERANCE_LU = 0.5  # EBU R 128: what an encoder and rounding may cost
_TOLERANCE_DB = 0.1


def _off_target(checked: Checked) -> str | None:
    loudness = checked.facts["integrated_lufs"]
    target = checked.settings["target_lufs"]
    given_gain = checked.settings.get("album_gain_db") is not None
    if loudness is None or given_gain or abs(loudness - target) <= _TOLERANCE_LU:
        return None
    return f"it has {loudness} LUFS where {target} were asked for; its actions say why"


def _too_high(checked: Checked) -> str | None:
    peak, ceiling = checked.facts["true_peak_dbtp"], checked.settings["ceiling_dbtp"]
    if peak is None or peak <= ceiling + _TOLERANCE_DB:
        return None
    return f"its true peak is {peak} dBTP, above the ceiling of {ceiling} dBTP"


MASTERS = Maker(
    name="master",
    products=(
        Product(
            name="master",
            description="The sound at a target loudness under a true-peak ceiling, to deliver.",
            group="audio",
            settings=MasterSettings,
            code_version="4",
            inputs=("audio", "source"),
            kinds=frozenset({"flac", "mp3"}),
            verify=_verify,
            checks=(
                Check(
                    "on_target",
                    f"Within {_TOLERANCE_LU} LU of the loudness that was asked for.",
                    _off_target,
                ),
                Check("under_ceiling", "No true peak above the ceiling.", _too_high, blocking=True),
                same_length("audio"),
            ),
        ),
    ),
    make=_make,
    pool="encode",
)
