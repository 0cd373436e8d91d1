"""What was tried for `simclr_short`: one thing changed at a time, for `time_to_accuracy.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from twofold.domains import Data
from twofold.objectives import SimCLR
from twofold.optim import Optimizer
from twofold.recipes import Recipe

TUNING_SEEDS = (100, 101)
"""Not those of the runs that are reported."""
HELD_OUT = 5_000
"""Training images that these runs are judged on."""


class Choice(NamedTuple):
    """A change to the recipe."""

    words: str
    recipe: Callable[[Recipe], Recipe]


def held_out(data: Data) -> Data:
    """Training images alone: some to be judged on, the others to learn from."""
    order = np.random.default_rng(0).permutation(len(data.train))
    train, test = (np.sort(part) for part in (order[HELD_OUT:], order[:HELD_OUT]))
    return dataclasses.replace(data, train=data.train.take(train), test=data.train.take(test))


def changed(words: str, **fields: Any) -> Choice:
    """Fields of the recipe replaced."""
    return Choice(words, lambda recipe: replace(recipe, **fields))


def said(words: str, **prescription: Any) -> Choice:
    """Other words for augmentations."""
    return Choice(
        words,
        lambda recipe: replace(recipe, prescription={**recipe.prescription, **prescription}),
    )


def drawn(words: str, **settings: Mapping[str, Any]) -> Choice:
    """Other settings of augmentations."""

    def recipe_of(recipe: Recipe) -> Recipe:
        kinds = {n: replace(recipe.augmentations[n], **fields) for n, fields in settings.items()}
        return replace(recipe, augmentations={**recipe.augmentations, **kinds})

    return Choice(words, recipe_of)


def contrast(words: str, **settings: Any) -> Choice:
    """Another contrast."""
    objective = SimCLR(**{"projector": (1024, 128), "temperature": 0.1, **settings})
    return changed(words, objectives={"contrast": objective})


def moved(words: str, **settings: Any) -> Choice:
    """Another way to move the weights."""
    optimizer = Optimizer(**{"learning_rate": 0.24, "weight_decay": 5e-4, **settings})
    return changed(words, optimizer=optimizer)


CHOICES = {
    "as it is": changed("`simclr_short` as it is"),
    "no turns": said("no quarter turns", rotate="off"),
    "turns ignored": said("quarter turns ignored", rotate="invariant"),
    "turns weigh 1": changed("the turns' loss weighs 1, not 0.4", word_weight=1.0),
    "flips told": said("flips told, too", flip="sensitive"),
    "all full": changed("no small views", early_resolution=1.0),
    "all small": changed("small views to the end", early_share=1.0),
    "small for 70 %": changed("small views for 70 % of the steps", early_share=0.7),
    "12 pixels": changed("early views of 12 pixels, not 16", early_resolution=0.43),
    "14 pixels": changed("early views of 14 pixels", early_resolution=0.5),
    "20 pixels": changed("early views of 20 pixels", early_resolution=0.71),
    "temperature 0.2": contrast("temperature 0.2", temperature=0.2),
    "temperature 0.5": contrast("temperature 0.5", temperature=0.5),
    "decay 1e-4": moved("weight decay 1e-4", weight_decay=1e-4),
    "rate 0.12": moved("learning rate 0.12", learning_rate=0.12),
    "rate 0.5": moved("learning rate 0.5 after a warm-up", learning_rate=0.5, warmup=0.05),
    "adamw": moved("AdamW at 0.002", name="adamw", learning_rate=2e-3, weight_decay=1e-2),
    "batch 128": changed("128 images a step", batch_size=128),
    "crops from 15 %": drawn("crops from 15 %", crop={"scale": (0.15, 1.0)}),
    "crops from 50 %": drawn("crops from 50 %", crop={"scale": (0.5, 1.0)}),
    "no solarisation": said("no solarisation", solarize="off"),
    "solarised 40 %": drawn("solarisation of 40 %", solarize={"probability": 0.4}),
}
"""By name; the first is the recipe itself."""
