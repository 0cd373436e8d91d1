"""Embeddings on a plane: t-SNE, and the drawing of it that the page makes explorable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

_LIMIT = 1_500
_COMPONENTS = 50
_PERPLEXITY = 30.0
_FEWEST = 10
WIDTH, HEIGHT = 860, 640
_EDGE = 16
_RADIUS = 3.6
NUM_COLOURS = 10
# Unit symbols of about equal area, as SVG path pieces around the origin; `r` is scaled in.
_SYMBOLS: tuple[tuple[tuple[float, float], ...], ...] = (
    (),  # a circle, drawn with arcs
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.25), (1.2, 0.9), (-1.2, 0.9)),
    ((0, -1.35), (1.2, 0), (0, 1.35), (-1.2, 0)),
    ((0, 1.25), (1.2, -0.9), (-1.2, -0.9)),
    # A plus and, turned by an eighth, a cross.
    ((-0.4, -1.3), (0.4, -1.3), (0.4, -0.4), (1.3, -0.4), (1.3, 0.4), (0.4, 0.4),
     (0.4, 1.3), (-0.4, 1.3), (-0.4, 0.4), (-1.3, 0.4), (-1.3, -0.4), (-0.4, -0.4)),
    ((0, -0.57), (0.74, -1.3), (1.3, -0.74), (0.57, 0), (1.3, 0.74), (0.74, 1.3),
     (0, 0.57), (-0.74, 1.3), (-1.3, 0.74), (-0.57, 0), (-1.3, -0.74), (-0.74, -1.3)),
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """The points of one class, ready to be drawn."""

    name: str
    """The class."""
    colour: int
    """Which of the page's colours for classes."""
    symbol: str
    """Its symbol alone, as an SVG path around the origin."""
    right: str
    """SVG path of the points that are classified rightly, or of all if that is not known."""
    wrong: str
    """SVG path of the others."""
    size: int
    """How many points it has."""


def embed(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Where to draw each embedding so that neighbours stay neighbours: t-SNE on a plane.

    Features are centred, reduced to 50 principal components and laid out from their first two, so
    that the same features give the same map.

    Args:
        features: `(n, dim)`; only the first 1,500 rows are laid out.
        seed: Of t-SNE.

    Returns:
        Positions `(n, 2)` within [0, 1], or no rows if there are too few finite features.

    Example:
        >>> embed(np.zeros((4, 8))).shape
        (0, 2)

    Reference: van der Maaten and Hinton, 2008, JMLR 9.
    """
    features = np.asarray(features[:_LIMIT], np.float64)
    spread = features.std(axis=0).max(initial=0) if len(features) else 0.0
    if len(features) < _FEWEST or not np.isfinite(features).all() or spread < 1e-12:
        return np.zeros((0, 2))
    from sklearn.manifold import TSNE

    centred = features - features.mean(axis=0)
    vectors, values, _ = np.linalg.svd(centred, full_matrices=False)
    components = (vectors * values)[:, : min(_COMPONENTS, *features.shape)]
    if components.shape[1] < 2:
        components = np.pad(components, ((0, 0), (0, 1)))
    layout = TSNE(
        perplexity=perplexity(len(features)),
        init=1e-4 * components[:, :2] / components[:, 0].std(),
        random_state=seed,
        n_jobs=1,
    ).fit_transform(components.astype(np.float32))
    layout = layout.astype(np.float64) - layout.min(axis=0)
    return np.asarray(layout / np.maximum(layout.max(axis=0), 1e-12))


def perplexity(count: int) -> float:
    """About how many neighbours each of `count` points minds: 30, fewer where there are few."""
    return min(_PERPLEXITY, (count - 1) / 3)


def pixels(positions: np.ndarray) -> np.ndarray:
    """Positions within [0, 1] in the units of the drawing `(n, 2)`, one decimal."""
    room = np.array([WIDTH - 2 * _EDGE, HEIGHT - 2 * _EDGE])
    placed: np.ndarray = np.round(_EDGE + positions * room, 1)
    return placed


def groups(
    points: np.ndarray,
    labels: np.ndarray | None,
    names: Sequence[str],
    wrong: np.ndarray | None = None,
) -> list[Group]:
    """The points by class, every class with its own pair of colour and symbol.

    Args:
        points: `(n, 2)` in the units of the drawing.
        labels: Class of each point `(n,)`; None if unknown.
        names: The name of every class.
        wrong: Which points a classifier gets wrong `(n,)`; None if unknown.
    """
    labels = np.zeros(len(points), np.int64) if labels is None else labels
    wrong = np.zeros(len(points), bool) if wrong is None else wrong
    found = []
    for order, label in enumerate(np.unique(labels)):
        members = labels == label
        shape = order % len(_SYMBOLS)
        found.append(
            Group(
                name=names[int(label)],
                colour=order % NUM_COLOURS,
                symbol=_path(np.zeros((1, 2)), shape, 5.0),
                right=_path(points[members & ~wrong], shape, _RADIUS),
                wrong=_path(points[members & wrong], shape, _RADIUS),
                size=int(members.sum()),
            )
        )
    return found


def _path(points: np.ndarray, shape: int, radius: float) -> str:
    """One path for many symbols: a thousand points cost the page a few kilobytes."""
    return Markup("".join(_symbol(x, y, shape, radius) for x, y in points.tolist()))


def _symbol(x: float, y: float, shape: int, radius: float) -> str:
    corners = [(radius * dx, radius * dy) for dx, dy in _SYMBOLS[shape]]
    if not corners:
        arc = f"a{radius:g} {radius:g} 0 1 0"
        return f"M{x - radius:.1f} {y:.1f}{arc} {2 * radius:g} 0{arc} -{2 * radius:g} 0z"
    start = f"M{x + corners[0][0]:.1f} {y + corners[0][1]:.1f}"
    moves = (f"l{b[0] - a[0]:.1f} {b[1] - a[1]:.1f}" for a, b in pairwise(corners))
    return start + "".join(moves) + "z"
