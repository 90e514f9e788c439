"""Settings: recipes, sidecars and --set are checked, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from av_pipelines.makers import SETTINGS
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.scenes.settings import FramesSettings
from av_pipelines.settings import Recipes, SettingsError, parse_assignments, read_sidecar
from tests.conftest import NoSettings, ShoutSettings

ASSETS = {"source": NoSettings, "shout": ShoutSettings}


def test_a_users_recipe_stands_beside_the_built_in_ones_and_wins(tmp_path: Path) -> None:
    (tmp_path / "podcast.toml").write_text('assets = ["shout"]\n[shout]\nending = "?"\n')
    recipes = Recipes(tmp_path, ASSETS)
    assert recipes.names() == Recipes(tmp_path / "none", ASSETS).names()
    recipe = recipes.get("podcast")
    assert recipe.assets == ("shout",)
    assert recipe.settings == {"shout": {"ending": "?"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("assets = 3", "assets = 3; allowed: ['shout', 'source']"),
        ('assets = ["stem"]', "assets = ['stem']; allowed: ['shout', 'source']"),
        ("[shot]\nending = 1", "unknown asset [shot]; allowed: shout, source"),
        ("[shout]\nthreads = 'many'", "shout.threads = 'many': input should be a valid integer"),
        ("[shout]\nend = 1", "unknown setting shout.end; allowed: ending, threads"),
        ("shout = 3", "shout = 3: a table [shout] is expected"),
        ("[shout", "not TOML"),
    ],
)
def test_a_wrong_recipe_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Recipes(tmp_path, ASSETS).get("mine")
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_an_unknown_recipe_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError,
        match="there are: audiogram, auto, film, lyric_video, music, podcast, trailer",
    ):
        Recipes(tmp_path, ASSETS).get("podcats")


def test_a_sidecar_lies_beside_its_file(tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    assert read_sidecar(song, ASSETS) == {}
    (tmp_path / "song.mp3.toml").write_text('[shout]\nending = "…"\n')
    assert read_sidecar(song, ASSETS) == {"shout": {"ending": "…"}}
    (tmp_path / "song.mp3.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"song\.mp3\.toml: not UTF-8"):
        read_sidecar(song, ASSETS)


def test_a_setting_inside_a_table_leaves_the_others_of_that_table() -> None:
    recipe = ("recipe", {"effects": {"preset": "podcast"}})
    run = ("--set", {"effects": {"highpass_hz": 90.0}})
    effects = MasterSettings.merged("master", recipe, run).effects
    assert (effects.preset, effects.highpass_hz) == ("podcast", 90.0)
    with pytest.raises(SettingsError, match=r"master\.effects\.hipass.*highpass_hz"):
        MasterSettings.merged("master", ("--set", {"effects": {"hipass": 90}}))


def test_a_text_beside_a_file_is_a_setting(tmp_path: Path) -> None:
    song, lyrics = tmp_path / "song.mp3", tmp_path / "song.mp3.lyrics.txt"
    lyrics.write_text("\ufeffHello\nworld\n", "utf-8")
    (tmp_path / "song.mp3.toml").write_text('[transcript]\nlanguage = "en"\n')
    assert read_sidecar(song, SETTINGS) == {
        "transcript": {"language": "en", "text": "Hello\nworld\n"}
    }
    lyrics.write_bytes("Grüße".encode("cp1252"))
    with pytest.raises(SettingsError, match=r"song\.mp3\.lyrics\.txt: not UTF-8 text .*save it as"):
        read_sidecar(song, SETTINGS)


def test_two_texts_beside_a_file_are_one_too_many(tmp_path: Path) -> None:
    for ending in ("lyrics", "script"):
        (tmp_path / f"song.mp3.{ending}.txt").write_text("Hello")
    with pytest.raises(SettingsError, match="another sidecar gives transcript"):
        read_sidecar(tmp_path / "song.mp3", SETTINGS)


@pytest.mark.parametrize(
    ("table", "setting"),
    [
        ('[transcript]\ntext_file = "/etc/passwd"', "transcript.text_file"),
        ('[master.effects]\nplugins = ["/tmp/evil.vst3"]', "master.effects.plugins"),
        ('[look]\nlut = "/etc/secret.cube"', "look.lut"),
        ('[stems]\nmodel = "m"\nmodel_repo = "/tmp"', "stems.model_repo"),
    ],
)
def test_a_sidecar_cannot_reach_for_files_of_the_machine(
    tmp_path: Path, table: str, setting: str
) -> None:
    """It comes from whoever can drop a file."""
    (tmp_path / "song.mp3.toml").write_text(table)
    with pytest.raises(SettingsError, match=f"{setting} names a file of this machine"):
        read_sidecar(tmp_path / "song.mp3", SETTINGS)


def test_assignments_read_values_as_toml_and_else_as_text() -> None:
    given = ["shout.ending=?!", "shout.threads = 4"]
    assert parse_assignments(given, ASSETS) == {"shout": {"ending": "?!", "threads": 4}}


def test_an_assignment_takes_numbers_with_commas_and_a_list_of_one() -> None:
    for text, times in (("0.5,2", (0.5, 2.0)), ("2", (2.0,)), ("[1, 2.5]", (1.0, 2.5))):
        given = parse_assignments([f"frames.times_s={text}"], SETTINGS)
        assert FramesSettings.merged("frames", ("--set", given["frames"])).times_s == times
        assert all(isinstance(value, float | int) for value in given["frames"]["times_s"])


def test_an_assignment_takes_a_list_with_commas() -> None:
    class Lists(ShoutSettings):
        formats: tuple[str, ...] = ()

    given = parse_assignments(["shout.formats=mp3, wav"], {"shout": Lists})
    assert given == {"shout": {"formats": ["mp3", "wav"]}}


@pytest.mark.parametrize(
    "text", ["shout", "shout.threads", "threads=4", "shot.threads=4", "shout.x=1"]
)
def test_a_wrong_assignment_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="--set"):
        parse_assignments([text], ASSETS)
