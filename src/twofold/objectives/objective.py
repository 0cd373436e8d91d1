"""What every objective is: a value that says which heads it learns and what it wants.

Objectives are read by the command line before torch is loaded, so nothing here imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from twofold.errors import TwofoldError, unknown

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from twofold.augment.target import Target
    from twofold.networks.names import BatchNorm

Draws = Mapping[str, Mapping[str, "np.ndarray"]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Views of some items, and what is known of each."""

    views: tuple[Tensor, ...]
    """What the encoder read, `(batch, channels, height, width)` each."""
    draws: tuple[Draws, ...]
    """What each view's augmentations drew: name -> parameter -> `(batch,)`."""
    index: Tensor
    """Number of each item in its source, `(batch,)`."""
    labels: Tensor | None = None
    """Class `(batch,)` or targets `(batch, targets)` of each item, for objectives that use them."""

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False, kw_only=True)
class Parts(Batch):
    """A batch whose views are too many to be held: they are made anew wherever they are encoded."""

    views: tuple[Tensor, ...] = ()
    """None: each part has its own."""
    draws: tuple[Draws, ...] = ()
    """None: each part has its own."""
    parts: tuple[Callable[[], Batch], ...]
    """Make successive parts of the batch, the same whenever they are called."""
    batch_norm: BatchNorm | None = None
    """By which statistics an encoder's BatchNorm divides; an encoder without has no need to say."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the training items before the first batch."""

    items: int = 0
    """How many there are; 0 if nobody said."""
    classes: int = 0
    """How many classes their labels name; 0 without class labels."""
    target_mean: tuple[float, ...] = ()
    """Mean of each target, of items labelled with numbers."""
    target_std: tuple[float, ...] = ()
    """Standard deviation of each target."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """What augmentations offer to predict, by name, of those whose draws an objective reads."""
    teacher: Callable[[Tensor], Tensor] | None = None
    """From views to the logits `(batch, classes)`, or standardised targets, of a network that
    learned from labels before; none of its weights are among those of the method."""
    labelled: Tensor | None = None
    """Whether each item has a label that may be used, bool `(items,)`; all have if None."""

    def target(self, name: str) -> Target:
        """What an augmentation offers to predict.

        Raises:
            TwofoldError: If the views do not draw it.
        """
        if name not in self.targets:
            raise unknown("augmentation to recover", name, self.targets)
        return self.targets[name]


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoded(Batch):
    """A batch with the encoder's features: all that an objective may look at."""

    features: tuple[Tensor, ...]
    """The encoder's output for each view, `(batch, num_features)`; empty for a view that no
    objective of the same route reads."""
    known: Known = field(default_factory=Known)
    """What is known of all items."""
    encode: Callable[[Tensor], Tensor] | None = None
    """Encodes further views as the features were, of an objective that makes some of its own."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Something to learn from encoded views: heads, and a loss that reads them.

    An objective holds settings alone; what it learns lives in the modules that `heads` returns,
    which the `Method` owns as `heads.<objective>.<head>`.
    """

    num_views: ClassVar[int] = 2
    """How many views of an item it reads, the first ones."""
    uses_labels: ClassVar[bool] = False
    """Whether it learns from labels."""
    needs_views: ClassVar[bool] = False
    """Whether its loss reads the views themselves, beside the encoder's features of them."""

    route: str = "invariant"
    """Whose features it reads, if routes have adapters of their own."""

    @property
    def reads(self) -> tuple[int, ...]:
        """The views it reads, from 0."""
        return tuple(range(self.num_views))

    @property
    def opposes_own(self) -> bool:
        """Whether views of one item can be negatives of each other, if those of earlier steps."""
        return False

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The modules this objective owns beside the encoder, by name."""
        del encoder, known
        return {}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """A scalar, lower is better. `heads` holds the modules of `heads` as attributes."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss")

    def after_update(self, heads: Any, encoder: nn.Module, progress: float) -> None:
        """Moves what no gradient moves, once per optimiser step; `progress` runs from 0 to 1."""

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float] | None:
        """The loss of an encoder that learned nothing and the least possible, if known."""
        del batch_size, known
        return None

    def num_negatives(self, batch_size: int) -> int | None:
        """How many negatives each anchor is held against; None if there is no such thing."""
        del batch_size
        return None

    def fixed_rate(self) -> frozenset[str]:
        """Names of the heads whose learning rate stays at its peak."""
        return frozenset()

    def completed(self, kept: tuple[str, ...]) -> Objective:
        """This objective with the augmentations to keep that no other names, if it is open."""
        del kept
        return self

    def without(self, names: Set[str]) -> Objective | None:
        """This objective where those augmentations do nothing; None if nothing of it is left."""
        del names
        return self

    def keeps(self) -> frozenset[str]:
        """Names of the augmentations that this objective keeps in the features."""
        return frozenset()

    def recovers(self) -> frozenset[str]:
        """Names of the augmentations whose draws this objective reads."""
        return self.keeps()


def projected(heads: Any, batch: Encoded) -> tuple[Tensor, Tensor]:
    """The first two views through the head `projector`, over the batches of all processes."""
    from twofold.distributed import gather

    first, second = (gather(heads.projector(features)) for features in batch.features[:2])
    return first, second


def projected_members(heads: Any, features: Iterable[Tensor]) -> Tensor:
    """Views through the head `projector`, `(views, batch, dim)`, of all processes."""
    import torch

    from twofold.distributed import gather

    return torch.stack([gather(heads.projector(view)) for view in features])


def order(batch: Batch) -> Tensor:
    """Sorts the rows of all processes by the numbers of their items, `(world_size * batch,)`.

    For what depends on which row is beside which: so it depends on no process.
    """
    from twofold.distributed import gather

    return gather(batch.index).argsort(stable=True)


def places(batch: Batch) -> Tensor:
    """The places of this process's rows in that order, `(batch,)`."""
    from twofold.distributed import rank, world_size

    return order(batch).argsort().chunk(world_size())[rank()]


def check_positive(owner: Objective, *fields: str) -> None:
    """Refuses a number that is not > 0.

    Raises:
        TwofoldError: With the name of the field.
    """
    for name in fields:
        if not getattr(owner, name) > 0:
            raise TwofoldError(f"{name} is {getattr(owner, name)}; it must be > 0")


def check_several(owner: Objective, field: str) -> None:
    """Refuses a number below 2.

    Raises:
        TwofoldError: With the name of the field.
    """
    if getattr(owner, field) < 2:
        raise TwofoldError(f"{field} is {getattr(owner, field)}; it must be at least 2")


def check_widths(owner: Objective, field: str, *, least: int = 1) -> None:
    """Refuses widths of a head that are none, not positive, or end below `least`.

    Raises:
        TwofoldError: With the name of the field.
    """
    widths = getattr(owner, field)
    if not widths or min(widths) < 1 or widths[-1] < least:
        raise TwofoldError(
            f"{field} is {widths}; it needs one width or more, all positive, the last at least "
            f"{least}" + (": in one dimension a cosine is -1 or +1" if least > 1 else "")
        )
