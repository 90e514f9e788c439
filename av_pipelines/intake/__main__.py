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

from av_pipelines.intake.child import option_name, read_media
from av_pipelines.intake.refusal import IntakeError, Refused
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import audio_taps, source_taps
from av_pipelines.settings import Settings, SettingsError, help_texts


def main(arguments: list[str] | None = None) -> int:
    """Read one file and print what was found; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m av_pipelines.intake",
        description="Read a media file as the pipeline does; print its probe or why it is refused.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, help="keep what is made in this new folder")
    for settings in (SourceSettings(), AudioSettings()):
        texts = help_texts(type(settings))
        for name, field in type(settings).model_fields.items():
            option = option_name(settings, name)
            said = f"{texts[name]} Default: {field.default}.".replace("%", "%%")
            parser.add_argument(option, dest=option, metavar="N", help=said)
    given = vars(parser.parse_args(arguments))

    def values(settings: Settings) -> dict[str, str]:
        named = {name: given[option_name(settings, name)] for name in type(settings).model_fields}
        return {name: value for name, value in named.items() if value is not None}

    try:
        source = SourceSettings.merged("source", ("options", values(SourceSettings())))
        audio = AudioSettings.merged("audio", ("options", values(AudioSettings())))
    except SettingsError as error:
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
