"""`twofold runs`: a table of all runs below a folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from twofold.catalogue import Entry, Result
from twofold.catalogue import runs as find
from twofold.errors import unknown
from twofold.evaluate.metrics import read_name
from twofold.flags import parse
from twofold.report.wording import count, duration

_WIDEST = 10_000  # characters: no cell is ever cut short


@dataclass(frozen=True, kw_only=True)
class Runs:
    """List the runs below a folder (by default runs) as a table."""

    sort: str = "name"
    """Column to sort by, the smallest first."""
    reverse: bool = False
    """Sort the other way round."""
    json: bool = False
    """Print a line of JSON for each run."""


class _Column(NamedTuple):
    """A column of the table."""

    value: Callable[[Entry], Any]
    """What it shows and is sorted by; None comes last."""
    words: Callable[[Any], str] = str
    """That in words."""
    right: bool = False
    """Whether it holds numbers."""


def _figure(result: Result) -> str:
    metric = read_name(result.metric).metric
    if metric.unit == "share":
        return f"{100 * result.value:.1f} ± {100 * result.half:.1f} %"
    return f"{metric.words} {result.value:.3g} ± {result.half:.2g}"


def _not_taken(run: Entry) -> tuple[str, ...]:
    steps = "1 step" if run.not_taken == 1 else f"{run.not_taken} steps"
    return (f"{steps} not taken",) if run.not_taken else ()


COLUMNS = {
    "name": _Column(lambda run: run.name),
    "recipe": _Column(lambda run: run.recipe),
    "data": _Column(lambda run: run.data),
    "encoder": _Column(lambda run: run.encoder),
    "epochs": _Column(lambda run: run.epochs, right=True),
    "state": _Column(lambda run: "; ".join((run.state, *_not_taken(run), *run.problems))),
    "knn": _Column(lambda run: run.knn, _figure, right=True),
    "linear": _Column(lambda run: run.linear, _figure, right=True),
    "finetune": _Column(lambda run: run.finetune, _figure, right=True),
    "health": _Column(lambda run: run.health),
    "time": _Column(lambda run: run.seconds, duration, right=True),
    "items/s": _Column(lambda run: run.images_per_s, count, right=True),
    "when": _Column(lambda run: run.when, lambda when: f"{when:%Y-%m-%d %H:%M}"),
}


def main(args: list[str]) -> int:
    """Prints a row, or a line of JSON, for each run."""
    folder = "runs"
    if args and not args[0].startswith("-"):
        folder, *args = args
    flags = parse(Runs, args, prog="twofold runs [FOLDER]")
    if flags.sort not in COLUMNS:
        raise unknown("column", flags.sort, COLUMNS)
    entries = _sorted(find(folder), COLUMNS[flags.sort], reverse=flags.reverse)
    if flags.json:
        for entry in entries:
            print(json.dumps(dataclasses.asdict(entry), default=_plain))
    elif entries:
        _print(entries)
    else:
        print(f"there are no runs below {folder}")
    return 0


def _sorted(entries: list[Entry], column: _Column, *, reverse: bool) -> list[Entry]:
    """The entries by a column; those that have nothing in it come last either way."""
    filled = [entry for entry in entries if column.value(entry) is not None]
    blank = [entry for entry in entries if column.value(entry) is None]
    return sorted(filled, key=column.value, reverse=reverse) + blank


def _print(entries: list[Entry]) -> None:
    """One line a run, on any terminal; columns that no run fills are left out."""
    table = Table(box=None)
    shown = {
        name: column
        for name, column in COLUMNS.items()
        if any(column.value(entry) is not None for entry in entries)
    }
    for name, column in shown.items():
        table.add_column(name, justify="right" if column.right else "left", no_wrap=True)
    for entry in entries:
        values = ((column, column.value(entry)) for column in shown.values())
        table.add_row(*("" if v is None else c.words(v) for c, v in values))
    Console(width=_WIDEST, highlight=False, markup=False, emoji=False).print(table)


def _plain(value: Any) -> str:
    """A path or a time as JSON has it."""
    return str(value) if isinstance(value, Path) else value.isoformat(timespec="seconds")
