"""MT-SLVR on sound: what is told by ear after contrast, prediction, or both on their own adapters.

    python benchmarks/audio.py [--methods contrast mt_slvr ...] [--n 2400] [--epochs 10]
                               [--seeds 0 1 2] [--jobs 2] [--sets notes ...] [--sounds FOLDER]
                               [--results FILE] [--docs FOLDER]

`resnet-small-1d` learns from notes, synthetic words and recorded words, all without labels, under
MT-SLVR's seven augmentations, and once more with two of them kept. Its frozen features then tell,
of soundfonts, voices and words that it has not heard, what must not depend on pitch and speed
(instrument family, word, speaker) and what is pitch or speed. Beside it stand log-mel spectrograms
and random weights.

Every run is a process on one thread. It is written to benchmarks/results/audio.json as soon as it
is done, and not done again. Once all are there, docs/mt_slvr_audio.md and its figure are made from
them.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import runs
from audio_tasks import SETS, Task, make, tasks, to_learn_from
from twofold.domains import Data
from twofold.encoder import Encoder, renewed
from twofold.evaluate import accuracy, features, few_shot, linear_probe
from twofold.evaluate.features import Prepare
from twofold.objectives import Predict
from twofold.proof import prove
from twofold.reading import ALL
from twofold.recipes import Recipe, recipe_by_name

METHODS = {
    "contrast": "contrast alone",
    "predict": "prediction of what was applied alone",
    "mt_simple": "both on the same features",
    "mt_slvr": "both, each with adapters of its own",
    "kept": "pitch and tempo `sensitive`: alike in both views, and predicted",
}
KEPT = ("pitch_shift", "time_stretch")
ENCODER, BATCH_SIZE = "resnet-small-1d", 64
PRECISION = "float32"  # its last maps are narrower than its strides
PROVEN = ("pitch_shift", "time_stretch")
"""Augmentations of which the first seed's encoders are asked what they keep."""
FRAMES = 8  # of the spectrograms that serve as baseline
WAYS, QUERIES, EPISODES = 5, 5, 1000


class Work(NamedTuple):
    """What one process does."""

    method: str
    seed: int
    n: int
    """Notes, and synthetic words."""
    epochs: int
    folder: str
    """Where the sounds are kept."""


def carry_out(work: Work) -> dict[str, Any]:
    """What every reading of a trained encoder tells, and what it keeps of augmentations."""
    found = tasks(Path(work.folder))
    learned = to_learn_from(found)
    data = Data(
        name="sounds", train=learned, test=learned.take(range(0, len(learned), 10)), note=""
    )
    recipe = recipe_of(work.method)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path) / "run"
        run, seconds = runs.pretrain(
            recipe,
            data,
            folder,
            epochs=work.epochs,
            seed=work.seed,
            encoder=ENCODER,
            batch_size=BATCH_SIZE,
            precision=PRECISION,
        )
        encoder = run.encoder()
    readings = {
        route: told(encoder.reading(route=route), encoder.preprocess, found, work.seed)
        for route in (ALL, *encoder.routes)
    }
    answer: dict[str, Any] = {"training_seconds": round(seconds, 1), "readings": readings}
    if work.seed == 0:
        answer["kept"] = kept(encoder, data, recipe)
    if work.method == "contrast":
        answer["baselines"] = baselines(encoder, found, work.seed)
    return answer


def recipe_of(method: str) -> Recipe:
    """MT-SLVR, its plain rival, one of the rival's two losses, or what is kept prescribed."""
    if method in {"mt_simple", "mt_slvr"}:
        return recipe_by_name(method, "audio")
    if method == "kept":
        return with_kept(recipe_by_name("mt_slvr", "audio"))
    recipe = recipe_by_name("mt_simple", "audio")
    word = "invariant" if method == "contrast" else "both"
    words = {n: word if told == "both" else told for n, told in recipe.prescription.items()}
    objectives = {method: recipe.objectives[method]}
    return replace(recipe, name=method, objectives=objectives, prescription=words)


def with_kept(recipe: Recipe) -> Recipe:
    """MT-SLVR with two of its augmentations drawn alike in both views, and predicted; not others.

    The others are ignored.
    """
    words = {name: "invariant" for name, word in recipe.prescription.items() if word == "both"}
    objectives = {**recipe.objectives, "predict": Predict(KEPT, hidden=(256,))}
    return replace(
        recipe,
        name="kept",
        objectives=objectives,
        prescription={**recipe.prescription, **words, **dict.fromkeys(KEPT, "sensitive")},
    )


def told(
    network: nn.Module, prepare: Prepare, found: Sequence[Task], seed: int
) -> dict[str, dict[str, Any]]:
    """Accuracy of a linear probe and in few-shot episodes, by task."""

    @functools.cache
    def heard(name: str) -> tuple[Tensor, Tensor]:
        """Features of sounds that several tasks may share."""
        data = next(task.data for task in found if task.data.name == name)
        return tuple(features(network, part.items, prepare) for part in (data.train, data.test))

    answers = {}
    for task in found:
        train, test = heard(task.data.name)
        probe = linear_probe(train, task.data.train.labels, test, seed=seed)
        answers[task.name] = {
            "linear": accuracy(probe.predictions, task.data.test.labels),
            "fewshot": few_shot(
                test,
                task.data.test.labels,
                ways=min(WAYS, len(task.data.test.label_names)),
                queries=QUERIES,
                episodes=EPISODES,
                classifier="cl2n",
                centre=train.mean(dim=0),
            ),
        }
    return answers


def baselines(encoder: Encoder, found: Sequence[Task], seed: int) -> dict[str, Any]:
    """The same of spectrograms and of the network as it was before the training."""
    scale = encoder.preprocess

    def spectra(items: np.ndarray, device: torch.device) -> Tensor:
        images = scale(items, device)
        return F.adaptive_avg_pool2d(images, (images.shape[2], FRAMES))

    return {
        "log-mel": told(nn.Flatten(), spectra, found, seed),
        "random": told(renewed(encoder, seed=seed).reading(), scale, found, seed),
    }


def kept(encoder: Encoder, data: Data, recipe: Recipe) -> dict[str, dict[str, float]]:
    """Share of an augmentation that each reading keeps, 0 at chance, by augmentation."""
    proof = prove(encoder, data, recipe, words=recipe.prescription, names=PROVEN, seed=0)
    return {
        name: {reading: one["decoded"]["value"] for reading, one in seen["readings"].items()}
        for name, seen in proof["augmentations"].items()
    }


class Row(NamedTuple):
    """A reading of a method's encoders, or a baseline."""

    name: str
    reading: str
    tasks: dict[str, dict[str, list[float]]]
    """Accuracies, one a seed, by task and protocol."""

    def mean(self, names: Sequence[str], protocol: str) -> list[float]:
        """Over some tasks, one a seed."""
        return np.mean([self.tasks[name][protocol] for name in names], axis=0).tolist()


def summarise(name: str, reading: str, seeds: Sequence[dict[str, Any]]) -> Row:
    """What all seeds found."""
    found = {
        task: {p: [one[task][p]["value"] for one in seeds] for p in ("linear", "fewshot")}
        for task in seeds[0]
    }
    return Row(name, reading, found)


def rows_of(wanted: dict[str, list[Work]], results: runs.Results) -> list[Row]:
    """The baselines, then every reading of every method."""
    rows = []
    for method, works in wanted.items():
        found = [results.done[work] for work in works]
        for name in found[0].get("baselines", {}):
            rows.insert(len(rows), summarise(name, "", [one["baselines"][name] for one in found]))
        for reading in found[0]["readings"]:
            rows.append(summarise(method, reading, [one["readings"][reading] for one in found]))
    return sorted(rows, key=lambda row: row.name in METHODS)


def shown(values: Sequence[float]) -> str:
    """A mean with its margin, in percent."""
    mean, margin = runs.over_seeds(values)
    return f"{100 * mean:.1f} ± {100 * margin:.1f}" if margin else f"{100 * mean:.1f}"


def figures(rows: Sequence[Row], found: Sequence[Task], protocol: str) -> list[str]:
    """The table of one protocol, tasks that must not need what changes first."""
    ordered = sorted(found, key=lambda task: task.needs)
    ignore, keep = ([t.name for t in ordered if t.needs == needs] for needs in (False, True))
    head = ["", "reading", *(task.about for task in ordered), "ignored", "kept"]
    lines = [
        [
            row.name,
            row.reading,
            *(shown(row.tasks[task.name][protocol]) for task in ordered),
            shown(row.mean(ignore, protocol)),
            shown(row.mean(keep, protocol)),
        ]
        for row in rows
    ]
    return runs.table(head, lines)


def proof_table(wanted: dict[str, list[Work]], results: runs.Results) -> list[str]:
    """Share of each augmentation that the readings of the first seed keep."""
    lines = []
    for method, works in wanted.items():
        seen = results.done[works[0]].get("kept", {})
        if not seen:
            continue
        readings = results.done[works[0]]["readings"]
        for reading in [r for r in readings if r != ALL] or ["features"]:
            cells = [f"{100 * seen[name][reading]:.0f} %" for name in PROVEN]
            lines.append([method, reading, *cells])
    return runs.table(["", "reading", *(name.replace("_", " ") for name in PROVEN)], lines)


def describe(
    rows: Sequence[Row],
    found: Sequence[Task],
    wanted: dict[str, list[Work]],
    results: runs.Results,
    options: Any,
) -> str:
    """The text of docs/mt_slvr_audio.md."""
    count = len(options.seeds)
    learned = len(to_learn_from(found))
    gain = np.subtract(*(mean_of(rows, name) for name in ("mt_slvr", "contrast")))
    lines = [
        "# MT-SLVR on sound",
        "",
        f"`{ENCODER}` on log-mel spectrograms learned from {learned:,} sounds of a second "
        f"without labels, {options.epochs} epochs: notes of two soundfonts, words of a synthesiser "
        "and words spoken by people. All methods saw the same views, a random set of MT-SLVR's "
        "seven augmentations of waveforms (`mt_slvr --domain audio`); `kept` drew pitch and tempo "
        "alike in both. What is judged was not heard: another soundfont, other voices, other "
        "recorded words.",
        "",
        "![Few-shot accuracy by task and method](mt_slvr_audio.svg)",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| `{name}` | {words} |" for name, words in METHODS.items()),
        "| `log-mel` | spectrograms, averaged over eight stretches of time |",
        "| `random` | the network before any training |",
        "",
        f"Adapters against contrast alone, mean of all tasks by a linear probe: "
        f"{100 * gain.mean():+.1f} points (seed by seed "
        f"{', '.join(f'{100 * one:+.1f}' for one in gain)}).",
        "",
        *decided(rows),
        "## By a linear probe on frozen features, %",
        "",
        *figures(rows, found, "linear"),
        "",
        f"## {WAYS}-way 1-shot, %",
        "",
        f"{EPISODES:,} episodes, {QUERIES} queries a way, features centred and of length 1; three "
        "ways where there are three classes.",
        "",
        *figures(rows, found, "fewshot"),
        "",
        "## What readings keep of augmentations",
        "",
        "Seed 0: how much of each augmentation a probe tells from features, from 0 at chance to "
        "100 % (see [Prescription](concepts/prescription.md)).",
        "",
        *proof_table(wanted, results),
        "",
        f"95 % intervals: t over {count} seeds. {results.made_by}; all figures are in "
        "`benchmarks/results/audio.json`.",
        "",
        "Written by `benchmarks/audio.py`.",
        "",
    ]
    return "\n".join(lines)


def decided(rows: Sequence[Row]) -> list[str]:
    """What becomes of two tasks on the same notes when pitch is ignored, and when it is kept."""
    whole = {row.name: row.tasks for row in rows if row.reading in {ALL, ""}}
    if not {"contrast", "kept"} <= set(whole) or "pitch" not in whole["contrast"]:
        return []
    ignored, kept = (
        {task: shown(whole[name][task]["linear"]) for task in ("pitch", "family")}
        for name in ("contrast", "kept")
    )
    return [
        "What is prescribed decides what can be told: of the same notes a linear probe tells the "
        f"pitch class in {ignored['pitch']} % where contrast ignores pitch and in {kept['pitch']} "
        f"% where it is kept, and the family in {ignored['family']} and {kept['family']} %.",
        "",
    ]


def mean_of(rows: Sequence[Row], name: str) -> np.ndarray:
    """Of all tasks by a linear probe, one a seed, of a method's whole features."""
    row = next(row for row in rows if row.name == name and row.reading == ALL)
    return np.array(row.mean(list(row.tasks), "linear"))


def draw(rows: Sequence[Row], found: Sequence[Task], path: Path) -> None:
    """Few-shot accuracy of whole features: a panel for each task, a row for each method."""
    from matplotlib.figure import Figure

    ordered = sorted(found, key=lambda task: task.needs)
    whole = [row for row in rows if row.reading in {ALL, ""}]
    figure = Figure(figsize=(2.0 + 1.8 * len(ordered), 2.9), layout="constrained")
    panels = figure.subplots(1, len(ordered), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, ordered, strict=True):
        for place, row in enumerate(reversed(whole)):
            mean, margin = runs.over_seeds(row.tasks[task.name]["fewshot"])
            colour = runs.SERIES[row.name in METHODS]
            axes.errorbar(100 * mean, place, xerr=100 * margin, fmt="o", color=colour, capsize=2)
        runs.plain(axes)
        axes.grid(axis="x", color=runs.GRID)
        axes.set_title(task.about, color=runs.INK, fontsize="medium")
        axes.set_xlabel("needed" if task.needs else "to be ignored", color=runs.INK)
    panels[0].set_yticks(range(len(whole)), [row.name for row in reversed(whole)])
    figure.supxlabel("what augmentations change; 5-way 1-shot accuracy in %", color=runs.INK)
    runs.save(figure, path)


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("audio")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=tuple(METHODS))
    parser.add_argument("--n", type=int, default=2400, help="notes, and synthetic words")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="sounds to make")
    parser.add_argument("--sounds", type=Path, default=Path("data/sounds"))
    parser.set_defaults(epochs=10)
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    make(options.sounds, options.n, options.sets)
    wanted = {
        method: [
            Work(method, seed, options.n, options.epochs, str(options.sounds))
            for seed in options.seeds
        ]
        for method in options.methods
    }
    results = runs.Results(options.results)
    results.all["precision"] = PRECISION
    by_seed = zip(*wanted.values(), strict=True)
    results.measure(__file__, (work for some in by_seed for work in some), options.jobs)
    rows, found = rows_of(wanted, results), tasks(options.sounds)
    draw(rows, found, options.docs / "mt_slvr_audio.svg")
    text = describe(rows, found, wanted, results, options)
    runs.write_page(text, options.docs / "mt_slvr_audio.md")


if __name__ == "__main__":
    main()
