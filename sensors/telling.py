"""What the inbox sensor tells a person: why a file is not being made, and what to do about it.

Here: words. Not here: any rule (``watching``), or where the words go (``inbox``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sensors.listing import Found, Listing, recipe_of
from sensors.watching import Decision, Memory, mark_of

_FEW = 5


def shown(text: str) -> str:
    """Return a text on one line that can be printed anywhere: file names may hold any byte."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def few(items: Iterable[str]) -> str:
    """List the first few things, and say how many more there are."""
    named = [shown(item) for item in items]
    more = f" and {len(named) - _FEW} more" if len(named) > _FEW else ""
    return ", ".join(named[:_FEW]) + more


def warnings(
    found: Found,
    listing: Listing,
    memory: Memory,
    decision: Decision,
    recipes: Collection[str],
    own_recipes: Path,
    recipe_of: Callable[[str], str] = recipe_of,
) -> list[str]:
    """Say what keeps which files from being made; the same trouble is said in the same words."""
    said: list[str] = []
    if found.unlisted:
        said.append(f"cannot list {few(f'{k} ({v})' for k, v in found.unlisted.items())}")
    if listing.failed:
        said.append(f"cannot look at {few(f'{k} ({v})' for k, v in listing.failed.items())}")
    if found.links:
        said.append(f"left alone, because a link or no plain file: {few(found.links)}")
    said += _strangers(found, recipes, own_recipes, recipe_of)
    for seen, since in decision.unstable[:_FEW]:
        cause = f"{seen.writing} lies beside it" if seen.writing else "something writes to it"
        since_utc = datetime.fromtimestamp(since / 1000, UTC)
        said.append(shown(f"{seen.path}: not whole since {since_utc:%F %H:%M} UTC: {cause}"))
    if len(decision.unstable) > _FEW:
        said.append(f"{len(decision.unstable) - _FEW} more files are not whole for so long")
    troubled = [
        f"{seen.path}: {memory.waiting[mark].why}"
        for seen in (listing.files if memory.waiting else ())
        if (mark := mark_of(seen)) in memory.waiting
    ]
    said += map(shown, troubled[:_FEW])
    if len(troubled) > _FEW:
        said.append(f"{len(troubled) - _FEW} more files wait like this")
    return said


def _strangers(
    found: Found, recipes: Collection[str], own_recipes: Path, recipe_of: Callable[[str], str]
) -> list[str]:
    counts: dict[str, int] = {}
    for file in found.files:
        folder = recipe_of(file.path)
        if folder not in recipes:
            counts[folder] = counts.get(folder, 0) + 1
    return [
        shown(
            f"{folder}/ holds {count} files, but there is no recipe {folder!r}; there are: "
            f"{', '.join(recipes)}. Move them into one of these folders, or write "
            f"{own_recipes / folder}.toml"
        )
        for folder, count in counts.items()
    ]


def summary(found: Found, memory: Memory, decision: Decision) -> str:
    """Say in a line what is in the inbox."""
    amounts: Mapping[str, int] = {
        "with runs": len(memory.asked_marks),
        "claimed, for the next run": len(memory.claimed),
        "settling or next": len(memory.settling),
        "waiting for their turn": decision.behind,
        "kept waiting": len(memory.waiting),
        "partial downloads": found.partial,
    }
    parts = [f"{amount} {name}" for name, amount in amounts.items() if amount]
    return f"{len(found.files)} files in the inbox" + (f": {', '.join(parts)}" if parts else "")


def together(first: str, said: Sequence[str]) -> str:
    """Join a summary and the warnings to one text."""
    return ". ".join([first, *said])
