"""What to take where time is short: minutes of one core, and less."""

from __future__ import annotations

from dataclasses import replace

from twofold.recipes.recipe import Recipe
from twofold.recipes.small import simclr


def simclr_short() -> Recipe:
    """SimCLR for minutes of one core: small views for long, and quarter turns to be told.

    Views of 4/7 of the size for the first 90 % of the steps: of 28 pixels 16, which cost
    `resnet-small` as much as 14 and two thirds of 18. Both views of an image are turned alike by
    quarter turns, which a predictor beside the contrast must tell: it helps where images have an
    upright, and costs next to nothing. Where they have none, say
    `--prescription.rotate invariant`. All else is as in `simclr`: what was tried instead was no
    better on 5 000 training images of Fashion-MNIST held out of an epoch on the others, or worse
    on emoji; `benchmarks/time_to_accuracy.py` has the figures.

    Reference: Chen et al., 2020, arXiv:2002.05709; Dangovski et al., 2021, arXiv:2111.00899.
    """
    base = simclr()
    return replace(
        base,
        name="simclr_short",
        prescription={**base.prescription, "rotate": "sensitive"},
        early_resolution=0.57,
        early_share=0.9,
        epochs=2,
    )
