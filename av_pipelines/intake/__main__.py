"""``python -m av_pipelines.intake FILE``: what intake says of a file, by hand.

The same child process, limits and checks as in the pipeline. Prints ``probe.json`` or the reason.
Exit: 0 the file is good, 1 this program's fault, 2 wrong usage, 3 the file is refused.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from av_pipelines.intake.child import IntakeError, option_name, read_media
from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import audio_taps, source_taps
from av_pipelines.settings import SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Read one file and print what was found; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m av_pipelines.intake",
        description="Read one media file as the pipeline does; print its probe or why it is refused.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, help="keep what is made in this new folder")
    models = (SourceSettings(), AudioSettings())
    for settings in models:
        for name, field in type(settings).model_fields.items():
            parser.add_argument(
                option_name(settings, name),
                dest=f"{type(settings).__name__}.{name}",
                metavar="N",
                help=f"{field.description} Default: {field.default}.",
            )
    given = vars(parser.parse_args(arguments))
    try:
        source, audio = (
            type(s).model_validate(
                {
                    name: TypeAdapter(float).validate_python(given[key])
                    for name in type(s).model_fields
                    if given[key := f"{type(s).__name__}.{name}"] is not None
                }
            )
            for s in models
        )
    except ValidationError as error:
        parser.error(str(error))
    return _read(given["file"], given["out"], source, audio)


def _read(path: Path, out: Path | None, source: SourceSettings, audio: AudioSettings) -> int:
    with tempfile.TemporaryDirectory() as folder:
        sub = {name: Path(folder) / name for name in ("source", "audio")}
        for place in sub.values():
            place.mkdir()
        taps = [*source_taps(sub["source"]), *audio_taps(sub["audio"])]
        try:
            report = read_media(path, taps, source, audio)
        except Refused as refusal:
            print(f"refused: {path.name} {refusal.reason}", file=sys.stderr)
            if refusal.detail:
                print(refusal.detail, file=sys.stderr)
            return 3
        except SettingsError as error:
            print(error, file=sys.stderr)
            return 2
        except (OSError, IntakeError) as error:
            print(error, file=sys.stderr)
            return 1
        print((sub["source"] / "probe.json").read_text("utf-8"), end="")
        if report.degraded:
            print(f"degraded: {report.degraded}", file=sys.stderr)
        if out:
            shutil.copytree(folder, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
