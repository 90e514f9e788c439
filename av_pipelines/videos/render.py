"""``render``: a cut becomes films, all of one decode and one composite.

Here: the order of things, and that nothing is published that is not whole and right. Not here: the
parts of the work (``sources``, ``graph``, ``segments``, ``mix``, ``joining``, ``verify``), and
which cut is rendered.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from av_pipelines.media.confined import ConfinedError, plain_files
from av_pipelines.videos import mix, python_effects, segments
from av_pipelines.videos.copying import Copied, find_copies
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.delivery import CONTAINERS, Delivery, Rendered, RenderedShot
from av_pipelines.videos.encoders import Encoder, choose_encoder
from av_pipelines.videos.fonts import find_fonts
from av_pipelines.videos.segments import Stretch
from av_pipelines.videos.sources import (
    RenderError,
    Source,
    Work,
    check_span,
    examine_all,
)
from av_pipelines.videos.subtitles import add_stream
from av_pipelines.videos.verify import looks_at, prepare
from resources.accelerator import Setting, cpu_threads

__all__ = ["Delivery", "RenderError", "Rendered", "render"]


def render(
    cut: Cut,
    deliveries: Sequence[Delivery],
    folder: Path,
    *,
    device: Setting = "auto",
    threads: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Rendered]:
    """Render a cut.

    Args:
        cut: the film.
        deliveries: the files wanted; they share one decode and one composite.
        folder: where they are put. Nothing is put there before all of them are whole and checked.
        device: what encodes: ``auto``, or by name (``cpu``, ``cuda``, ``mps``).
        threads: of the CPU; 0: all.
        progress: called with the share done, 0 to 1.

    Returns:
        What was made, in the order of ``deliveries``.

    Raises:
        RenderError: the cut cannot be rendered, or what came out is not what it says; the message
            names the shot.
        DeviceError: ``device`` is not here.
        OSError: the disk is full.
    """
    _check(cut, deliveries)
    python_effects.check(cut)
    before = _cpu_s()
    encoders = [choose_encoder(delivery.codec, device) for delivery in deliveries]
    work = Path(tempfile.mkdtemp(prefix=".render-", dir=folder))
    try:
        made = _Work(cut, deliveries, encoders, work, cpu_threads(threads), progress).run()
        for film in made:
            (work / film["name"]).replace(folder / film["name"])
    except ConfinedError as error:
        raise RenderError(f"the film could not be made: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    used = round(_cpu_s() - before, 3)
    progress(1.0)
    return [_told(film, cut, d, folder, used) for film, d in zip(made, deliveries, strict=True)]


def _check(cut: Cut, deliveries: Sequence[Delivery]) -> None:
    if not deliveries:
        raise RenderError("nothing is to be delivered: name at least one file")
    if not cut.shots or cut.frames < 1:
        raise RenderError("the film has no frame: give it at least one shot")
    if len({delivery.name for delivery in deliveries}) < len(deliveries):
        raise RenderError("two deliveries have one name")
    for delivery in deliveries:
        suffix = CONTAINERS[delivery.codec]
        if Path(delivery.name).name != delivery.name or not delivery.name.endswith(suffix):
            raise RenderError(f"{delivery.name!r}: a file name that ends in {suffix} is wanted")
        if delivery.width % 2 or delivery.height % 2 or min(delivery.width, delivery.height) < 16:
            raise RenderError(
                f"{delivery.name}: {delivery.width}x{delivery.height} cannot be encoded; width and "
                "height must be even and at least 16"
            )
        if delivery.frames(cut) < 1:
            raise RenderError(f"{delivery.name}: max_frames = {delivery.max_frames} leaves nothing")
    for k, shot in enumerate(cut.shots):
        over = shot.transition.frames if shot.transition else 0
        after = cut.shots[k + 1].transition if k + 1 < len(cut.shots) else None
        if over and not k:
            raise RenderError(f"shot {shot.name!r} is the first: it cannot come in by a transition")
        if shot.frames < 1 or over + (after.frames if after else 0) > shot.frames:
            raise RenderError(
                f"shot {shot.name!r} has {shot.frames} frames, fewer than its transitions need"
            )
        if shot.speed <= 0:
            raise RenderError(f"shot {shot.name!r}: speed = {shot.speed} must be above 0")


class _Work:
    """One rendering, in its working folder."""

    def __init__(
        self,
        cut: Cut,
        deliveries: Sequence[Delivery],
        encoders: Sequence[Encoder],
        work: Path,
        threads: int,
        progress: Callable[[float], None],
    ) -> None:
        self.cut, self.deliveries, self.encoders = cut, deliveries, encoders
        self.work, self.threads, self.progress = work, threads, progress
        self.notes: list[str] = []

    def run(self) -> list[dict[str, Any]]:
        cut = self.cut
        films = {s.path for s in cut.shots if s.path and not s.still}
        films |= {lane.path for lane in cut.lanes}
        stills = {s.path for s in cut.shots if s.path and s.still}
        pasted = [o for d in self.deliveries for o in d.overlays or ()]
        stills |= {o.path for o in (*cut.overlays, *pasted) if o.kind == "image" and o.path}
        with Work(films | stills, self.work) as work:
            return self._films(films, stills, work)

    def _films(self, films: set[Path], stills: set[Path], work: Work) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(2) as pool:
            fonts = pool.submit(find_fonts, self.cut, self.deliveries, self.work)
            sources = examine_all(films, stills, work)
            self._check_spans(sources)
            self.notes += _flags(self.cut, sources)
            copies = self._copies(sources, work)
            sound = pool.submit(mix.mix, self.cut, self.deliveries, sources, work)
            if any(delivery.wave or self.cut.wave for delivery in self.deliveries):
                sound.result()  # it is drawn
            looks = [looks_at(self.cut, d, sources, d.name, True, []) for d in self.deliveries]
            ready = pool.submit(prepare, [c for checks in looks for c in checks], work)
            drawn, known = python_effects.pass_through(self.cut, sources, self.work)
            stretches = segments.plan(self.cut, self.deliveries, copies, self.threads)
            segments.encode(
                drawn,
                self.deliveries,
                self.encoders,
                known,
                stretches,
                self.work,
                self.threads,
                lambda share: self.progress(0.02 + 0.9 * share),
            )
            mixed, used = sound.result(), fonts.result()
            ready.result()
        self.progress(0.93)

        def finish(k: int) -> dict[str, Any]:
            return self._finish(k, stretches, mixed[k], sources, used[k], work)

        with ThreadPoolExecutor(self.threads) as pool:
            made = list(pool.map(finish, range(len(self.deliveries))))
        plain_files(self.work)
        return made

    def _check_spans(self, sources: Mapping[tuple[Path, bool], Source]) -> None:
        cut = self.cut
        for shot in cut.shots:
            if shot.path is None or shot.still:
                continue
            source = sources[shot.path, False]
            if source.video is None:
                raise RenderError(f"shot {shot.name!r}: {shot.path.name} has no picture")
            length = (shot.frames - 1) * shot.speed / cut.rate
            check_span(shot.name, shot.path, source, shot.start, length)

    def _copies(self, sources: Mapping[tuple[Path, bool], Source], work: Work) -> list[Copied]:
        if len(self.deliveries) > 1:
            return []  # the others need the decode anyway
        return find_copies(self.cut, self.deliveries[0], sources, work)

    def _finish(
        self,
        number: int,
        stretches: Sequence[Stretch],
        sound: mix.Mixed | None,
        sources: Mapping[tuple[Path, bool], Source],
        fonts: tuple[tuple[str, ...], str | None],
        work: Work,
    ) -> dict[str, Any]:
        cut, delivery = self.cut, self.deliveries[number]
        frames = delivery.frames(cut)
        black = segments.black_frames(cut, self.deliveries, stretches, number, self.work)
        pieces: list[tuple[Path | None, dict[str, Any]]] = []
        for stretch in stretches:
            if stretch.first >= frames:
                continue
            piece: dict[str, Any] = {
                "first": stretch.first,
                "frames": min(stretch.last, frames) - stretch.first,
                "rate": str(cut.rate),
            }
            if copied := stretch.copied:
                piece |= {"stream": copied.stream, "zero": copied.zero}
                piece |= {"step": str(copied.step), "seek": copied.seek}
            else:
                piece["own"] = stretch.file(number, delivery)
            pieces.append((copied.path if copied else None, piece))
        film = {
            "name": delivery.name,
            "rate": str(cut.rate),
            "frames": frames,
            "title": cut.title,
            "sound": sound.name if sound else None,
            "chapters": _chapters(cut, frames),
        }
        first, *others = looks_at(cut, delivery, sources, delivery.name, sound is not None, black)

        def request(fds: Mapping[Path, int]) -> dict[str, Any]:
            given = [piece | ({"fd": fds[path]} if path else {}) for path, piece in pieces]
            return {"join": {**film, "pieces": given}, "compare": first.asked(fds)}

        paths = {path for path, _ in pieces if path} | first.paths
        wrong = work.run("av_pipelines.videos.joining:join_and_compare", request, paths)["wrong"]
        wrong += [sentence for check in others for sentence in check.run(work)]
        if wrong:
            raise RenderError(f"{delivery.name} is not what it should be: " + "; ".join(wrong))
        captions = delivery.captions or cut.captions
        if captions and captions.mode == "stream" and captions.cues:
            add_stream(captions, delivery, frames / cut.rate, self.work)
        copies = [s.copied for s in stretches if s.copied]
        encoded = any(not s.copied for s in stretches)
        notes = [*self.notes, *filter(None, [self.encoders[number].note])]
        degraded = [*filter(None, [sound and sound.note, fonts[1]])]
        return {
            "name": delivery.name,
            "encoder": self.encoders[number].name if encoded else "copy",
            "sound": sound,
            "copies": copies,
            "fonts": fonts[0],
            "notes": tuple(notes),
            "degraded": "; ".join(degraded) or None,
        }


def _chapters(cut: Cut, frames: int) -> list[tuple[str, int, int]]:
    """List (name, first frame, end) of the shots; a shot begins where it begins to come in."""
    starts = [*cut.starts(), cut.frames]
    found = [
        (shot.name or f"Shot {k + 1}", starts[k], min(starts[k + 1], frames))
        for k, shot in enumerate(cut.shots)
        if starts[k] < frames
    ]
    return [chapter for chapter in found if chapter[1] < chapter[2]]


def _flags(cut: Cut, sources: Mapping[tuple[Path, bool], Source]) -> list[str]:
    """Say what of the sources a person should know."""
    said = [
        f"shot {shot.name!r} went through Python: {', '.join(name for name, _ in shot.effects)}"
        for shot in cut.shots
        if shot.effects
    ]
    for (path, _), source in sources.items():
        if source.hdr:
            said.append(f"{path.name} is of high dynamic range: mapped to standard range (BT.709)")
        elif source.deep:
            said.append(f"{path.name} has more than 8 bits a sample")
        if source.interlaced:
            said.append(f"{path.name} is interlaced: made progressive")
    return said


def _told(
    film: Mapping[str, Any], cut: Cut, delivery: Delivery, folder: Path, cpu_s: float
) -> Rendered:
    frames = delivery.frames(cut)
    path = folder / film["name"]
    copied = sum(c.frames for c in film["copies"])
    sound: mix.Mixed | None = film["sound"]
    return Rendered(
        path=path,
        width=delivery.width,
        height=delivery.height,
        frames=frames,
        fps=cut.rate,
        codec=delivery.codec,
        encoder=film["encoder"],
        duration_s=round(float(frames / cut.rate), 6),
        integrated_lufs=sound.integrated_lufs if sound else None,
        true_peak_dbtp=sound.true_peak_dbtp if sound else None,
        stream_copied_s=round(float(copied / cut.rate), 6),
        shots=tuple(
            RenderedShot(
                name=shot.name,
                first=start,
                frames=min(shot.frames, frames - start),
                source=shot.path,
                start=shot.start,
                copied=sum(
                    max(0, min(c.first + c.frames, start + shot.frames) - max(c.first, start))
                    for c in film["copies"]
                ),
            )
            for shot, start in zip(cut.shots, cut.starts(), strict=True)
            if start < frames
        ),
        bytes=path.stat().st_size,
        cpu_s=cpu_s,
        fonts=film["fonts"],
        notes=film["notes"],
        degraded=film["degraded"],
    )


def _cpu_s() -> float:
    """CPU seconds of this process and of all its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
