"""The training step, and the loop that repeats it until the run is over or stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from twofold import checkpoint, divergence, profiling
from twofold.balance import Balancer, build_balancer
from twofold.choice import Choice
from twofold.distributed import average_gradients, make_alike, mean, rank
from twofold.folder import CHECKPOINTS
from twofold.hardware import Hardware, keep_within_bounds
from twofold.interruption import Stop, interruptible
from twofold.loader import Feed
from twofold.log import Display, Log
from twofold.method import Aligned, Method
from twofold.normalization import across_processes
from twofold.objectives import Batch
from twofold.optim import build_optimizer, set_learning_rate
from twofold.recipes import Recipe

Learner = Method | Aligned
"""What is trained."""

_MOST_SKIPPED = 10  # steps of a run that may be left out: more are no accident
_REMEDY = "lower --optimizer.learning-rate, lengthen --optimizer.warmup or use --precision float32"


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
    stop: Stop | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One update of the weights; returns the loss and that of each objective, detached.

    Of several processes each has its share of the batch; gradients and what is returned are means
    over all of them, and so is `stop` heard by all. With `clip` the gradient of all weights
    together is shortened to that length if it is longer.

    Raises:
        NotFiniteError: If a loss or gradient is not finite, on any process; no weight has moved.
    """
    with profiling.part(profiling.LOSSES), hardware.autocast():
        losses: dict[str, Tensor] = method(batch)
    optimizer.zero_grad()
    with profiling.part(profiling.BACKWARD):
        total = balancer.backward(losses)
        average_gradients(method.parameters())
    length = divergence.gradient_length(method.parameters())
    asked = torch.full_like(total, float(stop is not None and stop.asked))
    total, asked, *each = mean(torch.stack((total.detach(), asked, *losses.values()))).detach()
    first, asking, reached = torch.stack((total, asked, length)).tolist()  # one wait for the device
    if not (math.isfinite(first) and math.isfinite(reached)):
        raise divergence.NotFiniteError
    if stop is not None:
        stop.heard = asking > 0
    with profiling.part(profiling.OPTIMIZER):
        if clip is not None:
            torch.nn.utils.clip_grads_with_norm_(method.parameters(), clip, length)
        optimizer.step()
    return total, dict(zip(losses, each, strict=True))


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
    make_ready(method, hardware)
    optimizer = build_optimizer(
        recipe.optimizer, method, fixed=method.fixed_rate(), shares=rate_shares or {}
    )
    peak = recipe.optimizer.peak(recipe.step_size)
    weights = recipe.loss_weights if weights is None else weights
    balancer = new_balancer(recipe, method, weights).to(hardware.device)
    steps = recipe.epochs * loader.steps_per_epoch
    choice = choice or Choice(folder, "last")
    course = _Course(method, optimizer, balancer, loader, folder, recipe, choice, display, steps)
    if not course.done and not_finite == "skip":
        course.save()  # there must be something to go back to
    saved_at, last = time.monotonic(), course.ended
    with interruptible() as stop, threads_of_torch(hardware.threads), course.profiled(hardware):
        while not last:
            batch = course.take()
            rate = recipe.optimizer.rate(course.done, steps=steps, batch_size=recipe.step_size)
            set_learning_rate(optimizer, rate, peak=peak)
            # The same on all processes, which must agree on what they draw behind a gather.
            torch.manual_seed(seed * 1_000_003 + course.done)
            epoch, number = course.done // loader.steps_per_epoch, course.done + 1
            if number in course.left_out:
                course.log.skip(epoch, course.left_out[number])
            else:
                try:
                    clip = recipe.optimizer.clip
                    total, losses = step(method, batch, balancer, optimizer, hardware, clip, stop)
                except divergence.NotFiniteError:
                    torch.manual_seed(seed * 1_000_003 + course.done)
                    found = divergence.diagnose(method, batch, hardware, step=number, ids=ids)
                    course.log.skip(epoch, found)
                    course.leave_out(found, not_finite)
                    continue
                method.after_update(number / steps)
                with profiling.part(profiling.LOG):
                    course.log.step(number, epoch, total, losses, rate, balancer.reading)

            course.done = number
            epoch, left = divmod(number, loader.steps_per_epoch)
            if left == 0:
                balancer.end_epoch()
            if left == 0 and monitor and (number == steps or epoch % monitor_every == 0):
                course.look(epoch, monitor)
            last = course.ended or stop.due
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
        size = self.recipe.step_size
        self.log = Log(
            self.folder,
            self.done,
            batch_size=size,
            bounds=self.method.bounds(size),
            display=self.display,
        )
        self.choice.recall()
        self.batches = self.loader.batches(self.done, self.steps)

    @property
    def ended(self) -> bool:
        """Whether there is no step to take."""
        return self.done == self.steps or self.choice.exhausted

    def profiled(self, hardware: Hardware) -> AbstractContextManager[None]:
        """A block in which it is profiled, if anybody asked for that."""
        methods = [one for one in self.method.modules() if isinstance(one, Method)]
        return profiling.training([method.encoder for method in methods], hardware)

    def take(self) -> Batch:
        """The next batch."""
        with profiling.part(profiling.VIEWS):
            return next(self.batches)

    def look(self, epoch: int, monitor: Callable[[Any], Mapping[str, Any]]) -> None:
        """Writes down what the monitor makes of the weights after an epoch."""
        with profiling.part(profiling.MONITOR):
            self.log.flush()
            record = self.log.epoch(self.done, epoch, monitor(self.method))
            self.choice.consider(record, self.method)

    @profiling.counted(profiling.CHECKPOINTS)
    def save(self) -> None:
        """Writes down the steps so far and saves a checkpoint, which holds numbers alone."""
        if rank() > 0:
            return
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


def make_ready(method: Learner, hardware: Hardware) -> None:
    """Brings a method where it is trained, the same on all processes."""
    make_alike(method)
    across_processes(method)
    layout = hardware.layout
    method.to(hardware.device, memory_format=layout)  # type: ignore[call-overload]
    keep_within_bounds(method)
    method.train()


def new_balancer(recipe: Recipe, method: Learner, weights: Mapping[str, float]) -> Balancer:
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


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """A block in which that many threads compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
