"""A project becomes OTIO, an edit list and a cut: the frames it says, or an error naming them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest
from PIL import Image

from av_pipelines.media.timecode import may_drop
from av_pipelines.videos.cut import Cut
from av_pipelines.videos.cut_of import read_cut
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.gather import gather
from av_pipelines.videos.otio_time import otio_range, otio_time
from av_pipelines.videos.project import Project
from av_pipelines.videos.project_file import ProjectError, read_project, save_project
from av_pipelines.videos.render import render
from av_pipelines.videos.resolve import Held, Resolver
from av_pipelines.videos.settings import TimelineSettings
from av_pipelines.videos.timeline import Written, write_timeline
from tests.videos.numbered import beeps, film, numbers
from tests.videos.studio import write_sound, write_transcript

PAL, FILM, NTSC, NTSC60 = (
    Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001),
)  # fmt: skip
KEY = "talk-0123456789"
SHOT = {"path": "pal.mp4"}


@dataclass
class Shelf:
    """A store of some artifacts: (key, asset, take) → folder."""

    folders: dict[tuple[str, str, int | None], Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def held(self, key: str, asset: str, take: int | None = None) -> Held | None:
        folder = self.folders.get((key, asset, take))
        return Held(asset, key, f"{asset}-{take}", folder, self.facts) if folder else None


@dataclass
class Desk:
    """A project's folder, with what is needed to compile it."""

    folder: Path
    shelf: Shelf = field(default_factory=Shelf)
    allowed: tuple[Path, ...] = ()
    count: int = 0

    def compile(self, settings: TimelineSettings | None = None, **said: Any) -> Written:
        (self.folder / "project.json").write_text(json.dumps(said))
        project = read_project(self.folder)
        resolver = Resolver(self.folder / "project.json", self.shelf, self.allowed)
        material = gather(project, resolver)
        self.count += 1
        self.out = self.folder.parent / f"out{self.count}"
        self.out.mkdir()
        written = write_timeline(
            project, material, settings or TimelineSettings(), resolver.wrong, self.out
        )
        assert read_cut(self.out / "timeline.otio") == written.cut
        return written

    def cut(self, **said: Any) -> Cut:
        return self.compile(**said).cut

    @property
    def edl(self) -> str:
        return (self.out / "timeline.edl").read_text("utf-8")

    @property
    def otio(self) -> otio.schema.Timeline:
        timeline = otio.adapters.read_from_file(str(self.out / "timeline.otio"))
        assert isinstance(timeline, otio.schema.Timeline)
        return timeline


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of 100 numbered frames at several rates, a still, a sound."""
    folder = tmp_path_factory.mktemp("media")
    film(folder / "pal.mp4", PAL, 100, sound=beeps(4, [1]))
    film(folder / "film.mp4", FILM, 100)
    film(folder / "ntsc.mp4", NTSC, 100)
    film(folder / "ntsc60.mp4", NTSC60, 100)
    film(folder / "late.mkv", NTSC, 100, offset=Fraction(1, 2))
    times = [Fraction(n, 25) + (Fraction(n % 5, 200)) for n in range(100)]
    film(folder / "vfr.mkv", PAL, 100, times=times)
    Image.new("RGB", (320, 240), "red").save(folder / "still.png")
    write_sound(folder / "music.flac", beeps(10, [1])[::3])
    return folder


@pytest.fixture
def desk(tmp_path: Path, media: Path) -> Desk:
    folder = tmp_path / "film"
    folder.mkdir()
    for path in media.iterdir():
        (folder / path.name).hardlink_to(path)
    return Desk(folder)


# ---------------------------------------------------------------------- in and out


@pytest.mark.parametrize(
    ("path", "rate"),
    [("pal.mp4", PAL), ("film.mp4", FILM), ("ntsc.mp4", NTSC), ("ntsc60.mp4", NTSC60),
     ("late.mkv", NTSC)],
)  # fmt: skip
def test_a_frame_is_that_frame_at_every_rate(desk: Desk, path: str, rate: Fraction) -> None:
    cut = desk.cut(shots=[{"path": path, "in": {"frame": 30}, "out": {"frame": 75}}])
    assert cut.rate == rate  # of the first film, as nothing else is asked for
    assert (cut.shots[0].start, cut.shots[0].frames) == (30 / rate, 45)
    clip = desk.otio.video_tracks()[0][0]
    assert (clip.source_range.start_time.value, clip.source_range.duration.value) == (30, 45)
    assert f"FCM: {'DROP' if may_drop(rate) else 'NON-DROP'} FRAME" in desk.edl


def test_seconds_clock_and_timecode_name_the_same_picture(desk: Desk) -> None:
    shots = [
        {"path": "pal.mp4", "in": 1.2, "out": 3},
        {"path": "pal.mp4", "in": "00:00:01.2", "out": "00:00:03"},
        {"path": "pal.mp4", "in": "00:00:01:05", "out": "00:00:03:00"},
        {"path": "pal.mp4", "in": {"frame": 30}, "out": {"frame": 75}},
        {"path": "pal.mp4", "in": 1.2, "duration": 1.8},
        {"path": "pal.mp4", "in": 1.23, "out": 3.03},  # both within frames 30 and 75
    ]
    cut = desk.cut(shots=shots)
    assert {(shot.start, shot.frames) for shot in cut.shots} == {(Fraction(6, 5), 45)}


def test_a_frame_of_a_film_of_unequal_frames_is_where_its_time_stamp_is(desk: Desk) -> None:
    cut = desk.cut(shots=[{"path": "vfr.mkv", "in": {"frame": 33}, "out": {"frame": 44}}])
    assert cut.shots[0].start == pytest.approx(33 / 25 + 3 / 200, abs=0.001)
    assert cut.shots[0].frames == round((44 / 25 + 4 / 200 - 33 / 25 - 3 / 200) * cut.rate)


def test_a_source_of_another_rate_begins_with_the_frame_asked_for(desk: Desk) -> None:
    written = desk.compile(
        project_settings={"fps": 25}, shots=[{"path": "film.mp4", "in": {"frame": 50}, "out": 4}]
    )
    shot = written.cut.shots[0]
    assert shot.start == 50 / FILM
    start = desk.otio.video_tracks()[0][0].source_range.start_time
    assert (start.value, start.rate) == (50, pytest.approx(24000 / 1001))
    assert any("23.976" in line for line in written.unsaid)  # a list counts in its own rate only


def test_scenes_are_those_of_the_media(desk: Desk, media: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    marks = [(0, 20), (20, 55), (55, 100)]
    found = [{"start_frame": a, "end_frame": b} for a, b in marks]
    (scenes / "scenes.json").write_text(json.dumps({"scenes": found}))
    desk.shelf = Shelf(
        {(KEY, "source", None): media, (KEY, "scenes", None): scenes}, {"file": "pal.mp4"}
    )
    cut = desk.cut(
        shots=[
            {"media": KEY, "scene": 2},
            {"media": KEY, "in": {"scene": 2}, "out": {"scene": 3}},
        ]
    )
    assert [(s.start * 25, s.frames) for s in cut.shots] == [(20, 35), (20, 80)]
    with pytest.raises(ProjectError, match=r"shots\[0\]\.scene = 4: .* has 3 scenes"):
        desk.cut(shots=[{"media": KEY, "scene": 4}])


def test_takes_of_a_track_are_the_ones_named(desk: Desk, tmp_path: Path) -> None:
    for take in (1, 2):
        (tmp_path / f"take{take}").mkdir()
        write_sound(tmp_path / f"take{take}" / "track.flac", beeps(4 * take, [1])[::3])
    song = "song-0123456789"
    takes = {(song, "track", k): tmp_path / f"take{k or 1}" for k in (None, 1, 2)}
    desk.shelf = Shelf(takes)  # type: ignore[arg-type]
    for said, folder in (({}, "take1"), ({"take": 2}, "take2")):
        cut = desk.cut(
            shots=[{"path": "pal.mp4"}], audio=[{"track": song, **said, "role": "music"}]
        )
        assert cut.lanes[0].path.parent.name == folder
    with pytest.raises(ProjectError, match=r"audio\[0\]\.track: the store has no take 3"):
        desk.cut(shots=[{"path": "pal.mp4"}], audio=[{"track": song, "take": 3}])


def test_transitions_overlap_and_the_film_is_as_long_as_it_says(desk: Desk) -> None:
    written = desk.compile(
        shots=[
            {"path": "pal.mp4", "in": 0, "out": 2, "transition": {"kind": "fade", "duration": 0.4}},
            {
                "path": "pal.mp4",
                "in": 1,
                "out": 3,
                "transition": {"kind": "dissolve", "duration": 1},
            },
            {"path": "still.png", "duration": 2, "transition": {"kind": "wipe", "duration": 0.4}},
            {"path": "pal.mp4", "in": 1, "duration": 2, "speed": 0.5},
            {"path": "pal.mp4", "in": 1, "duration": 1, "speed": 0},
        ],
        end_cards=[{"text": "The end", "duration": 2, "transition": "fade"}],
    )
    cut = written.cut
    assert [shot.frames for shot in cut.shots] == [10, 50, 50, 50, 50, 25, 50]
    assert cut.shots[0].path is None  # it comes out of black
    assert cut.frames == 10 + 225 + 50 - 10 - 25 - 10 - 12
    assert cut.starts() == [0, 0, 25, 65, 115, 165, 178]
    assert [shot.speed for shot in cut.shots[4:6]] == [Fraction(1, 2), Fraction(1, 2500)]
    overlay = cut.overlays[0]
    assert (overlay.text, overlay.start, overlay.frames) == ("The end", 178, 50)
    rows = written.tables["shots"]
    assert [row["transition"] for row in rows][1:4] == ["dissolve 10", "dissolve 25", "wipe 10"]
    assert rows[1]["film in"] == "01:00:00:00"
    assert rows[2]["source in"] == "00:00:01.000"
    assert "\n".join(row["line"] for row in written.tables["edl"]) + "\n" == desk.edl


def test_what_a_list_cannot_say_stays_in_otio_and_is_told(desk: Desk) -> None:
    written = desk.compile(
        shots=[{"path": "pal.mp4", "fit": "crop", "overlays": [{"text": "Hi", "at": 1}]}],
        overlays=[{"kind": "image", "path": "still.png", "duration": 1}],
        captions={"cues": [{"start": 1, "end": 2, "lines": ["Ä\n\\N{x}"]}]},
        audio=[{"path": "music.flac", "at": 0.5, "in": 1, "out": 3, "duck_db": 9, "loop": True}],
    )
    cut = written.cut
    assert [(o.kind, o.start, o.frames) for o in cut.overlays] == [
        ("image", 0, 25), ("text", 25, 75),
    ]  # fmt: skip
    assert cut.captions
    assert cut.captions.cues[0].lines == ("Ä\n\\N{x}",)
    lane = cut.lanes[0]
    assert (lane.at, lane.start, lane.duration) == (Fraction(1, 2), 1, 2)
    assert (lane.duck_db, lane.loop) == (9, True)
    told = [row["what"] for row in written.tables["not in the edl"]]
    assert told == [
        "overlays (2)", "captions (1)", "sounds under the film (1)",
        "shots with another fit than pad (1)",
    ]  # fmt: skip


def test_music_that_ends_well_before_the_film_is_told(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    long = [{"path": "still.png", "duration": 15}]

    def told(**lane: Any) -> list[str]:
        written = desk.compile(shots=long, audio=[{"path": "music.flac", **lane}])
        return [row["note"] for row in written.tables.get("notes", [])]

    (note,) = told(at=2)
    assert note.startswith("the music music.flac ends at 12.0 s, 3.0 s before the film")
    assert '"loop": true' in note
    assert note in caplog.text
    assert not told(at=4.5)  # half a second is no gap
    assert not told(loop=True)
    assert not told(out=5)  # somebody wants it to end there
    assert not told(role="effect")


def test_captions_follow_the_words_through_in_out_and_speed(
    desk: Desk, media: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    line = [("one", 0.2, 0.6), ("two", 1.1, 1.5), ("three", 2.2, 2.4), ("four", 3.2, 3.6)]
    write_transcript(words / "transcript.json", [line], 4)
    desk.shelf = Shelf(
        {(KEY, "source", None): media, (KEY, "transcript", None): words}, {"file": "pal.mp4"}
    )
    cut = desk.cut(
        shots=[
            {"media": KEY, "in": 1, "out": 3, "speed": 2},
            {"media": KEY, "in": 0, "out": 1, "sound": False},
            {"media": KEY, "in": 3, "out": 4},
        ],
        captions={"karaoke": True},
    )
    assert cut.captions
    said = [(w.text, w.start) for cue in cut.captions.cues for w in cue.words]
    assert said == [
        ("two", Fraction(1, 20)), ("three", Fraction(6, 10)), ("four", 2 + Fraction(1, 5)),
    ]  # fmt: skip
    assert [cue.lines for cue in cut.captions.cues] == [("two three",), ("four",)]
    assert all(
        a.end <= b.start for a, b in zip(cut.captions.cues, cut.captions.cues[1:], strict=False)
    )
    assert cut.captions.language == "en"


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"shots": [{"path": "pal.mp4"}, {"path": "gone.mp4"}]},
         r"shots\[1\]\.path: 'gone\.mp4' is not there"),
        ({"shots": [{"path": "pal.mp4", "out": 12.5}]},
         r"shots\[0\]\.out = 12\.5: 12\.500 s is past the end of pal\.mp4, which is 4\.000 s \("),
        ({"shots": [{"path": "pal.mp4", "out": {"frame": 101}}]}, r"shots\[0\]\.out .* past"),
        ({"shots": [{"path": "pal.mp4", "in": 3, "duration": 2}]}, r"shots\[0\]\.duration = 2: "),
        ({"shots": [{"path": "pal.mp4", "in": "00:00:02:25"}]}, r"shots\[0\]\.in .* 25 frames"),
        ({"shots": [{"path": "pal.mp4", "in": 2, "out": 1}]}, r"shots\[0\]\.out = 1: it would end"),
        ({"shots": [{"path": "pal.mp4", "in": 9}]}, r"shots\[0\]\.in = 9: .*past the end"),
        ({"shots": [{"path": "still.png"}]}, r"shots\[0\]\.duration: a still"),
        ({"shots": [{"media": "x"}]}, r"shots\[0\]\.media: 'x' is no key"),
        ({"shots": [{"media": KEY}]}, r"shots\[0\]\.media: the store has no source of talk"),
        ({"shots": [{"path": "pal.mp4", "out": 1}, {"path": "pal.mp4", "transition":
          {"kind": "dissolve", "duration": 3}}]}, r"shots\[0\]: it has 25 frames"),
        ({"shots": [{"path": "pal.mp4"}], "overlays": [{"text": "x", "at": 9}]},
         r"overlays\[0\]\.at: .* 100 frames long"),
        ({"shots": [SHOT], "audio": [{"path": "still.png"}]}, r"audio\[0\]: .* sound"),
        ({"shots": [{"path": "pal.mp4"}], "audio": [{"path": "music.flac", "in": 99}]},
         r"audio\[0\]\.in: 99\.000 s is past the end"),
        ({"shots": [{"path": "pal.mp4"}], "captions": {}}, r"captions: nothing .* transcript"),
        ({"shots": [{"path": "project.json"}]}, r"shots\[0\]: .*cannot be opened"),
        ({}, r"shots: there are none, and no timeline"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_shot_and_field(
    desk: Desk, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProjectError, match=message) as error:
        desk.compile(**said)
    assert str(error.value).startswith(str(desk.folder / "project.json"))


def test_a_project_names_only_files_that_it_may(desk: Desk, tmp_path: Path, media: Path) -> None:
    (desk.folder / "link.mp4").symlink_to(media / "pal.mp4")
    (desk.folder / "sub").mkdir()
    outside = [str(media / "pal.mp4"), "../../etc/passwd", "link.mp4", "/etc/passwd", "sub/../../x"]
    for path in outside:
        with pytest.raises(ProjectError, match=r"shots\[0\]\.path: .*outside of"):
            desk.compile(shots=[{"path": path}])
    for path in ("a\0b", "x" * 5000, "sub"):
        with pytest.raises(ProjectError, match=r"shots\[0\]\.path: "):
            desk.compile(shots=[{"path": path}])
    desk.allowed = (media,)
    assert desk.cut(shots=[{"path": str(media / "pal.mp4")}]).frames == 100


# ---------------------------------------------------------------------- given timelines


@pytest.mark.parametrize(
    ("path", "rate"),
    [("film.mp4", FILM), ("pal.mp4", PAL), ("ntsc.mp4", NTSC), ("ntsc60.mp4", NTSC60)],
)
def test_a_timeline_of_ours_is_a_project_again_frame_by_frame(
    desk: Desk, tmp_path: Path, path: str, rate: Fraction
) -> None:
    written = desk.compile(
        shots=[
            {"path": path, "in": {"frame": 3}, "out": {"frame": 40},
             "transition": {"kind": "fade", "duration": {"frame": 9}}},
            {"path": path, "in": {"frame": 20}, "out": {"frame": 90},
             "transition": {"kind": "dissolve", "duration": {"frame": 11}}},
            {"path": path, "in": {"frame": 7}, "duration": {"frame": 30}, "speed": 1.1},
            {"path": path, "in": {"frame": 7}, "duration": {"frame": 30}, "speed": 0,
             "transition": {"kind": "wipe", "duration": {"frame": 5}}},
        ],
    )  # fmt: skip
    first, edl, made = written.cut, desk.edl, desk.out
    for name in ("timeline.otio", "timeline.edl"):
        (desk.folder / name).write_bytes((made / name).read_bytes())
        again = desk.cut(
            title=first.title,
            timeline=name,
            project_settings={"fps": str(rate)},
        )
        assert desk.edl == edl, name
        assert [(s.path, s.start, s.frames, s.speed, s.transition) for s in again.shots] == [
            (s.path, s.start, s.frames, s.speed, s.transition) for s in first.shots
        ], name
        assert [s.sound for s in again.shots if s.path] == [s.sound for s in first.shots if s.path]


def test_the_only_timeline_in_the_folder_is_taken(desk: Desk) -> None:
    edl = (
        "TITLE: cut\n001  PAL  V  C  00:00:01:00 00:00:03:00 00:00:00:00 00:00:02:00\n"
        "* FROM CLIP NAME: pal\n"
    )
    (desk.folder / "cut.edl").write_text(edl)
    cut = desk.cut(project_settings={"fps": 25}, end_cards=[{"text": "End", "duration": 1}])
    assert [(s.path and s.path.name, s.start, s.frames) for s in cut.shots] == [
        ("pal.mp4", 1, 50), (None, 0, 25),
    ]  # fmt: skip
    assert cut.shots[0].sound  # the list names no sound at all: that of the shots is heard
    (desk.folder / "other.EDL").write_text(edl)
    with pytest.raises(ProjectError, match=r"cut\.edl, other\.EDL; say which"):
        desk.compile(project_settings={"fps": 25})


def listed(*events: str) -> str:
    return "TITLE: cut\nFCM: NON-DROP FRAME\n" + "\n".join(events) + "\n"


@pytest.mark.parametrize(
    ("text", "said", "message"),
    [
        (listed("001  GONE V C 00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00",
                "* FROM CLIP NAME: gone.mov"), {}, r"event 001 .* source is missing"),
        (listed("007  PAL V C 00:00:03:00 00:00:05:00 00:00:00:00 00:00:02:00"), {},
         r"cut\.edl, event 007 \('PAL'\): it takes 3\.000 s to 5\.000 s of pal\.mp4, .* 4\.000 s"),
        (listed("007  PAL V C 01:00:01:00 01:00:02:00 00:00:00:00 00:00:01:00"), {}, "`sources`"),
        (listed("001  PAL V C 00:00:00:00 00:00:01:00 00:00:00:00"), {}, r"cut\.edl:3: .* four"),
        (listed("001  PAL V C 00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00"),
         {"project_settings": {}}, r"project_settings\.fps: cut\.edl is an EDL"),
        (listed("001  NTSC V C 00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00",
                "* FROM CLIP NAME: ntsc.mp4 "), {"sources": {"NTSC": {"path": "gone.mp4"}}},
         r"sources\['NTSC'\]\.path: 'gone\.mp4' is not there"),
        (listed("001  PAL V C 00:00:01:00 00:00:02:00 00:00:00:00 00:00:02:00",
                "M2   PAL  -012.5  00:00:01:00"), {}, "runs backwards"),
    ],
)  # fmt: skip
def test_a_bad_list_is_named_by_line_or_event(
    desk: Desk, text: str, said: dict[str, Any], message: str
) -> None:
    (desk.folder / "cut.edl").write_text(text)
    with pytest.raises(ProjectError, match=message):
        desk.compile(**{"timeline": "cut.edl", "project_settings": {"fps": 25}, **said})


def test_a_project_may_say_what_reels_stand_for_and_their_timecode(desk: Desk) -> None:
    (desk.folder / "cut.edl").write_text(
        listed("001  TAPE7 V C 01:00:01:00 01:00:02:00 00:00:00:00 00:00:01:00")
    )
    cut = desk.cut(
        project_settings={"fps": 25},
        sources={"TAPE7": {"path": "pal.mp4", "timecode": "01:00:00:00"}},
    )
    assert (cut.shots[0].path, cut.shots[0].start) == (desk.folder / "pal.mp4", 1)


def clip(name: str, start: int, length: int, url: str = "pal.mp4") -> otio.schema.Clip:
    return otio.schema.Clip(
        name=name,
        media_reference=otio.schema.ExternalReference(url),
        source_range=otio_range(start, length, PAL),
    )


def timeline_of(*tracks: list[Any]) -> otio.schema.Timeline:
    timeline = otio.schema.Timeline(name="foreign")
    for items in tracks:
        timeline.tracks.append(otio.schema.Track(kind="Video", children=items))
    return timeline


def test_a_foreign_timeline_with_centred_transitions_and_gaps(desk: Desk) -> None:
    dissolve = otio.schema.Transition(
        transition_type="SMPTE_Dissolve", in_offset=otio_time(4, PAL), out_offset=otio_time(6, PAL)
    )
    gap = otio.schema.Gap(source_range=otio_range(0, 25, PAL))
    items = [clip("a", 10, 30), dissolve, clip("b", 50, 20, "file:///elsewhere/pal.mp4"), gap]
    timeline = timeline_of([*items, clip("c", 0, 5)])
    otio.adapters.write_to_file(timeline, str(desk.folder / "edit.otio"))
    cut = desk.cut(timeline="edit.otio")
    assert cut.rate == PAL
    assert [(s.start * 25, s.frames) for s in cut.shots] == [(10, 36), (46, 24), (0, 25), (0, 5)]
    assert cut.shots[1].transition
    assert cut.shots[1].transition.frames == 10
    assert cut.frames == 80


def test_several_picture_tracks_are_one_as_a_viewer_sees_them(desk: Desk) -> None:
    above = [otio.schema.Gap(source_range=otio_range(0, 20, PAL)), clip("above", 60, 10)]
    timeline = timeline_of([clip("below", 0, 50)], above)
    otio.adapters.write_to_file(timeline, str(desk.folder / "edit.otio"))
    written = desk.compile(timeline="edit.otio")
    assert [(s.start * 25, s.frames) for s in written.cut.shots] == [(0, 20), (60, 10), (30, 20)]
    assert any("2 picture tracks" in line for line in written.unsaid)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "no object of OpenTimelineIO"),
        ("[" * 100_000, "cannot be used"),
        ("\x00", "cannot be used"),
        ('{"OTIO_SCHEMA": "Clip.1", "name": "x"}', "holds a Clip"),
        ('{"OTIO_SCHEMA": "Timeline.1", "tracks": null}', "tracks is no object"),
    ],
)
def test_what_is_no_timeline_is_refused(desk: Desk, text: str, message: str) -> None:
    (desk.folder / "edit.otio").write_text(text)
    with pytest.raises(ProjectError, match=message):
        desk.compile(timeline="edit.otio")


def test_a_timeline_in_a_timeline_is_refused_by_name(desk: Desk) -> None:
    inner = otio.schema.Stack(name="compound", children=[])
    otio.adapters.write_to_file(
        timeline_of([clip("a", 0, 10), inner]), str(desk.folder / "edit.otio")
    )
    with pytest.raises(ProjectError, match="'compound' is a Stack"):
        desk.compile(timeline="edit.otio")


def test_a_strangers_timeline_brings_no_filters_and_no_files_of_its_own(
    desk: Desk, media: Path
) -> None:
    one = clip("a", 0, 10)
    one.metadata["av_pipelines"] = {
        "look": "movie=/etc/passwd",
        "path": "/etc/passwd",
        "fit": "crop",
    }
    timeline = timeline_of([one])
    timeline.metadata["av_pipelines"] = {
        "overlays": [{"kind": "image", "start": 0, "frames": 9, "path": str(media / "still.png")}]
    }
    otio.adapters.write_to_file(timeline, str(desk.folder / "edit.otio"))
    cut = desk.cut(timeline="edit.otio")
    assert (cut.shots[0].look, cut.shots[0].fit, cut.overlays) == (None, "crop", ())


def test_a_file_that_is_gone_since_is_named(desk: Desk) -> None:
    desk.compile(shots=[{"path": "pal.mp4", "name": "Opening"}])
    (desk.folder / "pal.mp4").unlink()
    with pytest.raises(ValueError, match=r"shot 1 \('Opening'\): its source .*pal\.mp4 is gone"):
        read_cut(desk.out / "timeline.otio")


def test_a_new_project_has_nothing_to_show_and_says_so(tmp_path: Path) -> None:
    save_project(tmp_path, Project(), 0)
    resolver = Resolver(tmp_path / "project.json", Shelf())
    with pytest.raises(ProjectError, match="nothing to show"):
        gather(read_project(tmp_path), resolver)


def test_a_list_is_rendered_frame_by_frame(desk: Desk, tmp_path: Path) -> None:
    (desk.folder / "cut.edl").write_text(
        "TITLE: cut\nFCM: DROP FRAME\n\n"
        "001  NTSC     B     C        00:00:01;10 00:00:02;00 01:00:59;25 01:01:00;17\n"
        "002  LATE     V     C        00:00:00;00 00:00:00;15 01:01:00;17 01:01:01;02\n"
        "M2   LATE           030.0                00:00:00;00\n"
        "003  NTSC     V     C        00:00:02;15 00:00:03;00 01:01:01;02 01:01:01;17\n"
    )
    cut = desk.cut(project_settings={"fps": 29.97, "resolution": "160x96"}, timeline="cut.edl")
    assert cut.frames == 50
    wanted = Delivery("film.mp4", cut.width, cut.height, quality="high")
    render(cut, [wanted], tmp_path)
    assert numbers(tmp_path / "film.mp4") == [*range(40, 60), *range(15), *range(75, 90)]
