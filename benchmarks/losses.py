"""Losses against lightly's and pytorch-metric-learning's: values, gradients, time and memory.

    python benchmarks/losses.py [--docs FOLDER]
    python benchmarks/losses.py --crossover

Each case is one where the definitions coincide, which `CASES` says. Both sides compute in float64
on the same embeddings; the largest differences are printed and written to
benchmarks/results/losses.json, and any above 1e-10 fails. The peers run in `.venv-bench` (made by
`make bench`), in a process of its own that this file starts with `--peers`.

Then forward and backward passes are timed in float32 on one thread: CPU time, rounds of twofold and
lightly alternating, so that whatever else the machine does touches both; medians, and the median of
the rounds' ratios. Memory is the growth of the peak of a fresh process over that before the call,
gradients included; one may have 12 GiB. docs/loss_benchmark.md and .svg are written in the end.

`--crossover` alone shows from how many similarities on streaming is no slower than the dense form.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "losses.json"
PEER = ROOT / ".venv-bench" / "bin" / "python"
TOLERANCE = 1e-10
BATCH, DIM, QUEUE = 48, 16, 100
CASES = {  # name: where the definitions coincide
    "nt_xent": "lightly NTXentLoss: always",
    "info_nce, queue": "lightly NTXentLoss with a memory bank: given normalised entries",
    "sup_con": "pytorch-metric-learning SupConLoss: if every row has another of its class",
    "negative_cosine": "lightly NegativeCosineSimilarity: given a detached target",
    "byol": "lightly NegativeCosineSimilarity c both ways: 4 + 2c + 2c, given detached targets",
    "barlow_twins": "lightly BarlowTwinsLoss: given the same lambda (theirs defaults to 0.005)",
    "vicreg": "lightly VICRegLoss: always",
}

PAIRS = (256, 512, 1024, 2048, 4096, 8192, 16384)
WIDTH, SMALL_BATCH = 128, 128
DIMS = (512, 2048, 8192)
ROUNDS, ROUNDS_OF_SECONDS = 7, 2
MOST_MEMORY = 12 * 2**30
SIDES = {"twofold": sys.executable, "lightly": str(PEER)}

Loss = Callable[[Tensor, Tensor], Tensor]


def draw(seed: int, rows: int) -> Tensor:
    """Standard normal rows `(rows, DIM)` in float64."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, DIM)))


LABELS = torch.arange(2 * BATCH) % 12
ENTRIES = draw(2, QUEUE)
TARGETS = draw(3, BATCH), draw(4, BATCH)


def own_losses() -> dict[str, Loss]:
    """twofold's losses of two views."""
    from twofold import losses

    return {
        "nt_xent": lambda a, b: losses.nt_xent(a, b, temperature=0.1),
        "info_nce, queue": lambda a, b: losses.info_nce(a, b, temperature=0.1, negatives=ENTRIES),
        "sup_con": lambda a, b: losses.sup_con(torch.cat([a, b]), LABELS, temperature=0.1),
        "negative_cosine": losses.negative_cosine,
        "byol": lambda a, b: losses.byol((a, b), TARGETS),
        "barlow_twins": losses.barlow_twins,
        "vicreg": losses.vicreg,
    }


def peer_losses() -> dict[str, Loss]:
    """The peers' losses, under the conditions that `CASES` names."""
    from lightly.loss import (
        BarlowTwinsLoss,
        NegativeCosineSimilarity,
        NTXentLoss,
        VICRegLoss,
    )
    from pytorch_metric_learning.losses import SupConLoss

    cosine, sup_con = NegativeCosineSimilarity(), SupConLoss(temperature=0.1)

    def queue(first: Tensor, second: Tensor) -> Tensor:
        loss = NTXentLoss(temperature=0.1, memory_bank_size=(QUEUE, DIM))
        loss.memory_bank.bank = torch.nn.functional.normalize(ENTRIES)
        return loss(first, second)

    return {
        "nt_xent": NTXentLoss(temperature=0.1),
        "info_nce, queue": queue,
        "sup_con": lambda a, b: sup_con(torch.cat([a, b]), LABELS),
        "negative_cosine": lambda a, b: cosine(a, b.detach()),
        "byol": lambda a, b: 4 + 2 * cosine(a, TARGETS[1]) + 2 * cosine(b, TARGETS[0]),
        "barlow_twins": BarlowTwinsLoss(lambda_param=0.0051),
        "vicreg": VICRegLoss(),
    }


def value_and_gradients(loss: Loss) -> tuple[float, list[list[list[float]]]]:
    """The loss of two correlated views, and its gradient with respect to each."""
    first = draw(0, BATCH)
    views = [first.clone().requires_grad_(), (first + draw(1, BATCH)).requires_grad_()]
    value = loss(*views)
    value.backward()
    return value.item(), [
        (torch.zeros_like(v) if v.grad is None else v.grad).tolist() for v in views
    ]


def compare(own: tuple, peer: tuple) -> dict[str, float]:
    """Both values, and the largest differences."""
    gradients = [torch.tensor(side[1], dtype=torch.float64) for side in (own, peer)]
    return {
        "twofold": own[0],
        "peer": peer[0],
        "value_difference": abs(own[0] - peer[0]),
        "largest_gradient": gradients[0].abs().max().item(),
        "gradient_difference": (gradients[0] - gradients[1]).abs().max().item(),
    }


def compare_all() -> dict[str, Any]:
    """Compares every case, prints the table and ends if one disagrees."""
    answer = subprocess.run([PEER, __file__, "--peers"], check=True, stdout=-1, text=True).stdout
    peers = json.loads(answer.splitlines()[-1])
    own = own_losses()
    rows = {name: compare(value_and_gradients(own[name]), peers["figures"][name]) for name in CASES}
    print(f"{'float64':17}{'twofold':>12}{'peer':>12}{'|value|':>10}{'|gradient|':>12}   coincides")
    for name, row in rows.items():
        print(
            f"{name:17}{row['twofold']:12.6f}{row['peer']:12.6f}{row['value_difference']:10.0e}"
            f"{row['gradient_difference']:12.0e}   {CASES[name]}"
        )
    worst = max(max(row["value_difference"], row["gradient_difference"]) for row in rows.values())
    if worst > TOLERANCE:
        sys.exit(f"the largest difference is {worst:.0e}; it must be at most {TOLERANCE:.0e}")
    return {"peers": peers["versions"], "coincides": CASES, "cases": rows}


def serve(side: str) -> None:
    """Answers each case on standard input, `[loss, batch, dim, calls]`, with CPU s of a call."""
    losses = own_losses() if side == "twofold" else peer_losses()
    for line in sys.stdin:
        name, batch, dim, calls = json.loads(line)
        views = torch.randn(2, batch, dim).requires_grad_().unbind()
        losses[name](*(view[:64] for view in views)).backward()  # loads what it needs
        began = time.process_time()
        for _ in range(calls):
            losses[name](*views).backward()
        print(json.dumps((time.process_time() - began) / calls), flush=True)


def serve_memory(side: str) -> None:
    """Answers each case with the MiB that a call adds, or null if 12 GiB are too few."""
    losses = own_losses() if side == "twofold" else peer_losses()
    for line in sys.stdin:
        if child := os.fork():  # each case has a process to itself, which imports nothing
            if os.waitpid(child, 0)[1]:
                sys.exit(f"{side}: the memory of {line.strip()} was not measured")
            continue
        name, batch, dim, _ = json.loads(line)
        print(json.dumps(growth(losses[name], batch, dim)), flush=True)
        os._exit(0)


def growth(loss: Loss, batch: int, dim: int) -> float | None:
    """MiB by which a forward and a backward pass raise the peak; None if 12 GiB are too few."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    loss(*torch.randn(2, 64, 64).requires_grad_().unbind()).backward()  # loads what it needs
    views = torch.randn(2, batch, dim).requires_grad_().unbind()
    before = peak()
    try:
        loss(*views).backward()
    except RuntimeError:  # the allocator's
        return None
    return peak() - before


def peak() -> float:
    """The most memory that this process has had, in MiB; `getrusage` counts its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(ask: Callable[..., Any], name: str, batch: int, dim: int) -> dict[str, Any]:
    """CPU seconds of a call and MiB, of both sides."""
    case = (name, batch, dim, max(1, 2**19 // (batch * dim)))
    mib = {side: ask("--memory", side, case) for side in SIDES}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES if mib[side] is not None}
    for _ in range(ROUNDS if batch * dim <= 2**18 else ROUNDS_OF_SECONDS):
        for side, times in seconds.items():
            times.append(ask("--serve", side, case))
    row: dict[str, Any] = {"loss": name, "batch": batch, "dim": dim}
    for side in SIDES:
        times = seconds.get(side)
        row[side] = {"seconds": times and statistics.median(times), "mib": mib[side]}
    if len(seconds) == 2:
        ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
        row |= {"ratio": statistics.median(ratios), "ratios": [min(ratios), max(ratios)]}
    print(json.dumps(row), flush=True)
    return row


def measure_all() -> dict[str, Any]:
    """Time and memory of every case."""
    servers = {}
    for what, side in itertools.product(("--serve", "--memory"), SIDES):
        command = [SIDES[side], __file__, what, side]
        servers[what, side] = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)

    def ask(what: str, side: str, case: tuple[Any, ...]) -> Any:
        server = servers[what, side]
        print(json.dumps(case), file=server.stdin, flush=True)
        return json.loads(server.stdout.readline())

    contrast = [measure(ask, "nt_xent", pairs, WIDTH) for pairs in PAIRS]
    redundancy = [
        measure(ask, name, SMALL_BATCH, dim) for name in ("barlow_twins", "vicreg") for dim in DIMS
    ]
    for server in servers.values():
        server.communicate()
    return {"load": os.getloadavg()[0], "contrast": contrast, "redundancy": redundancy}


def table(words: str, rows: list[dict[str, Any]]) -> list[str]:
    """Time and memory of both sides as a Markdown table."""
    import runs

    head = [words, "twofold, ms", "lightly, ms", "times as fast", "twofold, MiB", "lightly, MiB"]
    lines = []
    for row in rows:
        size = f"{row['batch']:,}" if row["dim"] == WIDTH else f"{row['loss']}, {row['dim']:,}"
        times, mib = ([row[side][what] for side in SIDES] for what in ("seconds", "mib"))
        figures = [*(t and 1000 * t for t in times), row.get("ratio"), *mib]
        lines.append([size, *map(shown, figures)])
    return runs.table(head, lines)


def describe(result: dict[str, Any]) -> str:
    """The text of docs/loss_benchmark.md."""
    largest = result["contrast"][-1]
    spread = [row["ratios"] for row in result["contrast"] + result["redundancy"] if "ratio" in row]
    widest = max(high / low for low, high in spread)
    worst = max(row["gradient_difference"] for row in result["cases"].values())
    return "\n".join(
        [
            "# What the losses cost",
            "",
            f"NT-Xent of {largest['batch']:,} pairs takes "
            f"{shown(largest['twofold']['mib'])} MiB and "
            f"{largest['twofold']['seconds']:.2g} seconds on one core. Nothing has to be chosen "
            "for that: from some hundred rows on, similarities are computed a tile at a time, and "
            "once more in the backward pass, so that memory grows with the batch and not with its "
            "square. The rows being compared with themselves, only tiles on and above the diagonal "
            "are computed. `info_nce` with any negatives and `sup_con` stream alike; values and "
            "gradients are those of the dense form to 1e-12.",
            "",
            "![Time per pair and memory from 256 to 16,384 pairs](loss_benchmark.svg)",
            "",
            f"Forward and backward pass, dim {WIDTH}, float32, one thread; memory is what the call "
            "adds, gradients included. lightly's loss of the largest batch does not fit into "
            f"{MOST_MEMORY // 2**30} GiB.",
            "",
            *table("pairs", result["contrast"]),
            "",
            "## Barlow Twins and VICReg",
            "",
            f"Of a batch smaller than half the dimensions, here {SMALL_BATCH}, the matrix of "
            "dimensions by dimensions is never computed: the sum of its squares is that of the "
            "products of two matrices of items by items, `|AᵀB|² = Σ (AAᵀ)∘(BBᵀ)`.",
            "",
            *table("loss, dimensions", result["redundancy"]),
            "",
            f"Values and gradients of all losses are those of lightly {result['peers']['lightly']} "
            "and pytorch-metric-learning where the definitions coincide; the largest difference of "
            f"a gradient is {worst:.0e}.",
            "",
            f"CPU, torch {result['torch']}; medians of rounds that alternate. The machine was "
            f"shared: of one case the rounds' ratios differ by up to {widest:.1f} times. All "
            "figures are in `benchmarks/results/losses.json`.",
            "",
            "Written by `benchmarks/losses.py`.",
            "",
        ]
    )


def shown(value: float | None) -> str:
    """Three digits, no exponent; a dash if there is none."""
    if value is None:
        return "–"
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def picture(result: dict[str, Any], path: Path) -> None:
    """Time per pair and memory of NT-Xent over the number of pairs."""
    from matplotlib.figure import Figure

    import runs

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels = {
        "CPU microseconds per pair": lambda row, side: row[side]["seconds"] / row["batch"] * 1e6,
        "MiB in addition": lambda row, side: row[side]["mib"],
    }
    for axes, (title, of) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        runs.plain(axes)
        axes.grid(color=runs.GRID)
        axes.loglog()
        for side, colour in zip(SIDES, runs.SERIES, strict=False):
            rows = [row for row in result["contrast"] if row[side]["seconds"] is not None]
            places, values = [row["batch"] for row in rows], [of(row, side) for row in rows]
            axes.plot(places, values, "o-", color=colour, ms=4, lw=1.5)
            words = {"color": colour, "ha": "right", "fontsize": 9}
            end = places[-1], values[-1]
            axes.annotate(side, end, (-10, -2), textcoords="offset points", **words)
        axes.set_xticks(PAIRS, [f"{pairs:,}" for pairs in PAIRS], fontsize=8)
        axes.minorticks_off()
        axes.set_title(title, fontsize=10, color=runs.INK)
        axes.set_xlabel("pairs")
        axes.xaxis.label.set_color(runs.INK)
    runs.save(figure, path)


def show_crossover() -> None:
    """Milliseconds of the dense form and of the streamed one, by the number of similarities."""
    from twofold.losses import info_nce, nt_xent, tiles

    forms = {"dense": math.inf, "streamed": 0}
    for name, loss, sizes, rows in (
        ("symmetric", nt_xent, range(14, 21), 2),
        ("not symmetric", info_nce, range(16, 23), 1),
    ):
        for size in sizes:
            batch = round(2 ** (size / 2)) // rows
            views = torch.randn(2, batch, WIDTH).requires_grad_().unbind()
            found: dict[str, list[float]] = {form: [] for form in forms}
            for _ in range(4 * ROUNDS):
                for form, most in forms.items():
                    tiles._DENSE = tiles._DENSE_SYMMETRIC = most
                    began = time.process_time()
                    loss(*views, temperature=0.1).backward()
                    found[form].append(1000 * (time.process_time() - began))
            times = "  ".join(f"{form} {statistics.median(ms):.2f}" for form, ms in found.items())
            print(f"{name:14} 2^{size} similarities, ms: {times}", flush=True)


def main() -> None:
    """Compares every case, measures every size, and writes result, page and figure."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    parser.add_argument("--crossover", action="store_true", help="dense against streamed, alone")
    parser.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peers:
        figures = {name: value_and_gradients(loss) for name, loss in peer_losses().items()}
        versions = {name: version(name) for name in ("torch", "lightly", "pytorch-metric-learning")}
        print(json.dumps({"versions": versions, "figures": figures}))
    elif options.serve:
        serve(options.serve)
    elif options.memory:
        serve_memory(options.memory)
    elif options.crossover:
        show_crossover()
    elif not PEER.exists():
        sys.exit("nothing is compared: .venv-bench is missing; `make bench` creates it")
    else:
        import runs

        result = {"torch": torch.__version__, **compare_all(), **measure_all()}
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        picture(result, options.docs / "loss_benchmark.svg")
        runs.write_page(describe(result), options.docs / "loss_benchmark.md")


if __name__ == "__main__":
    main()
