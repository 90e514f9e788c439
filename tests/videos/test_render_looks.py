"""How things look on the film: slow movement without a jolt, pictures over it, room for words."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from av_pipelines.videos.cut import Caption, Captions, Cut, Framing, Overlay, Shot, Style
from av_pipelines.videos.render import Delivery, RenderError, render
from tests.videos.numbered import film

RATE = Fraction(25)


def lumas(cut: Cut, folder: Path) -> np.ndarray:
    """Render a cut and decode it: (frames, height, width)."""
    wanted = Delivery("out.mp4", cut.width, cut.height, quality="high")
    made = render(cut, [wanted], folder, device="cpu")[0]
    with av.open(str(made.path)) as container:
        frames = [f.reformat(format="gray").to_ndarray() for f in container.decode(video=0)]
    return np.array(frames, float)


def test_a_still_moves_evenly_by_parts_of_a_pixel(tmp_path: Path) -> None:
    y, x = np.mgrid[:720, :1280]
    dot = 255 * np.exp(-((x - 640) ** 2 + (y - 300) ** 2) / 900)
    Image.fromarray(dot.astype(np.uint8)).save(tmp_path / "dot.png")
    path = (Framing(Fraction(0), 0.5, 0.5, 1.1), Framing(Fraction(4), 0.52, 0.5, 1.1))
    shot = Shot(
        "dot", tmp_path / "dot.png", Fraction(0), 100, still=True, fit="ken_burns", framing=path
    )
    seen = lumas(Cut("move", RATE, 320, 180, (shot,)), tmp_path) - 16
    seen[seen < 24] = 0
    at = (seen.sum(axis=1) * np.arange(320)).sum(axis=1) / seen.sum(axis=(1, 2))
    line = np.polyval(np.polyfit(np.arange(100), at, 1), np.arange(100))

    assert at[0] - at[-1] == pytest.approx(0.02 * 1.1 * 320, rel=0.03)  # 7 pixels in 4 s
    assert abs(at - line).max() < 0.15


def shaded(folder: Path, start: float) -> Cut:
    """Make a film under a large, dark, half transparent picture that comes and goes."""
    source = film(folder / "a.mp4", RATE, 100, width=320, height=180)
    ramp = np.zeros((180, 320, 4), np.uint8)
    ramp[..., 3] = np.linspace(40, 230, 180)[:, None]
    ramp[60:120, 100:220] = 255, 255, 255, 250
    Image.fromarray(ramp).save(folder / "shade.png")
    shade = Overlay("image", 0, 60, path=folder / "shade.png", margin=0, size=1.0, opacity=0.9)
    moved = Overlay(
        "image", 40, 20, path=folder / "shade.png", anchor="top-left", size=0.5, fade_frames=5
    )
    shot = Shot("clip", source, Fraction(start), 60)
    return Cut("shaded", RATE, 320, 180, (shot,), (shade, moved))


def test_a_film_under_a_large_picture_is_compared_with_the_picture_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from av_pipelines.videos import render as rendering

    cut = shaded(tmp_path, 1.0)
    lumas(cut, tmp_path)

    build = rendering.segments.build
    late = shaded(tmp_path, 1.04)
    monkeypatch.setattr(rendering.segments, "build", lambda _, *rest: build(late, *rest))
    with pytest.raises(RenderError, match=r"'clip', frame 0 .* picture after the one that is due"):
        lumas(cut, tmp_path)


@pytest.mark.parametrize("size", [(360, 640), (432, 540), (540, 540), (960, 540)])
def test_captions_have_the_width_of_the_picture_whatever_their_margin(
    size: tuple[int, int], tmp_path: Path
) -> None:
    line = "all these words together on one line"
    words = Captions(
        (Caption(Fraction(0), Fraction(1), (line,)),),
        margin=0.24,
        style=Style(size=0.04 * size[0] / size[1]),
    )
    shot = Shot("grey", None, Fraction(0), 5, colour="#102030")
    seen = lumas(Cut("words", RATE, *size, (shot,), captions=words), tmp_path)[2] > 150

    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert np.ptp(rows) < 0.06 * size[0]  # one line
    assert abs(size[1] - rows.max() - 0.24 * size[1]) < 0.03 * size[1]
    assert columns.min() >= 0.05 * size[0]
    assert columns.max() <= 0.95 * size[0]
