"""A pendulum's energy from its states alone, without labels.

    python benchmarks/conserved.py [--seeds 0 1 2 3 4] [--jobs 2] [--runs FOLDER] [--results FILE]
                                   [--docs FOLDER]

Each recipe learns from 5,120 orbits of a pendulum, 20 states of each at random times, two states of
an orbit a positive pair: the published sizes, on vectors. One of them learns, too, from part of the
energies and from times that are close. It is judged on states of 5,120 evenly spaced energies, at
times of their own, by |Spearman| of its one number with the energy, beside the square of the state,
which knows nothing of the pendulum.

Every run is a process on one thread. Figures are written to benchmarks/results/conserved.json as
soon as they are there, and not measured again. Once all are, docs/conserved.md is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

import runs
import twofold
from twofold.evaluate.conservation import spearman_abs, within_across
from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import Conditions

RECIPES = {
    "conserved": "InfoNCE of distances",
    "conserved_barlow_twins": "Barlow Twins",
    "conserved_vicreg": "VICReg",
}
CONDITIONS = {
    "all": ("all energies, all times", Conditions()),
    "narrow": ("energies from 20 to 80 % of the range alone", Conditions(range=(0.2, 0.8))),
    "narrower": ("from 40 to 60 % alone", Conditions(range=(0.4, 0.6))),
    "near": ("times of an orbit within 4", Conditions(spread=4.0)),
    "nearer": ("within 1, where a small swing takes 6.3", Conditions(spread=1.0)),
}
"""What training sees; tests are on all energies and times."""
READ = "projector.1"


TRIED = [
    *((recipe, "all") for recipe in RECIPES),
    *(("conserved", condition) for condition in CONDITIONS if condition != "all"),
]


class Work(NamedTuple):
    """What one process does."""

    recipe: str
    condition: str
    seed: int
    folder: str
    """Where runs are kept."""


def carry_out(work: Work) -> dict[str, Any]:
    """How the learned number goes with the energy, and how constant it is along orbits."""
    folder = Path(work.folder)
    run = twofold.pretrain(
        work.recipe,
        data=folder / f"{work.condition}.h5",
        out=folder / f"{work.recipe}-{work.condition}-{work.seed}",
        seed=work.seed,
        threads=1,
        loader_threads=0,
        monitor_every=100,
        overwrite=True,
        quiet=True,
    )
    with h5py.File(folder / "test.h5") as file:
        states, energy = file["X"][:], file["energy"][:]
    with h5py.File(folder / "orbits.h5") as file:
        along, orbit = file["X"][:], file["orbit"][:]
    encoder = run.encoder()
    return {
        "spearman": spearman_abs(encoder.embed(states, layer=READ), energy),
        "within": within_across(encoder.embed(along, layer=READ), orbit),
        "trivial": spearman_abs((states**2).sum(axis=1), energy),
    }


def make(folder: Path) -> None:
    """States to learn from, of evenly spaced energies to judge on, and along a few orbits."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, conditions in {
        **{name: conditions for name, (_, conditions) in CONDITIONS.items()},
        "test": Conditions(even=True, samples=1, seed=1),
        "orbits": Conditions(orbits=200, samples=50, even=True, seed=2),
    }.items():
        path = folder / f"{name}.h5"
        simulate_trajectories(path, "pendulum", conditions, overwrite=True, quiet=True)


def describe(options: Any, results: runs.Results) -> str:
    """The text of docs/conserved.md."""
    rows, trivial = [], 0.0
    for recipe, condition in TRIED:
        words = f"{RECIPES[recipe]}; {CONDITIONS[condition][0]}"
        found = [results.done[Work(recipe, condition, s, str(options.runs))] for s in options.seeds]
        trivial = found[0]["trivial"]
        mean, margin = runs.over_seeds([one["spearman"] for one in found])
        least = min(one["spearman"] for one in found)
        within = runs.over_seeds([one["within"] for one in found])
        seconds = np.median([one["cpu_seconds"] for one in found])
        cells = [f"{mean:.5f} ± {margin:.5f}", f"{least:.5f}", f"{within[0]:.4f} ± {within[1]:.4f}"]
        rows.append([f"`{recipe}`, {words}", *cells, f"{seconds:.0f}"])
    rows.append(["the square of the state", f"{trivial:.5f}", "", "", ""])
    head = ["", "abs. rank correlation", "the least", "variance within orbits", "CPU s"]
    return "\n".join(
        [
            "# A pendulum's energy without labels",
            "",
            "States (angle, momentum) of 5,120 pendulums at 20 random times each; two states of "
            "one orbit are a positive pair, and one number is learned. Its rank correlation with "
            "the energy is over 5,120 evenly spaced energies, its variance within orbits over 200 "
            "orbits of 50 states, as a share of all. Lu et al., 2022 (arXiv:2208.14995), publish "
            "0.99974 for manifold learning on 200 orbits of 200 states.",
            "",
            *runs.table(head, rows),
            "",
            f"95 % intervals: t over {len(options.seeds)} seeds. {results.made_by}; all figures "
            "are in `benchmarks/results/conserved.json`.",
            "",
            "Written by `benchmarks/conserved.py`.",
            "",
        ]
    )


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("conserved")
    parser.set_defaults(seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--runs", type=Path, default=Path("runs/conserved"), help="run folders")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    make(options.runs)
    results = runs.Results(options.results)
    works = [Work(*one, s, str(options.runs)) for s in options.seeds for one in TRIED]
    results.measure(__file__, works, options.jobs)
    runs.write_page(describe(options, results), options.docs / "conserved.md")


if __name__ == "__main__":
    main()
