"""Recipes for images of 32 pixels and a ResNet-18, as published where somebody published them."""

from __future__ import annotations

from dataclasses import replace

from twofold.domains.image.domain import SIMCLR_SET
from twofold.objectives import (
    BYOL,
    NCE,
    BarlowTwins,
    InfoNCE,
    SimCLR,
    SimSiam,
    SupCon,
    Supervised,
    VICReg,
)
from twofold.objectives.objective import Objective
from twofold.optim.settings import Optimizer
from twofold.recipes.parts import augmentations, invariant
from twofold.recipes.recipe import Recipe


def simclr_cifar() -> Recipe:
    """SimCLR with settings published for CIFAR-10 and a ResNet-18.

    SGD with momentum 0.9, learning rate 0.03 at batch 256, weight decay 5e-4, no warm-up, batch
    512, temperature 0.5, crops of 20 to 100 %, grayscale 10 %, no blur, head 1024-128 without
    BatchNorm: 91.4 % kNN and 91.7 % linear after 1000 epochs, 83.2 % and 85.6 % after 100, as
    reported by github.com/dkobak/simclr-cifar10.

    Reference: Chen et al., 2020, arXiv:2002.05709.
    """
    recipe = _cifar("simclr_cifar", contrast=SimCLR(projector=(1024, 128), temperature=0.5))
    gray = augmentations(crop={"scale": (0.2, 1.0)}, grayscale={"probability": 0.1})
    return replace(recipe, augmentations=gray, epochs=100)


def info_nce_cifar() -> Recipe:
    """InfoNCE with the settings of E-SSL for CIFAR-10: temperature 0.5, the other view's negatives.

    Reference: Dangovski et al., 2021, arXiv:2111.00899 (github.com/rdangovs/essl).
    """
    return _cifar("info_nce_cifar", contrast=InfoNCE(projector=(2048, 2048), temperature=0.5))


def nce_cifar() -> Recipe:
    """Instance discrimination by NCE: temperature 0.07, 4096 noise draws, momentum 0.5, rate 0.03.

    These are the ImageNet settings of github.com/zhirongw/lemniscate with CIFAR's augmentations.

    Reference: Wu et al., 2018, arXiv:1805.01978.
    """
    return replace(_cifar("nce_cifar", contrast=NCE()), num_views=1, batch_size=256, epochs=200)


def sup_con_cifar() -> Recipe:
    """Supervised contrast as github.com/HobbitLong/SupContrast trains CIFAR-10.

    ResNet-50, batch 1024 at rate 0.5, warm-up over 10 of 1000 epochs, weight decay 1e-4,
    temperature 0.1: 96.0 % against 95.0 % with cross-entropy. Their loss is multiplied by
    temperature / 0.07; the rate here is theirs times that 1.43.

    Reference: Khosla et al., 2020, arXiv:2004.11362.
    """
    rate = 0.5 * (0.1 / 0.07) / 4  # batch 1024 is four times 256
    return replace(
        _cifar("sup_con_cifar", contrast=SupCon(projector=(2048, 128), temperature=0.1)),
        encoder="resnet50",
        batch_size=1024,
        epochs=1000,
        optimizer=Optimizer(learning_rate=rate, weight_decay=1e-4, warmup=0.01),
    )


def byol_cifar() -> Recipe:
    """BYOL for CIFAR-10 and a ResNet-18; the authors published none.

    Asymmetric views without blur, and the target's momentum, are the paper's; the optimiser is
    SimSiam's for CIFAR-10, since solo-learn's figures (92.6 % after 1000 epochs) rest on a LARS of
    its own.

    Reference: Grill et al., 2020, arXiv:2006.07733.
    """
    recipe = _cifar("byol_cifar", predict=BYOL(projector=(4096, 256), momentum=0.996))
    return _asymmetric(replace(recipe, epochs=1000))


def simsiam_cifar() -> Recipe:
    """SimSiam as the paper trains CIFAR-10: rate 0.03, weight decay 5e-4, batch 512, 800 epochs.

    The projector has two layers; no blur: 91.8 % linear.

    Reference: Chen and He, 2020, arXiv:2011.10566, appendix D.
    """
    objective = SimSiam(projector=(2048, 2048), predictor=(512,))
    return replace(_cifar("simsiam_cifar", predict=objective), encode="separate")


def barlow_twins_cifar() -> Recipe:
    """Barlow Twins for CIFAR-10 and a ResNet-18; the authors published none.

    Head of three times 2048, redundancy 0.005 and the loss times 0.1 are solo-learn's (92.1 %
    after 1000 epochs, with a LARS of its own); the optimiser is SimSiam's for CIFAR-10.

    Reference: Zbontar et al., 2021, arXiv:2103.03230.
    """
    objective = BarlowTwins(projector=(2048, 2048, 2048), redundancy=0.005, scale=0.1)
    recipe = _cifar("barlow_twins_cifar", decorrelate=objective)
    return _asymmetric(replace(recipe, epochs=1000))


def vicreg_cifar() -> Recipe:
    """VICReg for CIFAR-10 and a ResNet-18; the authors published none.

    Head of three times 2048 and solarisation 10 % are solo-learn's (92.1 % after 1000 epochs, with
    a LARS of its own); the optimiser is SimSiam's for CIFAR-10 at a third of the rate.

    Reference: Bardes et al., 2021, arXiv:2105.04906.
    """
    recipe = _cifar("vicreg_cifar", decorrelate=VICReg(projector=(2048, 2048, 2048)))
    recipe = replace(recipe, epochs=1000, optimizer=Optimizer(learning_rate=0.01))
    return replace(_asymmetric(recipe), asymmetry={"solarize": (0.1, 0.1)})


def supervised_cifar() -> Recipe:
    """Plain supervision of a ResNet-18 on CIFAR-10: rate 0.1 at batch 128, crop and flip.

    Reference: He et al., 2015, arXiv:1512.03385, section 4.2, with a cosine.
    """
    return replace(
        _cifar("supervised_cifar", predict=Supervised()),
        num_views=1,
        prescription=invariant("crop", "flip"),
        augmentations=augmentations(crop={"scale": (0.4, 1.0)}),
        batch_size=128,
        epochs=200,
        optimizer=Optimizer(learning_rate=0.2),
    )


def _cifar(name: str, **objectives: Objective) -> Recipe:
    return Recipe(
        name=name,
        objectives=objectives,
        prescription=invariant(*SIMCLR_SET),
        augmentations=augmentations(crop={"scale": (0.2, 1.0)}),
        batch_size=512,
        epochs=800,
    )


def _asymmetric(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        encode="separate",
        prescription=invariant(*SIMCLR_SET, "solarize"),
        asymmetry={"solarize": (0.0, 0.2)},
    )
