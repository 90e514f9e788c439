"""``poster.jpg``: one picture that stands for a film.

Here: choosing the first frame that is not black, and drawing it as it is meant to be seen. Not
here: keyframes and contact sheets (the room of scenes).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from av_pipelines.intake.blocks import Picture
from av_pipelines.intake.containers import Media
from av_pipelines.intake.geometry import display_size, orientation, parse_ratio
from av_pipelines.intake.passes import Summary
from av_pipelines.intake.taps import Appetite, Tap

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MAX_WIDTH, _MAX_HEIGHT = 640, 1280
_QUALITY = 82
_EVERY_FRAME_S = 4.0  # then only keyframes are looked at: a long black beginning stays cheap
_GIVE_UP_S = 30.0
_MAX_LOOKS = 300
_LIGHT = 48.0  # mean of 255; night scenes lie around 30, black with grain below 20
_STILL_RISING = 1.02  # a fade-in is not taken half-way
_LOOK_SIZE = 160, 90


class Poster(Tap):
    """Writes ``poster.jpg`` from the first frame of the chosen film that is not black.

    A film that fades in is waited for until it gets no lighter. If none of the frames in the first
    30 s is light, the lightest of them is taken.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._media: Media | None = None
        self._first_s: float | None = None
        self._looks = 0
        self._light = 0.0
        self._best: tuple[float, Image.Image, float | None] | None = None

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Want the chosen film."""
        self._media = media
        return {} if media.video is None else {media.video: Appetite.ALL}

    def video(self, picture: Picture) -> Appetite:
        """Look at a frame and keep it if it is the lightest so far."""
        light = _lightness(picture.frame)
        if self._best is None or light > self._best[0]:
            self._best = light, self._draw(picture), picture.time_s
        rising = self._looks > 0 and light > _STILL_RISING * self._light
        self._light = light
        self._looks += 1
        if self._first_s is None:
            self._first_s = picture.time_s
        passed = (picture.time_s or 0.0) - (self._first_s or 0.0)
        if (light >= _LIGHT and not rising) or self._looks >= _MAX_LOOKS or passed > _GIVE_UP_S:
            return Appetite.NONE
        return Appetite.ALL if passed < _EVERY_FRAME_S else Appetite.KEYFRAMES

    def _draw(self, picture: Picture) -> Image.Image:
        assert self._media is not None
        frame = picture.frame
        ratio = parse_ratio(self._media.streams[picture.stream].sample_aspect_ratio)
        turned = orientation(frame)
        width, height = display_size(frame.width, frame.height, ratio, turned)
        scale = min(1.0, _MAX_WIDTH / width, _MAX_HEIGHT / height)
        shown = max(1, round(width * scale)), max(1, round(height * scale))
        stored = shown[::-1] if turned.transposed else shown
        image = frame.to_image(width=stored[0], height=stored[1], interpolation="AREA")
        for wanted, step in (
            (turned.transposed, Image.Transpose.TRANSPOSE),
            (turned.flipped_x, Image.Transpose.FLIP_LEFT_RIGHT),
            (turned.flipped_y, Image.Transpose.FLIP_TOP_BOTTOM),
        ):
            if wanted:
                image = image.transpose(step)
        return image

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """Write the picture, if the film had any frame."""
        if self._best is None:
            return {}
        _, image, at = self._best
        image.save(self.out / "poster.jpg", quality=_QUALITY, optimize=True, progressive=True)
        return {"poster_s": None if at is None else round(at, 3)}


def _lightness(frame: VideoFrame) -> float:
    """Mean luma, 0 to 255."""
    small = frame.to_ndarray(
        width=_LOOK_SIZE[0], height=_LOOK_SIZE[1], format="gray", interpolation="AREA"
    )
    return float(small.mean())
