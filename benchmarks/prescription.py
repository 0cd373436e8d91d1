"""What each word does to each augmentation, and what it costs.

    python benchmarks/prescription.py [--augmentations crop flip ...] [--images 20000] [--epochs 2]
                                      [--seeds 0 1 2] [--jobs 2] [--results FILE] [--docs FOLDER]

`resnet-small` learns Fashion-MNIST by `simclr`, and one augmentation at a time is prescribed each
of the words, everything else as the recipe has it. Of every run it is measured what probes recover
of that augmentation at each layer, beside chance and the ceiling (an encoder that learned nothing
else), and the accuracy of kNN and linear probe on the test images. Quarter turns are also removed
while training, by `Forget`.

Every run is a process on one thread. It is written to benchmarks/results/prescription.json as soon
as it is done, and not done again. Once all are there, docs/prescription.md and
docs/prescription.svg are drawn from them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import runs
from twofold.augment import IMAGE
from twofold.config import Config, Settings
from twofold.domains.image import open_data
from twofold.encoder import Encoder
from twofold.evaluate import Evidence, judge
from twofold.evaluate.prescription import FORGOTTEN, KEPT
from twofold.networks import build_encoder
from twofold.objectives import Forget
from twofold.preprocess import measure
from twofold.proof import prove
from twofold.reading import FEATURES
from twofold.recipes import Recipe, simclr
from twofold.studies.result import Estimate, estimate

WORDS = ("off", "invariant", "blind", "both", "sensitive")
CANDIDATES = tuple(name for name, kind in IMAGE.items() if kind.for_channels(1))  # images are gray
CHOSEN = ("crop", "flip", "rotate", "brightness", "solarize", "blur", "noise", "cutout")
RECIPE, CEILING, FORGET = "recipe", "ceiling", "forget"
FORGOTTEN_BY_LOSS, WEIGHTS = "rotate", (1, 10)
POINT = 0.01  # of kNN accuracy that a word may cost
COLOURS = {
    "off": "#8a8a8a",
    "invariant": "#3b82c4",
    "blind": "#8a6fd1",
    "both": "#3a9a6a",
    "sensitive": "#d9772b",
}


class Work(NamedTuple):
    """What one process does."""

    augmentations: str
    """Names of those to look at, a space between."""
    word: str
    """What the one is prescribed, `forget WEIGHT`, `recipe` to leave it as it is, or `ceiling`."""
    seed: int
    images: int
    epochs: int


def carry_out(work: Work) -> dict[str, Any]:
    """What a run keeps of the augmentations, and how well it tells classes."""
    data = runs.part(open_data("fashion-mnist"), work.images)
    if work.word == CEILING:
        return ceiling(work, data)
    recipe = prescribed(work)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path) / "run"
        run, seconds = runs.pretrain(recipe, data, folder, epochs=work.epochs, seed=work.seed)
        encoder = run.encoder()
    names = work.augmentations.split()
    proof = prove(encoder, data, recipe, words={}, names=names, seed=work.seed)
    kept = {
        name: {reading: evidence(seen) for reading, seen in one["readings"].items()}
        for name, one in proof["augmentations"].items()
    }
    figures = runs.judge(encoder.reading(), encoder.preprocess, data, work.seed)
    return {"training_seconds": round(seconds, 1), "kept": kept, **figures}


def prescribed(work: Work) -> Recipe:
    """The recipe with the word that is asked for."""
    recipe, name = simclr(), work.augmentations
    if work.word == RECIPE:
        return recipe
    removal, _, weight = work.word.partition(" ")
    if removal != FORGET:
        return replace(recipe, prescription={**recipe.prescription, name: work.word})
    return replace(
        recipe,
        objectives={**recipe.objectives, FORGET: Forget(name)},
        prescription={**recipe.prescription, name: "invariant"},
        weights={FORGET: float(weight)},
    )


def ceiling(work: Work, data: Any) -> dict[str, Any]:
    """What the linear probe reaches on an encoder that learned this alone, and on none."""
    recipe, preprocess = replace(simclr(), encoder=runs.ENCODER), measure(data.train.items)
    torch.manual_seed(work.seed)
    backbone = build_encoder(runs.ENCODER, channels=data.train.channels, image_size=preprocess.size)
    settings = Settings(seed=work.seed, device="cpu", threads=1, loader_threads=0)
    found = prove(
        Encoder(backbone.eval(), preprocess),
        data,
        recipe,
        words={},
        names=[work.augmentations],
        whole=Config(recipe=recipe, settings=settings),
        ceiling_epochs=work.epochs,
        seed=work.seed,
    )["augmentations"][work.augmentations]
    return {"ceiling": found["ceiling"], "untrained": found["readings"][FEATURES]["decoded"]}


def evidence(seen: dict[str, Any]) -> dict[str, Any]:
    """What was seen, without the verdict: it depends on what other runs reach."""
    return {name: seen[name] for name in Evidence.__annotations__}


class Asked(NamedTuple):
    """What is to be measured."""

    augmentations: tuple[str, ...]
    seeds: tuple[int, ...]
    images: int
    epochs: int

    def work(self, name: str, word: str, seed: int) -> Work:
        """The run in which an augmentation is prescribed a word: maybe the recipe as it is."""
        if word == simclr().prescription[name]:
            return Work(" ".join(self.augmentations), RECIPE, seed, self.images, self.epochs)
        return Work(name, word, seed, self.images, self.epochs)

    def works(self) -> list[Work]:
        """All runs, those that serve several augmentations first."""
        found = [Work(name, CEILING, 0, self.images, self.epochs) for name in self.augmentations]
        for seed in self.seeds:
            found += [self.work(n, word, seed) for n in self.augmentations for word in WORDS]
            if FORGOTTEN_BY_LOSS in self.augmentations:
                found += [self.work(FORGOTTEN_BY_LOSS, word, seed) for word in removals()]
        return found


def removals() -> list[str]:
    """Words for runs with `Forget`, one a weight."""
    return [f"{FORGET} {weight}" for weight in WEIGHTS]


class Row(NamedTuple):
    """An augmentation and a word, over the seeds."""

    word: str
    shares: dict[str, tuple[float, float]]
    """How far a linear probe gets from chance to the ceiling: mean and margin by reading."""
    mlp: float
    """The same of a probe with a hidden layer on the features, on the same scale."""
    alike: float
    knn: Estimate
    linear: Estimate
    achieved: int | None
    """In how many runs the word was kept; None for `off`."""


class Subject(NamedTuple):
    """An augmentation with the ends of its scale."""

    name: str
    metric: str
    chance: float
    untrained: float
    top: float
    rows: tuple[Row, ...]

    def row(self, word: str) -> Row:
        """What the word does."""
        return next(row for row in self.rows if row.word == word)

    def cost(self, word: str) -> float:
        """kNN accuracy that the best of the other words has more."""
        others = (row.knn.mean for row in self.rows if row.word in WORDS and row.word != word)
        return max(others) - self.row(word).knn.mean


def summarise(name: str, asked: Asked, results: runs.Results) -> Subject:
    """What each word did to an augmentation; the scale ends at the best that any run reached."""
    alone = results.done[Work(name, CEILING, 0, asked.images, asked.epochs)]
    words = [*WORDS, *(removals() if name == FORGOTTEN_BY_LOSS else ())]
    found = {
        word: [results.done[asked.work(name, word, seed)] for seed in asked.seeds] for word in words
    }
    seen = [run["kept"][name][FEATURES]["decoded"] for some in found.values() for run in some]
    top = max(alone["ceiling"]["value"], *(one["value"] for one in seen))
    rows = tuple(row(name, word, some, top) for word, some in found.items())
    best, none = alone["ceiling"], alone["untrained"]
    return Subject(name, best["metric"], best["chance"], none["value"], top, rows)


def row(name: str, word: str, found: Sequence[dict[str, Any]], top: float) -> Row:
    """Means and intervals of the runs of one word."""
    kept = [run["kept"][name] for run in found]
    asks = word if word in WORDS else None
    verdicts = [
        {reading: judge(seen, asks, ceiling=top) for reading, seen in one.items()} for one in kept
    ]
    by_mlp = [{**one[FEATURES], "decoded": one[FEATURES]["decoded_mlp"]} for one in kept]
    achieved = [one[FEATURES]["achieved"] for one in verdicts]
    return Row(
        word,
        {reading: runs.over_seeds([v[reading]["share"] for v in verdicts]) for reading in kept[0]},
        float(np.mean([judge(one, ceiling=top)["share"] for one in by_mlp])),
        float(np.mean([one[FEATURES]["alike"] for one in verdicts])),
        estimate([run["knn"] for run in found]),
        estimate([run["linear"] for run in found]),
        None if None in achieved else sum(map(bool, achieved)),
    )


def cells(row: Row, seeds: int) -> list[str]:
    """A row of the table."""
    layers = (f"{mean:.2f}" for mean, _ in row.shares.values())
    verdict = ""
    if row.achieved is not None:
        verdict = "as prescribed" if row.achieved == seeds else "not as prescribed"
        if 0 < row.achieved < seeds:
            verdict = f"as prescribed in {row.achieved} of {seeds}"
    accuracies = (runs.percent(row.knn), runs.percent(row.linear))
    return [*layers, f"{row.mlp:.2f}", f"{row.alike:.2f}", *accuracies, verdict]


def goal(subject: Subject, word: str) -> tuple[bool, list[str]]:
    """Whether a word does what it should for at most a point of kNN, and the cells that say so."""
    share, cost = subject.row(word).shares[FEATURES][0], subject.cost(word)
    does = share <= FORGOTTEN if word == "blind" else share >= KEPT
    met = does and cost <= POINT
    return met, [f"{share:.2f}", f"{round(100 * cost, 1) + 0:.1f}", "yes" if met else "no"]


def goals(subjects: Sequence[Subject]) -> list[str]:
    """The summary against what the words are meant to do."""
    found = {word: [goal(s, word) for s in subjects] for word in ("blind", "sensitive")}
    sentences = []
    for word, rule in (("blind", f"at most {FORGOTTEN}"), ("sensitive", f"at least {KEPT}")):
        names = [s.name for s, (met, _) in zip(subjects, found[word], strict=True) if not met]
        but = f", not of {', '.join(names)}" if names else ""
        sentences.append(
            f"- `{word}` should leave a linear probe {rule} of the way from chance to the ceiling, "
            f"for at most a point of kNN against the best other word: it does so of "
            f"{len(subjects) - len(names)} of {len(subjects)} augmentations{but}."
        )
    left = float(np.mean([subject.row("blind").mlp for subject in subjects]))
    sentences.append(f"- What `blind` leaves: an MLP gets {left:.2f} of the way on average.")
    head = ["augmentation"]
    for word in found:
        head += [f"{word}: share", "kNN lost, points", "goal met"]
    pairs = zip(subjects, found["blind"], found["sensitive"], strict=True)
    lines = ([s.name, *blind, *sensitive] for s, (_, blind), (_, sensitive) in pairs)
    return [*sentences, "", *runs.table(head, lines)]


def removal(subject: Subject) -> list[str]:
    """The part on removing an augmentation by a loss."""
    words = ("invariant", "blind", *removals())
    rows = [[word, *cells(subject.row(word), 0)[:-1]] for word in words]
    return [
        "",
        "## Removing it while training",
        "",
        f"`Forget` penalises the dependence (HSIC) between features and {subject.name}, with the "
        "word `invariant` and the weight given; `blind` erases what is linear once training is "
        "over. Columns as below.",
        "",
        *runs.table(["run", *heads(subject)[2:-1]], rows),
    ]


def heads(subject: Subject) -> list[str]:
    """The head of the table."""
    layers = subject.rows[0].shares
    probes = ["MLP at features", "alike", "kNN, %", "linear probe, %", "verdict"]
    return ["augmentation", "word", *layers, *probes]


def describe(subjects: Sequence[Subject], asked: Asked, results: runs.Results) -> str:
    """The text of docs/prescription.md."""
    count = len(asked.seeds)
    several = f"means over {count} seeds" if count > 1 else "one seed"
    scale = [
        [s.name, s.metric, *(f"{x:.3f}" for x in (s.chance, s.untrained, s.top))] for s in subjects
    ]
    lines = [
        "# What each word does",
        "",
        f"`{runs.ENCODER}` learned {asked.images:,} images of Fashion-MNIST by `simclr` for "
        f"{asked.epochs} epochs, one augmentation at a time under each word, everything else as "
        "the recipe has it. Fresh probes then tell from frozen embeddings of test images what was "
        f"drawn: 0 is chance, 1 the ceiling; {several}.",
        "",
        *goals(subjects),
        "",
        "![How much a probe tells of each augmentation under each word, and kNN](prescription.svg)",
    ]
    for subject in subjects:
        lines += removal(subject) if subject.name == FORGOTTEN_BY_LOSS else []
    lines += [
        "",
        "## All figures",
        "",
        "Under the name of a layer: how far a linear probe gets from chance to the ceiling. The "
        "MLP has one hidden layer and the same scale, so that it may surpass 1: `blind` holds for "
        "linear probes, and this column tells what it leaves. `alike` is how similar the features "
        "of an image and its changed self stay, from 0, another image, to 1, the same. A share far "
        "below 0 is a ridge regression that went astray on a test item with a feature it had "
        "hardly seen. Verdicts are on the features.",
        "",
        *runs.table(
            heads(subjects[0]),
            (
                [s.name, row.word, *cells(row, count)]
                for s in subjects
                for row in s.rows
                if row.word in WORDS
            ),
        ),
        "",
        "The ends of the scale: the ceiling is what the linear probe reaches on the same network "
        f"trained for {asked.epochs} epochs to recover that augmentation and nothing else, or on "
        "any run above if that is more.",
        "",
        *runs.table(["augmentation", "measure", "chance", "untrained", "ceiling"], scale),
        "",
        f"95 % intervals of kNN: {subjects[0].rows[0].knn.basis}. {results.made_by}; all figures "
        "are in `benchmarks/results/prescription.json`.",
        "",
        "Written by `benchmarks/prescription.py`.",
        "",
    ]
    return "\n".join(lines)


def draw(subjects: Sequence[Subject], path: Path) -> None:
    """What is told and what it costs: a line for each augmentation, a dot for each word."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 0.62 * len(subjects) + 1.4), layout="constrained")
    told, near = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for share, names in ((FORGOTTEN, ("blind",)), (KEPT, ("sensitive",))):
        told.axvline(share, color=COLOURS[names[0]], linewidth=1, linestyle=":")
    for number, word in enumerate(WORDS):
        rows = [subject.row(word) for subject in subjects]
        places = np.arange(len(rows)) + 0.15 * (number - 2)
        style = {"color": COLOURS[word], "fmt": "o", "markersize": 5, "capsize": 2}
        mean, margin = np.array([row.shares[FEATURES] for row in rows]).T
        told.errorbar(mean, places, xerr=margin, label=word, **style)
        told.plot([row.mlp for row in rows], places, "|", color=COLOURS[word], markersize=9)
        knn = 100 * np.array([row.knn[:3] for row in rows])
        errors = (knn[:, 0] - knn[:, 1], knn[:, 2] - knn[:, 0])
        near.errorbar(knn[:, 0], places, xerr=errors, **style)
    told.set_yticks(range(len(subjects)), [subject.name for subject in subjects])
    told.invert_yaxis()
    told.set_xlim(-0.15, 1.15)
    told.set_xlabel("told by a linear probe (dot), an MLP (line)\n0 chance, 1 ceiling")
    near.set_xlabel("kNN, %")
    for axes in (told, near):
        runs.plain(axes)
        axes.hlines(np.arange(len(subjects) - 1) + 0.5, *axes.get_xlim(), runs.GRID, linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=len(WORDS), frameon=False, labelcolor=runs.INK)
    runs.save(figure, path)


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("prescription")
    parser.add_argument("--augmentations", nargs="+", choices=CANDIDATES, default=CHOSEN)
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    asked = Asked(
        tuple(options.augmentations), tuple(options.seeds), options.images, options.epochs
    )
    results = runs.Results(options.results)
    results.measure(__file__, asked.works(), options.jobs)
    subjects = [summarise(name, asked, results) for name in asked.augmentations]
    draw(subjects, options.docs / "prescription.svg")
    runs.write_page(describe(subjects, asked, results), options.docs / "prescription.md")


if __name__ == "__main__":
    main()
