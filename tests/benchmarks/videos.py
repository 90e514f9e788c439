"""Rendering, beside MoviePy and beside FFmpeg with a graph written by hand.

``python -m tests.benchmarks videos``. All take the same footage and encode with x264's preset
``veryfast`` at CRF 20 and with AAC at 192 kbit/s by its fast coder. Ours also measures the
loudness, checks every shot against its source and writes chapters; as nothing is to be done to the
sound, it copies it. FFmpeg can be told to, so there is a row for that. MoviePy is taken from this
environment or from that of ``MOVIEPY_PYTHON`` (an interpreter; MoviePy 2.2 wants an older Pillow
than this project); without it, its row is left out.

Three cutdowns (16:9, 9:16 and 4:5 of one decode) are set beside one plain render at full size: the
whole of both, through ``render``. They have twice its pixels, and encoding is most of the work
of each: that is what bounds the ratio.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

from av_pipelines.videos.cut import Cut, Overlay, Shot, Style
from av_pipelines.videos.delivery import Delivery
from av_pipelines.videos.render import render
from tests.benchmarks.harness import alternate, measure, python, show

SECONDS, RATE = 15, Fraction(30)
TEXTS = [f"Overlay number {k + 1}" for k in range(15)]
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


def overlaid(source: Path, seconds: int = SECONDS) -> Cut:
    """One shot with a text in each second, shown for 0.8 s."""
    texts = tuple(
        Overlay("text", 30 * k + 3, 24, text=text, style=Style(size=0.07))
        for k, text in enumerate(TEXTS[:seconds])
    )
    shot = Shot("all", source, Fraction(0), int(seconds * RATE))
    return Cut("bench", RATE, 1280, 720, (shot,), texts, loudness_lufs=None)


def ours(source: Path, out: Path, deliveries: int = 1) -> None:
    """Render with this project."""
    sizes = [(1280, 720), (540, 960), (576, 720)][:deliveries]  # as ``cutdowns`` has them
    wanted = [Delivery(f"ours{w}x{h}.mp4", w, h, fit="crop") for w, h in sizes]
    render(overlaid(source), wanted, out, device="cpu")


def joined(sources: list[Path], out: Path) -> None:
    """Join whole files of one codec."""
    shots = tuple(Shot(p.stem, p, Fraction(0), int(60 * RATE)) for p in sources)
    cut = Cut("joined", RATE, 1280, 720, shots, loudness_lufs=None)
    made = render(cut, [Delivery("joined.mp4", 1280, 720)], out, device="cpu")[0]
    assert made.stream_copied_s == made.duration_s


def moviepy(source: Path, out: Path) -> None:
    """Render with MoviePy alone, as its documentation shows it."""
    from moviepy import CompositeVideoClip, TextClip, VideoFileClip  # pyright: ignore

    clip = VideoFileClip(str(source))
    texts = [
        TextClip(
            font=FONT,
            text=text,
            font_size=50,
            color="white",
            stroke_color="black",
            stroke_width=3,
        )
        .with_start(k + 0.1)
        .with_duration(0.8)
        .with_position("center")
        for k, text in enumerate(TEXTS)
    ]
    CompositeVideoClip([clip, *texts]).write_videofile(
        str(out / "moviepy.mp4"),
        fps=30,
        codec="libx264",
        preset="veryfast",
        audio_codec="aac",
        ffmpeg_params=["-crf", "20", "-aac_coder", "fast"],
        audio_bitrate="192k",
        threads=2,
        logger=None,
    )


def _ffmpeg() -> str:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def by_hand(source: Path, out: Path, *, copied: bool = False) -> list[str]:
    """FFmpeg alone, with one ``drawtext`` for each text; ``copied``: the sound is."""
    texts = ",".join(
        f"drawtext=fontfile={FONT}:text='{text}':fontsize=50:fontcolor=white:borderw=3:"
        f"x=(w-tw)/2:y=(h-th)/2:enable='between(t,{k + 0.1},{k + 0.9})'"
        for k, text in enumerate(TEXTS)
    )
    sound = ("copy",) if copied else ("aac", "-b:a", "192k", "-aac_coder", "fast")
    return [
        *(_ffmpeg(), "-y", "-v", "error", "-i", str(source), "-vf", texts),
        *("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "60"),
        *("-c:a", *sound, "-movflags", "+faststart", str(out / "hand.mp4")),
    ]


def footage(folder: Path, name: str, seconds: int) -> Path:
    """Moving pictures with some grain, and a tone."""
    path = folder / name
    measure(
        [
            *(_ffmpeg(), "-y", "-v", "error", "-f", "lavfi"),
            *("-i", f"testsrc2=s=1280x720:r=30:d={seconds},noise=alls=3:allf=t,format=yuv420p"),
            *("-f", "lavfi", "-i", f"sine=f=330:d={seconds}:r=48000", "-ac", "2"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "60"),
            *("-colorspace", "bt709", "-color_range", "tv", "-c:a", "aac", str(path)),
        ]
    )
    return path


def main() -> None:
    """Measure and print."""
    rounds = int(os.environ.get("ROUNDS", 3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = footage(folder, "source.mp4", SECONDS)
        me = "tests.benchmarks.videos"
        here = sys.executable if importlib.util.find_spec("moviepy") else None
        theirs = os.environ.get("MOVIEPY_PYTHON", here)

        def peers() -> dict[str, list[str]]:
            found = {
                "ffmpeg, written by hand": by_hand(source, folder),
                "ffmpeg, sound copied": by_hand(source, folder, copied=True),
                "ours": python(me, "ours", source, folder),
                "ours, 3 cutdowns": python(me, "ours", source, folder, 3),
            }
            if theirs:
                found["moviepy alone"] = [theirs, "-m", me, "moviepy", str(source), str(folder)]
            return found

        results = alternate(peers, rounds)
        title = f"{SECONDS} s of 1280x720 with {len(TEXTS)} timed texts"
        show(title, results, "ffmpeg, written by hand")
        wall = {name: sample.wall_s for name, sample in results.items()}
        print(f"  ours / by hand: {wall['ours'] / wall['ffmpeg, written by hand']:.2f} (≤ 1.15)")
        if "moviepy alone" in wall:
            print(f"  ours / MoviePy: {wall['ours'] / wall['moviepy alone']:.2f} (≤ 0.25)")
        print(f"  3 cutdowns / one: {wall['ours, 3 cutdowns'] / wall['ours']:.2f} (≤ 1.9)")

        films = [footage(folder, f"shot{k}.mp4", 60) for k in range(3)]
        copied = alternate(lambda: {"ours": python(me, "joined", folder, *films)}, rounds)
        show("180 s of three files joined, copied", copied, "ours")
        print(f"  {180 / copied['ours'].wall_s:.0f} × real time (≥ 20)")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours", source, out, *count]:
            ours(Path(source), Path(out), int(count[0]) if count else 1)
        case ["moviepy", source, out]:
            moviepy(Path(source), Path(out))
        case ["joined", out, *films]:
            joined([Path(f) for f in films], Path(out))
        case _:
            main()
