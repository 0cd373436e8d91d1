"""Every recipe by name."""

from __future__ import annotations

from collections.abc import Callable

from twofold.errors import unknown
from twofold.recipes import cifar, imagenet, prescribed, small
from twofold.recipes.recipe import Recipe

_FUNCTIONS = (
    small.simclr,
    small.simclr_v2,
    small.info_nce,
    small.nce,
    small.sup_con,
    small.byol,
    small.simsiam,
    small.barlow_twins,
    small.vicreg,
    small.supervised,
    small.finetune,
    small.distill,
    prescribed.mt_slvr,
    prescribed.mt_simple,
    prescribed.mt_split,
    prescribed.mt_norm,
    prescribed.mt_series,
    prescribed.e_ssl,
    prescribed.aug_self,
    prescribed.loo_c,
    cifar.simclr_cifar,
    cifar.info_nce_cifar,
    cifar.nce_cifar,
    cifar.sup_con_cifar,
    cifar.byol_cifar,
    cifar.simsiam_cifar,
    cifar.barlow_twins_cifar,
    cifar.vicreg_cifar,
    cifar.supervised_cifar,
    prescribed.e_ssl_cifar,
    imagenet.simclr_imagenet,
    imagenet.simclr_v2_imagenet,
    imagenet.nce_imagenet,
    imagenet.byol_imagenet,
    imagenet.simsiam_imagenet,
    imagenet.barlow_twins_imagenet,
    imagenet.vicreg_imagenet,
    imagenet.supervised_imagenet,
)

RECIPES: dict[str, Callable[[], Recipe]] = {recipe.__name__: recipe for recipe in _FUNCTIONS}
"""Every recipe by name; each is a function of no arguments that returns a value to edit."""


def recipe_by_name(name: str) -> Recipe:
    """The recipe of that name with its defaults.

    Raises:
        TwofoldError: If no recipe goes by that name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]()
