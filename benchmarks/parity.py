"""How far apart one process, two, and parts are, for every recipe.

    python benchmarks/parity.py

Two processes take the steps of tests/parity for every recipe of every domain. What they find goes
to benchmarks/results/parity.json, and the tables into docs/parity.md; where the file is there
already, the tables alone are written, unless all is asked for `--again`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from runs import ROOT, table

sys.path.insert(0, str(ROOT / "tests" / "parity"))

from parity_worker import EXACT, start

BEGUN, ENDED = "<!-- measured -->", "<!-- /measured -->"
WAYS = ("processes", "parts", "both")
Told = Mapping[str, Any]


def main() -> None:
    """Measures if nothing is, and writes the tables."""
    parser = argparse.ArgumentParser()
    kept = ROOT / "benchmarks" / "results" / "parity.json"
    parser.add_argument("--results", type=Path, default=kept, help="file of what is measured")
    page = ROOT / "docs" / "parity.md"
    parser.add_argument("--page", type=Path, default=page, help="page that has the tables")
    parser.add_argument("--again", action="store_true", help="measure though the file is there")
    options = parser.parse_args()
    if options.again or not options.results.exists():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "found.jsonl")
            start(out, "--more")
            found = [json.loads(line) for line in out.read_text().splitlines()]
        lines = ",\n".join(json.dumps(told) for told in found)
        options.results.write_text(f"[\n{lines}\n]\n")
    write_tables(json.loads(options.results.read_text()), options.page)


def write_tables(found: Sequence[Told], page: Path) -> None:
    """Puts what was found between the marks of the page."""
    failed = [told["case"] for told in found if "error" in told or not told["alike"]]
    if failed:
        sys.exit(f"no parity: {', '.join(failed)}")
    plain = [told for told in found if not told["balance"] and not told["batch_norm"]]
    balanced = [told for told in found if told["balance"]]
    divided = [told for told in found if told["batch_norm"]]
    recipes = dict.fromkeys(told["recipe"] for told in plain)
    head = ("2 processes, BatchNorm", "2 processes", "parts", "2 processes in parts")
    narrow = ("float32, 2 processes", "float32, rounding")
    lines = [
        BEGUN,
        "",
        *table(
            ("recipe", "domains", *head, *narrow),
            [_row(name, [told for told in plain if told["recipe"] == name]) for name in recipes],
        ),
        "",
        "With a balancer, of `e_ssl` (BatchNorm) and `mt_slvr` (without):",
        "",
        *table(("balancer", *head), [_balanced(name, balanced) for name in _names(balanced)]),
        "",
        "With BatchNorm in parts, two processes beside one with the same parts:",
        "",
        *table(("recipe", "batch_norm", "2 processes in parts"), map(_divided, divided)),
        "",
        f"{len(found)} cases by `python benchmarks/parity.py`, torch {torch.__version__} on CPUs; "
        f"the largest figure in float64 is {_worst(found)}. In float32 the median figure of two "
        f"processes is {_median(plain, 'GroupNorm', 'processes')}, of rounding "
        f"{_median(plain, 'GroupNorm', 'rounding')}; with BatchNorm "
        f"{_median(plain, 'BatchNorm', 'processes')} and "
        f"{_median(plain, 'BatchNorm', 'rounding')}.",
        "",
        ENDED,
    ]
    text = page.read_text()
    before, after = text.split(BEGUN)[0], text.split(ENDED)[1]
    page.write_text(before + "\n".join(lines) + after)


def _row(name: str, cases: Sequence[Told]) -> list[str]:
    wide = [told for told in cases if told["precision"] == "float64"]
    narrow = [told for told in cases if told["precision"] == "float32"]
    domains = ", ".join(dict.fromkeys(told["domain"] for told in wide))
    rounded = [_most(narrow, way) if narrow else "" for way in ("processes", "rounding")]
    return [f"`{name}`", domains, *_ways(wide), *rounded]


def _balanced(name: str, cases: Sequence[Told]) -> list[str]:
    return [name, *_ways([told for told in cases if told["balance"] == name])]


def _divided(told: Told) -> list[str]:
    return [f"`{told['recipe']}`", told["batch_norm"], _most([told], "both")]


def _ways(cases: Sequence[Told]) -> list[str]:
    by_batch = [told for told in cases if told["norm"] == "BatchNorm"]
    alone = [told for told in cases if told["norm"] != "BatchNorm"]
    return [_most(by_batch, "processes"), *(_most(alone, way) for way in WAYS)]


def _names(cases: Iterable[Told]) -> list[str]:
    return list(dict.fromkeys(told["balance"] for told in cases))


def _most(cases: Iterable[Told], way: str) -> str:
    """The largest distance of losses, gradients and state; refused if there is none."""
    found = [distance for told in cases if told.get(way) for distance in told[way].values()]
    return f"{max(found):.0e}" if found else "refused"


def _worst(found: Iterable[Told]) -> str:
    """The largest distance of all in float64; refused if it is more than rounding."""
    cases = [told for told in found if told["precision"] == "float64"]
    most = max(float(_most(cases, way)) for way in WAYS)
    if most > EXACT["float64"]:
        sys.exit(f"no parity: {most} in float64")
    return f"{most:.0e}"


def _median(found: Iterable[Told], norm: str, way: str) -> str:
    """The median over cases in float32 of the largest distance."""
    cases = [told for told in found if told["precision"] == "float32" and told["norm"] == norm]
    return f"{statistics.median(max(told[way].values()) for told in cases):.0e}"


if __name__ == "__main__":
    main()
