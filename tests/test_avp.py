"""``avp`` as a user types it: a real clip, real models, real codecs, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jiwer
import pytest

from av_pipelines.demo import CLIP

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "av_pipelines" / "demo" / CLIP
SAID = (
    "And so, my fellow Americans: ask not what your country can do for you, "
    "ask what you can do for your country."
)


def avp(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("AVP_STORE", "DAGSTER_HOME")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "av_pipelines", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def avp_json(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = avp(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)  # exactly one JSON object


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip and a store in which it was run once."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(SHIPPED, home / "talk.opus")
    done = avp("run", home / "talk.opus", "--store", home / "studio")
    assert done.returncode == 0, done.stderr
    return home


def artifacts(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (media,) = answer["media"]
    return {artifact["asset"]: artifact for artifact in media["artifacts"]}


def integrated_lufs(path: Path) -> float:
    """Measure a file with FFmpeg's own meter: one that had no part in making it."""
    import av
    from av.filter import Graph

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        graph = Graph()
        nodes = [
            graph.add_abuffer(template=stream),
            graph.add("ebur128", "framelog=quiet:metadata=1"),
        ]
        graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
        last = None
        for frame in container.decode(stream):
            graph.push(frame)
            while True:
                try:
                    last = graph.pull()
                except (BlockingIOError, EOFError):
                    break
        assert last is not None
        return float(last.metadata["lavfi.r128.I"])


def test_a_clip_becomes_a_transcript_and_a_master_at_its_target(home: Path) -> None:
    answer = avp_json("run", home / "talk.opus", "--store", home / "studio")
    (media,) = answer["media"]
    assert set(media) == {"key", "path", "state", "reason", "artifacts"}
    assert (media["state"], media["reason"], media["path"]) == (
        "done",
        None,
        str(home / "talk.opus"),
    )
    made = artifacts(answer)
    assert list(made) == ["source", "audio", "stems", "transcript", "master"]

    heard = Path(made["transcript"]["files"]["transcript.txt"]).read_text("utf-8")
    plain = [re.sub(r"[^a-z ]", "", " ".join(text.lower().split())) for text in (SAID, heard)]
    assert jiwer.wer(plain[0], plain[1]) <= 0.10
    assert made["transcript"]["facts"]["words"] == len(SAID.split())
    assert made["transcript"]["facts"]["language"] == "en"

    for name in ("master.flac", "master.mp3", "master.m4a"):
        path = Path(made["master"]["files"][name])
        assert integrated_lufs(path) == pytest.approx(-14.0, abs=0.3)
    for artifact in made.values():
        assert set(artifact) == {
            "asset", "version", "reused", "degraded", "dir", "files", "facts", "cost"
        }  # fmt: skip
        assert set(artifact["cost"]) == {"wall_s", "cpu_s", "gpu_s", "peak_rss_bytes", "usd"}
        assert all(Path(path).is_file() for path in artifact["files"].values())


def test_the_same_again_reuses_everything_and_opens_nothing(home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "studio/artifacts").rglob("*.*")}
    answer = avp_json("run", home / "talk.opus", "--store", home / "studio")
    assert [a["reused"] for a in artifacts(answer).values()] == [True] * 5
    assert {p: p.stat().st_mtime_ns for p in (home / "studio/artifacts").rglob("*.*")} == before


def test_a_renamed_copy_is_another_media_with_every_artifact_reused(home: Path) -> None:
    shutil.copy(home / "talk.opus", home / "other name.opus")
    answer = avp_json("run", home / "other name.opus", "--store", home / "studio")
    assert answer["media"][0]["key"].startswith("other-name-")
    assert [a["reused"] for a in artifacts(answer).values()] == [True] * 5


def test_a_setting_of_the_master_makes_only_the_master_again(home: Path) -> None:
    answer = avp_json(
        "run", home / "talk.opus", "--store", home / "studio", "--set", "master.target_lufs=-16"
    )
    made = artifacts(answer)
    assert [name for name, artifact in made.items() if not artifact["reused"]] == ["master"]
    assert made["master"]["facts"]["integrated_lufs"] == pytest.approx(-16.0, abs=0.3)


def test_the_catalog_answers(home: Path) -> None:
    query = "select asset, sum(cpu_s) from costs where event = 'made' group by 1"
    answer = avp_json("sql", query, "--store", home / "studio")
    costs = dict(answer["rows"])
    assert set(costs) == {"source", "audio", "stems", "transcript", "master"}
    assert all(seconds > 0 for seconds in costs.values())


def test_a_file_that_is_not_media_is_quarantined_and_the_others_are_done(home: Path) -> None:
    (home / "notes.mp3").write_text("these are no sounds")
    answer = avp_json(
        "run", home / "notes.mp3", home / "talk.opus", "--store", home / "studio", code=3
    )
    bad, good = answer["media"]
    assert bad["state"] == "quarantined"
    assert "notes.mp3" in bad["reason"]
    assert bad["artifacts"] == []
    assert good["state"] == "done"
    assert (home / "notes.mp3").exists()  # what a user names stays where it is
    told = avp("run", home / "notes.mp3", "--store", home / "studio").stdout
    command = told.split("look: ")[1].splitlines()[0]
    again = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 3
    assert "not" in again.stderr + again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere.mp3"], "nowhere.mp3: no such file"),
        (["run", SHIPPED, "--recipe", "podcats"], "there are: audiogram, auto, film, lyric_video"),
        (
            ["run", SHIPPED, "--assets", "mastre"],
            "there are: source, audio, picture, scenes",
        ),
        (
            ["run", SHIPPED, "--set", "master.target_lufs=loud"],
            "--set: master.target_lufs = 'loud'",
        ),
        (
            ["run", SHIPPED, "--set", "master.loud=1"],
            "unknown setting master.loud; allowed: ",
        ),
        (["run", SHIPPED, "--colour"], "--colour"),
        (["sql", "select 1"], "there is no store"),
        (["report"], "there is no store"),
        (["run", SHIPPED, "--store", SHIPPED], "cannot be written to"),
        (["fly"], "fly"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_allowed(
    arguments: list[object], said: str, tmp_path: Path
) -> None:
    done = avp(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_this_machine_well(home: Path) -> None:
    checks = avp_json("doctor", "--store", home / "studio")["checks"]
    assert [check for check in checks if not check["ok"]] == []
    assert {"codecs", "speech model", "store"} <= {check["name"] for check in checks}


def test_ctrl_c_stops_soon_says_so_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = ["run", str(SHIPPED), "--store", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "av_pipelines", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    assert process.stderr
    assert "source made" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "stopped; what was finished is kept" in said
    assert "Traceback" not in said
    answer = avp_json("run", SHIPPED, "--store", tmp_path)
    assert answer["media"][0]["state"] == "done"
    assert artifacts(answer)["source"]["reused"]


def test_a_folder_is_taken_without_what_is_no_media_and_a_bad_sidecar_costs_only_its_file(
    home: Path,
) -> None:
    album = home / "album"
    album.mkdir()
    for name in ("one.opus", "two.opus"):
        shutil.copy(SHIPPED, album / name)
    (album / "cover.jpg").write_text("a picture")
    (album / "passwd").symlink_to("/etc/passwd")
    (album / "two.opus.toml").write_text("[master]\nloudness = 3\n")
    arguments = ["run", album, "--assets", "audio", "--store", home / "studio"]
    one, two = avp_json(*arguments, code=3)["media"]
    assert (Path(one["path"]).name, one["state"]) == ("one.opus", "done")
    assert (Path(two["path"]).name, two["state"]) == ("two.opus", "partial")
    assert "two.opus.toml: unknown setting master.loudness" in two["reason"]


def test_a_catalog_question_in_a_pipe_gives_plain_lines(home: Path) -> None:
    done = avp("sql", "select 1 as one, 0.1 + 0.2 as sum", "--store", home / "studio")
    assert done.stdout == "one\tsum\n1\t0.3\n"


def test_tracks_of_an_album_get_one_gain(home: Path) -> None:
    from av_pipelines.media.audio import AudioWriter, read_blocks

    tracks = home / "tracks"
    tracks.mkdir()
    for name, gain in (("loud", 1.0), ("soft", 0.25)):
        with AudioWriter(tracks / f"{name}.wav", "pcm_s24le", 48_000, "mono") as writer:
            for block in read_blocks(SHIPPED, duration_s=4.0):
                writer.write(block * gain)
    formats = ["--set", "master.formats=flac", "--assets", "master"]
    answer = avp_json("run", tracks, "--album", *formats, "--store", home / "studio")
    loud, soft = (
        {a["asset"]: a["facts"] for a in media["artifacts"]}["master"] for media in answer["media"]
    )
    assert loud["gain_db"] == pytest.approx(soft["gain_db"], abs=0.01)
    assert loud["integrated_lufs"] - soft["integrated_lufs"] == pytest.approx(12.04, abs=0.3)
