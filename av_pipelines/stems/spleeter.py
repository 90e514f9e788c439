"""The engine ``spleeter``: vocals and accompaniment, with weights that a Python package carries.

Of the two magnitudes that the U-Nets foresee for each bin of the spectrum, the squares say how it
is shared (Hennequin et al., JOSS 2020, their "ratio mask"). The accompaniment is the mix without
the vocals: the sum of both is the mix, to the rounding of 32-bit floats.

Three things are not as in Spleeter itself:

* The U-Nets see every segment at the level at which they do best. As they are, they lose 3 dB of
  SI-SDR on a track at -45 dBFS, and at -60 dBFS their vocals are no better than the mix.
* Above 11 kHz, where they see nothing, vocals get the share they have of the octave below.
  Spleeter leaves that out of both stems, or takes the plain mean of all bins.
* Where the CPU computes in bfloat16 they do, in 0.6 of the time; the stems differ by -47 dB of
  their own level, and are no worse by the truth.

Here: sound to masks to sound, for segments. Not here: files and overlap (``driver``, ``separate``),
the network (``spleeter_net``).
"""

from __future__ import annotations

import functools

import torch
from torch.nn import functional

from av_pipelines.stems.spleeter_net import BINS, DEPTH, UNet
from resources.models import Model, ModelError
from resources.models.weights import load_torch_weights

WINDOW = 4096
HOP = 1024
FRAMES = 512
"""Spectra of a segment, as many as in training: 11.9 s."""

_LEAD_IN = WINDOW - HOP
"""Zeros before and after a segment, so that four windows lie over every sample of it."""
_SQUARES = 3 / 8 * WINDOW
"""Sum of the squares of a Hann window; divided by HOP, what those of all windows add up to."""

_BEST_LEVEL = 10 ** (-17 / 10)
"""Mean square at which the U-Nets do best: 3 dB off cost them nothing, 8 dB a quarter of one."""
_NOISE = 1e-12
"""Mean square of 24-bit rounding, about: no segment is made louder than if it had that."""


class Spleeter:
    """Spleeter's two stems as a ``networks.Network``.

    Args:
        vocals: U-Net of the vocals.
        accompaniment: U-Net of all the rest.
    """

    sources = ("vocals", "accompaniment")
    sample_rate_hz = 44_100
    channels = 2
    segment = FRAMES * HOP - _LEAD_IN
    device = "cpu"
    normalise = False
    overlap = 0.1

    def __init__(self, vocals: UNet, accompaniment: UNet) -> None:
        self._nets = (vocals, accompaniment)
        self._window = torch.hann_window(WINDOW)

    def padded(self, length: int) -> int:
        """Return the shortest segment that is taken and holds ``length`` samples."""
        step = HOP << DEPTH
        return min(self.segment, -(-(length + _LEAD_IN) // step) * step - _LEAD_IN)

    @torch.inference_mode()
    def separate(self, batch: torch.Tensor) -> torch.Tensor:
        """Separate (n, 2, samples) → (n, 2 sources, 2, samples); ``padded`` says how many samples.

        One segment goes through the network at a time: more at once are not faster on a CPU.
        """
        vocals = torch.cat([self._vocals(mix) for mix in batch.split(1)])
        return torch.stack([vocals, batch - vocals], 1)

    def _vocals(self, mix: torch.Tensor) -> torch.Tensor:
        frames = functional.pad(mix, (_LEAD_IN, _LEAD_IN)).unfold(-1, WINDOW, HOP)
        spectra = torch.fft.rfft(frames * self._window)
        seen, unseen = spectra[..., :BINS], spectra[..., BINS:]
        power = seen.real.square() + seen.imag.square()
        magnitudes = (power * _gain(power)).sqrt_().flip(2, 3)  # turned round: see UNet
        mask = share(*(net(magnitudes) for net in self._nets)).flip(2, 3)
        if torch.equal(mix[:, 0], mix[:, 1]):  # a mono recording stays one
            mask = mask.mean(1, keepdim=True)
        seen.mul_(mask)
        octave = power[..., BINS // 2 :]
        energy = octave.sum(-1, keepdim=True)
        vocal_energy = (octave * mask[..., BINS // 2 :]).sum(-1, keepdim=True)
        unseen.mul_(vocal_energy / energy.clamp_min(torch.finfo(energy.dtype).tiny))
        return _overlap_add(torch.fft.irfft(spectra) * (self._window * (HOP / _SQUARES)))


def share(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return s² ÷ (s² + o²), s and o being the sigmoids of the logits, however small they are."""
    return torch.sigmoid(2 * (functional.logsigmoid(logits) - functional.logsigmoid(others)))


def _gain(power: torch.Tensor) -> torch.Tensor:
    """Return what a segment's power is multiplied with to have the best level where it is loud.

    The level is the mean of the frames' energies, weighted with themselves: silence does not count.

    Args:
        power: squared magnitudes, (1, 2, frames, bins).
    """
    energies = power.sum((1, 3))
    loud = energies.square().sum() / energies.sum().clamp_min(_NOISE)
    return _BEST_LEVEL / (loud / (WINDOW * _SQUARES)).clamp_min(_NOISE)  # Parseval, two channels


def _overlap_add(frames: torch.Tensor) -> torch.Tensor:
    """Add frames (…, count, WINDOW) up, HOP apart, and cut the lead-in off both ends."""
    steps, count = WINDOW // HOP, frames.shape[-2]
    hops = frames.unflatten(-1, (steps, HOP))
    total = frames.new_zeros(*frames.shape[:-2], count + steps - 1, HOP)
    for i in range(steps):
        total[..., i : i + count, :] += hops[..., i, :]
    return total.flatten(-2)[..., _LEAD_IN:-_LEAD_IN]


def load_spleeter(model: Model, threads: int | None) -> Spleeter:
    """Load the U-Nets; cheap when this process has them already.

    Args:
        model: ``spleeter-2stems``, as ``find_model`` found and checked it.
        threads: how many PyTorch uses in this process from now on; None: as it is.

    Raises:
        ModelError: ``MODEL_LOAD_FAILED``, naming the file.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    return _load(model)


@functools.lru_cache(maxsize=1)
def _load(model: Model) -> Spleeter:
    vocals, accompaniment = (_unet(model, i) for i in range(2))
    return Spleeter(vocals, accompaniment)


def _unet(model: Model, number: int) -> UNet:
    path = model.weights[number]
    try:
        arrays = load_torch_weights(path)
        net = UNet({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (AttributeError, TypeError, KeyError, RuntimeError) as error:
        raise ModelError(
            "MODEL_LOAD_FAILED", f"{path} holds other weights than {model.name}: {error!r}"
        ) from error
    cpu = torch.cpu.get_capabilities()
    if cpu.get("avx512_bf16") or cpu.get("amx_bf16"):
        net.use_bfloat16()
    return net
