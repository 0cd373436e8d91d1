"""Few labels: what pretraining, fine-tuning and distillation make of 1 and 10 % of them.

    python benchmarks/few_labels.py [--fractions 0.01 0.1] [--images 60000] [--epochs 4]
                                    [--seeds 0 1 2] [--jobs 2] [--runs FOLDER] [--results FILE]
                                    [--docs FOLDER]

`resnet-small` and the same at half its width learn Fashion-MNIST by `simclr_v2` without labels. A
share of the labels then trains each from the first layer of its head on, the wide one from its
features, too, the same networks from random weights, and by the recipe `supervised`. Last, the wide
network, fine-tuned, teaches a narrow one on all images, without further labels. All are judged on
the test images.

Every run is a process on one thread and a folder under runs/few-labels, where the next ones find
it. Figures are written to benchmarks/results/few_labels.json as soon as they are there, and not
measured again. Once all are, docs/few_labels.md and docs/few_labels.svg are drawn from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import runs
import twofold
from twofold.distillation import distill
from twofold.domains import Data
from twofold.domains.image import open_data
from twofold.evaluate import draw_labels
from twofold.finetuning import finetune
from twofold.folder import EVALUATION
from twofold.studies.result import Estimate, estimate

WIDTHS = {"wide": 1.0, "narrow": 0.5}
"""Of the networks, as factors on the channels of `resnet-small`."""
SHARED = {"threads": 1, "loader_threads": 0, "quiet": True, "overwrite": True}
KEPT = "projector.1"
"""The layer of the head from which labels are learned."""


class Work(NamedTuple):
    """What one process does."""

    stage: str
    """`pretrain`, `probe`, `finetune`, `features`, `supervised` or `distill`."""
    network: str
    """`wide` or `narrow`."""
    fraction: float
    """Of the labels; 0 for pretraining."""
    seed: int
    images: int
    epochs: int
    """Of pretraining and of distillation."""
    folder: str
    """Where runs are kept."""

    def path(self, stage: str, network: str, fraction: float) -> Path:
        """The run of a stage with the same seed."""
        return Path(self.folder) / f"{stage}-{network}-{fraction:g}-{self.seed}"


def carry_out(work: Work) -> dict[str, Any]:
    """The figures of one stage on the test images."""
    data = runs.part(open_data("fashion-mnist"), work.images)
    stages = {
        "pretrain": pretrained,
        "probe": probed,
        "finetune": tuned,
        "features": tuned_from_features,
        "supervised": supervised,
        "distill": distilled,
    }
    return stages[work.stage](work, data)


def pretrained(work: Work, data: Data) -> dict[str, Any]:
    """Trains without labels; judged by probes that see all of them."""
    run, _ = runs.pretrain(
        "simclr_v2",
        data,
        work.path(*work[:3]),
        epochs=work.epochs,
        seed=work.seed,
        width=WIDTHS[work.network],
        overwrite=True,
    )
    encoder = run.encoder()
    return runs.judge(encoder, encoder.preprocess, data, work.seed)


def tuned(work: Work, data: Data) -> dict[str, Any]:
    """Labels from the first layer of the head on; from random weights, too."""
    return learn(work, data, layer=KEPT, baseline=True)


def tuned_from_features(work: Work, data: Data) -> dict[str, Any]:
    """Labels from the features on, the whole head left out."""
    return learn(work, data)


def probed(work: Work, data: Data) -> dict[str, Any]:
    """A linear probe of the frozen features that sees the same share of the labels."""
    encoder = twofold.load(work.path("pretrain", work.network, 0))
    chosen = draw_labels(data.train.labels, fraction=work.fraction, seed=work.seed)
    few = replace(data, train=data.train.take(chosen))
    return runs.judge(encoder, encoder.preprocess, few, work.seed)


def supervised(work: Work, data: Data) -> dict[str, Any]:
    """The same labels by the recipe `supervised`, from random weights, for as many epochs."""
    return learn(work, data, recipe="supervised", scratch=True, epochs=30, batch_size=64)


def learn(work: Work, data: Data, **how: Any) -> dict[str, Any]:
    """What a share of the labels leads to."""
    out = work.path(*work[:3])
    begun = work.path("pretrain", work.network, 0)
    finetune(
        begun, data=data, out=out, label_fraction=work.fraction, seed=work.seed, **how, **SHARED
    )
    found: dict[str, Any] = json.loads((out / EVALUATION).read_text())["finetune"]
    return found


def distilled(work: Work, data: Data) -> dict[str, Any]:
    """A network that the wide one teaches."""
    out = work.path(*work[:3])
    distill(
        work.path("finetune", "wide", work.fraction),
        data=data,
        out=out,
        student=runs.ENCODER,
        width=WIDTHS[work.network],
        epochs=work.epochs,
        seed=work.seed,
        **SHARED,
    )
    found: dict[str, Any] = json.loads((out / EVALUATION).read_text())["distill"]
    return found


ROWS = {
    "wide, pretrained, all labels for a linear probe": ("pretrain", "wide", "linear"),
    "wide, pretrained, linear probe": ("probe", "wide", "linear"),
    "wide, from random weights": ("finetune", "wide", "accuracy_baseline"),
    "wide, recipe `supervised`": ("supervised", "wide", "accuracy"),
    "wide, pretrained and fine-tuned": ("finetune", "wide", "accuracy"),
    "wide, the same from its features": ("features", "wide", "accuracy"),
    "narrow, from random weights": ("finetune", "narrow", "accuracy_baseline"),
    "narrow, pretrained and fine-tuned": ("finetune", "narrow", "accuracy"),
    "narrow, taught by the wide one": ("distill", "narrow", "accuracy"),
}
"""What is compared, with the stage, the network and the name of the figure."""


def summarise(options: Any, results: runs.Results) -> dict[str, dict[float, Estimate]]:
    """Of each row, by fraction, the accuracy over the seeds."""
    rows: dict[str, dict[float, Estimate]] = {}
    for name, (stage, network, figure) in ROWS.items():
        rows[name] = {}
        for fraction in options.fractions:
            found = [
                results.done[work_of(options, stage, network, fraction, seed)][figure]
                for seed in options.seeds
            ]
            rows[name][fraction] = estimate(found)
    return rows


def work_of(options: Any, stage: str, network: str, fraction: float, seed: int) -> Work:
    """What one process does; pretraining is the same for all fractions."""
    fraction = 0.0 if stage == "pretrain" else fraction
    folder = str(options.runs)
    return Work(stage, network, fraction, seed, options.images, options.epochs, folder)


def describe(rows: dict[str, dict[float, Estimate]], options: Any, results: runs.Results) -> str:
    """The text of docs/few_labels.md."""
    heads = [f"{fraction:.0%} of the labels" for fraction in options.fractions]
    cells = [[name, *map(runs.percent, found.values())] for name, found in rows.items()]
    count = len(options.seeds)
    return "\n".join(
        [
            "# Few labels",
            "",
            f"Accuracy in % on the 10,000 test images of Fashion-MNIST. `{runs.ENCODER}` (wide) "
            f"and the same at half its width (narrow) saw {options.images:,} images for "
            f"{options.epochs} epochs without labels (`simclr_v2`). A share of the labels then "
            "trained them from the first layer of the head on, or from the features (`finetune`, "
            "30 epochs at most, a tenth of those labels chose the epoch). The last row is a narrow "
            "network that began with random weights and gave the answers of the fine-tuned wide "
            f"one to all images for {options.epochs} epochs, without a label of its own "
            "(`distill`).",
            "",
            "![Accuracy by share of the labels](few_labels.svg)",
            "",
            *runs.table(["", *heads], cells),
            "",
            *claims(rows),
            "",
            f"95 % intervals: t over {count} seeds, each of which draws other labels and other "
            f"weights. {results.made_by}; all figures are in `benchmarks/results/few_labels.json`.",
            "",
            "Written by `benchmarks/few_labels.py`.",
            "",
        ]
    )


def claims(rows: dict[str, dict[float, Estimate]]) -> list[str]:
    """What the table says, in words."""
    pairs = {
        "Pretraining": ("wide, pretrained and fine-tuned", "wide, from random weights"),
        "The teacher": ("narrow, taught by the wide one", "narrow, pretrained and fine-tuned"),
    }
    lines = []
    for what, (with_it, without) in pairs.items():
        words = [
            f"{100 * (found.mean - rows[without][fraction].mean):+.1f} points at {fraction:.0%}"
            for fraction, found in rows[with_it].items()
        ]
        lines.append(f"- {what}: {', '.join(words)} ({with_it}, against {without}).")
    return lines


def draw(rows: dict[str, dict[float, Estimate]], path: Path) -> None:
    """Every row a line of dots, one for each share of the labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    fractions = list(next(iter(rows.values())))
    for series, fraction in enumerate(fractions):
        found = [row[fraction] for row in rows.values()]
        means = [100 * one.mean for one in found]
        margins = [
            [100 * (one.mean - one.low) for one in found],
            [100 * (one.high - one.mean) for one in found],
        ]
        places = [-row + 0.15 * (0.5 - series) for row in range(len(rows))]
        colour = runs.SERIES[series]
        label = f"{fraction:.0%} of the labels"
        axes.errorbar(
            means, places, xerr=margins, fmt="o", color=colour, capsize=2, markersize=5, label=label
        )
    runs.plain(axes)
    axes.set_yticks([-row for row in range(len(rows))], [name.replace("`", "") for name in rows])
    axes.set_xlabel("accuracy on the test images, %")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, labelcolor=runs.INK)
    runs.save(figure, path)


def stages(options: Any) -> list[Sequence[Work]]:
    """What can be done side by side, one after the other."""
    every = [(f, seed) for seed in options.seeds for f in options.fractions]
    return [
        [work_of(options, "pretrain", net, 0, seed) for seed in options.seeds for net in WIDTHS],
        [
            work_of(options, stage, net, f, seed)
            for f, seed in every
            for stage, net in (
                ("probe", "wide"),
                ("finetune", "wide"),
                ("features", "wide"),
                ("finetune", "narrow"),
                ("supervised", "wide"),
            )
        ],
        [work_of(options, "distill", "narrow", f, seed) for f, seed in every],
    ]


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("few_labels")
    parser.set_defaults(images=60_000, epochs=4)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--runs", type=Path, default=Path("runs/few-labels"), help="run folders")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    results = runs.Results(options.results)
    for some in stages(options):
        results.measure(__file__, some, options.jobs)
    rows = summarise(options, results)
    draw(rows, options.docs / "few_labels.svg")
    runs.write_page(describe(rows, options, results), options.docs / "few_labels.md")


if __name__ == "__main__":
    main()
