"""Encoders: which one makes which codec, and with which options.

Here: FFmpeg's software encoders for every codec, and the hardware ones by ``accelerator``'s devices
with a trial before they are trusted. Not here: running FFmpeg on a film (``segments``), sound's
samples (``mix``).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from av_pipelines.media.confined import ConfinedError, Limits, run_program
from av_pipelines.videos.delivery import Codec, Delivery, Quality
from resources.accelerator import DeviceError, Setting, find

DEVICES: dict[str, tuple[str, ...]] = {
    "cuda": (
        *("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"),
        *("/dev/nvidia-modeset", "/proc/driver/nvidia"),
    ),
    "mps": (),
}
"""Device files that an encoder on them needs."""
_HARDWARE: dict[str, dict[Codec, str]] = {
    "cuda": {"h264": "h264_nvenc", "h265": "hevc_nvenc", "av1": "av1_nvenc"},
    "mps": {
        "h264": "h264_videotoolbox",
        "h265": "hevc_videotoolbox",
        "prores": "prores_videotoolbox",
    },
}
_SOFTWARE: dict[Codec, str] = {
    "h264": "libx264",
    "h265": "libx265",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "vp9": "libvpx-vp9",
}
_FALLS_TO = "hardware encoding was not possible"

# Constant quality and speed, by quality: the first is the best.
_X264: dict[Quality, tuple[int, str]] = {
    "low": (26, "superfast"),
    "standard": (20, "veryfast"),
    "high": (17, "medium"),
}
_X265: dict[Quality, tuple[int, str]] = {
    "low": (30, "ultrafast"),
    "standard": (24, "fast"),
    "high": (19, "medium"),
}
_SVT: dict[Quality, tuple[int, int]] = {"low": (42, 11), "standard": (32, 9), "high": (24, 6)}
_VP9: dict[Quality, tuple[int, int]] = {"low": (40, 6), "standard": (32, 4), "high": (24, 2)}
_PRORES: dict[Quality, int] = {"low": 1, "standard": 2, "high": 3}  # LT, 422, HQ
_NVENC: dict[Quality, tuple[int, str]] = {
    "low": (30, "p3"),
    "standard": (23, "p5"),
    "high": (19, "p7"),
}
_TOOLBOX: dict[Quality, int] = {"low": 45, "standard": 60, "high": 75}
KEYFRAMES_S = 2
"""Seconds between keyframes at most, for seeking."""


@dataclass(frozen=True)
class Encoder:
    """An encoder as FFmpeg names it; ``device``: what it runs on; ``note``: why not another."""

    name: str
    device: str = "cpu"
    note: str | None = None


def choose_encoder(codec: Codec, device: Setting) -> Encoder:
    """Choose the encoder: hardware that is here and proves to work, else software.

    Args:
        codec: what is wanted.
        device: ``auto``, or what is asked for by name.

    Raises:
        DeviceError: what is asked for by name is not here, has no encoder for the codec, or its
            encoder does not work.
    """
    said = []
    for kind in ("cuda", "mps") if device == "auto" else (device,):
        if kind == "cpu":
            break
        name = _HARDWARE.get(kind, {}).get(codec)
        found = find(kind)  # pyright: ignore[reportArgumentType]
        if isinstance(found, str):
            why = found
        elif name is None:
            why = f"it has no encoder for {codec}"
        else:
            why = _trial(name, kind)
            if why is None:
                return Encoder(name, kind)
            said.append(f"{_FALLS_TO}: {name} {why}")
        if device != "auto":
            raise DeviceError(f"device = {device} for {codec}: {why}. Set device to auto or cpu")
    return Encoder(_SOFTWARE[codec], note="; ".join(said) or None)


@lru_cache(maxsize=32)
def _trial(name: str, kind: str) -> str | None:
    """Encode some frames; return what went wrong, None if nothing."""
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        try:
            run_program(
                Path(imageio_ffmpeg.get_ffmpeg_exe()),
                [
                    *("-v", "error", "-f", "lavfi", "-i", "color=s=320x240:d=0.2"),
                    *("-c:v", name, "-f", "null", "-"),
                ],
                fds=[],
                out=Path(folder),
                hear=lambda line: None,
                limits=hardware_limits(kind),
            )
        except ConfinedError as error:
            return f"does not work here ({error})"
    return None


def hardware_limits(kind: str) -> Limits:
    """Give what FFmpeg may use: a GPU's driver maps far more than it uses."""
    if kind == "cpu":
        return Limits()
    return Limits(max_memory_bytes=2**42, devices=DEVICES.get(kind, ()))


def video_options(
    encoder: Encoder, delivery: Delivery, quality: Quality, fps: float, threads: int
) -> list[str]:
    """Give the options of the picture's encoder.

    They depend on nothing but these, so that stretches encoded apart fit together. Groups of
    pictures are closed: a stretch can be entered and left at each of its keyframes.
    """
    every = max(1, round(fps * KEYFRAMES_S))
    name = encoder.name
    options = ["-c:v", name, "-g", f"{every}"]
    if name == "libx264":
        crf, preset = _X264[quality]
        options += ["-crf", f"{crf}", "-preset", preset, "-profile:v", "high"]
        options += ["-x264-params", "sps-id=1:open-gop=0"]
    elif name == "libx265":
        crf, preset = _X265[quality]
        pools = f":pools={threads}" if threads else ""
        options += ["-crf", f"{crf}", "-preset", preset, "-tag:v", "hvc1"]
        options += ["-x265-params", f"log-level=error:open-gop=0{pools}"]
    elif name == "libsvtav1":
        crf, preset = _SVT[quality]
        lp = f":lp={threads}" if threads else ""
        options += [
            "-crf",
            f"{crf}",
            "-preset",
            f"{preset}",
            "-svtav1-params",
            f"fast-decode=1{lp}",
        ]
    elif name == "libvpx-vp9":
        crf, speed = _VP9[quality]
        options += ["-crf", f"{crf}", "-b:v", "0", "-cpu-used", f"{speed}", "-deadline", "good"]
        options += ["-row-mt", "1", "-tile-columns", "2"]
    elif name == "prores_ks":
        options = ["-c:v", name, "-profile:v", f"{_PRORES[quality]}", "-vendor", "apl0"]
    elif name.endswith("_nvenc"):
        cq, preset = _NVENC[quality]
        options += ["-preset", preset, "-rc", "vbr", "-cq", f"{cq}", "-b:v", "0", "-bf", "2"]
        options += ["-strict_gop", "1"]
        options += ["-tag:v", "hvc1"] if name.startswith("hevc") else []
    elif name.endswith("_videotoolbox") and not name.startswith("prores"):
        options += ["-q:v", f"{_TOOLBOX[quality]}", "-allow_sw", "1"]
        options += ["-tag:v", "hvc1"] if name.startswith("hevc") else []
    if threads:
        options += ["-threads", f"{threads}"]
    for kind in ("colorspace", "color_primaries", "color_trc"):
        options += [f"-{kind}", "bt709"]
    return [*options, "-color_range", "tv"]


@dataclass(frozen=True)
class SoundFormat:
    """How sound is encoded: FFmpeg's encoder, its file's suffix, bit/s (None: lossless)."""

    codec: str
    suffix: str
    bit_rate: int | None = None
    options: tuple[tuple[str, str], ...] = ()


def sound_format(codec: Codec) -> SoundFormat:
    """Give the sound that goes with a codec: AAC in MP4, Opus in WebM, PCM in ProRes' MOV."""
    if codec == "vp9":
        return SoundFormat("libopus", ".webm", 128_000)
    if codec == "prores":
        return SoundFormat("pcm_s24le", ".wav")
    # As FFmpeg's developers say (commit fcb681ac), the better coder at such rates, and the faster.
    return SoundFormat("aac", ".m4a", 192_000, (("aac_coder", "fast"),))
