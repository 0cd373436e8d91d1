"""Memory of a run against the size of its data: it must stay flat.

    python benchmarks/memory.py [--megabytes 40] [--steps 40] [--place FOLDER] [--results FILE]
                                [--docs FOLDER]

Noise of 32x32 pixels in three colours, once, ten and a hundred times as much of it, is packed into
shards. `twofold pretrain` then learns from them on one thread, mapped from the disk and fetched
through a URL, and is stopped after some steps; and every batch of an epoch is read. The peak of
the memory that is the process's own (RssAnon) and of all that is mapped (VmRSS) is sampled all the
while. It fails if the first grows by more than 5 %. A run on the smallest data as an array in
memory says what shards cost.

Figures are written to benchmarks/results/memory.json and to docs/memory.md; the shards are deleted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import runs
from twofold.domains import Data, Source, open_data
from twofold.domains.shards import PackedIds
from twofold.folder import read_metrics, write_atomically
from twofold.packing import pack

SIDE, CHANNELS, CLASSES = 32, 3, 10
ITEM_BYTES = CHANNELS * SIDE * SIDE
TIMES = (1, 10, 100)
CACHE_GB, SHARD_MB, BATCH = 0.25, 8.0, 256
GROWTH = 1.05
EVERY = 0.02  # seconds between samples


class Noise:
    """Items that are drawn when they are asked for."""

    ndim, dtype = 4, np.dtype(np.uint8)

    def __init__(self, count: int) -> None:
        self.shape = (count, CHANNELS, SIDE, SIDE)
        self._some = np.random.default_rng(0).integers(0, 256, (997, *self.shape[1:]), np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        drawn: np.ndarray = self._some[np.arange(len(self))[index] % len(self._some)]
        return drawn


def make(folder: Path, megabytes: float) -> int:
    """Shards of so many megabytes to train on, and few to test on; returns how many items."""
    count = int(megabytes * 1e6 / ITEM_BYTES)
    parts = [
        Source(
            name="noise",
            items=Noise(size),
            ids=PackedIds(np.char.mod(f"{name}%d", np.arange(size)).astype("S")),
            labels=np.arange(size) % CLASSES,
            label_names=tuple(map(str, range(CLASSES))),
        )
        for name, size in (("a", count), ("b", 500))
    ]
    pack(Data("noise", *parts, note="noise"), folder, shard_mb=SHARD_MB)
    return count


def peak_of(process: subprocess.Popen[str], done: Callable[[], bool]) -> dict[str, float]:
    """The largest memory of a process in MB, until it ends; it is stopped once `done` says so."""
    peak, stopped = {"RssAnon": 0.0, "VmRSS": 0.0}, False
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        for line in lines:
            key, _, value = line.partition(":")
            if key in peak:
                peak[key] = max(peak[key], int(value.split()[0]) * 1024 / 1e6)
        if not stopped and done():
            process.send_signal(signal.SIGINT)  # it ends its step and saves a checkpoint
            stopped = True
        time.sleep(EVERY)
    process.wait()
    return peak


def begun(command: Sequence[str]) -> subprocess.Popen[str]:
    """A process on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=-1, stderr=-2, text=True)


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """What all threads of a process have computed."""
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def trained(data: str, folder: Path, steps: int) -> dict[str, float]:
    """A run on some data, stopped after some steps."""
    flags = {
        "data": data,
        "out": folder,
        "encoder": "resnet-small",
        "width": 0.25,
        "batch-size": BATCH,
        "cache-gb": CACHE_GB,
        "threads": 1,
        "loader-threads": 0,
        "device": "cpu",
    }
    given = [f"--{name}={value}" for name, value in flags.items()]
    command = [sys.executable, "-m", "twofold", "pretrain", "simclr", *given]
    computed: dict[int, float] = {}
    process = begun(command)

    def done() -> bool:
        lines = read_metrics(folder) if (folder / "metrics.jsonl").exists() else []
        count = sum(line["kind"] == "step" for line in lines)
        if count:
            computed.setdefault(count, cpu_seconds(process))
        return count >= steps

    peak = peak_of(process, done)
    if not computed or max(computed) < steps:
        sys.exit(f"the run on {data} ended early: {process.stdout and process.stdout.read()}")
    first, last = min(computed), max(computed)
    rate = BATCH * (last - first) / (computed[last] - computed[first])
    return {**peak, "items_per_cpu_s": rate}


def read_through(data: str) -> dict[str, float]:
    """Every batch of an epoch, read by a process of its own."""
    process = begun([sys.executable, __file__, "--work", data])
    peak = peak_of(process, lambda: False)
    said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        sys.exit(f"reading {data} failed: {said}")
    return {**peak, "items_per_cpu_s": float(said)}


def read_all(data: str) -> float:
    """Reads every batch of an epoch; returns the items of a CPU second."""
    began = time.process_time()
    train = open_data(data, cache_gb=CACHE_GB).train
    steps = len(train) // BATCH
    order = train.items.order(BATCH, steps, seed=0, epoch=0)
    count = 0
    for step in range(steps):
        rows = np.sort(order[step * BATCH : (step + 1) * BATCH])
        count += len(train.items[rows])
        assert train.labels[rows].max() < CLASSES
    return count / (time.process_time() - began)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every size, mapped and fetched, trained on and read through."""
    found = []
    for times in TIMES:
        with tempfile.TemporaryDirectory(dir=options.place) as name:
            place, shards = Path(name), Path(name, "shards")
            os.environ["TWOFOLD_CACHE"] = str(place / "cache")
            megabytes = options.megabytes * times
            items = make(shards, megabytes)
            if times == TIMES[0]:
                array, labels = Noise(items)[:], np.arange(items) % CLASSES
                np.savez(place / "noise.npz", images=array, labels=labels)
                run = trained(str(place / "noise.npz"), place / "array", options.steps)
                about = {"times": times, "megabytes": megabytes, "items": items, "how": "array"}
                found.append({**about, "trained": run})
            for how, data in (("mapped", str(shards)), ("fetched", f"file://{shards}")):
                about = {"times": times, "megabytes": megabytes, "items": items, "how": how}
                run = trained(data, place / how, options.steps)
                found.append({**about, "trained": run, "read": read_through(data)})
            print(json.dumps(found), flush=True)
            shutil.rmtree(shards)
    return found


def growth(found: Sequence[dict[str, Any]], how: str, what: str) -> float:
    """The memory on the largest data as a multiple of that on the smallest."""
    peaks = [one[what]["RssAnon"] for one in found if one["how"] == how]
    return float(max(peaks) / peaks[0])


def describe(found: Sequence[dict[str, Any]], options: argparse.Namespace) -> str:
    """The text of docs/memory.md."""
    head = ["data", "items", "shards", "own, MB", "with what is mapped, MB", "items/CPU s"]
    head += ["read: own, MB", "with what is mapped, MB", "items/CPU s"]
    rows = []
    for one in found:
        figures = [
            f"{one[what][key]:,.0f}" if what in one else ""
            for what in ("trained", "read")
            for key in ("RssAnon", "VmRSS", "items_per_cpu_s")
        ]
        size = f"{one['megabytes']:,.0f} MB"
        rows.append([size, f"{one['items']:,}", one["how"], *figures])
    grown = {
        (how, what): growth(found, how, what)
        for how in ("mapped", "fetched")
        for what in ("trained", "read")
    }
    most = max(grown.values())
    return "\n".join(
        [
            "# Memory against the size of the data",
            "",
            f"A hundred times the data takes {most:.2f} times the memory at most. SimCLR on noise "
            f"of 32x32 pixels in three colours, a narrow `resnet-small`, batches of {BATCH}, one "
            f"thread; shards of {SHARD_MB:.0f} MB, of which {CACHE_GB * 1000:.0f} MB are near at a "
            "time. Own memory is what only this process has (RssAnon); what is mapped beside it "
            "are pages of shards, which the system takes back when it needs them.",
            "",
            *runs.table(head, rows),
            "",
            f"Peaks, sampled every {1000 * EVERY:.0f} ms: of `twofold pretrain` from its start "
            f"until {options.steps} steps are done, opening the data, the held-out items and the "
            "monitor's included; and of reading every batch of an epoch and nothing else. Fetched "
            "is through a `file://` URL, as from any store: each shard is copied and its digest "
            "checked. Array is an `.npz` file in memory. A run [keeps what it "
            "frees](how_to/speed.md#memory-that-is-kept), so where blocks come to lie moves its "
            "peak by some percent; what only reads does not.",
            "",
            "Written by `python benchmarks/memory.py`, which fails if own memory grows by more "
            f"than {100 * (GROWTH - 1):.0f} %; all figures are in "
            "`benchmarks/results/memory.json`.",
            "",
        ]
    )


def main() -> None:
    """Measures, writes the page, and fails if memory grows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=40, help="of the smallest data")
    parser.add_argument("--steps", type=int, default=40, help="of a run; fewer than an epoch")
    parser.add_argument("--place", type=Path, help="folder for the shards, deleted in the end")
    kept = runs.ROOT / "benchmarks" / "results" / "memory.json"
    parser.add_argument("--results", type=Path, default=kept, help="file of what is measured")
    parser.add_argument("--docs", type=Path, default=runs.ROOT / "docs", help="folder of the page")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(read_all(options.work))
        return
    found = measure(options)
    write_atomically(options.results, (json.dumps(found, indent=1) + "\n").encode())
    runs.write_page(describe(found, options), options.docs / "memory.md")
    for how in ("mapped", "fetched"):
        for what in ("trained", "read"):
            grown = growth(found, how, what)
            if grown > GROWTH:
                sys.exit(f"memory grows {grown:.2f} times ({how}, {what})")


if __name__ == "__main__":
    main()
