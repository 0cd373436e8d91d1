"""Gradients that are combined instead of losses, with TorchJD's weightings of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twofold.balance.balancer import Balancer
from twofold.distributed import average_gradients, mean
from twofold.errors import TwofoldError

Weighting = Callable[[Tensor], Tensor]

WEIGHTINGS = {
    "mean": "MeanWeighting",
    "pcgrad": "PCGradWeighting",
    "upgrad": "UPGradWeighting",
    "dualproj": "DualProjWeighting",
    "mgda": "MGDAWeighting",
    "cagrad": "CAGradWeighting",
    "imtl_g": "IMTLGWeighting",
    "aligned_mtl": "AlignedMTLWeighting",
}
_RIDGE = 1e-4  # on the Gramian of trace 1, as in TorchJD


class Aggregated(Balancer):
    """Moves the shared weights by `sum_i w_i g_i`, with factors that the gradients decide on.

    `g_i` is the gradient of loss i, times its fixed factor, on all shared weights, and `w` a
    function of the inner products of the `g_i` alone. Weights that the losses do not share (heads,
    adapters) get the gradient of the plain sum. Each loss has a backward pass of its own; the
    factors are computed in float64 on the host, which waits for the device once a step.

    Mind the scale: for T losses the factors of pcgrad sum to T or more, those of most others to
    about 1, under which the shared weights learn T times more slowly than under a plain sum.

    Args:
        names: The losses.
        shared: The weights that all losses share.
        weighting: Factors `(losses,)` from inner products `(losses, losses)`; without state.
        others: What every balancer takes.

    Example:
        >>> shared = torch.zeros(2, requires_grad=True)
        >>> losses = {"a": 3 * shared[0], "b": 5 * shared[1]}
        >>> unit = lambda gramian: 1 / gramian.diagonal().sqrt()
        >>> Aggregated(["a", "b"], shared=[shared], weighting=unit).backward(losses).item()
        0.0
        >>> shared.grad.tolist()
        [1.0, 1.0]

    Reference: Quinton and Rey, 2024, arXiv:2406.16232 (TorchJD).
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        shared: Sequence[Tensor],
        weighting: Weighting,
        **others: Any,
    ) -> None:
        super().__init__(names, **others)
        self._shared = tuple(shared)  # in a tuple: they are the encoder's
        self._weighting = (weighting,)

    def backward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Adds to the gradients: combined ones to shared weights', those of the sum to others'.

        Args:
            losses: Each loss by name, scalars.

        Returns:
            The sum of the losses times their fixed factors, the mean over processes, a scalar,
            detached.
        """
        held = [weight.grad for weight in self._shared]
        scaled = [
            factor * losses[name] for factor, name in zip(self.fixed, self.names, strict=True)
        ]
        gradients = [self._gradients(loss, last=loss is scaled[-1]) for loss in scaled]
        gramian = _gramian(gradients).cpu().double()
        weights = self._weighting[0](gramian)
        for weight, before, *of_losses in zip(self._shared, held, *gradients, strict=True):
            products = zip(weights.tolist(), of_losses, strict=True)
            combined = sum(factor * gradient for factor, gradient in products)
            weight.grad = combined if before is None else before + combined
        fixed = self.fixed.cpu().double()
        self.note(weights.to(self.fixed), gramian / torch.outer(fixed, fixed))
        return mean(torch.stack(scaled).sum().detach())

    def _gradients(self, loss: Tensor, *, last: bool) -> list[Tensor]:
        """The gradient of one loss on each shared weight, the mean over processes.

        Those on other weights are added to theirs.
        """
        for weight in self._shared:
            weight.grad = None
        loss.backward(retain_graph=not last)  # type: ignore[no-untyped-call]
        average_gradients(self._shared)
        return [torch.zeros_like(w) if w.grad is None else w.grad for w in self._shared]


def build_weighting(name: str) -> Weighting:
    """TorchJD's weighting of a name in `WEIGHTINGS`.

    Raises:
        TwofoldError: If TorchJD, or what it needs for this one, is not installed.
    """
    try:
        aggregation = import_module("torchjd.aggregation")
    except ImportError:
        raise TwofoldError(
            f"balancer {name!r} needs TorchJD, which is not installed; pip install twofold[balance]"
        ) from None
    arguments: dict[str, dict[str, Any]] = {
        "upgrad": {"projector": project_onto_dual_cone},
        "dualproj": {"projector": project_onto_dual_cone},
        "cagrad": {"c": 0.5},  # the paper's usual
    }
    try:
        weighting: Weighting = getattr(aggregation, WEIGHTINGS[name])(**arguments.get(name, {}))
    except ImportError:
        raise TwofoldError(
            f"balancer {name!r} needs a solver that is not installed; pip install torchjd[{name}]"
        ) from None
    return weighting


def project_onto_dual_cone(factors: Tensor, gramian: Tensor) -> Tensor:
    """Factors of the nearest combination of gradients that none of the gradients opposes.

    Solves `min v^T G v, v >= u` for each row u of factors, as non-negative least squares in
    `v - u`: exact, and with nothing but SciPy, where TorchJD's own projector takes a solver of
    quadratic programs. `G` is brought to trace 1 and given a small ridge, as TorchJD does.

    Args:
        factors: `u`, `(..., losses)`.
        gramian: Inner products of the gradients, `(losses, losses)`.

    Returns:
        `v`, of the shape of `factors`.

    Example:
        >>> gramian = torch.tensor([[1.0, -1.0], [-1.0, 2.0]])  # of (1, 0) and (-1, 1)
        >>> project_onto_dual_cone(torch.eye(2), gramian).round(decimals=2).tolist()
        [[1.0, 0.5], [1.0, 1.0]]
    """
    from scipy.optimize import nnls

    matrix = gramian.detach().cpu().double().numpy()
    matrix = matrix / max(np.trace(matrix), np.finfo(float).tiny) + _RIDGE * np.eye(len(matrix))
    root = np.linalg.cholesky(matrix).T
    rows = factors.detach().cpu().double().numpy().reshape(-1, len(matrix))
    solved = np.stack([row + nnls(root, -root @ row)[0] for row in rows])
    return torch.from_numpy(solved).to(factors).reshape(factors.shape)


def _gramian(gradients: Sequence[Sequence[Tensor]]) -> Tensor:
    """Inner products of the gradients, `(losses, losses)`, summed over the weights they are on."""
    products = []
    for of_losses in zip(*gradients, strict=True):
        rows = torch.stack([gradient.flatten() for gradient in of_losses])
        products.append(rows @ rows.T)
    return torch.stack(products).sum(0)
