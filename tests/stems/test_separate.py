"""A file in, stems out: rates, channels, lengths, levels and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from av_pipelines.media.audio import read_blocks
from av_pipelines.stems.separate import Separated, separate
from av_pipelines.stems.settings import StemsSettings
from av_pipelines.stems.sound import downmix_matrix
from av_pipelines.stems.stem_files import check_stem, stem_path
from tests.stems.reference import peak_db, whole

SQRT_HALF = 0.5**0.5


class Shares:
    """A network that gives each stem a fixed share of the mix."""

    sources = ("drums", "bass", "other", "vocals")
    sample_rate_hz, channels, segment, device, normalise = 44_100, 2, 100_000, "cpu", False

    def __init__(self, *shares: float) -> None:
        self._shares = torch.tensor(shares)[:, None, None]

    def separate(self, batch: torch.Tensor) -> torch.Tensor:
        return batch[:, None] * self._shares


@pytest.fixture
def take_apart(tmp_path: Path) -> Callable[..., tuple[Separated, dict[str, np.ndarray]]]:
    """Separate a file; return what is told and the samples of each stem's file."""

    def take(audio: Path, network, block_s: float = 1.0, **settings: object):
        folder = tmp_path / f"stems{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        chosen = StemsSettings.model_validate(settings)
        told = separate(audio, folder, chosen, network, block_s=block_s)
        read = {
            stem.name: np.concatenate(list(read_blocks(folder / stem.file)), axis=1)
            for stem in told.stems
        }
        return told, read

    return take


@pytest.mark.parametrize(
    ("rate", "layout", "channels"),
    [(8_000, "mono", 1), (22_050, "stereo", 2), (48_000, "5.1", 6), (96_000, "stereo", 2)],
)
def test_any_rate_and_channels_as_the_whole_file_at_once(
    brief_original, brief, music, write, take_apart, rate: int, layout: str, channels: int
) -> None:
    samples = music(1.37, rate, channels)

    _, stems = take_apart(write(samples, rate, layout), brief)

    stereo = downmix_matrix(layout, channels) @ samples
    mix = soxr.resample(stereo.T, rate, 44_100).T
    expected = whole(brief_original, np.ascontiguousarray(mix))
    for name, said in zip(brief_original.sources, expected, strict=True):
        back = soxr.resample(np.ascontiguousarray(said.T), 44_100, rate).T
        length = min(back.shape[1], samples.shape[1])
        assert stems[name].shape == (2, samples.shape[1])
        assert peak_db(stems[name][:, :length] - back[:, :length]) <= -90


def test_five_one_is_mixed_down_by_bs_775() -> None:
    c = SQRT_HALF  # FL, FR, FC, LFE, BL, BR
    assert np.allclose(downmix_matrix("5.1", 6), [[1, 0, c, 0, c, 0], [0, 1, c, 0, 0, c]])
    assert np.allclose(downmix_matrix("4.0", 4), [[1, 0, c, 0.5], [0, 1, c, 0.5]])
    assert np.allclose(downmix_matrix("mono", 1), [[1], [1]])


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_stems_are_where_they_are_in_the_source_to_the_sample(rate: int, write, take_apart) -> None:
    t = np.arange(round(3.217 * rate)) / rate
    tones = np.sin(2 * np.pi * np.array([[331.0], [1777.0]]) * t)
    tones *= np.hanning(t.size) * 0.5  # soxr's filters ring where sound begins at once

    _, stems = take_apart(write(tones.astype(np.float32), rate), Shares(0.25, 0.25, 0.5, 0))

    assert peak_db(stems["other"] - 0.5 * tones) < -80
    assert peak_db(stems["vocals"]) < -120


def test_a_second_run_gives_the_same_files(brief, music, write, take_apart) -> None:
    audio = write(music(1, 48_000), 48_000)
    _, one = take_apart(audio, brief, shifts=1, seed=4)
    _, two = take_apart(audio, brief, shifts=1, seed=4, block_s=0.3)
    _, other = take_apart(audio, brief, shifts=1, seed=5)
    for name, samples in one.items():
        assert np.abs(samples - two[name]).max() <= 1e-5
        assert not np.array_equal(samples, other[name])
    _, again = take_apart(audio, brief, shifts=1, seed=4)
    assert all(np.array_equal(one[name], again[name]) for name in one)


def test_with_the_residual_the_stems_are_the_mix(brief, music, write, take_apart) -> None:
    samples = music(1, 48_000)
    told, stems = take_apart(write(samples, 48_000), brief, residual=True)
    plain, _ = take_apart(write(samples, 48_000), brief)

    error = samples - sum(stems.values())

    assert [*stems] == ["drums", "bass", "other", "vocals", "residual"]
    assert 10 * np.log10(np.square(error).sum() / np.square(samples).sum()) <= -60
    assert told.mix_residual_db <= -60 < plain.mix_residual_db


def test_two_stems_write_two_files(brief, music, write, take_apart, tmp_path: Path) -> None:
    samples = music(1)
    told, stems = take_apart(write(samples), brief, two_stems="bass")
    _, all_stems = take_apart(write(samples), brief)

    assert [*stems] == ["bass", "accompaniment"]
    assert np.array_equal(stems["bass"], all_stems["bass"])
    assert peak_db(stems["bass"] + stems["accompaniment"] - samples) <= -120
    assert told.mix_residual_db <= -100
    assert len(list(tmp_path.glob("stems1/*.flac"))) == 2


class Half(Shares):
    """A network of vocals and accompaniment."""

    sources = ("vocals", "accompaniment")


@pytest.mark.parametrize("rate", [32_000, 96_000])
def test_vocals_and_accompaniment_are_the_mix_to_the_edges_at_any_rate(
    rate: int, write, take_apart
) -> None:
    samples = np.random.default_rng(5).uniform(-0.3, 0.3, (2, rate)).astype(np.float32)
    _, stems = take_apart(write(samples, rate), Half(0.4, 0.6))
    assert peak_db(stems["vocals"] + stems["accompaniment"] - samples) <= -120


@pytest.fixture
def loud(write) -> tuple[Path, np.ndarray]:
    samples = np.random.default_rng(2).uniform(-0.6, 0.6, (2, 60_000)).astype(np.float32)
    return write(samples), samples


def test_a_stem_beyond_full_scale_keeps_its_level_in_floats(loud, take_apart) -> None:
    audio, samples = loud
    told, stems = take_apart(audio, Shares(3.0, 0.5, 0.2, 0.1))
    files = {stem.name: stem.file for stem in told.stems}
    assert files == {
        "drums": "drums.w64",
        "bass": "bass.flac",
        "other": "other.flac",
        "vocals": "vocals.flac",
    }
    assert peak_db(stems["drums"] - 3 * samples) < -110
    assert told.stems[0].clipped > 0
    assert told.stems[0].peak_dbfs == pytest.approx(peak_db(3 * samples), abs=0.01)


def test_clamp_cuts_off_and_says_how_much(loud, take_apart) -> None:
    audio, samples = loud
    told, stems = take_apart(audio, Shares(3.0, 0.5, 0.2, 0.1), clip="clamp")
    assert told.stems[0].file == "drums.flac"
    assert peak_db(stems["drums"] - np.clip(3 * samples, -1, 1)) < -110
    assert told.stems[0].clipped == int((np.abs(3 * samples) > 1).sum())
    assert told.gain_db == 0


def test_scale_all_turns_every_stem_down_alike(loud, take_apart) -> None:
    audio, samples = loud
    told, stems = take_apart(audio, Shares(3.0, 0.5, 0.2, 0.1), clip="scale_all")
    gain = 10 ** (told.gain_db / 20)
    assert gain == pytest.approx(1 / np.abs(3 * samples).max(), rel=1e-4)
    for name, share in zip(Shares.sources, (3.0, 0.5, 0.2, 0.1), strict=True):
        assert peak_db(stems[name] - gain * share * samples) < -100
    assert {stem.file for stem in told.stems} == {f"{name}.flac" for name in Shares.sources}


def test_nothing_is_scaled_where_nothing_clips(write, music, take_apart) -> None:
    told, _ = take_apart(write(music(0.5)), Shares(1, 0, 0, 0), clip="scale_all")
    assert told.gain_db == 0


def test_silence_gives_silent_stems(brief, write, take_apart) -> None:
    told, stems = take_apart(write(np.zeros((2, 30_000), np.float32)), brief)
    assert not any(samples.any() for samples in stems.values())
    assert told.mix_residual_db == -200


def test_a_stem_that_is_cut_short_is_found(brief, write, music, take_apart, tmp_path) -> None:
    told, _ = take_apart(write(music(0.5)), brief)
    path = stem_path(tmp_path / "stems1", "vocals")
    right = {"sample_rate": 44_100, "channels": 2}
    check_stem(path, samples=told.samples, **right)
    with pytest.raises(ValueError, match=r"vocals\.flac: samples: 22050 instead of 22051"):
        check_stem(path, samples=told.samples + 1, **right)


def test_a_stem_the_network_does_not_know_is_refused(brief, write, music, take_apart) -> None:
    with pytest.raises(ValueError, match="two_stems = piano: this model knows drums, bass"):
        take_apart(write(music(0.2)), brief, two_stems="piano")
