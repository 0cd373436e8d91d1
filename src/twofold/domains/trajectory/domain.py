"""Trajectories: what sets them apart, known before torch is."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.domains.domain import Domain
from twofold.domains.trajectory.augmentations import TRAJECTORY


@dataclass(frozen=True, kw_only=True)
class TrajectoryInput:
    """How coordinates become what augmentations change and the encoder reads."""

    standardize: bool = True
    """Whether each coordinate counts in deviations from its mean; as it is stored otherwise."""


TRAJECTORIES = Domain(
    name="trajectory",
    items="states",
    about="states (n, dim) of mechanical systems, positions before momenta, many of each orbit",
    augmentations=TRAJECTORY,
    strong=(),
    gentle=(),
    input=TrajectoryInput(),
    encoder="mlp",
    positives="group",
    observables={"squared_norm": "sum of squared coordinates, in squared deviations"},
)
