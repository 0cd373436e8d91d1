"""Libraries that files of embeddings need beside our own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from twofold.errors import TwofoldError


def need_pyarrow(why: str) -> Any:
    """The package pyarrow with its modules `compute` and `parquet`.

    Raises:
        TwofoldError: With `why` it is needed, if it is not installed.
    """
    try:
        for module in ("pyarrow.compute", "pyarrow.parquet"):
            import_module(module)
        return import_module("pyarrow")
    except ModuleNotFoundError:
        raise TwofoldError(f"{why}, which needs pyarrow: pip install 'twofold[parquet]'") from None
