"""A lyric video from a speech clip: the words are on the frames they are said at."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib import resources
from pathlib import Path

import av
import numpy as np
import pytest

from av_pipelines.videos.cut import Cut
from av_pipelines.videos.cutdowns import plan
from av_pipelines.videos.render import render
from av_pipelines.videos.templates import make_project
from av_pipelines.videos.templates.materials import Material, Materials
from tests.videos.studio import Studio, write_transcript

KEY = "ask-not-0123456789"
FPS = 30
# Word times as the transcript asset gives them of this clip.
LINES = [
    [
        ("And", 0.325, 0.52), ("so", 0.67, 0.86), ("my", 0.86, 1.2), ("fellow", 1.2, 1.54),
        ("Americans,", 1.54, 2.08),
    ],
    [("ask", 3.288, 3.708), ("not", 3.978, 4.208)],
    [
        ("what", 5.411, 5.516), ("your", 5.516, 5.756), ("country", 5.756, 6.236),
        ("can", 6.236, 6.616), ("do", 6.616, 6.816), ("for", 6.816, 7.076), ("you,", 7.076, 7.336),
    ],
    [
        ("ask", 8.024, 8.189), ("what", 8.189, 8.744), ("you", 8.744, 9.044),
        ("can", 9.044, 9.324), ("do", 9.324, 9.564), ("for", 9.564, 9.764),
        ("your", 9.764, 9.964), ("country.", 9.964, 10.344),
    ],
]  # fmt: skip


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Cut:
    """The cut that the template leads to, as small as words can be told apart in."""
    folder = tmp_path_factory.mktemp("lyrics")
    song = folder / "song.opus"
    clip = resources.files("av_pipelines.demo").joinpath("ask-not.opus")
    song.write_bytes(clip.read_bytes())
    transcript = write_transcript(folder / "transcript.json", LINES, 11.0)
    studio = Studio()
    studio.add(KEY, "source", folder, file=song.name)
    studio.add(KEY, "transcript", folder)
    from av_pipelines.videos.project_parts import Named

    material = Material(song, Named(media=KEY), 11.0, transcript=transcript)
    make_project("lyric_video", {}, Materials("Ask not", song=material), folder / "film")
    made = studio.cut(folder / "film", folder / "timeline")
    return replace(made, width=640, height=360, quality="low")


def lit(film: Path, bare: Path) -> tuple[list[np.ndarray], list[bool]]:
    """Of every frame, where it is yellow and a render without captions is not; has it words?"""
    masks, shown = [], []
    with av.open(str(film)) as one, av.open(str(bare)) as other:
        for frame, plain in zip(one.decode(video=0), other.decode(video=0), strict=True):
            a, b = (x.to_ndarray(format="rgb24").astype(np.int16) for x in (frame, plain))
            new = np.abs(a - b).max(axis=-1) > 60
            masks.append(new & (a[..., 0] - a[..., 2] > 90))
            shown.append(bool(new.sum() > 50))
    return masks, shown


def onsets(masks: list[np.ndarray]) -> list[int]:
    """Frames at which a word lights up that was not lit before."""
    found, before = [], np.zeros_like(masks[0])
    for number, mask in enumerate(masks):
        if mask.sum() < 12:
            before = np.zeros_like(mask)
            continue
        same = (mask & before).sum() / mask.sum()
        if same < 0.5:
            found.append(number)
        before = mask
    return found


@pytest.fixture(scope="module")
def films(cut, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """16:9 and 9:16, each with words and without."""
    folder = tmp_path_factory.mktemp("films")
    words, bare = folder / "words", folder / "bare"
    for place, film in ((words, cut), (bare, replace(cut, captions=None))):
        place.mkdir()
        (batch,) = plan(film, ["youtube", "shorts"])
        render(batch.cut, batch.deliveries, place)
    return {name: (words / name, bare / name) for name in ("youtube.mp4", "shorts.mp4")}


@pytest.mark.parametrize("name", ["youtube.mp4", "shorts.mp4"])
def test_every_word_lights_up_within_two_frames_of_when_it_is_said(films, name):
    masks, shown = lit(*films[name])
    said = [word for line in LINES for word in line]
    found = onsets(masks)
    assert len(found) == len(said)
    off = [
        abs(at - round(Fraction(str(start)) * FPS))
        for at, (_, start, _) in zip(found, said, strict=True)
    ]
    assert max(off) <= 2, list(zip(found, said, strict=True))
    firsts = [i for i, now in enumerate(shown) if now and not shown[i - 1]]
    starts = [round(line[0][1] * FPS) for line in LINES]
    for start in starts:
        assert min(abs(start - first) for first in firsts) <= 2
    assert not any(shown[: starts[0] - 2])  # and no word is there before its time


@pytest.mark.parametrize(
    ("name", "size"), [("youtube.mp4", (640, 360)), ("shorts.mp4", (360, 640))]
)
def test_the_films_have_their_shapes_and_words_keep_clear_of_the_edges(films, name, size):
    film, bare = films[name]
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == size
        assert stream.frames == 11 * FPS
    ever = np.any(
        [
            np.abs(a.astype(np.int16) - b.astype(np.int16)).max(axis=-1) > 60
            for a, b in zip(pictures(film), pictures(bare), strict=True)
        ],
        axis=0,
    )
    rows, columns = np.nonzero(ever)
    height, width = ever.shape
    assert rows.min() > 0.1 * height
    assert rows.max() < 0.75 * height  # where names and buttons are
    assert columns.min() > 0.06 * width
    assert columns.max() < 0.94 * width


def pictures(film: Path) -> list[np.ndarray]:
    with av.open(str(film)) as container:
        frames = container.decode(video=0)
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(frames) if not i % 10]
