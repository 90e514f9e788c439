"""Films as they are delivered: codecs, copies, sound, pictures over them, and what is refused."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from av_pipelines.media.audio import AudioWriter
from av_pipelines.videos import render as rendering
from av_pipelines.videos import sources, storyboard
from av_pipelines.videos.cut import Cut, Framing, Lane, Overlay, Shot, Style, Transition, Wave
from av_pipelines.videos.delivery import CONTAINERS, Codec
from av_pipelines.videos.render import Delivery, Rendered, RenderError, render
from tests.videos.numbered import HEIGHT, WIDTH, beeps, film, heard, numbers, onsets

RATE = Fraction(25)


def made(cut: Cut, folder: Path, **how: Any) -> Rendered:
    given = {"name": "film.mp4", "width": cut.width, "height": cut.height} | how
    return render(cut, [Delivery(**given)], folder, device="cpu")[0]


def cut_of(*shots: Shot, **how: Any) -> Cut:
    return Cut("a film", RATE, WIDTH, HEIGHT, shots, **how)


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "prores", "vp9"])
def test_every_codec_keeps_frames_and_sound(codec: Codec, tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 60, sound=beeps(2.4, [0.5, 1.5]), width=320, height=192)
    cut = cut_of(Shot("a", source, Fraction(0), 50), loudness_lufs=None)
    out = made(cut, tmp_path, name=f"film{CONTAINERS[codec]}", codec=codec)

    assert numbers(out.path) == list(range(50))
    assert onsets(heard(out.path)) == pytest.approx([0.5, 1.5], abs=0.04)
    with av.open(str(out.path)) as container:
        picture = container.streams.video[0].codec_context
        expected = {"h265": "hevc"}.get(codec, codec)
        assert picture.codec.canonical_name == expected
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)


def test_an_mp4_starts_fast_and_has_chapters(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 60)
    cut = cut_of(
        Shot("first: 'a'", source, Fraction(0), 30),
        Shot("second", source, Fraction(1), 30, transition=Transition("wipe", 5)),
    )
    out = made(cut, tmp_path)

    data = out.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(out.path)) as container:
        assert container.metadata["title"] == "a film"
        assert [
            (c["metadata"]["title"], c["start"] * (c["time_base"] or 0))
            for c in container.chapters()
        ] == [("first: 'a'", 0), ("second", 1)]
    assert [(s.name, s.first, s.frames) for s in out.shots] == [
        ("first: 'a'", 0, 30), ("second", 25, 30),
    ]  # fmt: skip


# ---------------------------------------------------------------------- copying


def test_whole_files_of_one_codec_are_joined_without_encoding(tmp_path: Path) -> None:
    options = {"bf": "2", "preset": "medium"}
    films = [
        film(tmp_path / f"{k}.mp4", RATE, 60, sound=beeps(2.4, [1.0]), options=options)
        for k in range(3)
    ]
    shots = [Shot(p.stem, p, Fraction(0), 60) for p in films]
    out = made(cut_of(*shots, loudness_lufs=None), tmp_path)

    assert out.stream_copied_s == out.duration_s == 7.2
    assert out.encoder == "copy"
    assert numbers(out.path) == list(range(60)) * 3
    assert onsets(heard(out.path)) == pytest.approx([1.0, 3.4, 5.8], abs=0.04)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(
    ("how", "sound", "copied"),
    [
        ({}, {}, True),
        ({"offset": Fraction(7, 5)}, {}, True),
        ({"layout": "mono"}, {}, False),
        ({"audio_codec": "ac3"}, {}, False),
        ({}, {"gain_db": -6.0}, False),
        ({}, {"start": Fraction(2, 5)}, False),
        ({}, {"loudness_lufs": -20.0}, False),
    ],
)
def test_sound_that_needs_nothing_is_copied(
    how: dict[str, Any], sound: dict[str, Any], copied: bool, tmp_path: Path
) -> None:
    given = {"layout": "stereo", "sound": beeps(4.0, [0.7, 3.1])} | how
    source = film(tmp_path / "a.mp4", RATE, 100, **given)
    start = sound.get("start", Fraction(0))
    shot = Shot("a", source, start, 100 - round(start * RATE), gain_db=sound.get("gain_db", 0.0))
    words = Overlay("text", 10, 20, text="x", anchor="bottom-right", style=Style(size=0.05))
    cut = cut_of(shot, overlays=(words,), loudness_lufs=sound.get("loudness_lufs"))
    out = made(cut, tmp_path)

    assert (packets(out.path) == packets(source)) == copied
    first, second = onsets(heard(out.path))
    assert (first, second) == pytest.approx((0.7 - start, 3.1 - start), abs=0.01)
    assert out.integrated_lufs is not None


@pytest.mark.parametrize(("count", "at_once"), [(70, 120), (12, 5)])
def test_many_files_are_one_film(
    count: int, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_AT_ONCE", at_once)
    first = film(tmp_path / "0.mp4", RATE, 5, sound=beeps(0.2, [0.1]), gop=5)
    files = [Path(shutil.copy(first, tmp_path / f"{k}.mp4")) for k in range(1, count)]
    shots = [Shot(p.stem, p, Fraction(0), 5) for p in (first, *files)]
    out = made(cut_of(*shots, loudness_lufs=None), tmp_path)

    assert out.stream_copied_s == out.duration_s
    assert numbers(out.path) == list(range(5)) * count
    due = [0.1 + 0.2 * k for k in range(count)]
    assert onsets(heard(out.path)) == pytest.approx(due, abs=0.04)


def test_only_what_words_cover_is_encoded_again(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 250, options={"bf": "3", "preset": "medium"})
    words = Overlay("text", 110, 20, text="x", anchor="bottom-right", style=Style(size=0.05))
    cut = cut_of(Shot("a", source, Fraction(13, 25), 220), overlays=(words,))
    out = made(cut, tmp_path)

    assert numbers(out.path) == list(range(13, 233))
    assert out.stream_copied_s == pytest.approx(7.0, abs=1.1)
    assert out.shots[0].copied == round(out.stream_copied_s * RATE)
    # Each frame can be reached by seeking, over all joints.
    with av.open(str(out.path)) as container:
        stream = container.streams.video[0]
        for wanted in (0, 11, 12, 100, 119, 150, 219):
            base = stream.time_base or Fraction(1)
            container.seek(int(wanted / RATE / base), stream=stream)
            shown = next(
                f for f in container.decode(stream) if (f.pts or 0) * base >= wanted / RATE
            )
            assert (shown.pts or 0) * base == wanted / RATE


def test_parts_made_side_by_side_are_one_film(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 600)
    cut = cut_of(Shot("a", source, Fraction(0), 600, gain_db=-3), quality="low")
    out = render(cut, [Delivery("film.mp4", 80, 48)], tmp_path, device="cpu", threads=16)[0]

    assert numbers(out.path) == list(range(600))


# ---------------------------------------------------------------------- sound


def tone(path: Path, seconds: float, hz: float, level: float = 0.1) -> Path:
    n = np.arange(round(seconds * 48_000))
    wave = (level * np.sin(2 * np.pi * hz * n / 48_000)).astype(np.float32)
    with AudioWriter(path, "pcm_s16le", 48_000, "stereo") as writer:
        writer.write(np.stack([wave, wave]))
    return path


def level(sound: np.ndarray, begin: float, end: float, hz: float) -> float:
    """Level of one tone, in dB."""
    part = sound[round(begin * 48_000) : round(end * 48_000)]
    n = np.arange(part.size)
    amount = abs(np.vdot(np.exp(2j * np.pi * hz * n / 48_000), part)) * 2 / part.size
    return float(20 * np.log10(max(amount, 1e-9)))


def test_music_gives_way_to_voices_and_fades(tmp_path: Path) -> None:
    music = tone(tmp_path / "music.wav", 2, 440)
    voice = tone(tmp_path / "voice.wav", 2, 1500)
    cut = cut_of(
        Shot("still", None, Fraction(0), 200),
        lanes=(
            Lane(music, "music", duck_db=12, loop=True, fade_in_s=1, fade_out_s=1),
            Lane(voice, "voice", at=Fraction(3), gain_db=-6),
        ),
        loudness_lufs=None,
    )
    sound = heard(made(cut, tmp_path).path)

    full = level(sound, 1.5, 2.4, 440)
    assert full == pytest.approx(-20, abs=0.5)
    assert level(sound, 3.5, 4.5, 440) == pytest.approx(full - 12, abs=0.5)
    assert level(sound, 3.5, 4.5, 1500) == pytest.approx(-26, abs=0.5)
    assert level(sound, 6.2, 6.9, 440) == pytest.approx(full, abs=0.5)
    assert level(sound, 0.0, 0.1, 440) < full - 20
    assert level(sound, 7.9, 8.0, 440) < full - 20


@pytest.mark.parametrize("target", [-23.0, -14.0, -9.0])
def test_the_loudness_is_what_was_asked_for(target: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with AudioWriter(tmp_path / "a.wav", "pcm_s16le", 48_000, "stereo") as writer:
        noise = rng.standard_normal((2, 48_000 * 6)) * np.repeat([0.02, 0.1, 0.05], 96_000)
        noise = np.cumsum(noise, axis=1)  # less treble, as in music
        noise = (noise - np.roll(noise, 40, axis=1)) / 4
        writer.write(noise.astype(np.float32))
    cut = cut_of(
        Shot("still", None, Fraction(0), 150),
        lanes=(Lane(tmp_path / "a.wav", "music"),),
        loudness_lufs=target,
    )
    out = made(cut, tmp_path)

    assert out.integrated_lufs == pytest.approx(target, abs=0.3)
    assert out.true_peak_dbtp is not None
    assert out.true_peak_dbtp <= -0.9


def test_deliveries_of_one_decode_differ_in_size_words_and_length(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 60, sound=beeps(2.4, [0.5]))
    cut = cut_of(Shot("a", source, Fraction(0), 60), loudness_lufs=None)
    left = (Framing(Fraction(0), 0.0, 0.5),)
    wide, tall = render(
        cut,
        [
            Delivery("wide.mp4", WIDTH, HEIGHT),
            Delivery("tall.mp4", 54, 96, framing={0: left}, max_frames=30),
        ],
        tmp_path,
        device="cpu",
    )
    assert numbers(wide.path) == list(range(60))
    assert (tall.frames, tall.duration_s) == (30, 1.2)
    with av.open(str(tall.path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (54, 96)
        shown = [f.reformat(format="gray").to_ndarray() for f in container.decode(video=0)]
    assert len(shown) == 30
    # The left columns of the fields carry the lowest bits.
    bits = [int(luma[12, 8] > 128) for luma in shown]
    assert bits == [n & 1 for n in range(30)]


# ---------------------------------------------------------------------- pictures


def test_stills_and_pictures_over_the_film(tmp_path: Path) -> None:
    Image.new("RGB", (400, 240), "#c00000").save(tmp_path / "red.png")
    badge = Image.new("RGBA", (40, 40), (0, 255, 0, 255))
    badge.putpixel((0, 0), (0, 0, 0, 0))
    badge.save(tmp_path / "badge.png")
    shot = Shot("still", tmp_path / "red.png", Fraction(0), 40, still=True, fit="ken_burns")
    over = Overlay(
        "image", 10, 15, path=tmp_path / "badge.png", anchor="top-right", margin=0, size=0.25
    )
    out = made(cut_of(shot, overlays=(over,)), tmp_path)

    with av.open(str(out.path)) as container:
        frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    assert len(frames) == 40
    assert [n for n, f in enumerate(frames) if f[12, -12, 1] > 150] == list(range(10, 25))
    assert abs(frames[0][48, 80] - [192, 0, 0]).max() < 12
    assert not any(name.endswith("png") for name in entries(tmp_path) if "still" in name)


def test_a_wave_of_the_sound_is_drawn(tmp_path: Path) -> None:
    sound = tone(tmp_path / "a.wav", 2, 300, 0.8)
    cut = Cut(
        "audiogram", RATE, 320, 180, (Shot("black", None, Fraction(0), 75),),
        lanes=(Lane(sound, "voice", at=Fraction(1)),), wave=Wave(0.5, 0.5, "#ff8800"),
        loudness_lufs=None,
    )  # fmt: skip
    with av.open(str(made(cut, tmp_path).path)) as container:
        frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    drawn = [int((f[..., 0] > 120).sum()) for f in frames]
    assert len(frames) == 75
    assert max(drawn[:24]) < 400  # a line where it is silent
    assert min(drawn[27:72]) > 2000
    assert frames[40][:85, :, 0].max() < 40


def test_a_storyboard_shows_every_shot(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 100, width=320, height=180)
    shots = [Shot(f"shot {k}", source, Fraction(k), 20) for k in range(4)]
    out = made(Cut("x", RATE, 320, 180, tuple(shots)), tmp_path)
    names = storyboard.draw(out, tmp_path)

    sheet, poster = (Image.open(tmp_path / name) for name in names)
    assert poster.size == (320, 180)
    assert sheet.width > 800
    assert (tmp_path / names[0]).stat().st_size < 50_000
    rows = storyboard.table(out)
    assert [row["in"] for row in rows] == [
        "00:00:00:00", "00:00:00:20", "00:00:01:15", "00:00:02:10",
    ]  # fmt: skip
    assert rows[2]["source in"] == "00:00:02:00"


# ---------------------------------------------------------------------- what is refused


def test_a_film_that_is_one_frame_off_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = film(tmp_path / "a.mp4", RATE, 100)
    cut = cut_of(Shot("hero", source, Fraction(1), 40), Shot("end", source, Fraction(3), 20))
    build = rendering.segments.build

    def late(given: Cut, *rest: Any) -> Any:
        shots = [replace(s, start=s.start + 1 / RATE) for s in given.shots]
        return build(replace(given, shots=tuple(shots)), *rest)

    monkeypatch.setattr(rendering.segments, "build", late)
    monkeypatch.setattr(rendering, "find_copies", lambda *a: [])
    with pytest.raises(RenderError, match=r"'hero', frame 0 .* picture after the one that is due"):
        made(cut, tmp_path)
    assert entries(tmp_path) == ["a.mp4"]


def test_black_that_nobody_asked_for_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = film(tmp_path / "a.mp4", RATE, 100)
    build = rendering.segments.build

    def blackened(*given: Any) -> Any:
        plan = build(*given)
        black = "eq=brightness=-1:enable='between(n,17,19)'"
        return replace(
            plan,
            graph=plan.graph.replace("settb=1/25,setpts=N,", f"{black},settb=1/25,setpts=N,", 1),
        )

    monkeypatch.setattr(rendering.segments, "build", blackened)
    monkeypatch.setattr(rendering, "find_copies", lambda *a: [])
    with pytest.raises(RenderError, match=r"'hero', frame 17 of the film is black"):
        made(cut_of(Shot("hero", source, Fraction(1), 40)), tmp_path)


def test_bad_sources_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film at all")
    with pytest.raises(RenderError, match=r"text\.mp4: it cannot be opened"):
        made(cut_of(Shot("a", tmp_path / "text.mp4", Fraction(0), 10)), tmp_path)
    with pytest.raises(RenderError, match=r"gone\.mp4 cannot be read: No such file"):
        made(cut_of(Shot("a", tmp_path / "gone.mp4", Fraction(0), 10)), tmp_path)
    listed = tmp_path / "list.m3u8"
    listed.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    with pytest.raises(RenderError, match=r"list\.m3u8: it cannot be opened"):
        made(cut_of(Shot("a", listed, Fraction(0), 10)), tmp_path)
    assert entries(tmp_path) == ["list.m3u8", "text.mp4"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 80 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80k", "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("sound", [None, beeps(4, [1])], ids=["picture", "sound"])
def test_a_full_disk_is_told_and_nothing_is_published(
    sound: np.ndarray | None, tmp_path: Path, small_disk: Path
) -> None:
    source = film(tmp_path / "a.mp4", RATE, 100, sound=sound)
    cut = Cut("x", RATE, 1920, 1080, (Shot("a", source, Fraction(0), 100),), quality="high")
    with pytest.raises(OSError, match=r"disk is full|No space left") as caught:
        made(cut, small_disk)
    assert caught.value.errno == errno.ENOSPC
    assert entries(small_disk) == []


def test_a_killed_render_publishes_nothing(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", RATE, 500, width=640, height=360)
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "from fractions import Fraction as F; from pathlib import Path\n"
        "from av_pipelines.videos.cut import Cut, Shot\n"
        "from av_pipelines.videos.render import Delivery, render\n"
        f"shot = Shot('a', Path({str(source)!r}), F(0), 500)\n"
        "cut = Cut('x', F(25), 1280, 720, (shot,), quality='high')\n"
        f"render(cut, [Delivery('film.mp4', 1280, 720)], Path({str(out)!r}), device='cpu')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    ends = time.monotonic() + 60
    while time.monotonic() < ends and not list(out.glob(".render-*/part0_0.mp4")):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert not [name for name in entries(out) if not name.startswith(".render-")]
