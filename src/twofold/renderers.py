"""What makes the views of a run: batched torch, or compiled loops where they pay."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from twofold.augment import Views, fused, rendering
from twofold.config import Config
from twofold.distributed import of_first
from twofold.errors import TwofoldError
from twofold.hardware import Hardware

WORTH_VALUES = 2**30
"""Values of views from which on a run saves more seconds than compiling the loops may take."""


def with_renderer(whole: Config, hardware: Hardware, views: Views, samples: int) -> Hardware:
    """Has `views` made by what suits the run best, and says so in its hardware.

    A run goes on with what it began with: the two differ by rounding.

    Args:
        whole: Its settings, and what was found if it is one that goes on.
        hardware: Where it computes.
        views: What is to be rendered; changed in place.
        samples: Items of an epoch.

    Raises:
        TwofoldError: If the fused renderer is asked for, or the run began with it, and it cannot
            be had.
    """
    begun = whole.found.get("hardware")
    wanted = begun.get("renderer", "torch") if begun else whole.settings.renderer
    values = whole.recipe.epochs * samples * views.num_values(views.size)
    chosen = of_first(lambda: _chosen(wanted, hardware, views, values))
    if chosen == "fused":
        _check(
            f"the run began with {wanted}" if begun else f"renderer is {wanted}", hardware, views
        )
        views.renderer = fused.render
    return replace(hardware, renderer=chosen)


def _chosen(
    wanted: str, hardware: Hardware, views: Views, values: int
) -> Literal["torch", "fused"]:
    if wanted == "auto":
        pays = values >= WORTH_VALUES and _suits(hardware, views) and fused.available()
        return "fused" if pays else "torch"
    return "fused" if wanted == "fused" else "torch"


def _suits(hardware: Hardware, views: Views) -> bool:
    """Whether views are of images, made on a CPU, in ways that the loops know."""
    of_images = views.renderer is rendering.render
    on_cpu = torch.device(hardware.device).type == "cpu"
    return of_images and on_cpu and fused.can_render(views.augmentations)


def _check(why: str, hardware: Hardware, views: Views) -> None:
    if not _suits(hardware, views):
        raise TwofoldError(
            f"{why}, which makes views of images on a CPU, of "
            f"{', '.join(fused.RENDERED)}; say --renderer torch"
        )
    if not fused.available():
        raise TwofoldError(f"{why}, which needs numba: pip install 'twofold[fast]'")
