"""Voice activity: the same answer for a stream in blocks as for the file as a whole."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from av_pipelines.transcripts.speech import FRAME, FRAME_S, detect


@pytest.fixture
def samples(speak) -> np.ndarray:
    """Speech at 22.05 kHz taken for 16 kHz: slow and low, but speech."""
    with wave.open(str(speak("The children went home after school.").path)) as file:
        pcm = file.readframes(file.getnframes())
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


def test_blocks_give_what_the_library_finds_in_the_whole_file(samples: np.ndarray) -> None:
    from faster_whisper.vad import get_vad_model

    whole = np.pad(samples, (0, -len(samples) % FRAME))
    blocks = np.split(samples, [1, 700, 5000, 5001, 40_000])

    voice = np.concatenate([frames.voice for frames in detect(blocks)])

    expected = np.asarray(get_vad_model()(whole)).ravel()
    loud = np.abs(whole.reshape(-1, FRAME)).max(axis=1) > 1e-4
    np.testing.assert_allclose(voice[loud], expected[loud], atol=1e-5)
    assert (voice[~loud] == 0).all()
    assert voice.max() > 0.9


def test_voice_is_found_in_the_vocals_and_taken_from_the_mix(samples: np.ndarray) -> None:
    music = 0.2 * np.sin(np.arange(len(samples)) * 0.05).astype(np.float32)
    silence = np.zeros(len(samples), np.float32)

    sung = list(detect([music + samples], [samples]))
    instrumental = list(detect([music + samples], [silence]))

    assert max(frames.voice.max() for frames in sung) > 0.9
    assert all((frames.voice == 0).all() for frames in instrumental)
    taken = np.concatenate([frames.samples.ravel() for frames in sung])[: len(samples)]
    np.testing.assert_array_equal(taken, music + samples)


def test_vocals_that_end_early_are_silent_from_there(samples: np.ndarray) -> None:
    frames = list(detect([samples], [samples[: len(samples) // 2]]))

    voice = np.concatenate([some.voice for some in frames])
    assert len(voice) * FRAME_S >= len(samples) / 16_000
    assert (voice[len(voice) // 2 + 1 :] == 0).all()
