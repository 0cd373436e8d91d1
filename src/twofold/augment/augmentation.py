"""What an augmentation is: settings that draw numbers first and touch pixels after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from twofold.errors import TwofoldError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Values = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """One named change to an image: first drawn as numbers, then rendered from them.

    A subclass declares the class variables and implements `draw` and what its stage needs: `box`
    (crop), `matrix` (geometry) or `render` (colour and filter).
    """

    probability: float = 1.0
    """Share of the samples it is applied to, in [0, 1]."""

    stage: ClassVar[Literal["crop", "geometry", "colour", "filter"]]
    """When it is rendered, and by which method."""
    group: ClassVar[str | None] = None
    """Members of a group are applied to the same samples, in an order drawn per sample."""
    target: ClassVar[Literal["binary", "classes", "continuous"]] = "binary"
    """What a predictor recovers: whether it was applied, which class, or how much."""
    num_classes: ClassVar[int] = 0
    """How many classes the parameter has if `target` is classes."""
    words: ClassVar[str] = ""
    """What was done to one sample, as a format string of its parameters."""

    effect: ClassVar[str] = ""
    """What it does, where it takes another's place."""

    @property
    def neutral(self) -> Mapping[str, float]:
        """Every parameter it draws, with the value recorded where it is not applied."""
        return {}

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters a predictor recovers, all of them if `target` is not binary."""
        return () if self.target == "binary" else tuple(self.neutral)

    @property
    def num_uniforms(self) -> int:
        """How many uniform numbers `draw` reads per sample."""
        return len(self.neutral)

    def __post_init__(self) -> None:
        within(self, "probability", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Parameters `(n,)` by name, as if applied, from uniform numbers `(n, num_uniforms)`."""
        del numbers
        return {}

    def for_channels(self, channels: int) -> Augmentation | None:
        """This augmentation, its substitute, or None where it has nothing to do."""
        del channels
        return self

    def caption(self, values: Mapping[str, float]) -> str:
        """What was done to one sample, in a word or two."""
        return self.words.format(**values)

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """What a predictor recovers, `(n,)` by name, from what was drawn; nothing if binary.

        Numbers that lie close where samples look alike: an angle of a full circle becomes its sine
        and cosine.
        """
        return {name: values[name] for name in self.parameters}

    def box(self, values: Values, height: int, width: int) -> np.ndarray:
        """Crop boxes in whole pixels, int64 `(n, 4)`: top, left, height, width."""
        raise NotImplementedError

    def matrix(self, values: Values) -> np.ndarray:
        """Maps places in the new image to the old, `(n, 3, 3)`; both span [-1, 1] in x and y."""
        raise NotImplementedError

    def render(self, images: Tensor, values: Values) -> Tensor:
        """The changed images `(n, channels, size, size)`; it may overwrite its input."""
        raise NotImplementedError


def within(owner: object, field: str, low: float, high: float) -> None:
    """Refuses a number outside [low, high].

    Raises:
        TwofoldError: If the field of `owner` is outside, or not a number.
    """
    value = getattr(owner, field)
    if not _is_number(value) or not low <= value <= high:
        raise _refusal(owner, field, value, f"a number {_range(low, high)}")


def span(owner: object, field: str, low: float, high: float) -> None:
    """Refuses what is not a smaller and a larger number, both in [low, high].

    Raises:
        TwofoldError: If the field of `owner` is anything else.
    """
    value = getattr(owner, field)
    pair = isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))
    if not pair or not low <= value[0] <= value[1] <= high:
        raise _refusal(owner, field, value, f"two numbers {_range(low, high)}, the smaller first")


def between(number: np.ndarray, low: float, high: float) -> np.ndarray:
    """Uniform numbers in [0, 1) moved to [low, high)."""
    return low + (high - low) * number


def circular(turns: np.ndarray) -> dict[str, np.ndarray]:
    """Sine and cosine of shares of a circle, which has a seam as a number and none as these two."""
    import numpy as np

    return {"sine": np.sin(2 * np.pi * turns), "cosine": np.cos(2 * np.pi * turns)}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _range(low: float, high: float) -> str:
    return f">= {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"


def _refusal(owner: object, field: str, value: object, rule: str) -> TwofoldError:
    return TwofoldError(f"{type(owner).__name__}.{field} is {value!r}; it must be {rule}")
