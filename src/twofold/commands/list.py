"""`twofold list`: every name there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.domains.image.names import NAMES
from twofold.domains.names import DOMAINS
from twofold.errors import TwofoldError
from twofold.evaluate.metrics import PROBES
from twofold.networks.names import ENCODERS
from twofold.recipes import RECIPES


def main(args: list[str]) -> int:
    """Prints every name there is."""
    if args:
        raise TwofoldError(f"twofold list takes nothing; found {args[0]}")
    groups: dict[str, Mapping[str, str]] = {
        "recipes": {name: _first_line(recipe) for name, recipe in RECIPES.items()},
        "domains": {name: domain.about for name, domain in DOMAINS.items()},
        "encoders": ENCODERS,
        "probes": {name: probe.about for name, probe in PROBES.items()},
        **{
            f"augmentations ({domain.items})": {
                name: _first_line(kind) for name, kind in domain.augmentations.items()
            }
            for domain in DOMAINS.values()
        },
        "data": NAMES,
    }
    for group, names in groups.items():
        print(group)
        width = max(map(len, names))
        for name, words in names.items():
            print(f"  {name:<{width}}  {words}")
    return 0


def _first_line(value: Any) -> str:
    return str(value.__doc__).strip().splitlines()[0]
