"""Training and evaluation without end: do memory and open files stay where they are?

    python benchmarks/soak.py [--minutes 120] [--results FILE] [--docs FOLDER]

One process trains, evaluates and reports again and again, on the same digits with other seeds, and
notes after each round what it holds. Memory is flat if over the last three quarters of the time its
trend is less than 2 % of it; open files and threads are if there are never more than at first. The
figures go to benchmarks/results/soak.json and are drawn in docs/soak.svg; it fails if one is not
flat.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import runs
import twofold
from twofold.folder import read_metrics, write_atomically

MOST_GROWTH = 0.02  # of the memory, over the time that is looked at
_SETTLED = 0.25  # share of the time after which all that is loaded once is loaded
_EPOCHS = 4


def work(folder: Path, seed: int) -> int:
    """One round, and how many steps it took."""
    run = twofold.pretrain(
        "mt_slvr",
        data="digits",
        out=folder,
        encoder="resnet-small",
        width=0.25,
        batch_size=128,
        epochs=_EPOCHS,
        seed=seed,
        threads=1,
        loader_threads=1,
        checkpoint_seconds=0.5,
        overwrite=True,
        quiet=True,
    )
    run.evaluate(quiet=True)
    run.report()
    return int(read_metrics(folder)[-1]["step"])


def held() -> dict[str, float]:
    """What this process holds, as the system counts it."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def soak(minutes: float) -> dict[str, Any]:
    """Rounds for so many minutes, and what the process held after each."""
    began, steps = time.monotonic(), 0
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - began < 60 * minutes:
            steps += work(Path(folder) / "run", seed=len(rounds))
            now = (time.monotonic() - began) / 60
            rounds.append({"minutes": round(now, 3), **held()})
            print(len(rounds), rounds[-1], flush=True)
    return {"minutes": minutes, "steps": steps, **flatness(rounds), "rounds": rounds}


def flatness(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """By how much memory grew by its trend, as a share of it, and whether all is flat.

    Example:
        >>> still = [{"minutes": m, "memory_mb": 800.0, "files": 9, "threads": 1} for m in range(9)]
        >>> flatness(still)["flat"], flatness([r | {"files": r["minutes"]} for r in still])["flat"]
        (True, False)
    """
    settled = rounds[int(_SETTLED * len(rounds)) :]
    minutes, memory = (np.array([r[name] for r in settled]) for name in ("minutes", "memory_mb"))
    slope = np.polyfit(minutes, memory, 1)[0] if len(settled) > 1 else 0.0
    growth = float(slope * (minutes[-1] - minutes[0]) / memory.mean())
    still = all(max(r[name] for r in settled) <= settled[0][name] for name in ("files", "threads"))
    return {"growth": round(growth, 4), "flat": bool(growth < MOST_GROWTH and still)}


def draw(found: dict[str, Any], path: Path) -> None:
    """Memory and open files over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    minutes = [r["minutes"] for r in found["rounds"]]
    for axes, name, label in ((upper, "memory_mb", "memory, MB"), (lower, "files", "open files")):
        values = [r[name] for r in found["rounds"]]
        axes.plot(minutes, values, color=runs.SERIES[0], linewidth=1.2)
        axes.set_ylim(0, 1.25 * max(values))
        axes.set_ylabel(label)
        runs.plain(axes)
    lower.set_xlabel("minutes of training and evaluation")
    runs.save(figure, path)


def main() -> None:
    """Measures, and fails if something grows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=120.0)
    results = runs.ROOT / "benchmarks" / "results" / "soak.json"
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--docs", type=Path, default=runs.ROOT / "docs")
    options = parser.parse_args()
    found = soak(options.minutes)
    write_atomically(options.results, (json.dumps(found, indent=1) + "\n").encode())
    draw(found, options.docs / "soak.svg")
    if not found["flat"]:
        sys.exit(f"not flat: memory grew by {100 * found['growth']:.1f} %")


if __name__ == "__main__":
    main()
