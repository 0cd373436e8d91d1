"""A pendulum's energy from pictures, under the conditions of the published study.

    python benchmarks/conserved_pictures.py [--seeds 0 1 2 3 4] [--jobs 2] [--only CONDITION ...]
                                            [--results FILE] [--docs FOLDER]

From 5,120 orbits of 20 pictures each, 32 pixels wide, one number is learned: without labels, two
pictures of an orbit being a positive pair, and by the same network told the energy. Both are
judged by |Spearman| with the energy on pictures of 5,120 evenly spaced energies, beside what the
study publishes and the most that such pictures can tell (`rendering_ceiling`).

The network is the study's perceptron for vectors, here on pixels, where the study has a ResNet-18.
All but the objective is the study's: batches of 512 orbits, SGD, its rate, weight decay and
clipping; in a fifth of its steps.

Every condition is a process on one thread, all seeds one after the other. Figures are written to
benchmarks/results/conserved_pictures.json as soon as they are there, and not measured again. Once
all are, docs/conserved_pictures.md and .svg are written.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

import runs
import twofold
from conserved_conditions import ALL, EVEN, SAME, TRIALS, Trial
from twofold.evaluate.conservation import in_one_dimension, spearman_abs
from twofold.evaluate.steadiness import least_drift
from twofold.folder import read_metrics
from twofold.recipes import recipe_by_name
from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import Conditions, rendering_ceiling

READ = "projector.1"
EPOCHS = {"conserved_supervised": 2}
LEAST_EPOCHS = 20
PERCEPTRON = {"encoder": "mlp", "stem": None}
_STEPS = 10


class Work(NamedTuple):
    """What one process does."""

    trial: str
    method: str
    """A recipe, `ceiling`, or a recipe with the positives far apart in time, as `NAME+apart`."""
    seeds: str
    """Blank for a ceiling."""


SELF, TOLD = "conserved_unfolded", "conserved_supervised"
FURTHER = (
    ("clean", "conserved"),
    ("clean", "conserved_2d"),
    *((f"within-{spread}", f"{SELF}+apart") for spread in (1.0, 0.5, 0.25)),
    *((f"within-{spread}", "conserved_2d+apart") for spread in (0.5, 0.25)),
)
"""Beside the two methods under all conditions: the published objective, and remedies where times
are close."""


def carry_out(work: Work, network: Mapping[str, Any] = PERCEPTRON) -> dict[str, Any]:
    """|Spearman| of what is learned, for each seed and what it is judged on."""
    trial = TRIALS[work.trial]
    if work.method == "ceiling":
        return {"ceiling": {name: _ceiling(trial, name) for name in trial.tests}}
    recipe, _, apart = work.method.partition("+")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path, test = (_made(root, name, it) for name, it in (("train", trial.train), ("all", EVEN)))
        data = twofold.open_data(
            path, label_key="energy", group_key="orbit", time_key="t", test=test
        )
        judged = {name: _pictures(_made(root, name, it)) for name, it in trial.tests.items()}
        found: dict[str, list[float]] = {name: [] for name in trial.tests}
        losses: list[float] = []
        for seed in map(int, work.seeds.split()):
            run = twofold.pretrain(
                recipe,
                data=data,
                out=root / "run",
                seed=seed,
                **network,
                epochs=EPOCHS.get(recipe, LEAST_EPOCHS),
                positives="apart" if apart else recipe_by_name(recipe).positives,
                threads=1,
                loader_threads=0,
                monitor_every=100,
                overwrite=True,
                quiet=True,
            )
            losses.append(_last_loss(run))
            encoder = run.encoder()
            for name, (pictures, energy) in judged.items():
                learned = encoder.embed(pictures, layer=READ)
                if learned.shape[1] > 1 and apart:
                    train = data.train
                    known = encoder.embed(train.items, layer=READ)
                    learned = learned @ least_drift(known, train.groups, train.times)
                else:
                    learned = in_one_dimension(learned)[0]
                found[name].append(spearman_abs(learned, energy))
    return {"spearman": found, "losses": losses}


def _last_loss(run: twofold.Run) -> float:
    """The loss of the last epoch's steps, which needs no labels."""
    steps = [line for line in read_metrics(run.folder) if line["kind"] == "step"]
    return float(np.mean([line["loss"] for line in steps[-_STEPS:]]))


def _made(root: Path, name: str, conditions: Conditions) -> Path:
    path = root / f"{name.replace(' ', '-')}.h5"
    if not path.exists():
        simulate_trajectories(path, "pendulum", conditions, quiet=True)
    return path


def _pictures(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file["X"][:], file["energy"][:]


def _ceiling(trial: Trial, test: str) -> float | None:
    """The most that pictures of a test can tell; not known where their pixels are noisy."""
    conditions = trial.tests[test]
    return None if conditions.pixel_noise else rendering_ceiling("pendulum", conditions)


def figures(results: runs.Results, seeds: str) -> Iterator[dict[str, Any]]:
    """A row for each condition and what it is judged on."""
    for name, trial in TRIALS.items():
        runs_of = {m: results.done[Work(name, m, seeds)] for m in (SELF, TOLD)}
        found = {method: one["spearman"] for method, one in runs_of.items()}
        best = int(np.argmin(runs_of[SELF]["losses"]))
        ceiling = results.done[Work(name, "ceiling", "")]["ceiling"]
        for test in trial.tests:
            yield {
                "words": trial.words,
                "test": test,
                "published": trial.published[test],
                "ceiling": ceiling[test],
                "least_loss": found[SELF][test][best],
                **{method: found[method][test] for method in found},
            }


def describe(options: Any, results: runs.Results) -> str:
    """The text of docs/conserved_pictures.md."""
    seeds = " ".join(map(str, options.seeds))
    rows = [
        [
            row["words"],
            row["test"],
            _number(row["published"][0]),
            over_seeds(row[SELF]),
            _number(row["least_loss"]),
            _number(row["published"][1]),
            over_seeds(row[TOLD]),
            _number(row["ceiling"]),
        ]
        for row in figures(results, seeds)
    ]
    head = ["training sees", "judged on", "published", "twofold", "its seed of least loss"]
    head += ["published, supervised"]
    head += ["twofold, supervised", "ceiling"]
    further = [
        [
            TRIALS[trial].words,
            f"`{method.partition('+')[0]}`" + (", far apart" if "+" in method else ""),
            over_seeds(results.done[Work(trial, method, seeds)]["spearman"][ALL]),
        ]
        for trial, method in FURTHER
    ]
    return "\n".join(
        [
            "# A pendulum's energy from pictures",
            "",
            "One number is learned from 5,120 orbits of 20 pictures each, 32 pixels wide: without "
            "labels by [`conserved_unfolded`](trajectories.md), two pictures of an orbit being a "
            "positive pair, or from the energy itself. Its rank correlation with the energy is "
            "over pictures of 5,120 evenly spaced energies: of all energies and times, seen "
            f"clearly ({ALL}), or as in training ({SAME}). The ceiling is the most that such "
            "pictures can tell, for different energies give the same pixels.",
            "",
            "Published are five seeds of a ResNet-18 over 100 epochs "
            "(github.com/califyn/rsi-2021). twofold's are five seeds of the perceptron that the "
            f"study has for vectors, here on pixels, over {LEAST_EPOCHS} epochs of all orbits; "
            "the mean, its 95 % interval (t over seeds), and the least of them.",
            "",
            "![All conditions](conserved_pictures.svg)",
            "",
            *runs.table(head, rows),
            "",
            "## Other methods, and remedies where times are close",
            "",
            "On a line the published objective, InfoNCE alone (`conserved`), can stay folded, in "
            "two dimensions (`conserved_2d`) the curve of energies is bent. Where times are close, "
            "two pictures of an orbit share its phase, too, and the phase shows better in a "
            "picture than the energy. `--positives apart` takes the first and the last picture of "
            "an orbit; in two dimensions phase and energy are both learned, and the number is the "
            "direction that drifts least as time goes by, found without labels "
            "(`twofold.evaluate.least_drift`).",
            "",
            *runs.table(["training sees", "method", "judged on all"], further),
            "",
            "## What the figures say",
            "",
            "- Where training sees what is judged, both methods end close to the ceiling, as the "
            "study's do: what is missing of 1 is the picture's.",
            "- Where it does not (energies, times and gaps that training leaves out) the "
            "perceptron falls behind the study's ResNet, told the energy or not: it has never "
            "seen those pixels dark. A narrow ResNet makes up for most of it "
            "([figures](conserved_beyond.md)), and from states the same objective orders all "
            "energies from the middle 60 % of them ([figures](conserved.md)).",
            "- Within 1, where the study's runs find the phase, so do some of these, and their "
            "loss gives them away; positives far apart end that. Within 0.5 and 0.25 it takes "
            "two dimensions, and the nearer the times the less sure the outcome.",
            "- Of crops that hide the bob most of the time the published runs are better, and "
            "all are far from what labels reach.",
            "- The study's figures inside gaps are read off a plot, and that of the smallest is "
            "above the ceiling: it must have been measured in another way.",
            "",
            f"{results.made_by}; all figures are in `benchmarks/results/conserved_pictures.json`.",
            "",
            "Written by `benchmarks/conserved_pictures.py`.",
            "",
        ]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def over_seeds(values: list[float]) -> str:
    """The mean, the margin of its 95 % interval, and the least."""
    mean, margin = runs.over_seeds(values)
    return f"{mean:.4f} ± {margin:.4f}, {min(values):.4f}"


def draw(options: Any, results: runs.Results) -> None:
    """Both methods beside what is published, as the share that is lost of a perfect order."""
    from matplotlib.figure import Figure

    rows = list(figures(results, " ".join(map(str, options.seeds))))
    figure = Figure(figsize=(8.4, 0.24 * len(rows) + 1.2), layout="constrained")
    for axes, method, which, title in zip(
        figure.subplots(1, 2, sharey=True),
        (SELF, TOLD),
        (0, 1),
        ("without labels", "told the energy"),
        strict=True,
    ):
        runs.plain(axes)
        for place, row in enumerate(rows):
            if row["ceiling"] is not None:
                axes.plot([row["ceiling"]] * 2, [place - 0.4, place + 0.4], color=runs.INK, lw=1.4)
            axes.plot(row["published"][which], place, "o", mfc="none", mec=runs.SERIES[1], ms=5)
            mean, margin = runs.over_seeds(row[method])
            low, high = max(0.0, mean - margin), min(1.0, mean + margin)
            axes.plot([low, high], [place, place], color=runs.SERIES[0], lw=1.5)
            axes.plot(mean, place, "o", color=runs.SERIES[0], ms=3.5)
        axes.set_xlim(0, 1.01)
        axes.set_title(title, fontsize=10, color=runs.INK)
        axes.set_xlabel("|rank correlation| with the energy")
    names = [f"{row['words']}, {row['test']}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    marks = [
        axes.plot([], [], "o", color=runs.SERIES[0], ms=3.5, label="twofold")[0],
        axes.plot([], [], "o", mfc="none", mec=runs.SERIES[1], ms=5, label="published")[0],
        axes.plot([], [], color=runs.INK, lw=1.4, label="ceiling")[0],
    ]
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False)
    for text in legend.get_texts():
        text.set_color(runs.INK)
    runs.save(figure, options.docs / "conserved_pictures.svg")


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("conserved_pictures")
    parser.set_defaults(seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--only", nargs="+", choices=TRIALS, help="measure these, and stop")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    seeds = " ".join(map(str, options.seeds))
    works = [Work(trial, SELF, seeds) for trial in TRIALS]
    works += [Work(*one, seeds) for one in FURTHER]
    works += [Work(trial, TOLD, seeds) for trial in TRIALS]
    works += [Work(trial, "ceiling", "") for trial in TRIALS]
    results = runs.Results(options.results)
    chosen = [work for work in works if not options.only or work.trial in options.only]
    results.measure(__file__, chosen, options.jobs)
    if not options.only:
        runs.write_page(describe(options, results), options.docs / "conserved_pictures.md")
        draw(options, results)


if __name__ == "__main__":
    main()
