"""How several losses become one update: the settings of a balancer, known before torch is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from twofold.errors import TwofoldError, unknown

Name = Literal[
    "weighted",
    "gradnorm",
    "uncertainty",
    "dwa",
    "random",
    "mean",
    "pcgrad",
    "upgrad",
    "dualproj",
    "mgda",
    "cagrad",
    "imtl_g",
    "aligned_mtl",
]
BALANCERS: tuple[str, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What decides how much each of several losses moves the weights they share.

    Example:
        >>> Balance(name="gradnorm", alpha=0.12).rate
        0.025
        >>> Balance(name="grad-norm")
        Traceback (most recent call last):
        twofold.errors.TwofoldError: unknown balancer 'grad-norm'; did you mean 'gradnorm'? ...
    """

    name: Name = "weighted"
    """weighted (a fixed sum), gradnorm, uncertainty, dwa or random (factors that change), or one
    that combines the gradients themselves: mean, pcgrad, upgrad, dualproj, mgda, cagrad, imtl_g or
    aligned_mtl."""
    alpha: float = 1.5
    """How much harder gradnorm pulls losses that fall slowly, >= 0; 0 evens all gradients out."""
    rate: float = 0.025
    """Learning rate of the factors of gradnorm and uncertainty, > 0."""
    softness: float = 2.0
    """The temperature of dwa, > 0; a large one makes all factors 1."""
    layer: str | None = None
    """Module of the encoder on whose weight gradients are compared; the last shared one if none."""
    measure_every: int = 20
    """Steps between measurements of gradients, >= 1; gradnorm and combiners measure at each."""

    def __post_init__(self) -> None:
        if self.name not in BALANCERS:
            raise unknown("balancer", self.name, BALANCERS)
        rules = {
            "alpha": (self.alpha >= 0, ">= 0"),
            "rate": (self.rate > 0, "> 0"),
            "softness": (self.softness > 0, "> 0"),
            "measure_every": (self.measure_every >= 1, "at least 1"),
        }
        for field, (holds, rule) in rules.items():
            if not holds:
                raise TwofoldError(f"balance.{field} is {getattr(self, field)}; must be {rule}")
