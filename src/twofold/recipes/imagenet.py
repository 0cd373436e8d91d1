"""Recipes for images of 224 pixels and a ResNet-50, as published."""

from __future__ import annotations

from dataclasses import replace

from twofold.domains.image.domain import SIMCLR_SET
from twofold.objectives import (
    BYOL,
    NCE,
    BarlowTwins,
    SimCLR,
    SimSiam,
    Supervised,
    VICReg,
)
from twofold.objectives.objective import Objective
from twofold.optim.settings import Optimizer
from twofold.recipes.parts import augmentations, invariant
from twofold.recipes.recipe import Recipe

_STRONG = {  # SimCLR's colour strength 1
    "brightness": {"strength": 0.8},
    "contrast": {"strength": 0.8},
    "saturation": {"strength": 0.8},
    "hue": {"strength": 0.2},
}


def simclr_imagenet() -> Recipe:
    """SimCLR as published: batch 4096, LARS at 0.3, temperature 0.1, head 2048-128 with BatchNorm.

    Weight decay is the paper's 1e-6 (the code's default is 1e-4): 64.5 % linear after 100 epochs.

    Reference: Chen et al., 2020, arXiv:2002.05709.
    """
    objective = SimCLR(projector=(2048, 128), norm=True, temperature=0.1)
    return replace(
        _imagenet("simclr_imagenet", contrast=objective),
        augmentations=augmentations(**_STRONG),
        batch_size=4096,
        optimizer=Optimizer(name="lars", learning_rate=0.3, weight_decay=1e-6, warmup=0.1),
    )


def simclr_v2_imagenet() -> Recipe:
    """SimCLRv2's pretraining: a head of three layers, rate 0.1 sqrt(batch), 800 epochs.

    71.7 % linear and, tuned from the head's middle on 10 % of the labels, 68.4 %; wider and deeper
    networks gain most.

    Reference: Chen et al., 2020, arXiv:2006.10029.
    """
    objective = SimCLR(projector=(2048, 2048, 128), norm=True, temperature=0.1)
    optimizer = Optimizer(
        name="lars", learning_rate=1.6, scaling="sqrt", weight_decay=1e-4, warmup=0.05
    )
    return replace(
        simclr_imagenet(),
        name="simclr_v2_imagenet",
        objectives={"contrast": objective},
        optimizer=optimizer,
        epochs=800,
    )


def nce_imagenet() -> Recipe:
    """Instance discrimination as published: 4096 noise draws, temperature 0.07, rate 0.03.

    Reference: Wu et al., 2018, arXiv:1805.01978 (github.com/zhirongw/lemniscate).
    """
    return replace(
        _imagenet("nce_imagenet", contrast=NCE()),
        num_views=1,
        prescription=invariant(*SIMCLR_SET),
        augmentations=augmentations(crop={"scale": (0.2, 1.0)}),
        epochs=200,
        optimizer=Optimizer(learning_rate=0.03, weight_decay=1e-4),
    )


def byol_imagenet() -> Recipe:
    """BYOL as published for 300 epochs: batch 4096, LARS at 0.3, the target's momentum 0.99.

    Reference: Grill et al., 2020, arXiv:2006.07733.
    """
    recipe = _imagenet("byol_imagenet", predict=BYOL())
    return _asymmetric(replace(recipe, batch_size=4096, epochs=300, optimizer=_lars(0.3, 300)))


def simsiam_imagenet() -> Recipe:
    """SimSiam as published: SGD at 0.05, batch 512, 100 epochs, the predictor's rate fixed: 68.1 %.

    Reference: Chen and He, 2020, arXiv:2011.10566.
    """
    return replace(
        _imagenet("simsiam_imagenet", predict=SimSiam(fix_predictor_rate=True)),
        encode="separate",
        augmentations=augmentations(crop={"scale": (0.2, 1.0)}),
        batch_size=512,
        optimizer=Optimizer(learning_rate=0.05, weight_decay=1e-4),
    )


def barlow_twins_imagenet() -> Recipe:
    """Barlow Twins as published: batch 2048, LARS at 0.2 (vectors 0.0048), 1000 epochs: 73.5 %.

    Reference: Zbontar et al., 2021, arXiv:2103.03230.
    """
    optimizer = replace(_lars(0.2, 1000), vector_rate=0.0048 / 0.2, final=0.001)
    recipe = _imagenet("barlow_twins_imagenet", decorrelate=BarlowTwins())
    return _asymmetric(replace(recipe, batch_size=2048, epochs=1000, optimizer=optimizer))


def vicreg_imagenet() -> Recipe:
    """VICReg as published: batch 2048, LARS at 0.2, 1000 epochs: 73.2 %.

    Reference: Bardes et al., 2021, arXiv:2105.04906.
    """
    recipe = _imagenet("vicreg_imagenet", decorrelate=VICReg())
    return _asymmetric(replace(recipe, batch_size=2048, epochs=1000, optimizer=_lars(0.2, 1000)))


def supervised_imagenet() -> Recipe:
    """Plain supervision of a ResNet-50: rate 0.1 at batch 256, 90 epochs, crop and flip.

    Reference: He et al., 2015, arXiv:1512.03385, with a cosine.
    """
    return replace(
        _imagenet("supervised_imagenet", predict=Supervised()),
        num_views=1,
        prescription=invariant("crop", "flip"),
        epochs=90,
        optimizer=Optimizer(learning_rate=0.1, weight_decay=1e-4),
    )


def _imagenet(name: str, **objectives: Objective) -> Recipe:
    return Recipe(
        name=name,
        objectives=objectives,
        prescription=invariant(*SIMCLR_SET, "blur"),
        augmentations=augmentations(),
        encoder="resnet50",
        view_size=224,
    )


def _lars(learning_rate: float, epochs: int) -> Optimizer:
    """LARS as BYOL, Barlow Twins and VICReg have it, warming up over ten epochs."""
    return Optimizer(
        name="lars",
        lars_rate="outside",
        learning_rate=learning_rate,
        weight_decay=1e-6,
        warmup=10 / epochs,
    )


def _asymmetric(recipe: Recipe) -> Recipe:
    """The two views of BYOL's table 6, which Barlow Twins and VICReg share."""
    return replace(
        recipe,
        encode="separate",
        prescription=invariant(*SIMCLR_SET, "blur", "solarize"),
        augmentations=augmentations(saturation={"strength": 0.2}),
        asymmetry={"blur": (1.0, 0.1), "solarize": (0.0, 0.2)},
    )
