"""SimCLR views per CPU-second, against lightly's transform, one thread each.

    OMP_NUM_THREADS=1 python benchmarks/augment.py

Two views of every image, the same recipe on both sides: crop, flip, colour jitter .4 .4 .4 .1,
grayscale, and blur where said. Both renderers are measured, batched torch and, where numba is
installed, the fused one; the seconds to compile it are told apart. twofold starts from uint8 arrays
in memory, lightly from PIL images made beforehand. Rounds alternate, so that whatever else the
machine does touches both; the medians are printed and written to benchmarks/results/augment.json.
lightly runs in `.venv-bench` (made by `make bench`), in a process of its own that this file starts
with `--lightly`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "augment.json"
PEER = ROOT / ".venv-bench" / "bin" / "python"
ROUNDS = 9
BATCH = 256
CASES = {  # name: size, channels, blur, images a round for each side
    "32 px": (32, 3, False, 1024, 64),
    "96 px": (96, 3, False, 256, 24),
    "96 px, blur": (96, 3, True, 256, 24),
    "28 px, gray": (28, 1, False, 4096, 0),
}


def arrays(case: str, count: int) -> np.ndarray:
    """Random uint8 images `(count, size, size, channels)`."""
    size, channels = CASES[case][:2]
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), np.uint8)


def twofold_round(case: str, renderer: str) -> Callable[[], None]:
    """What draws and renders both views of a round's images, a batch at a time."""
    from twofold.augment import IMAGE, Views, fused, rendering

    size, channels, blur, count, _ = CASES[case]
    names = ["crop", "flip", "brightness", "contrast", "saturation", "hue", "grayscale"]
    prescription = dict.fromkeys([*names, "blur"] if blur else names, "invariant")
    render = {"torch": rendering.render, "fused": fused.render}[renderer]
    views = Views(IMAGE, prescription, channels=channels, size=size, renderer=render)
    items = np.ascontiguousarray(arrays(case, count).transpose(0, 3, 1, 2))

    def run() -> None:
        for start in range(0, count, BATCH):
            index = np.arange(start, min(start + BATCH, count))
            views(torch.from_numpy(items[index]).float().div_(255), index, epoch=0)

    return run


def lightly_round(case: str) -> Callable[[], None]:
    """What renders both views of a round's images, an image at a time."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    size, _, blur, _, count = CASES[case]
    transform = SimCLRTransform(
        input_size=size,
        cj_bright=0.4,
        cj_contrast=0.4,
        cj_sat=0.4,
        cj_hue=0.1,
        gaussian_blur=0.5 if blur else 0.0,
        normalize=None,
    )
    images = [Image.fromarray(array) for array in arrays(case, count)]

    def run() -> None:
        for image in images:
            transform(image)

    return run


def timed(run: Callable[[], None]) -> float:
    """CPU seconds of one round."""
    start = time.process_time()
    run()
    return time.process_time() - start


def serve_lightly() -> None:
    """Answers each case named on standard input with the CPU seconds of a round."""
    rounds: dict[str, Callable[[], None]] = {}
    for line in sys.stdin:
        case = line.strip()
        if case not in rounds:
            rounds[case] = lightly_round(case)
            rounds[case]()
        print(timed(rounds[case]), flush=True)


def measure(case: str, peer: subprocess.Popen[str] | None) -> dict[str, float | None]:
    """Medians of views per CPU-second, of alternating rounds."""
    from twofold.augment import fused

    _, _, _, own_count, peer_count = CASES[case]
    renderers = ("torch", "fused") if fused.available() else ("torch",)
    runs = {renderer: twofold_round(case, renderer) for renderer in renderers}
    rates: dict[str, list[float]] = {renderer: [] for renderer in (*renderers, "lightly")}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for renderer, run in runs.items():
            rates[renderer].append(2 * own_count / timed(run))
        if peer and peer.stdin and peer.stdout and peer_count:
            print(case, file=peer.stdin, flush=True)
            rates["lightly"].append(2 * peer_count / float(peer.stdout.readline()))
    return {name: statistics.median(some) if some else None for name, some in rates.items()}


def compiled() -> float | None:
    """CPU seconds until the fused renderer has made its first view, nothing of it kept before."""
    program = (
        "import time, torch; from twofold.augment import fused; start = time.process_time(); "
        "fused.render({}, torch.rand(1, 3, 8, 8), {}, size=8); print(time.process_time() - start)"
    )
    with tempfile.TemporaryDirectory() as empty:
        place = {**os.environ, "NUMBA_CACHE_DIR": empty}
        done = subprocess.run(
            [sys.executable, "-c", program], env=place, check=False, stdout=-1, text=True
        )
    return float(done.stdout) if done.returncode == 0 else None


def main() -> None:
    """Measures every case, prints the table and writes the result."""
    torch.set_num_threads(1)
    if "--lightly" in sys.argv:
        serve_lightly()
        return
    from twofold.allocation import keep_memory

    keep_memory()  # as every run does
    peer = None
    if PEER.exists():
        command = [str(PEER), __file__, "--lightly"]
        peer = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    else:
        print("lightly is not measured: .venv-bench is missing; `make bench` creates it")
    figures = {case: measure(case, peer) for case in CASES}
    if peer:
        peer.communicate()
    print(f"{'views per CPU-second':24}{'torch':>16}{'fused':>16}{'lightly':>10}")
    for case, figure in figures.items():
        print(f"{case:24}{_times(figure, 'torch')}{_times(figure, 'fused')}", end="")
        print(f"{figure['lightly']:>10.0f}" if figure["lightly"] else f"{'-':>10}")
    seconds = compiled()
    print(f"to compile the fused renderer: {seconds or 0:.1f} CPU seconds")
    about = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rounds": ROUNDS,
        "compile": seconds,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**about, "views_per_cpu_second": figures}, indent=1) + "\n")


def _times(figure: dict[str, float | None], renderer: str) -> str:
    """Views per CPU-second, and how many times lightly's they are."""
    rate, peer = figure.get(renderer), figure["lightly"]
    if rate is None:
        return f"{'-':>16}"
    return f"{rate:>9.0f}" + (f"{rate / peer:>6.1f}x" if peer else " " * 7)


if __name__ == "__main__":
    main()
