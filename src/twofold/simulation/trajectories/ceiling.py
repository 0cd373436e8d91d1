"""How well the best possible reading of pictures can order orbits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from twofold.errors import TwofoldError
from twofold.simulation.trajectories.block import SIZE, make_block
from twofold.simulation.trajectories.camera import camera_of
from twofold.simulation.trajectories.conditions import Conditions
from twofold.simulation.trajectories.systems import system_by_name

_FOLDS = 10
_SEED = 7  # apart from the files of a small seed


def rendering_ceiling(
    name: str = "pendulum", conditions: Conditions | None = None, *, pairs: int = 400_000
) -> float:
    """The highest |Spearman| with the conserved quantity that anything can read off one picture.

    Bobs are drawn on whole pixels, so that many energies give the same picture. The best reading
    of a picture is then the mean rank of the energies that give it. Those means are taken over
    nine tenths of freshly drawn orbits and judged on the last tenth, each tenth in turn; a picture
    that was never seen counts as the middle. So the estimate is somewhat low where pictures are
    many: if they are large, noisy, or `pairs` few.

    Args:
        name: Of the system; one in closed form is quick.
        conditions: With their seed, noise of pixels and evenness ignored; the published ones if
            None.
        pairs: How many pictures are drawn, >= 1024.

    Returns:
        Spearman's rank correlation of the best reading and the conserved quantity.

    Raises:
        TwofoldError: If there is nothing to draw, or are too few pairs.

    Example:
        >>> round(rendering_ceiling(pairs=100_000), 2)
        0.99
    """
    from scipy.stats import rankdata, spearmanr

    if pairs < 2 * SIZE:
        raise TwofoldError(f"pairs is {pairs}; it must be >= {2 * SIZE}")
    system = system_by_name(name)
    given = conditions or Conditions(render="images")
    settings = replace(
        given,
        render="images",
        samples=2,
        orbits=pairs // 2,
        even=False,
        pixel_noise=0.0,
        seed=_SEED,
    )
    settings.range_of(system)
    camera = camera_of(settings)
    seen, values = [], []
    for number in range(-(-settings.orbits // SIZE)):
        rng = np.random.default_rng((settings.seed, number))
        rows = make_block(system, settings, number, rng)
        seen.append(camera.shown(rows.seen).reshape(len(rows.t), -1))
        values.append(rows.conserved[system.drawn])
    pictures, ranks = _numbered(np.concatenate(seen)), rankdata(np.concatenate(values))
    fold = np.arange(len(ranks)) // settings.samples % _FOLDS
    found = []
    for judged in (fold == one for one in range(_FOLDS)):
        count = np.bincount(pictures[~judged], minlength=pictures.max() + 1)
        total = np.bincount(pictures[~judged], ranks[~judged], minlength=len(count))
        mean = np.where(count > 0, total / np.maximum(count, 1), ranks.mean())
        found.append(spearmanr(mean[pictures[judged]], ranks[judged]).statistic)
    return float(np.mean(found))


def _numbered(rows: np.ndarray) -> np.ndarray:
    """A number for each row of whole numbers, the same for equal rows."""
    base = int(rows.max()) + 1
    keys = np.zeros(len(rows), np.int64)
    for column in rows.T:
        keys = keys * base + column
    return np.unique(keys, return_inverse=True)[1]
