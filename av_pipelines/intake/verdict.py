"""Whether a file that was read to its end is whole enough to be taken.

Here: measured length against declared length, damage against what is sound. Not here: measuring
(``tally``), limits (``containers``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from av_pipelines.intake.refusal import Refused
from av_pipelines.intake.settings import SourceSettings
from av_pipelines.intake.tally import Damage, Tally

if TYPE_CHECKING:
    from av_pipelines.intake.blocks import BlockMaker
    from av_pipelines.intake.containers import Media

# Differences that say nothing: encoders' priming and padding, rounding, a last frame's duration.
_NOT_WORTH_NAMING = 0.01
_NOT_WORTH_NAMING_S = 0.1
_NEVER_TRUNCATED_S = 0.25


def judge(
    media: Media,
    tallies: Sequence[Tally],
    reading: Damage,
    sounds: Mapping[int, BlockMaker],
    settings: SourceSettings,
) -> list[str]:
    """Compare what a file holds with what it says.

    Returns:
        What is wrong with it although it is kept, in words; empty if nothing is.

    Raises:
        Refused: less than ``min_complete`` of it is there or can be decoded.
    """
    chosen = [tallies[i] for i in (media.video, media.audio) if i is not None]
    first = reading.named[0].what if reading.named else None
    if not any(t.filled for t in chosen):
        says = "" if media.declared_s is None else f"says {media.declared_s:.1f} s but "
        raise Refused(f"{says}holds nothing: its audio and video are not in it", first)
    flaws = _lengths(media, tallies, chosen, settings)
    flaws += _decoding(chosen, settings)
    if reading.count:
        flaws.append(f"reading it failed {reading.count} times, first with: {first}")
    if media.audio is not None and media.audio in sounds:
        flaws += _sound(tallies[media.audio], sounds[media.audio])
    return flaws


def _lengths(
    media: Media, tallies: Sequence[Tally], chosen: Sequence[Tally], settings: SourceSettings
) -> list[str]:
    declared = [(t, t.info.duration_s) for t in chosen]
    flaws: list[str] = []
    if all(length is not None for _, length in declared):
        for tally, length in declared:
            whose = f"its {tally.info.type} " if len(chosen) > 1 else ""
            flaws += _short(whose, length or 0.0, tally.duration_s, settings)
    elif media.declared_s is not None:
        timed = [t for t in tallies if t.start_s is not None and t.info.type != "data"]
        start = min((t.start_s or 0.0 for t in timed), default=0.0)
        end = max((t.end_s or 0.0 for t in timed), default=0.0)
        # A container's length counts from its own zero, or from the first stream's beginning.
        flaws += _short("", media.declared_s, max(end, end - start), settings)
    return flaws


def _short(whose: str, declared: float, held: float, settings: SourceSettings) -> list[str]:
    missing = declared - held
    if missing <= max(_NOT_WORTH_NAMING * declared, _NOT_WORTH_NAMING_S):
        return []
    # Rounded down, so that it never says 90 % where 90 % is what is asked for.
    share = int(100 * held / declared)
    said = f"{whose}says {declared:.1f} s but holds {held:.1f} s ({share} %)"
    if held < settings.min_complete * declared and missing > _NEVER_TRUNCATED_S:
        raise Refused(f"{said}: truncated")
    return [said]


def _decoding(chosen: Sequence[Tally], settings: SourceSettings) -> list[str]:
    flaws: list[str] = []
    useless: list[Tally] = []
    for tally in chosen:
        name = f"{tally.info.type} stream {tally.info.index} ({tally.info.codec})"
        got = tally.decoded_s or tally.decoded_frames
        if not tally.filled or (tally.sent and not got):
            useless.append(tally)
            why = "holds nothing" if not tally.filled else "cannot be decoded"
            flaws.append(f"{name} {why}")
        elif tally.damaged.count:
            # Of a film only some frames may have been asked for, and a recording that begins
            # between keyframes fails until the first of them.
            tried = tally.filled if tally.info.type == "video" else tally.sent
            said = f"{tally.damaged.count} of {tried} packets of {name} cannot be decoded"
            if tally.damaged.count > (1 - settings.min_complete) * tried + 1:
                raise Refused(said, tally.damaged.named[0].what)
            flaws.append(said)
    if len(useless) == len(chosen):
        damage = [t.damaged.named[0].what for t in useless if t.damaged.named]
        raise Refused("; ".join(flaws), "; ".join(damage) or None)
    return flaws


def _sound(tally: Tally, sound: BlockMaker) -> list[str]:
    flaws: list[str] = []
    if tally.missing_s > max(_NOT_WORTH_NAMING * tally.duration_s, _NOT_WORTH_NAMING_S):
        flaws.append(
            f"its audio has {tally.gaps.count} gaps, {tally.missing_s:.1f} s in all, "
            "that are not in the audio artifact"
        )
    if tally.changes.count and sound.format:
        flaws.append(
            f"its audio changes sample rate or channels {tally.changes.count} times; all of it is "
            f"given in {sound.format.sample_rate} Hz, {sound.format.layout}"
        )
    if sound.not_sound:
        flaws.append(f"{sound.not_sound} samples of its audio are no numbers; they are silence now")
    return flaws
