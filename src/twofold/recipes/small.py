"""Recipes for small encoders and short runs, on a CPU or a GPU, of items of any domain.

The methods are the papers'; sizes and rates are not. For images all share what served SimCLR best
on part of Fashion-MNIST's training images in minutes of one core: batch 256, crops of 30 to 100 %,
solarisation 20 % (from the wider set of SimCLR's appendix B.2), and views of half the size for the
first 70 % of the steps, which are four times cheaper. Learning rates of the other methods are the
best of three or four by kNN on 5 000 held-out training images of Fashion-MNIST, after 4 epochs on
20 000 others with `resnet-small`; differences below a point were taken for noise. Other domains
have an encoder, augmentations and an optimiser of their own.
"""

from __future__ import annotations

from dataclasses import replace

from twofold.domains.names import domain_by_name
from twofold.objectives import (
    BYOL,
    NCE,
    BarlowTwins,
    Distill,
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


def simclr(domain: str = "image") -> Recipe:
    """SimCLR for small encoders and short runs.

    Temperature 0.1 is the published code's default.

    Reference: Chen et al., 2020, arXiv:2002.05709.
    """
    return _small("simclr", domain, contrast=SimCLR(projector=(1024, 128), temperature=0.1))


def simclr_v2(domain: str = "image") -> Recipe:
    """SimCLRv2's pretraining for small encoders: a head of three layers, fit to be tuned from.

    Reference: Chen et al., 2020, arXiv:2006.10029.
    """
    objective = SimCLR(projector=(1024, 1024, 128), norm=True, temperature=0.1)
    return _small("simclr_v2", domain, contrast=objective)


def info_nce(domain: str = "image") -> Recipe:
    """InfoNCE with the other view's items as negatives, for small encoders and short runs.

    Reference: van den Oord et al., 2018, arXiv:1807.03748.
    """
    return _small("info_nce", domain, contrast=InfoNCE(projector=(1024, 128), temperature=0.1))


def nce(domain: str = "image") -> Recipe:
    """Instance discrimination by NCE against a memory, for small encoders and short runs.

    One view an item and 512 noise draws, where the paper has 4096. The memory of an item is renewed
    once an epoch, so that runs of a few epochs learn little.

    Reference: Wu et al., 2018, arXiv:1805.01978.
    """
    objective = NCE(projector=(128,), noise=512)
    return replace(_small("nce", domain, 0.01, contrast=objective), num_views=1)


def sup_con(domain: str = "image") -> Recipe:
    """Supervised contrast for small encoders and short runs; it learns from labels.

    Reference: Khosla et al., 2020, arXiv:2004.11362.
    """
    return _small("sup_con", domain, contrast=SupCon(projector=(1024, 128), temperature=0.1))


def byol(domain: str = "image") -> Recipe:
    """BYOL for small encoders and short runs, its views asymmetric as published.

    Blur is left out, as everywhere for small images; solarisation is in the second view alone.

    Reference: Grill et al., 2020, arXiv:2006.07733.
    """
    objective = BYOL(projector=(1024, 128), predictor=(1024,), momentum=0.97)
    return _asymmetric(_small("byol", domain, 0.12, predict=objective))


def simsiam(domain: str = "image") -> Recipe:
    """SimSiam for small encoders and short runs, its predictor's rate fixed.

    Reference: Chen and He, 2020, arXiv:2011.10566.
    """
    objective = SimSiam(projector=(1024, 512), predictor=(128,), fix_predictor_rate=True)
    return replace(_small("simsiam", domain, 0.12, predict=objective), encode="separate")


def barlow_twins(domain: str = "image") -> Recipe:
    """Barlow Twins for small encoders and short runs, its views asymmetric as published.

    As many dimensions as items in a batch: more leave the correlation matrix without full rank.

    Reference: Zbontar et al., 2021, arXiv:2103.03230.
    """
    objective = BarlowTwins(projector=(1024, 256), scale=0.1)
    return _asymmetric(_small("barlow_twins", domain, 0.06, decorrelate=objective))


def vicreg(domain: str = "image") -> Recipe:
    """VICReg for small encoders and short runs, its views asymmetric as published.

    Reference: Bardes et al., 2021, arXiv:2105.04906.
    """
    objective = VICReg(projector=(1024, 1024))
    return _asymmetric(_small("vicreg", domain, 0.03, decorrelate=objective))


def supervised(domain: str = "image") -> Recipe:
    """Plain supervision for small encoders and short runs; it learns from labels.

    Classes by cross-entropy, numbers by regression, whichever the labels are; one view an item.
    """
    recipe = _small("supervised", domain, 0.3, predict=Supervised())
    return replace(recipe, num_views=1, early_resolution=1.0)


def finetune(domain: str = "image") -> Recipe:
    """Labels for an encoder that is already trained, few or many; it learns from labels.

    Gentle augmentations alone (of images crops and flips), a head that begins at zero, and no
    weight decay, as SimCLRv2's. The rate for images is the best of 0.02, 0.05, 0.15 and 0.4 on
    5 000 held-out training images of Fashion-MNIST after 540 labels (78.0, 80.2, 82.2 and 81.7 %);
    AdamW at 0.001 reached 78.2 %.

    Reference: Chen et al., 2020, arXiv:2006.10029.
    """
    kind = domain_by_name(domain)
    recipe = _small("finetune", domain, predict=Supervised(zero=True))
    return replace(
        recipe,
        num_views=1,
        epochs=30,
        batch_size=64,
        early_resolution=1.0,
        prescription=invariant(*kind.gentle, domain=domain),
        optimizer=kind.optimizer or Optimizer(learning_rate=0.15, scaling="sqrt", weight_decay=0.0),
    )


def distill(domain: str = "image") -> Recipe:
    """A student that gives a teacher's answers, from random weights and without labels.

    Gentle augmentations alone, as the teacher saw them, so that its answers can be trusted. The
    rate for images is the best of 0.1, 0.3 and 1 by agreement with a teacher on 1 200 held-out
    training images of Fashion-MNIST, after 6 epochs on 4 800 others; 0.1 is as good within the
    interval.

    Reference: Chen et al., 2020, arXiv:2006.10029.
    """
    kind = domain_by_name(domain)
    recipe = _small("distill", domain, 0.3, distill=Distill())
    return replace(
        recipe,
        num_views=1,
        encoder="resnet-small" if domain == "image" else kind.encoder,
        early_resolution=1.0,
        prescription=invariant(*kind.gentle, domain=domain),
    )


def _small(name: str, domain: str, learning_rate: float = 0.24, **objectives: Objective) -> Recipe:
    kind = domain_by_name(domain)
    pairs = all(len(o.reads) > 1 and not o.opposes_own for o in objectives.values())
    return Recipe(
        name=name,
        domain=domain,
        objectives=objectives,
        positives=kind.positives if pairs else "augmentations",
        prescription=invariant(*kind.strong, domain=domain),
        augmentations=augmentations(domain, **kind.changes),
        input=kind.input,
        encoder=kind.encoder,
        batch_size=256,
        optimizer=kind.optimizer or Optimizer(learning_rate=learning_rate),
        early_resolution=kind.early_resolution,
    )


def _asymmetric(recipe: Recipe) -> Recipe:
    """`recipe` with what is for the second view alone, of the augmentations that there are."""
    second = {"solarize": (0.0, 0.2)}
    drawn = {name: pair for name, pair in second.items() if name in recipe.augmentations}
    return replace(recipe, encode="separate", asymmetry=drawn)
