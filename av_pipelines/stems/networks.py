"""What the driver needs of a network that takes a mix apart, whoever made it.

Here: the protocol. Not here: networks (``demucs_models``, ``spleeter``), files (``separate``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


class Network(Protocol):
    """A network that takes segments of a stereo mix apart."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stems, in the order of the output."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Of what goes in and comes out."""
        ...

    @property
    def channels(self) -> int:
        """Of what goes in and of each stem."""
        ...

    @property
    def segment(self) -> int:
        """Samples of one segment."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, as PyTorch names it."""
        ...

    @property
    def normalise(self) -> bool:
        """Whether it wants the mix with the mean and standard deviation of the track taken out."""
        ...

    def separate(self, batch: torch.Tensor) -> torch.Tensor:
        """Separate float32 (batch, channels, segment) → (batch, sources, channels, segment).

        Full scale is ±1; the result may be on the CPU or on ``device``.
        """
        ...


@runtime_checkable
class TakesShorter(Protocol):
    """A network that can also take segments shorter than ``segment``."""

    def padded(self, length: int) -> int:
        """Return how many samples it wants to be given for the last ``length`` of a track."""
        ...


@runtime_checkable
class OverlapsLess(Protocol):
    """A network that gains nothing from the overlap that is usual."""

    @property
    def overlap(self) -> float:
        """Share of a segment that the next one need overlap."""
        ...
