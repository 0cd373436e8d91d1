"""What a step costs, on paper and on this machine: arithmetic, memory, network, for any processes.

    python benchmarks/scale.py [--results FILE] [--page FILE]

The model of docs/scale.md, checked where it can be: the arithmetic against torch's counter of
floating-point operations, the network against the kernel's counter of bytes that went over the
loopback interface, both with one process and with two; and the time of a step of two processes
against that of one, once what one costs is known. Then it says what to expect of 8 GPUs and of
1,000 processes. Figures go to benchmarks/results/scale.json, tables to docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import runs
from twofold.balance import Weighted
from twofold.distributed import rank, together, wait_for_all, world_size
from twofold.folder import write_atomically
from twofold.hardware import Hardware
from twofold.losses.tiles import SHARED_PAIRS
from twofold.method import Method
from twofold.networks import build_encoder
from twofold.normalization import across_processes
from twofold.objectives import Batch, SimCLR
from twofold.optim import build_optimizer, set_learning_rate
from twofold.recipes import simclr
from twofold.train import step

RESULT = runs.ROOT / "benchmarks" / "results" / "scale.json"
PAGE = runs.ROOT / "docs" / "scale.md"
CASES = (
    ("resnet-small", 1, 28, 128),
    ("resnet-small", 1, 28, 1024),
    ("resnet18", 3, 32, 32),
)  # encoder, channels, size, items of all processes
STEPS, TURNS = 2, 3
VIEWS, NUMBER = 2, 4  # of an item; bytes of a float32
HARDWARE = Hardware(device="cpu", precision="float32", threads=1, loader_threads=0)
BEGUN, ENDED = "<!-- figures -->", "<!-- end -->"


class Machine(NamedTuple):
    """What processes compute and talk with."""

    name: str
    processes: int
    flops: float
    """Floating-point operations a second of a process that it sustains."""
    network: float
    """Bytes a second that a process sends."""


class Network(NamedTuple):
    """What of a network its costs follow from."""

    name: str
    parameters: int
    """Of the encoder and the head."""
    flops: float
    """Of one view, forwards."""
    dim: int
    """Of the embeddings."""
    channels: int
    """That all BatchNorms together normalise."""


class Costs(NamedTuple):
    """Of a step, for one process."""

    flops: float
    """Of the encoder and the head: forwards, and twice that backwards."""
    loss: float
    """Operations of NT-Xent, whose pairs processes share once there are many."""
    gradients: float
    """Bytes sent to average the gradients."""
    embeddings: float
    """Bytes sent to gather all embeddings, the gradients of them, and what is found of pairs."""
    norms: float
    """Bytes sent for BatchNorm over all processes."""

    def seconds(self, machine: Machine) -> dict[str, float]:
        """How long each takes, one after the other."""
        return {
            "encoder": self.flops / machine.flops,
            "loss": self.loss / machine.flops,
            "gradients": self.gradients / machine.network,
            "embeddings": self.embeddings / machine.network,
            "norms": self.norms / machine.network,
        }


def costs(network: Network, batch: int, processes: int) -> Costs:
    """The model.

    With B items in V views on W processes, P parameters, embeddings of D numbers and F operations
    to encode a view: 3 F V B / W for the network; 4 (V B)^2 D for the loss, whose similarities are
    computed twice, one triangle each time, and multiplied with the rows of either side: by each
    process, or, of 4 million pairs or more, shared by all for one more all-reduce of its gradient
    and an all-gather of its sums; an all-reduce of n bytes sends 2 n (W - 1) / W, an all-gather of
    n bytes in all n (W - 1) / W.
    """
    rows, share = VIEWS * batch, (processes - 1) / processes
    gathered = NUMBER * rows * network.dim
    moments = 2 * NUMBER * network.channels
    shared = rows**2 >= SHARED_PAIRS and processes > 1
    exchanged = share * (2 * gathered + processes * NUMBER * rows) if shared else 0.0
    return Costs(
        flops=3 * network.flops * rows / processes,
        loss=4 * rows**2 * network.dim / (processes if shared else 1),
        gradients=2 * share * NUMBER * network.parameters,
        embeddings=share * gathered + 2 * share * gathered + exchanged,
        norms=(processes - 1) * moments + 2 * share * moments,
    )


class Training:
    """A SimCLR that takes steps on images that never change."""

    def __init__(self, encoder: str, channels: int, size: int, batch: int) -> None:
        torch.manual_seed(0)
        own = batch // world_size()
        self.shape = (channels, size, size)
        network = build_encoder(encoder, channels=channels, image_size=size)
        self.method = Method(network, {"simclr": SimCLR()})
        self.method.to(memory_format=torch.channels_last)
        across_processes(self.method)
        self.optimizer = build_optimizer(simclr().optimizer, self.method)
        set_learning_rate(self.optimizer, 0.01)
        self.balancer = Weighted(["simclr"])
        views = torch.randn(VIEWS, own, *self.shape)
        self.batch = Batch(
            views=tuple(view.to(memory_format=torch.channels_last) for view in views),
            draws=({},) * VIEWS,
            index=torch.arange(own) + own * rank(),
        )

    def step(self) -> None:
        """One step."""
        step(self.method, self.batch, self.balancer, self.optimizer, HARDWARE)

    def network(self, name: str) -> Network:
        """What its costs follow from."""
        encoder, projector = self.method.encoder, self.method.projector()
        assert projector is not None
        view = torch.randn(2, *self.shape).to(memory_format=torch.channels_last)
        self.method.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            embedding = projector(encoder(view))
        self.method.train()
        norms = [m for m in self.method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        return Network(
            name,
            sum(p.numel() for p in self.method.parameters() if p.requires_grad),
            counter.get_total_flops() / 2,
            embedding.shape[1],
            sum(norm.num_features for norm in norms),
        )


def measure(case: tuple[str, int, int, int]) -> dict[str, Any]:
    """What a step of this many processes costs, and what the model says."""
    training = Training(*case)
    training.step()
    with FlopCounterMode(display=False) as counter:
        training.step()
    seconds, sent = [], []
    for _ in range(TURNS):
        wait_for_all()
        before, began = _sent(), time.perf_counter()
        for _ in range(STEPS):
            training.step()
        wait_for_all()
        seconds.append((time.perf_counter() - began) / STEPS)
        sent.append((_sent() - before) / STEPS / world_size())
    network = training.network(case[0])
    return {
        "network": network._asdict(),
        "model": costs(network, case[-1], world_size())._asdict(),
        "flops": counter.get_total_flops(),
        "sent": statistics.median(sent),
        "seconds": statistics.median(seconds),
    }


def _sent() -> int:
    """Bytes that all processes together have sent within this machine."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[8])
    return 0


def work(path: Path) -> None:
    """Measures every case in this process, with the others if there are any."""
    torch.set_num_threads(1)
    with together():
        found = [measure(case) for case in CASES]
        if rank() == 0:
            path.write_text(json.dumps(found))


def measured(processes: int) -> list[dict[str, Any]]:
    """What so many processes find."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        command = [*run, str(processes), __file__, "--work", str(path)]
        subprocess.run(command, check=True)
        found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def main() -> None:
    """Measures with one process and two, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    found = {str(processes): measured(processes) for processes in (1, 2)}
    write_atomically(options.results, (json.dumps(found, indent=2) + "\n").encode())
    page = options.page.read_text()
    before, after = page.split(BEGUN)[0], page.split(ENDED)[1]
    lines = [BEGUN, "", *checked(found), "", *foreseen(), "", ENDED]
    options.page.write_text(before + "\n".join(lines) + after)


def checked(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The table of what was measured beside the model."""
    head = (
        "network",
        "batch",
        "processes",
        "GFLOP, model",
        "counted",
        "MB sent, model",
        "counted",
        "ms, model",
        "measured",
    )
    rows = []
    for number, case in enumerate(CASES):
        alone = found["1"][number]
        rate = alone["flops"] / alone["seconds"]
        for processes, cases in found.items():
            one = cases[number]
            model = Costs(**one["model"])
            said = model.flops + model.loss
            sent = model.gradients + model.embeddings + model.norms
            rows.append(
                [
                    case[0],
                    f"{case[-1]:,}",
                    processes,
                    f"{said / 1e9:.2f}",
                    f"{one['flops'] / 1e9:.2f}",
                    f"{sent / 1e6:.2f}",
                    f"{one['sent'] / 1e6:.2f}",
                    "" if processes == "1" else f"{1000 * said / rate:.0f}",
                    f"{1000 * one['seconds']:.0f}",
                ]
            )
    return [
        *runs.table(head, rows),
        "",
        "For each process. The time that is foreseen for two has the rate of one, and no time for "
        "the network; the machine was shared with other work.",
    ]


RESNET50 = Network("ResNet-50, 224 px, head of 2048", 28_000_000, 8.2e9, 128, 27_000)
SUSTAINED = 3e14
MACHINES = (
    (Machine("1 GPU", 1, SUSTAINED, 4.5e11), 512),
    (Machine("8 GPUs, one machine", 8, SUSTAINED, 4.5e11), 4096),
    (Machine("64 GPUs", 64, SUSTAINED, 5e10), 32_768),
    (Machine("1,000 GPUs", 1000, SUSTAINED, 5e10), 4096),
    (Machine("1,000 GPUs", 1000, SUSTAINED, 5e10), 64_000),
)


def foreseen() -> list[str]:
    """The table of what the model says of machines that were not at hand."""
    parts = list(costs(RESNET50, 1, 1).seconds(MACHINES[0][0]))
    rows = []
    for machine, batch in MACHINES:
        seconds = costs(RESNET50, batch, machine.processes).seconds(machine)
        total = sum(seconds.values())
        useful = seconds["encoder"] / total
        rows.append(
            [
                machine.name,
                f"{batch:,}",
                *(f"{1000 * seconds[part]:.2f}" for part in parts),
                f"{useful:.0%}",
            ]
        )
    head = ("", "batch", *(f"{part}, ms" for part in parts), "encoding, of the whole")
    return runs.table(head, rows)


if __name__ == "__main__":
    main()
