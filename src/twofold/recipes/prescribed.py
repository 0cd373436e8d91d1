"""Recipes that keep some augmentations in the features while they ignore others.

Sizes and rates are those of `small`, for small encoders and short runs, unless a name ends in
`_cifar`. What differs from the papers is said beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from twofold.domains.names import domain_by_name
from twofold.objectives import LooC, Predict, SimCLR
from twofold.recipes.cifar import info_nce_cifar
from twofold.recipes.parts import both
from twofold.recipes.recipe import Recipe
from twofold.recipes.small import simclr, simsiam

_COLOURS = ("brightness", "contrast", "saturation", "hue")


def mt_slvr(domain: str = "image") -> Recipe:
    """MT-SLVR: contrast and prediction of what was applied, each with its adapters.

    As published: a random set of augmentations, the same in both views; one predictor of which
    they were, three hidden layers, both losses of weight 1; views encoded one by one; parallel
    adapters and norms for each route, but for the stem and the first stage. Different: image
    augmentations for those of sound, all at once rather than in random order; the sizes of
    `simclr`, whose SGD with one cosine over the run stands for Adam at 5e-5 under a cosine of
    period 2000 steps (the published code steps it once a batch, not once an epoch).

    Reference: Heggan et al., 2023, arXiv:2305.17191 (github.com/CHeggan/MT-SLVR).
    """
    return _mt_slvr("mt_slvr", domain, "parallel")


def mt_simple(domain: str = "image") -> Recipe:
    """MT-SLVR's plain multi-task rival: both losses on the same features.

    Reference: Heggan et al., 2023, arXiv:2305.17191.
    """
    return _mt_slvr("mt_simple", domain, "none")


def mt_split(domain: str = "image") -> Recipe:
    """MT-SLVR's rival with a linear read-out for each loss at the end of a shared network.

    Reference: Heggan et al., 2023, arXiv:2305.17191.
    """
    return _mt_slvr("mt_split", domain, "split")


def mt_norm(domain: str = "image") -> Recipe:
    """MT-SLVR with norms alone for each route.

    Reference: Heggan et al., 2023, arXiv:2305.17191.
    """
    return _mt_slvr("mt_norm", domain, "norm")


def mt_series(domain: str = "image") -> Recipe:
    """MT-SLVR with series adapters.

    Reference: Heggan et al., 2023, arXiv:2305.17191.
    """
    return _mt_slvr("mt_series", domain, "series")


def e_ssl() -> Recipe:
    """E-SSL for small encoders and short runs: SimCLR, and the quarter turn of a small third view.

    The pair is never turned. One turn of each item, drawn anew every epoch, where the published
    code takes all four at once (`e_ssl_cifar` does): the same in the mean, at a quarter of the
    cost. Weight 0.4 as published for SimCLR; the predictor is a quarter as wide.

    Reference: Dangovski et al., 2021, arXiv:2111.00899.
    """
    return _turned(replace(simclr(), name="e_ssl"), small_views=1, width=512)


def e_ssl_cifar() -> Recipe:
    """E-SSL with SimCLR as published for CIFAR-10: all four turns of a view of half the size.

    Learning rate 0.06 at batch 256, twice that without the prediction, weight 0.4, 800 epochs,
    warm-up over 10; predictor of three layers of 2048 with LayerNorm.

    Reference: Dangovski et al., 2021, arXiv:2111.00899 (github.com/rdangovs/essl).
    """
    recipe = info_nce_cifar()
    optimizer = replace(recipe.optimizer, learning_rate=0.06)
    recipe = replace(recipe, name="e_ssl_cifar", optimizer=optimizer)
    return _turned(recipe, small_views=4, width=2048)


def aug_self() -> Recipe:
    """AugSelf for small encoders and short runs: SimSiam, and how the draws of the pair differ.

    One predictor for crops and flips and one for colours, of weight 1 each and three layers, on the
    features of both views. The paper gives flips a predictor of their own.

    Reference: Lee et al., 2021, arXiv:2111.09613.
    """
    base = simsiam()
    objectives = {
        **base.objectives,
        "place": Predict(("crop", "flip"), compare="difference", hidden=(512, 512)),
        "colour": Predict(_COLOURS, compare="difference", hidden=(512, 512)),
    }
    words = {**base.prescription, **both("crop", "flip", *_COLOURS)}
    return replace(base, name="aug_self", objectives=objectives, prescription=words)


def loo_c() -> Recipe:
    """LooC for small encoders and short runs: spaces of their own for turns and brightness.

    Reference: Xiao et al., 2020, arXiv:2008.05659.
    """
    base, kept = simclr(), ("rotate", "brightness")
    return replace(
        base,
        name="loo_c",
        objectives={"contrast": LooC(kept, projector=(1024, 128), temperature=0.1)},
        prescription={**base.prescription, **both(*kept)},
        repeats={name: (2 + number,) for number, name in enumerate(kept)},
        num_views=2 + len(kept),
    )


def _mt_slvr(
    name: str, domain: str, adapters: Literal["none", "parallel", "series", "norm", "split"]
) -> Recipe:
    base = simclr(domain)
    routed = domain in {"image", "audio"} and adapters in {"parallel", "series", "norm"}
    return replace(
        base,
        name=name,
        objectives={
            "contrast": SimCLR(projector=(1024, 128), temperature=0.1),
            "predict": Predict(applied=True, hidden=(256, 64, 16)),
        },
        prescription={**base.prescription, **both(*domain_by_name(domain).strong)},
        select="subset",
        adapters=adapters,
        adapt_after=("conv1", "bn1", "layer1") if routed else None,
        encode="separate",
    )


def _turned(recipe: Recipe, *, small_views: int, width: int) -> Recipe:
    """`recipe` with small views whose quarter turn is predicted."""
    first = recipe.num_views
    views = tuple(range(first, first + small_views))
    turn = Predict("rotate", views=views, hidden=(width, width), norm="layer", route="invariant")
    return replace(
        recipe,
        objectives={**recipe.objectives, "predict": turn},
        prescription={**recipe.prescription, "rotate": "both"},
        asymmetry={**recipe.asymmetry, "rotate": (0.0,) * first + (1.0,) * small_views},
        small_views=small_views,
        small_size=0.5,
        weights={"predict": 0.4},
    )
