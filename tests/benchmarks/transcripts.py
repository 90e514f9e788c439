"""Transcripts of a joined programme, against faster-whisper as its users call it.

The programme is made here: speech of three synthetic voices at four speeds, pauses, and music
between. Same file, same model (Whisper base, 8 bit), same threads, English set for all:

* ``sequential``: beam 5, word timestamps, voice detection;
* ``batched``: its own batched pipeline with the same;
* ``batched, beam 1``: the fastest it offers.

CPU, wall and peak memory of whole processes, word error rate after Whisper's normalisation; then
our peak memory at 10 and at 60 minutes.
"""

# The peers come with the extra `bench`, which `make check` does without.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np

from tests.benchmarks.harness import ROOT, alternate, measure, python, show
from tests.benchmarks.sound import write_mix

ROUNDS = 3
RATE = 16_000
MODEL = "whisper-base"
THREADS = 2
SHORT_S, LONG_S = 600, 3600
GOAL, GOAL_WER, GOAL_MEMORY = 0.5, 0.005, 1.1
PEER = "faster-whisper sequential"

VOICES = ("en-us", "en-us+f3", "en-us+m3")
SPEEDS = (140, 150, 160, 170)
PARAGRAPHS = (
    "The children went home after school and played in the garden until it was dark. On Monday "
    "morning the sun came out again, and the fishermen sailed far away from the village.",
    "In nineteen eighty four the company built a new factory near the river. It gave work to three "
    "hundred people, most of whom had never earned a regular wage.",
    "When the train arrived, the station was full of students waiting for their friends. Some of "
    "them carried flowers, and others held signs with names written in large letters.",
    "Scientists have discovered that the ocean floor is more active than anyone believed. Hot "
    "water rises through cracks in the rock and feeds creatures that live without light.",
    "My grandfather kept bees behind the house and sold honey at the market every Saturday. He "
    "taught me to move slowly, to speak softly, and never to wear dark clothes near the hives.",
    "The city council decided to close the bridge for repairs during the month of October. "
    "Drivers will have to use the tunnel, which is expected to be crowded in the morning.",
    "She opened the letter with shaking hands and read the first line twice. It was an invitation "
    "to a concert in Vienna, signed by a man she had never met.",
    "The recipe is simple: mix the flour with butter, add two eggs, and let the dough rest for an "
    "hour. Bake it in a hot oven until the top is golden and the kitchen smells of vanilla.",
    "Engineers tested the new engine for five hundred hours before they allowed it to fly. They "
    "measured temperature, pressure, and vibration, and compared every result with the design.",
    "In the mountains the weather can change within minutes, so always carry a warm jacket. Tell "
    "somebody where you are going and when you plan to come back.",
    "The museum owns more than ten thousand paintings, but only a small part is on display. The "
    "rest is kept in dark rooms where the air is dry and cool.",
    "Learning a language takes patience, because progress is hard to see from day to day. Listen "
    "to the radio, read simple stories, and do not be afraid of making mistakes.",
)


def write_programme(path: Path, seconds: int) -> str:
    """Write a programme of about so many seconds as 16 kHz WAV; return what is said in it."""
    random = np.random.default_rng(1)
    music = _music(path.with_suffix(".flac"))
    spoken = [_speak(path.with_suffix(".say.wav"), i) for i in range(len(PARAGRAPHS) * 3)]
    said: list[str] = []
    left = seconds * RATE
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for number, samples in enumerate(cycle(spoken)):
            pause = 3e-4 * random.standard_normal(round(random.choice([0.5, 1, 2, 4]) * RATE))
            parts = [samples, pause, *([music] if number % 6 == 5 else [])]
            left -= sum(map(len, parts))
            if left < 0:
                return " ".join(said)
            said.append(PARAGRAPHS[number % len(PARAGRAPHS)])
            for part in parts:
                file.writeframes((part.clip(-1, 1) * 32767).astype("<i2").tobytes())
    raise AssertionError("cycle does not end")


def _music(path: Path) -> np.ndarray:
    from av_pipelines.media.audio import read_blocks

    write_mix(path, 20)
    blocks = read_blocks(path, sample_rate=RATE, layout="mono")
    return np.concatenate([block[0] for block in blocks])


def _speak(path: Path, number: int) -> np.ndarray:
    import soxr

    say = ROOT / "tests" / "transcripts" / "say.py"
    voice, speed = VOICES[number // len(PARAGRAPHS)], SPEEDS[number % len(SPEEDS)]
    text = PARAGRAPHS[number % len(PARAGRAPHS)]
    command = [sys.executable, str(say), str(path), voice, str(speed), text]
    subprocess.run(command, check=True, capture_output=True)
    with wave.open(str(path)) as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    return soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32) / 32768, rate, RATE)


# ---------------------------------------------------------------------- contestants


def ours(path: Path) -> str:
    """Make the whole transcript: every format, and quality control."""
    from av_pipelines.transcripts.formats import read_transcript
    from av_pipelines.transcripts.settings import TranscriptSettings
    from av_pipelines.transcripts.transcribe import transcribe_file

    out = path.with_suffix(".ours")
    out.mkdir(exist_ok=True)
    settings = TranscriptSettings(model=MODEL, language="en", threads=THREADS, device="cpu")
    result = transcribe_file(path, out, settings)
    (out / "facts.json").write_text(json.dumps(dict(result.facts)))
    return read_transcript(out / "transcript.json").text


def sequential(path: Path) -> str:
    """Transcribe with ``WhisperModel``."""
    found, _ = _whisper().transcribe(
        str(path), language="en", beam_size=5, word_timestamps=True, vad_filter=True
    )
    return " ".join(segment.text for segment in found)


def batched(path: Path, beam_size: int = 5) -> str:
    """Transcribe with ``BatchedInferencePipeline``."""
    from faster_whisper import BatchedInferencePipeline

    found, _ = BatchedInferencePipeline(_whisper()).transcribe(
        str(path), language="en", beam_size=beam_size, word_timestamps=True
    )
    return " ".join(segment.text for segment in found)


def _whisper():
    from faster_whisper import WhisperModel

    from resources.models import find_model

    folder = str(find_model(MODEL).path)
    return WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=THREADS)


CONTESTANTS: Mapping[str, Callable[[Path], str]] = {
    PEER: sequential,
    "faster-whisper batched": batched,
    "faster-whisper batched, beam 1": lambda path: batched(path, 1),
    "transcript (all files)": ours,
}


def _error_rate(said: str, path: Path, name: str) -> float:
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    plain = EnglishTextNormalizer()
    found = path.with_suffix(f".{list(CONTESTANTS).index(name)}.txt").read_text()
    return jiwer.wer(plain(said), plain(found))


def main(rounds: int = ROUNDS) -> None:
    """Measure and print."""
    this = "tests.benchmarks.transcripts"
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "programme.wav"
        said = write_programme(path, SHORT_S)

        def round_of() -> Mapping[str, Sequence[str]]:
            return {name: python(this, name, path) for name in CONTESTANTS}

        results = alternate(round_of, rounds)
        show(f"{SHORT_S} s of speech, pauses and music, {rounds} rounds", results, PEER)
        rates = {name: _error_rate(said, path, name) for name in CONTESTANTS}
        for name, rate in rates.items():
            print(f"  word errors: {name:<34}{rate:.3f}")
        facts = json.loads((path.with_suffix(".ours") / "facts.json").read_text())
        print(f"  coverage {facts['coverage']}, suspect {facts['suspect_seconds']} s")
        print(
            f"  goals: at most {GOAL} × the CPU time of {PEER}, and {GOAL_WER:+.1%} word errors; "
            "coverage at least 0.99"
        )
        name = list(CONTESTANTS)[-1]
        long = Path(temporary) / "long.wav"
        write_programme(long, LONG_S)
        peak = measure(python(this, name, long)).peak_mb
        short = results[name].peak_mb
        print(f"  memory: {short:.0f} MB at {SHORT_S} s, {peak:.0f} MB at {LONG_S} s: ", end="")
        print(f"{peak / short:.2f} ×; goal: at most {GOAL_MEMORY} ×")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        chosen, programme = sys.argv[1], Path(sys.argv[2])
        text = CONTESTANTS[chosen](programme)
        number = list(CONTESTANTS).index(chosen)
        programme.with_suffix(f".{number}.txt").write_text(text)
    else:
        main(*map(int, islice(chain(sys.argv[1:]), 1)))
