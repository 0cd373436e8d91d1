"""A pendulum's energy from its states alone, without labels.

    python benchmarks/conserved.py [--seeds 0 1 2 3 4] [--jobs 2] [--runs FOLDER] [--results FILE]
                                   [--docs FOLDER]

Each recipe learns from 5,120 orbits of a pendulum, 20 states of each at random times; those of one
orbit belong together: the published sizes, on vectors. One of them learns, too, from part of the
energies and from times that are close. All are judged on states of 5,120 evenly spaced energies,
at times of their own, by |Spearman| of their one number with the energy and R² after a monotone
fit to states of 200 other orbits, and along these by how constant it is, beside the square of the
state, which knows nothing of the pendulum. Several numbers are laid on a line without labels.

Every run is a process on one thread. Figures are written to benchmarks/results/conserved.json as
soon as they are there, and not measured again. Once all are, docs/conserved.md is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from sklearn.metrics import r2_score

import runs
import twofold
from twofold.evaluate.conservation import (
    in_one_dimension,
    monotone_fit,
    spearman_abs,
    within_across,
)
from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import Conditions

RECIPES = {
    "conserved": "InfoNCE of distances",
    "conserved_unfolded": "InfoNCE of distances, begun by VICReg",
    "conserved_2d": "InfoNCE of distances, in two dimensions",
    "conserved_cosine": "InfoNCE of cosines, in two dimensions",
    "conserved_simsiam": "SimSiam, in eight dimensions",
    "conserved_barlow_twins": "Barlow Twins",
    "conserved_vicreg": "VICReg",
    "conserv_net": "ConservNet",
    "con_cer_net": "ConCerNet",
    "siamese": "Siamese",
    "conserved_supervised": "told the energy",
}
CONDITIONS = {
    "all": ("all energies, all times", Conditions()),
    "narrow": ("energies from 20 to 80 % of the range alone", Conditions(range=(0.2, 0.8))),
    "narrower": ("from 40 to 60 % alone", Conditions(range=(0.4, 0.6))),
    "near": ("times of an orbit within 4", Conditions(spread=4.0)),
    "nearer": ("within 1, where a small swing takes 6.3", Conditions(spread=1.0)),
}
"""What training sees; tests are on all energies and times."""
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
    encoder = run.encoder()
    files = [_states(folder / f"{name}.h5") for name in ("test", "orbits")]
    read = [encoder.embed(states, layer=encoder.layers[-1]) for states, *_ in files]
    squares = [(states**2).sum(axis=1) for states, *_ in files]
    return {**_figures(in_one_dimension(*read), files), "trivial": _figures(squares, files)}


def _states(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States of a file, their energies and their orbits."""
    with h5py.File(path) as file:
        return file["X"][:], file["energy"][:], file["orbit"][:]


def _figures(
    numbers: Sequence[np.ndarray], files: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """How numbers `(n,)` for the states of both files go with the energy, and along orbits."""
    (asked, along), ((_, energy, _), (_, known, orbit)) = numbers, files
    return {
        "spearman": spearman_abs(asked, energy),
        "r2": float(r2_score(energy, monotone_fit(along, known, asked))),
        "within": within_across(along[:, None], orbit),
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

    def found(recipe: str, condition: str) -> list[dict[str, Any]]:
        return [
            results.done[Work(recipe, condition, seed, str(options.runs))] for seed in options.seeds
        ]

    head = ["abs. rank correlation", "the least", "R², monotone", "variance within orbits", "CPU s"]
    methods = [[f"`{one}`", words, *_cells(found(one, "all"))] for one, words in RECIPES.items()]
    trivial = found("conserved", "all")[0]["trivial"]
    shown = f"{trivial['spearman']:.5f}", "", f"{trivial['r2']:.4f}", f"{trivial['within']:.4f}"
    methods.append(["", "the square of the state", *shown, ""])
    parts = [[words, *_cells(found("conserved", one))] for one, (words, _) in CONDITIONS.items()]
    return "\n".join(
        [
            "# A pendulum's energy without labels",
            "",
            "States (angle, momentum) of 5,120 pendulums at 20 random times each; what the states "
            "of one orbit have in common is learned. Its rank correlation with the energy, and R² "
            "after a monotone fit to other states, are over 5,120 evenly spaced energies, its "
            "variance within orbits over 200 orbits of 50 states, as a share of all. More numbers "
            "than one are laid on a line without labels. Lu et al., 2022 (arXiv:2208.14995), "
            "publish a rank correlation of 0.99974 for manifold learning on 200 orbits of 200 "
            "states.",
            "",
            *runs.table(["", "", *head], methods),
            "",
            "Little variance within orbits beside a low rank correlation is a number that is "
            "conserved and folded: low and high energies share its values.",
            "",
            "`conserved`, where training sees less:",
            "",
            *runs.table(["training sees", *head], parts),
            "",
            f"95 % intervals: t over {len(options.seeds)} seeds. {results.made_by}; all figures "
            "are in `benchmarks/results/conserved.json`.",
            "",
            "Written by `benchmarks/conserved.py`.",
            "",
        ]
    )


def _cells(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures of all seeds."""
    seconds = np.median([one["cpu_seconds"] for one in found])
    shown = [
        f"{mean:.{digits}f} ± {margin:.{digits}f}"
        for name, digits in (("spearman", 5), ("r2", 4), ("within", 4))
        for mean, margin in [runs.over_seeds([one[name] for one in found])]
    ]
    least = min(one["spearman"] for one in found)
    return [shown[0], f"{least:.5f}", *shown[1:], f"{seconds:.0f}"]


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
