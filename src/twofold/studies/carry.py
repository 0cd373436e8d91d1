"""Carries a study out: trains what is missing, judges it, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from twofold.augment import substitutions
from twofold.config import Config, DataConfig, change, load_config
from twofold.divergence import DivergedError
from twofold.domains import Data, split
from twofold.domains.names import domain_by_name, told
from twofold.encoder import load
from twofold.errors import TwofoldError
from twofold.evaluate import accuracy, features, knn, linear_probe
from twofold.folder import CONFIG, ENCODER, METRICS, check_new, write_atomically
from twofold.hardware import detect
from twofold.launch import open_config, start
from twofold.recipes import Recipe, recipe_by_name
from twofold.studies.figure import write_figure
from twofold.studies.plan import PLAN, Combination, Plan, check_same, members
from twofold.studies.result import PROBES, Row, Study, named

RESULTS = "results.jsonl"

_SHARE, _LEAST = 0.1, 500  # training items held out; as many as this if a quarter of them gives it
_SPLIT_SEED = 0  # all runs of a study are judged on the same items
_NEIGHBOURS = 20
_TAIL = 4096  # bytes of metrics.jsonl that hold the last step


def study(
    recipe: str | Recipe = "simclr",
    *,
    data: Any,
    out: str | Path,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    compose: Sequence[str] = (),
    judge: Literal["held-out", "test"] = "held-out",
    quiet: bool = False,
    **changes: Any,
) -> Study:
    """Trains every combination of a grid's values with every seed, and compares them.

    With `compose`, the study is SimCLR's of compositions instead: every augmentation alone and
    every pair of two as the whole prescription, drawn as the recipe draws them. The two of a pair
    are applied in twofold's own order, whichever is named first, so that the matrix is symmetric.

    Runs are judged by kNN and a linear probe on training items that none of them trains on, the
    same for all; test items are not touched unless `judge` says so. The same call again goes on
    where the last one stopped.

    Args:
        recipe: A name from `RECIPES`, or a `Recipe`.
        data: A data name, a path, or an array; it must have classes.
        out: Folder of the study; created.
        grid: Values by field: any of the recipe, the data or the settings, by its dotted name.
        seeds: Seeds of every combination; intervals are over them if there are several.
        compose: Augmentations of a composition study; `jitter` stands for brightness, contrast,
            saturation and hue.
        judge: `held-out`, or `test` for final figures.
        quiet: Whether to print nothing.
        **changes: Fields of the recipe, the data and the settings that all runs share.

    Returns:
        The rows; `out` holds `table.csv`, `figure.svg`, `figure.png` and every run.

    Raises:
        TwofoldError: Before anything is trained, for an unknown field or a wrong value, data
            without classes, or a folder that holds another study.

    Example:
        >>> grid = {"objectives.contrast.temperature": [0.05, 0.1, 0.5]}
        >>> found = study("simclr", data="digits", out="runs/s", grid=grid)  # doctest: +SKIP
        >>> found.best()[0].values  # doctest: +SKIP
        {'objectives.contrast.temperature': 0.1}

    Reference: Chen et al., 2020, arXiv:2002.05709, section 3.1 and figure 5.
    """
    if named_data := isinstance(data, (str, Path)):
        changes["data"] = str(data)
    domain = changes.pop("domain", None) or told(data)
    recipe = recipe_by_name(recipe, domain) if isinstance(recipe, str) else recipe
    plan = Plan(
        whole=change(Config(recipe=recipe), changes),
        grid={field: tuple(values) for field, values in (grid or {}).items()},
        compose=tuple(compose),
        seeds=tuple(seeds),
        judge=judge,
    )
    return carry_out(plan, Path(out), data=None if named_data else data, quiet=quiet)


def carry_out(plan: Plan, folder: Path, *, data: Any = None, quiet: bool = False) -> Study:
    """Trains and judges what `folder` lacks of a plan, then writes the table and the figure.

    Args:
        plan: What is studied.
        folder: Where; one that holds a part of the same study is gone on with.
        data: The array, if the plan names no data.
        quiet: Whether to print nothing.

    Raises:
        TwofoldError: See `study`.
    """
    _check_place(plan, folder)
    if data is None and not plan.whole.data.data:
        raise TwofoldError(
            f"{folder} was given an array in Python; go on there by the same call of twofold.study"
        )
    judged = _open(plan, data)
    console = Console(stderr=True, quiet=quiet, highlight=False, markup=False, emoji=False)
    results = _Results(folder, {d: part.train.fingerprint() for d, part in judged.items()})
    plan.save(folder)
    for sentence in _substitutions(plan, judged):
        console.print(f"note: {sentence}", soft_wrap=True)
    todo = [(combination, seed) for seed in plan.seeds for combination in plan.combinations]
    try:
        for number, (combination, seed) in enumerate(todo, 1):
            if results.find(combination, seed):
                continue
            words = f"{number} of {len(todo)}: {_words(combination, seed)}"
            path = folder / "runs" / _name(combination, seed)
            progress = _Progress(words, path, combination.whole.recipe.epochs)
            with console.status(progress, refresh_per_second=4):
                part = judged[combination.whole.data]
                record = _train_and_judge(combination, seed, part, folder)
            results.add(record)
            left = results.mean_seconds() * (len(todo) - len(results.records))
            console.print(f"{words}: {_told(record)}{_left(left)}", soft_wrap=True)
    except KeyboardInterrupt:
        done = f"{len(results.records)} of {len(todo)} runs"
        remedy = f"go on with `twofold study --resume {folder}`"
        console.print(f"stopped after {done}; {remedy}", soft_wrap=True)
        raise
    found = Study(
        folder=folder,
        title=f"{plan.whole.recipe.name} on {' and '.join({d.name: 0 for d in judged.values()})}",
        judged_on=" and ".join({_judged_on(plan, part): 0 for part in judged.values()}),
        seeds=plan.seeds,
        rows=tuple(results.row(combination, plan.seeds) for combination in plan.combinations),
    )
    found.write_table()
    if reason := write_figure(found, compose=plan.compose):
        console.print(f"note: {reason}", soft_wrap=True)
    for note in found.notes():
        console.print(f"note: {note}", soft_wrap=True)
    return found


class _Progress:
    """The words of a run and how far it is, read from what it writes down."""

    def __init__(self, words: str, path: Path, epochs: int) -> None:
        self.words, self.path, self.epochs = words, path / METRICS, epochs

    def __rich__(self) -> Text:
        if not self.path.exists():
            return Text(self.words)
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            begun = re.findall(rb'"epoch": (\d+), "losses"', file.read())
        epoch = f", epoch {int(begun[-1]) + 1} of {self.epochs}" if begun else ""
        return Text(self.words + epoch)


class _Results:
    """`results.jsonl`: one line for every run that is trained and judged."""

    def __init__(self, folder: Path, fingerprints: Mapping[DataConfig, str]) -> None:
        self.path, self.fingerprints = folder / RESULTS, fingerprints
        text = self.path.read_text() if self.path.exists() else ""
        self.records: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def find(self, combination: Combination, seed: int) -> dict[str, Any] | None:
        """The line of a run; refuses one that was trained on other items."""
        name = _name(combination, seed)
        found = next((record for record in self.records if record["run"] == name), None)
        if found and found["fingerprint"] != self.fingerprints[combination.whole.data]:
            raise TwofoldError(
                f"the data has changed since {name} was trained; a study goes on with the items it "
                "began with: choose another --out"
            )
        return found

    def add(self, record: dict[str, Any]) -> None:
        """Writes a run down."""
        self.records.append(record)
        write_atomically(self.path, "".join(json.dumps(r) + "\n" for r in self.records).encode())

    def mean_seconds(self) -> float:
        """What a run took."""
        return fmean(record["seconds"] for record in self.records)

    def row(self, combination: Combination, seeds: Sequence[int]) -> Row:
        """The runs of a combination, one a seed."""
        found = [record for seed in seeds if (record := self.find(combination, seed))]
        return Row(
            values=combination.values,
            figures={probe: tuple(r["figures"].get(probe) for r in found) for probe in PROBES},
            notes=tuple(dict.fromkeys(note for record in found for note in record["notes"])),
        )


def _train_and_judge(
    combination: Combination, seed: int, data: Data, folder: Path
) -> dict[str, Any]:
    """The line of one run: trained to its end, from its checkpoint if it has one, and judged."""
    began = time.monotonic()
    name = _name(combination, seed)
    path = folder / "runs" / name
    settings = dataclasses.replace(combination.whole.settings, seed=seed)
    whole = dataclasses.replace(combination.whole, settings=settings)
    if (path / CONFIG).exists():
        before = load_config(path / CONFIG, whole.recipe)
        whole = dataclasses.replace(whole, found=before.found)
    notes, figures = [], {}
    try:
        if not (path / ENCODER).exists() and not start(whole, path, data=data, quiet=True).finished:
            raise KeyboardInterrupt
        figures = _judge(path, data, seed=seed, device=detect(device=settings.device).device)
    except TwofoldError as error:
        if not (path / ENCODER).exists() and not isinstance(error, DivergedError):
            raise
        notes.append(f"seed {seed} failed: {error}")
    batch_size = load_config(path / CONFIG, whole.recipe).recipe.batch_size
    if batch_size != whole.recipe.batch_size:
        notes.append(f"items fill no batch of {whole.recipe.batch_size}: {batch_size} a batch")
    return {
        "run": name,
        "values": combination.values,
        "seed": seed,
        "figures": figures,
        "notes": notes,
        "fingerprint": data.train.fingerprint(),
        "seconds": round(time.monotonic() - began, 1),
    }


def _judge(path: Path, data: Data, *, seed: int, device: str) -> dict[str, Any]:
    """Accuracies of both probes on the items that the run is judged on."""
    assert data.train.labels is not None
    assert data.test.labels is not None
    encoder = load(path)
    bank, queries = (
        features(encoder.backbone, source.items, encoder.preprocess, device=device).to(device)
        for source in (data.train, data.test)
    )
    labels, k = data.train.labels, min(_NEIGHBOURS, len(bank))
    predictions = {
        "linear": linear_probe(bank, labels, queries, seed=seed).predictions,
        "knn": knn(bank, labels, queries, k=k),
    }
    return {probe: accuracy(found, data.test.labels) for probe, found in predictions.items()}


def _check_place(plan: Plan, folder: Path) -> None:
    if (folder / PLAN).exists():
        check_same(plan, folder)
    elif (folder / CONFIG).exists():
        raise TwofoldError(f"{folder} holds a run; choose another --out for the study")
    else:
        check_new(folder)


def _open(plan: Plan, given: Any) -> dict[DataConfig, Data]:
    """The data of every combination, what it is judged on as its test items."""
    opened: dict[DataConfig, Data] = {}
    for combination in plan.combinations:
        settings = combination.whole.data
        if settings not in opened:
            data = open_config(settings, _SPLIT_SEED, plan.whole.recipe.domain, given)
            _check_channels(plan, data)
            opened[settings] = _judged(plan, data)
    return opened


def _judged(plan: Plan, data: Data) -> Data:
    for source in (data.train, data.test) if plan.judge == "test" else (data.train,):
        if not source.classes:
            raise TwofoldError(
                f"'{source.name}' has no classes, and a study judges by them; keep the files in "
                "one folder per class, or name the labels with label_key"
            )
    if plan.judge == "test":
        return data
    count = max(round(_SHARE * len(data.train)), min(_LEAST, len(data.train) // 4))
    train, held_out = split(
        data.train, test_fraction=max(1, count) / len(data.train), seed=_SPLIT_SEED
    )
    note = f"{data.note}; {len(held_out):,} training items held out to judge by"
    return Data(name=data.name, train=train, test=held_out, note=note)


def _check_channels(plan: Plan, data: Data) -> None:
    channels, known = data.train.channels, plan.whole.recipe.augmentations
    for name in plan.compose:
        if all(known[member].for_channels(channels) is None for member in members(name)):
            raise TwofoldError(
                f"{name} changes nothing in {domain_by_name(data.train.domain).items} of "
                f"{channels} channels, which {data.name} holds; leave it out of the composition"
            )


def _substitutions(plan: Plan, judged: Mapping[DataConfig, Data]) -> list[str]:
    """What augmentations become on the channels there are, each thing once."""
    found: dict[str, None] = {}
    for whole in (combination.whole for combination in plan.combinations):
        recipe, channels = whole.recipe, judged[whole.data].train.channels
        found |= dict.fromkeys(substitutions(recipe.augmentations, recipe.prescription, channels))
    return list(found)


def _judged_on(plan: Plan, data: Data) -> str:
    if plan.judge == "test":
        return f"the {len(data.test):,} test items"
    return f"{len(data.test):,} held-out training items; test items are not touched"


def _name(combination: Combination, seed: int) -> str:
    return f"{combination.name},seed={seed}" if combination.name else f"seed={seed}"


def _words(combination: Combination, seed: int) -> str:
    return ", ".join(filter(None, (named(combination.values), f"seed {seed}")))


def _told(record: Mapping[str, Any]) -> str:
    shown = [f"{PROBES[p]} {100 * f['value']:.1f} %" for p, f in record["figures"].items()]
    return ", ".join(shown) or record["notes"][0]


def _left(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 1.5 * size:
            return f"; about {seconds / size:.0f} {unit} left"
    return ""
