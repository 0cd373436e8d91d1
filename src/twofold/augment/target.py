"""What a predictor recovers of what an augmentation drew, and the loss of knowing nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from twofold.augment.augmentation import Augmentation
from twofold.errors import TwofoldError


@dataclass(frozen=True, kw_only=True)
class Target:
    """What there is to recover of one augmentation's draws, and how it is distributed.

    Example:
        >>> from twofold.augment.spatial import RotateFree
        >>> drawn = {"applied": np.array([True, True]), "angle": np.array([-8.0, 8.0])}
        >>> target = measure("rotate_free", RotateFree(degrees=10), drawn)
        >>> target.names, target.mean, target.std
        (('angle',), (0.0,), (8.0,))
        >>> target.values(drawn).tolist()
        [[-1.0], [1.0]]
    """

    name: str
    """What the augmentation is called."""
    augmentation: Augmentation
    """The settings that drew."""
    kind: Literal["binary", "classes", "continuous"]
    """Whether a predictor recovers if it was applied, which class it took, or how much it did."""
    num_classes: int = 0
    """How many classes there are, if it has classes."""
    names: tuple[str, ...] = ()
    """The quantities to recover if they are continuous; one that never varies is left out."""
    mean: tuple[float, ...] = ()
    """Mean of each quantity, samples it is not applied to included."""
    std: tuple[float, ...] = ()
    """Standard deviation of each quantity, samples it is not applied to included."""
    applied: float
    """Share of the samples it is applied to."""
    frequencies: tuple[float, ...] = ()
    """Share of each class, if it has classes; not applied is the class of the neutral value."""

    @property
    def num_outputs(self) -> int:
        """How many numbers a predictor puts out: one, one per class, or one per quantity."""
        return {"binary": 1, "classes": self.num_classes, "continuous": len(self.names)}[self.kind]

    @property
    def chance(self) -> float:
        """The loss of a predictor that knows the shares, or the mean and deviation, alone.

        `-sum(p ln p)` over the shares p of the classes, or of applied and not, for cross-entropy;
        1 for the mean squared error of standardised quantities.
        """
        if self.kind == "continuous":
            return 1.0
        binary = self.kind == "binary"
        shares = (self.applied, 1 - self.applied) if binary else self.frequencies
        return -sum(share * math.log(share) for share in shares if share > 0)

    def values(self, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is to be recovered of each sample.

        Args:
            drawn: What the augmentation drew: `applied` and parameters by name, each `(n,)`.

        Returns:
            0 or 1 as float32 `(n,)` if binary; the class as int64 `(n,)`; or the quantities as
            float32 `(n, num_outputs)`, with mean 0 and deviation 1 over all draws.
        """
        if self.kind == "binary":
            return drawn["applied"].astype(np.float32)
        found = self.augmentation.quantities(drawn)
        if self.kind == "classes":
            (classes,) = found.values()
            return classes.astype(np.int64)
        quantities = np.stack([found[name] for name in self.names], axis=1)
        return ((quantities - self.mean) / self.std).astype(np.float32)

    def columns(self, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is to be recovered as numbers, and for numbers their squares, too.

        Args:
            drawn: As for `values`.

        Returns:
            float32 `(n, columns)`: 0 or 1 if binary, one column per class, or quantities and
            squares.
        """
        values = self.values(drawn)
        if self.kind == "classes":
            columns: np.ndarray = np.eye(self.num_classes, dtype=np.float32)[values]
            return columns
        if self.kind == "binary":
            return values[:, None]
        return np.concatenate([values, values**2], axis=1)

    def between(
        self, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """How the draws of two views of each sample differ, in the form of `values`.

        Whether just one was applied; the difference of the classes modulo their number; or the
        difference of the quantities, again with deviation 1 over independent draws.
        """
        difference: np.ndarray = self.values(first) - self.values(second)
        if self.kind == "classes":
            difference %= self.num_classes
        elif self.kind == "binary":
            np.abs(difference, out=difference)
        else:
            difference /= math.sqrt(2)
        return difference

    def as_difference(self) -> Target:
        """The target that `between` gives values of, for independent draws."""
        return replace(
            self,
            applied=2 * self.applied * (1 - self.applied),
            frequencies=tuple(
                sum(
                    self.frequencies[number] * self.frequencies[number - shift]
                    for number in range(self.num_classes)
                )
                for shift in range(len(self.frequencies))
            ),
        )

    def as_applied(self) -> Target:
        """The target that tells only whether the augmentation was applied."""
        return replace(
            self, kind="binary", num_classes=0, names=(), mean=(), std=(), frequencies=()
        )


def measure(name: str, augmentation: Augmentation, drawn: Mapping[str, np.ndarray]) -> Target:
    """The target of an augmentation, as it is distributed over what it drew.

    Args:
        name: What the augmentation is called.
        augmentation: The settings that drew.
        drawn: `applied` and parameters by name, each `(n,)`, neutral where it is not applied.

    Raises:
        TwofoldError: If every sample is the same, so that there is nothing to recover.
    """
    found = _found(augmentation, drawn)
    varying = {key: value for key, value in found.items() if value.min() < value.max()}
    if not varying:
        still = {key: np.full(1, value) for key, value in augmentation.neutral.items()}
        neutral = _found(augmentation, {"applied": np.zeros(1, dtype=bool), **still})
        changed = any(found[key][0] != neutral[key][0] for key in found)
        does = "changes every sample alike" if changed else "never changes anything"
        raise TwofoldError(
            f"{name} {does}, so nothing can be predicted; let its probability or its range vary it,"
            " or do not predict it"
        )
    quantities = varying if augmentation.target == "continuous" else {}
    classes = varying if augmentation.target == "classes" else {}
    return Target(
        name=name,
        augmentation=augmentation,
        kind=augmentation.target,
        num_classes=augmentation.num_classes,
        names=tuple(quantities),
        mean=tuple(float(value.mean()) for value in quantities.values()),
        std=tuple(float(value.std()) for value in quantities.values()),
        applied=float(drawn["applied"].mean()),
        frequencies=tuple(
            float((value == which).mean())
            for value in classes.values()
            for which in range(augmentation.num_classes)
        ),
    )


def _found(augmentation: Augmentation, drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if augmentation.target == "binary":
        return {"applied": drawn["applied"]}
    return augmentation.quantities(drawn)
