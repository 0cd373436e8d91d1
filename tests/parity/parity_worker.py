"""What one process, several, and parts make of the same steps, for every recipe.

    torchrun --nproc-per-node 2 tests/parity/parity_worker.py OUT [--only TEXT] [--more]

Each process first takes some of the cases alone, whole and in parts; then all take them together.
Process 0 writes how far apart these are, a line of JSON a case, to `OUT`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from parity_cases import BATCH, Case, few, more, prepared
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from twofold import distributed
from twofold.assembly import add_adapters, find_groups, new_network
from twofold.balance import Balancer, build_balancer
from twofold.balance.settings import Balance
from twofold.hardware import keep_within_bounds
from twofold.loader import InParts, Loader
from twofold.method import Method
from twofold.normalization import across_processes
from twofold.objectives import Batch, Known, Parts
from twofold.preprocess import Preprocess
from twofold.recipes import Recipe

PARTS, STEPS = 2, 2
Kind = Literal["whole", "parts", "reversed"]
EXACT = {"float64": 1e-10, "float32": 1e-6}
"""The most by which ways that are the same may differ: rounding."""


class Found(NamedTuple):
    """What a process finds in the steps of a case."""

    losses: dict[str, float]
    """Of each step and objective, and what was minimised: means over processes."""
    gradients: list[dict[str, Tensor]]
    """Of each step, by parameter."""
    state: dict[str, Tensor]
    """Of method and balancer after the last step."""

    @property
    def digest(self) -> str:
        """What two processes with the same bits have in common."""
        digest = hashlib.sha256(json.dumps(self.losses).encode())
        for tensors in (*self.gradients, self.state):
            for tensor in tensors.values():
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def take(case: Case, kind: Kind) -> Found:
    """A few steps of this process, which has its share of each batch."""
    dtype = getattr(torch, case.precision)
    recipe, source, views, preprocess, known = prepared(case.recipe, case.domain)
    if case.balance:
        recipe = replace(recipe, balance=Balance(name=case.balance))
    method = _method(case, recipe, preprocess, known).to(dtype)
    torch.manual_seed(2)
    balancer = _balancer(recipe, method).to(dtype)
    across_processes(method)
    keep_within_bounds(method)
    method.train()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.01)
    parts = PARTS if kind == "parts" else 1
    loader = Loader(
        source.items,
        source.labels,
        views=views,
        preprocess=preprocess,
        batch_size=BATCH // parts,
        view_size=lambda step: preprocess.size,
        device="cpu",
        threads=0,
        seed=0,
        groups=find_groups(recipe, source, views, 0),
        multiple=parts,
        process=distributed.rank(),
        processes=distributed.world_size(),
    )
    feed = loader if parts == 1 else InParts(loader, parts, case.batch_norm)
    losses, gradients = {}, []
    for number, read in enumerate(feed.batches(0, STEPS if case.precision == "float64" else 1)):
        torch.manual_seed(3 + number)
        batch = _as(read, dtype)
        found = method(_reversed(batch) if kind == "reversed" else batch)
        optimizer.zero_grad()
        found["minimised"] = balancer.backward(found)
        distributed.average_gradients(method.parameters())
        named = method.named_parameters()
        gradients.append({n: p.grad.clone() for n, p in named if p.grad is not None})
        nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimizer.step()
        method.after_update(0.1 * (number + 1))
        balancer.end_epoch()
        for name, loss in found.items():
            losses[f"{number} {name}"] = distributed.mean(loss.detach()).item()
    state = {
        **method.state_dict(),
        **{f"balancer.{n}": t for n, t in balancer.state_dict().items()},
    }
    return Found(losses, gradients, {name: tensor.clone() for name, tensor in state.items()})


def compare(found: Found, expected: Found) -> dict[str, float]:
    """How far `found` is from `expected` at most: of losses, gradients and state.

    A loss by its size or 1, whichever is more; a gradient by the largest of all parameters'; a
    tensor of the state by the largest of its values or 1.
    """
    losses = [
        abs(found.losses[name] - loss) / max(1, abs(loss)) for name, loss in expected.losses.items()
    ]
    gradients = []
    for one, other in zip(found.gradients, expected.gradients, strict=True):
        assert one.keys() == other.keys()
        largest = max(float(gradient.abs().max()) for gradient in other.values())
        gradients += [float((one[n] - g).abs().max()) / largest for n, g in other.items()]
    state = [
        float((found.state[name] - tensor).abs().max() / tensor.abs().max().clamp(min=1))
        for name, tensor in expected.state.items()
        if tensor.numel()
    ]
    worst = {"losses": losses, "gradients": gradients, "state": state}
    return {name: max(values) for name, values in worst.items()}


def carry_out(chosen: list[Case]) -> Iterator[dict[str, Any]]:
    """Takes each case in every way; yields what process 0 has to tell."""
    number, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    own = range(number, len(chosen), size)
    alone = {place: _ways(chosen[place]) for place in own}  # before the processes meet
    with distributed.together():
        for place, case in enumerate(chosen):
            failed = distributed.of_all(alone.get(place, {}).get("error"))[place % size]
            together = {"error": failed} if failed else _ways(case)
            digests = distributed.of_all(getattr(together.get("whole"), "digest", None))
            told = _told(case, alone[place], together) if place in own else {}
            told = distributed.of_all(told)[place % size]
            if number == 0:
                yield {"case": case.name, **vars(case), "alike": len({*digests}) == 1, **told}


def _ways(case: Case) -> dict[str, Any]:
    """What the ways of encoding a batch find, or the error that they end with."""
    try:
        return {kind: take(case, kind) for kind in _kinds(case)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _told(case: Case, alone: Mapping[str, Any], together: Mapping[str, Any]) -> dict[str, Any]:
    """How far each way is from a whole batch; from the same parts, where these are not the same."""
    if "error" in together:
        return {"error": together["error"]}
    told: dict[str, Any] = {"processes": compare(together["whole"], alone["whole"])}
    if "reversed" in alone:
        told["rounding"] = compare(alone["reversed"], alone["whole"])
    if "parts" in alone:
        same = case.norm == "GroupNorm"
        told["parts"] = compare(alone["parts"], alone["whole"]) if same else None
        told["both"] = compare(together["parts"], alone["whole" if same else "parts"])
    return told


def _kinds(case: Case) -> tuple[Kind, ...]:
    """Whole batches, and parts if they are allowed and a BatchNorm is told what to do.

    In float32 the rows in another order, too, which only rounding tells apart.
    """
    learned = prepared(case.recipe, case.domain).recipe.learned
    refused = any(objective.needs_views for objective in learned.values())
    untold = case.norm == "BatchNorm" and case.batch_norm is None
    others: dict[Kind, bool] = {
        "parts": not refused and not untold,
        "reversed": case.precision == "float32",
    }
    return ("whole", *(kind for kind, there in others.items() if there))


def _method(case: Case, recipe: Recipe, preprocess: Preprocess, known: Known) -> Method:
    torch.manual_seed(1)
    network, spec = new_network(recipe, preprocess)
    network, _ = add_adapters(recipe, network, spec)
    if case.norm == "GroupNorm":
        _exchange(network, _BatchNorm, lambda norm: nn.GroupNorm(1, norm.num_features))
    method = Method(network, recipe.learned, encode=recipe.encode, known=known)
    if case.precision == "float32":
        # What rounding moves from one side of zero to the other has another slope behind a ReLU.
        _exchange(method, nn.ReLU, lambda relu: nn.ELU())
    return method


def _exchange(network: nn.Module, old: type[nn.Module], new: Callable[[Any], nn.Module]) -> None:
    """Puts a new module in the place of each of a type."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, old):
                setattr(module, name, new(child))


def _balancer(recipe: Recipe, method: Method) -> Balancer:
    names = list(method.objectives)
    return build_balancer(
        recipe.balance,
        names,
        weights=recipe.loss_weights,
        floors={name: floor for name, (_, floor) in method.bounds(BATCH).items()},
        layer=method.shared_layer(recipe.balance.layer)[1] if len(names) > 1 else None,
        shared=method.shared_parameters(),
    )


def _as(batch: Batch, dtype: torch.dtype) -> Batch:
    """The batch with views and numbers of a type."""
    if isinstance(batch, Parts):
        parts = tuple(partial(lambda part: _as(part(), dtype), part) for part in batch.parts)
        return replace(batch, parts=parts)
    labels = batch.labels
    if labels is not None and labels.is_floating_point():
        labels = labels.to(dtype)
    return replace(batch, views=tuple(view.to(dtype) for view in batch.views), labels=labels)


def _reversed(batch: Batch) -> Batch:
    """The same items, the last one first."""
    labels = batch.labels
    return replace(
        batch,
        views=tuple(view.flip(0) for view in batch.views),
        draws=tuple(
            {name: {key: of[::-1].copy() for key, of in one.items()} for name, one in draws.items()}
            for draws in batch.draws
        ),
        index=batch.index.flip(0),
        labels=None if labels is None else labels.flip(0),
    )


def start(out: Path, *options: str, processes: int = 2) -> None:
    """Lets processes of their own write to `out`, as `torchrun` would.

    Raises:
        RuntimeError: If one of them fails, with its last words.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(out), *options],
            env={**os.environ, **shared, "RANK": str(number), "WORLD_SIZE": str(processes)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for process in started:
        words = process.communicate()[1]
        if process.returncode:
            raise RuntimeError(words[-2000:])


def main() -> None:
    """Writes down how far apart the ways of every case are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="cases whose name has these words")
    parser.add_argument("--more", action="store_true", help="all recipes of all domains")
    options = parser.parse_args()
    every = dict.fromkeys((*few(), *(more() if options.more else ())))
    chosen = [case for case in every if options.only in case.name]
    torch.set_num_threads(1)
    for told in carry_out(chosen):
        with options.out.open("a") as file:
            file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
