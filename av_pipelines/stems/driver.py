"""Running a network over a track of any length, in memory that does not depend on the length.

What comes out is what ``demucs.apply.apply_model`` gives for the whole track at once, up to the
rounding of 32-bit floats.

Here: windows, batches, overlap-add. Not here: positions and weights (``segments``), files and
resampling (``separate``, ``sound``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from av_pipelines.stems.networks import Network, TakesShorter
from av_pipelines.stems.segments import Segment, segments

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Passes:
    """How often and how closely a network goes over a track."""

    overlap: float = 0.25
    """Share of a segment that the next one overlaps."""
    leads: Sequence[int] = (0,)
    """Zeros before the track, one number for each pass; the passes are averaged."""
    batch: int = 1
    """Segments that go through the network at once."""
    silence: float | None = None
    """Peak up to which a segment is taken for silent: its stems are zeros and cost nothing."""


@dataclass
class Moments:
    """What is taken out before the network, and put back after it."""

    mean: np.float32 = field(default_factory=np.float32)
    std: np.float32 = field(default_factory=lambda: np.float32(1))


class _Window:
    """A part of the track: samples come in at its end and are dropped at its beginning."""

    def __init__(self, channels: int) -> None:
        self._samples = np.zeros((channels, 0), np.float32)
        self.first = 0

    @property
    def end(self) -> int:
        return self.first + self._samples.shape[1]

    def append(self, block: Samples) -> None:
        self._samples = np.concatenate([self._samples, block], axis=1)

    def drop(self, before: int) -> None:
        count = min(max(0, before - self.first), self._samples.shape[1])
        self._samples = self._samples[:, count:]
        self.first += count

    def cut(self, first: int, end: int) -> Samples:
        assert self.first <= first <= end <= self.end
        return self._samples[:, first - self.first : end - self.first]


class _Sum:
    """The stems as far as they are not final: what segments say of them is added up."""

    def __init__(self, sources: int, channels: int) -> None:
        self._samples = np.zeros((sources, channels, 0), np.float32)
        self.first = 0

    def add(self, at: int, stems: Samples) -> None:
        if at < self.first:  # of the zeros before the track
            at, stems = self.first, stems[..., self.first - at :]
        missing = at - self.first + stems.shape[-1] - self._samples.shape[-1]
        if missing > 0:
            self._samples = np.pad(self._samples, ((0, 0), (0, 0), (0, missing)))
        first = at - self.first
        self._samples[..., first : first + stems.shape[-1]] += stems

    def take(self, before: int) -> Samples:
        count = max(0, before - self.first)
        done, self._samples = self._samples[..., :count], self._samples[..., count:].copy()
        self.first += count
        return done


def run(
    network: Network,
    blocks: Iterable[Samples],
    length: int,
    passes: Passes,
    moments: Moments,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Samples]:
    """Take a track apart, block by block.

    Args:
        network: who does it.
        blocks: the track, each of shape (channels, samples), at the network's rate.
        length: samples of the whole track.
        passes: how.
        moments: of the track.
        progress: is told the share of the segments done, 0 to 1.

    Yields:
        What is final, one after the other, each of shape (sources, channels, samples).

    Raises:
        ValueError: the blocks are not as long as ``length``.
    """
    runner = _Runner(network, passes, moments, length)
    padded = network.padded if isinstance(network, TakesShorter) else None
    work = segments(length, network.segment, passes.overlap, passes.leads, padded)
    source = iter(blocks)
    stems = _Sum(len(network.sources), network.channels)
    ahead = next(work)
    while True:
        batch = [ahead, *itertools.islice(work, passes.batch - 1)]
        following = next(work, None)
        runner.read(source, max(min(s.end, length) for s in batch))
        for segment, said in zip(batch, runner.separate(batch), strict=True):
            stems.add(segment.at, said)
        if following is None:
            progress(1.0)
            yield stems.take(length)
            return
        done = stems.take(following.at)
        runner.window.drop(following.at - network.segment)  # a last segment looks back so far
        progress(min(1.0, max(0, following.at) / length))
        if done.shape[-1]:
            yield done
        ahead = following


class _Runner:
    """The network with what it is given: the window of the track, and what it said of silence."""

    def __init__(self, network: Network, passes: Passes, moments: Moments, length: int) -> None:
        self._network, self._passes = network, passes
        self._moments, self._length = moments, length
        self._device = torch.device(network.device)
        self._constant: tuple[tuple[int, float], Samples] | None = None
        self.window = _Window(network.channels)

    def read(self, source: Iterator[Samples], end: int) -> None:
        """Read until the window reaches ``end``."""
        while self.window.end < end:
            block = next(source, None)
            if block is None:
                raise ValueError(
                    f"the sound ends after {self.window.end} samples; {self._length} were announced"
                )
            self.window.append(block)

    def separate(self, batch: Sequence[Segment]) -> Iterator[Samples]:
        """Yield what the network says of each segment, weighted with its share."""
        answers: dict[int, Samples] = {}
        wanted: dict[int, Samples] = {}
        for index, segment in enumerate(batch):
            given = self._input(segment)
            if given is not None and (known := self._known(given)) is not None:
                answers[index] = known
            elif given is not None:
                wanted[index] = given
        for _, group in itertools.groupby(wanted.items(), key=lambda item: item[1].shape):
            indices, inputs = zip(*group, strict=True)  # only equal sizes go through at once
            answers.update(zip(indices, self._ask(inputs), strict=True))
        mean, std, passes = self._moments.mean, self._moments.std, len(self._passes.leads)
        for index, segment in enumerate(batch):
            if (answer := answers.get(index)) is None:
                shape = len(self._network.sources), self._network.channels, segment.share.size
                yield np.zeros(shape, np.float32)
            else:
                said: Samples = answer[..., segment.inner] * std + mean
                said *= segment.share / np.float32(passes)
                yield said

    def _input(self, segment: Segment) -> Samples | None:
        """What the network is given; None for a segment that is silent enough to be left out."""
        first, end = max(0, segment.start), min(segment.end, self._length)
        heard = self.window.cut(min(first, end), end)
        quiet = self._passes.silence
        if quiet is not None and (not heard.size or np.abs(heard).max() <= quiet):
            return None
        given = np.zeros((heard.shape[0], segment.size), np.float32)
        place = slice(first - segment.start, first - segment.start + heard.shape[1])
        given[:, place] = (heard - self._moments.mean) / self._moments.std
        return given

    def _known(self, samples: Samples) -> Samples | None:
        """The answer to a constant that was heard before: digital silence is asked for once."""
        if self._constant is None:
            return None
        (size, value), answer = self._constant
        return answer if samples.shape[1] == size and (samples == value).all() else None

    def _ask(self, inputs: Sequence[Samples]) -> Iterator[Samples]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(inputs)).to(self._device)
            answers = self._network.separate(batch).cpu().numpy()
        for given, answer in zip(inputs, answers, strict=True):
            if self._constant is None and (given == given[0, 0]).all():
                self._constant = (given.shape[1], float(given[0, 0])), answer.copy()
            yield answer
