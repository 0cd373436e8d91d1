"""Emoji by several artists: what they have in common, and what becomes of the artist.

    python benchmarks/emoji.py [--packages FOLDER] [--epochs 160] [--seeds 0 1 2] [--jobs 2]
                               [--runs FOLDER] [--results FILE] [--docs FOLDER]

`resnet-small` learns from three quarters of the concepts without categories: two augmentations of
a drawing are positives, or two artists' drawings of a concept, or both. It is judged on the other
concepts, beside raw pixels and random weights: categories, whether the drawing nearest by cosine to
one artist's is another's of the same concept, and how well a probe tells artists. Then all of
it without one artist, who is judged alone.

Every run is a process on one thread. It is written to benchmarks/results/emoji.json as soon as it
is done, and not done again. docs/emoji.md and docs/emoji.svg are made from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import runs
from emoji_judge import LEFT_OUT, PAIRS, Half, halves, judge, whole
from twofold.domains import Data
from twofold.domains.image.domain import SIMCLR_SET
from twofold.encoder import Encoder
from twofold.erasure import fit_eraser
from twofold.evaluate import features
from twofold.networks import build_encoder
from twofold.objectives import Supervised
from twofold.preprocess import measure
from twofold.recipes import Recipe, simclr
from twofold.recipes.parts import augmentations, invariant
from twofold.simulation import simulate_emoji
from twofold.simulation.emoji.observed import Columns, read_columns
from twofold.studies.result import Estimate, estimate

JITTER = {"strength": 0.3}
GENTLE = {
    "crop": {"scale": (0.8, 1.0)},
    "flip": {},
    "brightness": JITTER,
    "contrast": JITTER,
    "saturation": JITTER,
}
"""Augmentations beside artists, and where they differ from SimCLR's, which serve better alone."""
ARMS = {
    "raw": "raw pixels, paper is 0",
    "centred": "raw pixels, the mean drawing is 0",
    "random": "random weights",
    "augmentations": "augmentations of a drawing",
    "artists": "artists of a concept",
    "both": "both",
    "kept": "both, and the artist is predicted",
    "erased": "both, and the artist is erased",
}
TRAINED = ("augmentations", "artists", "both", "kept")
ERASED = "erased"
"""The arm `both` with what is linear in the artist projected out of its features."""
PIXELS = ("raw", "centred")
"""Arms whose cosines are better as they are; those of features are, once they are whitened."""


class Work(NamedTuple):
    """What one process does."""

    arm: str
    left_out: str
    """An artist whose drawings are not learned from; blank if all are."""
    seed: int
    epochs: int
    batch: int
    """Concepts a step, each with two drawings."""
    folder: str
    """Where the file and the runs are kept."""

    @property
    def file(self) -> Path:
        """The emoji."""
        return Path(self.folder) / "emoji.h5"


def carry_out(work: Work) -> dict[str, Any]:
    """The figures of one arm."""
    train, test = halves(work.file)
    if work.arm in PIXELS:
        zero = 255.0 if work.arm == "raw" else np.asarray(train.source.items).mean(axis=0)
        prepare = partial(less, zero)
        return judge(nn.Flatten(), prepare, train, test, whitened=False)
    encoder = learned(work, train, test)
    found = judge(encoder.reading(), encoder.preprocess, train, test, left_out=work.left_out)
    if work.arm == "both" and not work.left_out:
        found |= {ERASED: without_artist(encoder, train, test)}
    return found


def less(zero: Any, items: np.ndarray, device: torch.device) -> Tensor:
    """Pixels less what is to be nothing, on the scale of 0 to 1."""
    return torch.from_numpy((items - zero) / 255).to(device, torch.float32)


def recipe_of(arm: str, batch: int) -> Recipe:
    """SimCLR with the positives of an arm."""
    base = replace(simclr(), name=f"emoji_{arm}", encoder=runs.ENCODER, batch_size=batch)
    if arm == "augmentations":
        return replace(base, prescription=invariant(*SIMCLR_SET))
    recipe = replace(
        base,
        augmentations=augmentations("image", **GENTLE),
        prescription=invariant(*(() if arm == "artists" else GENTLE)),
        positives="group",
    )
    if arm != "kept":
        return recipe
    return replace(recipe, objectives={**recipe.objectives, "artist": Supervised()})


def learned(work: Work, train: Half, test: Half) -> Encoder:
    """An encoder trained as an arm says; untrained if the arm is random weights."""
    if work.arm == "random":
        torch.manual_seed(work.seed)
        network = build_encoder(runs.ENCODER, image_size=train.source.height)
        return Encoder(network.eval(), measure(train.source.items))
    seen = train.where(train.artist != work.left_out)
    classes, labels = np.unique(seen.artist, return_inverse=True)
    source = replace(seen.source, labels=labels.astype(np.int64), label_names=tuple(classes))
    epochs = work.epochs
    if work.arm == "augmentations":  # an epoch goes through drawings, not concepts: as many steps
        steps = epochs * (len(np.unique(seen.concept)) // work.batch)
        epochs = max(1, round(steps / (len(seen.artist) // work.batch)))
    data = Data(name="emoji", train=source, test=replace(test.source, labels=None), note="")
    folder = Path(work.folder) / "-".join(map(str, work[:3]))
    recipe = recipe_of(work.arm, work.batch)
    run, _ = runs.pretrain(recipe, data, folder, epochs=epochs, seed=work.seed, overwrite=True)
    return run.encoder()


def without_artist(encoder: Encoder, train: Half, test: Half) -> dict[str, Any]:
    """All figures once what is linear in the artist was projected out of the features."""
    some = train.where(whole(train))
    classes = torch.from_numpy(np.unique(some.artist, return_inverse=True)[1])
    eraser = fit_eraser(
        features(encoder.reading(), some.source.items, encoder.preprocess), F.one_hot(classes)
    )
    return judge(nn.Sequential(encoder.reading(), eraser).eval(), encoder.preprocess, train, test)


class Row(NamedTuple):
    """One arm over the seeds."""

    knn: Estimate
    linear: Estimate
    pairs: tuple[Estimate, ...]
    """Of each of `PAIRS`."""
    across: tuple[float, float]
    """Of all pairs, with its margin."""
    otherwise: tuple[float, float]
    """The same of features that are not whitened, of pixels that are."""
    artist: Estimate


def found_of(options: Any, results: runs.Results, arm: str) -> list[Any]:
    """What was found for an arm, a seed each; raw pixels have none."""
    seeds = [0] if arm in PIXELS else options.seeds
    return [results.done[work_of(options, arm, seed)] for seed in seeds]


def summarise(options: Any, results: runs.Results) -> dict[str, Row]:
    """Every arm, and the one whose artist was erased, by what it is called."""
    rows = {
        arm: row(found_of(options, results, arm), arm in PIXELS) for arm in ARMS if arm != ERASED
    }
    rows[ERASED] = row([one[ERASED] for one in found_of(options, results, "both")])
    return rows


def row(found: Sequence[dict[str, Any]], pixels: bool = False) -> Row:
    """An arm from what was found for each seed."""
    best, other = ("plain", "white") if pixels else ("white", "plain")
    read = [one[best] for one in found]
    return Row(
        knn=estimate([one["knn"] for one in read]),
        linear=estimate([one["linear"] for one in found]),
        pairs=tuple(estimate([one["pairs"][" to ".join(p)] for one in read]) for p in PAIRS),
        across=runs.over_seeds([one["all pairs"] for one in read]),
        otherwise=runs.over_seeds([one[other]["all pairs"] for one in found]),
        artist=estimate([one["artist"] for one in found]),
    )


def lonely(options: Any, results: runs.Results) -> dict[str, list[str]]:
    """Each artist of `LEFT_OUT` alone, by what had been learned from before, with one seed."""

    def each(arm: str, *, without: bool = False) -> list[str]:
        seed, cells = 0 if arm in PIXELS else options.seeds[0], []
        for artist in LEFT_OUT:
            found = results.done[work_of(options, arm, seed, artist if without else "")]
            own = found[f"alone/{artist}"]
            cells += [runs.percent(estimate([own["knn"]])), f"{100 * own['pairs']:.1f}"]
        return cells

    return {
        ARMS["centred"]: each("centred"),
        ARMS["random"]: each("random"),
        "all the others": each("both", without=True),
        "all of them": each("both"),
    }


def spread(found: tuple[float, float]) -> str:
    """A mean and the ends of its interval, in percent; no interval of one value."""
    mean, margin = found
    if not margin:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f} ({100 * (mean - margin):.1f} to {100 * (mean + margin):.1f})"


def drawings(known: Columns) -> str:
    """What there is to learn from and to judge on."""
    by_artist = [f"{name} {int((known.artist == name).sum()):,}" for name in known.sets]
    concepts, categories = len(np.unique(known.concept)), len(np.unique(known.category))
    return (
        f"{len(known.artist):,} drawings of {concepts:,} concepts in {categories} categories by "
        f"{len(known.sets)} artists ({', '.join(by_artist)}), 32 pixels wide, made by "
        "[`twofold simulate emoji`](simulate_emoji.md)."
    )


def said(rows: dict[str, Row]) -> list[str]:
    """The figures in sentences."""
    best = max(("augmentations", "artists", "both"), key=lambda arm: rows[arm].across[0])
    pixels = max(PIXELS, key=lambda arm: rows[arm].across[0])
    across = {arm: f"{100 * one.across[0]:.1f} %" for arm, one in rows.items()}
    told = {arm: f"{100 * one.artist.mean:.0f} %" for arm, one in rows.items()}
    hard = {arm: f"{100 * one.pairs[1].mean:.1f} %" for arm, one in rows.items()}
    knn = {arm: f"{100 * one.knn.mean:.1f} %" for arm, one in rows.items()}
    probed = {arm: f"{100 * one.linear.mean:.1f} %" for arm, one in rows.items()}
    near = max(rows, key=lambda arm: rows[arm].knn.mean)
    linear = max(rows, key=lambda arm: rows[arm].linear.mean)
    return [
        f"- Across artists, {ARMS[best]} as positives find {across[best]} of the concepts, "
        f"augmentations of a drawing {across['augmentations']}, pixels at their best "
        f"{across[pixels]}. From {' to '.join(PAIRS[1])}, whose line is unlike all others', they "
        f"find {hard[best]}, {hard['augmentations']} and {hard[pixels]}.",
        f"- Categories are told best by neighbours after {ARMS[near]} ({knn[near]}; pixels "
        f"{knn[pixels]}), and by a linear probe after {ARMS[linear]} ({probed[linear]}; "
        f"{probed[pixels]}).",
        f"- A linear probe tells {told['augmentations']} of the artists where augmentations of a "
        f"drawing are positives, {told['artists']} where artists of a concept are and "
        f"{told['both']} with both; {told['raw']} from pixels, {told['random']} from random "
        "weights.",
        f"- It tells {told['kept']} where the artist is predicted on purpose, and {told[ERASED]} "
        "once what is linear in the artist is projected out of the features of both "
        f"(`fit_eraser`). Then {across['kept']} and {across[ERASED]} of the concepts are found "
        f"across artists, instead of {across['both']}.",
    ]


def describe(options: Any, rows: dict[str, Row], known: Columns, results: runs.Results) -> str:
    """The text of docs/emoji.md."""
    cells = [
        [
            ARMS[arm],
            spread(one.across),
            spread(one.otherwise),
            runs.percent(one.artist),
            runs.percent(one.knn),
            runs.percent(one.linear),
        ]
        for arm, one in rows.items()
    ]
    head = ["positives", "across artists", "otherwise", "artist", "kNN", "linear"]
    pairs = [[ARMS[arm], *map(runs.percent, one.pairs)] for arm, one in rows.items()]
    alone = [[words, *each] for words, each in lonely(options, results).items()]
    judged = [f"{what} {artist}" for artist in LEFT_OUT for what in ("kNN,", "pairs with")]
    return "\n".join(
        [
            "# The same thing by several artists",
            "",
            drawings(known),
            "",
            f"`resnet-small` learns by SimCLR, {options.epochs} times through three quarters of "
            f"the concepts, {options.batch} pairs a step, and sees no category. Positives are two "
            "augmentations of a drawing (SimCLR's, for as many steps), drawings of a concept by "
            "two artists, or these with mild augmentations (crops of 80 % and more, flips, 30 % of "
            "brightness, contrast and saturation). All figures are of the concepts held out, in "
            "percent, with 95 % intervals: t over "
            f"{len(options.seeds)} seeds, over items for raw pixels.",
            "",
            *runs.table(head, cells),
            "",
            "- **across artists**: of how many drawings the nearest by another artist shows the "
            "same concept, the mean over all pairs of artists. Nearest by cosine, of features "
            "whitened by the training drawings' and of pixels as they are; **otherwise** is the "
            "other way round.",
            "- **artist**: how many drawings a linear probe gives to the right one of "
            f"{len(known.sets)} artists, on concepts that all have drawn: chance is "
            f"{100 / len(known.sets):.1f} %.",
            "- **kNN**, **linear**: categories, by ten neighbours and by a linear probe.",
            "",
            "Across some of the pairs:",
            "",
            *runs.table(["positives", *map(" to ".join, PAIRS)], pairs),
            "",
            "![Concepts found across artists, and artists told](emoji.svg)",
            "",
            "## An artist who was never seen",
            "",
            "The same with both kinds of positives and one seed, but one artist left out of the "
            "training; the drawings judged are that artist's, their neighbours all others'.",
            "",
            *runs.table(["learned from", *judged], alone),
            "",
            "## What the figures say",
            "",
            *said(rows),
            "",
            "Settings, and whether to whiten, were chosen on a quarter of the training concepts. "
            f"{results.made_by}; all figures are in `benchmarks/results/emoji.json`.",
            "",
            "Written by `benchmarks/emoji.py`.",
            "",
        ]
    )


def draw(rows: dict[str, Row], known: Columns, path: Path) -> None:
    """Concepts found across artists, beside how well artists are told."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    found, told = figure.subplots(1, 2, sharey=True)
    places = [-place for place in range(len(rows))]
    look = {"fmt": "o", "capsize": 2, "markersize": 5}
    means, margins = (100 * np.array([one.across for one in rows.values()]).T).tolist()
    found.errorbar(means, places, xerr=margins, color=runs.SERIES[0], **look)
    artist = 100 * np.array([one.artist[:3] for one in rows.values()])
    ends = np.abs(artist[:, 1:] - artist[:, :1]).T
    told.errorbar(artist[:, 0], places, xerr=ends, color=runs.SERIES[1], **look)
    for axes, words in ((found, "concepts found across artists, %"), (told, "artists told, %")):
        runs.plain(axes)
        axes.set_xlabel(words)
        axes.set_xlim(left=0)
    found.set_yticks(places, [ARMS[arm] for arm in rows])
    told.axvline(100 / len(known.sets), color=runs.INK, linestyle=":", linewidth=1)
    runs.save(figure, path)


def make(options: Any) -> None:
    """The file of emoji that all runs read."""
    options.runs.mkdir(parents=True, exist_ok=True)
    path = options.runs / "emoji.h5"
    simulate_emoji(path, packages=options.packages, overwrite=True, quiet=True)


def work_of(options: Any, arm: str, seed: int, left_out: str = "") -> Work:
    """One run; what is not trained depends on no setting of the training."""
    epochs = options.epochs if arm in TRAINED else 0
    return Work(arm, left_out, seed, epochs, options.batch, str(options.runs))


def works(options: Any) -> list[Work]:
    """Everything that is measured."""
    found = [work_of(options, arm, 0) for arm in PIXELS]
    for seed in options.seeds:
        found += [work_of(options, arm, seed) for arm in ("random", *TRAINED)]
    return found + [work_of(options, "both", options.seeds[0], artist) for artist in LEFT_OUT]


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("emoji")
    parser.set_defaults(epochs=160)
    parser.add_argument("--batch", type=int, default=128, help="concepts a step")
    parser.add_argument("--packages", type=Path, help="icon sets that are already there")
    parser.add_argument("--runs", type=Path, default=Path("runs/emoji"), help="file and runs")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    make(options)
    results = runs.Results(options.results)
    results.measure(__file__, works(options), options.jobs)
    rows, known = summarise(options, results), read_columns(options.runs / "emoji.h5")
    draw(rows, known, options.docs / "emoji.svg")
    runs.write_page(describe(options, rows, known, results), options.docs / "emoji.md")


if __name__ == "__main__":
    main()
