"""Runs side by side: what they set differently, how well each did, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from twofold.errors import TwofoldError
from twofold.evaluate.metrics import Spelled, certainly_best, figures_of, read_name, spell
from twofold.folder import CONFIG, check_run, flattened, read_evaluation, read_metrics
from twofold.plain import plain_from_yaml

Figure = Mapping[str, Any]
"""`value`, `ci95` (None if it has no interval) and `n`, as in `evaluation.json`."""

_MARK = "*"
_COST: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "training seconds": lambda last: _rounded(last.get("elapsed"), 1),
    "items/s": lambda last: _rounded(last.get("images_per_s")),
    "parameters": lambda last: last.get("parameters"),
    "steps": lambda last: last.get("step"),
}


class Row(NamedTuple):
    """One line of the table."""

    name: str
    """What is compared."""
    cells: tuple[str, ...]
    """It in words, for each run; blank where the run has none."""
    intervals: tuple[str, ...]
    """The 95 % interval of each cell; blank where it has none."""
    best: int | None = None
    """Which run is certainly the best in it, if one is."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: one value a run in every entry, None where the run has none."""

    folders: tuple[Path, ...]
    """Folders of the runs."""
    names: tuple[str, ...]
    """What each run is called: its folder's name, or its path where two share the name."""
    differences: Mapping[str, tuple[Any, ...]]
    """Settings in which the runs differ, each by the name of its flag."""
    figures: Mapping[tuple[str, str], tuple[Figure | None, ...]]
    """Figures of `evaluation.json`, by probe and metric."""
    judged_on: tuple[str | None, ...]
    """The data behind the figures of each run, in words."""
    cost: Mapping[str, tuple[float | None, ...]]
    """What each run took so far; `items/s` is the median over its steps."""
    remarks: tuple[str, ...]
    """What to know before comparing, one line each."""

    @property
    def comparable(self) -> bool:
        """Whether all figures were measured on the same data."""
        return len(set(self.judged_on) - {None}) <= 1

    def best(self, probe: str, metric: str) -> int | None:
        """Which run has the best figure, if its interval overlaps that of no other.

        The highest one, or of errors the lowest. None if only one run has the figure, if it has no
        interval or no better end, or if the runs were judged on different data.
        """
        return certainly_best(metric, self.figures[probe, metric]) if self.comparable else None

    def table(self) -> dict[str, list[Row]]:
        """All of it in words: rows by section, sections without rows left out."""
        sections = {
            "settings that differ": [
                _row(name, map(_setting, values)) for name, values in self.differences.items()
            ],
            "figures": [
                Row(
                    f"{probe} {read_name(metric).in_full}",
                    tuple(cell.value for cell in cells),
                    tuple(cell.interval for cell in cells),
                    self.best(probe, metric),
                )
                for (probe, metric), values in self.figures.items()
                for cells in [[spell(metric, f) if f else Spelled("", "") for f in values]]
            ],
            "cost": [
                _row(name, ("" if value is None else f"{value:,}" for value in values))
                for name, values in self.cost.items()
            ],
        }
        return {title: rows for title, rows in sections.items() if rows}

    def __str__(self) -> str:
        """The remarks and the table, aligned."""
        table = self.table()
        lines: list[tuple[str, ...]] = [("", *self.names)]
        for title, rows in table.items():
            lines += [(), (title,)]
            lines += [(f"  {row.name}", *_printed(row)) for row in rows]
        columns = zip_longest(*lines, fillvalue="")
        widths = [max(map(len, column)) for column in columns]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
            for line in lines
        ]
        if any(row.best is not None for rows in table.values() for row in rows):
            text += ["", f"{_MARK} the best of its row: no other interval overlaps its own"]
        return "\n".join([*self.remarks, *([""] if self.remarks else []), *text])


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Puts runs side by side: settings that differ, figures with their intervals, and cost.

    Args:
        folders: Two or more run folders, in the order of the columns.

    Returns:
        The comparison; printed, it is the table of `twofold compare`.

    Raises:
        TwofoldError: If there are fewer than two, one is no run, or one is given twice.

    Example:
        >>> compare(["runs/a"])
        Traceback (most recent call last):
        twofold.errors.TwofoldError: there is one run to compare; it takes at least two
    """
    if len(folders) < 2:
        raise TwofoldError(
            f"there is {'one run' if folders else 'no run'} to compare; it takes at least two"
        )
    paths = tuple(check_run(Path(folder)) for folder in folders)
    names = _names(paths)
    runs = [_read(path) for path in paths]
    judged_on = tuple(_judged_on(run) for run in runs)
    return Comparison(
        folders=paths,
        names=names,
        differences=_differing([_settings(run.config) for run in runs]),
        figures=_side_by_side([dict(_figures(run.evaluation)) for run in runs]),
        judged_on=judged_on,
        cost={name: tuple(cost(run.last) for run in runs) for name, cost in _COST.items()},
        remarks=(*_other_data(names, judged_on), *(r for run in runs for r in _unfinished(run))),
    )


class _Run(NamedTuple):
    """What is compared of a run."""

    path: Path
    config: dict[str, Any]
    evaluation: dict[str, Any]
    last: dict[str, Any]
    """Its last step, or its end."""


def _read(path: Path) -> _Run:
    try:
        config = plain_from_yaml((path / CONFIG).read_text(encoding="utf-8"))
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise TwofoldError(f"{path / CONFIG} cannot be read as YAML; leave this run out")
    lines = [line for line in read_metrics(path) if line.get("kind") in ("step", "end")]
    return _Run(path, config, read_evaluation(path), lines[-1] if lines else {})


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    resolved = [path.resolve() for path in paths]
    for i, path in enumerate(resolved):
        if path in resolved[:i]:
            raise TwofoldError(f"{paths[i]} is given twice; name each run once")
    short = [path.name for path in resolved]
    return tuple(
        name if short.count(name) == 1 else str(path)
        for name, path in zip(short, paths, strict=True)
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting by the name of its flag; what a run settled itself is as it turned out."""
    recipe, found = dict(config.get("recipe", {})), config.get("found", {})
    flat = dict(flattened({"recipe": recipe.pop("name", None), **recipe}))
    for part in (config.get("data"), config.get("settings"), found.get("hardware")):
        flat |= flattened(part or {})
    if "network" in found:
        flat["encoder"] = found["network"]  # the user's own, if it was
    return flat | {name: found[name] for name in ("twofold", "torch") if name in found}


def _figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Figure]]:
    """Every figure; a protocol, say, is none."""
    for probe, metrics in evaluation.items():
        for metric, figure in figures_of(metrics).items():
            yield (probe, metric), figure


def _side_by_side(runs: Sequence[Mapping[Any, Any]]) -> dict[Any, tuple[Any, ...]]:
    """Every key that any run has, with the value of each."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return {key: tuple(run.get(key) for run in runs) for key in keys}


def _differing(runs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    rows = _side_by_side(runs)
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def _judged_on(run: _Run) -> str | None:
    """The data of the run's evaluation, told from any other by the fingerprint of its items."""
    for (probe, _), figure in _figures(run.evaluation):
        protocol = run.evaluation[probe].get("protocol", {})
        fingerprint = protocol.get("fingerprint", run.config.get("found", {}).get("fingerprint"))
        count = protocol.get("test_items", figure.get("n"))
        items = f"{count:,} test items" if isinstance(count, int) else "test items"
        return f"{protocol.get('data', 'unnamed items')} ({items}, fingerprint {fingerprint})"
    return None


def _other_data(names: Sequence[str], judged_on: Sequence[str | None]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name, data in zip(names, judged_on, strict=True):
        if data is not None:
            groups.setdefault(data, []).append(name)
    if len(groups) > 1:
        told = "; ".join(f"{', '.join(runs)} on {data}" for data, runs in groups.items())
        yield f"judged on different data: {told}"


def _unfinished(run: _Run) -> Iterator[str]:
    """What is missing of a run, and the command that makes it."""
    at_hand = bool(run.config.get("data", {}).get("data"))
    if run.last.get("kind") != "end":
        yield (
            f"{run.path} has not ended, so its cost is that of {run.last.get('step', 0):,} steps; "
            f"go on with `twofold pretrain --resume {run.path}`"
        )
    if not run.evaluation:
        data = "" if at_hand else " --data D"
        yield f"{run.path} has no evaluation; make one with `twofold evaluate {run.path}{data}`"


def _row(name: str, cells: Iterable[str]) -> Row:
    """A line without intervals."""
    filled = tuple(cells)
    return Row(name, filled, ("",) * len(filled))


def _printed(row: Row) -> Iterator[str]:
    for i, (cell, interval) in enumerate(zip(row.cells, row.intervals, strict=True)):
        text = f"{cell} ({interval})" if interval else cell
        yield f"{text} {_MARK}" if i == row.best else text


def _rounded(value: float | None, digits: int | None = None) -> float | None:
    return None if value is None else round(value, digits)


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_setting, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
