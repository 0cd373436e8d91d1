"""Numbers as a reader wants them: rounded as far as they are known, with their unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def percent(value: float) -> str:
    """A share in percent, one decimal.

    Example:
        >>> percent(0.8432)
        '84.3\N{NO-BREAK SPACE}%'
    """
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def interval(bounds: tuple[float, float] | list[float]) -> str:
    """A 95 % interval of a share.

    Example:
        >>> interval((0.8361, 0.8501))
        '83.6 to 85.0\N{NO-BREAK SPACE}%'
    """
    return f"{100 * bounds[0]:.1f} to {percent(bounds[1])}"


def count(value: float) -> str:
    """A whole number with its thousands apart.

    Example:
        >>> count(60000)
        '60,000'
    """
    return f"{value:,.0f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits, an em dash where there is none.

    Example:
        >>> significant(0.00123456), significant(1234.5), significant(None)
        ('0.00123', '1,234', '—')
    """
    if value is None:
        return "—"
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    plain = -4 <= magnitude <= 8
    places = max(0, digits - 1 - magnitude)
    text = f"{value:,.{places}f}" if plain else f"{value:.{digits - 1}e}"
    return text.replace("-", "−") if plain else text


def decimals(value: float, places: int) -> str:
    """A number to so many decimals, so that a column of them can be compared.

    Example:
        >>> decimals(-0.125, 2), decimals(-0.001, 2)
        ('−0.12', '0.00')
    """
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """A time span in the two largest units that matter.

    Example:
        >>> duration(3.21), duration(252), duration(7384)
        ('3.2 s', '4 min 12 s', '2 h 03 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def settings(mapping: Mapping[str, Any]) -> str:
    """Nested settings on one line, in the order given.

    Example:
        >>> settings({"kind": "SimCLR", "temperature": 0.5, "projector": [2048, 128]})
        'SimCLR, temperature 0.5, projector 2048 / 128'
    """
    parts = []
    for name, value in mapping.items():
        label = "" if name in ("kind", "name") else f"{name.replace('_', ' ')} "
        parts.append(f"{label}{_setting(value)}")
    return ", ".join(parts)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return f"({settings(value)})"
    if isinstance(value, list | tuple):
        return " / ".join(_setting(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
