"""What a study found: a figure for every combination, with how far it can be trusted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from twofold.errors import TwofoldError
from twofold.folder import write_atomically
from twofold.studies.plan import PAIR, label, short_names

if TYPE_CHECKING:
    from rich.table import Table

    from twofold.evaluate.intervals import Figure

TABLE, PICTURES = "table.csv", ("figure.svg", "figure.png")
PROBES = {"linear": "linear probe", "knn": "kNN"}
"""Every probe in words, the one that rows are sorted by first."""

_FILE_WIDTH = 400  # where the table goes into a file or a pipe, no line is broken


class Estimate(NamedTuple):
    """A mean over seeds with its 95 % interval."""

    mean: float
    """In [0, 1]."""
    low: float
    """Lower end of the interval, in [0, 1]."""
    high: float
    """Upper end, in [0, 1]."""
    basis: str
    """What the interval is over."""


def estimate(figures: Sequence[Figure]) -> Estimate:
    """The mean of one figure a seed: how much it would change with other seeds, or other items.

    With several seeds the interval is Student's, `mean ± t(0.975, n - 1) s / √n`, cut to [0, 1];
    it tells of the training's chance. With one it is Wilson's of the figure itself, which tells
    of the items judged on alone.

    Args:
        figures: One accuracy a seed, at least one.

    Example:
        >>> several = [{"value": v, "ci95": [0, 1], "n": 50} for v in (0.7, 0.8, 0.9)]
        >>> found = estimate(several)
        >>> [round(end, 3) for end in (found.mean, found.low, found.high)], found.basis
        ([0.8, 0.552, 1.0], 't over 3 seeds')

    Reference: Student, 1908, doi:10.1093/biomet/6.1.1
    """
    if not figures:
        raise TwofoldError("there is no figure to estimate from; give one a seed")
    if len(figures) == 1:
        (only,) = figures
        low, high = only["ci95"]
        return Estimate(only["value"], low, high, f"Wilson over {only['n']:,} items")
    import torch

    from twofold.evaluate.intervals import t_figure

    found = t_figure(torch.tensor([figure["value"] for figure in figures], dtype=torch.float64))
    low, high = found["ci95"]
    return Estimate(found["value"], max(0.0, low), min(1.0, high), f"t over {len(figures)} seeds")


@dataclass(frozen=True)
class Row:
    """One combination."""

    values: Mapping[str, Any]
    """What is varied, by field."""
    figures: Mapping[str, tuple[Figure | None, ...]]
    """Accuracy of `linear` and `knn`, one a seed; None where the training failed."""
    notes: tuple[str, ...] = ()
    """What to know of it."""

    def estimate(self, probe: str) -> Estimate | None:
        """The mean with its interval; None if a seed failed, for the others flatter."""
        found = [figure for figure in self.figures[probe] if figure is not None]
        return estimate(found) if found and len(found) == len(self.figures[probe]) else None


@dataclass(frozen=True)
class Study:
    """A finished study."""

    folder: Path
    """Where its runs, table and figure are."""
    title: str
    """The recipe and the data."""
    judged_on: str
    """What the figures were measured on, in words."""
    seeds: tuple[int, ...]
    """Seeds of every combination."""
    rows: tuple[Row, ...]
    """Every combination, in the order of the grid."""

    @property
    def fields(self) -> tuple[str, ...]:
        """What is varied."""
        return tuple(self.rows[0].values)

    @property
    def basis(self) -> str:
        """What all intervals are over."""
        found = {e.basis for row in self.rows if (e := row.estimate("linear"))}
        return f"95 % intervals: {', '.join(sorted(found)) or 'none'}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The table and the figure, if one could be drawn."""
        paths = (self.folder / name for name in (TABLE, *PICTURES))
        return tuple(path for path in paths if path.exists())

    def best(self) -> list[Row]:
        """The rows, the highest linear probe first and those without a figure last."""
        return sorted(self.rows, key=lambda row: -e.mean if (e := row.estimate("linear")) else 1.0)

    def print(self) -> None:
        """Prints the rows, the best first, and the paths of the table and the figure."""
        from rich.console import Console

        console = Console(highlight=False, markup=False, emoji=False)
        if not console.is_terminal:
            console.width = _FILE_WIDTH
        console.print(f"{self.title}, judged on {self.judged_on}", soft_wrap=True)
        console.print(self._table())
        console.print(f"{self.basis}; sorted by linear probe", soft_wrap=True)
        for path in self.files:
            console.print(path, soft_wrap=True)

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(*short_names(self.fields).values(), box=None)
        for words in PROBES.values():
            table.add_column(words, justify="right", no_wrap=True)
            table.add_column("interval", no_wrap=True)
        for row in self.best():
            cells = [part for probe in PROBES for part in _shown(row.estimate(probe))]
            table.add_row(*map(label, row.values.values()), *cells)
        return table

    def notes(self) -> Iterator[str]:
        """What to know of rows, each thing once."""
        concerned: dict[str, list[Row]] = {}
        for row in self.rows:
            for note in row.notes:
                concerned.setdefault(note, []).append(row)
        for note, rows in concerned.items():
            all_rows = len(rows) == len(self.rows)
            yield f"{'all' if all_rows else '; '.join(named(r.values) for r in rows)}: {note}"

    def write_table(self) -> Path:
        """Writes `table.csv`, a row for every combination, and returns its path."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        heads = [head for probe in PROBES for head in _heads(probe, self.seeds)]
        writer.writerow([*self.fields, *heads, "judged_on", "notes"])
        for row in self.rows:
            cells = [cell for probe in PROBES for cell in _cells(row, probe)]
            values = map(label, row.values.values())
            writer.writerow([*values, *cells, self.judged_on, "; ".join(row.notes)])
        path = self.folder / TABLE
        write_atomically(path, text.getvalue().encode())
        return path


def named(values: Mapping[str, Any]) -> str:
    """What is varied and how, in words.

    Example:
        >>> named({"objectives.contrast.temperature": 0.1, "batch_size": 64})
        'temperature 0.1, batch_size 64'
        >>> named({"first": "crop", "second": "jitter"})
        'crop + jitter'
    """
    if tuple(values) == PAIR:
        return " + ".join(dict.fromkeys(values.values()))
    short = short_names(list(values))
    return ", ".join(f"{short[field]} {label(value)}" for field, value in values.items())


def _shown(found: Estimate | None) -> tuple[str, str]:
    if found is None:
        return "failed", ""
    return f"{100 * found.mean:.1f} %", f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def _heads(probe: str, seeds: Sequence[int]) -> list[str]:
    own = [f"seed_{seed}" for seed in seeds]
    return [f"{probe}_{name}" for name in (*own, "mean", "low", "high", "interval")]


def _cells(row: Row, probe: str) -> Iterator[str]:
    for figure in row.figures[probe]:
        yield "" if figure is None else f"{figure['value']:.6g}"
    found = row.estimate(probe)
    if found is None:
        yield from ("", "", "", "none: a seed failed")
    else:
        yield from (f"{number:.6g}" for number in found[:3])
        yield found.basis
