"""What a recipe is: a whole method as a value, checked when it is made.

Known before torch is imported, so that the command line can read and check it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from twofold.augment.table import check, check_asymmetry
from twofold.errors import TwofoldError, unknown
from twofold.networks.names import check_encoder
from twofold.objectives.objective import Objective
from twofold.optim.settings import Optimizer

_LEAST_VIEW = 8  # pixels; smaller views show next to nothing

Word = Literal["invariant", "blind", "sensitive", "both", "off"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A method: what to learn, from which views, with which encoder, for how long.

    Example:
        >>> from twofold.recipes import simclr
        >>> recipe = simclr()
        >>> recipe.objectives["contrast"].temperature
        0.1
        >>> recipe.prescription["rotate"]
        'off'
    """

    name: str
    """What the recipe is called."""
    objectives: Mapping[str, Any]
    """What to learn: objectives by name."""
    prescription: Mapping[str, Word]
    """What the embedding does with each augmentation."""
    augmentations: Mapping[str, Any]
    """How each augmentation draws."""
    asymmetry: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Probability in each view, of the augmentations where views differ."""
    num_views: int = 2
    """Views of each item a step, >= 1."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each objective's loss."""
    encoder: str = "resnet18"
    """resnet-small, resnet18, resnet34, resnet50, timm/NAME or torchvision/NAME."""
    width: float = 1.0
    """Factor on the channels of twofold's own ResNets, > 0."""
    stem: Literal["imagenet", "low-resolution", "strided"] | None = None
    """How images enter twofold's own ResNets; chosen by the image size if none."""
    encode: Literal["joint", "separate"] = "joint"
    """Whether the views pass the encoder as one batch (BatchNorm mixes them) or one by one."""
    epochs: int = 100
    """Passes over the training items, >= 1."""
    batch_size: int = 256
    """Items a step, >= 2; incomplete batches are left out."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """How the weights move."""
    choose: Literal["last", "rankme", "knn"] = "last"
    """Which epoch's encoder the run ends with: the last, or the best by RankMe, which needs no
    labels, or by the online kNN, which does."""
    view_size: int | None = None
    """Height and width of the views in pixels; the image size if none."""
    early_resolution: float = 1.0
    """Size of the views in the first part of the training, as a share of view_size, in (0, 1]."""
    early_share: float = 0.7
    """Share of the steps that come first, in [0, 1]."""

    def __post_init__(self) -> None:
        check_encoder(self.encoder)
        for name, least in {"epochs": 1, "batch_size": 2, "view_size": 4, "num_views": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise TwofoldError(f"{name} is {value}; it must be at least {least}")
        if not 0 < self.early_resolution <= 1:
            raise TwofoldError(f"early_resolution is {self.early_resolution}; must be in (0, 1]")
        if not 0 <= self.early_share <= 1:
            raise TwofoldError(f"early_share is {self.early_share}; it must be in [0, 1]")
        if not self.objectives:
            raise TwofoldError("the recipe has no objective; give it one, e.g. SimCLR()")
        for name, objective in self.objectives.items():
            if not isinstance(objective, Objective):
                raise TwofoldError(
                    f"objective {name!r} is a {type(objective).__name__}; it must be an Objective"
                )
            if objective.num_views > self.num_views:
                raise TwofoldError(
                    f"num_views is {self.num_views}; objective {name!r} reads {objective.num_views}"
                )
        for name in self.weights:
            if name not in self.objectives:
                raise unknown("loss weight", name, self.objectives)
        self._check_prescription()

    def view_sizes(self, image_size: int) -> tuple[int, int]:
        """Height and width of the early and of the later views of square images, in pixels.

        Example:
            >>> from twofold.recipes import simclr
            >>> simclr().view_sizes(28)
            (14, 28)
        """
        late = self.view_size or image_size
        return max(round(self.early_resolution * late), min(late, _LEAST_VIEW)), late

    def _check_prescription(self) -> None:
        check(self.augmentations, self.prescription)
        check_asymmetry(self.augmentations, self.asymmetry, self.num_views)
        predicted = frozenset().union(*(o.predicts() for o in self.objectives.values()))
        for name, word in self.prescription.items():
            if word in {"sensitive", "both"} and name not in predicted:
                raise TwofoldError(
                    f"{name} is prescribed {word!r}, but no objective of {self.name} learns to "
                    f"keep it; say 'invariant' or 'off', or add an objective that predicts {name}"
                )
            if word == "blind":
                raise TwofoldError(
                    f"{name} is prescribed 'blind', but no objective of {self.name} removes what a "
                    "probe can still recover; say 'invariant' or 'off'"
                )
