"""ReplayGain and R128 tags of delivered files.

Here: what a player needs to play a file as loud as others. Not here: title, artist and the like,
which the muxer writes (``media.audio.AudioWriter``).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from av_pipelines.media.loudness import Loudness

# Loudness that players bring files to: ReplayGain 2.0, and RFC 7845 §5.2.1 for Opus.
_REPLAY_GAIN_LUFS = -18.0
_R128_LUFS = -23.0
_R128_RANGE = 32767  # of the 16-bit number in 1/256 dB


def write_replay_gain(
    path: Path, style: Literal["vorbis", "id3", "mp4", "r128"] | None, loudness: Loudness
) -> None:
    """Add track gain and peak to a file; nothing for silence, or where there is no such tag.

    Args:
        path: the file.
        style: Vorbis comments, ID3 ``TXXX``, MP4 free-form atoms (ReplayGain 2.0), or Opus'
            ``R128_TRACK_GAIN`` (RFC 7845).
        loudness: as measured on the file.
    """
    if style is None or not math.isfinite(loudness.integrated_lufs):
        return
    import mutagen.flac
    import mutagen.id3
    import mutagen.mp4
    import mutagen.oggopus
    import mutagen.oggvorbis

    gain = f"{_REPLAY_GAIN_LUFS - loudness.integrated_lufs:.2f} dB"
    peak = f"{10 ** (loudness.true_peak_dbtp / 20):.6f}"
    named = {"replaygain_track_gain": gain, "replaygain_track_peak": peak}
    if style == "id3":
        frames = mutagen.id3.ID3(path)
        for name, value in named.items():
            frames.add(mutagen.id3.TXXX(encoding=3, desc=name, text=[value]))
        frames.save(path)
        return
    if style == "mp4":
        file = mutagen.mp4.MP4(path)
        for name, value in named.items():
            file[f"----:com.apple.iTunes:{name}"] = [mutagen.mp4.MP4FreeForm(value.encode())]
    elif style == "r128":
        file = mutagen.oggopus.OggOpus(path)
        steps = round(256 * (_R128_LUFS - loudness.integrated_lufs))
        file["R128_TRACK_GAIN"] = [str(max(-_R128_RANGE, min(_R128_RANGE, steps)))]
    else:
        kind = mutagen.flac.FLAC if path.suffix == ".flac" else mutagen.oggvorbis.OggVorbis
        file = kind(path)
        for name, value in named.items():
            file[name.upper()] = [value]
    file.save()
