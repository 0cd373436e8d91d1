"""The conditions of a published study of pendulums in pictures, and what it found.

All figures are from github.com/califyn/rsi-2021: |Spearman| with the energy, the mean of five
seeds of a ResNet-18, those of gaps read off a plot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from twofold.simulation.trajectories import Conditions

PICTURES = Conditions(render="images")
EVEN = Conditions(render="images", even=True, samples=1, times=(0, 10), seed=1)
SAME, ALL, GAP = "the same", "all", "inside the gap"


class Trial(NamedTuple):
    """What training sees, what is judged, and what the study publishes for both."""

    words: str
    """What training sees."""
    train: Conditions
    """The same in numbers."""
    tests: Mapping[str, Conditions]
    """What it is judged on, by name."""
    published: Mapping[str, tuple[float | None, float | None]]
    """Without labels, and supervised, for each of those."""


def _trials() -> Iterator[tuple[str, Trial]]:
    """All conditions by name."""
    yield "clean", Trial("as published", PICTURES, {ALL: EVEN}, {ALL: (0.9937, 0.9938)})
    for sigma, *found in (
        (0.05, 0.9931, 0.9928, 0.9742, 0.9745),
        (0.1, 0.9875, 0.9871, 0.9272, 0.9264),
        (0.2, 0.9487, 0.9502, 0.8209, 0.8173),
        (0.25, 0.9170, 0.9187, 0.7757, 0.7702),
    ):
        yield (
            f"noise-{sigma}",
            Trial(
                f"angle and momentum off by {sigma}",
                replace(PICTURES, noise=sigma),
                {ALL: EVEN, SAME: replace(EVEN, noise=sigma)},
                {ALL: (found[0], found[1]), SAME: (found[2], found[3])},
            ),
        )
    for strength, *found in ((0.1, 0.9927, 0.9924), (0.25, 0.9920, 0.9913)):
        noisy = replace(PICTURES, pixel_noise=strength)
        words = f"pixels off by {strength}"
        yield f"pixels-{strength}", Trial(words, noisy, {ALL: EVEN}, {ALL: (found[0], found[1])})
    for low, *found in (
        (0.1, 0.9894, 0.9723),
        (0.2, 0.9550, 0.9165),
        (0.25, 0.9196, 0.8911),
        (0.3, 0.8647, 0.8392),
        (0.35, 0.841, 0.776),
        (0.4, 0.779, 0.570),
        (0.45, 0.619, 0.475),
        (0.475, 0.229, 0.255),
    ):
        part = replace(PICTURES, range=(low, 1 - low))
        words = f"m from {low:g} to {1 - low:g}"
        yield f"range-{low}", Trial(words, part, {ALL: EVEN}, {ALL: (found[0], found[1])})
    for spread, found in ((4.0, 0.9938), (2.0, 0.9936), (1.0, 0.274), (0.5, 0.090), (0.25, 0.101)):
        near = replace(PICTURES, spread=spread)
        words = f"times of an orbit within {spread:g}"
        yield f"within-{spread}", Trial(words, near, {ALL: EVEN}, {ALL: (found, 0.9937)})
    for end, same, *found in (
        (0.25, 0.988, 0.179, 0.465),
        (1.0, 0.992, 0.533, 0.641),
        (2.0, 0.995, 0.669, 0.748),
        (4.0, 0.9945, 0.903, 0.854),
    ):
        window = (0.0, end)
        yield (
            f"window-{end}",
            Trial(
                f"all times from 0 to {end:g}",
                replace(PICTURES, times=window),
                {SAME: replace(EVEN, times=window), ALL: EVEN},
                {SAME: (same, same), ALL: (found[0], found[1])},
            ),
        )
    late = (8.0, 8.25)
    yield (
        "window-late",
        Trial(
            "all times from 8 to 8.25",
            replace(PICTURES, times=late),
            {SAME: replace(EVEN, times=late)},
            {SAME: (0.895, 0.9987)},
        ),
    )
    for crop, *found in (
        (0.9, 0.996, 0.996),
        (0.75, 0.862, 0.888),
        (0.6, 0.618, 0.760),
        (0.5, 0.471, 0.657),
        (0.45, 0.450, 0.588),
    ):
        yield (
            f"crop-{crop}",
            Trial(
                f"a crop of {crop:g}",
                replace(PICTURES, crop=crop),
                {SAME: replace(EVEN, crop=crop)},
                {SAME: (found[0], found[1])},
            ),
        )
    for share, *found in (
        (0.1, 0.9939, 0.9936, 0.855, 0.85),
        (0.4, 0.993, 0.9929, 0.76, 0.75),
        (0.8, 0.9877, 0.9847, 0.385, 0.35),
    ):
        inside = replace(EVEN, range=((1 - share) / 2, (1 + share) / 2))
        yield (
            f"gap-{share}",
            Trial(
                f"no m in the middle {share:.0%}",
                replace(PICTURES, gaps=(1, share)),
                {ALL: EVEN, GAP: inside},
                {ALL: (found[0], found[1]), GAP: (found[2], found[3])},
            ),
        )


TRIALS = dict(_trials())
"""All conditions by name."""
