"""The renderer of waveforms: one vocoder for pitch and tempo, one transform for all filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Draws, part_of
from twofold.domains.audio.fourier import clips_of, spectra_of
from twofold.domains.audio.vocoder import warp
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from twofold.augment.augmentation import Values

_TOGETHER = {"cpu": 2**18}  # samples that stay in the cache
_TOGETHER_ELSEWHERE = 2**26


class Warp(Protocol):
    """What changes pitch or tempo."""

    def factors(self, values: Values) -> tuple[np.ndarray, np.ndarray]:
        """What frequencies and what the tempo are multiplied by, each `(n,)`."""


class Filter(Protocol):
    """What changes all of a clip's frequencies by themselves."""

    def response(self, values: Values, clips: Tensor) -> Tensor:
        """What multiplies the spectra of the clips, `(n, samples // 2 + 1)`."""


@torch.no_grad()
def render(
    augmentations: Mapping[str, Augmentation],
    clips: Tensor,
    draws: Draws,
    *,
    size: int,
    views: int = 1,
) -> Tensor:
    """The views that `draws` describe: the first of every clip, the second of every clip...

    A clip's view is the same bit for bit in any batch. Where nothing is applied it is the clip
    itself. Pitch and tempo change first, in one go, and filters come last, multiplied with each
    other; changing the sign commutes with them.

    Args:
        augmentations: Settings by name, in the order applied.
        clips: float32 on the scale of the views, `(n, channels, 1, samples)`, on any device.
        draws: For the same samples over and over, `(views * n,)`.
        size: The number of samples; views are as long as clips.
        views: How many views of each clip the draws describe.

    Returns:
        float32, `(views * n, channels, 1, samples)`.

    Raises:
        TwofoldError: If views of another size are asked for.

    Example:
        >>> from twofold.domains.audio.augmentations import AUDIO
        >>> drawn = {"time_shift": {"applied": np.array([True]), "shift": np.array([0.25])}}
        >>> clips = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4)
        >>> some = {"time_shift": AUDIO["time_shift"]}
        >>> render(some, clips, drawn, size=4).flatten().tolist()
        [4.0, 1.0, 2.0, 3.0]
    """
    samples = clips.shape[-1]
    if size != samples:
        found = f"the views' size is {size}, and the clips have {samples} samples"
        raise TwofoldError(f"{found}; views are as long as clips, so leave view_size out")
    rendered = clips.repeat(views, 1, 1, 1)
    room = _TOGETHER.get(clips.device.type, _TOGETHER_ELSEWHERE)
    together = max(1, room // max(1, clips[:1].numel()))
    for start in range(0, len(rendered), together):
        some = slice(start, start + together)
        _change(augmentations, rendered[some], part_of(draws, some))
    return rendered


def _change(augmentations: Mapping[str, Augmentation], clips: Tensor, draws: Draws) -> None:
    """Changes the clips as was drawn for them."""
    stages: dict[str, dict[str, Augmentation]] = {"geometry": {}, "colour": {}, "filter": {}}
    for name, augmentation in augmentations.items():
        stages[augmentation.stage][name] = augmentation
    _warp(stages["geometry"], clips, draws)
    for name, augmentation in stages["colour"].items():
        rows = np.flatnonzero(draws[name]["applied"])
        if len(rows):
            index = torch.from_numpy(rows).to(clips.device)
            values = part_of({name: draws[name]}, rows)[name]
            changed = augmentation.render(clips.index_select(0, index), values)
            clips.index_copy_(0, index, changed)
    _filter(stages["filter"], clips, draws)


def _warp(augmentations: Mapping[str, Augmentation], clips: Tensor, draws: Draws) -> None:
    """Changes pitch and tempo of the clips that any of them is applied to."""
    rows = _rows(augmentations, draws)
    if not len(rows):
        return
    pitch, tempo = np.ones(len(rows)), np.ones(len(rows))
    for name, augmentation in augmentations.items():
        values = part_of({name: draws[name]}, rows)[name]
        higher, faster = cast("Warp", augmentation).factors(values)
        pitch *= higher
        tempo *= faster
    index = torch.from_numpy(rows).to(clips.device)
    clips.index_copy_(0, index, warp(clips.index_select(0, index), pitch, tempo))


def _filter(augmentations: Mapping[str, Augmentation], clips: Tensor, draws: Draws) -> None:
    """Filters the clips that any of them is applied to."""
    rows = _rows(augmentations, draws)
    if not len(rows):
        return
    index = torch.from_numpy(rows).to(clips.device)
    spectra = spectra_of(clips.index_select(0, index))
    for name, augmentation in augmentations.items():
        values = part_of({name: draws[name]}, rows)[name]
        some = np.flatnonzero(values["applied"])
        if len(some):
            drawn = part_of({name: values}, some)[name]
            responses = cast("Filter", augmentation).response(drawn, clips)
            for row, response in zip(some.tolist(), responses, strict=True):
                for spectrum in spectra[row, :, 0]:  # torch rounds a tensor's last few otherwise
                    spectrum.mul_(response)
    clips.index_copy_(0, index, clips_of(spectra, clips.shape[-1]))


def _rows(augmentations: Mapping[str, Augmentation], draws: Draws) -> np.ndarray:
    """Which samples any of the augmentations is applied to."""
    applied = [draws[name]["applied"] for name in augmentations]
    return np.flatnonzero(np.logical_or.reduce(applied)) if applied else np.array([], np.int64)
