"""What every balancer is: losses in, gradients out, and a reading of what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from twofold.distributed import mean
from twofold.errors import unknown

TINY = 1e-8  # what no divisor may be smaller than


@dataclass(frozen=True, eq=False)
class Weighing:
    """What a balancer did at one step; left on its device until it is asked for."""

    names: tuple[str, ...]
    """The losses."""
    factors: Tensor
    """Factor on each loss, `(losses,)`."""
    gramian: Tensor | None
    """Inner products of the losses' gradients, `(losses, losses)`; None if not measured."""

    def plain(self) -> dict[str, Any]:
        """Factors, norms of the gradients and the cosines between them, as numbers by name.

        Norms and cosines are those of the losses before any factor. A single loss has nothing to
        tell.
        """
        if len(self.names) == 1:
            return {}
        plain: dict[str, Any] = {
            "weights": dict(zip(self.names, self.factors.tolist(), strict=True))
        }
        if self.gramian is None:
            return plain
        gramian = self.gramian.detach().cpu().double()
        norms = gramian.diagonal().sqrt()
        cosines = gramian / torch.outer(norms, norms).clamp_min(TINY**2)
        plain["gradient_norms"] = dict(zip(self.names, norms.tolist(), strict=True))
        plain["gradient_cosines"] = {
            f"{self.names[i]}|{self.names[j]}": cosines[i, j].item()
            for i, j in combinations(range(len(self.names)), 2)
        }
        return plain


class Balancer(nn.Module):
    """Turns several losses into one update: `total = sum_i w_i f_i L_i`.

    `f_i` are the user's fixed factors, `w_i` what the kind of balancer makes of them. Whatever a
    balancer learns lies in buffers, so that its `state_dict` is all that a resumed run needs.

    Args:
        names: The losses.
        weights: Fixed factor of each loss; 1 where none is given.
        floors: Least value each loss can take, where it is known. A balancer that reads the values
            of losses takes those with a negative floor from there, since it needs them positive.
        layer: The shared weight on which gradients are measured; none are without it.
        measure_every: Steps between measurements, which change nothing.

    Raises:
        TwofoldError: If a weight or floor is given for a loss that there is not.
    """

    fixed: Tensor
    floors: Tensor

    def __init__(
        self,
        names: Sequence[str],
        *,
        weights: Mapping[str, float] | None = None,
        floors: Mapping[str, float] | None = None,
        layer: Tensor | None = None,
        measure_every: int = 20,
    ) -> None:
        super().__init__()
        weights, floors = weights or {}, floors or {}
        for kind, given in {"loss weight": weights, "loss floor": floors}.items():
            for name in given:
                if name not in names:
                    raise unknown(kind, name, names)
        self.names = tuple(names)
        self.measure_every = measure_every
        self._layer = () if layer is None else (layer,)  # in a tuple: it is the encoder's
        self._steps = 0
        self._reading: Weighing | None = None
        fixed = torch.tensor([float(weights.get(name, 1.0)) for name in names])
        floor = torch.tensor([min(0.0, floors.get(name, 0.0)) for name in names])
        self.register_buffer("fixed", fixed, persistent=False)
        self.register_buffer("floors", fixed * floor, persistent=False)

    def backward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Adds to the gradients, as `loss.backward()` does.

        Losses that decide on factors are the means over processes, and so are the gradients that
        are compared: all processes have the same factors.

        Args:
            losses: Each loss by name, scalars.

        Returns:
            What was minimised, the mean over processes, a scalar, detached.
        """
        raw = [losses[name] for name in self.names]
        gramian = self._measure(raw)
        scaled = torch.stack(raw) * self.fixed
        seen = mean(scaled.detach())
        weights = self.weigh()
        self.total(weights, scaled).backward()  # type: ignore[no-untyped-call]
        total = self.total(weights, seen)
        if len(raw) > 1:
            self.learn(seen - self.floors, gramian)
        self.note(weights, gramian)
        return total

    def weigh(self) -> Tensor:
        """The factor `w_i` of each loss at this step, `(losses,)`."""
        return torch.ones_like(self.fixed)

    def total(self, weights: Tensor, losses: Tensor) -> Tensor:
        """What is minimised, a scalar, from factors and losses `(losses,)`."""
        return (weights * losses).sum()

    def learn(self, losses: Tensor, gramian: Tensor | None) -> None:
        """Moves what the factors are made of, once the gradients have been filled.

        Args:
            losses: Times their fixed factors and above their floors, means over processes
                `(losses,)`, detached.
            gramian: Inner products of the gradients of the losses before any factor,
                `(losses, losses)`, if measured at this step.
        """

    def end_epoch(self) -> None:
        """To be called after the last step of each epoch."""

    @property
    def reading(self) -> Weighing:
        """What the latest `backward` did; costs nothing until its `plain` is asked for."""
        if self._reading is None:
            raise RuntimeError("there is no reading before the first backward")
        return self._reading

    def record(self) -> dict[str, Any]:
        """The latest reading in numbers: `weights`, and if measured, `gradient_norms` and
        `gradient_cosines`; empty with a single loss."""
        return self.reading.plain()

    def note(self, weights: Tensor, gramian: Tensor | None) -> None:
        """Keeps what was done at this step, and counts it."""
        self._reading = Weighing(self.names, weights * self.fixed, gramian)
        self._steps += 1

    def get_extra_state(self) -> Tensor:
        """How many steps were taken, which says when gradients are measured next."""
        return torch.tensor(self._steps)  # counted on the host: asking a device would wait for it

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on from a number of steps."""
        self._steps = int(state)

    def _measure(self, raw: Sequence[Tensor]) -> Tensor | None:
        """Inner products of the gradients on the layer, if it is time for them."""
        if len(raw) == 1 or not self._layer or self._steps % self.measure_every:
            return None
        gradients = torch.stack(
            [
                torch.autograd.grad(
                    loss, self._layer, retain_graph=True, allow_unused=True, materialize_grads=True
                )[0].flatten()
                for loss in raw
            ]
        )
        gradients = mean(gradients)
        return gradients @ gradients.T
