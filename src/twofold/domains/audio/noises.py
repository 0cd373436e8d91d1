"""Random sounds that follow from 32-bit keys: noise of any colour, and how a room answers."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from twofold.augment.colour import column
from twofold.augment.draws import philox
from twofold.domains.audio.fourier import clips_of

_KEY = zlib.crc32(b"sound")
_TINY = 1e-15  # norm of the noise of a clip too short to have any
_MILLIONTH = 3 * math.log(10)  # an amplitude falls by 60 dB in this many e-foldings


def shares(key: Tensor, count: int) -> Tensor:
    """Uniform numbers in (0, 1) for every 32-bit key: 256 of them, evenly spaced, are possible.

    Args:
        key: int64 `(n,)`.
        count: Numbers per key.

    Returns:
        float32 `(n, count)`.
    """
    block = torch.arange(-(-count // 16), device=key.device)[None, :]
    zero = torch.zeros_like(block)
    words = philox((block, zero, zero, zero), (key[:, None], _KEY))
    octets = torch.cat([word.to(torch.int32) for word in words], dim=1).view(torch.uint8)
    return octets[:, :count].float().add_(0.5).mul_(2.0**-8)


def add(clips: Tensor, key: np.ndarray, decay: np.ndarray, snr: np.ndarray) -> Tensor:
    """Noise added to clips, the same to all channels, so many decibels below them.

    Args:
        clips: `(n, channels, 1, samples)`; it is overwritten.
        key: What the noise follows from, `(n,)`.
        decay: Its colour, see `coloured`, `(n,)`.
        snr: `10 log10(P_clip / P_noise)`, the mean powers over the clip, `(n,)`.
    """
    keys = torch.from_numpy(key.astype(np.int64)).to(clips.device)
    decays = torch.from_numpy(decay.astype(np.float32)).to(clips.device)
    noise = coloured(keys, decays, clips.shape[-1])[:, None, None]
    heard, added = (
        torch.linalg.vector_norm(sound, dim=(1, 2, 3), keepdim=True) for sound in (clips, noise)
    )
    wanted = heard * column(10 ** (-snr / 20) / math.sqrt(clips.shape[1]), clips)
    scale = wanted / added.clamp(min=_TINY)
    return clips.add_(noise.mul_(scale))


def coloured(key: Tensor, decay: Tensor, samples: int) -> Tensor:
    """Noise whose amplitude falls with frequency: `a(f) = f^-decay`, random in its phases.

    f goes evenly from 1 at 0 to `√(samples / 2)` at half the sample rate, as it does for a second
    of sound in torch-audiomentations, whose ranges of decay are in use: 0 is white, 1 and 2 sound
    darker, -1 and -2 brighter. The sum of so many waves is normal in time.

    Args:
        key: What the phases follow from, int64 `(n,)`.
        decay: float32 `(n,)`.
        samples: Length of the noise.

    Returns:
        float32 `(n, samples)` of mean 0 and of any power; silence if it is one sample long.
    """
    bins = samples // 2 + 1
    pitch = torch.linspace(1, max(1.0, math.sqrt(samples / 2)), bins, device=key.device).log_()
    amplitude = (pitch * -decay[:, None]).exp_()
    amplitude[:, 0] = 0
    phase = shares(key, bins).mul_(2 * math.pi)
    waves = torch.complex(phase.cos().mul_(amplitude), phase.sin_().mul_(amplitude))
    return clips_of(waves, samples)


def echoes(key: Tensor, decay: np.ndarray, wet: np.ndarray, samples: int, longest: int) -> Tensor:
    """How a room answers a click: `δ(t) + wet r(t)`, r noise of energy 1 that decays from t = 1 on.

    Args:
        key: What the noise follows from, int64 `(n,)`.
        decay: Samples in which it decays by 60 dB, > 0, `(n,)`.
        wet: Amplitude of the echoes as a share of the direct sound's, `(n,)`.
        samples: Length of the answer.
        longest: How many samples echo, the same whatever the batch.

    Returns:
        float32 `(n, samples)`.
    """
    count = min(longest, samples - 1)
    fall, loud = (
        torch.from_numpy(value.astype(np.float32))[:, None].to(key.device)
        for value in (_MILLIONTH / decay, wet)
    )
    time = torch.arange(1, count + 1, device=key.device)
    noise = shares(key, count).mul_(2).sub_(1).mul_((-fall * time).exp_())
    answer = noise.new_zeros(len(key), samples)
    answer[:, :1] = 1
    energy = torch.linalg.vector_norm(noise, dim=1, keepdim=True).clamp_(min=1e-12)
    answer[:, 1 : count + 1] = noise.mul_(loud / energy)
    return answer
