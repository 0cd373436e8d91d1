"""The one exception a user's mistake raises, and the words it is written in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 16  # names listed in one line


class TwofoldError(ValueError):
    """A user's mistake, told in one line: the thing, the rule, the finding, the remedy."""


def printable(text: str) -> str:
    """`text` in one line that no terminal takes for commands, whatever names it quotes.

    Example:
        >>> printable("no 'a\\nb.png'")
        "no 'a\\\\nb.png'"
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that `name` was most likely meant to be, or None if nothing is close.

    A name alone means the field that ends in it.

    Example:
        >>> nearest("rotat", ["rotate", "crop"]), nearest("rate", ["date", "optimizer.rate"])
        ('rotate', 'optimizer.rate')
    """
    choices = list(choices)
    if whole := next((choice for choice in choices if choice.endswith(f".{name}")), None):
        return whole
    by_key = {choice.lower().replace("_", "-"): choice for choice in choices}
    close = difflib.get_close_matches(name.lower().replace("_", "-"), by_key, n=1, cutoff=0.5)
    return by_key[close[0]] if close else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> TwofoldError:
    """The error for a name that is not among `choices`, with the nearest one suggested.

    Example:
        >>> print(unknown("encoder", "resnt18", ["resnet18", "resnet-small"]))
        unknown encoder 'resnt18'; did you mean 'resnet18'? (known: resnet18, resnet-small)
    """
    known = list(choices)
    guess = nearest(name, known)
    hint = f"; did you mean {guess!r}?" if guess else ""
    more = f", and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return TwofoldError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known[:_SHOWN])}{more})")
