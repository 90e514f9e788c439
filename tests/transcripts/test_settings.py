"""Settings of a transcript: what is not allowed is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from av_pipelines.settings import SettingsError, help_texts
from av_pipelines.transcripts.languages import WHISPER_LANGUAGES
from av_pipelines.transcripts.settings import TranscriptSettings


def merged(**values: object) -> TranscriptSettings:
    return TranscriptSettings.merged("transcript", ("song.mp3.toml", values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"language": "german"}, r"song.mp3.toml: transcript.language = 'german'.*allowed: .*de, "),
        ({"quality": "best"}, r"transcript.quality = 'best'.*draft.*standard.*high"),
        ({"engine": "mlx"}, r"transcript.engine = 'mlx'.*faster-whisper"),
        ({"model": "whisper-huge"}, r"transcript.model = 'whisper-huge'.*allowed: .*whisper-base"),
        ({"model": "whisper-tiny.en", "language": "de"}, r"does not know language = 'de'"),
        (
            {"model": "whisper-large-v3-turbo", "task": "translate"},
            r"it cannot translate; these can: .*whisper-large-v3$",
        ),
        ({"text": " \n"}, r"transcript.text = ' .n': no text in it"),
        ({"beam_size": 0}, r"transcript.beam_size = 0.*greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(values: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        merged(**values)


def test_a_language_is_a_code_in_any_case_and_auto_means_detected() -> None:
    assert merged(language=" DE ").language == "de"
    assert merged(language="auto").language is None


def test_the_languages_allowed_are_those_of_the_engine() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert set(WHISPER_LANGUAGES) == set(_LANGUAGE_CODES)


def test_threads_change_no_version_and_all_else_does() -> None:
    usual = TranscriptSettings().identity()
    assert TranscriptSettings(threads=3).identity() == usual
    assert TranscriptSettings(beam_size=1).identity() != usual


def test_every_setting_has_a_help_text() -> None:
    assert help_texts(TranscriptSettings).keys() >= TranscriptSettings.model_fields.keys()


def test_a_text_file_counts_by_what_is_in_it(tmp_path: Path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("Let it be")
    other.write_text("Let it be")
    settings = [TranscriptSettings(text_file=str(path)) for path in (one, other)]

    assert settings[0].identity() == settings[1].identity()
    before = settings[0].identity()
    one.write_text("Let it go")
    assert settings[0].identity() != before
