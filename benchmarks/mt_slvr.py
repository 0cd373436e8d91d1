"""MT-SLVR's claim on images: what adapters for two tasks do for few-shot learning.

    python benchmarks/mt_slvr.py [--methods contrast mt_slvr ...] [--balancers weighted ...]
                                 [--images 20000] [--epochs 2] [--seeds 0 1 2] [--jobs 2]
                                 [--results FILE] [--docs FOLDER]

`resnet-small` learns Fashion-MNIST by contrast alone or by contrast and prediction of what was
applied, on the same views, with each kind of adapters and each balancer. The frozen features then
serve 1000 episodes, the same for all, of two tasks on the test images: `class`, which must not
depend on how an image was changed, and `state`, how it was changed whatever it shows.

Every run is a process on one thread. It is written to benchmarks/results/mt_slvr.json as soon as
it is done, and not done again. Once all are there, docs/mt_slvr.md and docs/mt_slvr.svg are drawn
from them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import runs
from twofold.assembly import build_views
from twofold.augment import Draws, Views, permutation
from twofold.balance.settings import Balance
from twofold.domains import Source
from twofold.domains.image import open_data
from twofold.encoder import Encoder
from twofold.evaluate import few_shot
from twofold.evaluate.features import Prepare, features
from twofold.reading import ALL
from twofold.recipes import RECIPES, Recipe

CONTRAST = "contrast"
METHODS = (CONTRAST, "mt_simple", "mt_split", "mt_norm", "mt_series", "mt_slvr")
BALANCERS = ("weighted", "gradnorm", "pcgrad")
NEEDS_TORCHJD = "pcgrad"
TASKS = {"class": "class of changed images", "state": "how they were changed"}
CLASSIFIERS = {"cl2n": "centred, length 1", "centroid": "nearest centroid"}
SHOTS = (1, 5)
WAYS, QUERIES, EPISODES = 5, 5, 1000
CENTRE_ITEMS = 5000  # training images whose mean feature cl2n subtracts
BRIGHTNESS = (0.6, 1.0, 1.4)
MIDDLE = 0.7  # side of the crop, half of the area
MARKERS = {ALL: "o", "invariant": "<", "sensitive": "^"}


class Work(NamedTuple):
    """What one process does."""

    method: str
    balancer: str
    seed: int
    images: int
    epochs: int


def carry_out(work: Work) -> dict[str, Any]:
    """Few-shot accuracy of every reading of a trained encoder, by task, classifier and shots."""
    data = runs.part(open_data("fashion-mnist"), work.images)
    recipe = method(work.method, work.balancer)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path) / "run"
        run, seconds = runs.pretrain(recipe, data, folder, epochs=work.epochs, seed=work.seed)
        encoder = run.encoder()
    shown = encoder.preprocess.unit(data.test.items)
    tasks = {
        "class": (randomly_changed(recipe, data.test, shown), data.test.labels),
        "state": in_states(recipe, shown),
    }
    readings = {}
    for route in (ALL, *encoder.routes):
        network = encoder.reading(route=route)
        centre = features(network, data.train.items[:CENTRE_ITEMS], encoder.preprocess).mean(dim=0)
        readings[route] = {}
        for task, (images, labels) in tasks.items():
            found = features(network, images.numpy(), standardized(encoder))
            readings[route][task] = episodes(found, labels, centre)
    return {"training_seconds": round(seconds, 1), "readings": readings}


def method(name: str, balancer: str) -> Recipe:
    """A recipe; contrast alone has the views of the others and nothing to predict."""
    if name != CONTRAST:
        return replace(RECIPES[name](), balance=Balance(name=balancer))
    recipe = RECIPES["mt_simple"]()
    words = {n: "invariant" if word == "both" else word for n, word in recipe.prescription.items()}
    objectives = {CONTRAST: recipe.objectives[CONTRAST]}
    return replace(recipe, name=CONTRAST, objectives=objectives, prescription=words)


def randomly_changed(recipe: Recipe, source: Source, images: Tensor) -> Tensor:
    """Each image under a random set of the augmentations that training draws."""
    views = build_views(recipe, source, seed=0)
    return views.render(images, views.draw(np.arange(len(images)), epoch=0, view=0))


def in_states(recipe: Recipe, images: Tensor) -> tuple[Tensor, np.ndarray]:
    """Each image at one of three brightnesses, solarised or not, whole or its middle; and which."""
    kinds = tuple(product(BRIGHTNESS, (False, True), (False, True)))
    labels = permutation(len(images), seed=0, epoch=0) % len(kinds)
    factor, solarized, cropped = (np.array(column)[labels] for column in zip(*kinds, strict=True))
    side, place = np.where(cropped, MIDDLE, 1.0), np.where(cropped, 0.5, 0.0)
    drawn: Draws = {
        "crop": {"applied": cropped, "height": side, "width": side, "top": place, "left": place},
        "brightness": {"applied": factor != 1, "factor": factor, "order": np.zeros(len(labels))},
        "solarize": {"applied": solarized},
    }
    views = Views(
        {name: recipe.augmentations[name] for name in drawn},
        dict.fromkeys(drawn, "both"),
        channels=images.shape[1],
        size=images.shape[2],
    )
    return views.render(images, drawn), labels


def standardized(encoder: Encoder) -> Prepare:
    """From images in [0, 1] to what the encoder reads."""
    return lambda images, device: encoder.preprocess.standardize(torch.from_numpy(images))


def episodes(found: Tensor, labels: np.ndarray, centre: Tensor) -> dict[str, dict[str, Any]]:
    """Accuracy over the same episodes for every encoder, by classifier and shots."""
    return {
        classifier: {
            str(shots): few_shot(
                found,
                labels,
                ways=WAYS,
                shots=shots,
                queries=QUERIES,
                episodes=EPISODES,
                classifier=classifier,
                centre=centre if classifier == "cl2n" else None,
            )
            for shots in SHOTS
        }
        for classifier in CLASSIFIERS
    }


class Row(NamedTuple):
    """A reading of a method's encoders, over the seeds."""

    method: str
    balancer: str
    route: str
    tasks: dict[str, dict[str, dict[str, list[float]]]]
    """Accuracies, one a seed, by task, classifier and shots."""

    @property
    def name(self) -> str:
        """Method and balancer."""
        return self.method if self.method == CONTRAST else f"{self.method}, {self.balancer}"

    def mean(self, classifier: str, shots: int) -> np.ndarray:
        """Of both tasks, one a seed."""
        found = [self.tasks[task][classifier][str(shots)] for task in TASKS]
        return np.mean(found, axis=0)


def summarise(some: Sequence[Work], results: runs.Results) -> list[Row]:
    """A row for each reading of the runs of one method and balancer."""
    found = [results.done[work]["readings"] for work in some]
    return [
        Row(
            some[0].method,
            some[0].balancer,
            route,
            {
                task: {
                    classifier: {
                        str(shots): [
                            one[route][task][classifier][str(shots)]["value"] for one in found
                        ]
                        for shots in SHOTS
                    }
                    for classifier in CLASSIFIERS
                }
                for task in TASKS
            },
        )
        for route in found[0]
    ]


def shown(values: Sequence[float]) -> str:
    """A mean with its margin, in percent."""
    mean, margin = runs.over_seeds(values)
    return f"{100 * mean:.1f} ± {100 * margin:.1f}" if len(values) > 1 else f"{100 * mean:.1f}"


def figures(rows: Sequence[Row], classifier: str) -> list[str]:
    """The table of one classifier."""
    head = ["method", "reading", *(f"{task}, {n}-shot" for task in TASKS for n in SHOTS)]
    head += [f"mean, {n}-shot" for n in SHOTS]
    lines = []
    for row in rows:
        cells = [shown(row.tasks[task][classifier][str(n)]) for task in TASKS for n in SHOTS]
        means = [shown(row.mean(classifier, n).tolist()) for n in SHOTS]
        lines.append([row.name, row.route, *cells, *means])
    return runs.table(head, lines)


def claims(rows: Sequence[Row], classifier: str = "cl2n", shots: int = 1) -> list[str]:
    """How each method with both tasks compares with contrast alone and plainly on one network."""
    whole = {(row.method, row.balancer): row for row in rows if row.route == ALL}
    lines = []
    for (name, balancer), row in whole.items():
        rivals = ((CONTRAST, BALANCERS[0]), ("mt_simple", balancer))
        rivals = [rival for rival in rivals if rival in whole and rival != (name, balancer)]
        if name == CONTRAST or not rivals:
            continue
        gains = {
            rival: row.mean(classifier, shots) - whole[rival].mean(classifier, shots)
            for rival in rivals
        }
        words = (
            f"{signed(gain.tolist())} against {whole[rival].name}" for rival, gain in gains.items()
        )
        lines.append(f"- {row.name}: {'; '.join(words)}")
    return lines


def signed(values: Sequence[float]) -> str:
    """A difference in points; what an interval around 0 leaves open is said."""
    mean, margin = runs.over_seeds(values)
    if len(values) == 1:
        return f"{100 * mean:+.1f} points"
    doubt = "" if abs(mean) > margin else ", which may be chance,"
    return f"{100 * mean:+.1f} ± {100 * margin:.1f} points{doubt}"


def describe(rows: Sequence[Row], options: Any, results: runs.Results) -> str:
    """The text of docs/mt_slvr.md."""
    count, states = len(options.seeds), 4 * len(BRIGHTNESS)
    lines = [
        "# Two kinds of features for few-shot learning",
        "",
        "MT-SLVR (Heggan et al., 2023, arXiv:2305.17191) holds that contrast and prediction of "
        "what was applied help few-shot learning together only if each has adapters of its own. "
        f"Here `{runs.ENCODER}` learned {options.images:,} images of Fashion-MNIST for "
        f"{options.epochs} epochs, on the same views by every method. Two tasks on the 10,000 test "
        "images: `class`, each image shown under a random set of the augmentations, needs features "
        f"that ignore them; `state`, which of {states} states an image was put in (three "
        "brightnesses, solarised or not, whole or its middle), needs features that keep them. "
        f"{EPISODES:,} episodes of {WAYS} ways and {QUERIES} queries a way, the same for all; "
        f"chance is {100 // WAYS} %.",
        "",
        "![Accuracy on both tasks, by method and reading](mt_slvr.svg)",
        "",
        "Mean of both tasks at 1 shot, features of all routes side by side, `cl2n`, seed by seed:",
        "",
        *claims(rows),
    ]
    for classifier, words in CLASSIFIERS.items():
        lines += ["", f"## {classifier}: {words}", "", *figures(rows, classifier)]
    missing = [name for name in options.balancers if name not in available(options.balancers)]
    if missing:
        lines += ["", f"{', '.join(missing)} was left out: torchjd is not installed."]
    interval = f"t over {count} seeds" if count > 1 else "none, of one seed"
    lines += [
        "",
        f"Reading `{ALL}`: the features of every route side by side, or of the one there is. "
        f"95 % intervals: {interval}. {results.made_by}; all figures are in "
        "`benchmarks/results/mt_slvr.json`.",
        "",
        "Written by `benchmarks/mt_slvr.py`.",
        "",
    ]
    return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Both tasks against each other, a panel for each balancer."""
    from matplotlib.figure import Figure

    balancers = list(dict.fromkeys(row.balancer for row in rows if row.method != CONTRAST))
    balancers = balancers or [BALANCERS[0]]
    figure = Figure(figsize=(1.0 + 3.2 * len(balancers), 4.4), layout="constrained")
    panels = figure.subplots(1, len(balancers), sharex=True, sharey=True, squeeze=False)[0]
    labels = {}
    for axes, balancer in zip(panels, balancers, strict=True):
        for row in rows:
            if row.method != CONTRAST and row.balancer != balancer:
                continue
            (x, dx), (y, dy) = (runs.over_seeds(row.tasks[task]["cl2n"]["1"]) for task in TASKS)
            colour = runs.SERIES[METHODS.index(row.method)]
            style = {"color": colour, "marker": MARKERS[row.route], "capsize": 2}
            point = axes.errorbar(100 * x, 100 * y, xerr=100 * dx, yerr=100 * dy, **style)
            point.lines[0].set(linestyle="none", markersize=8 if row.route == ALL else 5)
            labels.setdefault(row.method if row.route == ALL else f"{row.route} route", point)
        runs.plain(axes)
        axes.grid(axis="y", color=runs.GRID)
        axes.set_title(balancer, color=runs.INK, fontsize="medium")
        axes.set_xlabel("class, 5-way 1-shot, %")
    panels[0].set_ylabel("state, 5-way 1-shot, %")
    figure.legend(
        labels.values(),
        labels.keys(),
        loc="outside upper center",
        ncols=4,
        frameon=False,
        labelcolor=runs.INK,
    )
    runs.save(figure, path)


def available(balancers: Sequence[str]) -> list[str]:
    """Those that what is installed allows."""
    return [name for name in balancers if name != NEEDS_TORCHJD or find_spec("torchjd")]


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("mt_slvr")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--balancers", nargs="+", choices=BALANCERS, default=BALANCERS)
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    balancers = available(options.balancers)
    pairs = [
        (name, balancer)
        for name in options.methods
        for balancer in (balancers if name != CONTRAST else BALANCERS[:1])
    ]
    wanted = {
        pair: [Work(*pair, seed, options.images, options.epochs) for seed in options.seeds]
        for pair in pairs
    }
    results = runs.Results(options.results)
    by_seed = zip(*wanted.values(), strict=True)
    results.measure(__file__, (work for some in by_seed for work in some), options.jobs)
    rows = [row for some in wanted.values() for row in summarise(some, results)]
    draw(rows, options.docs / "mt_slvr.svg")
    runs.write_page(describe(rows, options, results), options.docs / "mt_slvr.md")


if __name__ == "__main__":
    main()
