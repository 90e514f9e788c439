"""The table of places that films are made for."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from av import VideoFrame
from av.filter import Graph
from pydantic import ValidationError

from av_pipelines.videos.platforms import Platform, load_platforms

TABLE = load_platforms()


def test_the_table_says_when_it_was_checked_and_has_all_shapes():
    assert isinstance(TABLE.as_of, date)
    shapes = {(p.width * 100 // p.height) for p in TABLE.platforms.values()}
    assert {177, 56, 80, 100} <= shapes  # 16:9, 9:16, 4:5, 1:1
    usual = [TABLE.get(name) for name in TABLE.usual]
    assert [round(p.aspect, 2) for p in usual] == [1.78, 0.56, 0.8, 1.0]
    assert TABLE.get("tiktok").mood == 20
    assert TABLE.get("instagram_feed").mood == TABLE.get("reels").mood == 10


def test_captions_have_room_on_every_platform():
    for name, platform in TABLE.platforms.items():
        safe, words = platform.safe, platform.captions
        assert 1 - safe.top - safe.bottom > 3 * words.size * words.lines, name
        em = words.size * platform.height / platform.width
        assert (1 - 2 * max(safe.left, safe.right)) / em > 9, name  # letters in a line


def test_an_unknown_platform_is_an_error_that_names_those_there_are():
    with pytest.raises(ValueError, match=r"'vine'; there are: instagram_feed, reels, .*youtube"):
        TABLE.get("vine")


def test_a_wrong_row_is_refused():
    row = TABLE.get("tiktok").model_dump()
    with pytest.raises(ValidationError, match="longer than max_s"):
        Platform.model_validate(row | {"cut_s": 10_000})
    with pytest.raises(ValidationError):
        Platform.model_validate(row | {"mood": 101})


def test_mood_is_pace_and_grade():
    lively, calm = TABLE.get("tiktok"), TABLE.get("youtube")
    assert lively.pace == pytest.approx(1.2, abs=0.005)
    assert calm.pace == 1
    assert calm.grade is None
    grey, colour = graded(lively, (90, 128, 128)), graded(lively, (125, 100, 160))
    assert grey == (88, 128, 128)  # a twentieth more contrast, and grey stays grey
    assert colour[0] in (124, 125)
    assert colour[1] == pytest.approx(128 - 28 * 1.1, abs=1)  # a tenth more colour
    assert colour[2] == pytest.approx(128 + 32 * 1.1, abs=1)


def graded(platform: Platform, yuv: tuple[int, int, int]) -> tuple[int, ...]:
    planes = np.concatenate([np.full(n, v) for n, v in zip((64, 16, 16), yuv, strict=True)])
    frame = VideoFrame.from_ndarray(planes.reshape(12, 8).astype(np.uint8), format="yuv420p")
    graph = Graph()
    chain = [graph.add_buffer(width=8, height=8, format=frame.format, time_base=1)]  # type: ignore[arg-type]
    name, _, arguments = (platform.grade or "").partition("=")
    chain += [graph.add(name, arguments), graph.add("buffersink")]
    graph.link_nodes(*chain).configure()
    graph.push(frame)
    out = graph.pull()
    assert isinstance(out, VideoFrame)
    found = out.to_ndarray()
    return int(found[0, 0]), int(found[8, 0]), int(found[10, 0])
