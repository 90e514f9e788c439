"""Films whose cuts are known: textured shots that move, joined in every way, written with PyAV.

A film is a list of ``Shot``; each says how its picture moves and how it follows the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import av
import numpy as np

if TYPE_CHECKING:
    from av.video.stream import VideoStream

Camera = Literal["still", "slow pan", "fast pan", "zoom", "objects", "handheld"]
Join = Literal["cut", "dissolve", "fade black", "fade white"]
SIZE = 192, 108  # width, height


@dataclass(frozen=True)
class Shot:
    """A shot: how long, what the camera does, how it begins, and at which frames a flash goes off.

    ``over`` is the length of the dissolve or fade that leads into it, in frames; of a fade, half of
    it is the way out of the shot before.
    """

    frames: int
    camera: Camera = "slow pan"
    join: Join = "cut"
    over: int = 0
    flashes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Truth:
    """What happens at the beginning of a shot; ``frame`` is the middle of a gradual one."""

    frame: int
    kind: str
    start: int
    end: int


class _Scene:
    """A large picture with something to see in it, and a camera that moves over it."""

    def __init__(self, rng: np.random.Generator, shot: Shot, size: tuple[int, int]) -> None:
        width, height = size
        self.rng, self.size, self.camera = rng, size, shot.camera
        tall, wide = 3 * height, 4 * width
        self.picture = _texture(rng, tall, wide)
        limit = {"fast pan": 0.07, "slow pan": 0.004, "handheld": 0.001}.get(shot.camera, 0.0)
        angle = rng.choice([0.0, np.pi]) + rng.uniform(-0.15, 0.15)
        self.speed = limit * width * np.array([np.cos(angle), np.sin(angle)])
        self.middle = np.array([1.5 * width, height])
        self.zoom = 0.004 if shot.camera == "zoom" else 0.0
        self.discs = [
            (rng.uniform(0, 1, 2), rng.uniform(-0.012, 0.012, 2), rng.uniform(0.06, 0.2), c)
            for c in rng.integers(0, 256, (5 if shot.camera == "objects" else 0, 3))
        ]
        self.shake = 0.006 * width if shot.camera == "handheld" else 0.0
        self.length = shot.frames

    def frame(self, i: int) -> np.ndarray:
        """The i-th frame, float32 (height, width, 3); i may be a little beyond the shot."""
        width, height = self.size
        at = self.middle + self.speed * (i - self.length / 2)
        at = at + self.shake * np.array([np.sin(i * 1.9), np.cos(i * 1.3)])
        tall, wide = self.picture.shape[:2]
        scale = 1 + self.zoom * i
        ys = (at[1] + (np.arange(height) - height / 2) / scale + height / 2) % (tall - 1)
        xs = (at[0] + (np.arange(width) - width / 2) / scale + width / 2) % (wide - 1)
        out = self.picture[ys.astype(int)[:, None], xs.astype(int)[None]].astype(np.float32)
        y, x = np.mgrid[:height, :width]
        for place, speed, radius, colour in self.discs:
            cx, cy = (place + speed * i) % 1.2 - 0.1
            inside = (x / width - cx) ** 2 + ((y - cy * height) / width) ** 2 < radius**2
            out[inside] = colour
        return out + self.rng.normal(0, 1.5, out.shape).astype(np.float32)


def _texture(rng: np.random.Generator, tall: int, wide: int) -> np.ndarray:
    """Clouds of 1/f noise in colours of their own, with things that have edges in front."""
    fy, fx = np.fft.fftfreq(tall)[:, None], np.fft.rfftfreq(wide)[None]
    fall = np.hypot(fy, fx)
    fall[0, 0] = 1.0
    shape = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((tall, wide))) / fall**1.2, (tall, wide))
    shape /= shape.std()
    base, tint = rng.uniform(60, 190, 3), rng.uniform(15, 55, 3) * rng.choice([-1, 1], 3)
    out = base + shape[..., None] * tint
    y, x = np.mgrid[:tall, :wide]
    for _ in range(40):
        cy, cx = rng.uniform(0, tall), rng.uniform(0, wide)
        ry, rx = rng.uniform(0.02, 0.12, 2) * tall
        if rng.random() < 0.5:
            inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        else:
            inside = (abs(y - cy) < ry) & (abs(x - cx) < rx)
        out[inside] = 0.35 * out[inside] + 0.65 * rng.uniform(0, 255, 3)
    return out.clip(0, 255).astype(np.uint8)


def frames(
    shots: Sequence[Shot], seed: int = 0, size: tuple[int, int] = SIZE
) -> Iterator[np.ndarray]:
    """Draw a film: uint8 (height, width, 3) frame by frame."""
    rng = np.random.default_rng(seed)
    before: _Scene | None = None
    for number, shot in enumerate(shots):
        scene = _Scene(rng, shot, size)
        following = shots[number + 1] if number + 1 < len(shots) else None
        for i in range(shot.frames):
            picture = scene.frame(i)
            if shot.join == "dissolve" and before is not None and i < shot.over:
                share = (i + 1) / (shot.over + 1)
                old = before.frame(before.length + i)
                picture = share * picture + (1 - share) * old
            picture = _faded(picture, shot, i, shot.over // 2)
            if following is not None:
                picture = _faded(picture, following, shot.frames - 1 - i, following.over // 2)
            if i in shot.flashes:
                picture = 0.15 * picture + 225
            yield picture.clip(0, 255).astype(np.uint8)
        before = scene


def _faded(picture: np.ndarray, join: Shot, distance: int, over: int) -> np.ndarray:
    """Fade a frame that is so far from a join."""
    if not join.join.startswith("fade") or distance >= over:
        return picture
    share = distance / over
    colour = 0.0 if join.join == "fade black" else 255.0
    return share * picture + (1 - share) * colour


def truths(shots: Sequence[Shot]) -> list[Truth]:
    """Say what a film holds, in order."""
    found: list[Truth] = []
    start = 0
    for number, shot in enumerate(shots):
        if shot.join == "cut" and number:
            found.append(Truth(start, "cut", start, start))
        elif shot.join == "dissolve" and number:
            found.append(Truth(start + shot.over // 2, "dissolve", start, start + shot.over))
        elif shot.join.startswith("fade"):
            half = shot.over // 2
            found.append(Truth(start, "fade", max(start - half, 0), start + half))
        start += shot.frames
    return found


def write(
    path: Path,
    pictures: Iterator[np.ndarray] | Sequence[np.ndarray],
    *,
    fps: Fraction = Fraction(25),
    times: Sequence[Fraction] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    ratio: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> None:
    """Encode a film.

    Args:
        path: its suffix names the container.
        pictures: RGB frames, all of one size.
        fps: frames per second, where ``times`` gives no times.
        times: of each frame, in seconds.
        codec: an encoder of FFmpeg.
        pixel_format: of the encoded film.
        rotation: degrees for display.
        ratio: width of a pixel by its height.
        options: of the encoder.
    """
    base = Fraction(1, 90000) if times else 1 / fps
    with av.open(path, "w") as out:
        stream = cast("VideoStream", out.add_stream(codec, rate=fps, options=options or {}))
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = base
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        if rotation:
            stream.set_display_rotation(rotation)
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = round(times[number] / base) if times else number
            frame.time_base = base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def programme(seed: int, shots: int = 10) -> list[Shot]:
    """Make up a film of that many shots, of every kind; the same for the same seed."""
    rng = np.random.default_rng(1000 + seed)
    cameras: list[Camera] = ["still", "slow pan", "fast pan", "zoom", "objects", "handheld"]
    made: list[Shot] = []
    for number in range(shots):
        join: Join = "cut"
        if number and number % 3 == 0:
            join = rng.choice(["dissolve", "fade black", "dissolve", "fade white"])
        over = int(rng.integers(5, 16)) * 2 if join != "cut" else 0
        length = int(rng.integers(20, 80)) + over
        camera = cameras[int(rng.integers(len(cameras)))]
        # Nobody dissolves into or out of a swinging camera.
        if join != "cut" and camera == "fast pan":
            camera = "slow pan"
        if join != "cut" and made[-1].camera == "fast pan":
            made[-1] = replace(made[-1], camera="objects")
        flashes = ()
        if rng.random() < 0.3:
            at = int(rng.integers(length // 2 - 4, length // 2 + 4))
            flashes = tuple(range(at, at + int(rng.integers(1, 4))))
        made.append(Shot(length, camera, join, over, flashes))
        if number and made[-2].frames < 20 + made[-2].over + over:
            made[-2] = replace(made[-2], frames=20 + made[-2].over + over)
    return made
