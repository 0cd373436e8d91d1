"""Every recipe by name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from twofold.domains.names import domain_by_name
from twofold.errors import TwofoldError, unknown
from twofold.recipes import cifar, conservation, imagenet, prescribed, short, small
from twofold.recipes.recipe import Recipe

_FUNCTIONS = (
    small.simclr,
    short.simclr_short,
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
    conservation.conserved,
    conservation.conserved_unfolded,
    conservation.conserved_2d,
    conservation.conserved_cosine,
    conservation.conserved_simsiam,
    conservation.conserved_barlow_twins,
    conservation.conserved_vicreg,
    conservation.conserv_net,
    conservation.con_cer_net,
    conservation.siamese,
    conservation.conserved_supervised,
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

RECIPES: dict[str, Callable[..., Recipe]] = {recipe.__name__: recipe for recipe in _FUNCTIONS}
"""Every recipe by name; each is a function that returns a value to edit. Those that serve items of
any domain take its name, `image` if none is given."""


def recipe_by_name(name: str, domain: str = "image") -> Recipe:
    """The recipe of that name with its defaults, for items of a domain.

    Raises:
        TwofoldError: If no recipe goes by that name, or it is for images alone.

    Example:
        >>> recipe_by_name("simclr").encoder, recipe_by_name("simclr", "jet").encoder
        ('resnet18', 'resnet15')
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    domain_by_name(domain)
    if "domain" in signature(RECIPES[name]).parameters:
        return RECIPES[name](domain)
    if domain != "image":
        others = ", ".join(
            other for other, make in RECIPES.items() if "domain" in signature(make).parameters
        )
        raise TwofoldError(f"recipe {name} is for images alone; for domain {domain!r}: {others}")
    return RECIPES[name]()
