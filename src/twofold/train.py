"""The training step, and the loop that repeats it until the run is over or stopped."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from twofold import checkpoint
from twofold.balance import Balancer, Weighing, build_balancer
from twofold.choice import Choice
from twofold.errors import TwofoldError
from twofold.folder import CHECKPOINTS, METRICS, read_metrics, write_atomically
from twofold.hardware import Hardware
from twofold.loader import Loader, Paired
from twofold.method import Aligned, Method
from twofold.objectives import Batch
from twofold.optim import build_optimizer, set_learning_rate
from twofold.recipes import Recipe

Learner = Method | Aligned
"""What is trained."""

_FLUSH = 10  # steps between reading losses back from the device and writing them down


class Display(Protocol):
    """What the loop tells whoever watches."""

    def step(self, record: Mapping[str, Any]) -> None:
        """A step that was written down."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch's online evaluation."""


@dataclass(frozen=True)
class Outcome:
    """How the loop ended."""

    step: int
    """Steps done."""
    steps: int
    """Steps the whole run has."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.step == self.steps


def step(
    method: nn.Module,
    batch: Batch,
    balancer: Balancer,
    optimizer: torch.optim.Optimizer,
    hardware: Hardware,
    clip: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One update of the weights; returns the loss and that of each objective, detached.

    With `clip` the gradient of all weights together is shortened to that length if it is longer.
    """
    with hardware.autocast():
        losses: dict[str, Tensor] = method(batch)
    optimizer.zero_grad()
    total = balancer.backward(losses)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(method.parameters(), clip)
    optimizer.step()
    return total, {name: loss.detach() for name, loss in losses.items()}


def fit(
    method: Learner,
    loader: Loader | Paired,
    *,
    recipe: Recipe,
    hardware: Hardware,
    folder: Path,
    seed: int,
    checkpoint_seconds: float = 60.0,
    monitor: Callable[[Any], Mapping[str, Any]] | None = None,
    monitor_every: int = 1,
    choice: Choice | None = None,
    rate_shares: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    display: Display | None = None,
) -> Outcome:
    """Trains `method` for the epochs of `recipe`, going on from the newest checkpoint in `folder`.

    A step depends on the seed, its number and the weights alone, so a run that was stopped
    anywhere ends with the same bits as one that never was.

    Args:
        method: Encoder and objectives; moved to the hardware's device.
        loader: Gives the batch of any step.
        recipe: Epochs, optimiser and loss weights.
        hardware: Device, precision, threads.
        folder: Run folder; gets `metrics.jsonl` and `checkpoints/`.
        seed: Seeds what the encoder itself draws (dropout).
        checkpoint_seconds: Time between checkpoints, > 0.
        monitor: Called with the method after every `monitor_every` epochs and after the last;
            what it returns is written down.
        monitor_every: Epochs between calls of the monitor.
        choice: Which epoch's weights `method` ends with, and when to stop early; the last if None.
        rate_shares: Learning rate of parameters of `method`, by name, as a share of the others'.
        weights: Weight of each loss; those of `recipe` if None.
        display: Told of each step written down and of each epoch.

    Raises:
        TwofoldError: If a loss is no longer finite.
    """
    method.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    method.train()
    optimizer = build_optimizer(
        recipe.optimizer, method, fixed=method.fixed_rate(), shares=rate_shares or {}
    )
    peak = recipe.optimizer.peak(recipe.batch_size)
    weights = recipe.loss_weights if weights is None else weights
    balancer = _balancer(recipe, method, weights).to(hardware.device)
    steps = recipe.epochs * loader.steps_per_epoch
    start = checkpoint.restore(folder / CHECKPOINTS, method, optimizer, balancer)
    log = Log(folder, start, method, recipe, display)
    choice = choice or Choice(folder, "last")
    choice.recall()
    done, saved_at = start, time.monotonic()

    def save() -> None:
        log.flush()
        checkpoint.save_checkpoint(folder / CHECKPOINTS, method, optimizer, balancer, done)

    with _interruptible() as interrupted, _threads(hardware.threads):
        for batch in loader.batches(start, start if choice.exhausted else steps):
            rate = recipe.optimizer.rate(done, steps=steps, batch_size=recipe.batch_size)
            set_learning_rate(optimizer, rate, peak=peak)
            torch.manual_seed(seed * 1_000_003 + done)
            total, losses = step(
                method, batch, balancer, optimizer, hardware, recipe.optimizer.clip
            )
            done += 1
            method.after_update(done / steps)
            before = (done - 1) // loader.steps_per_epoch
            log.step(done, before, total, losses, rate, balancer.reading)

            epoch, left = divmod(done, loader.steps_per_epoch)
            last = done == steps
            if left == 0:
                balancer.end_epoch()
            if left == 0 and monitor and (last or epoch % monitor_every == 0):
                log.flush()
                record = log.epoch(done, epoch, monitor(method))
                choice.consider(record, method)
            last = last or choice.exhausted
            if last or interrupted() or time.monotonic() - saved_at > checkpoint_seconds:
                save()
                saved_at = time.monotonic()
            if last or interrupted():
                break
    log.flush()
    if done == steps or choice.exhausted:
        steps = done
        chosen = choice.conclude(method, done // loader.steps_per_epoch)
        log.end(done, sum(p.numel() for p in method.encoder.parameters()), chosen)
    return Outcome(done, steps)


def _balancer(recipe: Recipe, method: Learner, weights: Mapping[str, float]) -> Balancer:
    """What makes one update of the method's losses, gradients compared on weights they share."""
    names = list(method.objectives)
    return build_balancer(
        recipe.balance,
        names,
        weights=weights,
        floors={name: floor for name, (_, floor) in method.bounds(recipe.batch_size).items()},
        layer=method.shared_layer(recipe.balance.layer)[1] if len(names) > 1 else None,
        shared=method.shared_parameters(),
    )


class Log:
    """`metrics.jsonl`: one line a step, one an epoch, one at the end.

    Lines of steps after the checkpoint a run goes on from are dropped, for they come again.
    """

    def __init__(
        self,
        folder: Path,
        start: int,
        method: Learner,
        recipe: Recipe,
        display: Display | None,
    ) -> None:
        self.folder, self.display, self.recipe = folder, display, recipe
        kept = [line for line in read_metrics(folder) if line["step"] <= start]
        kept = [line for line in kept if line["kind"] != "end"]
        write_atomically(folder / METRICS, "".join(map(_line, kept)).encode())
        self._elapsed = kept[-1]["elapsed"] if kept else 0.0
        self._began = self._mark = time.monotonic()
        self._pending: list[dict[str, Any]] = []
        bounds = method.bounds(recipe.batch_size)
        self._bounds = {
            "chance": {name: chance for name, (chance, _) in bounds.items()},
            "floor": {name: floor for name, (_, floor) in bounds.items()},
        }

    def step(
        self,
        step: int,
        epoch: int,
        total: Tensor,
        losses: Mapping[str, Tensor],
        rate: float,
        balance: Weighing,
    ) -> None:
        """Remembers a step; every few of them are read back from the device and written."""
        record = {"kind": "step", "step": step, "epoch": epoch, "loss": total, "losses": losses}
        self._pending.append(record | {"lr": rate, "balance": balance})
        if len(self._pending) >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Writes down the steps remembered."""
        if not self._pending:
            return
        records = []
        for record in self._pending:
            losses = {name: float(loss) for name, loss in record["losses"].items()}
            balance = record.pop("balance").plain()
            read = {"loss": float(record["loss"]), "losses": losses}
            read |= {"balance": balance} if balance else {}
            records.append(record | read | self._bounds)
        now = time.monotonic()
        rate = self.recipe.batch_size * len(records) / max(now - self._mark, 1e-9)
        self._mark, self._pending = now, []
        for record in records:
            self._write(record | {"images_per_s": round(rate, 1)})
            if not math.isfinite(record["loss"]):
                raise TwofoldError(
                    f"the loss is {record['loss']} at step {record['step']}; lower "
                    "--optimizer.learning-rate, lengthen --optimizer.warmup or use --precision "
                    "float32"
                )
        if self.display:
            self.display.step(records[-1] | {"images_per_s": rate})

    def epoch(self, step: int, epoch: int, measured: Mapping[str, Any]) -> Mapping[str, Any]:
        """Writes down what the monitor measured after an epoch, and returns the record."""
        record = {"kind": "epoch", "epoch": epoch, "step": step, **measured}
        self._write(record)
        self._mark = time.monotonic()  # the monitor's time is not the training's
        if self.display:
            self.display.epoch(record)
        return record

    def end(self, step: int, parameters: int, chosen: Mapping[str, Any]) -> None:
        """Writes down that the run is complete, and which epoch's encoder it ends with."""
        rates = [
            line["images_per_s"] for line in read_metrics(self.folder) if line["kind"] == "step"
        ]
        rate = sorted(rates)[len(rates) // 2] if rates else 0.0
        record = {"kind": "end", "step": step, "images_per_s": rate, "parameters": parameters}
        self._write(record | {"chosen": chosen})

    def _write(self, record: Mapping[str, Any]) -> None:
        elapsed = round(self._elapsed + time.monotonic() - self._began, 3)
        with (self.folder / METRICS).open("a") as file:
            file.write(_line({**record, "elapsed": elapsed}))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Lets a first Ctrl-C (or SIGTERM) finish the step; a second one ends at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: whoever runs there decides
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
