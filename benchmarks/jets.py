"""Jets: what pretraining without labels is worth for telling quarks from gluons, and for the mass.

    python benchmarks/jets.py [--jets 12000] [--epochs 12] [--fractions 0.01 0.1 1]
                              [--seeds 0 1 2] [--jobs 2] [--runs FOLDER] [--results FILE]
                              [--docs FOLDER]

Pythia 8 makes gluon and quark jets of 500 to 550 GeV, seen by a toy detector as images of 40x40
cells (`twofold simulate jets`). ResNet-15 learns two thirds of them without labels, by SimCLR and
by Barlow Twins; then a share of the labels trains it on, beside the same network from random
weights: the class, and the mass in GeV. A linear probe of the frozen features sees the same labels.
Two cuts that learn nothing, on hit cells and on girth, and a logistic regression on six observables
say what there is to beat. All are judged on the other third.

Every run is a process on one thread and a folder under runs/jets, where the next ones find it.
Figures are written to benchmarks/results/jets.json as soon as they are there, and not measured
again. Once all are, docs/jets_benchmark.md and docs/jets.svg are drawn from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import runs
import twofold
from twofold.domains import Data
from twofold.domains.jet import observables
from twofold.domains.jet.domain import JetInput
from twofold.evaluate import auc, evaluate, regression_figures
from twofold.finetuning import divide, finetune
from twofold.folder import EVALUATION
from twofold.simulation import simulate_jets
from twofold.tuning import Tuning

METHODS = {"simclr": "SimCLR", "barlow_twins": "Barlow Twins"}
TASKS = {"y": "quark or gluon, AUC", "m0": "mass, MAE in GeV"}
INPUT = JetInput(scale="log")
SHARED = {"threads": 1, "loader_threads": 0, "quiet": True}
STEPS = {0.01: 60, 0.1: 30, 1.0: 12}
"""Epochs of fine-tuning by share of the labels: fewer labels fill fewer batches."""


class Work(NamedTuple):
    """What one process does."""

    stage: str
    """`cuts`, `pretrain`, `probe` or `finetune`."""
    begun: str
    """The method, or `scratch`."""
    task: str
    """`y` or `m0`; blank where there are no labels."""
    fraction: float
    """Of the labels; 0 for none."""
    seed: int
    jets: int
    epochs: int
    """Of pretraining."""
    folder: str
    """Where runs are kept."""

    def open(self) -> Data:
        """The jets with the labels of the task; with classes if there is none."""
        return jets_of(Path(self.folder), self.jets, self.task or "y")

    def path(self, stage: str, begun: str, task: str = "", fraction: float = 0.0) -> Path:
        """The run of a stage with the same seed."""
        name = "-".join(filter(None, [stage, begun, task, f"{fraction:g}" if fraction else ""]))
        return Path(self.folder) / f"{name}-{self.seed}"


def carry_out(work: Work) -> dict[str, Any]:
    """The figures of one stage."""
    stages = {
        "cuts": cut,
        "pretrain": pretrained,
        "probe": probed,
        "finetune": tuned,
    }
    return stages[work.stage](work)


def make(options: Any) -> None:
    """The file of jets that all runs read."""
    options.runs.mkdir(parents=True, exist_ok=True)
    simulate_jets(options.runs / f"jets-{options.jets}.h5", n=options.jets, overwrite=True)


def jets_of(folder: Path, jets: int, task: str) -> Data:
    """Two thirds to train on and one to judge on, with the labels of the task."""
    return twofold.open_data(folder / f"jets-{jets}.h5", label_key=task, test_fraction=1 / 3)


def cut(work: Work) -> dict[str, Any]:
    """What single observables and a linear model of all of them tell."""
    data = work.open()
    train, test = (observables(np.asarray(part.items)) for part in (data.train, data.test))
    columns = [np.stack(list(found.values()), axis=1) for found in (train, test)]
    labels = data.test.labels
    if work.task == "m0":
        ridge = make_pipeline(StandardScaler(), Ridge()).fit(columns[0], data.train.labels)
        constant = np.full_like(labels, np.median(data.train.labels))
        found = {"constant": constant, "linear": ridge.predict(columns[1])}
        return {name: regression_figures(values, labels)["mae"] for name, values in found.items()}
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(columns[0], data.train.labels)
    scores = {
        "multiplicity": -test["multiplicity"],
        "girth": -test["girth"],
        "linear": model.decision_function(columns[1]),
    }
    return {name: auc(score, labels) for name, score in scores.items()}


def pretrained(work: Work) -> dict[str, Any]:
    """Trains without labels; judged by a linear probe that sees all of them."""
    run = twofold.pretrain(
        work.begun,
        data=work.open(),
        out=work.path("pretrain", work.begun),
        input=INPUT,
        epochs=work.epochs,
        seed=work.seed,
        monitor_every=work.epochs,
        overwrite=True,
        **SHARED,
    )
    return run.evaluate(probes=["linear"], quiet=True)["linear"]


def probed(work: Work) -> dict[str, Any]:
    """A linear probe of the frozen features that sees a share of the labels."""
    data = work.open()
    encoder = twofold.load(work.path("pretrain", work.begun))
    few = Tuning(label_fraction=work.fraction, held_out=0.0)
    data = replace(data, train=divide(data.train, few, work.seed)[0])
    probe = "linear" if work.task == "y" else "regression"
    found = evaluate(
        encoder.reading(), data, encoder.preprocess, probes=[probe], raw=False, seed=work.seed
    )
    return {**found.figures[probe]}


def tuned(work: Work) -> dict[str, Any]:
    """A share of the labels, from the weights of a run or from random ones."""
    scratch = work.begun == "scratch"
    out = work.path("finetune", work.begun, work.task, work.fraction)
    finetune(
        work.path("pretrain", next(iter(METHODS)) if scratch else work.begun),
        data=work.open(),
        out=out,
        scratch=scratch,
        label_fraction=work.fraction,
        epochs=STEPS[work.fraction],
        seed=work.seed,
        overwrite=True,
        **SHARED,
    )
    found: dict[str, Any] = json.loads((out / EVALUATION).read_text())["finetune"]
    return found


ROWS = {
    "from random weights": ("finetune", "scratch"),
    **{
        words.format(name): (stage, method)
        for method, name in METHODS.items()
        for stage, words in (("finetune", "{} and fine-tuned"), ("probe", "{}, linear probe"))
    },
}
"""What is compared, with the stage and what it began with."""


class Over(NamedTuple):
    """A mean over seeds with its 95 % interval; of one alone its own, over test items."""

    mean: float
    low: float
    high: float


def over(figures: Sequence[dict[str, Any]]) -> Over:
    """The mean of one figure a seed."""
    if len(figures) == 1:
        return Over(figures[0]["value"], *figures[0]["ci95"])
    mean, margin = runs.over_seeds([figure["value"] for figure in figures])
    return Over(mean, mean - margin, mean + margin)


def summarise(options: Any, results: runs.Results) -> dict[str, dict[str, dict[float, Over]]]:
    """Of each task and row, by share of the labels, the AUC or the error over the seeds."""
    figures = {"y": "auc", "m0": "mae"}
    return {
        task: {
            name: {
                fraction: over(
                    [
                        results.done[work_of(options, stage, begun, task, fraction, seed)][figure]
                        for seed in options.seeds
                    ]
                )
                for fraction in options.fractions
            }
            for name, (stage, begun) in ROWS.items()
        }
        for task, figure in figures.items()
    }


def work_of(
    options: Any, stage: str, begun: str, task: str = "", fraction: float = 0.0, seed: int = 0
) -> Work:
    """What one process does."""
    folder = str(options.runs)
    return Work(stage, begun, task, fraction, seed, options.jets, options.epochs, folder)


def stages(options: Any) -> list[Sequence[Work]]:
    """What can be done side by side, one after the other."""
    every = [
        (task, fraction, seed)
        for seed in options.seeds
        for task in TASKS
        for fraction in options.fractions
    ]
    return [
        [work_of(options, "cuts", "", task) for task in TASKS]
        + [
            work_of(options, "pretrain", method, seed=seed)
            for seed in options.seeds
            for method in METHODS
        ],
        [work_of(options, stage, begun, *one) for one in every for stage, begun in ROWS.values()],
    ]


def describe(
    rows: dict[str, dict[str, dict[float, Over]]], options: Any, results: runs.Results
) -> str:
    """The text of docs/jets_benchmark.md."""
    heads = [f"{fraction:.0%} of the labels" for fraction in options.fractions]
    lines = [
        "# Jets with few labels",
        "",
        f"{options.jets:,} gluon and quark jets of 500 to 550 GeV, made by Pythia 8 and a toy "
        "detector (`twofold simulate jets`), as images of 40x40 cells. ResNet-15 learned two "
        f"thirds of them for {options.epochs} epochs without labels, then from a share of the "
        f"labels for {', '.join(f'{STEPS[f]} ({f:.0%})' for f in options.fractions)} epochs, of "
        "which a tenth of those labels chose one; from random weights for as many. All figures "
        "are on the other third. `--input.scale log` throughout.",
        "",
        "![AUC and error by share of the labels](jets.svg)",
        "",
    ]
    for task, title in TASKS.items():
        cells = [[name, *map(SPELLED[task], found.values())] for name, found in rows[task].items()]
        cells += [
            [name, *[""] * (len(heads) - 1), SPELLED[task](over([figure]))]
            for name, figure in beaten(options, results, task).items()
        ]
        lines += [f"## {title[0].upper()}{title[1:]}", "", *runs.table(["", *heads], cells), ""]
    return "\n".join(
        [
            *lines,
            *claims(options, results),
            "",
            f"95 % intervals: t over {len(options.seeds)} seeds, each of which draws other labels "
            "and other weights on the same jets; differences are of runs with the same seed. What "
            "learns nothing, or is linear in six observables of the image (hit cells, energy, the "
            "place of the axis, girth, pTD), saw all labels once. "
            f"{results.made_by}; all figures are in `benchmarks/results/jets.json`.",
            "",
            "Written by `benchmarks/jets.py`.",
            "",
        ]
    )


def beaten(options: Any, results: runs.Results, task: str) -> dict[str, Any]:
    """The figures of what learns nothing or little."""
    names = {
        "multiplicity": "cut on hit cells",
        "girth": "cut on girth",
        "constant": "the median mass, whatever the jet",
        "linear": "linear model of six observables",
    }
    found = results.done[work_of(options, "cuts", "", task)]
    return {words: found[name] for name, words in names.items() if name in found}


def claims(options: Any, results: runs.Results) -> list[str]:
    """What pretraining changes, over pairs of runs with the same seed and the same labels."""
    lines = []
    for task, (figure, unit, places) in {"y": ("auc", "AUC", 3), "m0": ("mae", "GeV", 2)}.items():
        for method, name in METHODS.items():
            gains = []
            for fraction in options.fractions:
                with_it, without = (
                    [
                        results.done[work_of(options, "finetune", begun, task, fraction, seed)]
                        for seed in options.seeds
                    ]
                    for begun in (method, "scratch")
                )
                gaps = [
                    one[figure]["value"] - other[figure]["value"]
                    for one, other in zip(with_it, without, strict=True)
                ]
                mean, margin = runs.over_seeds(gaps)
                gains.append(f"{mean:+.{places}f} ± {margin:.{places}f} at {fraction:.0%}")
            lines.append(
                f"- {name}, fine-tuned, against random weights, {unit}: {'; '.join(gains)}."
            )
    return lines


SPELLED = {
    "y": lambda found: f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})",
    "m0": lambda found: f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})",
}
"""How the figures of a task are written."""


def draw(rows: dict[str, dict[str, dict[float, Over]]], path: Path) -> None:
    """The two tasks side by side: a line for each way to begin, over the share of the labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    for axes, (task, title) in zip(figure.subplots(1, 2), TASKS.items(), strict=True):
        for number, (name, found) in enumerate(rows[task].items()):
            style = ":" if "probe" in name else "-"
            means = [one.mean for one in found.values()]
            margins = [[one.mean - one.low, one.high - one.mean] for one in found.values()]
            axes.errorbar(
                [100 * fraction * 1.07 ** (number - 2) for fraction in found],
                means,
                yerr=np.transpose(margins),
                fmt=f"o{style}",
                color=runs.SERIES[number],
                capsize=2,
                markersize=4,
                label=name if task == "y" else None,
            )
        runs.plain(axes)
        axes.grid(axis="y", color=runs.GRID)
        axes.set_xscale("log")
        axes.set_xticks([1, 10, 100], ["1 %", "10 %", "100 %"])
        axes.minorticks_off()
        axes.set_xlabel("share of the labels")
        axes.set_title(title, fontsize=10, color=runs.INK)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, labelcolor=runs.INK)
    runs.save(figure, path)


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("jets")
    parser.set_defaults(epochs=12)
    parser.add_argument("--jets", type=int, default=12_000, help="jets made, a third for testing")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--runs", type=Path, default=Path("runs/jets"), help="run folders")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    make(options)
    results = runs.Results(options.results)
    for some in stages(options):
        results.measure(__file__, some, options.jobs)
    rows = summarise(options, results)
    draw(rows, options.docs / "jets.svg")
    runs.write_page(describe(rows, options, results), options.docs / "jets_benchmark.md")


if __name__ == "__main__":
    main()
