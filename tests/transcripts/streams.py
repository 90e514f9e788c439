"""Words as transcripts: evenly spoken text, and random streams of anything a recogniser may say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st

from av_pipelines.transcripts.cues import Cue
from av_pipelines.transcripts.words import Transcript, Word, tidy, word


def transcript_of(
    *segments: Sequence[Word], duration_s: float = 60.0, language: str | None = "en"
) -> Transcript:
    return Transcript(
        tidy(segments, duration_s),
        duration_s,
        language,
        0.9,
        "transcribe",
        "an engine",
        "a model",
        "cpu",
    )


def evenly(text: str, word_s: float = 0.3, start_s: float = 0.0) -> list[Word]:
    """Give the words of a text times, one after the other."""
    times = [round(start_s + i * word_s, 3) for i in range(len(text.split()) + 1)]
    return [Word(*pair, t, 0.9) for pair, t in zip(pairwise(times), text.split(), strict=True)]


def by_character(text: str, character_s: float = 0.2) -> list[Word]:
    """Give each character a time, as recognisers do where there are no blanks."""
    return [
        Word(i * character_s, (i + 1) * character_s, c, 0.9, spaced=False)
        for i, c in enumerate(text)
    ]


SAID = (
    "the a and but of in with und der die le et Peter Smith Angela Mr. 2014 km yes. no, storm! "
    "(hello) «école» — l'été 日本 語、 です。 が สวัสดี שלום مرحبا, नमस्ते 🎉 👩‍👩‍👧 "
    + "x" * 60
    + " "
    + "日本語" * 12
).split()
_MARKUP = r"--> <b> </i> <00:01.00> [00:01.00] {\an8} \N \h \ { } & &amp; NOTE WEBVTT"
MARKUP = _MARKUP.split()

any_text = st.text(max_size=12)

many = settings(max_examples=100, deadline=None)
"""For properties of streams: a busy machine may take long over one."""


@st.composite
def streams(
    draw: st.DrawFn, texts: st.SearchStrategy[str] | None = None, max_size: int = 40
) -> Transcript:
    """Draw a transcript: odd words, odd times, in one language or another."""
    texts = st.one_of(st.sampled_from(SAID), any_text) if texts is None else texts
    pieces = draw(
        st.lists(
            st.tuples(
                st.sampled_from([" ", " ", " ", ""]),
                texts,
                st.one_of(st.just(0.0), st.floats(0, 0.4), st.floats(0, 4)),
                st.one_of(st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 9)),
                st.booleans(),
            ),
            max_size=max_size,
        )
    )
    segments: list[list[Word]] = [[]]
    now = 0.0
    for space, text, gap, length, ends in pieces:
        now += gap
        if made := word(space + text, now, now + length, 0.5):
            segments[-1].append(made)
        now += length
        if ends:
            segments.append([])
    share = draw(st.sampled_from([1.0, 1.0, 1.2, 0.5]))
    language = draw(st.sampled_from(["en", "de", "ja", "ar", None]))
    return transcript_of(*segments, duration_s=now * share, language=language)


def squeezed(text: str) -> str:
    return "".join(text.split())


def said(transcript: Transcript) -> str:
    return "".join(squeezed(w.text) for w in transcript.words)


def shown(cues: Sequence[Cue]) -> str:
    return "".join(squeezed(line) for cue in cues for line in cue.lines)
