"""What was aimed at in speed and memory, and what was reached: one table of all benchmarks.

    python benchmarks/goals.py

Reads what the other benchmarks have left in benchmarks/results/ and measures nothing itself but how
long `twofold --help` takes; writes docs/goals.md.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import runs
from twofold.folder import write_atomically

PEER, GOAL = "lightly simclr", 600  # whose accuracy after how many CPU seconds is aimed at
PAGE = runs.ROOT / "docs" / "goals.md"


def result(name: str) -> Any:
    """What a benchmark has left."""
    return json.loads((runs.ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def views() -> list[list[str]]:
    """Views of images, compiled and in torch alone."""
    found = result("augment")["views_per_cpu_second"]
    rows = []
    for size, aims in (("32 px", (30, 7)), ("96 px", (15, 2.5))):
        for kind, aim in zip(("fused", "torch"), aims, strict=True):
            rate, peer = found[size][kind], found[size]["lightly"]
            words = "`twofold[fast]`" if kind == "fused" else "plain torch"
            rows.append(
                [
                    f"Views a CPU-second, {size}, {words}",
                    f"{aim} × lightly",
                    f"{rate / peer:.1f} × ({rate:,.0f} against {peer:,.0f})",
                    "augment.py",
                ]
            )
    return rows


def steps() -> list[list[str]]:
    """Whole steps, beside the same on a batch that never changes and beside lightly's."""
    rows = [
        [
            f"Steps of {row['encoder']}, width {row['width']:g}, of the rate on a static batch",
            "0.95",
            f"{row['ratio']:.2f}",
            "step.py",
        ]
        for row in result("step")["rows"]
    ]
    costs = result("methods")["costs"]
    items, batch = 58_800, 256
    ours, theirs = items / costs["simclr"]["each"], batch / costs["lightly simclr"]["each"]
    rows.append(
        [
            "SimCLR of resnet-small, images a CPU-second, bf16 on both sides",
            "2 × lightly",
            f"{ours / theirs:.1f} × ({ours:,.0f} against {theirs:,.0f})",
            "methods.py",
        ]
    )
    return rows


def losses() -> list[list[str]]:
    """Time and memory of the losses."""
    found = result("losses")
    contrast = {row["batch"]: row for row in found["contrast"] if row["loss"] == "nt_xent"}
    times = [row["ratio"] for size, row in contrast.items() if size >= 1024 and "ratio" in row]
    rows = [
        [
            "NT-Xent of 16,384 pairs, extra memory",
            "256 MiB",
            f"{contrast[16_384]['twofold']['mib']:.0f} MiB (lightly: over 12 GiB)",
            "losses.py",
        ],
        [
            "NT-Xent from 1,024 pairs on",
            "3.5 × lightly",
            f"{min(times):.1f} to {max(times):.1f} ×",
            "losses.py",
        ],
    ]
    aims: dict[str, dict[int, float]] = {
        "barlow_twins": {2048: 6.6, 8192: 29},
        "vicreg": {2048: 20, 8192: 127},
    }
    for row in found["redundancy"]:
        if aim := aims[row["loss"]].get(row["dim"]):
            what = f"{row['loss']}, {row['dim']:,} dimensions, batch {row['batch']}"
            rows.append([what, f"{aim} × lightly", f"{row['ratio']:.1f} ×", "losses.py"])
    return rows


def neighbours() -> list[list[str]]:
    """The kNN."""
    found = result("knn")["microseconds_per_query"].values()
    times, different = [row["ratio"] for row in found], sum(row["different"] for row in found)
    reached = f"{min(times):.1f} to {max(times):.1f} ×, {different} predictions differ"
    return [["kNN, bank of 50,000 × 512", "3 × lightly, the same predictions", reached, "knn.py"]]


def large_batches() -> list[list[str]]:
    """Batches in parts, beside one batch of that size."""
    found = next(row["found"] for row in result("effective_batch")["runs"] if "each" not in row)
    return [
        [
            f"A step in parts, BatchNorm {name}, of a plain step's time",
            "1.4",
            f"{times:.2f}",
            "effective_batch.py",
        ]
        for name, times in found["times whole"].items()
    ]


def to_accuracy(data: str) -> list[list[str]]:
    """CPU seconds until the accuracy that lightly reaches in ten minutes."""
    runs_of: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for run in result("time_to_accuracy")["runs"]:
        what, method, images, _, budget, _ = run["work"]
        if what == "run" and images == data:
            runs_of.setdefault((method, budget), []).append(run["found"])

    def mean(method: str, budget: int, read: Callable[[dict[str, Any]], float]) -> float:
        return statistics.mean(map(read, runs_of[method, budget]))

    def accuracy(found: dict[str, Any]) -> float:
        return 100 * float(found["knn"]["value"])

    def seconds(found: dict[str, Any]) -> float:
        return float(found["cpu_seconds"])

    goal = mean(PEER, GOAL, accuracy)
    own = [one for one in runs_of if one[0] != PEER]
    enough = [mean(*one, seconds) for one in own if mean(*one, accuracy) >= goal]
    longest = max(mean(*one, seconds) for one in own)
    peer = mean(PEER, GOAL, seconds)
    share = f"1/{peer / min(enough):.0f} ({min(enough):.0f} of {peer:.0f})" if enough else ""
    return [
        [
            f"CPU seconds to the {goal:.1f} % (kNN, {data}) of lightly's ten minutes",
            "1/20 of lightly's",
            share or f"not within {longest:.0f} of {peer:.0f}",
            "time_to_accuracy.py",
        ]
    ]


def exact_and_flat() -> list[list[str]]:
    """Parity of processes, and memory against the size of the data."""
    cases = [row for row in result("parity") if row["precision"] == "float64"]
    worst = max(max(row["processes"].values()) for row in cases)
    memory = {(row["how"], row["times"]): row for row in result("memory")}
    most = max(
        memory[how, 100][what]["RssAnon"] / memory[how, 1][what]["RssAnon"]
        for how in ("mapped", "fetched")
        for what in ("trained", "read")
    )
    return [
        [
            f"Two processes against one, {len(cases)} cases, float64, largest difference",
            "1e-10",
            f"{worst:.0e}",
            "parity.py",
        ],
        ["Memory of a run on 100 times the data", "flat", f"{most:.2f} ×", "memory.py"],
    ]


def help_seconds() -> float:
    """Of `twofold --help`, the median of five."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        command = [sys.executable, "-m", "twofold", "--help"]
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Writes the page."""
    rows = [
        *views(),
        *steps(),
        *to_accuracy("fashion-mnist"),
        *to_accuracy("emoji"),
        *losses(),
        *large_batches(),
        *exact_and_flat(),
        *neighbours(),
        ["`twofold --help`, seconds", "0.3", f"{help_seconds():.2f}", "goals.py"],
    ]
    linked = [[*row[:-1], f"`benchmarks/{row[-1]}`"] for row in rows]
    lines = [
        "# Goals of speed and memory",
        "",
        "What was aimed at, what was reached, and the command that measures it. Times are CPU "
        "seconds of one thread, both sides in turn, on machines that were shared (views and "
        "emoji with AVX2, the rest with AVX-512 and AMX); trust factors, not second digits. "
        "Peers have the same precision unless a row says otherwise.",
        "",
        *runs.table(("what", "aim", "reached", "command"), linked),
        "",
        "Not measured: any of it on a GPU, and peers in their default float32.",
        "",
        "Written by `benchmarks/goals.py` from `benchmarks/results/`.",
    ]
    write_atomically(PAGE, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
