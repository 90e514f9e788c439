"""The numbers that a MusicGen speaks: their order, and how they are drawn.

There are four codebooks, each a step behind the one before: codebook k of frame f is chosen at
step f + k, so F frames take F + 3 steps (the delay pattern of *Simple and Controllable Music
Generation*, Copet et al. 2023, section 2.2). Not here: the graphs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
"""(codebooks, frames)."""


class DelayPattern:
    """The codes of a piece while it grows, as the columns that the decoder is fed.

    Args:
        frames: of the piece.
        pad: the code for "none".
        codebooks: how many there are.
        known: codes (codebooks, n) of the first n frames, to go on from.
    """

    def __init__(
        self, frames: int, pad: int, codebooks: int = 4, known: Codes | None = None
    ) -> None:
        self.frames, self._pad = frames, pad
        self._books = np.arange(codebooks)
        self.codes: Codes = np.full((codebooks, frames), pad, dtype=np.int64)
        self._known = 0 if known is None else known.shape[1]
        if known is not None:
            self.codes[:, : self._known] = known

    @property
    def steps(self) -> int:
        """Steps until every code is chosen; step n is fed column n."""
        return self.frames + len(self._books) - 1

    @property
    def first_step(self) -> int:
        """The first step that chooses a code; the columns before it are known."""
        return self._known

    def column(self, step: int) -> Codes:
        """Return what the decoder is fed at a step, (codebooks,): none before and after a book."""
        frame = step - 1 - self._books
        inside = (frame >= 0) & (frame < self.frames)
        return np.where(inside, self.codes[self._books, frame.clip(0, self.frames - 1)], self._pad)

    def take(self, step: int, chosen: Codes) -> None:
        """Keep what was chosen at a step, (codebooks,), but where it is known or not wanted."""
        frame = step - self._books
        wanted = (frame >= self._known) & (frame < self.frames)
        self.codes[self._books[wanted], frame[wanted]] = chosen[wanted]


class Sampler:
    """Choose a code of each codebook from the decoder's scores.

    The same seed draws the same numbers, however many threads computed the scores: every step takes
    one number a codebook, and the codes are laid out in their own order, so that scores that differ
    in the last digit move the borders by as little.

    Args:
        seed: of the draws.
        guidance: above 1: how far from the unconditional scores to go (classifier-free guidance).
        temperature: 0 takes the highest score.
        top_k: only so many of the highest; 0: all.
        top_p: only the likeliest that together reach this share; 0 or 1: all.
    """

    def __init__(
        self,
        seed: int,
        *,
        guidance: float = 3.0,
        temperature: float = 1.0,
        top_k: int = 250,
        top_p: float = 0.0,
    ) -> None:
        self._draws = np.random.Generator(np.random.PCG64(seed))
        self._guidance, self._temperature = guidance, temperature
        self._top_k, self._top_p = top_k, top_p

    @property
    def guided(self) -> bool:
        """Whether the scores must hold unconditional ones too."""
        return self._guidance > 1.0

    def __call__(self, scores: NDArray[np.float32]) -> Codes:
        """Choose from scores.

        Args:
            scores: (codebooks, codes); guided: (2 × codebooks, codes), those with the prompt first.

        Returns:
            One code for each codebook.

        Raises:
            FloatingPointError: a score is not a number.
        """
        if self.guided:
            with_prompt, without = np.split(scores, 2)
            scores = np.asarray(
                without + (with_prompt - without) * self._guidance, dtype=np.float32
            )
        if not np.isfinite(scores).all():
            raise FloatingPointError("the decoder's scores are not numbers")
        if self._temperature == 0:
            return scores.argmax(axis=1)
        shares = self._shares(scores.astype(np.float64) / self._temperature)
        ends = shares.cumsum(axis=1)
        drawn = self._draws.random((len(ends), 1)) * ends[:, -1:]
        return np.minimum((ends <= drawn).sum(axis=1), scores.shape[1] - 1)

    def _shares(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of each code, up to a factor; 0 for what is not to be chosen."""
        if 0 < self._top_k < scores.shape[1]:
            least = np.partition(scores, -self._top_k, axis=1)[:, -self._top_k, None]
            scores = np.where(scores < least, -np.inf, scores)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        if 0 < self._top_p < 1:
            order = np.argsort(-shares, axis=1, kind="stable")
            ranked = np.take_along_axis(shares, order, axis=1)
            before = ranked.cumsum(axis=1) - ranked
            ranked[before >= self._top_p * shares.sum(axis=1, keepdims=True)] = 0
            np.put_along_axis(shares, order, ranked, axis=1)
        return shares
