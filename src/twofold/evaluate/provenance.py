"""What figures rest on: how they were found, and whether test items were trained on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.domains.cache import key_of

if TYPE_CHECKING:
    from twofold.items import Items

_MOST_BYTES = 2**31  # of items that are compared: seconds
_ROWS = 512  # read at a time


def sealed(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """A protocol with its `hash`: figures with the same one were found in the same way.

    Example:
        >>> sealed({"k": 20, "seed": 0})["hash"] == sealed({"k": 5, "seed": 0})["hash"]
        False
    """
    return {**protocol, "hash": key_of(sorted(protocol.items()))}


def copies(train: Items, test: Items) -> int | None:
    """How many test items are training items too, bit for bit; None of too many to compare.

    Args:
        train: Items to train on `(n, ...)`.
        test: Items to test on `(m, ...)`.

    Example:
        >>> copies(np.eye(4), np.eye(4)[1:3]), copies(np.eye(4), -np.eye(4))
        (2, 0)
    """
    if max(math.prod(items.shape) * items.dtype.itemsize for items in (train, test)) > _MOST_BYTES:
        return None
    known = set(_digests(train))
    return sum(digest in known for digest in _digests(test))


def _digests(items: Items) -> Iterator[bytes]:
    for start in range(0, len(items), _ROWS):
        for item in np.asarray(items[start : start + _ROWS]):
            yield hashlib.blake2b(np.ascontiguousarray(item).data, digest_size=16).digest()
