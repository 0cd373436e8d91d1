"""Simulated orbits: how fast, how exact, and how much their pictures can tell.

    python benchmarks/trajectories.py [--docs FOLDER]

Times each system in one process, checks what it conserves and where it is against scipy's
solve_ivp, and finds the ceilings of the published conditions of the pendulum: half a minute. Ends
with status 1 if an orbit is off, or a supervised network was published to be better than its
ceiling. Figures are written to benchmarks/results/trajectories.json, the tables into
docs/simulate_trajectories.md and the picture to docs/images/trajectories.png.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import (
    SYSTEMS,
    Conditions,
    follow_orbits,
    rendering_ceiling,
    write_figure,
)

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "trajectories.json"
POINTS, WHILE = 128, 31.3  # times of an orbit, over ten seconds of a pendulum of a metre
COMPARED, UNTIL = 8, 10.0
BEST_OF = 3
PAIRS = 400_000
TOLERANCE = 0.004  # of a published mean of five networks, tested on 5,120 pictures

Rate = Callable[[float, np.ndarray], list[float]]
RATES: dict[str, Rate] = {
    "pendulum": lambda t, y: [y[1], -np.sin(y[0])],
    "double-pendulum": lambda t, y: double_pendulum(*y),
    "kepler": lambda t, y: [y[2], y[3], *(-y[:2] / np.hypot(y[0], y[1]) ** 3)],
    "spring": lambda t, y: [y[1], -y[0]],
    "lotka-volterra": lambda t, y: [y[0] * (1 - y[1]), y[1] * (y[0] - 1)],
}
"""Equations of motion, written anew."""

TESTED = (0.0, 10.0)  # one time for each orbit, as it was published
PUBLISHED = {  # condition: what is changed, contrastive, supervised
    "as published": ({}, 0.9937, 0.9938),
    "angle noise 0.05": ({"noise": 0.05}, 0.9742, 0.9745),
    "angle noise 0.1": ({"noise": 0.1}, 0.9272, 0.9264),
    "angle noise 0.25": ({"noise": 0.25}, 0.7757, 0.7702),
    "times 0 to 0.25": ({"times": (0.0, 0.25)}, 0.988, None),
    "times 8 to 8.25": ({"times": (8.0, 8.25)}, 0.895, 0.9987),
    "crop 0.9": ({"crop": 0.9}, 0.996, 0.996),
    "crop 0.75": ({"crop": 0.75}, 0.862, 0.888),
    "crop 0.6": ({"crop": 0.6}, 0.618, 0.760),
    "crop 0.5": ({"crop": 0.5}, 0.471, 0.657),
    "crop 0.45": ({"crop": 0.45}, 0.450, 0.588),
    "64 pixels": ({"size": 64}, None, None),
    "a step of 1": ({"step": 1.0}, None, None),
}
"""Spearman's correlation with m; see github.com/califyn/rsi-2021, five networks each."""


def double_pendulum(q1: float, q2: float, w1: float, w2: float) -> list[float]:
    """Velocities and accelerations, as most textbooks solve Lagrange's equations."""
    below, sin, cos = 3 - np.cos(2 * q1 - 2 * q2), np.sin(q1 - q2), np.cos(q1 - q2)
    first = -3 * np.sin(q1) - np.sin(q1 - 2 * q2) - 2 * sin * (w2**2 + w1**2 * cos)
    second = 2 * sin * (2 * w1**2 + 2 * np.cos(q1) + w2**2 * cos)
    return [w1, w2, first / below, second / below]


def judge(name: str) -> dict[str, float]:
    """How many orbits a second, and how far off they are."""
    system, rng = SYSTEMS[name], np.random.default_rng(0)
    values = rng.uniform(*system.range, 5000 if system.closed else 512)
    times, took = np.linspace(0, WHILE, POINTS), []
    for _ in range(BEST_OF):
        began = time.process_time()
        follow_orbits(name, values, times)
        took.append(time.process_time() - began)
    states = follow_orbits(name, values[:512], np.linspace(0, 200, 401))
    kept = next(iter(system.conserved(states).values()))
    some = follow_orbits(name, values[:COMPARED], np.linspace(0, UNTIL, 11))
    apart = 0.0
    for orbit in some:
        solved = solve_ivp(
            RATES[name], (0, UNTIL), orbit[0], "DOP853", np.linspace(0, UNTIL, 11), rtol=1e-12,
            atol=1e-13,
        )  # fmt: skip
        difference = orbit - solved.y.T
        if name == "double-pendulum":  # angles are told within one turn
            difference[:, :2] = np.remainder(difference[:, :2] + np.pi, 2 * np.pi) - np.pi
        apart = max(apart, float(np.abs(difference).max()))
    return {
        "orbits_per_second": len(values) / min(took),
        "drift": float(np.abs(kept - kept[:, :1]).max()),
        "apart": apart,
    }


def ceilings() -> dict[str, dict[str, float | None]]:
    """The ceiling of each published condition, beside what networks reached."""
    return {
        title: {
            "ceiling": rendering_ceiling(
                "pendulum",
                Conditions(render="images", **{"times": TESTED, **changes}),
                pairs=PAIRS,
            ),
            "contrastive": contrastive,
            "supervised": supervised,
        }
        for title, (changes, contrastive, supervised) in PUBLISHED.items()
    }


def table(heads: str, rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, "| --- " * (heads.count("|") - 1) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def rounded(rate: float) -> str:
    """A rate with two digits that count."""
    return f"{float(f'{rate:.2g}'):,.0f}"


def tables(found: dict[str, dict]) -> dict[str, str]:
    """Both tables by their heads."""
    exact = "| system | orbits/s | conserved quantity off, at most | states off, at most |"
    told = "| condition | ceiling | contrastive | supervised |"
    return {
        exact: table(
            exact,
            [
                [
                    f"`{name}`",
                    rounded(one["orbits_per_second"]),
                    f"{one['drift']:.0e}",
                    f"{one['apart']:.0e}",
                ]
                for name, one in found["systems"].items()
            ],
        ),
        told: table(
            told,
            [
                [title, *("" if figure is None else f"{figure:.3f}" for figure in row.values())]
                for title, row in found["ceilings"].items()
            ],
        ),
    }


def main() -> int:
    """Measures, writes the page; 1 if anything is off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    found = {"systems": {name: judge(name) for name in SYSTEMS}, "ceilings": ceilings()}
    versions = {name: version(name) for name in ("numpy", "scipy")}
    RESULT.write_text(json.dumps({**found, "versions": versions}, indent=2) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "orbits.h5")
        simulate_trajectories(made, "pendulum", Conditions(render="images"), quiet=True)
        write_figure(made, options.docs / "images" / "trajectories.png")
    page = options.docs / "simulate_trajectories.md"
    text = page.read_text()
    for heads, whole in tables(found).items():
        text = re.sub(rf"{re.escape(heads)}\n(\|.*\n)+", lambda _, whole=whole: whole, text)
        print(whole)
    page.write_text(text)
    far = [
        f"{name}: off by {max(one['drift'], one['apart']):.0e}"
        for name, one in found["systems"].items()
        if one["drift"] > (1e-10 if SYSTEMS[name].closed else 1e-8) or one["apart"] > 1e-6
    ]
    far += [
        f"{title}: a network was published to be better than its ceiling"
        for title, row in found["ceilings"].items()
        if (row["supervised"] or 0) > row["ceiling"] + TOLERANCE
    ]
    print("\n".join(far) or "all as exact as they should be, and no network above its ceiling")
    return 1 if far else 0


if __name__ == "__main__":
    sys.exit(main())
