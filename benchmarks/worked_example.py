"""The same images under two prescriptions: neighbours of any orientation, or of the same.

    python benchmarks/worked_example.py [--images 60000] [--epochs 2] [--jobs 2] [--results FILE]
                                        [--docs FOLDER]

`resnet-small` learns Fashion-MNIST twice by `simclr`: once blind and once sensitive to quarter
turns. Half of the test images, each turned at random, then look for their nearest neighbours among
the other half, turned at random too.

Both runs are processes on one thread. They are written to benchmarks/results/worked_example.json
when done, and not done again. docs/worked_example.md and its picture are drawn from them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import runs
from twofold.domains import Source
from twofold.domains.image import open_data
from twofold.evaluate import neighbours
from twofold.evaluate.intervals import Figure, mean_figure
from twofold.reading import FEATURES

PROJECTED = "projector.2"  # what the contrastive loss compares
READ = {"blind": PROJECTED, "sensitive": FEATURES}  # where each word is at its strongest
SHOWN = ("Trouser", "Dress", "Sandal", "Shirt", "Bag", "Ankle boot")  # classes of shown queries
NEIGHBOURS = 5
TURNS = 4
SAME = "#d9772b"  # the frame of a neighbour that is turned as the query


class Work(NamedTuple):
    """What one process does."""

    word: str
    seed: int
    images: int
    epochs: int


class Turned(NamedTuple):
    """Images turned at random, and how."""

    items: np.ndarray
    turns: np.ndarray
    labels: np.ndarray


def turned_halves(test: Source) -> tuple[Turned, Turned]:
    """Queries, and the images among which neighbours are looked for."""
    turns = np.random.default_rng(0).integers(0, TURNS, len(test))
    items = np.stack(
        [np.rot90(item, turn, axes=(1, 2)) for item, turn in zip(test.items, turns, strict=True)]
    )
    halves = (slice(0, None, 2), slice(1, None, 2))
    queries, gallery = (Turned(items[half], turns[half], test.labels[half]) for half in halves)
    return queries, gallery


def carry_out(work: Work) -> dict[str, Any]:
    """How often neighbours share class and orientation, and those of the queries shown."""
    data = runs.part(open_data("fashion-mnist"), work.images)
    with tempfile.TemporaryDirectory() as path:
        run, seconds = runs.pretrain(
            "simclr",
            data,
            Path(path) / "run",
            epochs=work.epochs,
            seed=work.seed,
            prescription={"rotate": work.word},
        )
        encoder = run.encoder()
    queries, gallery = turned_halves(data.test)
    readings = {}
    for layer in (FEATURES, PROJECTED):
        asked, bank = (
            torch.from_numpy(encoder.embed(half.items, layer=layer)) for half in (queries, gallery)
        )
        nearest = neighbours(bank, asked, k=NEIGHBOURS)[1].numpy()
        readings[layer] = {
            "class": share(gallery.labels[nearest] == queries.labels[:, None]),
            "orientation": share(gallery.turns[nearest] == queries.turns[:, None]),
            "nearest": {str(query): nearest[query].tolist() for query in shown(data.test, queries)},
        }
    return {"training_seconds": round(seconds, 1), "readings": readings}


def share(same: np.ndarray) -> Figure:
    """How often neighbours `(queries, neighbours)` share something with the query."""
    return mean_figure(torch.from_numpy(same).double().mean(dim=1))


def shown(test: Source, queries: Turned) -> list[int]:
    """The first query of each class that is shown."""
    classes = [test.label_names.index(name) for name in SHOWN]
    return [int(np.flatnonzero(queries.labels == label)[0]) for label in classes]


def draw(test: Source, found: Sequence[dict[str, Any]], path: Path) -> None:
    """Each query and its neighbours, a block for each word."""
    from matplotlib import figure as charts

    queries, gallery = turned_halves(test)
    rows = shown(test, queries)
    figure = charts.Figure(figsize=(9, 0.72 * len(rows) + 0.7), layout="constrained")
    for block, word, one in zip(figure.subfigures(1, len(READ)), READ, found, strict=True):
        seen = one["readings"][READ[word]]
        alike = f"{100 * seen['orientation']['value']:.0f} % of neighbours turned alike"
        block.suptitle(f"rotate {word}: {alike}", color=runs.INK, fontsize=11)
        cells = block.subplots(len(rows), 1 + NEIGHBOURS)
        cells[0, 0].set_title("query", color=runs.INK, fontsize=9)
        for query, places in zip(rows, cells, strict=True):
            nearest = seen["nearest"][str(query)]
            images = [queries.items[query], *gallery.items[nearest]]
            for axes, image in zip(places, images, strict=True):
                axes.imshow(image[0], cmap="gray", vmin=0, vmax=255)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            for axes, other in zip(places[1:], nearest, strict=True):
                axes.spines[:].set(color=SAME, linewidth=3)
                axes.spines[:].set_visible(gallery.turns[other] == queries.turns[query])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, transparent=True, metadata={"Software": None})


def interval(figure: Figure) -> str:
    """A share and its interval, in percent."""
    low, high = figure["ci95"]
    return f"{100 * figure['value']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def describe(options: Any, found: Sequence[dict[str, Any]], results: runs.Results) -> str:
    """The text of docs/worked_example.md."""
    commands = [
        f"twofold pretrain simclr --data fashion-mnist --encoder {runs.ENCODER} "
        f"--epochs {options.epochs} --prescription.rotate {word} --out runs/{word}"
        for word in READ
    ]
    rows = [
        [word, layer, *(interval(seen[what]) for what in ("class", "orientation"))]
        for word, one in zip(READ, found, strict=True)
        for layer, seen in one["readings"].items()
    ]
    part = "" if options.images >= 60_000 else f" Here on {options.images:,} of the images."
    return "\n".join(
        [
            "# One word, two results",
            "",
            "The same images and the same recipe; quarter turns are prescribed `blind` in one run "
            f"and `sensitive` in the other.{part}",
            "",
            "```sh",
            *commands,
            "```",
            "",
            "Then test images, turned at random, look for their nearest neighbours by cosine among "
            "others, turned at random too: `encoder.embed(images, layer=...)`. A frame marks a "
            f"neighbour that is turned as the query. Shown are `{READ['blind']}` of the first run, "
            f"the layer that the loss compares, and `{READ['sensitive']}` of the second.",
            "",
            "![Queries and neighbours under both prescriptions](worked_example.png)",
            "",
            *runs.table(["rotate", "layer", "neighbours of the class, %", "turned alike, %"], rows),
            "",
            f"Five neighbours of each of 5,000 queries; chance is 10 % and {100 // TURNS} %. 95 % "
            f"intervals over queries, of one training each. {results.made_by}; figures are in "
            "`benchmarks/results/worked_example.json`.",
            "",
            "Written by `benchmarks/worked_example.py`.",
            "",
        ]
    )


def main() -> None:
    """Trains what is missing and writes the page."""
    parser = runs.arguments("worked_example")
    parser.set_defaults(images=60_000, seeds=[0])
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    wanted = [Work(word, options.seeds[0], options.images, options.epochs) for word in READ]
    results = runs.Results(options.results)
    results.measure(__file__, wanted, options.jobs)
    found = [results.done[work] for work in wanted]
    draw(open_data("fashion-mnist").test, found, options.docs / "worked_example.png")
    runs.write_page(describe(options, found, results), options.docs / "worked_example.md")


if __name__ == "__main__":
    main()
