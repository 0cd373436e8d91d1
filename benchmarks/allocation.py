"""What it is worth that a run keeps freed memory: CPU seconds, new pages and peak memory.

    .venv/bin/python benchmarks/allocation.py

An epoch of SimCLR on one thread, images in memory, in processes of their own: as runs are, and with
the C library left to itself, in turn. Start-up is included. Medians go to
benchmarks/results/allocation.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from runs import ROOT

RESULT = ROOT / "benchmarks" / "results" / "allocation.json"
CASES = {"32 px": (32, 4096), "96 px": (96, 768)}  # size, images
LEFT_ALONE = {"MALLOC_LEFT_ALONE": "1"}  # whoever sets any such variable decides for himself
ROUNDS = 2
PROGRAM = """
import json, resource, sys
import numpy as np
import twofold
size, count, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
settings = {"encoder": "resnet-small", "epochs": 1, "batch_size": 128, "threads": 1, "tune": "off"}
twofold.pretrain("simclr", data=images, out=out, quiet=True, **settings)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_minflt, used.ru_maxrss / 1024]))
"""


def run(size: int, count: int, environment: dict[str, str]) -> tuple[float, float, float]:
    """CPU seconds, pages and MiB of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, str(size), str(count), str(Path(folder) / "run")]
        place = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment}
        done = subprocess.run(command, env=place, check=True, stdout=-1, text=True)
    seconds, pages, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, pages, peak


def main() -> None:
    """Measures both sizes, prints the table and writes the result."""
    rows = []
    for name, (size, count) in CASES.items():
        kept, left = [], []
        for _ in range(ROUNDS):
            kept.append(run(size, count, {}))
            left.append(run(size, count, LEFT_ALONE))
        of_kept, of_left = (
            [statistics.median(one) for one in zip(*r, strict=True)] for r in (kept, left)
        )
        gain = statistics.median(b[0] / a[0] for a, b in zip(kept, left, strict=True))
        rows.append({"case": name, "kept": of_kept, "left": of_left, "gain": gain})
        print(f"{name}: {of_kept} kept, {of_left} left, {gain:.2f} times as fast", flush=True)
    about = {"torch": torch.__version__, "rounds": ROUNDS, "rows": rows}
    RESULT.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
