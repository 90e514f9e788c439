"""``avp demo``: a built-in clip, and words on where to look at what was made of it.

``ask-not.opus`` is an excerpt of John F. Kennedy's inaugural address of 1961: a work of the US
Government, in the public domain.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from av_pipelines.launch import FileResult
from av_pipelines.maker import Studio
from av_pipelines.makers import DEFAULT_STORE

CLIP = "ask-not.opus"


def built_in_media(folder: Path) -> Path:
    """Put the built-in clip into a folder, unless it is there; return its path."""
    path = folder / CLIP
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with resources.as_file(resources.files("av_pipelines.demo") / CLIP) as shipped:
            shutil.copyfile(shipped, path)
    return path


def tell(studio: Studio, results: Sequence[FileResult]) -> Iterator[str]:
    """Yield lines for a person: what was heard, how loud it is now, where to look."""
    for result in results:
        yield ""
        yield f"{result.path.name}"
        artifacts = {o.asset: o.artifact for o in result.outcomes if o.artifact}
        if "transcript" in artifacts:
            said = artifacts["transcript"].file("transcript.txt").read_text("utf-8").strip()
            yield f"  said:   {said[:300] or '(no speech)'}{'…' if len(said) > 300 else ''}"
        if "audio" in artifacts and "master" in artifacts:
            before = artifacts["audio"].manifest.facts.get("integrated_lufs")
            after = artifacts["master"].manifest.facts.get("integrated_lufs")
            yield f"  level:  {before} LUFS as it came, {after} LUFS mastered"
        yield f"  files:  {studio.store.library / result.key}"
    avp = "avp" if shutil.which("avp") else os.path.relpath(sys.argv[0])
    where = (
        ""
        if studio.store.root == Path(DEFAULT_STORE).absolute()
        else f" --store {studio.store.root}"
    )
    yield ""
    question = "select asset, sum(cpu_s) from costs group by 1"
    yield f"What it cost:   {avp} sql '{question}'{where}"
    yield f"The report:     {avp} report --open{where}"
    yield f"The Dagster UI: {avp} up{where}"
    yield f"Watch folder:   with the UI up, drop files in {studio.store.inbox}"
