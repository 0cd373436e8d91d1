"""What experts read off items, as far as their domain names something."""

from __future__ import annotations

import numpy as np

from twofold.domains.names import domain_by_name
from twofold.items import Items

_BATCH = 256  # items at a time: those kept compressed are large when they are not


def read_off(items: Items, domain: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Each observable that the domain names, of some items; none if it names none.

    Args:
        items: Items as stored `(m, channels, height, width)`.
        domain: What kind of items they are.
        rows: Which of them, int64 `(n,)`, n >= 1.

    Returns:
        `(n,)` in float64, by name.

    Example:
        >>> jets = np.zeros((2, 3, 8, 8), np.float32)
        >>> jets[1, 0, 2, 3:5] = 50
        >>> read_off(jets, "jet", np.array([1, 0]))["multiplicity"].tolist()
        [2.0, 0.0]
    """
    kind = domain_by_name(domain)
    if not kind.observables:
        return {}
    pieces = [
        kind.tools.observables(items[rows[start : start + _BATCH]])
        for start in range(0, len(rows), _BATCH)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in kind.observables}
