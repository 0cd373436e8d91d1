"""What was run and how well it did, in figures that carry their interval, n and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.evaluate.intervals import wilson
from twofold.evaluate.metrics import METRICS, TRAINED, spell
from twofold.evaluate.metrics import PROBES as PROBE_NAMES
from twofold.report import wording
from twofold.report.run_folder import RunFolder

PROBES = ("linear", "knn")
"""Probes whose accuracy is drawn, the one on top first."""
INPUTS = {
    "accuracy": ("learned features", "trained"),
    "accuracy_raw": ("raw input", "raw"),
    "accuracy_untrained": ("untrained network", "untrained"),
    "accuracy_baseline": ("trained from scratch", "untrained"),
}
_WORDS = {
    "invariant": "the embedding must ignore it",
    "blind": "the embedding must ignore it, and no linear probe may recover it",
    "sensitive": "the embedding must keep it",
    "both": "the embedding must keep it, although the views of a pair differ in it",
}


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    label: str
    """What it is."""
    value: str
    """The figure."""
    detail: str
    """Interval, n or the like."""
    link: str
    """The section that tells more."""


@dataclass(frozen=True)
class Row:
    """One accuracy in a chart of dots and intervals."""

    label: str
    """What was classified, or which class."""
    kind: str
    """How it is drawn: trained, raw or untrained."""
    value: float
    """Share of items classified rightly."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of it."""
    n: int
    """Number of test items."""

    @property
    def text(self) -> str:
        """The value as read."""
        return wording.percent(self.value)

    @property
    def bounds(self) -> str:
        """The interval as read."""
        return wording.interval((self.low, self.high))


@dataclass(frozen=True)
class Probe:
    """One way to judge the features, beside what they have to beat."""

    title: str
    """What a reader calls it."""
    rows: list[Row]
    """Learned features first, then the baselines."""
    sentence: str
    """What the rows say."""
    protocol: str
    """How it was measured."""


@dataclass(frozen=True)
class Axis:
    """The horizontal axis that dots and intervals share."""

    low: float
    """Its left end."""
    high: float
    """Its right end."""
    ticks: list[float]
    """Where it is marked."""

    def place(self, value: float) -> str:
        """Where a value lies, in percent of the width."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}%"


def facts(run: RunFolder) -> list[tuple[str, str]]:
    """The settings a reader asks for first, as pairs of name and value."""
    recipe, found = _part(run.config, "recipe"), _part(run.config, "found")
    settings, hardware = _part(run.config, "settings"), _part(found, "hardware")
    shape = _shape(found)
    objectives = {
        name: wording.settings(value) if isinstance(value, Mapping) else str(value)
        for name, value in _part(recipe, "objectives").items()
    }
    for name, count in _part(found, "negatives").items():
        objectives[name] = (
            f"{objectives.get(name, '')}; {wording.count(count)} negatives per anchor"
        )
    items = [found.get(key) for key in ("train_items", "test_items")]
    pairs = [
        ("Data", found.get("note") or _part(run.config, "data").get("data")),
        ("Items", _items(items, shape)),
        ("Positives", _positives(recipe, found)),
        *((f"Objective “{name}”", text) for name, text in objectives.items()),
        ("Encoder", _encoder(recipe, found, run.end)),
        ("Length", _length(recipe)),
        ("Optimiser", wording.settings(_used(_part(recipe, "optimizer")))),
        ("Seed", settings.get("seed")),
        ("Computed on", _computed(hardware)),
        ("Versions", _versions(found)),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _used(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """The optimiser's settings without those that do nothing in it."""
    idle = {("warmup", 0.0), ("final", 0.0), ("vector_rate", 1.0)}
    lars = optimizer.get("name") == "lars"
    return {
        key: value
        for key, value in optimizer.items()
        if (key, value) not in idle and (lars or key != "lars_rate")
    }


def prescription(run: RunFolder) -> list[tuple[str, str, str]]:
    """For each word in use: the word, what it asks for, and the augmentations it was given to."""
    by_word: dict[str, list[str]] = {}
    for name, word in _part(_part(run.config, "recipe"), "prescription").items():
        by_word.setdefault(str(word), []).append(str(name).replace("_", " "))
    return [
        (word, meaning, ", ".join(by_word[word]))
        for word, meaning in _WORDS.items()
        if word in by_word
    ]


_METHODS = {
    "simclr": "SimCLR",
    "simclr_v2": "SimCLRv2",
    "info_nce": "InfoNCE",
    "nce": "NCE",
    "sup_con": "SupCon",
    "byol": "BYOL",
    "simsiam": "SimSiam",
    "barlow_twins": "Barlow Twins",
    "vicreg": "VICReg",
    "supervised": "Supervised",
    "finetune": "Fine-tuning",
    "distill": "Distillation",
}


def title(run: RunFolder) -> str:
    """One line on what this run was."""
    recipe = _part(run.config, "recipe")
    name = _METHODS.get(str(recipe.get("name")), recipe.get("name"))
    parts = [name or "A run", _part(run.config, "data").get("data")]
    line = " on ".join(str(part) for part in parts if part)
    network = _part(run.config, "found").get("network", recipe.get("encoder"))
    if network:
        line += f", {network}"
    return f"{line}, {_length(recipe)}" if recipe.get("epochs") else line


def tiles(run: RunFolder) -> list[Tile]:
    """The figures on top of the page."""
    found = []
    for probe in probes(run):
        best = probe.rows[0]
        detail = f"{best.bounds}, n = {wording.count(best.n)}"
        found.append(Tile(f"{probe.title}, accuracy", best.text, detail, "quality"))
    for name in (*TRAINED, "knn", "regression"):
        figures = _part(run.evaluation, name)
        metric = "accuracy" if name in TRAINED and "accuracy" in figures else "r2"
        if figure := figures.get(metric):
            value, interval = spell(metric, figure)
            detail = f"{interval}, n = {wording.count(figure['n'])}"
            words = f"{(TRAINED | PROBE_NAMES)[name].title}, {METRICS[metric].words}"
            found.append(Tile(words, value, detail, "quality"))
    if run.epochs and run.epochs[-1].get("health"):
        verdict = str(run.epochs[-1]["health"].get("verdict", "unknown"))
        after = f"after epoch {run.epochs[-1]['epoch']}"
        found.append(Tile("Health", verdict[:1].upper() + verdict[1:], after, "health"))
    last = run.end or (run.steps[-1] if run.steps else None)
    if last and "elapsed" in last:
        detail = f"{wording.count(last['step'])} steps"
        if run.end is None:
            detail += ", not ended yet"
        found.append(Tile("Time", wording.duration(last["elapsed"]), detail, "cost"))
    return found


def probes(run: RunFolder) -> list[Probe]:
    """Every probe of `evaluation.json` with its baselines."""
    found = []
    for name in PROBES:
        figures = _part(run.evaluation, name)
        if "accuracy" not in figures:
            continue
        rows = [
            row(label, kind, figure)
            for key, (label, kind) in INPUTS.items()
            if (figure := figures.get(key))
        ]
        protocol = wording.settings(_part(figures, "protocol"))
        found.append(Probe(PROBE_NAMES[name].title, rows, _comparison(rows), protocol))
    return found


def classes(
    predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> tuple[list[Row], list[str]]:
    """Accuracy by class, hardest first, and the most frequent confusions in words."""
    rows = []
    for label in np.unique(labels):
        members = labels == label
        n, right = int(members.sum()), int((predictions[members] == label).sum())
        rows.append(Row(names[int(label)], "trained", right / n, *wilson(right, n), n))
    wrong = predictions != labels
    pairs, counts = np.unique(
        np.stack([labels[wrong], predictions[wrong]], axis=1), axis=0, return_counts=True
    )
    confusions = [
        f"{names[int(pairs[i][0])]} taken for {names[int(pairs[i][1])]}: {wording.count(counts[i])}"
        for i in np.argsort(-counts, kind="stable")[:3]
    ]
    return sorted(rows, key=lambda row: row.value), confusions


def row(label: str, kind: str, figure: Mapping[str, Any]) -> Row:
    """A figure of `evaluation.json` as a row."""
    low, high = figure["ci95"]
    return Row(label, kind, figure["value"], low, high, figure["n"])


def axis(rows: Sequence[Row]) -> Axis:
    """An axis in round numbers around all intervals.

    Example:
        >>> axis([Row("features", "trained", 0.8, 0.78, 0.83, 100)]).ticks
        [0.7, 0.75, 0.8, 0.85, 0.9]
    """
    low = np.floor(10 * min(row.low for row in rows)) / 10
    high = np.ceil(10 * max(row.high for row in rows)) / 10
    if high - low < 0.15:
        low, high = max(0.0, low - 0.1), min(1.0, high)
    high = max(high, low + 0.1)
    step = next(s for s in (0.05, 0.1, 0.2) if (high - low) / s <= 5.01)
    ticks = np.arange(round((high - low) / step + 1e-9) + 1) * step + low
    return Axis(float(low), float(high), [round(float(t), 2) for t in ticks if t <= high + 1e-9])


def cost(run: RunFolder) -> list[tuple[str, str]]:
    """What the run took, as pairs of name and value."""
    last = run.end or (run.steps[-1] if run.steps else {})
    rates = [step["images_per_s"] for step in run.steps if step.get("images_per_s")]
    pairs = []
    if "elapsed" in last:
        pairs.append(("Time", wording.duration(last["elapsed"])))
    if "step" in last:
        pairs.append(("Steps", wording.count(last["step"])))
    if rates:
        low, middle, high = np.quantile(rates, [0.1, 0.5, 0.9])
        text = f"{wording.count(middle)} (median of {wording.count(len(rates))} steps; "
        text += f"8 of 10 between {wording.count(low)} and {wording.count(high)})"
        pairs.append(("Items per second", text))
    if run.end and run.end.get("parameters"):
        pairs.append(("Parameters of the encoder", wording.count(run.end["parameters"])))
    computed = _computed(_part(_part(run.config, "found"), "hardware"))
    return [*pairs, ("Computed on", computed)] if computed else pairs


def _comparison(rows: Sequence[Row]) -> str:
    """The learned features against each baseline, in words that respect the intervals."""
    best, *baselines = rows
    text = f"{best.text} of {wording.count(best.n)} test items are classified rightly"
    compared = []
    for row in baselines:
        points = 100 * (best.value - row.value)
        where = "above" if points >= 0 else "below"
        apart = best.low > row.high or best.high < row.low
        caveat = "" if apart else " (the intervals overlap)"
        compared.append(f"{abs(points):.1f} points {where} the {row.label}{caveat}")
    text = f"{text}: {', '.join(compared)}." if compared else f"{text}."
    if baselines and best.value < max(row.value for row in baselines):
        text += " The training has not paid off yet."
    return text.replace("the raw input", "raw input")


def _part(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = mapping.get(key)
    return part if isinstance(part, Mapping) else {}


def _items(counts: Sequence[Any], shape: str) -> str:
    text = ", ".join(
        f"{wording.count(n)} to {use}"
        for n, use in zip(counts, ("train on", "test on"), strict=True)
        if n is not None
    )
    return f"{text}; {shape}" if text and shape else text


def _shape(found: Mapping[str, Any]) -> str:
    """The shape of an item, and what its numbers count."""
    if _part(found, "preprocess").get("sample_rate") is None:
        axes = {"channels": "channels", "height": "height", "width": "width"}
    else:
        axes = {"channels": "channels", "width": "samples"}
    known = [key for key in axes if key in found]
    sizes, words = (
        " × ".join(map(str, column))
        for column in ([found[key] for key in known], [axes[key] for key in known])
    )
    return f"{sizes} ({words})" if known else ""


def _positives(recipe: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Where positives come from, unless it is from augmentations as ever."""
    if recipe.get("positives", "augmentations") == "augmentations":
        return None
    count = f" ({wording.count(found['groups'])} groups)" if "groups" in found else ""
    apart = ", far apart in time" if recipe["positives"] == "apart" else ""
    return f"items of one group{apart}{count}"


def _encoder(
    recipe: Mapping[str, Any], found: Mapping[str, Any], end: Mapping[str, Any] | None
) -> str:
    name = str(found.get("network", recipe.get("encoder", "")))
    if recipe.get("width") not in (None, 1.0):
        name += f", width {recipe['width']:g}"
    if end and end.get("parameters"):
        name += f", {wording.count(end['parameters'])} parameters"
    return name


def _length(recipe: Mapping[str, Any]) -> str:
    epochs, batch = recipe.get("epochs"), recipe.get("effective_batch") or recipe.get("batch_size")
    if epochs is None:
        return ""
    text = f"{epochs} epoch" + ("s" if epochs != 1 else "")
    return f"{text} in batches of {batch}" if batch is not None else text


def _computed(hardware: Mapping[str, Any]) -> str:
    parts = [str(hardware[key]) for key in ("device", "precision") if hardware.get(key)]
    if hardware.get("threads"):
        parts.append(f"{hardware['threads']} threads")
    return ", ".join(parts)


def _versions(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {found[name]}" for name in ("twofold", "torch") if found.get(name))
