"""Losses, gradients and weights that are no numbers: whose they are, and at which step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from twofold.distributed import of_all
from twofold.errors import TwofoldError
from twofold.hardware import Hardware
from twofold.objectives import Batch

_SHOWN = 3  # ids in a sentence


class NotFiniteError(ArithmeticError):
    """A loss or gradient that is not finite, found before it moved a weight."""


class DivergedError(TwofoldError):
    """What ends a run whose loss, gradient or weights are not finite."""


@dataclass(frozen=True)
class Divergence:
    """A step that was not taken, for something was not finite."""

    step: int
    """Its number."""
    what: Literal["weights", "loss", "gradient"]
    """What is not finite."""
    objectives: tuple[str, ...] = ()
    """Whose it is; none where the weights are at fault."""
    ids: tuple[str, ...] = ()
    """Items of the batch."""

    @property
    def sentence(self) -> str:
        """What was found.

        Example:
            >>> Divergence(7, "loss", ("contrast",), ("a", "b", "c", "d", "e")).sentence
            "the loss of 'contrast' is not finite at step 7 (items a, b, c and 2 more)"
        """
        if self.what == "weights":
            return f"the weights are not finite before step {self.step}"
        more = f" and {len(self.ids) - _SHOWN} more" if len(self.ids) > _SHOWN else ""
        return (
            f"the {self.what} of {', '.join(map(repr, self.objectives))} is not finite at step "
            f"{self.step} (items {', '.join(self.ids[:_SHOWN])}{more})"
        )


def finite(tensors: Iterable[Tensor | None]) -> bool:
    """Whether every number is finite.

    Example:
        >>> finite([torch.ones(2), None]), finite([torch.tensor([0.0, torch.nan])])
        (True, False)
    """
    return all(bool(tensor.isfinite().all()) for tensor in tensors if tensor is not None)


def gradient_length(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Length of the gradient of all weights together."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def diagnose(
    method: nn.Module, batch: Batch, hardware: Hardware, *, step: int, ids: Sequence[str]
) -> Divergence:
    """What is not finite at a step, from the same losses once more, each by itself.

    Of several processes all are asked: a loss may be that of one's own items, which are named then.

    Args:
        method: Encoder and objectives, with the weights from before the step.
        batch: The step's.
        hardware: As of the step.
        step: Its number.
        ids: Of all items, as `batch.index` counts them.
    """
    shown = tuple(str(ids[row]) for row in batch.index.tolist()) if len(ids) else ()
    parameters = [p for p in method.parameters() if p.requires_grad]
    if not finite(parameters):
        return Divergence(step, "weights", (), _on_any(("weights",), shown)[1])
    with hardware.autocast():
        losses: Mapping[str, Tensor] = method(batch)
    bad = tuple(name for name, loss in losses.items() if not finite([loss]))
    bad, of_those = _on_any(bad, shown)
    if bad:
        return Divergence(step, "loss", bad, of_those)
    bad = tuple(
        name
        for name, loss in losses.items()
        if not finite(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))
    )
    bad, of_those = _on_any(bad, shown)
    if not bad:  # together they are not
        bad, of_those = _on_any(tuple(losses), shown)
    return Divergence(step, "gradient", bad, of_those)


def _on_any(bad: tuple[str, ...], ids: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is not finite on any process, and the items of those where something is not."""
    found = [told for told in of_all((bad, ids)) if told[0]]
    names = dict.fromkeys(name for told, _ in found for name in told)
    return tuple(names), tuple(item for _, shown in found for item in shown)
