"""CPU time until the accuracy that lightly's SimCLR reaches in ten CPU minutes.

    python benchmarks/time_to_accuracy.py [--data fashion-mnist emoji] [--seeds 0 1 2] [--jobs 2]
                                          [--packages FOLDER] [--alone] [--page]

`simclr_short`, `simclr` and lightly's SimCLR (`lightly_methods.py`, in `.venv-bench`, which `make
bench` creates) train `resnet-small` on one thread, a process a run, for several budgets of CPU
time, each with a schedule of that length. What a step costs is measured beforehand. Where the
budget does not pay for one epoch, a run of twofold sees part of the images. The frozen encoder is
then judged by kNN on the test images.

`--alone` also measures what each part of `simclr_short` is worth, and what it does without: one
thing changed at a time, at the same number of images seen, judged on training images held out.

Every run is written to benchmarks/results/time_to_accuracy.json as soon as it is done, and not
done again. docs/time_to_accuracy.md and docs/time_to_accuracy.svg are made from what is there;
`--page` measures nothing more.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import methods
import runs
from emoji_judge import halves
from short_choices import CHOICES, TUNING_SEEDS, held_out
from twofold.domains import Data
from twofold.domains.image import open_data
from twofold.evaluate import accuracy, features, knn
from twofold.recipes import recipe_by_name
from twofold.simulation import simulate_emoji
from twofold.studies.result import Estimate, estimate

PEER = "lightly simclr"
BUDGETS = {
    "simclr_short": (15, 30, 60, 120),
    "simclr": (30, 120),
    PEER: (60, 600),
}
"""CPU seconds, by method."""
GOAL = 600
"""The budget whose accuracy the peer sets as the goal."""
EMOJI = runs.ROOT / "runs" / "emoji" / "emoji.h5"
DATA = {"fashion-mnist": "Fashion-MNIST, 28 pixels, gray", "emoji": "emoji, 32 pixels, coloured"}


class Work(NamedTuple):
    """What one process does: measures what a method costs, trains for a budget, or tries."""

    what: str
    """`cost`, `run`, or one of `CHOICES`."""
    method: str
    data: str
    seed: int = 0
    seconds: int = 0
    """The budget."""
    length: float = 0.0
    """Epochs, or steps of the peer."""


def carry_out(work: Work) -> dict[str, Any]:
    """The figures of one run, or what a method costs: `once`, and `each` epoch or step."""
    data = opened(work.data)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        if work.what in CHOICES:
            return try_choice(work, data, folder)
        if work.method == PEER:
            peer = methods.Work(work.method, work.seed, work.seconds, round(work.length) or None)
            found = methods.carry_out_peer(peer, "simclr", data, folder)
            return {"cpu_seconds": spent(), "precision": runs.precision(), **found}
        if work.what == "cost":
            return {**methods.cost(work.method, data, folder), "cpu_seconds": spent()}
        epochs = max(1, round(work.length))
        part = runs.part(data, round(len(data.train) * work.length / epochs))
        run, took = runs.pretrain(work.method, part, folder / "run", epochs=epochs, seed=work.seed)
        encoder = run.encoder()
        found = runs.judge(encoder.backbone, encoder.preprocess, data, work.seed)
        return {
            "epochs": round(work.length, 2),
            "cpu_seconds": round(took, 1),
            "precision": runs.precision(),
            **found,
        }


def spent() -> float:
    """CPU seconds of this process and of those that it started."""
    return round(sum(os.times()[:4]), 1)


def try_choice(work: Work, data: Data, folder: Path) -> dict[str, Any]:
    """`simclr_short` with one thing changed, judged on training images it was not trained on."""
    data = held_out(data)
    choice = CHOICES[work.what]
    run, took = runs.pretrain(
        choice.recipe(recipe_by_name(work.method)), data, folder / "run", epochs=1, seed=work.seed
    )
    encoder = run.encoder()
    train, test = (
        features(encoder.backbone, half.items, encoder.preprocess)
        for half in (data.train, data.test)
    )
    found = accuracy(knn(train, data.train.labels, test), data.test.labels)
    return {"cpu_seconds": round(took, 1), "knn": found}


def opened(name: str) -> Data:
    """Images to train on and to judge on."""
    if name != "emoji":
        return open_data(name)
    train, test = (half.source for half in halves(EMOJI))
    return Data(name=name, train=train, test=test, note="")


def costs(options: Any) -> list[Work]:
    """What tells how long a run is to be."""
    return [Work("cost", method, data) for data in options.data for method in BUDGETS]


def trained(options: Any, results: runs.Results) -> list[Work]:
    """Runs that are not there yet, as long as their budgets pay for."""
    done, found = {work[:5] for work in results.done}, []
    for cost in costs(options):
        known = results.done[cost]
        for seed in options.seeds:
            for seconds in BUDGETS[cost.method]:
                length = round(max(0.1, (seconds - known["once"]) / known["each"]), 3)
                found.append(Work("run", *cost[1:3], seed, seconds, length))
    return [work for work in found if work[:5] not in done]


def tried() -> list[Work]:
    """`simclr_short` with one thing changed at a time."""
    return [
        Work(name, "simclr_short", "fashion-mnist", seed)
        for name in CHOICES
        for seed in TUNING_SEEDS
    ]


class Point(NamedTuple):
    """A method at one budget, over the seeds that are there."""

    seconds: float
    """CPU seconds that the runs took."""
    knn: Estimate
    epochs: float
    precision: str


def curve(results: runs.Results, method: str, data: str) -> list[Point]:
    """What a method reaches at each budget for which there are runs."""
    points = []
    for seconds in BUDGETS[method]:
        found = [
            one
            for work, one in results.done.items()
            if Work(*work)._replace(seed=0, length=0) == Work("run", method, data, 0, seconds)
        ]
        if found:
            spent, epochs = (
                float(np.mean([one[field] for one in found])) for field in ("cpu_seconds", "epochs")
            )
            (precision,) = {one["precision"] for one in found}
            points.append(Point(spent, estimate([one["knn"] for one in found]), epochs, precision))
    return points


def reached(points: list[Point], goal: float) -> Point | None:
    """The least budget at which the mean is that of the goal, or more."""
    return next((point for point in points if point.knn.mean >= goal), None)


def said(data: str, curves: dict[str, list[Point]]) -> str:
    """One sentence: how long it takes to be as good as the peer."""
    if not curves[PEER]:
        return f"{DATA[data]}: lightly is not measured."
    goal = curves[PEER][-1]
    text = f"{DATA[data]}, {goal.precision}: lightly reaches {100 * goal.knn.mean:.1f} % in "
    text += f"{goal.seconds:.0f} CPU s"
    for method in (name for name in curves if name != PEER):
        point = reached(curves[method], goal.knn.mean)
        text += f"; `{method}` "
        if point is None:
            most = curves[method][-1] if curves[method] else None
            text += f"does not within {most.seconds:.0f}" if most else "is not measured"
        else:
            share = goal.seconds / point.seconds
            text += f"needs {point.seconds:.0f} ({100 * point.knn.mean:.1f} %), 1/{share:.0f}"
    return f"{text}."


def describe(options: Any, results: runs.Results, curves: dict[str, Any]) -> str:
    """The text of docs/time_to_accuracy.md."""
    lines = [
        "# Time to accuracy",
        "",
        f"CPU seconds on one thread until `{runs.ENCODER}` is as good as lightly's SimCLR makes it "
        f"in {GOAL / 60:g} CPU minutes: kNN (k = 20) on test images. Each run has a schedule of "
        "its own length, fitted to costs measured beforehand; times are what runs took, rendering "
        "of views and online evaluation included, the final judgement not. Raw pixels and "
        "untrained networks are in [the comparison of all methods](methods.md) and, for emoji, in "
        "[that of positives](emoji.md): on emoji, every run stays "
        "below raw pixels, lightly's ten minutes too.",
        "",
        *(f"- {said(data, curves[data])}" for data in curves),
        "",
        "![kNN accuracy by CPU time](time_to_accuracy.svg)",
        "",
    ]
    head = ["images", "method", "CPU seconds", "epochs", "kNN, %"]
    rows = [
        [data, method, f"{point.seconds:.0f}", f"{point.epochs:.3g}", runs.percent(point.knn)]
        for data, methods_ in curves.items()
        for method, points in methods_.items()
        for point in points
    ]
    lines += [*runs.table(head, rows), ""]
    bases = sorted({p.knn.basis for c in curves.values() for points in c.values() for p in points})
    lines += [f"95 % intervals: {', '.join(bases)}.", "", *choices(results)]
    return "\n".join(
        [
            *lines,
            "Settings of `simclr_short` were chosen on training images held out, of Fashion-MNIST "
            "and of emoji, with other seeds than these. lightly 1.6.0 has the same "
            "network, batch size and precision, its own transforms, head and optimiser "
            "(`benchmarks/lightly_methods.py`); its cosine ends with the budget. "
            f"CPU, torch {results.all['torch']}; emoji on a processor without bf16, beside other "
            "work, so that times there are long on all sides.",
            "",
            "Written by `benchmarks/time_to_accuracy.py`.",
            "",
        ]
    )


def choices(results: runs.Results) -> list[str]:
    """What each change to the recipe is worth, if that was measured."""
    rows = []
    for name, choice in CHOICES.items():
        found = [one for work, one in results.done.items() if work[0] == name]
        if found:
            spent = float(np.mean([one["cpu_seconds"] for one in found]))
            mean = 100 * float(np.mean([one["knn"]["value"] for one in found]))
            rows.append([choice.words, f"{mean:.1f}", f"{spent:.0f}"])
    if not rows:
        return []
    return [
        "## What it is made of, and what did not help",
        "",
        f"One epoch of Fashion-MNIST with one thing changed, {len(TUNING_SEEDS)} seeds, kNN on "
        "5,000 training images that were held out. Differences below half a point are noise.",
        "",
        *runs.table(["changed", "kNN, %", "CPU seconds"], rows),
        "",
    ]


def draw(curves: dict[str, Any], path: Path) -> None:
    """Accuracy by CPU time, a panel for each kind of images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 + 2.1 * len(curves), 3.2), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (data, found) in zip(panels, curves.items(), strict=True):
        for colour, (method, points) in zip(runs.SERIES, found.items(), strict=False):
            if not points:
                continue
            seconds = [point.seconds for point in points]
            mean, low, high = 100 * np.array([point.knn[:3] for point in points]).T
            errors = (mean - low, high - mean)
            axes.errorbar(
                seconds, mean, yerr=errors, fmt="o-", markersize=4, capsize=2, color=colour,
                label=method,
            )  # fmt: skip
            if method == PEER:
                axes.axhline(mean[-1], color=colour, linestyle=":", linewidth=1)
        axes.set_xscale("log")
        ticks = (15, 30, 60, 120, 300, 600)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("CPU seconds")
        axes.set_title(data, color=runs.INK, fontsize=10)
        axes.set_ylabel("kNN accuracy, %")
        runs.plain(axes)
        axes.grid(axis="y", color=runs.GRID)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=3, frameon=False, labelcolor=runs.INK
    )
    runs.save(figure, path)


def measure(options: Any, results: runs.Results) -> None:
    """Everything that is not there yet."""
    if not methods.PEER.exists():
        sys.exit("lightly cannot be measured: .venv-bench is missing; `make bench` creates it")
    if "emoji" in options.data and not EMOJI.exists():
        EMOJI.parent.mkdir(parents=True, exist_ok=True)
        simulate_emoji(EMOJI, packages=options.packages, quiet=True)
    results.measure(__file__, costs(options), options.jobs)
    results.measure(__file__, trained(options, results), options.jobs)
    if options.alone:
        results.measure(__file__, tried(), options.jobs)


def main() -> None:
    """Measures what is missing, and writes the page."""
    parser = runs.arguments("time_to_accuracy")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--packages", type=Path, help="icon sets that are already there")
    parser.add_argument("--alone", action="store_true", help="measure each part by itself, too")
    parser.add_argument("--page", action="store_true", help="write the page from what is there")
    options = parser.parse_args()
    if options.work:
        torch.set_num_threads(1)
        print(json.dumps(carry_out(Work(*json.loads(options.work)))))
        return
    results = runs.Results(options.results)
    if not options.page:
        measure(options, results)
    curves = {data: {m: curve(results, m, data) for m in BUDGETS} for data in options.data}
    curves = {data: found for data, found in curves.items() if any(found.values())}
    draw(curves, options.docs / "time_to_accuracy.svg")
    text = describe(options, results, curves)
    runs.write_page(text, options.docs / "time_to_accuracy.md")


if __name__ == "__main__":
    main()
