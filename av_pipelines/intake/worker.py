"""The child that reads one file: limits itself, runs the pass, answers, ends.

Here: what happens between fork and exit. Not here: forking (``server``), what the parent makes of
the answer (``child``).
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from av_pipelines.intake import containers, passes
from av_pipelines.intake.messages import Channel
from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.settings import AudioSettings, SourceSettings
from av_pipelines.intake.taps import TapSpec
from av_pipelines.media import sandbox
from av_pipelines.settings import SettingsError


def serve(parent: Channel, fd: int) -> None:
    """Answer the one request that comes from the parent.

    Args:
        parent: who asks: the request, then progress, then one answer.
        fd: the file to read.
    """
    try:
        answer = _answer(parent, fd)
    except Refused as refusal:
        answer = {"refused": refusal.reason, "detail": refusal.detail}
    except SettingsError as error:
        answer = {"setting": str(error)}
    except MemoryError:
        answer = {"memory": traceback.format_exc(limit=-3)}
    except OSError as error:
        words = error.strerror or str(error)
        answer = {"os": [error.errno or 0, words], "at": traceback.format_exc()}
    except Exception as error:
        answer = {"failed": f"{type(error).__name__}: {error}", "at": traceback.format_exc()}
    parent.send(answer)


def _answer(parent: Channel, fd: int) -> dict[str, Any]:
    request = parent.receive()
    sys.path[:] = request["sys_path"]
    settings = SourceSettings.model_validate(request["source"])
    audio = AudioSettings.model_validate(request["audio"])
    specs = [TapSpec.from_json_dict(spec) for spec in request["taps"]]
    taps = [spec.make() for spec in specs]
    limits = sandbox.limit_resources(settings)
    held = sandbox.confine(sandbox.readable(), {spec.out for spec in specs})
    parent.send({"confined": {"limits": limits, **held}})

    container, media = containers.open_media(fd, settings, audio)
    with container:
        summary, facts = passes.run_pass(
            container,
            fd,
            media,
            taps,
            settings,
            lambda share: parent.send({"progress": share}),
        )
    groups: dict[str, dict[str, Any]] = {}
    for spec, found in zip(specs, facts, strict=True):
        group = groups.setdefault(spec.group, {})
        if twice := group.keys() & found.keys():
            raise ValueError(f"{spec.tap} gives facts that another tap gave: {sorted(twice)}")
        group.update(found)
    return {
        "facts": groups,
        "flaws": list(summary.degraded),
        "video": media.video,
        "audio": media.audio,
    }


def end(status: int) -> None:
    """End this process without running what the server registered to be run at its end."""
    sys.stderr.flush()
    os._exit(status)
