"""Views of jet images per CPU-second, against the dense way to make them, one thread each.

    OMP_NUM_THREADS=1 python benchmarks/jet_views.py

Two views of every jet, the same recipe on both sides: flips in η and φ, shifts of up to two cells,
rotation by any angle, calorimeter smearing. The dense way is the usual one for images: flips, then
one affine bilinear `grid_sample`, then normal noise for every cell, a batch at a time in torch. The
jets are toys with 1 % of their cells filled. Rounds alternate, so that whatever else the machine
does touches both; medians are printed and written to benchmarks/results/jet_views.json, beside what
each does to jets that it rotates about their axis: to their energy, and to how many cells it is in.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.augment import Views
from twofold.domains.jet import JET, observables, render

RESULT = Path(__file__).parent / "results" / "jet_views.json"
ROUNDS, BATCH, BATCHES = 9, 256, 2
RECIPE = ("eta_flip", "phi_flip", "shift", "rotate", "smear")
CELLS = 2  # of the largest shift
STOCHASTIC, CONSTANT = (0.03, 1.0), 0.05
SIZES = (40, 125)


def toys(count: int, size: int) -> Tensor:
    """Jets `(count, 3, size, size)` in 100 GeV: 1 % of the cells filled, near the axis."""
    draw = np.random.default_rng(0)
    hits = size**2 // 100
    jets = np.zeros((count, 3, size, size), np.float32)
    places = np.clip(draw.normal(size / 2, size / 8, (2, count, 3, hits)), 0, size - 1).astype(int)
    jet, channel = np.arange(count)[:, None, None], np.arange(3)[:, None]
    np.add.at(jets, (jet, channel, *places), draw.exponential(1 / hits, places.shape[1:]))
    return torch.from_numpy(jets)


def dense(jets: Tensor, names: tuple[str, ...] = RECIPE) -> Tensor:
    """One view of each jet as dense images make it."""
    count, _, _, size = jets.shape
    if "eta_flip" in names:
        jets = torch.where(torch.rand(count, 1, 1, 1) < 0.5, jets.flip(2), jets)
        jets = torch.where(torch.rand(count, 1, 1, 1) < 0.5, jets.flip(3), jets)
    angle = torch.rand(count) * 2 * math.pi
    matrix = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), 1).view(-1, 2, 2)
    shift = torch.randint(-CELLS, CELLS + 1, (count, 2, 1)) * (2 / size)
    matrix = torch.cat((matrix, shift * ("shift" in names)), dim=2)
    grid = F.affine_grid(matrix, list(jets.shape), align_corners=False)
    jets = F.grid_sample(jets, grid, align_corners=False)
    if "smear" in names:
        stochastic = torch.empty(count, 1, 1, 1).uniform_(*STOCHASTIC)
        spread = (stochastic**2 * jets / 100 + (CONSTANT * jets) ** 2).sqrt()
        jets = (jets + spread * torch.randn_like(jets)).clamp_(min=0)
    return jets


def sparse(size: int, names: tuple[str, ...] = RECIPE) -> Views:
    """The views of twofold."""
    prescription = dict.fromkeys(names, "invariant")
    return Views(JET, prescription, channels=3, size=size, renderer=render)


def timed(run: Callable[[], object]) -> float:
    """CPU seconds of one round."""
    start = time.process_time()
    run()
    return time.process_time() - start


def speed(size: int) -> dict[str, float]:
    """Medians of views per CPU-second, of alternating rounds."""
    jets, views = toys(BATCH, size), sparse(size)

    def own() -> None:
        for epoch in range(BATCHES):
            views(jets, np.arange(BATCH), epoch)

    def other() -> None:
        for _ in range(BATCHES):
            dense(jets)
            dense(jets)

    own()
    other()
    rounds = np.array([(timed(own), timed(other)) for _ in range(ROUNDS)])
    mine, theirs = 2 * BATCH * BATCHES / np.median(rounds, axis=0)
    return {"twofold": float(mine), "dense": float(theirs), "ratio": float(mine / theirs)}


def fidelity(size: int) -> dict[str, dict[str, float]]:
    """What a rotation alone leaves of energy and multiplicity: mean and deviation of the ratio."""
    inside = size // 2 - math.ceil(size / 2 / math.sqrt(2)) + 1
    jets = F.pad(toys(BATCH, size)[..., inside:-inside, inside:-inside], (inside,) * 4)
    before = observables(jets.numpy())
    found = {}
    for side, view in (
        ("twofold", sparse(size, ("rotate",))(jets, np.arange(BATCH), 0)[0][0]),
        ("dense", dense(jets, ("rotate",))),
    ):
        after = observables(view.numpy())
        ratios = {name: after[name] / before[name] for name in ("energy", "multiplicity")}
        found[side] = {
            f"{name} {what.__name__}": float(what(ratio))
            for name, ratio in ratios.items()
            for what in (np.mean, np.std)
        }
    return found


def main() -> None:
    """Measures every size, prints the tables and writes the result."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    speeds = {f"{size} cells": speed(size) for size in SIZES}
    print(f"{'two views, one thread':24}{'twofold':>10}{'dense':>10}{'ratio':>8}   views/CPU-s")
    for case, figure in speeds.items():
        rates = f"{figure['twofold']:>10.0f}{figure['dense']:>10.0f}"
        print(f"{case:24}{rates}{figure['ratio']:>8.1f}")
    kept = {f"{size} cells": fidelity(size) for size in SIZES}
    print(f"\n{'after a rotation':24}{'energy':>18}{'cells with energy':>22}   of before")
    for case, sides in kept.items():
        for side, figure in sides.items():
            energy, cells = (
                f"{figure[f'{name} mean']:.3f} +- {figure[f'{name} std']:.3f}"
                for name in ("energy", "multiplicity")
            )
            print(f"{case + ', ' + side:24}{energy:>18}{cells:>22}")
    about = {"python": platform.python_version(), "torch": torch.__version__, "rounds": ROUNDS}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = {**about, "views_per_cpu_second": speeds, "after_rotation": kept}
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
