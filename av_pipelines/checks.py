"""Checks that several rooms put on what they make. Not here: those of one room (its ``assets``)."""

from __future__ import annotations

from av_pipelines.maker import Check, Checked

_SAME_S = 0.05


def same_length(asset: str) -> Check:
    """Return the check that a thing is as long as what it was made from, to 0.05 s."""

    def wrong(checked: Checked) -> str | None:
        mine = checked.facts["duration_s"]
        theirs = checked.inputs.get(asset, {}).get("duration_s", mine)
        if abs(mine - theirs) <= _SAME_S:
            return None
        return f"it is {mine:.3f} s long, and the {asset} that it was made from {theirs:.3f} s"

    return Check("same_length", f"As long as its {asset}.", wrong, blocking=True)
