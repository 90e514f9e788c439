"""Words keep out of each other's way."""

from __future__ import annotations

from fractions import Fraction

from av_pipelines.videos.cut import Caption, Captions, Overlay
from av_pipelines.videos.words import events

RATE, SIZE = Fraction(25), (1080, 1920)


def test_captions_stand_above_a_lower_third_while_it_is_there() -> None:
    name = Overlay("lower_third", start=0, frames=50, text="Ada Lovelace", subtitle="Author")
    cues = tuple(
        Caption(Fraction(at), Fraction(at + 1), ("something is said",)) for at in (0.0, 3.0)
    )
    shown = events((name,), Captions(cues), RATE, SIZE, 100)
    during, after = (e for e in shown if e.text == "something is said")
    box = next(e for e in shown if "Ada" in e.text)
    two_lines = round((0.05 + 0.05 * 0.7) * SIZE[1])
    assert during.style.margin[1] >= box.style.margin[1] + two_lines
    assert after.style.margin[1] == round(Captions(cues).margin * SIZE[1])
