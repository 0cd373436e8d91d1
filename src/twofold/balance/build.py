"""From settings to a balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from twofold.balance.aggregate import Aggregated, build_weighting
from twofold.balance.balancer import Balancer
from twofold.balance.dwa import DWA
from twofold.balance.gradnorm import GradNorm
from twofold.balance.random import RandomWeights
from twofold.balance.settings import Balance
from twofold.balance.uncertainty import Uncertainty
from twofold.balance.weighted import Weighted
from twofold.errors import TwofoldError


def build_balancer(
    settings: Balance,
    names: Sequence[str],
    *,
    weights: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
    layer: Tensor | None = None,
    shared: Sequence[Tensor] = (),
) -> Balancer:
    """The balancer that `settings` describe; a single loss is only weighted, whatever they say.

    Args:
        settings: Which balancer, and its numbers.
        names: The losses.
        weights: Fixed factor of each loss; 1 where none is given.
        floors: Least value each loss can take, where it is known.
        layer: The shared weight on which gradients are measured; gradnorm needs one.
        shared: All weights that the losses share; balancers that combine gradients need them.

    Raises:
        TwofoldError: If the balancer needs what is not there, or a fixed factor it cannot use.

    Example:
        >>> balancer = build_balancer(Balance(name="uncertainty"), ["contrast", "predict"])
        >>> sorted(balancer.state_dict())  # doctest: +NORMALIZE_WHITESPACE
        ['_extra_state', 'adam.first', 'adam.second', 'adam.steps', 'log_variances']
    """
    name = settings.name
    common: dict[str, Any] = {"weights": weights, "floors": floors, "layer": layer}
    common["measure_every"] = settings.measure_every
    if name == "weighted" or len(names) == 1:
        return Weighted(names, **common)
    for loss, weight in (weights or {}).items():
        if weight <= 0:
            raise TwofoldError(
                f"the weight of loss {loss!r} is {weight}; balancer {name!r} needs it > 0"
            )
    if name == "gradnorm":
        if layer is None:
            raise TwofoldError(
                "balancer 'gradnorm' compares gradients on a layer that the losses share, and "
                "there is none; name it with --balance.layer"
            )
        return GradNorm(names, alpha=settings.alpha, rate=settings.rate, **common)
    if name == "uncertainty":
        return Uncertainty(names, rate=settings.rate, **common)
    if name == "dwa":
        return DWA(names, temperature=settings.softness, **common)
    if name == "random":
        return RandomWeights(names, **common)
    if not shared:
        raise TwofoldError(
            f"balancer {name!r} combines gradients on weights that the losses share, and there "
            "are none; choose weighted"
        )
    return Aggregated(names, shared=shared, weighting=build_weighting(name), **common)
