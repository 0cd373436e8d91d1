"""Two sources of the same items in one plan. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.config import Aligning, Config, DataConfig
from twofold.errors import TwofoldError
from twofold.recipes import Recipe, recipe_by_name

if TYPE_CHECKING:
    from twofold.domains import Data, Source

SHARED = (
    "name",
    "positives",
    "num_views",
    "small_views",
    "balance",
    "epochs",
    "batch_size",
    "effective_batch",
    "batch_norm",
    "optimizer",
    "choose",
)
"""What belongs to the steps that both encoders are trained in."""


def begun(name: str, domain: str) -> Recipe:
    """A recipe as it begins here: an item's partner is itself, seen by the other source.

    Example:
        >>> begun("info_nce", "trajectory").positives
        'augmentations'
    """
    return replace(recipe_by_name(name, domain), positives="augmentations")


def side_by_side(
    whole: Config,
    recipe: Recipe,
    data: DataConfig,
    *,
    temperature: float = Aligning.temperature,
    within: float = Aligning.within,
) -> Config:
    """`whole` with another source of the same items, trained in the same steps.

    Args:
        whole: Of the first source.
        recipe: Of the other, with the same name.
        data: Where the other is.
        temperature: As of `Aligning`.
        within: As of `Aligning`.

    Raises:
        TwofoldError: If what both share is set for the other, or the recipe has no place here.
    """
    default = begun(whole.recipe.name, recipe.domain)
    for name in SHARED:
        if getattr(recipe, name) != getattr(default, name):
            raise TwofoldError(
                f"{name} of the source beside cannot be set: both encoders are trained in the "
                f"same steps; set {name} itself"
            )
    _check(whole.recipe)
    if within == 0:
        _check_across(whole.recipe)
        _check_across(recipe)
    recipe = replace(recipe, **{name: getattr(whole.recipe, name) for name in SHARED})
    aligning = Aligning(recipe=recipe, data=data, temperature=temperature, within=within)
    return replace(whole, aligning=aligning)


def _check(recipe: Recipe) -> None:
    for name, objective in recipe.learned.items():
        if objective.uses_labels:
            raise TwofoldError(
                f"objective {name!r} of {recipe.name} learns from labels, and two sources are "
                "aligned without any; take a recipe such as info_nce"
            )
    if recipe.choose != "last":
        raise TwofoldError(
            f"choose is {recipe.choose!r}, which looks at one encoder; two end with their last "
            "epoch: leave choose out"
        )


def _check_across(recipe: Recipe) -> None:
    """Refuses what is learned within a source where nothing is."""
    if recipe.positives != "augmentations":
        raise TwofoldError(
            f"positives is {recipe.positives!r}, but within is 0, so that no two items of a group "
            "are compared; leave positives out, or within"
        )
    for name, word in recipe.prescription.items():
        if word not in {"invariant", "off"}:
            raise TwofoldError(
                f"{name} is prescribed {word!r}, but within is 0, so that nothing is learned of "
                "it; say 'invariant' or 'off', or leave within out"
            )


def check_rows(data: Data, beside: Data) -> None:
    """Refuses two sources unless row i of the one is row i of the other, as their ids say.

    An id is the number of a row in an array, and the path of a file in a folder, whose ending does
    not count.

    Raises:
        TwofoldError: With the first thing that differs.
    """
    names = f"'{data.name}' and '{beside.name}'"
    if data.train.fingerprint() == beside.train.fingerprint():
        raise TwofoldError(f"{names} hold the same values; name what else sees these items")
    rows = [len(one.train) + len(one.test) for one in (data, beside)]
    if rows[0] != rows[1]:
        raise TwofoldError(
            f"{names} have {rows[0]:,} and {rows[1]:,} rows; row i of the one must be row i of the "
            "other"
        )
    for one, two in ((data.train, beside.train), (data.test, beside.test)):
        if (one.groups is None) != (two.groups is None):
            has, lacks = (data, beside) if two.groups is None else (beside, data)
            raise TwofoldError(
                f"'{has.name}' has groups and '{lacks.name}' has none; name the same for both, "
                "with --group-key and --beside.group-key, so that the same rows are held out"
            )
        keys = zip_longest(_keys(one), _keys(two), fillvalue="none")
        if differ := [pair for pair in keys if pair[0] != pair[1]]:
            raise TwofoldError(
                f"{names} do not correspond: where one has row {differ[0][0]} the other has "
                f"{differ[0][1]}; give both the same order, the same groups and the same split"
            )


def _keys(source: Source) -> Sequence[str]:
    if source.folder is None:
        return source.ids
    return [str(Path(name).with_suffix("")) for name in source.ids]
