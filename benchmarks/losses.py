"""Losses against lightly's and pytorch-metric-learning's, in value and in gradient.

    python benchmarks/losses.py

Each case is one where the definitions coincide, which `CASES` says. Both sides compute in float64
on the same embeddings; the largest differences are printed and written to
benchmarks/results/losses.json, and any above 1e-10 fails. The peers run in `.venv-bench` (made by
`make bench`), in a process of its own that this file starts with `--peers`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

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


def main() -> None:
    """Compares every case, prints the table, writes the result and fails if one disagrees."""
    if "--peers" in sys.argv:
        figures = {name: value_and_gradients(loss) for name, loss in peer_losses().items()}
        versions = {name: version(name) for name in ("torch", "lightly", "pytorch-metric-learning")}
        print(json.dumps({"versions": versions, "figures": figures}))
        return
    if not PEER.exists():
        sys.exit("nothing is compared: .venv-bench is missing; `make bench` creates it")
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
    result = {"torch": torch.__version__, "peers": peers["versions"], "coincides": CASES}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**result, "cases": rows}, indent=1) + "\n")
    worst = max(max(row["value_difference"], row["gradient_difference"]) for row in rows.values())
    if worst > TOLERANCE:
        sys.exit(f"the largest difference is {worst:.0e}; it must be at most {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
