"""What the probes of an evaluation can be told. Imports no torch: fields are flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from twofold.errors import TwofoldError, unknown


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Options of the probes, each read by the one named first in its words.

    Example:
        >>> ProbeOptions(k=5).k, ProbeOptions().temperature
        (5, 0.07)
    """

    k: int = 20
    """knn: neighbours that vote, or whose numbers are averaged, > 0."""
    temperature: float = 0.07
    """knn: how much more the nearer neighbours count, > 0."""
    ks: tuple[int, ...] = (1, 5, 10)
    """retrieval: numbers of neighbours among which R@k looks for a hit, each > 0."""
    clusters: int | None = None
    """clustering: how many clusters, >= 2; as many as there are classes if none."""
    inits: int = 10
    """clustering: starts of k-means, of which the best is kept, > 0."""
    ways: int = 5
    """fewshot: classes in an episode, >= 2."""
    shots: int = 1
    """fewshot: labelled items of each class in an episode, > 0."""
    queries: int = 1
    """fewshot: items of each class that an episode asks for, > 0."""
    episodes: int = 1000
    """fewshot: how many episodes, >= 2."""
    classifier: Literal["centroid", "cl2n", "logistic"] = "centroid"
    """fewshot: nearest class mean, the same of centred unit features, or logistic regression."""
    per_class: tuple[int, ...] = (1, 10, 100)
    """fewlabels: labelled items of each class, > 0; more than a class has are left out."""
    draws: int = 5
    """fewlabels: draws of each number of labelled items, >= 2."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None and number < least:
                    raise TwofoldError(f"{name} is {number}; it must be >= {least}")
        if not self.temperature > 0:
            raise TwofoldError(f"temperature is {self.temperature}; it must be > 0")
        for name in ("ks", "per_class"):
            if not getattr(self, name):
                raise TwofoldError(f"{name} is empty; it needs one number or more")


_LEAST = {
    "k": 1,
    "ks": 1,
    "clusters": 2,
    "inits": 1,
    "ways": 2,
    "shots": 1,
    "queries": 1,
    "episodes": 2,
    "per_class": 1,
    "draws": 2,
}


def read_options(options: Mapping[str, Any]) -> ProbeOptions:
    """Options by name.

    Raises:
        TwofoldError: If one is unknown or out of range.

    Example:
        >>> read_options({"k": 5}) == ProbeOptions(k=5)
        True
    """
    known = [field.name for field in dataclasses.fields(ProbeOptions)]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    return ProbeOptions(**{**options, **lists})
