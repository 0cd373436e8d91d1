"""What sets one kind of data apart, known before torch is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol

from twofold.augment.augmentation import Augmentation
from twofold.optim.settings import Optimizer

if TYPE_CHECKING:
    import numpy as np

    from twofold.augment.views import Renderer
    from twofold.domains.source import Data
    from twofold.preprocess import Preprocess


class Tools(Protocol):
    """What the package `twofold.domains.NAME` of a domain gives."""

    open_data: Callable[..., Data]
    """Opens anything that can hold such items: to train on, and to test on."""
    render: Renderer
    """Renders views of items from what was drawn."""
    measure: Callable[..., Preprocess]
    """The scale that fits items: `measure(items, input)`."""
    observables: Callable[[np.ndarray], Mapping[str, np.ndarray]]
    """Numbers `(n,)` that experts read off items, by name; of a domain that names some."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One kind of data: its augmentations, its default encoder, and how its items are read.

    Example:
        >>> from twofold.domains.names import DOMAINS
        >>> DOMAINS["image"].augmentations["flip"].probability
        0.5
    """

    name: str
    """What it is called, as its package is."""
    items: str
    """What its items are called, more than one of them."""
    about: str
    """In one line."""
    augmentations: Mapping[str, Augmentation]
    """Every augmentation by name, in the order applied."""
    strong: tuple[str, ...]
    """What an embedding ignores unless another is prescribed, by recipes of every method."""
    gentle: tuple[str, ...]
    """What labels survive: those that fine-tuning and distillation draw."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of augmentations where recipes differ from the published ones."""
    input: Any
    """How items are read, as a dataclass of settings."""
    encoder: str
    """Network if none is named."""
    positives: Literal["augmentations", "group"] = "augmentations"
    """What two views of a recipe are of, if it compares views and allows for either."""
    optimizer: Optimizer | None = None
    """How the weights of such a network move, whatever the method; the method's own if none."""
    shown: Literal["linear", "log", "spectrogram"] = "linear"
    """Whether pictures show values, logarithms of them, or spectrograms of waveforms."""
    colours: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    """Channels shown as red, green and blue, by how many there are; the first three if none."""
    channels: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """What channels are called, by how many there are."""
    axes: tuple[str, str] = ("row", "column")
    """What the height and the width of an item are called, with their units."""
    unit: str = ""
    """Unit of the values, if they have one."""
    signals: bool = False
    """Whether items are signals of one row, whose size is its length."""
    observables: Mapping[str, str] = field(default_factory=dict)
    """What experts read off items: in words, with the unit, by name; nothing if empty."""
    early_resolution: float = 1.0
    """Size of the views in the first part of the training, as a share of the later ones'."""

    def size(self, height: int, width: int) -> int:
        """The size of items: the short side of a picture, the samples of a signal."""
        return width if self.signals else min(height, width)

    @property
    def tools(self) -> Tools:
        """What needs NumPy and torch, imported when it is asked for."""
        tools: Any = import_module(f"twofold.domains.{self.name}")
        return tools  # type: ignore[no-any-return]
