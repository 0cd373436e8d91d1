"""How a student learns from a teacher, as plain values. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from twofold.objectives import Distill


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """Whom a student learns from.

    Example:
        >>> Distilling(teacher="runs/tuned").teacher
        'runs/tuned'
    """

    teacher: str = ""
    """Folder of a run with a head that tells classes or numbers."""


def as_asked(
    objectives: Mapping[str, Any],
    *,
    temperature: float | None = None,
    teacher_share: float | None = None,
) -> dict[str, Any]:
    """The objectives of a recipe, those that distil with what was asked for; as before if None.

    Example:
        >>> as_asked({"distill": Distill()}, temperature=2.0)["distill"].temperature
        2.0
    """
    asked = {"temperature": temperature, "teacher_share": teacher_share}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return {
        name: replace(objective, **given) if isinstance(objective, Distill) else objective
        for name, objective in objectives.items()
    }
