"""Recipes: whole methods as values, every number with its source.

Known before torch is imported, so that the command line can read and check them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from twofold.augment.augmentation import Augmentation
from twofold.augment.table import IMAGE, check
from twofold.errors import TwofoldError, unknown
from twofold.networks.names import check_encoder
from twofold.objectives import SimCLR
from twofold.objectives.objective import Objective
from twofold.optim.settings import Optimizer

_LEAST_VIEW = 8  # pixels; smaller views show next to nothing

Word = Literal["invariant", "blind", "sensitive", "both", "off"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A method: what to learn, from which views, with which encoder, for how long.

    Example:
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
    view_size: int | None = None
    """Height and width of the views in pixels; the image size if none."""
    early_resolution: float = 1.0
    """Size of the views in the first part of the training, as a share of view_size, in (0, 1]."""
    early_share: float = 0.7
    """Share of the steps that come first, in [0, 1]."""

    def __post_init__(self) -> None:
        check_encoder(self.encoder)
        for name, least in {"epochs": 1, "batch_size": 2, "view_size": 4}.items():
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
        for name in self.weights:
            if name not in self.objectives:
                raise unknown("loss weight", name, self.objectives)
        self._check_prescription()

    def view_sizes(self, image_size: int) -> tuple[int, int]:
        """Height and width of the early and of the later views of square images, in pixels.

        Example:
            >>> simclr().view_sizes(28)
            (14, 28)
        """
        late = self.view_size or image_size
        return max(round(self.early_resolution * late), min(late, _LEAST_VIEW)), late

    def _check_prescription(self) -> None:
        check(self.augmentations, self.prescription)
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


def simclr() -> Recipe:
    """SimCLR for small encoders and short runs, on a CPU or a GPU.

    The method is the paper's; the settings are those that served best on part of Fashion-MNIST's
    training images in two minutes of one core with `resnet-small`: temperature 0.1 (the published
    code's default), learning rate 0.24 at batch 256, crops of 30 to 100 %, solarisation 20 % (from
    the wider set of the paper's appendix B.2), and views of half the size for the first 70 % of
    the steps, which are four times cheaper. `simclr_cifar` has published settings.

    Reference: Chen et al., 2020, arXiv:2002.05709.
    """
    recipe = simclr_cifar()
    return replace(
        recipe,
        name="simclr",
        objectives={"contrast": SimCLR(projector=(1024, 128), temperature=0.1)},
        prescription={**recipe.prescription, "solarize": "invariant"},
        augmentations=_with(crop={"scale": (0.3, 1.0)}, solarize={"probability": 0.2}),
        batch_size=256,
        optimizer=Optimizer(learning_rate=0.24),
        early_resolution=0.5,
    )


def simclr_cifar() -> Recipe:
    """SimCLR with settings published for CIFAR-10 and a ResNet-18.

    SGD with momentum 0.9, learning rate 0.03 at batch 256, weight decay 5e-4, no warm-up, batch
    512, temperature 0.5, crops of 20 to 100 %, grayscale 10 %, no blur, head 1024-128 without
    BatchNorm: 91.4 % kNN and 91.7 % linear after 1000 epochs, 83.2 % and 85.6 % after 100, as
    reported by github.com/dkobak/simclr-cifar10.

    Reference: Chen et al., 2020, arXiv:2002.05709.
    """
    return Recipe(
        name="simclr_cifar",
        objectives={"contrast": SimCLR(projector=(1024, 128), temperature=0.5)},
        prescription=_prescribe(
            crop="invariant",
            flip="invariant",
            brightness="invariant",
            contrast="invariant",
            saturation="invariant",
            hue="invariant",
            grayscale="invariant",
        ),
        augmentations=_with(crop={"scale": (0.2, 1.0)}, grayscale={"probability": 0.1}),
        batch_size=512,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "simclr": simclr,
    "simclr_cifar": simclr_cifar,
}
"""Every recipe by name; each is a function of no arguments that returns a value to edit."""


def recipe_by_name(name: str) -> Recipe:
    """The recipe of that name with its defaults.

    Raises:
        TwofoldError: If no recipe goes by that name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]()


def _prescribe(**words: Word) -> dict[str, Word]:
    """A word for every image augmentation: those given, and `off` for the rest."""
    return {name: words.get(name, "off") for name in IMAGE}


def _with(**changes: Mapping[str, Any]) -> dict[str, Augmentation]:
    """The image augmentations with some of their settings changed."""
    return {name: replace(kind, **changes.get(name, {})) for name, kind in IMAGE.items()}
