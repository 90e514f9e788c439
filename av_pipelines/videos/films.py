"""``video`` and ``cutdowns``: from a cut to files, and what people see of them.

Here: which files are made, their facts and tables. Not here: rendering (``render``), what is made
for which platform (``cutdowns``), the cut itself (``cut_of``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from av_pipelines.videos.cut import Cut
from av_pipelines.videos.cutdowns import plan
from av_pipelines.videos.delivery import CONTAINERS, Delivery, Rendered
from av_pipelines.videos.platforms import load_platforms
from av_pipelines.videos.render import render
from av_pipelines.videos.settings import CutdownsSettings, VideoSettings
from av_pipelines.videos.storyboard import draw, table

_SHOWN = 200  # rows of a table


@dataclass(frozen=True)
class Films:
    """What was made."""

    facts: dict[str, Any]
    degraded: str | None
    tables: dict[str, list[dict[str, Any]]]
    pictures: dict[str, str]
    """Label → file."""


def make_video(
    cut: Cut, out: Path, settings: VideoSettings, progress: Callable[[float], None]
) -> Films:
    """Render the film as ``video`` with the suffix of its codec.

    Raises:
        RenderError: naming the shot.
    """
    name = f"video{CONTAINERS[settings.codec]}"
    wanted = Delivery(name, cut.width, cut.height, settings.codec, settings.quality)
    made = render(
        cut, [wanted], out, device=settings.device, threads=settings.threads, progress=progress
    )
    film = made[0]
    facts = {**_facts(film), "file": name, "shots": len(film.shots)}
    storyboard, poster = draw(film, out)
    pictures = {"storyboard": storyboard, "poster": poster}
    return Films(facts, film.degraded, _tables(made, shots=table(film)[:_SHOWN]), pictures)


def make_cutdowns(
    cut: Cut,
    out: Path,
    settings: CutdownsSettings,
    progress: Callable[[float], None],
    pictures: Mapping[Path, Path],
) -> Films:
    """Render a file for each platform; those of one length share one decode.

    Args:
        cut: the film.
        out: the folder.
        settings: which platforms, and how.
        progress: called with the share done.
        pictures: source file → its ``picture.npz``, where there is one.

    Raises:
        RenderError: naming the shot.
        ValueError: a platform is not known.
    """
    from av_pipelines.videos.looking import look_at

    made: list[Rendered] = []
    with TemporaryDirectory() as scratch:
        looks = None
        if settings.framing == "subject":
            looks = partial(look_at, pictures=pictures, scratch=Path(scratch))
        batches = plan(
            cut,
            settings.platforms,
            durations_s=settings.durations_s,
            looks=looks,
            captions=settings.captions,
            codec=settings.codec,
            quality=settings.quality,
            sizes=settings.sizes,
        )
        for number, batch in enumerate(batches):
            made += render(
                batch.cut,
                batch.deliveries,
                out,
                device=settings.device,
                threads=settings.threads,
                progress=lambda share, done=number: progress((done + share) / len(batches)),
            )
    longest = max(made, key=lambda film: film.duration_s)
    facts = _facts(longest) | {
        "shots": len(longest.shots),
        "files": len(made),
        "bytes": sum(film.bytes for film in made),
        "platforms_as_of": str(load_platforms().as_of),
    }
    degraded = "; ".join(dict.fromkeys(film.degraded for film in made if film.degraded)) or None
    drawn = {film.path.stem: draw(film, out, f"{film.path.stem}.") for film in made}
    boards = {f"storyboard, {name}": files[0] for name, files in drawn.items()}
    return Films(facts, degraded, _tables(made, shots=table(longest)[:_SHOWN]), boards)


def _facts(film: Rendered) -> dict[str, Any]:
    return {
        "duration_s": round(film.duration_s, 6),
        "frames": film.frames,
        "fps": round(float(film.fps), 6),
        "width": film.width,
        "height": film.height,
        "codec": film.codec,
        "encoder": film.encoder,
        "integrated_lufs": film.integrated_lufs,
        "true_peak_dbtp": film.true_peak_dbtp,
        "stream_copied_s": round(film.stream_copied_s, 3),
        "bytes": film.bytes,
        "fonts": ", ".join(film.fonts),
    }


def _tables(
    made: Sequence[Rendered], **more: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    files = [{"file": film.path.name, **_facts(film)} for film in made]
    notes = [{"note": note} for note in dict.fromkeys(n for film in made for n in film.notes)]
    tables = {**more, "files": files, "notes": notes}
    return {name: rows for name, rows in tables.items() if rows}
