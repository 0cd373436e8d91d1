"""Command-line flags from dataclasses, and one line for each mistake in them."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from twofold.config import DataConfig, Settings
from twofold.errors import TwofoldError, unknown
from twofold.recipes import Recipe

T = TypeVar("T")

_CONFIG = (tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)
_FLAT = tyro.conf.arg(name="")  # the flags of a part carry no prefix


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Train an encoder."""

    recipe: Annotated[Recipe, _FLAT]
    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, _FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the run; created."""
    overwrite: bool = False
    """Replace a run that --out already holds."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Train a grid, judge every run on held-out training items, and compare."""

    recipe: Annotated[Recipe, _FLAT]
    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, _FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the study; created."""
    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """field=value,value,... of any field below; may be given several times."""
    compose: tuple[str, ...] = ()
    """Augmentations, each tried alone and with each other; jitter stands for all four of colour."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of every combination; intervals are over them."""
    judge: Literal["held-out", "test"] = "held-out"
    """Items to judge on; test is for final figures."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Probe the frozen encoder of a run."""

    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)


@dataclass(frozen=True, kw_only=True)
class Prove:
    """Find out what an encoder keeps of each augmentation."""

    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    augmentations: tuple[str, ...] = ()
    """Which to look at; those prescribed something but off, or all of an encoder by name."""
    ceiling_epochs: int = 2
    """Epochs of encoders trained to recover one augmentation alone, beside which a run's is judged;
    0 for none."""
    pretrained: bool = False
    """Fetch the published weights of an encoder by name; they are random otherwise."""
    seed: int = 0
    """Of draws, probes, splits and random weights for an encoder by name; a run has its own."""
    out: Path | None = None
    """File to write for an encoder by name, .json; a run's findings go to its evaluation.json."""


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write the embeddings of any items."""

    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    out: Path | None = None
    """File to write, .npz: embeddings, ids, and labels if there are any."""
    part: Literal["all", "train", "test"] = "all"
    """Which part of the data."""
    route: str = "all"
    """Whose features, of an encoder with routes; all puts them side by side."""
    layer: str = "features"
    """features, or projector.1 and so on for a layer of the head."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Draw items, their views, and what was drawn for each."""

    recipe: Annotated[Recipe, _FLAT]
    data: Annotated[DataConfig, _FLAT] = field(default_factory=DataConfig)
    out: Path | None = None
    """Picture to write, .png."""
    rows: int = 8
    """Items shown."""
    seed: int = 0
    """Seeds the draws."""


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
        re.compile(r"(--\S+): no type matching (\S+) could be instantiated from \[(.*?)\]\..*"),
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
