"""``project.json``: what it may say, whose change counts, and errors that name shot and field."""

from __future__ import annotations

import json
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from av_pipelines.videos.project import Project, ProjectSettings, schema_text
from av_pipelines.videos.project_file import (
    ProjectError,
    StaleVersion,
    check_unique,
    parse_project,
    read_project,
    save_project,
)
from av_pipelines.videos.project_parts import Captions, EndCard, Lane, Overlay, Shot, Wave
from av_pipelines.videos.project_values import seconds_of

ROOT = Path(__file__).resolve().parents[2]


def parsed(**said: Any) -> Project:
    return parse_project(json.dumps(said).encode(), "project.json")


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    """After a change: ``python -m av_pipelines.videos.project``."""
    assert (ROOT / "docs" / "project.schema.json").read_text("utf-8") == schema_text()


def test_every_field_is_in_the_docs() -> None:
    said = (ROOT / "docs" / "videos.md").read_text("utf-8")
    parts = (Project, ProjectSettings, Shot, Overlay, Captions, Lane, EndCard, Wave)
    fields = {field.alias or name for part in parts for name, field in part.model_fields.items()}
    assert not [name for name in sorted(fields) if f"`{name}`" not in said]


def test_a_project_comes_back_as_it_was_written() -> None:
    project = parsed(
        title="A film",
        project_settings={"fps": 29.97, "resolution": 720, "aspect_ratio": "9:16"},
        shots=[
            {"path": "a.mp4", "in": "00:00:05.2", "out": {"frame": 200}, "transition": "dissolve"},
            {"media": "talk-0123456789", "scene": 3, "fit": "blur-pad", "speed": 0.5},
            {"track": "song-0123456789", "take": 2},
            {"colour": "#102030", "duration": 2, "overlays": [{"text": "Hello"}]},
        ],
        captions={"karaoke": True},
        audio=[{"path": "m.wav", "duck_db": 12, "in": 3}],
        end_cards=[{"text": "The end"}],
    )
    assert project.project_settings.fps == "30000/1001"
    assert project.project_settings.size == (720, 1280)
    assert parse_project(project.to_json().encode(), "project.json") == project
    assert list(json.loads(project.to_json()))[:5] == [
        "format", "uuid", "title", "description", "version",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "where", "what"),
    [
        (
            {"shots": [{"path": "a"}, {"path": "a", "out": "soon"}]},
            "shots[1].out = 'soon'",
            "HH:MM",
        ),
        ({"shots": [{"path": "a", "in": -1}]}, "shots[0].in = -1", "seconds"),
        ({"shots": [{"path": "a", "in": {"frame": -1}}]}, "shots[0].in", "frame"),
        ({"shots": [{"path": "a", "fit": "stretch"}]}, "shots[0].fit = 'stretch'", "crop"),
        ({"shots": [{"path": "a", "media": "b"}]}, "shots[0]", "give one of media, path"),
        ({"shots": [{}]}, "shots[0]", "media, track, path or colour"),
        ({"shots": [{"path": "a", "scene": 1}]}, "shots[0]", "give `media`"),
        ({"shots": [{"media": "a", "take": 1}]}, "shots[0]", "a take is one of a track"),
        ({"shots": [{"colour": "#000000"}]}, "shots[0]", "give `duration`"),
        ({"shots": [{"path": "a", "transition": "spin"}]}, "shots[0].transition", "dissolve"),
        ({"shots": [{"path": "a", "wobble": 1}]}, "shots[0].wobble", "no such field"),
        ({"project_settings": {"fps": "fast"}}, "project_settings.fps = 'fast'", "29.97"),
        ({"project_settings": {"quality": "best"}}, "project_settings.quality", "standard"),
        ({"audio": [{"role": "music"}]}, "audio[0]", "no source"),
        ({"overlays": [{"kind": "image"}]}, "overlays[0]", "`path`"),
        ({"uuid": "mine"}, "uuid = 'mine'", "UUID"),
        ({"format": 2}, "format = 2", "1"),
    ],
)
def test_what_is_wrong_is_named_once_with_shot_and_field(
    said: dict[str, Any], where: str, what: str
) -> None:
    with pytest.raises(ProjectError) as error:
        parsed(**said)
    lines = str(error.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"project.json: {where}")
    assert what in lines[0]


@pytest.mark.parametrize(
    ("said", "field", "meant"),
    [
        ({"shots": [{"path": "a", "duraton": 1}]}, "shots[0].duraton", "duration"),
        ({"titel": "A film"}, "titel", "title"),
        ({"captions": {"karaoke": True, "maxchars": 30}}, "captions.maxchars", "max_chars"),
        ({"overlays": [{"text": "a", "style": {"color": "#ffffff"}}]}, "overlays[0].style.color",
         "colour"),
        ({"sources": {"A001": {"path": "a", "timecod": "00:00:00:00"}}}, "sources.A001.timecod",
         "timecode"),
        ({"project_settings": {"frame_rate": 25}}, "project_settings.frame_rate", None),
    ],
)  # fmt: skip
def test_an_unknown_field_is_told_what_it_may_have_meant(
    said: dict[str, Any], field: str, meant: str | None
) -> None:
    with pytest.raises(ProjectError) as error:
        parsed(**said)
    told = str(error.value)
    assert told.startswith(f"project.json: {field} = ")
    assert (f"did you mean {meant}?" in told) == (meant is not None)
    assert "allowed: " in told


@pytest.mark.parametrize(
    ("text", "place", "cause"),
    [
        ('{\n "title": "A",\n}', "line 3, column 1", "comma stands before the closing }"),
        ('{"shots": [1, 2, ]}', "line 1, column 18", "comma stands before the closing ]"),
        ('{\n "title": "A"\n "shots": []}', "line 3, column 2", "a comma is missing before"),
        ("{'title': 1}", "line 1, column 2", "double quotes"),
        ('{"title": “A”}', "line 1, column 11", "straight quotes"),
        ('{\n // mine\n "title": "A"}', "line 2, column 2", "no comments"),
        ('{"captions": {"karaoke": True}}', "line 1, column 26", "written true"),
        ('{"title": "A', "line 1, column 11", "not closed"),
        ('{"path": "C:\\video.mp4"}', "line 1, column 13", "backslash"),
        ('{"title": "A"', "line 1, column 14", "ends before all brackets"),
        ('{"title" "A"}', "line 1, column 10", "a colon is missing"),
        ('{"title": A}', "line 1, column 11", "a value is missing"),
        ('{"title": "A"}}', "line 1, column 15", "a bracket too many"),
        ('{"title": "A\nB"}', "line 1, column 13", "new line"),
        ("", "line 1, column 1", "empty"),
    ],
)
def test_what_is_no_json_is_told_where_and_the_likely_cause(
    text: str, place: str, cause: str
) -> None:
    with pytest.raises(ProjectError) as error:
        parse_project(text.encode(), "project.json")
    assert str(error.value).startswith(f"project.json: {place}: not JSON: ")
    assert cause in str(error.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null", b"1e999"])
def test_what_is_no_project_is_refused(data: bytes) -> None:
    with pytest.raises(ProjectError, match=r"project\.json"):
        parse_project(data, "project.json")


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_clock_times_are_exact(hours: int, minutes: int, seconds: int, millionths: int) -> None:
    text = f"{hours:02}:{minutes:02}:{seconds:02}.{millionths:06}"
    exact = (hours * 60 + minutes) * 60 + seconds + Fraction(millionths, 1_000_000)
    assert seconds_of(text) == exact


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [("16:9", "1080p", (1920, 1080)), ("9:16", "1080p", (1080, 1920)), ("1:1", "720p", (720, 720)),
     ("4:5", "1080p", (1080, 1350)), ("16:9", "1001x501", (1002, 502))],
)  # fmt: skip
def test_the_picture_has_the_shape_asked_for_and_even_sides(
    ratio: str, resolution: str, size: tuple[int, int]
) -> None:
    assert ProjectSettings(aspect_ratio=ratio, resolution=resolution).size == size


# ---------------------------------------------------------------------- saving


def test_a_stale_version_is_refused_and_nothing_is_overwritten(tmp_path: Path) -> None:
    first = save_project(tmp_path, Project(title="One"), 0)
    mine = first.model_copy(update={"title": "Mine"})
    theirs = first.model_copy(update={"title": "Theirs"})
    assert save_project(tmp_path, theirs, first.version).version == 2
    with pytest.raises(StaleVersion, match=r"project\.json: version = 1: .* version 2 by now"):
        save_project(tmp_path, mine, first.version)
    assert read_project(tmp_path).title == "Theirs"
    with pytest.raises(StaleVersion):
        save_project(tmp_path, Project(), 0)  # there is one


def test_of_many_that_save_at_once_one_wins_each_time(tmp_path: Path) -> None:
    first = save_project(tmp_path, Project(), 0)
    won: list[int] = []

    def save(number: int) -> None:
        try:
            save_project(tmp_path, first.model_copy(update={"title": str(number)}), 1)
        except StaleVersion:
            return
        won.append(number)

    threads = [threading.Thread(target=save, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert read_project(tmp_path).title == str(won[0])
    assert [path.name for path in tmp_path.iterdir()] == ["project.json"]


def test_two_projects_with_one_uuid_are_both_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    project = save_project(tmp_path / "one", Project(title="A film"), 0)
    save_project(tmp_path / "two", project, 0)
    check_unique(tmp_path / "one", project, [tmp_path / "one", tmp_path / "gone"])
    with pytest.raises(ProjectError) as error:
        check_unique(tmp_path / "one", project, [tmp_path / "two"])
    said = str(error.value)
    assert f"uuid = {project.uuid}" in said
    assert str(tmp_path / "one") in said
    assert str(tmp_path / "two") in said
