"""Subtitles and speakers: time, rules kept, and memory by the length of the file.

Subtitles are compared with the way Whisper's own writers cut text (``max_line_width`` and
``max_line_count``): lines are filled to the last word that fits. Both have the same words and
are checked by the same lint. Speakers: two voices in turn, for ten minutes and for an hour.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

from tests.benchmarks.harness import ROOT, measure, python

WORDS = 100_000
SUBJECTS = "the old fisherman|nobody|Angela Merkel|my sister|Mr. Smith|everybody in the village"
VERBS = "had seen|looked for|was afraid of|wanted to forget|never talked about|came back with"
OBJECTS = "the boat|a storm like that|the house by the sea|his letters|a book about the harbour"
TAILS = "in the winter|because it was late|before the war|with a smile|when the rain had stopped|"


def talk(words: int):
    """Return a transcript of sentences at some 15 characters a second, with pauses."""
    from av_pipelines.transcripts.words import Segment, Transcript, Word

    rng = random.Random(1)
    lists = [part.split("|") for part in (SUBJECTS, VERBS, OBJECTS, TAILS)]
    spoken: list[Word] = []
    segments: list[Segment] = []
    now = 0.0
    while sum(len(segment.words) for segment in segments) < words:
        clauses = [" ".join(rng.choice(part) for part in lists).split() for _ in range(2)]
        texts = [*clauses[0][:-1], clauses[0][-1] + ",", "and", *clauses[1][:-1]]
        spoken = []
        for text in [*texts, clauses[1][-1] + rng.choice(".?!")]:
            spoken.append(Word(now, now + 0.06 * len(text) + 0.02, text, 0.9))
            now = spoken[-1].end_s + rng.choice([0.01, 0.01, 0.05])
        segments.append(Segment(tuple(spoken)))
        now += rng.choice([0.2, 0.5, 1.0, 3.0])
    return Transcript(tuple(segments), now, "en", 0.9, "transcribe", "", "", "cpu")


def greedy(transcript, columns: int = 42):
    """Cut as Whisper's writers do: two lines, each filled to the last word that fits."""
    from av_pipelines.transcripts.cues import Cue, pieces_of, write
    from av_pipelines.transcripts.subtitle_settings import SubtitleSettings, rules_for

    pieces = pieces_of(transcript, rules_for(SubtitleSettings(), "en"))
    rows: list[list] = [[]]
    cues = []

    def close() -> None:
        if rows[0]:
            full = tuple(tuple(row) for row in rows if row)
            cues.append(Cue(full[0][0].start_ms, full[-1][-1].end_ms, full))
        rows[:] = [[]]

    for i, piece in enumerate(pieces):
        if i and piece.start_ms - pieces[i - 1].end_ms > 3000:
            close()
        if len(write([*rows[-1], piece])) > columns:
            if len(rows) == 2:
                close()
            else:
                rows.append([])
        rows[-1].append(piece)
    close()
    return cues


def subtitles() -> None:
    """Measure the segmentation, and what the lint says of both ways."""
    from av_pipelines.transcripts.cues import make_cues
    from av_pipelines.transcripts.lint import lint
    from av_pipelines.transcripts.subtitle_settings import SubtitleSettings, rules_for

    transcript = talk(WORDS)
    rules = rules_for(SubtitleSettings(), "en")
    print(f"\nsubtitles of {len(transcript.words):,} words")
    print(f"  {'':<34}{'CPU s':>8}{'cues':>8}{'pass %':>8}{'excused %':>10}{'broken %':>9}")
    for name, make in (("filled lines (Whisper's writers)", greedy), ("minimum cost", make_cues)):
        before = time.process_time()
        cues = make(transcript)
        took = time.process_time() - before
        findings = lint(cues, rules, "en", duration_s=transcript.duration_s)
        broken = {f.cue for f in findings if f.exception is None}
        excused = {f.cue for f in findings} - broken
        shares = [100 * len(part) / len(cues) for part in (excused, broken)]
        print(
            f"  {name:<34}{took:>8.2f}{len(cues):>8}{100 - sum(shares):>8.1f}"
            f"{shares[0]:>10.1f}{shares[1]:>9.1f}"
        )
    print("  goal: 0 % broken, a few seconds")


def conversation(path: Path, minutes: int) -> None:
    """Write two voices that speak in turn."""
    say = ROOT / "tests/transcripts/say.py"
    sounds = []
    with tempfile.TemporaryDirectory() as folder:
        for voice in ("en-us", "en-us+f3"):
            wav = f"{folder}/{voice}.wav"
            text = "The old man went down to the harbour, and looked for a boat that was not there."
            subprocess.run(
                [sys.executable, say, wav, voice, "160", text], check=True, capture_output=True
            )
            with wave.open(wav) as file:
                rate = file.getframerate()
                sounds.append(file.readframes(file.getnframes()))
    pair = b"".join(sounds)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        for _ in range(round(minutes * 60 * rate * 2 / len(pair))):
            file.writeframes(pair)


def speakers(path: Path) -> None:
    """Tell the voices of a file apart; words are there from its beginning to its end."""
    from av_pipelines.media.audio import probe_audio
    from av_pipelines.transcripts.speakers import turns_if_asked
    from av_pipelines.transcripts.subtitle_settings import SpeakerSettings
    from av_pipelines.transcripts.words import Word

    seconds = probe_audio(path).duration_s or 0
    words = [Word(i * 0.4, i * 0.4 + 0.4, "word", 0.9) for i in range(int(seconds / 0.4))]
    turns, missing = turns_if_asked(path, words, SpeakerSettings(speakers=True))
    assert missing is None, missing
    print(len({turn.speaker for turn in turns}), "speakers")


def main() -> None:
    """Measure and print."""
    subtitles()
    with tempfile.TemporaryDirectory() as folder:
        samples = {}
        for minutes in (10, 60):
            path = Path(folder) / f"{minutes}.wav"
            conversation(path, minutes)
            samples[minutes] = measure(python("tests.benchmarks.subtitles", path))
        print("\nspeakers of two voices in turn")
        for minutes, sample in samples.items():
            print(f"  {minutes} min: {sample.cpu_s:.1f} CPU s, {sample.peak_mb:.0f} MB")
        ratio = samples[60].peak_mb / samples[10].peak_mb
        print(f"  memory of 60 min through that of 10: {ratio:.2f} (goal: at most 1.1)")


if __name__ == "__main__":
    speakers(Path(sys.argv[1]))
