"""Simulated jets beside what they should be like: means, medians, and how well classes are told.

    python benchmarks/jets_physics.py [--out FILE.h5] [--workers 2] [--docs FOLDER]

Makes 6,000 quark and gluon jets of 500 to 550 GeV, unless they are kept in the cache: four minutes
of one processor. The reference is another sample of 6,000 from the same recipe, made once with a
program of its own. Standard errors are from resampling our jets; the reference's are taken to be as
large, and its last digit to be rounded. Ends with status 1 if a figure is more than 4 standard
errors of the difference off. Figures are written to benchmarks/results/jets_physics.json, the table
into docs/simulate.md and the picture to docs/images/jets_physics.png.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twofold.simulation import simulate_jets
from twofold.simulation.jets import write_figure
from twofold.simulation.jets.observed import Spread, spread
from twofold.simulation.jets.tasks import generators

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "jets_physics.json"
JETS, RESAMPLED, LIMIT = 6000, 200, 4.0
REFERENCE = {  # name in the file: title, gluon and quark (None where not told), AUC, as printed
    "multiplicity": ("multiplicity, mean", "53.1", "33.6", "0.843"),
    "charged_multiplicity": ("charged multiplicity, mean", "26.0", "16.3", "0.835"),
    "ptd": ("pTD, mean", "0.272", "0.379", "0.807"),
    "girth": ("girth, mean", "0.065", "0.038", "0.748"),
    "m0": ("mass, median [GeV]", "48.2", "32.8", "0.745"),
    "pt": ("pT", None, None, "0.509"),
    "eta": ("pseudorapidity", None, None, "0.512"),
    "phi": ("azimuth", None, None, "0.509"),
}


class Compared(NamedTuple):
    """One figure beside its reference."""

    expected: str
    """The reference, as printed."""
    found: float
    error: float
    """Standard error of what was found."""

    @property
    def off(self) -> float:
        """By how many standard errors of the difference the two differ."""
        unit = 10.0 ** -len(self.expected.partition(".")[2])
        error = math.hypot(math.sqrt(2) * self.error, unit / math.sqrt(12))
        return abs(self.found - float(self.expected)) / error

    def __str__(self) -> str:
        places = len(self.expected.partition(".")[2])
        return f"{self.found:.{places}f} ± {self.error:.{places}f} ({self.expected})"


def compare(found: Spread, name: str) -> list[Compared | None]:
    """Gluon, quark and AUC of an observable, each beside its reference if it has one."""
    _, gluon, quark, area = REFERENCE[name]
    middle = np.median if "median" in REFERENCE[name][0] else np.mean
    resampled = list(resample(found))

    def beside(expected: str | None, figure: Callable[[Spread], float]) -> Compared | None:
        if expected is None:
            return None
        error = float(np.std([figure(one) for one in resampled]))
        return Compared(expected, float(figure(found)), error)

    return [
        beside(gluon, lambda some: float(middle(some.values[0]))),
        beside(quark, lambda some: float(middle(some.values[1]))),
        beside(area, lambda some: some.auc),
    ]


def resample(found: Spread) -> list[Spread]:
    """As many jets drawn again from those that were found, many times."""
    rng = np.random.default_rng(0)
    return [
        Spread(tuple(rng.choice(values, len(values)) for values in found.values))
        for _ in range(RESAMPLED)
    ]


def table(figures: dict[str, list[Compared | None]]) -> str:
    """What was found beside the reference, in Markdown."""
    rows = ["| observable | gluon | quark | AUC |", "| --- | --- | --- | --- |"]
    for name, found in figures.items():
        cells = ["" if figure is None else str(figure) for figure in found]
        rows.append(f"| {REFERENCE[name][0]} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def write_down(figures: dict[str, list[Compared | None]]) -> None:
    """All figures as JSON."""
    columns = ("gluon", "quark", "auc")
    found = {
        name: {
            column: {**figure._asdict(), "off": figure.off}
            for column, figure in zip(columns, row, strict=True)
            if figure is not None
        }
        for name, row in figures.items()
    }
    facts = {"jets": JETS, "versions": generators(), "figures": found}
    RESULT.write_text(json.dumps(facts, indent=2) + "\n")


def main() -> int:
    """Makes the jets, compares, writes the page; 1 if a figure is too far off."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="file of the jets; kept if named")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder, "jets.h5")
        simulate_jets(out, n=JETS, workers=options.workers, overwrite=True)
        figures = {name: compare(spread(out, name), name) for name in REFERENCE}
        write_figure(out, options.docs / "images" / "jets_physics.png")
    write_down(figures)
    page = options.docs / "simulate.md"
    page.write_text(re.sub(r"(\| observable.*\n)(\|.*\n)+", table(figures), page.read_text()))
    print(table(figures))
    far = {
        f"{name}: {figure}, {figure.off:.1f} standard errors off"
        for name, row in figures.items()
        for figure in row
        if figure is not None and figure.off > LIMIT
    }
    print("\n".join(sorted(far)) or f"all within {LIMIT:g} standard errors of the difference")
    return 1 if far else 0


if __name__ == "__main__":
    sys.exit(main())
