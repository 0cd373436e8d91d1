"""One function that opens data of any domain."""

from __future__ import annotations

from typing import Any

from twofold.domains.names import domain_by_name, told
from twofold.domains.source import Data


def open_data(data: Any, *, domain: str | None = None, **how: Any) -> Data:
    """Opens items to train on and to test on; see `open_data` of the domain's own package.

    Args:
        data: A name, a path, an array, a `Source` or a `Data`.
        domain: What kind of items; told from the data if None.
        **how: As the domain's `open_data` takes it: `labels`, `test`, `test_fraction`, ...

    Example:
        >>> open_data("digits").note
        'digits: 1,797 images of 1x8x8 uint8, 10 classes; random split 1,438 + 359 (seed 0)'
    """
    return domain_by_name(domain or told(data)).tools.open_data(data, **how)
