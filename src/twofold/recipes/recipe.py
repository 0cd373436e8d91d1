"""What a recipe is: a whole method as a value, checked when it is made.

Known before torch is imported, so that the command line can read and check it at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from twofold.augment.table import (
    check,
    check_asymmetry,
    check_repeats,
    check_select,
    check_small_views,
    small_side,
)
from twofold.balance.settings import Balance
from twofold.domains.image.domain import ImageInput
from twofold.domains.names import domain_by_name
from twofold.errors import TwofoldError, unknown
from twofold.networks.names import BatchNorm, check_encoder
from twofold.objectives.objective import Objective
from twofold.objectives.predict import Predict
from twofold.optim.settings import Optimizer

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
    domain: str = "image"
    """What kind of items it is for; augmentations and input are those of the domain."""
    input: Any = field(default_factory=ImageInput)
    """How items are read."""
    positives: Literal["augmentations", "group", "apart"] = "augmentations"
    """Whether the views of a step are of one item, or of different items of its group: any, or
    those farthest apart in time."""
    asymmetry: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Probability in each view, of the augmentations where views differ."""
    repeats: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Views, from 1, that repeat the first one's draws of an augmentation."""
    select: Literal["each", "subset"] = "each"
    """Whether each augmentation decides by its probability if it is applied, or a random number of
    them is chosen for all views of an item."""
    num_views: int = 2
    """Views of each item a step, >= 1."""
    small_views: int = 0
    """Further, smaller views, >= 0."""
    small_size: float = 0.5
    """Their height and width as a share of the others', in (0, 1]."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each objective's loss; 1 if none, but for those that words add."""
    word_weight: float = 0.4
    """Weight of each loss that a word adds, >= 0; 0.4 as E-SSL beside SimCLR."""
    balance: Balance = field(default_factory=Balance)
    """How several losses become one update."""
    encoder: str = "resnet18"
    """resnet-small, resnet18, resnet34, resnet50, resnet15, resnet-small-1d, resnet18-1d, mlp,
    timm/NAME or torchvision/NAME."""
    width: float = 1.0
    """Factor on the channels of twofold's own ResNets, > 0."""
    stem: Literal["imagenet", "low-resolution", "strided"] | None = None
    """How images enter twofold's own ResNets; chosen by the image size if none."""
    adapters: Literal["none", "parallel", "series", "norm", "split"] = "none"
    """What routes have of their own, so that what must be kept and what must be ignored do not
    meet in the same features."""
    adapt_after: tuple[str, ...] | None = None
    """Modules of the encoder that routes share for all that; its first convolution if none."""
    encode: Literal["joint", "separate"] = "joint"
    """Whether the views pass the encoder as one batch (BatchNorm mixes them) or one by one."""
    epochs: int = 100
    """Passes over the training items, >= 1."""
    batch_size: int = 256
    """Items a step, or groups where these are the positives, >= 2; incomplete batches are left
    out."""
    effective_batch: int | None = None
    """Items whose losses are computed together, batch_size of them encoded at a time: a multiple of
    batch_size, from two on; batch_size if none."""
    batch_norm: BatchNorm | None = None
    """With effective_batch, what an encoder's BatchNorm divides by: its running statistics as they
    are (frozen), those of the items encoded at a time (group), or those measured over all of them
    in a pass before (two-pass)."""
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
        kind = domain_by_name(self.domain)
        if type(self.input) is not type(kind.input):
            raise TwofoldError(
                f"domain is {self.domain!r}, whose input is a {type(kind.input).__name__}, but "
                f"input is a {type(self.input).__name__}; recipe_by_name(name, domain) has both"
            )
        for name, least in {"epochs": 1, "batch_size": 2, "view_size": 4, "num_views": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise TwofoldError(f"{name} is {value}; it must be at least {least}")
        self._check_effective_batch()
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
            if max(objective.reads) >= self.all_views:
                raise TwofoldError(
                    f"num_views is {self.num_views} and small_views {self.small_views}; objective "
                    f"{name!r} reads view {max(objective.reads)}, counted from 0"
                )
        self._check_prescription()
        if self.positives != "augmentations":
            self._check_pairs()
        for name in self.weights:
            if name not in self.learned:
                raise unknown("loss weight", name, self.learned)

    @property
    def step_size(self) -> int:
        """Items a step of the optimiser, whose losses are computed together.

        Example:
            >>> from twofold.recipes import simclr
            >>> replace(simclr(), batch_size=64, effective_batch=512).step_size
            512
        """
        return self.effective_batch or self.batch_size

    @property
    def num_parts(self) -> int:
        """In how many parts the items of a step are encoded."""
        return self.step_size // self.batch_size

    @property
    def all_views(self) -> int:
        """Views of each item a step, small ones too."""
        return self.num_views + self.small_views

    @property
    def learned(self) -> dict[str, Objective]:
        """All that is learned: the objectives, and one for every augmentation to be kept.

        Example:
            >>> from dataclasses import replace
            >>> from twofold.recipes import simclr
            >>> recipe = simclr()
            >>> words = {**recipe.prescription, "rotate": "sensitive"}
            >>> list(replace(recipe, prescription=words).learned)
            ['contrast', 'predict/rotate']
        """
        named = frozenset().union(*(o.keeps() for o in self.objectives.values()))
        kept = tuple(
            name
            for name, word in self.prescription.items()
            if word in {"sensitive", "both"} and name not in named
        )
        learned = {name: o.completed(kept) for name, o in self.objectives.items()}
        if learned == self.objectives:
            pair = tuple(range(min(2, self.num_views)))
            learned |= {f"predict/{name}": Predict(name, views=pair) for name in kept}
        return learned

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of every loss."""
        default = {
            name: 1.0 if name in self.objectives else self.word_weight for name in self.learned
        }
        return {**default, **self.weights}

    def without(self, names: Set[str]) -> Recipe:
        """The same where those augmentations change nothing: off, and recovered by no objective."""
        words = {name: "off" if name in names else word for name, word in self.prescription.items()}
        parts = {name: o.without(names) for name, o in self.objectives.items()}
        left = {name: o for name, o in parts.items() if o is not None}
        weights = {
            name: w for name, w in self.weights.items() if name not in parts.keys() - left.keys()
        }
        return replace(self, prescription=words, objectives=left, weights=weights)

    def view_sizes(self, image_size: int) -> tuple[int, int]:
        """Height and width of the early and of the later views of square images, in pixels.

        Example:
            >>> from twofold.recipes import simclr
            >>> simclr().view_sizes(28)
            (14, 28)
        """
        late = self.view_size or image_size
        return small_side(late, self.early_resolution), late

    def _check_effective_batch(self) -> None:
        """Refuses one that is no multiple, and words on BatchNorm that nothing reads."""
        whole, part = self.effective_batch, self.batch_size
        if whole is not None and (whole % part or whole < 2 * part):
            raise TwofoldError(
                f"effective_batch is {whole}; it must be a multiple of batch_size, as {2 * part} "
                f"is of {part}"
            )
        if whole is None and self.batch_norm is not None:
            raise TwofoldError(
                f"batch_norm is {self.batch_norm!r}, but each step encodes one whole batch; leave "
                "it out, or give effective_batch"
            )

    def _check_pairs(self) -> None:
        """Refuses objectives that compare no views, or would hold those of a group apart."""
        if max(len(objective.reads) for objective in self.objectives.values()) < 2:
            raise TwofoldError(
                f"positives is {self.positives!r}, but no objective of {self.name} reads two "
                "views; take a recipe that does, such as simclr, or say 'augmentations'"
            )
        for name, objective in self.learned.items():
            if objective.opposes_own:
                raise TwofoldError(
                    f"positives is {self.positives!r}, but objective {name!r} of {self.name} holds "
                    "items of one group against each other, too; take another, such as SimCLR, or "
                    "say 'augmentations'"
                )

    def _check_prescription(self) -> None:
        check(self.augmentations, self.prescription)
        check_asymmetry(self.augmentations, self.asymmetry, self.all_views)
        check_repeats(self.augmentations, self.repeats, self.all_views)
        check_small_views(self.small_views, self.small_size)
        check_select(self.select, self.asymmetry)
        for objective_name, objective in self.learned.items():
            differs = isinstance(objective, Predict) and objective.compare == "difference"
            for name in sorted(objective.keeps()):
                word = self.prescription.get(name, "off")
                if word not in {"sensitive", "both"}:
                    raise TwofoldError(
                        f"objective {objective_name!r} keeps {name}, which is prescribed {word!r}; "
                        "say 'sensitive' or 'both', or take it out of the objective"
                    )
                if word == "sensitive" and differs:
                    raise TwofoldError(
                        f"{name} is prescribed 'sensitive', which gives both views of a pair the "
                        f"same draws, but objective {objective_name!r} recovers how they differ; "
                        "say 'both'"
                    )
        for name, word in self.prescription.items():
            if word == "sensitive" and self.num_views == 1:
                raise TwofoldError(
                    f"{name} is prescribed 'sensitive', which gives both views of a pair the same "
                    f"draws, but {self.name} makes one view; say 'both'"
                )
