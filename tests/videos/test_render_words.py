"""Words on the picture: whatever a text holds, it is shown as it is, when it must, and no more."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from av_pipelines.videos import ass, words
from av_pipelines.videos.cut import Caption, Captions, Cut, Overlay, Shot, Style, Word
from av_pipelines.videos.graph import build
from av_pipelines.videos.render import Delivery, Rendered, RenderError, render
from av_pipelines.videos.running import run_ffmpeg

RATE = Fraction(30000, 1001)
NASTY = [
    'it\'s "quoted", 100% : [x];,=\\',
    r"{\pos(0,0)\fs200} \N \n \h {\an8}",
    "two\nlines\r\nand a tab\tand \x00\x07\x1b[31m",
    "$(touch /tmp/pwned) `id` ; rm -rf / | cat && ${HOME}",
    "ass=filename=/etc/passwd,drawtext=textfile=/etc/passwd",
    "Dialogue: 0,0:00:00.00,9:00:00.00,S0,,0,0,0,,spoof\n[Events]",
    "नमस्ते שלום مرحبا 你好 안녕 ไทย 😀👩‍👩‍👧‍👦 e\u0301 \u202eback",
    "\ud800 half a pair",
    "x" * 10_000,
    "long words " * 910,
]


def film(cut: Cut, folder: Path, **how: object) -> Rendered:
    delivery = Delivery("film.mp4", cut.width, cut.height, **how)  # pyright: ignore[reportArgumentType]
    return render(cut, [delivery], folder, device="cpu")[0]


def plain(overlays: tuple[Overlay, ...] = (), captions: Captions | None = None, n: int = 60) -> Cut:
    shot = Shot("black", None, Fraction(0), n, colour="#102030")
    return Cut("words", RATE, 320, 180, (shot,), overlays, captions)


def lumas(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.array([f.reformat(format="gray").to_ndarray() for f in container.decode(video=0)])


def shown(path: Path) -> list[bool]:
    """Whether there is writing on each frame."""
    return [bool((luma > 150).any()) for luma in lumas(path)]


def rendered_script(text: str, folder: Path) -> int:
    """Draw a text over five frames, and count them."""
    overlay = Overlay("text", 0, 5, text=text, style=Style(font=text[:200]))
    plan = build(plain((overlay,), n=5), [Delivery("a.mp4", 64, 36)], {}, 0, 5, "part")
    for name, script in plan.files.items():
        (folder / name).write_text(script, "utf-8")
    (folder / "graph.txt").write_text(plan.graph, "utf-8")
    out = ["-/filter_complex", "graph.txt", "-map", f"[{plan.labels[0]}]", "-c:v", "rawvideo"]
    run_ffmpeg(plan.inputs, [*out, "-f", "nut", "out.nut"], folder)
    with av.open(str(folder / "out.nut")) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_no_text_breaks_graph_or_shell(text: str, tmp_path: Path) -> None:
    assert rendered_script(text, tmp_path) == 5
    assert not Path("/tmp/pwned").exists()
    assert {p.name for p in tmp_path.iterdir()} == {
        "part_0.ass", "graph.txt", "out.nut", "part_0.black",
    }  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_escaped_text_holds_no_tag_no_line_and_no_field(text: str) -> None:
    written = ass.escape(text)
    left = written.replace(r"\N", "").replace("\\\u2060", "").replace(r"\{", "").replace(r"\}", "")
    assert not set("{}\\\n\r\0") & set(left)
    written.encode("utf-8")
    event = ass.Event(0, 5, words._style(Style(font=text), "top", 0.1, (100, 100)), written)
    script = ass.script([event], 100, 100, 0, 5)
    assert script is not None
    assert len(re.findall(r"^Dialogue: ", script, re.MULTILINE)) == 1
    assert len(re.findall(r"^Style: ", script, re.MULTILINE)) == 1
    style = re.search(r"^Style: (.*)$", script, re.MULTILINE)
    assert style
    assert len(style[1].split(",")) == 23


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=st.text(st.characters(exclude_categories=()), min_size=1, max_size=300))
def test_any_text_can_be_drawn(text: str, tmp_path: Path) -> None:
    assert rendered_script(text, tmp_path) == 5


@pytest.mark.parametrize("rate", [RATE, Fraction(60000, 1001), Fraction(120)])
def test_a_text_is_on_just_its_frames(rate: Fraction, tmp_path: Path) -> None:
    overlays = (
        Overlay("text", 7, 13, text="HELLO", style=Style(size=0.3)),
        Overlay("text", 41, 1, text="ONE", style=Style(size=0.3)),
    )
    cut = Cut("t", rate, 320, 180, plain().shots, overlays)
    on = [n for n, writing in enumerate(shown(film(cut, tmp_path).path)) if writing]
    assert on == [*range(7, 20), 41]


def test_each_word_is_lit_while_it_is_said(tmp_path: Path) -> None:
    said = [Word(Fraction(k, 2), Fraction(k, 2) + Fraction(2, 5), w) for k, w in enumerate("ABC")]
    cue = Caption(Fraction(0), Fraction(9, 5), ("A B C",), tuple(said))
    style = Style(size=0.3, colour="#ffffff", highlight="#ff0000", outline_width=0)
    captions = Captions((cue,), karaoke=True, style=style)
    path = film(plain(captions=captions, n=60), tmp_path).path
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    red = [(f[..., 0] > 150) & (f[..., 1] < 90) for f in frames]
    lit = [n for n, one in enumerate(red) if one.sum() > 20]
    for word in said:
        first, last = round(word.start * RATE), round(word.end * RATE) - 1
        assert first in lit
        assert last in lit
        assert last + 1 not in lit
    where = [red[round(w.start * RATE) + 2].nonzero()[1].mean() for w in said]
    assert where == sorted(where)
    assert not shown(path)[-1]


def test_captions_can_be_a_stream(tmp_path: Path) -> None:
    cues = (
        Caption(Fraction(1, 4), Fraction(1), ("It's 100% {fine}",)),
        Caption(Fraction(5, 4), Fraction(7, 4), ("Zweite", "Zeile")),
    )
    out = film(plain(captions=Captions(cues, mode="stream", language="deu")), tmp_path)
    assert not any(shown(out.path))
    with av.open(str(out.path)) as container:
        stream = container.streams.subtitles[0]
        assert stream.language == "deu"
        packets = [
            (float((p.pts or 0) * (p.time_base or 0)), bytes(p)[2:].decode())
            for p in container.demux(stream)
            if p.size > 2
        ]  # pyright: ignore
    assert [time for time, _ in packets] == pytest.approx([0.25, 1.25], abs=0.002)
    assert "It's 100% {fine}" in packets[0][1]
    assert "Zweite\nZeile" in packets[1][1]


def test_fonts_that_are_not_here_are_named(tmp_path: Path) -> None:
    style = Style(font="No Such Font")
    out = film(plain((Overlay("text", 0, 9, text="Hello 𒀀", style=style),)), tmp_path)
    assert out.fonts
    assert out.degraded
    assert f"No Such Font: {out.fonts[0]}" in out.degraded
    assert "no font here has 𒀀" in out.degraded


def test_a_colour_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises((RenderError, ValueError), match="#rrggbb"):
        film(
            plain(
                (
                    Overlay(
                        "text",
                        0,
                        9,
                        text="x",
                        style=Style(colour="red"),
                    ),
                )
            ),
            tmp_path,
        )
    assert not list(tmp_path.iterdir())
