"""Command-line flags from dataclasses, and one line for each mistake in them."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import tyro

from twofold.errors import TwofoldError, unknown

T = TypeVar("T")

_CONFIG = (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)
FLAT = tyro.conf.arg(name="")
"""Marks a part of a command's flags that carry no prefix."""


_RULE = re.compile(r"^.*[-─]{5,}.*$", re.MULTILINE)


def parse(kind: type[T], args: Sequence[str], *, prog: str, default: T | None = None) -> T:
    """The dataclass `kind` from `args`.

    Raises:
        TwofoldError: In one line, for an unknown flag (the nearest is suggested), a value of the
            wrong kind or one that the dataclass refuses.
        SystemExit: With status 0 after printing the help.
    """
    if "-h" in args or "--help" in args:
        tyro.cli(kind, args=["--help"], prog=prog, default=default, config=_CONFIG)
    said = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"  # so that no message is broken over lines
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            result: T = tyro.cli(kind, args=args, prog=prog, default=default, config=_CONFIG)  # type: ignore[assignment]
            return result
    except SystemExit:
        raise TwofoldError(f"{_one_line(said.getvalue())} (all flags: {prog} --help)") from None
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns


def _one_line(box: str) -> str:
    """The message in the box that tyro draws (title, rule, message, rule, suggestions, ...)."""
    parts = [part.split("\n") for part in _RULE.split(box)]
    lines = [[line.strip("│| ") for line in part if line.strip("│| ")] for part in parts]
    message = " ".join(lines[1] if len(lines) > 1 else lines[0])
    message = message.removeprefix("Error parsing ").removeprefix("recipe.")
    if message.startswith("Unrecognized options: "):
        given = message.removeprefix("Unrecognized options: ").split(",")[0]
        if not given.startswith("-"):
            return f"found {given!r}, which belongs to no flag"
        flags = [line.split()[0] for line in lines[2] if line.startswith("--")] if lines[2:] else []
        return f"unknown flag {given}" + (f"; did you mean {flags[0]}?" if flags else "")
    for pattern, reworded in _REWORDED:
        if found := pattern.fullmatch(message):
            return reworded(*found.groups())
    return message.rstrip(".")


def _wrong_kind(flag: str, kind: str, value: str) -> str:
    """A value that is no number where one was asked for; `kind` as in {None}|INT."""
    for symbol, words in {
        "{None}|": "None or ",
        "{FLOAT FLOAT}": "two numbers",
        "{INT FLOAT}": "a whole number and a number",
        "INT": "a whole number",
        "FLOAT": "a number",
    }.items():
        kind = kind.replace(symbol, words)
    return f"{flag} is {value}; it must be {kind}"


def _wrong_choice(value: str, flag: str, choices: str) -> str:
    known = sorted(ast.literal_eval(choices))
    return str(unknown(f"value of {flag}", value, known))


_REWORDED: tuple[tuple[re.Pattern[str], Callable[..., str]], ...] = (
    (
        re.compile(r"(--\S+): invalid literal for int\(\) with base 10: (.*)"),
        lambda flag, value: _wrong_kind(flag, "INT", value),
    ),
    (
        re.compile(r"(--\S+): could not convert string to float: (.*)"),
        lambda flag, value: _wrong_kind(flag, "FLOAT", value),
    ),
    (
        re.compile(r"(--\S+): no type matching (.+?) could be instantiated from \[(.*?)\]\..*"),
        _wrong_kind,
    ),
    (
        re.compile(r"invalid choice '(.*)' for argument '(--\S+)'\. Expected one of (\(.*\))\.?"),
        _wrong_choice,
    ),
    (
        re.compile(r"(--\S+): Could not (?:parse|find valid parse for) arguments:? (\[.*?\]).*"),
        lambda flag, values: f"{flag} cannot be {' '.join(ast.literal_eval(values))}",
    ),
    (
        re.compile(r"Missing value for argument '(--\S+)'\. Expected (\d+) values\.?"),
        lambda flag, count: f"{flag} needs {'a value' if count == '1' else f'{count} values'}",
    ),
)
"""What tyro says of a wrong value, and the same said as twofold says it."""
