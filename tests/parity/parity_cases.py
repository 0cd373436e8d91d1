"""What is compared for parity: every recipe, made small, with items that suit it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from twofold.assembly import build_views, find_known
from twofold.augment import Views
from twofold.balance.settings import Name
from twofold.clips import clips_of
from twofold.domains import Source
from twofold.domains.names import DOMAINS, domain_by_name
from twofold.networks.names import BatchNorm
from twofold.objectives import Forget, Known, Objective
from twofold.preprocess import Preprocess
from twofold.recipes import RECIPES, Recipe, recipe_by_name

BATCH = 16
ITEMS, ORBITS, CLASSES = 64, 32, 3
WIDE = {"projector": 12, "predictor": 8, "hidden": 8}
"""The widest that a layer of a head is."""
SHAPES = {
    "image": (3, 12, 12),
    "audio": (1, 1, 2400),
    "jet": (3, 12, 12),
    "trajectory": (4, 1, 1),
}
MANY: tuple[Name, ...] = ("gradnorm", "uncertainty", "dwa", "random", "upgrad")
"""Balancers of several losses."""


@dataclass(frozen=True)
class Case:
    """A recipe, made small, and what is special about it."""

    recipe: str
    """Its name, or one of `OTHERS`."""
    domain: str = "image"
    """What its items are."""
    norm: Literal["BatchNorm", "GroupNorm"] = "BatchNorm"
    """What normalises the encoder: by the items of a batch, or each item by itself."""
    balance: Name | None = None
    """The balancer, if it is not the recipe's."""
    precision: Literal["float64", "float32"] = "float64"
    """What is computed in."""
    batch_norm: BatchNorm | None = None
    """By what a BatchNorm divides in parts; it is given none if this is."""

    @property
    def name(self) -> str:
        """In words that no other case has."""
        special = (self.norm, self.batch_norm, self.balance, self.precision)
        words = (self.recipe, self.domain, *special)
        return " ".join(word for word in words if word)


def _forgetting() -> Recipe:
    recipe = recipe_by_name("simclr")
    return replace(recipe, objectives={**recipe.objectives, "forget": Forget("brightness")})


def _queued() -> Recipe:
    recipe = recipe_by_name("info_nce")
    found = {n: replace(o, negatives="queue", queue=24) for n, o in recipe.objectives.items()}
    return replace(recipe, objectives=found)


OTHERS = {"simclr + Forget": _forgetting, "info_nce, queue": _queued}
"""Objectives of no recipe."""


def few() -> Iterator[Case]:
    """Every recipe for pictures in float64, and some of all else."""
    for name in (*RECIPES, *OTHERS):
        yield Case(name)
        yield Case(name, norm="GroupNorm")
    for domain in DOMAINS:
        yield Case("conserved", domain)
    for balance in MANY:
        yield Case("e_ssl", balance=balance)
        yield Case("mt_slvr", norm="GroupNorm", balance=balance)
    for mode in get_args(BatchNorm):
        yield Case("e_ssl", batch_norm=mode)
    for name in ("simclr", "vicreg", "byol"):
        yield Case(name, precision="float32")
        yield Case(name, norm="GroupNorm", precision="float32")


def more() -> Iterator[Case]:
    """Every recipe of every other domain, and those for pictures in float32."""
    for name, make in RECIPES.items():
        for domain in DOMAINS if "domain" in signature(make).parameters else ():
            # states have no augmentation that MT-SLVR could predict
            if domain != "image" and not (domain == "trajectory" and name.startswith("mt_")):
                yield Case(name, domain)
                yield Case(name, domain, "GroupNorm")
        yield Case(name, precision="float32")
        yield Case(name, norm="GroupNorm", precision="float32")
    for name in ("simclr", "barlow_twins"):
        for mode in get_args(BatchNorm):
            yield Case(name, batch_norm=mode)


class Prepared(NamedTuple):
    """What all ways of a recipe share."""

    recipe: Recipe
    source: Source
    views: Views
    preprocess: Preprocess
    known: Known


@cache
def prepared(name: str, domain: str) -> Prepared:
    """A recipe with a narrow network and as narrow heads, and items for it."""
    recipe = OTHERS[name]() if name in OTHERS else recipe_by_name(name, domain)
    recipe = replace(
        recipe,
        objectives={name: _narrow(objective) for name, objective in recipe.objectives.items()},
        encoder="mlp" if domain == "trajectory" else "resnet-small",
        width=0.125,
        stem=None,
        view_size=None,
        batch_size=BATCH,
    )
    source = _source(recipe)
    views = build_views(recipe, source, 0)
    preprocess = domain_by_name(domain).tools.measure(source.items, recipe.input)
    known = find_known(recipe, source, views)
    labelled = torch.arange(ITEMS) < ITEMS // 3  # more of some processes than of others
    known = replace(known, teacher=_teacher(known.classes), labelled=labelled)
    return Prepared(recipe, source, views, preprocess, known)


def _narrow(objective: Objective) -> Objective:
    changes: dict[str, Any] = {
        field: tuple(min(width, widest) for width in getattr(objective, field))
        for field, widest in WIDE.items()
        if hasattr(objective, field)
    }
    if hasattr(objective, "noise"):
        changes["noise"] = 16
    if hasattr(objective, "teacher_share"):
        changes["teacher_share"] = 0.5
    return replace(objective, **changes)


def _source(recipe: Recipe) -> Source:
    """Random items in orbits, with classes, or numbers where no classes are learned."""
    draws = np.random.default_rng(0)
    shape = (ITEMS, *SHAPES[recipe.domain])
    items: Any = draws.normal(size=shape).astype(np.float32)
    if recipe.domain == "image":
        items = draws.integers(0, 256, shape, dtype=np.uint8)
    elif recipe.domain == "jet":
        items = np.abs(items)
    elif recipe.domain == "audio":
        items = clips_of(0.2 * items[:, 0, 0], 1, window=shape[-1], sample_rate=16_000)
    orbits = np.arange(ITEMS) % ORBITS
    numbers = recipe.name == "conserved_supervised"
    return Source(
        name="random",
        items=items,
        ids=[str(number) for number in range(ITEMS)],
        labels=draws.random(ITEMS, np.float32) if numbers else orbits % CLASSES,
        groups=orbits,
        times=np.arange(ITEMS, dtype=np.float64),
        domain=recipe.domain,
    )


def _teacher(outputs: int) -> Any:
    def answers(images: Tensor) -> Tensor:
        rows = images.flatten(1)
        waves = torch.arange(rows.shape[1] * outputs, dtype=rows.dtype).sin()
        return rows @ waves.view(-1, outputs)

    return answers
