"""What recipes are put together from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twofold.augment.augmentation import Augmentation
from twofold.domains.names import domain_by_name
from twofold.recipes.recipe import Word


def invariant(*names: str, domain: str = "image") -> dict[str, Word]:
    """A prescription: `invariant` for those named, `off` for every other of the domain."""
    known = domain_by_name(domain).augmentations
    return {name: "invariant" if name in names else "off" for name in known}


def both(*names: str) -> dict[str, Word]:
    """The word `both` for those named."""
    return dict.fromkeys(names, "both")


def augmentations(
    domain: str = "image", /, **changes: Mapping[str, Any]
) -> dict[str, Augmentation]:
    """The augmentations of a domain with some of their settings changed."""
    known = domain_by_name(domain).augmentations
    return {name: replace(kind, **changes.get(name, {})) for name, kind in known.items()}
