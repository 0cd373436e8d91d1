"""From a recipe and a source to the views, what is known of them, and a network with its routes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from twofold.adapters import Adapted, adapt
from twofold.augment import Target, Views
from twofold.config import load_config
from twofold.distributed import world_size
from twofold.domains import Source
from twofold.domains.names import domain_by_name
from twofold.errors import TwofoldError
from twofold.folder import CONFIG
from twofold.method import Method
from twofold.networks import build_encoder, check_reads
from twofold.objectives import Known
from twofold.positives import Groups
from twofold.preprocess import Preprocess
from twofold.recipes import RECIPES, Recipe, recipe_by_name

_LEAST_ITEMS = 8  # four batches of two


def for_channels(recipe: Recipe, channels: int) -> Recipe:
    """`recipe` without what it would keep or forget but such items cannot have.

    Raises:
        TwofoldError: If it is the user who asks for that, not the recipe as it comes.
    """
    absent = {
        name: word
        for name, word in recipe.prescription.items()
        if word in {"sensitive", "both", "blind"}
        and recipe.augmentations[name].for_channels(channels) is None
    }
    known = recipe.name in RECIPES
    given = recipe_by_name(recipe.name, recipe.domain).prescription if known else {}
    items = domain_by_name(recipe.domain).items
    for name, word in absent.items():
        if given.get(name) != word:
            raise TwofoldError(
                f"{name} is prescribed {word!r}, but it changes nothing in {items} of {channels} "
                f"channel{'s' if channels > 1 else ''}; say 'off'"
            )
    return recipe.without(absent.keys())


def build_views(recipe: Recipe, source: Source, seed: int) -> Views:
    """The views that a recipe makes of a source's items."""
    kind = domain_by_name(recipe.domain)
    return Views(
        recipe.augmentations,
        recipe.prescription,
        channels=source.channels,
        size=recipe.view_size or kind.size(source.height, source.width),
        signals=kind.signals,
        seed=seed,
        num_views=recipe.num_views,
        small_views=recipe.small_views,
        small_size=recipe.small_size,
        asymmetry=recipe.asymmetry,
        repeats=recipe.repeats,
        select=recipe.select,
        renderer=kind.tools.render,
    )


def find_groups(recipe: Recipe, source: Source, views: Views, seed: int) -> Groups | None:
    """The groups whose items are positives of each other; None where views are of one item.

    A group of one item takes part if two views of that item can differ.

    Raises:
        TwofoldError: If the items have no groups, or none of them has two items; if they have no
            times but those far apart are asked for; or if labels differ within a group and are
            learned from.
    """
    if recipe.positives == "augmentations":
        return None
    if source.groups is None:
        raise TwofoldError(
            f"positives is {recipe.positives!r}, but '{source.name}' has no groups; name the array "
            "that holds them, or the column of a folder's metadata.csv, with --group-key"
        )
    if recipe.positives == "apart" and source.times is None:
        raise TwofoldError(
            f"positives is 'apart', but '{source.name}' has no times; name the array that holds "
            "them, or the column of a folder's metadata.csv, with --time-key; or say 'group'"
        )
    groups = Groups(
        source.groups,
        num_views=recipe.all_views,
        seed=seed,
        alone=views.differ,
        times=source.times if recipe.positives == "apart" else None,
    )
    learns = (o.uses_labels and len(o.reads) > 1 for o in recipe.learned.values())
    if source.labels is not None and any(learns):
        _check_labels_within(source.groups, source.labels, recipe.name)
    return groups


def _check_labels_within(groups: np.ndarray, labels: np.ndarray, recipe: str) -> None:
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    mixed = groups[(labels != labels[first][number]).reshape(len(labels), -1).any(axis=1)]
    if len(mixed):
        raise TwofoldError(
            f"labels differ within group {mixed[0]!s}, but {recipe} takes its items for one class; "
            "take a recipe without labels, or say positives 'augmentations'"
        )


def about_groups(groups: Groups) -> tuple[str, ...]:
    """What there is to say about groups of one item, if there are any."""
    if not groups.num_single:
        return ()
    left_out = len(groups) < groups.num_found
    becomes = "left out, for their views would be alike" if left_out else "paired with themselves"
    return (
        f"{groups.num_single:,} of {groups.num_found:,} groups have one item: they are {becomes}",
    )


def with_batches(
    recipe: Recipe, items: int, groups: Groups | None = None
) -> tuple[Recipe, tuple[str, ...]]:
    """`recipe` with batches that items, or groups, can fill, and what to say about either.

    Raises:
        TwofoldError: If there are too few for any batch, or for the effective batch asked for; or
            if processes cannot share a batch alike.
    """
    what, count = ("items", items) if groups is None else ("groups", len(groups))
    remarks = () if groups is None else about_groups(groups)
    if count < _LEAST_ITEMS:
        found = f" ({remarks[0]})" if remarks else ""
        raise TwofoldError(
            f"there are {count} {what} to train on{found}; it takes at least {_LEAST_ITEMS}"
        )
    processes = world_size()
    if recipe.batch_size % processes:
        near = max(1, recipe.batch_size // processes) * processes
        raise TwofoldError(
            f"batch_size is {recipe.batch_size}, which {processes} processes cannot share alike; "
            f"it must be a multiple of {processes}, such as {near}"
        )
    if recipe.effective_batch is not None:
        if count < recipe.effective_batch:
            raise TwofoldError(
                f"effective_batch is {recipe.effective_batch}, but there are {count} {what} to "
                "train on; it must be at most that"
            )
        return recipe, (*remarks, *_about_parts(recipe))
    if count >= recipe.batch_size:
        return recipe, remarks
    most = count // 4 // processes * processes
    if not most:
        raise TwofoldError(
            f"there are {count} {what} to train on, too few for {processes} processes; start fewer"
        )
    smaller = replace(recipe, batch_size=most)
    remark = (
        f"{count} {what} fill no batch of {recipe.batch_size}: batches are of {smaller.batch_size}"
    )
    return smaller, (*remarks, remark)


def _about_parts(recipe: Recipe) -> tuple[str, ...]:
    """In what parts differ from one batch, if the encoder has BatchNorm."""
    divides = {
        "frozen": "its running statistics, which stay as they are",
        "group": f"the statistics of {recipe.batch_size} items at a time",
        "two-pass": f"statistics of all {recipe.step_size} items, which no gradient goes through",
    }
    if recipe.batch_norm is None:
        return ()
    return (f"BatchNorm divides by {divides[recipe.batch_norm]}: not the same as one batch",)


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


def new_network(recipe: Recipe, preprocess: Preprocess) -> tuple[nn.Module, dict[str, Any]]:
    """The recipe's network for items as they are preprocessed, and how to say so."""
    channels, height, width = preprocess.read_shape(recipe.view_size)
    spec: dict[str, Any] = {
        "name": recipe.encoder,
        "channels": channels,
        "image_size": width,
        "width": recipe.width,
        "stem": recipe.stem,
    }
    if height != width:
        spec["rows"] = height
    return build_encoder(**spec), spec


def check_views(
    recipe: Recipe, network: nn.Module, preprocess: Preprocess
) -> set[tuple[int, int, int]]:
    """The shapes in which the network reads items and views; refuses one that cannot."""
    sizes = {preprocess.size, *recipe.view_sizes(preprocess.size)}
    shapes = {preprocess.read_shape(size) for size in sizes}
    for shape in shapes:
        check_reads(network, shape)
    return shapes


def with_input(recipe: Recipe, begun: Path) -> Recipe:
    """`recipe` with the input of the run that it goes on from, if `begun` is one's folder.

    Raises:
        TwofoldError: If another input was asked for than the encoder has learned to read.
    """
    if not (begun / CONFIG).exists():
        return recipe
    known = load_config(begun / CONFIG).recipe.input
    if recipe.input not in (known, domain_by_name(recipe.domain).input):
        raise TwofoldError(
            f"input is {recipe.input}, but {begun} has learned to read items as {known}; leave "
            "input out"
        )
    return replace(recipe, input=known)


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
