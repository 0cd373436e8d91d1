"""The picture of a search: each query beside the items nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from twofold.domains.names import domain_by_name
from twofold.report.contact_sheet import contact_sheet
from twofold.report.pictures import scale_of
from twofold.report.sound import full_scale

_LONGEST = 22  # characters of a name that fit below a picture


def hit_sheet(
    queries: np.ndarray,
    hits: np.ndarray,
    captions: Sequence[Sequence[str]],
    *,
    names: Sequence[str],
    title: str,
    low: float | None = None,
    high: float | None = None,
    domain: str = "image",
) -> Image.Image:
    """Queries, one a row, with what was found for them, the nearest first.

    Args:
        queries: Items `(m, channels, height, width)` as stored.
        hits: Items found for each `(m, k, channels, height, width)`, of any size.
        captions: `captions[query][rank]`, parts of it separated by two blanks.
        names: What each query is called.
        title: Printed above.
        low: Stored value that is black; what the type means if None.
        high: Stored value that is white; what the type means if None.
        domain: What kind of items they are.

    Example:
        >>> items = np.zeros((3, 1, 28, 28), np.uint8)
        >>> sheet = hit_sheet(items[:1], items[None], [["a", "b", "c"]], names="q", title="Hits")
        >>> sheet.mode, sheet.width
        ('RGB', 812)
    """
    ranks = range(hits.shape[1])
    if domain_by_name(domain).shown == "spectrogram":
        queries, hits = full_scale(queries), full_scale(hits)
    scale = scale_of(_together(queries, hits), low, high, domain=domain)
    return contact_sheet(
        queries,
        [hits[:, rank] for rank in ranks],
        [[row[rank] for row in captions] for rank in ranks],
        headings=["query", *(f"{rank + 1}" for rank in ranks)],
        names=[abridged(name) for name in names],
        title=title,
        notes=[scale.note] if scale.note else [],
        scale=scale,
    )


def _together(queries: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """All values `(n, channels, height, width)`; of items of different sizes, in one row."""
    if queries.shape[1:] == hits.shape[2:]:
        return np.concatenate([queries, hits.reshape(-1, *queries.shape[1:])])
    by_channel = [np.moveaxis(queries, 1, 0), np.moveaxis(hits, 2, 0)]
    rows = [items.reshape(queries.shape[1], -1) for items in by_channel]
    return np.concatenate(rows, axis=1)[None, :, None]


def abridged(name: str) -> str:
    """A name short enough for a caption: the end of a path says more than its beginning.

    Example:
        >>> abridged("train/shoes/sneakers/0123456789.png")
        '…eakers/0123456789.png'
    """
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
