"""What a run says in the terminal while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from twofold.config import Config
from twofold.distributed import rank
from twofold.domains import Data
from twofold.errors import printable
from twofold.evaluate.metrics import figures_of, learned_figures, read_name, spell
from twofold.folder import ENCODER, EVALUATION, PROFILE, read_evaluation
from twofold.profiling import PARTS, profiled
from twofold.recipes import Recipe
from twofold.train import Outcome


class Console:
    """Prints to standard error, so that standard output stays free for results.

    Of several processes the first alone does.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._rich = RichConsole(
            file=sys.stderr,
            quiet=quiet or rank() > 0,
            highlight=False,
            markup=False,
            emoji=False,
        )

    @property
    def quiet(self) -> bool:
        """Whether it prints nothing."""
        return self._rich.quiet

    def begin(
        self, whole: Config, data: Data, drawn: Sequence[str], remarks: Sequence[str]
    ) -> None:
        """What is about to run on which augmentations, and what was replaced or left out."""
        recipe, found = whole.recipe, whole.found
        size = f"{found['channels']}x{found['height']}x{found['width']}"
        hardware = found["hardware"]
        batch = f"batch {recipe.step_size}"
        if recipe.num_parts > 1:
            batch += f" in parts of {recipe.batch_size}"
        self._print(f"{recipe.name} on {data.note}", style="bold")
        self._print(
            f"{found['train_items']} training and {found['test_items']} test items of {size}; "
            f"{found['network']}, {_count(recipe.epochs, 'epoch')} of {batch}, "
            f"{hardware['precision']} on {hardware['device']} with "
            f"{_threads(hardware)}{', fused views' * (hardware['renderer'] == 'fused')}"
        )
        for does, words in _DOES.items():
            names = [name for name in drawn if recipe.prescription[name] in words]
            if names:
                self._print(f"{does}: {', '.join(names)}")
        for name, count in found["negatives"].items():
            self._print(f"{name}: {count} negatives per anchor")
        self.notes(remarks)

    def notes(self, remarks: Iterable[str]) -> None:
        """What a user should know, one line each."""
        for remark in remarks:
            self._print(f"note: {remark}")

    @contextmanager
    def training(self, recipe: Recipe, steps_per_epoch: int) -> Iterator[_Training]:
        """The progress of the training loop."""
        bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[rate]:.0f} items/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._rich,
            disable=self._rich.quiet or not self._rich.is_terminal,
        )
        total = recipe.epochs * steps_per_epoch
        with bar:
            task = bar.add_task("", total=total, epoch=1, loss="", rate=0.0)
            yield _Training(self, bar, task)

    @contextmanager
    def task(self, name: str) -> Iterator[Callable[[str], None]]:
        """A status line; call what it yields with the words to show."""
        with self._rich.status(name) as status:
            yield lambda words: status.update(f"{name}: {words}")

    def end(self, folder: Path, outcome: Outcome, *, command: str = "pretrain") -> None:
        """How it ended and what to do next."""
        if outcome.finished:
            self._print(f"done: {folder / ENCODER}")
        else:
            self._print(
                f"stopped after step {outcome.step} of {outcome.steps}; go on with "
                f"`twofold {command} --resume {folder}`"
            )

    @contextmanager
    def profile(self, folder: Path, *, on: bool) -> Iterator[None]:
        """A block whose training is profiled if `on`; what it took is said at its end."""
        with profiled(folder, on=on) as profile:
            yield
        if profile is None or not profile.steps:
            return
        found = profile.found()
        table = Table("part", "seconds", "share", box=None)
        for name, took in found["parts"].items():
            table.add_row(PARTS[name], f"{took['seconds']:.1f}", f"{100 * took['share']:.0f} %")
        self._rich.print(table)
        ahead = found["prepared_ahead_cpu_seconds"]
        if ahead:
            self._print(f"batches took {ahead:.1f} CPU seconds of the threads that prepare them")
        self._print(found["sentence"])
        self._print(f"profile: {folder / PROFILE}")

    def _print(self, words: str, *, style: str | None = None) -> None:
        self._rich.print(printable(words), soft_wrap=True, style=style)


class _Training:
    """Shows each step written down and prints each epoch's evaluation."""

    def __init__(self, console: Console, bar: Progress, task: Any) -> None:
        self._console, self._bar, self._task = console, bar, task
        self._last: Mapping[str, Any] = {}

    def step(self, record: Mapping[str, Any]) -> None:
        self._last = record
        self._bar.update(
            self._task,
            completed=record["step"],
            epoch=record["epoch"] + 1,
            loss=", ".join(_loss(name, record) for name in record["losses"]),
            rate=record["images_per_s"],
        )

    def epoch(self, record: Mapping[str, Any]) -> None:
        losses = ", ".join(_loss(name, self._last) for name in self._last.get("losses", {}))
        knn = record["knn"]
        accuracy = f"; kNN on held-out training items {100 * knn['value']:.1f} %" if knn else ""
        if held_out := record.get("held_out"):
            value, metric = held_out["value"], held_out["metric"]
            accuracy = f"; {metric} on held-out labels {value:.3f}"
        rate = self._last.get("images_per_s", 0.0)
        self._console._print(
            f"epoch {record['epoch']}: {losses}{accuracy}; {record['health']['verdict']}; "
            f"{rate:.0f} items/s"
        )


_DOES = {"ignores": {"invariant"}, "is blind to": {"blind"}, "keeps": {"sensitive", "both"}}


def _threads(hardware: Mapping[str, Any]) -> str:
    """With how many threads, of how many processes, a run computes."""
    threads, processes = _count(hardware["threads"], "thread"), hardware["processes"]
    return threads if processes == 1 else f"{threads} in each of {processes} processes"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _loss(name: str, record: Mapping[str, Any]) -> str:
    """A loss beside its chance value and floor."""
    text = f"{name} {record['losses'][name]:.3f}"
    if name in record["chance"]:
        text += f" (chance {record['chance'][name]:.2f}, floor {record['floor'][name]:.2f})"
    return text


def print_proof(proof: Mapping[str, Any]) -> None:
    """What each reading keeps of each augmentation, on standard output.

    Under the name of a reading: how far a linear probe gets from chance to the ceiling.
    """
    found = proof["augmentations"]
    readings = list(next(iter(found.values()))["readings"]) if found else []
    table = Table("augmentation", "word", *readings, "probe", "alike", "verdict", box=None)
    for name, one in found.items():
        decisive = one["readings"][one["judged_on"]]
        verdict, decoded = decisive["verdict"], decisive["decoded"]
        table.add_row(
            name,
            one["word"] or "",
            *(f"{seen['verdict']['share']:.2f}" for seen in one["readings"].values()),
            f"{decoded['metric']} {decoded['value']:.3f}",
            f"{verdict['alike']:.2f}",
            _verdict(verdict),
        )
    width = max(RichConsole().width, 120)
    RichConsole(highlight=False, markup=False, width=width).print(table)


def _verdict(verdict: Mapping[str, Any]) -> str:
    if verdict["achieved"] is None:
        return str(verdict["does"])
    return f"{verdict['does']}, {'as' if verdict['achieved'] else 'not as'} prescribed"


def print_figures(figures: Mapping[str, Any]) -> None:
    """A table of every probe's metrics with their intervals, on standard output."""
    table = Table("probe", "metric", "value", "95 % interval", "n", box=None)
    for probe, metrics in figures.items():
        for name, figure in figures_of(metrics).items():
            value, interval = spell(name, figure)
            table.add_row(probe, read_name(name).in_full, value, interval, str(figure["n"]))
    console = _results()
    console.print(table)
    if sentence := figures.get("health", {}).get("sentence"):
        console.print(sentence, soft_wrap=True)


def print_transfer(transfer: Mapping[str, Mapping[str, Any]]) -> None:
    """Figures of the learned features by data and metric, on standard output.

    Args:
        transfer: Figures as of `print_figures`, by the name of the data.
    """
    found = {data: learned_figures(probes) for data, probes in transfer.items()}
    columns = dict.fromkeys(key for row in found.values() for key in row)
    heads = [f"{probe}\n{read_name(name).words}" for probe, name in columns]
    table = Table("data", *heads, box=None)
    for data, row in found.items():
        cells = ["\n".join(spell(key[1], row[key])) if key in row else "" for key in columns]
        table.add_row(data, *cells)
    console = _results()
    console.width = max(console.width, 16 * (1 + len(columns)))
    console.print(table)
    console.print("Below each figure stands its 95 % interval.")


def _results() -> RichConsole:
    """Standard output, on which names are printed as they are."""
    return RichConsole(highlight=False, markup=False, emoji=False)


def print_reached(folder: Path, name: str) -> None:
    """What a network with a head of its own reached, and where that is written down."""
    print_figures({name: read_evaluation(folder)[name]})
    _results().print(folder / EVALUATION, soft_wrap=True)
