"""Lets mkdocstrings show the `Example:` of a docstring as code."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Names the section as griffe knows it: `Examples:`, which holds doctests."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every object whose docstring may be shown."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
