"""Recipes that find what a system conserves: views are two states, or pictures, of one orbit.

All but one share the published run: 100 epochs in each of which every orbit occurs once, batches
of 512 orbits, SGD at 0.02 a batch of 256 that warms up for 5 epochs, weight decay 0.001, and
gradients no longer than 3, without which distances explode. Of vectors the encoder is the
published perceptron, of pictures the ResNet-18 with the stem of large images. What is learned is
read off the last layer of the head, such as `projector.1`.

Reference: github.com/califyn/rsi-2021 (its settings).
"""

from __future__ import annotations

from dataclasses import replace

from twofold.domains.names import domain_by_name
from twofold.objectives import (
    BarlowTwins,
    ConCerNet,
    ConservNet,
    InfoNCE,
    Siamese,
    SimSiam,
    Supervised,
    Unfolded,
    VICReg,
)
from twofold.objectives.objective import Objective
from twofold.optim.settings import Optimizer
from twofold.recipes.parts import augmentations, invariant
from twofold.recipes.recipe import Recipe

_PUBLISHED = Optimizer(learning_rate=0.02, warmup=0.05, weight_decay=1e-3, clip=3.0)


def conserved(domain: str = "image") -> Recipe:
    """One conserved quantity by InfoNCE of distances, in one dimension.

    The published similarity: minus the squared distance over 0.1, both ways.
    """
    return _conserved("conserved", domain, contrast=_info_nce(1))


def conserved_unfolded(domain: str = "image") -> Recipe:
    """One conserved quantity, by InfoNCE of distances that VICReg begins.

    What InfoNCE alone finds in one dimension can stay folded; see the objective.
    """
    return _conserved("conserved_unfolded", domain, contrast=Unfolded())


def conserved_2d(domain: str = "image") -> Recipe:
    """Conserved quantities by InfoNCE of distances, in two dimensions."""
    return _conserved("conserved_2d", domain, contrast=_info_nce(2))


def conserved_cosine(domain: str = "image") -> Recipe:
    """Conserved quantities by InfoNCE of cosines: places on a circle."""
    objective = InfoNCE(projector=(2,), temperature=0.1)
    return _conserved("conserved_cosine", domain, contrast=objective)


def conserved_simsiam(domain: str = "image") -> Recipe:
    """Conserved quantities by SimSiam, on a sphere of few dimensions.

    Reference: Chen and He, 2020, arXiv:2011.10566.
    """
    objective = SimSiam(projector=(64, 8), predictor=(16,), fix_predictor_rate=True)
    return replace(_conserved("conserved_simsiam", domain, predict=objective), encode="separate")


def conserved_barlow_twins(domain: str = "image") -> Recipe:
    """One conserved quantity by Barlow Twins: what is best correlated between two states.

    Reference: Zbontar et al., 2021, arXiv:2103.03230.
    """
    return _conserved("conserved_barlow_twins", domain, decorrelate=BarlowTwins(projector=(1,)))


def conserved_vicreg(domain: str = "image") -> Recipe:
    """One conserved quantity by VICReg: alike in two states, and of deviation 1.

    Reference: Bardes et al., 2021, arXiv:2105.04906.
    """
    return _conserved("conserved_vicreg", domain, decorrelate=VICReg(projector=(1,)))


def conserv_net(domain: str = "image") -> Recipe:
    """ConservNet: constant along an orbit, and not where noise leaves it.

    Eight states of each orbit a step where the paper has one orbit's 200; see the objective.

    Reference: Ha and Jeong, 2021, arXiv:2102.04008.
    """
    recipe = _conserved("conserv_net", domain, members=8, conserve=ConservNet(members=8))
    return replace(recipe, epochs=25, batch_size=128)


def con_cer_net(domain: str = "image") -> Recipe:
    """ConCerNet: distances along an orbit are small beside those between orbits.

    Eight states of each of 128 orbits a step where the paper has 30 or 100 of each of 10. Adam as
    published, at 0.003 in place of 0.001 for fewer steps: gradients of so small a ratio are short.

    Reference: Zhang et al., 2023, arXiv:2302.05783.
    """
    recipe = _conserved("con_cer_net", domain, members=8, conserve=ConCerNet(members=8))
    adam = Optimizer(name="adamw", learning_rate=3e-3, scaling="none", weight_decay=0.0)
    return replace(recipe, epochs=25, batch_size=128, optimizer=adam)


def siamese(domain: str = "image") -> Recipe:
    """The Siamese network of Wetzel and others: are two states of one orbit?

    Reference: Wetzel et al., 2020, arXiv:2003.04299.
    """
    return _conserved("siamese", domain, conserve=Siamese())


def conserved_supervised(domain: str = "image") -> Recipe:
    """What labels would reach: the same network told the quantity; it learns from labels.

    An epoch goes through all states, not through all orbits.
    """
    recipe = _conserved("conserved_supervised", domain, members=1, predict=Supervised())
    return replace(recipe, epochs=10)


def _info_nce(dim: int) -> InfoNCE:
    return InfoNCE(projector=(dim,), temperature=0.1, similarity="euclidean")


def _conserved(name: str, domain: str, members: int = 2, **objectives: Objective) -> Recipe:
    kind = domain_by_name(domain)
    return Recipe(
        name=name,
        domain=domain,
        objectives=objectives,
        prescription=invariant(domain=domain),
        augmentations=augmentations(domain, **kind.changes),
        input=kind.input,
        positives="group" if members > 1 else "augmentations",
        num_views=members,
        encoder=kind.encoder,
        stem="imagenet" if kind.encoder == "resnet18" else None,
        epochs=100,
        batch_size=512,
        optimizer=_PUBLISHED,
    )
