"""How a machine's cores are best divided between computing and preparing batches: wall seconds.

    .venv/bin/python benchmarks/threads.py [--rounds 3]

Short trainings of a small network with SimCLR on generated images in memory, in turn: all cores
compute; one of them prepares batches ahead; a thread beside all that compute does so; and all
compute, but idle OpenMP threads spin instead of sleeping. Each alone, and two at once, as when
somebody evaluates one run while another trains. Seconds are those of the training, start-up left
out; the slower one's of two. Medians go to benchmarks/results/threads.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from runs import ROOT

RESULT = ROOT / "benchmarks" / "results" / "threads.json"
IMAGES = 4096
TRAINING = "simclr --encoder resnet-small --epochs 2 --monitor-every 2 --tune off --profile"


def main() -> None:
    """Measures every division, prints what runs took and writes the medians."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    cores = len(os.sched_getaffinity(0))
    ways = {  # threads that compute, that prepare, what idle ones do
        "all compute": (cores, 0, "passive"),
        "one prepares": (max(1, cores - 1), 1, "passive"),
        "one more prepares": (cores, 1, "passive"),
        "all compute, idle ones spin": (cores, 0, "active"),
    }
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32), np.uint8)
        np.save(Path(folder) / "images.npy", images)
        for _ in range(rounds):
            for at_once in (1, 2):
                for name, way in ways.items():
                    seconds = train(Path(folder), way, at_once)
                    found[name, at_once].append(seconds)
                    print(f"{name}, {at_once} at once: {seconds:.1f} s", flush=True)
    rows = [
        {"way": name, "threads": threads, "loader_threads": ahead}
        | {"alone": statistics.median(found[name, 1])}
        | {"two_at_once": statistics.median(found[name, 2])}
        for name, (threads, ahead, _) in ways.items()
    ]
    about = {"torch": torch.__version__, "cores": cores, "rounds": rounds, "rows": rows}
    RESULT.write_text(json.dumps(about, indent=1) + "\n")


def train(folder: Path, way: tuple[int, int, str], at_once: int) -> float:
    """Seconds of one training, or of the slower one of several at once."""
    threads, ahead, idle = way
    command = [str(Path(sys.executable).with_name("twofold")), "pretrain", *TRAINING.split()]
    command += ["--data", str(folder / "images.npy")]
    command += ["--threads", str(threads), "--loader-threads", str(ahead)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_WAIT_POLICY": idle}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        outs = [Path(place) / str(number) for number in range(at_once)]
        started = [
            subprocess.Popen([*command, "--out", str(out)], env=environment, **silent)
            for out in outs
        ]
        ended = [one.wait() for one in started]
        if any(ended):
            raise SystemExit(f"{' '.join(command)} failed")
        return max(json.loads((out / "profile.json").read_text())["seconds"] for out in outs)


if __name__ == "__main__":
    main()
