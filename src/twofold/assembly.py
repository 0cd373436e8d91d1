"""From a recipe and a source to the views, what is known of them, and a network with its routes."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from twofold.adapters import Adapted, adapt
from twofold.augment import Target, Views
from twofold.domains import Source
from twofold.errors import TwofoldError
from twofold.method import Method
from twofold.networks import build_encoder, check_reads
from twofold.objectives import Known
from twofold.recipes import RECIPES, Recipe


def for_channels(recipe: Recipe, channels: int) -> Recipe:
    """`recipe` without what it would keep or forget but such images cannot have.

    Raises:
        TwofoldError: If it is the user who asks for that, not the recipe as it comes.
    """
    absent = {
        name: word
        for name, word in recipe.prescription.items()
        if word in {"sensitive", "both", "blind"}
        and recipe.augmentations[name].for_channels(channels) is None
    }
    given = RECIPES[recipe.name]().prescription if recipe.name in RECIPES else {}
    for name, word in absent.items():
        if given.get(name) != word:
            raise TwofoldError(
                f"{name} is prescribed {word!r}, but it changes nothing in images of {channels} "
                f"channel{'s' if channels > 1 else ''}; say 'off'"
            )
    return recipe.without(absent.keys())


def build_views(recipe: Recipe, source: Source, seed: int) -> Views:
    """The views that a recipe makes of a source's items."""
    return Views(
        recipe.augmentations,
        recipe.prescription,
        channels=source.channels,
        size=recipe.view_size or min(source.height, source.width),
        seed=seed,
        num_views=recipe.num_views,
        small_views=recipe.small_views,
        small_size=recipe.small_size,
        asymmetry=recipe.asymmetry,
        repeats=recipe.repeats,
        select=recipe.select,
    )


def find_known(recipe: Recipe, source: Source, views: Views) -> Known:
    """What objectives may know of the items and the views; refuses what cannot be learned."""
    offered = _targets(recipe, views)
    for name, objective in recipe.learned.items():
        if objective.uses_labels and source.labels is None:
            raise TwofoldError(
                f"objective {name!r} of {recipe.name} learns from labels, and '{source.name}' has "
                "none; keep the files in one folder per class, or name the labels with --label-key"
            )
    if source.labels is None or source.classes:
        return Known(items=len(source), classes=source.classes, targets=offered)
    targets = source.labels.reshape(len(source), -1).astype(np.float64)
    deviation = targets.std(axis=0)
    if not deviation.all():
        raise TwofoldError(
            f"labels of '{source.name}' are the same number for all items; there is nothing to "
            "learn from them"
        )
    return Known(
        items=len(source),
        target_mean=tuple(targets.mean(axis=0).tolist()),
        target_std=tuple(deviation.tolist()),
        targets=offered,
    )


def _targets(recipe: Recipe, views: Views) -> dict[str, Target]:
    """What the augmentations offer whose draws an objective reads."""
    return {
        name: views.target(name, views=objective.reads)
        for objective in recipe.learned.values()
        for name in sorted(objective.recovers())
    }


def new_network(recipe: Recipe, channels: int, size: int) -> tuple[nn.Module, dict[str, Any]]:
    """The recipe's network for images of a size, and how to say so."""
    spec: dict[str, Any] = {
        "name": recipe.encoder,
        "channels": channels,
        "image_size": recipe.view_size or size,
        "width": recipe.width,
        "stem": recipe.stem,
    }
    return build_encoder(**spec), spec


def check_views(recipe: Recipe, network: nn.Module, channels: int, size: int) -> None:
    """Refuses a network that cannot read images of a size, or the views made of them."""
    for side in {size, *recipe.view_sizes(size)}:
        check_reads(network, channels=channels, size=side)


def add_adapters(
    recipe: Recipe, backbone: nn.Module, spec: dict[str, Any] | None
) -> tuple[nn.Module, dict[str, Any] | None]:
    """The network with adapters for each route, if the recipe asks for them, and how to say so."""
    if recipe.adapters == "none":
        return backbone, spec
    routes = tuple(dict.fromkeys(objective.route for objective in recipe.learned.values()))
    if len(routes) == 1:
        raise TwofoldError(
            f"adapters is {recipe.adapters!r}, but every objective reads the route {routes[0]!r}; "
            "prescribe an augmentation 'sensitive' or 'both', or leave adapters out"
        )
    adapted = adapt(backbone, routes, recipe.adapters, shared=recipe.adapt_after)
    how = {"routes": routes, "kind": recipe.adapters, "shared": recipe.adapt_after}
    return adapted, None if spec is None else {**spec, "adapters": how}


def describe(recipe: Recipe, method: Method) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What routes have of their own and where gradients are compared, and both in words."""
    about: dict[str, Any] = {}
    sentences = []
    if isinstance(method.encoder, Adapted):
        about["parameters"] = method.encoder.counts()
        counts = ", ".join(f"{name} {count:,}" for name, count in about["parameters"].items())
        sentences.append(f"{recipe.adapters} adapters; parameters: {counts}")
    if len(method.objectives) > 1:
        about["shared_layer"] = method.shared_layer(recipe.balance.layer)[0]
        sentences.append(f"gradients are compared on {about['shared_layer']}")
    return about, tuple(sentences)
