"""How far a generation is, as its share of time: from what took how long, and what is left.

Kinds of work that have not begun are guessed; once they run, what they took counts. Not here: who
is told, and how often.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class _Kind:
    left: float
    """Units to do."""
    guess_s: float
    """Seconds a unit takes, as long as none is done."""
    done: float = 0.0
    took_s: float = 0.0

    @property
    def left_s(self) -> float:
        return self.left * (self.took_s / self.done if self.done else self.guess_s)


class Pace:
    """Report the share of time done, from the moment this is made.

    Args:
        report: told the share, 0 to 1, never less than before; and the tokens that are chosen and
            those that will be in all, once these are known.
    """

    def __init__(self, report: Callable[[float, tuple[int, int] | None], None]) -> None:
        self._report, self._share = report, 0.0
        self._chosen = self._tokens = 0
        self._kinds: dict[str, _Kind] = {}
        self._begun = self._last = time.perf_counter()

    def plan(self, kind: str, units: float, guess_s: float) -> None:
        """Add work that is to come: its units, and the seconds that one is guessed to take."""
        self._kinds[kind] = _Kind(units, guess_s)

    def expect(self, tokens: int) -> None:
        """Say how many tokens will be chosen in all."""
        self._tokens = tokens

    def chose(self, tokens: int) -> None:
        """Count tokens that were chosen; the next report tells of them."""
        self._chosen = min(self._chosen + tokens, self._tokens)

    def start(self) -> None:
        """Have the next piece of work begin now: what came before was something else."""
        self._last = time.perf_counter()

    def did(self, kind: str, units: float) -> None:
        """Count work of a kind, done since the last call of this or of ``start``, and report."""
        now = time.perf_counter()
        this = self._kinds[kind]
        this.left, this.done = max(0.0, this.left - units), this.done + units
        this.took_s, self._last = this.took_s + now - self._last, now
        spent = now - self._begun
        left = sum(each.left_s for each in self._kinds.values())
        self._share = max(self._share, spent / (spent + left))
        self._report(self._share, (self._chosen, self._tokens) if self._tokens else None)
