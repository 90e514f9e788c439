"""The ``stems`` asset: from ``audio``, with ``StemsSettings``, by an engine at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av_pipelines.checks import same_length
from av_pipelines.maker import Check, Checked, Choice, Job, Made, Maker, Product
from av_pipelines.stems import engines
from av_pipelines.stems.settings import StemsSettings
from resources.ladder import Step
from resources.metering import on_gpu


def choose(settings: StemsSettings) -> Choice:
    """Choose engine and model for the settings; ModelError when none is here."""
    chosen = engines.choose(settings)
    return Choice(chosen.engine, chosen.ref, chosen.degraded, handle=chosen)


def _make(job: Job) -> dict[str, Made]:
    from av_pipelines.stems.separate import ENERGY, WAVEFORMS, Separated, separate

    assert job.choice
    chosen: engines.Chosen = job.choice.handle
    settings: StemsSettings = job.settings["stems"]
    audio = job.inputs["audio"].first("audio.flac", "audio.w64")
    ladder = engines.ladder(chosen, settings)

    def attempt(step: Step) -> Separated:
        with on_gpu(step.device, job.meter):
            return separate(
                audio,
                job.out["stems"],
                settings,
                engines.load(chosen, settings, step),
                batch=step.batch,
                progress=job.progress,
            )

    result = ladder.run(attempt)
    notes = filter(None, [ladder.step.device.note, ladder.degraded])
    return {
        "stems": Made(
            {
                **result.facts(),
                "engine": chosen.engine,
                "model": chosen.name,
                "device": ladder.step.device.kind,
            },
            degraded="; ".join(notes) or None,
            pictures={"waveforms": WAVEFORMS, "energy": ENERGY},
            tables={"stems": [vars(stem) for stem in result.stems]},
        )
    }


def _verify(folder: Path, facts: Mapping[str, Any]) -> None:
    from av_pipelines.stems.stem_files import check_stem, stem_path

    for name in facts["stems"]:
        check_stem(
            stem_path(folder, name),
            sample_rate=facts["sample_rate_hz"],
            channels=facts["channels"],
            samples=facts["samples"],
        )


_MOST_RESIDUAL_DB = -60.0


def _residual(checked: Checked) -> str | None:
    residual = checked.facts["mix_residual_db"]
    if residual <= _MOST_RESIDUAL_DB:
        return None
    return f"the stems together differ from the mix by {residual:.1f} dB"


STEMS = Maker(
    name="stems",
    products=(
        Product(
            name="stems",
            description="A mix taken apart into vocals, drums, bass and the rest.",
            group="audio",
            settings=StemsSettings,
            code_version="2",
            inputs=("audio",),
            kinds=frozenset({"flac"}),
            verify=_verify,
            checks=(
                Check(
                    "sum_is_the_mix",
                    f"All stems together are the mix, to {_MOST_RESIDUAL_DB:.0f} dB.",
                    _residual,
                    blocking=True,
                ),
                same_length("audio"),
            ),
        ),
    ),
    make=_make,
    pool="gpu",
    choose=choose,
)
