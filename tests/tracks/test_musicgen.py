"""MusicGen on ONNX Runtime, held to transformers on a small model of random weights.

The model is exported once by transformers and optimum-onnx (``musicgen_peer``), with the names and
shapes of the real one; what it plays is noise.
"""

from __future__ import annotations

import functools
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from mutagen.flac import FLAC

from av_pipelines.media.audio import read_blocks, verify_audio
from av_pipelines.media.loudness import measure_blocks
from av_pipelines.tracks.errors import TrackError
from av_pipelines.tracks.musicgen import engine
from av_pipelines.tracks.musicgen.codes import Codes, DelayPattern, Sampler
from av_pipelines.tracks.musicgen.engine import Chosen
from av_pipelines.tracks.musicgen.generate import MusicGen
from av_pipelines.tracks.musicgen.layout import files_of
from av_pipelines.tracks.settings import TrackSettings
from resources.accelerator import Device, DeviceError, choose
from resources.models import Entry, Model, ModelError, ModelFile, find_model, registry
from resources.models.consent import require_consent
from tests.tracks.musicgen_peer import FRAMES, PROMPT, run_peer

ROOT = Path(__file__).resolve().parents[2]
MERGED, SPLIT = "musicgen-medium-i8", "musicgen-medium-i8-split"
"""Of the registry, without hashes, so that a small model may stand for them."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as the hub's files, and transformers' results."""
    folder = tmp_path_factory.mktemp("musicgen") / "model"
    run_peer("export", folder, "tiny")
    return folder


def place(exported: Path, folder: Path, name: str) -> Path:
    """Put the small model where a model of the registry belongs; return its folder."""
    home = folder / name
    for file in registry()[name].files:
        target = home / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        kind = "text" if target.suffix == ".json" else "graphs"
        shutil.copy(exported / kind / target.name, target)
    return home


@pytest.fixture(scope="session")
def models(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the small model, merged and split."""
    folder = tmp_path_factory.mktemp("models")
    for name in (MERGED, SPLIT):
        place(exported, folder, name)
    return folder


@pytest.fixture(autouse=True)
def _here(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AVP_MODELS", str(models))
    yield
    engine.unload()


def load(name: str, threads: int = 1) -> MusicGen:
    return MusicGen(files_of(find_model(name)), choose("cpu"), threads)


def write(model: MusicGen, sampler: Sampler, known: Codes | None = None) -> Codes:
    """Codes of ``FRAMES`` frames under the peer's prompt."""
    states = model.text_encoder(model.tokens(PROMPT))
    pattern = DelayPattern(FRAMES, model.config.pad, known=known)
    decoding = model.decoder.begin(states, guided=sampler.guided, most=pattern.steps)
    first = range(pattern.first_step + 1)
    scores = decoding.advance(np.stack([pattern.column(step) for step in first], axis=1))
    for step in range(pattern.first_step, pattern.steps):
        pattern.take(step, sampler(scores))
        if step + 1 < pattern.steps:
            scores = decoding.advance(pattern.column(step + 1)[:, None])
    return pattern.codes


def settings(**values: object) -> TrackSettings:
    asked = {"prompt": PROMPT, "duration_s": 5.0, "seed": 1, "size": "medium", "threads": 1}
    return TrackSettings.model_validate(asked | {"engine": "musicgen"} | values)


def make(out: Path, progress=lambda share, tokens: None, **values: object) -> dict:
    asked = settings(**values)
    chosen = engine.choose(asked)
    device = engine.choose_device(asked, chosen)
    return dict(engine.generate(asked, chosen, out, device=device, progress=progress).facts)


def samples_of(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path)), axis=1)


# ---------------------------------------------------------------------- as transformers does


@pytest.mark.parametrize("name", [MERGED, SPLIT])
@pytest.mark.parametrize(("guidance", "how"), [(3.0, "guided"), (1.0, "plain")])
def test_the_likeliest_codes_are_those_of_transformers(
    exported: Path, name: str, guidance: float, how: str
) -> None:
    reference = np.load(exported / "reference.npz")
    model = load(name)

    codes = write(model, Sampler(0, guidance=guidance, temperature=0.0))

    assert model.decoder.merged == (name == MERGED)
    assert len(np.unique(codes)) > 30
    np.testing.assert_array_equal(codes, reference[f"{how}_codes"][0])
    np.testing.assert_allclose(model.codec(codes), reference[f"{how}_audio"].ravel(), atol=1e-5)


@pytest.mark.parametrize("name", [MERGED, SPLIT])
def test_codes_that_are_known_are_gone_on_from_as_if_there_had_been_no_break(name: str) -> None:
    model = load(name)
    whole = write(model, Sampler(0, temperature=0.0))

    assert model.decoder.takes_many(model.text_encoder([5, 1]))
    again = write(model, Sampler(0, temperature=0.0), whole[:, :20])
    np.testing.assert_array_equal(again, whole)


def test_the_same_seed_draws_the_same_codes_however_many_threads_compute() -> None:
    one = write(load(MERGED), Sampler(5))
    np.testing.assert_array_equal(write(load(MERGED), Sampler(5)), one)
    np.testing.assert_array_equal(write(load(MERGED, threads=2), Sampler(5)), one)
    np.testing.assert_array_equal(write(load(SPLIT), Sampler(5)), one)
    assert (write(load(MERGED), Sampler(6)) != one).mean() > 0.9


# ---------------------------------------------------------------------- tracks


@pytest.mark.parametrize(
    ("seconds", "windows", "steps"),
    [(5.0, 1, 253), (29.99, 1, 1503), (30.0, 1, 1503), (31.0, 2, 1656), (120.0, 6, 6518)],
)
def test_a_track_is_as_long_as_was_asked_for(
    tmp_path: Path, seconds: float, windows: int, steps: int
) -> None:
    facts = make(tmp_path, duration_s=seconds, guidance=1.0)

    verify_audio(tmp_path / "track.flac", facts)
    samples = samples_of(tmp_path / "track.flac")
    assert samples.shape == (1, round(seconds * 32_000))
    assert (facts["windows"], facts["steps"]) == (windows, steps)
    loudness = measure_blocks([samples], 32_000, 1)
    assert loudness.integrated_lufs == pytest.approx(-16.0, abs=0.1)
    assert loudness.true_peak_dbtp <= -1.0
    assert FLAC(tmp_path / "track.flac").info.bits_per_sample == 24


def test_the_same_request_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    files = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(number)
        out.mkdir()
        make(out, seed=seed)
        files.append((out / "track.flac").read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_loop_runs_into_its_beginning(tmp_path: Path) -> None:
    make(tmp_path, loop=True)
    (loop,) = samples_of(tmp_path / "track.flac")
    assert abs(loop[0] - loop[-1]) <= np.abs(np.diff(loop)).max()
    (tmp_path / "longer").mkdir()
    make(tmp_path / "longer", duration_s=5.25)
    (longer,) = samples_of(tmp_path / "longer/track.flac")
    gain = loop[80_000] / longer[80_000]
    np.testing.assert_allclose(loop[:20], gain * longer[160_000:160_020], atol=1e-3)
    np.testing.assert_allclose(loop[8_000:], gain * longer[8_000:160_000], atol=1e-5)


def test_what_is_set_is_told_to_the_model() -> None:
    asked = settings(prompt=" piano ", key="D", scale="dorian", bpm=90, mood="calm")
    assert engine.prompt_of(asked) == "piano, calm, in D dorian, 90 bpm"
    assert engine.prompt_of(settings(prompt="piano")) == "piano"


def test_progress_grows_to_the_end(tmp_path: Path) -> None:
    told: list[float] = []
    make(tmp_path, lambda share, tokens: told.append(share))
    assert len(told) > 250
    assert told == sorted(told)
    assert told[0] < 0.9
    assert told[-1] == pytest.approx(1.0)


# ---------------------------------------------------------------------- ends before the end


class Abort(Exception):
    pass


def test_an_abort_leaves_nothing_and_the_model_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    make(tmp_path / "whole")

    def abort(share: float, tokens: object) -> None:
        if share > 0.5:
            raise Abort

    (tmp_path / "half").mkdir()
    with pytest.raises(Abort):
        make(tmp_path / "half", abort)
    assert list((tmp_path / "half").iterdir()) == []

    make(tmp_path / "half")
    files = [(tmp_path / name / "track.flac").read_bytes() for name in ("whole", "half")]
    assert files[0] == files[1]


def test_a_process_that_is_killed_leaves_nothing(tmp_path: Path, models: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "from pathlib import Path\n"
        "from tests.tracks.test_musicgen import make\n"
        "told = lambda share, tokens: print(share, flush=True)\n"
        f"make(Path({str(out)!r}), told, duration_s=120)\n"
    )
    before = sorted(models.rglob("*"))
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert float(child.stdout.readline()) < 1
    child.send_signal(signal.SIGKILL)
    child.communicate()

    assert list(out.iterdir()) == []
    assert sorted(models.rglob("*")) == before


def test_silence_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "av_pipelines.tracks.musicgen.graphs.Codec.__call__",
        lambda self, codes: np.zeros(640 * codes.shape[1], dtype=np.float32),
    )
    with pytest.raises(TrackError, match=r"MODEL_INFERENCE_FAILED.*silent"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_scores_that_are_no_numbers_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "av_pipelines.tracks.musicgen.graphs.Decoding.advance",
        lambda self, columns: np.full((8, 2048), np.nan, dtype=np.float32),
    )
    with pytest.raises(TrackError, match=r"MODEL_INFERENCE_FAILED.*not numbers"):
        make(tmp_path)


# ---------------------------------------------------------------------- models that are wrong


@pytest.fixture
def broken(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of its own, to spoil."""
    monkeypatch.setenv("AVP_MODELS", str(tmp_path / "models"))
    return place(exported, tmp_path / "models", SPLIT)


def refused(out: Path) -> str:
    """What making a track says; nothing may be written."""
    out.mkdir(exist_ok=True)
    with pytest.raises((ModelError, TrackError)) as caught:
        make(out)
    assert list(out.iterdir()) == []
    assert str(caught.value).startswith(caught.value.code)
    return str(caught.value)


@pytest.mark.parametrize("name", [file.name for file in registry()[SPLIT].files])
def test_a_missing_file_is_named(broken: Path, tmp_path: Path, name: str) -> None:
    (broken / name).unlink()
    said = refused(tmp_path / "out")
    assert said.startswith("MODEL_LOAD_FAILED")
    assert name in said


@pytest.mark.parametrize("name", [file.name for file in registry()[SPLIT].files])
def test_a_damaged_file_is_named(broken: Path, tmp_path: Path, name: str) -> None:
    (broken / name).write_bytes(b"not what it was")
    said = refused(tmp_path / "out")
    assert said.startswith("MODEL_LOAD_FAILED")
    assert name in said


@pytest.mark.parametrize(
    ("name", "other", "lacks"),
    [
        ("text_encoder", "encodec_decode", "input attention_mask"),
        ("encodec_decode", "text_encoder", "output audio_values"),
        ("decoder_model", "decoder_with_past_model", "input encoder_hidden_states"),
        ("decoder_with_past_model", "decoder_model", "past_key_values.0.decoder.key"),
    ],
)
def test_a_wrong_graph_is_named(
    exported: Path, broken: Path, tmp_path: Path, name: str, other: str, lacks: str
) -> None:
    (path,) = broken.rglob(f"{name}.onnx")
    shutil.copy(exported / "graphs" / f"{other}.onnx", path)
    said = refused(tmp_path / "out")
    assert said.startswith("MODEL_LOAD_FAILED")
    assert path.name in said
    assert lacks in said


@pytest.mark.parametrize("there", [True, False])
def test_external_data_lie_beside_their_graph_or_are_missed(
    exported: Path, tmp_path: Path, there: bool
) -> None:
    home = tmp_path / "models/big"
    names = ["decoder_model_merged.onnx", "text_encoder.onnx", "encodec_decode.onnx"]
    home.mkdir(parents=True)
    for name in names[1:]:
        shutil.copy(exported / "graphs" / name, home)
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(exported / "text" / name, home)
    onnx.save(
        onnx.load(exported / "graphs" / names[0]),
        home / names[0],
        save_as_external_data=True,
        location=f"{names[0]}_data",
        size_threshold=0,
    )
    files = tuple(ModelFile(n) for n in (*names, "tokenizer.json", "config.json"))
    weights = (home / f"{names[0]}_data").stat().st_size
    assert weights > 100_000
    if not there:
        (home / f"{names[0]}_data").unlink()
    entry = Entry("big", "musicgen", "toys/big", "MIT", files, weight_files=len(files))
    model = find_model("big", folder=tmp_path / "models", known={"big": entry})

    if there:
        loaded = MusicGen(files_of(model), choose("cpu"), 1)
        assert loaded.size_bytes > weights
        reference = np.load(exported / "reference.npz")["guided_codes"][0]
        np.testing.assert_array_equal(write(loaded, Sampler(0, temperature=0.0)), reference)
    else:
        with pytest.raises(ModelError, match=r"MODEL_LOAD_FAILED.*merged\.onnx_data"):
            MusicGen(files_of(model), choose("cpu"), 1)


def test_a_file_with_another_hash_is_named(broken: Path) -> None:
    files = tuple(replace(f, sha256="0" * 64) for f in registry()[SPLIT].files)
    known = {SPLIT: replace(registry()[SPLIT], files=files)}
    with pytest.raises(ModelError, match=r"MODEL_LOAD_FAILED.*SHA-256 .* 0{64} is expected"):
        engine.choose(settings(precision="i8"), functools.partial(find_model, known=known))


def test_a_model_that_fails_while_computing_is_named(broken: Path, tmp_path: Path) -> None:
    (path,) = broken.rglob("tokenizer.json")
    said = json.loads(path.read_text())
    said["model"]["vocab"] = {word: 5000 + n for n, word in enumerate(said["model"]["vocab"])}
    path.write_text(json.dumps(said))  # more words than the text encoder knows
    assert refused(tmp_path / "out").startswith("MODEL_INFERENCE_FAILED: encoding the prompt")


def test_a_download_that_fails_is_not_made_up_for_by_another_model(broken: Path) -> None:
    asked: list[str] = []

    def unreachable(name: str) -> Model:
        asked.append(name)
        raise ModelError("MODEL_DOWNLOAD_FAILED", "the hub cannot be reached")

    with pytest.raises(ModelError, match="MODEL_DOWNLOAD_FAILED"):
        engine.choose(settings(size="small"), unreachable)
    assert asked == ["musicgen-small-fp32"]


def test_a_model_that_is_not_here_tells_how_to_get_it(broken: Path) -> None:
    with pytest.raises(ModelError, match=r"MODEL_NOT_FOUND.*avp models pull musicgen-small-fp32"):
        engine.choose(settings(size="small"))
    assert not engine.is_here(settings(size="small"))
    with pytest.raises(ModelError, match=r"MODEL_NOT_FOUND.*avp models pull musicgen-medium-fp16"):
        engine.choose(settings(precision="fp16"))


# ---------------------------------------------------------------------- which model, and where


def test_the_licence_is_shown_before_consent_and_goes_into_the_manifest(tmp_path: Path) -> None:
    for entry in registry().values():
        if entry.engine == "musicgen":
            with pytest.raises(ModelError, match=r"CONSENT_REQUIRED.*CC-BY-NC-4\.0"):
                require_consent(entry, tmp_path)
            assert "not for commercial use" in entry.purpose
    assert engine.choose(settings()).ref.licence == "CC-BY-NC-4.0"


@pytest.mark.parametrize("name", [n for n, e in registry().items() if e.engine == "musicgen"])
def test_every_model_of_the_registry_has_the_files_that_are_run(name: str, tmp_path: Path) -> None:
    entry = registry()[name]
    paths = tuple(tmp_path / file.name for file in entry.files)
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    files = files_of(Model(name, "musicgen", tmp_path, "", entry.licence, paths))
    assert files.merged == any("merged" in path.name for path in paths)


def test_the_one_that_is_here_is_taken(exported: Path, broken: Path) -> None:
    assert engine.is_here(settings())
    chosen = engine.choose(settings())
    assert chosen.model.name == SPLIT
    assert chosen.degraded == f"no other precision of medium is here: made with {SPLIT}"
    assert engine.choose(settings(precision="i8")).degraded is None

    place(exported, broken.parent, MERGED)
    assert engine.choose(settings()).model.name == MERGED
    (broken.parent / MERGED / "medium/config.json").unlink()
    chosen = engine.choose(settings())
    assert chosen.model.name == SPLIT
    assert "config.json is missing" in (chosen.degraded or "")


def test_half_precision_and_8_bits_run(exported: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.float16 import convert_float_to_float16

    names = ("text_encoder", "decoder_model", "decoder_with_past_model", "encodec_decode")
    for kind in ("fp16", "i8"):
        paths = [tmp_path / kind / f"{name}.onnx" for name in names]
        paths[0].parent.mkdir()
        for path in paths:
            source = exported / "graphs" / path.name
            if kind == "fp16":
                onnx.save(convert_float_to_float16(onnx.load(source)), path)
            elif "decoder_" in path.name:
                quantize_dynamic(source, path)
            else:
                shutil.copy(source, path)
        paths += [exported / "text" / name for name in ("tokenizer.json", "config.json")]
        model = Model(kind, "musicgen", tmp_path, "", "MIT", tuple(paths))
        loaded = MusicGen(files_of(model), choose("cpu"), 1)
        assert loaded.decoder.kind == {"fp16": np.float16, "i8": np.float32}[kind]
        codes = write(loaded, Sampler(0))
        assert codes.max() < 2048
        assert len(np.unique(codes)) > 30
        assert loaded.codec(codes).shape == (640 * FRAMES,)


@dataclass
class Memory:
    free: float


def test_a_model_is_kept_until_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(
        "av_pipelines.tracks.musicgen.generate.MusicGen",
        lambda *how: made.append(how) or MusicGen(*how),
    )
    share = Memory(0.5)
    monkeypatch.setattr(
        engine.accelerator,
        "find",
        lambda kind, library="torch": Device("a machine", kind, 1000, int(1000 * share.free)),
    )
    for _ in range(2):
        make(tmp_path)
    assert len(made) == 1
    share.free = 0.05
    make(tmp_path)
    assert len(made) == 1
    make(tmp_path)
    assert len(made) == 2


def test_a_gpu_that_onnx_runtime_cannot_use_is_told(tmp_path: Path) -> None:
    chosen = engine.choose(settings())
    with pytest.raises(DeviceError, match="has no CUDAExecutionProvider"):
        engine.generate(settings(), chosen, tmp_path, device=Device("a GPU", "cuda"))
    assert isinstance(chosen, Chosen)


def test_progress_counts_the_tokens_up_to_those_that_were_estimated(tmp_path: Path) -> None:
    told: list[tuple[int, int] | None] = []
    facts = make(tmp_path, lambda share, tokens: told.append(tokens), duration_s=5)
    counted = [tokens for tokens in told if tokens]
    assert {of for _, of in counted} == {facts["tokens"]} == {4 * 250}
    assert [done for done, _ in counted] == sorted(done for done, _ in counted)
    assert counted[-1] == (1000, 1000)
