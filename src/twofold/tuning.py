"""How an encoder that is already trained learns from labels, as plain values. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.errors import TwofoldError


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What of an encoder moves while a new head learns from labels, and which labels there are.

    Example:
        >>> Tuning(label_fraction=0.1, labels_per_class=10)
        Traceback (most recent call last):
        twofold.errors.TwofoldError: label_fraction and labels_per_class are both given; ...
    """

    start: str = ""
    """Run folder or encoder file that it begins with."""
    layer: str = "features"
    """What the new head reads: features, or projector.1 to keep the first layer of the head that
    was trained with the encoder (SimCLRv2)."""
    freeze: bool = False
    """Train the new head alone."""
    layer_decay: float = 1.0
    """Learning rate of each layer as a share of that of the layer above it, in (0, 1]."""
    label_fraction: float | None = None
    """Share of the training labels to use, of each class alike, in (0, 1]; all if none."""
    labels_per_class: int | None = None
    """Training labels of each class to use, >= 1; all if none."""
    held_out: float = 0.1
    """Share of those labels that is not trained on, but chooses the epoch, in [0, 1); none are held
    out where that would leave fewer than five of a class."""
    patience: int = 0
    """Epochs without a lower loss of held-out labels after which the run stops, >= 0; 0 for never:
    while the learning rate is high, few labels say little of where it will end."""
    baseline: bool = False
    """Train the same network from random weights, too."""
    scratch: bool = False
    """Begin with random weights instead."""

    def __post_init__(self) -> None:
        if self.label_fraction is not None and self.labels_per_class is not None:
            raise TwofoldError(
                "label_fraction and labels_per_class are both given; one says how many labels"
            )
        rules = {
            "layer_decay": (0 < self.layer_decay <= 1, "in (0, 1]"),
            "label_fraction": (
                self.label_fraction is None or 0 < self.label_fraction <= 1,
                "in (0, 1]",
            ),
            "labels_per_class": (
                self.labels_per_class is None or self.labels_per_class >= 1,
                ">= 1",
            ),
            "held_out": (0 <= self.held_out < 1, "in [0, 1)"),
            "patience": (self.patience >= 0, ">= 0"),
        }
        for field, (holds, rule) in rules.items():
            if not holds:
                raise TwofoldError(f"{field} is {getattr(self, field)}; it must be {rule}")
