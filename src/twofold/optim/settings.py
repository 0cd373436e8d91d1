"""How the weights move: the settings of an optimiser and its schedule, known before torch is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from twofold.errors import TwofoldError

_POWERS = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}  # of batch_size / 256


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimiser, its learning rate at batch size 256, and a warm-up and cosine per step.

    Example:
        >>> Optimizer(learning_rate=0.3, warmup=0.1).rate(10, steps=100, batch_size=512)
        0.6
    """

    name: Literal["sgd", "adamw", "lars"] = "sgd"
    """sgd (momentum, no Nesterov), adamw or lars."""
    learning_rate: float = 0.03
    """Peak learning rate at batch size 256, > 0."""
    scaling: Literal["linear", "sqrt", "none"] = "linear"
    """How the rate grows with the batch size B: by B/256, by sqrt(B/256), or not at all."""
    vector_rate: float = 1.0
    """Learning rate of biases and normalisations as a share of the weights', > 0."""
    weight_decay: float = 5e-4
    """Weight decay of weights, >= 0; biases and normalisations have none."""
    momentum: float = 0.9
    """Momentum of sgd and lars, first-moment decay of adamw; in [0, 1)."""
    warmup: float = 0.0
    """Share of all steps over which the rate rises linearly from 0; in [0, 1)."""
    lars_rate: Literal["inside", "outside"] = "inside"
    """Whether lars multiplies the rate into its momentum (SimCLR) or after it (BYOL, Barlow Twins,
    VICReg)."""
    final: float = 0.0
    """Share of the peak rate at which the cosine ends; in [0, 1]."""
    clip: float | None = None
    """Longest gradient of all weights together, > 0: a longer one is shortened; none if none."""

    def __post_init__(self) -> None:
        rules = {
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "vector_rate": (self.vector_rate > 0, "> 0"),
            "weight_decay": (self.weight_decay >= 0, ">= 0"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "warmup": (0 <= self.warmup < 1, "in [0, 1)"),
            "final": (0 <= self.final <= 1, "in [0, 1]"),
            "clip": (self.clip is None or self.clip > 0, "> 0"),
        }
        for field, (holds, rule) in rules.items():
            if not holds:
                raise TwofoldError(f"optimizer.{field} is {getattr(self, field)}; must be {rule}")

    def peak(self, batch_size: int) -> float:
        """The largest learning rate."""
        peak: float = self.learning_rate * (batch_size / 256) ** _POWERS[self.scaling]
        return peak

    def rate(self, step: int, *, steps: int, batch_size: int) -> float:
        """The learning rate of `step`, counted from 0 of `steps`.

        Rises as `peak * step / warm` over the first `warm = warmup * steps` steps, then follows
        `peak * (final + (1 - final) * (1 + cos(pi * t)) / 2)` with t from 0 to 1.

        Reference: Loshchilov and Hutter, 2016, arXiv:1608.03983 (one cycle, no restart).
        """
        peak = self.peak(batch_size)
        warm = self.warmup * steps
        if step < warm:
            return peak * step / warm
        share = (step - warm) / max(1.0, steps - warm)
        return peak * (self.final + (1 - self.final) * (1 + math.cos(math.pi * share)) / 2)
