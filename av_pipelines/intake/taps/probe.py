"""``probe.json``: what a file says of itself, and what is really in it.

Here: putting the description, the counts and the first frames together. Not here: how any of it is
measured (``containers``, ``tally``, ``geometry``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from av.video.format import VideoFormat

from av_pipelines.intake.blocks import Picture
from av_pipelines.intake.containers import Media, StreamInfo
from av_pipelines.intake.geometry import Orientation, display_size, orientation, parse_ratio
from av_pipelines.intake.passes import Summary
from av_pipelines.intake.tally import Tally
from av_pipelines.intake.taps import Appetite, Tap


class Probe(Tap):
    """Writes ``probe.json``. Wants a frame of every film: only frames tell how they are turned."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self._turned: dict[int, Orientation] = {}

    def open(self, media: Media) -> Mapping[int, Appetite]:
        """Want the first frame of every video stream that is not a cover."""
        films = (s for s in media.streams if s.type == "video" and not s.attached_picture)
        return {s.index: Appetite.ALL for s in films}

    def video(self, picture: Picture) -> Appetite:
        """Look how the picture is to be shown."""
        self._turned[picture.stream] = orientation(picture.frame)
        return Appetite.NONE

    def finish(self, summary: Summary) -> Mapping[str, Any]:
        """Write the file and give the facts about the chosen streams."""
        media = summary.media
        streams = [self._stream(tally, summary) for tally in summary.tallies]
        probe = {
            "container": media.container,
            "size_bytes": media.size,
            "duration_s": _rounded(_duration(summary)),
            "declared_duration_s": _rounded(media.declared_s),
            "start_s": _rounded(media.start_s),
            "video": media.video,
            "audio": media.audio,
            "tags": media.tags,
            "chapters": [
                {**c, "start_s": _rounded(c["start_s"]), "end_s": _rounded(c["end_s"])}
                for c in media.chapters
            ],
            "streams": streams,
            "reading_errors": summary.reading.to_json_dict(),
            "flaws": list(summary.degraded),
        }
        text = json.dumps(probe, ensure_ascii=False, indent=1, allow_nan=False)
        (self.out / "probe.json").write_text(text + "\n", "utf-8")
        return _facts(probe)

    def _stream(self, tally: Tally, summary: Summary) -> dict[str, Any]:
        info, media = tally.info, summary.media
        found: dict[str, Any] = {
            "index": info.index,
            "type": info.type,
            "codec": info.codec,
            "profile": info.profile,
            "chosen": info.index in (media.video, media.audio),
            "decodable": info.decodable,
            "language": info.language,
            "title": info.title,
            "dispositions": list(info.dispositions),
            "start_s": _rounded(tally.start_s),
            "duration_s": _rounded(tally.duration_s),
            "declared_duration_s": _rounded(info.duration_s),
            "packets": tally.packets,
            "bytes": tally.size,
            "damaged_packets": tally.damaged.to_json_dict(),
        }
        if info.type == "video":
            found |= self._film(info, tally)
        if info.type == "audio":
            found |= _sound(info, tally, summary)
        return found

    def _film(self, info: StreamInfo, tally: Tally) -> dict[str, Any]:
        turned = self._turned.get(info.index)
        size = None
        if info.width and info.height:
            ratio = parse_ratio(info.sample_aspect_ratio)
            size = display_size(info.width, info.height, ratio, turned or Orientation())
        still = info.attached_picture
        fps = None if still else tally.fps
        return {
            "attached_picture": still,
            "width": info.width,
            "height": info.height,
            "sample_aspect_ratio": info.sample_aspect_ratio,
            "rotation": turned.rotation if turned else None,
            "mirrored": turned.mirrored if turned else None,
            "display_width": size[0] if size else None,
            "display_height": size[1] if size else None,
            "pixel_format": info.pixel_format,
            "bit_depth": _bit_depth(info.pixel_format),
            "fps": f"{fps.numerator}/{fps.denominator}" if fps else None,
            "variable_frame_rate": None if still else tally.variable_frame_rate,
            "frames": tally.filled,
            "keyframes": tally.keyframes,
        }


def _sound(info: StreamInfo, tally: Tally, summary: Summary) -> dict[str, Any]:
    maker = summary.sounds.get(info.index)
    # What comes out of the decoder: a header may know only half of it (HE-AAC's rate).
    real = maker.format if maker else None
    return {
        "sample_rate_hz": real.sample_rate if real else info.sample_rate_hz,
        "channels": real.channels if real else info.channels,
        "layout": real.layout if real else info.layout,
        "sample_format": real.sample_format if real else info.sample_format,
        "samples": maker.samples if maker else None,
        "gaps": tally.gaps.to_json_dict(),
        "format_changes": tally.changes.to_json_dict(),
        "not_sound": maker.not_sound if maker else None,
    }


def _duration(summary: Summary) -> float:
    """Measured length: of a sound file, its samples; else from the first to the last packet."""
    media = summary.media
    if media.video is None and media.audio is not None and media.audio in summary.sounds:
        decoded = summary.tallies[media.audio].decoded_s
        if decoded:
            return decoded
    timed = [
        t
        for t in summary.tallies
        if t.info.type in ("video", "audio") and not t.info.attached_picture and t.packets
    ]
    starts = [t.start_s for t in timed if t.start_s is not None]
    ends = [t.end_s for t in timed if t.end_s is not None]
    return max(ends) - min(starts) if starts and ends else 0.0


def _facts(probe: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that are asked for again and again, flat."""
    names = ("container", "size_bytes", "duration_s", "declared_duration_s")
    facts: dict[str, Any] = {name: probe[name] for name in names}
    facts["streams"] = len(probe["streams"])
    for tag in ("title", "artist"):
        if tag in probe["tags"]:
            facts[tag] = probe["tags"][tag]
    if probe["video"] is not None:
        film = probe["streams"][probe["video"]]
        facts["video_codec"] = film["codec"]
        for name in ("display_width", "display_height", "frames", "variable_frame_rate"):
            facts[name] = film[name]
        top, _, bottom = (film["fps"] or "").partition("/")
        facts["fps"] = round(int(top) / int(bottom), 6) if bottom else None
    if probe["audio"] is not None:
        sound = probe["streams"][probe["audio"]]
        facts["audio_codec"] = sound["codec"]
        for name in ("sample_rate_hz", "channels", "layout", "language"):
            facts[name] = sound[name]
    return facts


def _bit_depth(pixel_format: str | None) -> int | None:
    if not pixel_format:
        return None
    parts = VideoFormat(pixel_format).components
    return max((part.bits for part in parts), default=0) or None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
