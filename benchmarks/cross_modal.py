"""Pictures of a pendulum find its states, and states their pictures, without labels.

    python benchmarks/cross_modal.py [--seeds 0 1 2 3 4] [--jobs 2] [--runs FOLDER] [--results FILE]
                                     [--docs FOLDER]

The same 5,120 states of 1,280 orbits are seen as noisy pictures of two moments and as noisy
vectors. Two encoders learn from four fifths of the orbits: to agree across the two sources, to
agree within each, or both. On the other orbits a picture has to find its vector among 1,024, and a
vector its picture; and a linear map reads the energy off the features of either encoder, which
nobody told.

Every run is a process on one thread. Figures are written to benchmarks/results/cross_modal.json as
soon as they are there, and not measured again. Once all are, docs/cross_modal.md is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

import runs
import twofold
from twofold.alignment import align, retrieved
from twofold.domains import Data
from twofold.encoder import Encoder, renewed
from twofold.evaluate import regression_figures, ridge_probe
from twofold.optim import Optimizer
from twofold.recipes import recipe_by_name
from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import Conditions

WAYS = {
    "across": "across alone",
    "within": "within alone: two runs that never met",
    "both": "across and within, two views of one item",
    "orbit": "across and within, two items of one orbit",
}
SEEN = {
    "pictures": {"render": "images", "pixel_noise": 0.05},
    "vectors": {"noise": 0.02},
}
"""The two sources: their name, and how they see a state."""
GENTLE = {
    "image": {"brightness": "invariant", "contrast": "invariant"},
    "trajectory": {"noise": "invariant"},
}
"""What sets two views of an item apart."""
EPOCHS, TIMES, ORBITS = 20, 4, 1280


class Work(NamedTuple):
    """What one process does."""

    way: str
    seed: int
    folder: str
    """Where runs are kept."""


def carry_out(work: Work) -> dict[str, Any]:
    """How items of other orbits find each other, and how well the energy is told."""
    folder = Path(work.folder)
    make(folder, work.seed)
    encoders = train(work, folder / f"{work.way}-{work.seed}")
    data = [opened(folder, name, work.seed) for name in SEEN]
    tests = data[0].test, data[1].test
    random = renewed(encoders[0], seed=work.seed), renewed(encoders[1], seed=work.seed)
    found: dict[str, Any] = {}
    for whose, pair in {"learned": encoders, "random": random}.items():
        ways = retrieved(pair, tests, seed=work.seed)
        found[whose] = {
            way: {name: figure["value"] for name, figure in figures.items()}
            for way, figures in ways.items()
        }
        for name, encoder, one in zip(SEEN, pair, data, strict=True):
            parts = (torch.from_numpy(encoder.embed(p.items)) for p in (one.train, one.test))
            found[whose][name] = energy_r2(*parts, one, work.seed)
    for name, one in zip(SEEN, data, strict=True):
        parts = (
            torch.from_numpy(p.items.astype(np.float32)).flatten(1) for p in (one.train, one.test)
        )
        found[f"raw {name}"] = energy_r2(*parts, one, work.seed)
    return found | {"ceiling": ceiling(folder, tests[0].ids, work.seed)}


def make(folder: Path, seed: int) -> None:
    """The same states, seen twice with noise and once as clean pictures."""
    for name, seen in {**SEEN, "clean": {"render": "images"}}.items():
        path = folder / f"{name}-{seed}.h5"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            conditions = Conditions(orbits=ORBITS, samples=TIMES, seed=seed, **seen)
            simulate_trajectories(path, "pendulum", conditions, quiet=True)


def opened(folder: Path, name: str, seed: int) -> Data:
    """One of the sources, with the energy as its label."""
    return twofold.open_data(
        folder / f"{name}-{seed}.h5", group_key="orbit", label_key="energy", seed=seed
    )


def train(work: Work, out: Path) -> tuple[Encoder, Encoder]:
    """Both encoders."""
    sources = [Path(work.folder) / f"{name}-{work.seed}.h5" for name in SEEN]
    domains = ["image", "trajectory"]
    words = [
        {**dict.fromkeys(recipe_by_name("info_nce", domain).prescription, "off"), **GENTLE[domain]}
        for domain in domains
    ]
    nets = [{"encoder": "resnet-small", "width": 0.25}, {"encoder": "mlp"}]
    # An epoch by orbits has a quarter of the steps of one by items.
    epochs = EPOCHS * TIMES if work.way == "orbit" else EPOCHS
    common: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": 256,
        "optimizer": Optimizer(
            name="adamw", learning_rate=3e-3, scaling="none", weight_decay=1e-4, warmup=0.05
        ),
        "early_resolution": 1.0,
        "positives": "group" if work.way == "orbit" else "augmentations",
        "seed": work.seed,
        "threads": 1,
        "loader_threads": 0,
        "monitor_every": epochs,
        "overwrite": True,
        "quiet": True,
    }
    if work.way == "within":
        apart = (
            twofold.pretrain(
                "info_nce",
                data=source,
                out=out / domain,
                group_key="orbit",
                prescription=word,
                **net,
                **common,
            ).encoder()
            for source, domain, word, net in zip(sources, domains, words, nets, strict=True)
        )
        first, second = apart
        return first, second
    return align(
        data=sources[0],
        beside=sources[1],
        out=out,
        within=0.0 if work.way == "across" else 0.5,
        group_key="orbit",
        prescription=words[0],
        beside_changes={"group_key": "orbit", "prescription": words[1], **nets[1]},
        **nets[0],
        **common,
    ).encoders


def energy_r2(train: torch.Tensor, test: torch.Tensor, data: Data, seed: int) -> float:
    """R² of the energy by a linear map of features, on orbits that nothing was fitted to."""
    probe = ridge_probe(train, data.train.labels, test, seed=seed)
    return regression_figures(probe.predictions, data.test.labels, seed=seed)["r2"]["value"]


def ceiling(folder: Path, rows: Any, seed: int) -> float:
    """R@1 of who knows which states give which picture, and guesses among those that give one."""
    with h5py.File(folder / f"clean-{seed}.h5") as file:
        pictures = file["X"][:][[int(row) for row in rows]]
    return len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) / len(pictures)


def found_by(way: str, options: Any, results: runs.Results) -> list[dict[str, Any]]:
    """What was measured of a way, seed by seed."""
    return [results.done[Work(way, seed, str(options.runs))] for seed in options.seeds]


def describe(options: Any, results: runs.Results) -> str:
    """The text of docs/cross_modal.md."""

    def found(way: str) -> list[dict[str, Any]]:
        return found_by(way, options, results)

    def row(words: str, ones: list[dict[str, Any]]) -> list[str]:
        cells = []
        for way in ("forth", "back"):
            cells += [share([one[way][f"r@{k}"] for one in ones]) for k in (1, 10)]
            cells.append(f"{np.mean([one[way]['median_rank'] for one in ones]):.3g}")
        return [words, *cells, *(r2([one[name] for one in ones]) for name in SEEN)]

    rows = [row(words, [one["learned"] for one in found(way)]) for way, words in WAYS.items()]
    across = found("across")
    rows.append(row("random weights", [one["random"] for one in across]))
    raw = [r2([one[f"raw {name}"] for one in across]) for name in SEEN]
    rows.append(["raw pixels, raw state", *[""] * 6, *raw])
    n = ORBITS * TIMES // 5
    rows.append(
        ["chance", *[f"{100 / n:.1f}", f"{1000 / n:.1f}", f"{(n + 1) / 2:.0f}"] * 2, "", ""]
    )
    head = ["agreement", "picture → state, R@1 %", "R@10 %", "median rank"]
    head += ["state → picture, R@1 %", "R@10 %", "median rank"]
    head += ["energy R², picture", "energy R², state"]
    seconds = np.median([one["cpu_seconds"] for way in WAYS for one in found(way)])
    energy = {way: np.mean([one["learned"]["pictures"] for one in found(way)]) for way in WAYS}
    best = np.mean([one["ceiling"] for one in across])
    return "\n".join(
        [
            "# Pictures of a pendulum find its states",
            "",
            f"{ORBITS * TIMES:,} states of {ORBITS:,} orbits, seen as pictures of two moments with "
            "pixel noise 0.05 and as vectors with noise 0.02. Nothing but the number of the row "
            f"says which belong together. On the fifth of the orbits held out, {n:,} pictures look "
            "for their states and back, by cosine where both heads end. Bobs are rounded to whole "
            "pixels, so that several states give one picture even without noise: R@1 cannot exceed "
            f"{100 * best:.0f} %. The energy is read off the features of either encoder by a "
            "linear map.",
            "",
            *runs.table(head, rows),
            "",
            "![Pictures that find their states](cross_modal.svg)",
            "",
            "Agreement across is what makes a common space: encoders that agree within alone find "
            "no more in each other than random ones. It also tells the pictures' encoder of the "
            f"energy: R² {energy['across']:.2f}, where agreement within pictures alone has "
            f"{energy['within']:.2f}. Agreement within on top of it does not help here: with views "
            "that differ in brightness and contrast, and in noise, R² is "
            f"{energy['both']:.2f}. Two items of one orbit raise it to "
            f"{energy['orbit']:.2f}, for what an orbit conserves is what they share, and cost a "
            "little of the retrieval.",
            "",
            f"95 % intervals: t over {len(options.seeds)} seeds, each with orbits of its own. All "
            "runs take equally many steps of 256 items, "
            f"{seconds:.0f} CPU seconds in the median. {results.made_by}; all figures are in "
            "`benchmarks/results/cross_modal.json`.",
            "",
            "Written by `benchmarks/cross_modal.py`.",
            "",
        ]
    )


def draw(options: Any, results: runs.Results) -> None:
    """How many pictures find their state, and what their encoder knows of the energy."""
    from matplotlib.figure import Figure

    ways = {way: [one["learned"] for one in found_by(way, options, results)] for way in WAYS}
    random = [one["random"] for one in found_by("across", options, results)]
    rows = [(WAYS[way], ones) for way, ones in ways.items()] + [("random weights", random)]
    figure = Figure(figsize=(8.4, 2.4), layout="constrained")
    found, known = figure.subplots(1, 2, sharey=True)
    for axes, name, value, colour in (
        (found, "picture → state, R@10 %", _found, runs.SERIES[0]),
        (known, "energy from pictures, R²", _known, runs.SERIES[1]),
    ):
        runs.plain(axes)
        for place, (_, ones) in enumerate(rows):
            mean, margin = runs.over_seeds([value(one) for one in ones])
            axes.errorbar(mean, place, xerr=margin, fmt="o", color=colour, ms=5, capsize=2)
        axes.set_xlabel(name)
    found.set_xlim(-3, 103)
    known.set_xlim(0, 1)
    found.set_yticks(range(len(rows)), [words for words, _ in rows], fontsize=9)
    found.set_ylim(len(rows) - 0.4, -0.6)
    runs.save(figure, options.docs / "cross_modal.svg")


def _found(one: dict[str, Any]) -> float:
    return 100 * float(one["forth"]["r@10"])


def _known(one: dict[str, Any]) -> float:
    return float(one["pictures"])


def share(values: list[float]) -> str:
    """A mean over seeds in percent, with its margin."""
    mean, margin = runs.over_seeds(values)
    return f"{100 * mean:.1f} ± {100 * margin:.1f}"


def r2(values: list[float]) -> str:
    """A mean over seeds with its margin."""
    mean, margin = runs.over_seeds(values)
    return f"{mean:.3f} ± {margin:.3f}"


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("cross_modal")
    parser.set_defaults(seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--runs", type=Path, default=Path("runs/cross_modal"), help="run folders")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    results = runs.Results(options.results)
    works = [Work(way, seed, str(options.runs)) for seed in options.seeds for way in WAYS]
    results.measure(__file__, works, options.jobs)
    runs.write_page(describe(options, results), options.docs / "cross_modal.md")
    draw(options, results)


if __name__ == "__main__":
    main()
