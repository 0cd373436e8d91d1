"""The training step, and the loop that repeats it until the run is over or stopped."""

from __future__ import annotations

import json
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from twofold import checkpoint, divergence
from twofold.balance import Balancer, Weighing, build_balancer
from twofold.choice import Choice
from twofold.folder import (
    CHECKPOINTS,
    METRICS,
    append,
    read_metrics,
    sound_metrics,
    write_atomically,
)
from twofold.hardware import Hardware
from twofold.loader import Feed
from twofold.method import Aligned, Method
from twofold.objectives import Batch
from twofold.optim import build_optimizer, set_learning_rate
from twofold.recipes import Recipe

Learner = Method | Aligned
"""What is trained."""

_FLUSH = 10  # steps between reading losses back from the device and writing them down
_MOST_SKIPPED = 10  # steps of a run that may be left out: more are no accident
_REMEDY = "lower --optimizer.learning-rate, lengthen --optimizer.warmup or use --precision float32"


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

    Raises:
        NotFiniteError: If a loss or gradient is not finite; no weight has moved.
    """
    with hardware.autocast():
        losses: dict[str, Tensor] = method(batch)
    optimizer.zero_grad()
    total = balancer.backward(losses)
    length = divergence.gradient_length(method.parameters())
    both = torch.stack((total.detach(), length))  # one wait for the device, not two
    if not divergence.finite([both]):
        raise divergence.NotFiniteError
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(method.parameters(), clip, length)
    optimizer.step()
    return total, {name: loss.detach() for name, loss in losses.items()}


def fit(
    method: Learner,
    loader: Feed,
    *,
    recipe: Recipe,
    hardware: Hardware,
    folder: Path,
    ids: Sequence[str] = (),
    seed: int,
    checkpoint_seconds: float = 60.0,
    not_finite: Literal["stop", "skip"] = "stop",
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
        ids: Of the items, to name those of a batch whose loss is not finite.
        seed: Seeds what the encoder itself draws (dropout).
        checkpoint_seconds: Time between checkpoints, > 0.
        not_finite: Whether a loss or gradient that is not finite stops the run, or makes it go back
            to the newest checkpoint and leave that batch out.
        monitor: Called with the method after every `monitor_every` epochs and after the last;
            what it returns is written down.
        monitor_every: Epochs between calls of the monitor.
        choice: Which epoch's weights `method` ends with, and when to stop early; the last if None.
        rate_shares: Learning rate of parameters of `method`, by name, as a share of the others'.
        weights: Weight of each loss; those of `recipe` if None.
        display: Told of each step written down and of each epoch.

    Raises:
        TwofoldError: If a loss, a gradient or a weight is not finite; the newest checkpoint is from
            before that.
    """
    method.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    method.train()
    optimizer = build_optimizer(
        recipe.optimizer, method, fixed=method.fixed_rate(), shares=rate_shares or {}
    )
    peak = recipe.optimizer.peak(recipe.step_size)
    weights = recipe.loss_weights if weights is None else weights
    balancer = _balancer(recipe, method, weights).to(hardware.device)
    steps = recipe.epochs * loader.steps_per_epoch
    choice = choice or Choice(folder, "last")
    course = _Course(method, optimizer, balancer, loader, folder, recipe, choice, display, steps)
    if not course.done and not_finite == "skip":
        course.save()  # there must be something to go back to
    saved_at, last = time.monotonic(), course.ended
    with _interruptible() as interrupted, _threads(hardware.threads):
        while not last:
            batch = next(course.batches)
            rate = recipe.optimizer.rate(course.done, steps=steps, batch_size=recipe.step_size)
            set_learning_rate(optimizer, rate, peak=peak)
            torch.manual_seed(seed * 1_000_003 + course.done)
            epoch, number = course.done // loader.steps_per_epoch, course.done + 1
            if number in course.left_out:
                course.log.skip(epoch, course.left_out[number])
            else:
                try:
                    total, losses = step(
                        method, batch, balancer, optimizer, hardware, recipe.optimizer.clip
                    )
                except divergence.NotFiniteError:
                    torch.manual_seed(seed * 1_000_003 + course.done)
                    found = divergence.diagnose(method, batch, hardware, step=number, ids=ids)
                    course.log.skip(epoch, found)
                    course.leave_out(found, not_finite)
                    continue
                method.after_update(number / steps)
                course.log.step(number, epoch, total, losses, rate, balancer.reading)

            course.done = number
            epoch, left = divmod(number, loader.steps_per_epoch)
            if left == 0:
                balancer.end_epoch()
            if left == 0 and monitor and (number == steps or epoch % monitor_every == 0):
                course.log.flush()
                record = course.log.epoch(number, epoch, monitor(method))
                choice.consider(record, method)
            last = course.ended or interrupted()
            if last or time.monotonic() - saved_at > checkpoint_seconds:
                course.save()
                saved_at = time.monotonic()
    if not course.ended:
        return Outcome(course.done, steps)
    chosen = choice.conclude(method, course.done // loader.steps_per_epoch)
    parameters = sum(p.numel() for p in method.encoder.parameters())
    course.log.end(course.done, parameters, chosen)
    return Outcome(course.done, course.done)


class _Course:
    """How far a training is, and how it goes back to its newest checkpoint."""

    def __init__(
        self,
        method: Learner,
        optimizer: torch.optim.Optimizer,
        balancer: Balancer,
        loader: Feed,
        folder: Path,
        recipe: Recipe,
        choice: Choice,
        display: Display | None,
        steps: int,
    ) -> None:
        self.method, self.optimizer, self.balancer = method, optimizer, balancer
        self.loader, self.folder, self.recipe = loader, folder, recipe
        self.choice, self.display, self.steps = choice, display, steps
        self.left_out: dict[int, divergence.Divergence] = {}
        """By number, the steps that are not taken."""
        self.go_on()

    def go_on(self) -> None:
        """Takes everything from the newest checkpoint, or the beginning."""
        state = self.method, self.optimizer, self.balancer
        self.done = checkpoint.restore(self.folder / CHECKPOINTS, *state)
        self.log = Log(self.folder, self.done, self.method, self.recipe, self.display)
        self.choice.recall()
        self.batches = self.loader.batches(self.done, self.steps)

    @property
    def ended(self) -> bool:
        """Whether there is no step to take."""
        return self.done == self.steps or self.choice.exhausted

    def save(self) -> None:
        """Writes down the steps so far and saves a checkpoint, which holds numbers alone."""
        self.log.flush()
        if not divergence.finite(self.method.parameters()):
            found = divergence.Divergence(self.done + 1, "weights")
            raise divergence.DivergedError(f"{found.sentence}; {_REMEDY}")
        state = self.method, self.optimizer, self.balancer
        checkpoint.save_checkpoint(self.folder / CHECKPOINTS, *state, self.done)

    def leave_out(self, found: divergence.Divergence, not_finite: Literal["stop", "skip"]) -> None:
        """Goes back, to pass over a step; refuses to if the run is to stop or it is one of many."""
        if not_finite == "stop":
            raise divergence.DivergedError(
                f"{found.sentence}; {_REMEDY}, or leave the batch out with --not-finite skip"
            )
        if len(self.left_out) == _MOST_SKIPPED:
            before = f"after {_MOST_SKIPPED} steps left out"
            raise divergence.DivergedError(f"{found.sentence}, {before}; {_REMEDY}")
        self.left_out[found.step] = found
        self.batches.close()
        self.go_on()


def _balancer(recipe: Recipe, method: Learner, weights: Mapping[str, float]) -> Balancer:
    """What makes one update of the method's losses, gradients compared on weights they share."""
    names = list(method.objectives)
    return build_balancer(
        recipe.balance,
        names,
        weights=weights,
        floors={name: floor for name, (_, floor) in method.bounds(recipe.step_size).items()},
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
        lines, damaged = sound_metrics(folder)
        if damaged:
            warnings.warn(f"{damaged} lines of {folder / METRICS} are damaged and go", stacklevel=3)
        kept = [line for line in lines if line["step"] <= start and line["kind"] != "end"]
        write_atomically(folder / METRICS, "".join(map(_line, kept)).encode())
        self._elapsed = kept[-1]["elapsed"] if kept else 0.0
        self._began = self._mark = time.monotonic()
        self._pending: list[dict[str, Any]] = []
        bounds = method.bounds(recipe.step_size)
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
        rate = self.recipe.step_size * len(records) / max(now - self._mark, 1e-9)
        self._mark, self._pending = now, []
        for record in records:
            self._write(record | {"images_per_s": round(rate, 1)})
        if self.display:
            self.display.step(records[-1] | {"images_per_s": rate})

    def skip(self, epoch: int, found: divergence.Divergence) -> None:
        """Writes down a step that was not taken, and why, after those before it."""
        self.flush()
        self._write({"kind": "skipped", "epoch": epoch, **vars(found)})

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
        append(self.folder / METRICS, _line({**record, "elapsed": elapsed}))


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
