"""Presets fill in what is not set, and what contradicts itself is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from av_pipelines.masters.presets import PLATFORMS
from av_pipelines.masters.settings import MasterSettings
from av_pipelines.settings import SettingsError, parse_assignments


def test_a_platform_sets_target_and_ceiling_unless_they_are_given():
    asked = MasterSettings(platform="amazon")
    assert (asked.target_lufs, asked.ceiling_dbtp) == (-14, -2)
    asked = MasterSettings(platform="ebu_r128", ceiling_dbtp=-3)
    assert (asked.target_lufs, asked.ceiling_dbtp) == (-23, -3)


def test_every_platform_says_as_of_when():
    assert all(target.as_of.year >= 2026 and target.source for target in PLATFORMS.values())


def test_a_delivery_sets_formats_and_bit_rates_unless_they_are_given():
    asked = MasterSettings(delivery="podcast", mp3_kbps=96)
    assert (asked.formats, asked.mp3_kbps, asked.m4a_kbps) == (("mp3", "m4a"), 96, 128)
    assert MasterSettings(delivery="archive").formats == ("flac", "wav")


@pytest.mark.parametrize(
    ("given", "ceiling"),
    [
        ({}, -1),
        ({"target_lufs": -11}, -2),
        ({"target_lufs": -11, "ceiling_dbtp": -3}, -3),
        ({"target_lufs": -11, "lossy_ceiling_dbtp": -1.5}, -1.5),
        ({"lossy_ceiling_dbtp": 0}, -1),
    ],
)
def test_lossy_files_of_loud_masters_peak_at_minus_two(given, ceiling):
    settings = MasterSettings.model_validate(given)
    assert settings.ceiling_for(lossless=False) == ceiling
    assert settings.ceiling_for(lossless=True) == settings.ceiling_dbtp


def test_effect_presets_are_a_start_that_settings_change():
    effects = MasterSettings.model_validate(
        {"effects": {"preset": "podcast", "highpass_hz": 100}}
    ).effects
    assert effects.highpass_hz == 100
    assert effects.compressor
    assert effects.compressor.ratio == 3
    assert not MasterSettings().effects.wanted


@pytest.mark.parametrize("path", ["reverb.vst3", "/plugins/reverb.so", "/plugins/reverb.dll"])
def test_plugins_are_absolute_paths_of_known_kinds(path):
    with pytest.raises(ValidationError, match=r"absolute path that ends in \.vst3 or \.component"):
        MasterSettings.model_validate({"effects": {"plugins": [path]}})


def test_half_an_album_is_refused():
    with pytest.raises(ValidationError, match="give all or none"):
        MasterSettings(album_gain_db=2, album_lufs=-12)


def test_the_version_follows_the_bytes_of_the_reference(tmp_path: Path):
    file = tmp_path / "reference.wav"
    settings = MasterSettings(reference=str(file))
    file.write_bytes(b"one")
    first = settings.identity()
    file.write_bytes(b"two")
    assert settings.identity() != first


def test_the_version_follows_the_bytes_of_plugins(tmp_path: Path):
    plugin = tmp_path / "room.vst3"
    settings = MasterSettings.model_validate({"effects": {"plugins": [str(plugin)]}})
    missing = settings.identity()
    (plugin / "Contents").mkdir(parents=True)
    (plugin / "Contents" / "room.so").write_bytes(b"one")
    first = settings.identity()
    (plugin / "Contents" / "room.so").write_bytes(b"two")
    assert missing != first != settings.identity()


class TestAssignments:
    """``--set`` reaches the tables in the settings."""

    @staticmethod
    def given(*assignments: str) -> MasterSettings:
        tables = parse_assignments(list(assignments), {"master": MasterSettings})
        return MasterSettings.merged("master", ("--set", tables["master"]))

    def test_a_key_of_a_table_is_set_alone(self):
        effects = self.given("master.effects.preset=podcast").effects
        assert effects == MasterSettings.model_validate({"effects": {"preset": "podcast"}}).effects

    def test_keys_add_up_also_to_a_table_given_whole(self):
        effects = self.given(
            'master.effects={preset="music"}',
            "master.effects.highpass_hz=40",
            "master.effects.compressor.ratio=4",
            "master.effects.plugins=/a.vst3, /b.vst3",
            "master.formats=flac",
        ).effects
        assert (effects.preset, effects.highpass_hz) == ("music", 40)
        assert effects.compressor
        assert effects.compressor.ratio == 4
        assert effects.plugins == ("/a.vst3", "/b.vst3")

    @pytest.mark.parametrize(
        ("assignments", "said"),
        [
            (["master.effects.presett=podcast"], "unknown setting master.effects.presett"),
            (["master.effects.gate.ratio=0.5"], r"master\.effects\.gate\.ratio = 0.5.*greater"),
            (["master.effects..preset=music"], "give it as asset.key=value"),
            (["master.effects=3", "master.effects.preset=music"], "effects has been given as 3"),
        ],
    )
    def test_what_is_wrong_is_named(self, assignments, said):
        with pytest.raises(SettingsError, match=said):
            self.given(*assignments)
