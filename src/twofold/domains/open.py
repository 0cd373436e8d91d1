"""One function that opens data of any domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twofold.domains.names import domain_by_name, told
from twofold.domains.shard_index import is_shards
from twofold.domains.shards import CACHE_GB, open_shards
from twofold.domains.source import Data, Source
from twofold.errors import TwofoldError

_SETTLED = ("key", "label_key", "group_key", "time_key", "labels", "groups", "image_size")


def open_data(
    data: Any, *, domain: str | None = None, cache_gb: float = CACHE_GB, **how: Any
) -> Data:
    """Opens items to train on and to test on; see `open_data` of the domain's own package.

    Args:
        data: A name, a path, an array, a `Source` or a `Data`; or the folder or URL of shards
            that `twofold.pack` wrote.
        domain: What kind of items; told from the data if None.
        cache_gb: Gigabytes of shards that are mapped or fetched at a time, > 0.
        **how: As the domain's `open_data` takes it: `labels`, `test`, `test_fraction`, ...

    Example:
        >>> open_data("digits").note
        'digits: 1,797 images of 1x8x8 uint8, 10 classes; random split 1,438 + 359 (seed 0)'
    """
    kind = domain_by_name(domain or told(data))
    if is_shards(data):
        data = _packed(data, how, cache_gb)
    if is_shards(how.get("test")):
        found = open_shards(how["test"], cache_gb=cache_gb)
        how["test"] = found.test if isinstance(found, Data) else found
    return kind.tools.open_data(data, **how)


def _packed(data: str | Path, how: dict[str, Any], cache_gb: float) -> Data | Source:
    """What shards hold, without their test part if another is given."""
    for name in _SETTLED:
        if how.get(name) is not None:
            raise TwofoldError(
                f"{name} is given, but '{data}' are shards, which hold what was packed; say it to "
                "`twofold pack`"
            )
    found = open_shards(data, cache_gb=cache_gb)
    return found.train if isinstance(found, Data) and how.get("test") is not None else found
