"""The whole way with a real model: speech with known words and times, and files without any."""

from __future__ import annotations

import json
import re
import statistics
import wave
from collections.abc import Callable
from pathlib import Path

import jiwer
import numpy as np
import pytest
import scipy.signal

from av_pipelines.transcripts.engines import Choice
from av_pipelines.transcripts.formats import FORMATS, read_transcript
from av_pipelines.transcripts.settings import TranscriptSettings
from av_pipelines.transcripts.transcribe import TranscriptResult, transcribe_file
from av_pipelines.transcripts.words import Transcript
from resources.accelerator import DeviceError
from resources.models import Model

ENGLISH = (
    "The children went home after school. On Monday morning the sun came out again, and the "
    "fishermen sailed far away from the village. Nobody had seen such a storm before."
)
GERMAN = (
    "Am Montag scheint die Sonne, und die Kinder gehen wieder in die Schule. "
    "Der Fischer bleibt heute zu Hause."
)


@pytest.fixture
def transcribe(whisper_base: Model, tmp_path: Path) -> Callable[..., TranscriptResult]:
    def transcribe(path: Path, progress=lambda share: None, **settings: object) -> TranscriptResult:
        return transcribe_file(
            path,
            tmp_path,
            TranscriptSettings.model_validate(settings),
            choice=Choice(whisper_base),
            progress=progress,
        )

    return transcribe


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w']", " ", text.lower()).split())


def written(folder: Path) -> Transcript:
    return read_transcript(folder / "transcript.json")


def test_speech_becomes_its_words_at_their_times(transcribe, speak, tmp_path: Path) -> None:
    spoken = speak(ENGLISH)
    heard: list[float] = []

    result = transcribe(spoken.path, progress=heard.append)

    transcript = written(tmp_path)
    assert jiwer.wer(plain(ENGLISH), plain(transcript.text)) <= 0.1
    assert result.facts["language"] == "en"
    assert result.facts["words"] == len(transcript.words)
    errors = [abs(transcript.words[i].start_s - onset) for i, onset in spoken.onsets_s.items()]
    assert statistics.median(errors) <= 0.1
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    names = [f"transcript.{suffix}" for suffix in FORMATS]
    assert [path.name for path in result.files] == [*names, "qc.json"]
    for suffix in ("txt", "srt", "vtt"):
        assert "the sun came out again" in (tmp_path / f"transcript.{suffix}").read_text()


def test_the_language_is_detected(transcribe, speak, tmp_path: Path) -> None:
    result = transcribe(speak(GERMAN, voice="de", words_per_minute=140).path)

    assert result.facts["language"] == "de"
    assert result.facts["language_probability"] > 0.8
    assert jiwer.wer(plain(GERMAN), plain(written(tmp_path).text)) <= 0.2


def test_a_language_that_is_set_is_not_detected(transcribe, speak) -> None:
    result = transcribe(speak("The children went home after school.").path, language="en")

    assert result.facts["language"] == "en"
    assert result.facts["language_probability"] is None


def test_the_same_file_gives_the_same_words_whatever_came_before(
    transcribe, speak, tmp_path: Path
) -> None:
    # So fast that Whisper would fall back to sampling, which gives other words each time.
    hard = speak("Nobody had seen such a storm before.", words_per_minute=400).path
    transcribe(hard)
    first = written(tmp_path)
    transcribe(hard)

    assert written(tmp_path) == first


@pytest.mark.parametrize("vad", [True, False])
@pytest.mark.parametrize("duration_s", [0.0, 0.05, 3.0])
def test_silence_has_no_words(
    transcribe, write_wav, tmp_path: Path, duration_s: float, vad: bool
) -> None:
    silence = write_wav(tmp_path / "silence.wav", np.zeros(round(16_000 * duration_s)))

    result = transcribe(silence, vad=vad)

    assert result.facts["words"] == 0
    assert result.facts["language"] is None
    assert result.facts["duration_s"] == pytest.approx(duration_s, abs=0.001)


def test_noise_and_tones_have_no_words(transcribe, write_wav, tmp_path: Path) -> None:
    time = np.arange(16_000 * 6) / 16_000
    rng = np.random.default_rng(1)
    sounds = {
        "noise": 0.1 * rng.standard_normal(len(time)).clip(-5, 5),
        "chord": sum(0.1 * np.sin(2 * np.pi * f * time) for f in (220.0, 277.2, 329.6)),
    }
    for name, samples in sounds.items():
        result = transcribe(write_wav(tmp_path / f"{name}.wav", np.asarray(samples)))
        assert result.facts["words"] == 0, name


def test_speech_after_a_long_silence_keeps_its_time(
    transcribe, speak, write_wav, tmp_path: Path
) -> None:
    spoken = speak("The children went home after school.")
    with wave.open(str(spoken.path)) as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    late = np.concatenate([np.zeros(rate * 20), np.frombuffer(pcm, "<i2") / 32768])

    transcribe(write_wav(tmp_path / "late.wav", late, rate))

    assert written(tmp_path).words[0].start_s == pytest.approx(20.0, abs=0.5)


def samples_of(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return pcm.astype(np.float32) / 32768, file.getframerate()


def test_no_voiced_second_is_lost_between_music_and_pauses(
    transcribe, speak, write_wav, tmp_path: Path
) -> None:
    said, rate = samples_of(speak(ENGLISH).path)
    time = np.arange(rate * 6) / rate
    music = sum(0.08 * np.sin(2 * np.pi * f * time) for f in (220.0, 277.2, 329.6))
    pause = np.zeros(rate * 2)
    joined = np.concatenate([music, said, pause, said, music, said])

    result = transcribe(write_wav(tmp_path / "joined.wav", joined, rate))

    assert result.facts["coverage"] >= 0.99
    assert jiwer.wer(plain(" ".join([ENGLISH] * 3)), plain(written(tmp_path).text)) <= 0.1
    record = json.loads((tmp_path / "qc.json").read_text())
    assert record["coverage"] == result.facts["coverage"]
    assert record["suspect_seconds"] <= 0.1 * result.facts["duration_s"]


def test_an_interview_is_heard_channel_by_channel(
    transcribe, speak, write_wav, tmp_path: Path
) -> None:
    asked, rate = samples_of(speak("Nobody had seen such a storm before.").path)
    answered, _ = samples_of(speak("The children went home after school.", voice="en-us+f3").path)
    left = np.concatenate([asked, np.zeros(len(answered))])
    right = np.concatenate([np.zeros(len(asked) - rate // 2), answered, np.zeros(rate // 2)])

    transcribe(write_wav(tmp_path / "talk.wav", np.stack([left, right]), rate), channels="each")

    record = json.loads((tmp_path / "transcript.json").read_text())
    lines = {turn["speaker"] for turn in record["turns"]}
    assert lines == {"Channel 1", "Channel 2"}
    by_speaker = {
        speaker: plain(" ".join(w["text"] for s in record["segments"] for w in s["words"]
                                if w["speaker"] == speaker))
        for speaker in lines
    }  # fmt: skip
    assert "such a storm" in by_speaker["Channel 1"]
    assert "went home" in by_speaker["Channel 2"]


def test_the_voice_of_a_song_is_found_in_its_vocals(
    whisper_base: Model, speak, write_wav, tmp_path: Path
) -> None:
    said, rate = samples_of(speak(ENGLISH).path)
    time = np.arange(len(said)) / rate
    music = 0.05 * np.sin(2 * np.pi * 220 * time)
    song = write_wav(tmp_path / "song.wav", said + music, rate)
    files = {
        "sung": write_wav(tmp_path / "vocals.wav", said, rate),
        "instrumental": write_wav(tmp_path / "nothing.wav", 1e-3 * music, rate),
    }
    words = {
        name: transcribe_file(
            song, tmp_path, TranscriptSettings(), choice=Choice(whisper_base), vocals=vocals
        ).facts["words"]
        for name, vocals in files.items()
    }
    assert words["sung"] >= len(ENGLISH.split()) - 3
    assert words["instrumental"] == 0


def test_phone_audio_is_understood(transcribe, speak, write_wav, tmp_path: Path) -> None:
    said, rate = samples_of(speak(ENGLISH).path)
    low = scipy.signal.resample_poly(said, 8000, rate)

    transcribe(write_wav(tmp_path / "phone.wav", low.clip(-1, 1), 8000), language="en")

    assert jiwer.wer(plain(ENGLISH), plain(written(tmp_path).text)) <= 0.15


def test_a_device_that_is_not_there_is_said(whisper_base: Model, tmp_path: Path, speak) -> None:
    with pytest.raises(DeviceError, match="device = mlx"):
        transcribe_file(
            speak("Yes.").path,
            tmp_path,
            TranscriptSettings(device="mlx"),
            choice=Choice(whisper_base),
        )
