"""BatchNorm whose batch is that of all processes together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from twofold.distributed import gather, mean, world_size
from twofold.errors import TwofoldError


def across_processes(module: nn.Module) -> None:
    """Makes every BatchNorm divide by the statistics of all processes' rows, in training.

    Gradients go through them, running statistics move as one batch's do, and the state keeps its
    names. Each process must have as many rows as the others, on any device. With one process
    nothing changes.

    Args:
        module: Its norms change in place; those that are `nn.SyncBatchNorm` stay.

    Raises:
        TwofoldError: If a norm is of a kind of its own, which may divide by other statistics.

    Example:
        >>> norm = nn.BatchNorm1d(4)
        >>> across_processes(norm)
        >>> type(norm) is nn.BatchNorm1d  # a single process
        True

    Reference: Peng et al., 2017, arXiv:1711.07240.
    """
    if world_size() == 1:
        return
    for name, norm in module.named_modules():
        if not isinstance(norm, _BatchNorm):
            continue
        if type(norm) in _ACROSS:
            norm.__class__ = _ACROSS[type(norm)]
        elif not isinstance(norm, _AcrossProcesses | nn.SyncBatchNorm):
            raise TwofoldError(
                f"{name or 'the module'} is a {type(norm).__name__}, a BatchNorm of its own kind, "
                "whose statistics cannot be taken over several processes; use torch's BatchNorm"
            )


def moments(values: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance of each channel, and of how many values, as BatchNorm takes them.

    Args:
        values: `(batch, channels, ...)`.

    Returns:
        `(channels,)` each, in float32 or float64.

    Example:
        >>> moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        (tensor([2., 5.]), tensor([1., 0.]), 2)
    """
    centre, variance = torch.batch_norm_update_stats(_in_full(values), None, None, 0.0)
    return centre, variance, values.numel() // values.shape[1]


def over_all(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of all values, from those of shares that are equally large.

    Args:
        means: Of each share `(shares, channels)`.
        variances: Of each share, biased `(shares, channels)`.

    Returns:
        `(channels,)` each, the same on every process, whose shares are all counted.

    Example:
        >>> over_all(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
        (tensor([1.]), tensor([3.]))
    """
    means, variances = gather(torch.cat([means, variances], dim=1)).chunk(2, dim=1)
    whole = means.mean(dim=0)
    return whole, (variances + (means - whole).square()).mean(dim=0)


def follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Moves running statistics as one batch with that mean and biased variance does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_((variance * count / max(count - 1, 1)).to(norm.running_var), share)


class _AcrossProcesses(_BatchNorm):
    """A BatchNorm that is trained by several processes."""

    def forward(self, values: Tensor) -> Tensor:
        """As of the rows of all processes; with running statistics out of training."""
        if not self.training or world_size() == 1:
            return super().forward(values)
        self._check_input_dim(values)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            own_mean, own_variance, count = moments(values)
            whole = over_all(own_mean[None], own_variance[None])
            follow(self, *whole, count * world_size())
        found: Tensor = _Normalised.apply(values, self.weight, self.bias, *whole, self.eps)
        return found


class _Normalised(torch.autograd.Function):
    """`weight (x - mean) / sqrt(variance + eps) + bias`, with the moments functions of x.

    With `u` the standardised values and `g` the slopes, and means over all processes' values,

    `dx = weight / sqrt(variance + eps) [g - mean(g) - u mean(g u)]`
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, mean, variance)
        ctx.eps = eps
        return F.batch_norm(values, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, centre, variance = ctx.saved_tensors
        to_values, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            slopes, values, weight, centre, variance, None, None, False, ctx.eps, [True] * 3
        )  # as if the moments were constants
        steepness, level = mean(torch.stack([to_weight, to_bias])) * values.shape[1]
        scale = (variance + ctx.eps).rsqrt() / values.numel()
        scale = scale if weight is None else scale * weight
        tilt = (steepness * scale * (variance + ctx.eps).rsqrt()).view(_channels(values))
        shift = (level * scale).view(_channels(values))
        to_values -= (values - centre.view(_channels(values))).mul_(tilt).add_(shift)
        if weight is None:
            return to_values, None, None, None, None, None
        return to_values, to_weight, to_bias, None, None, None


class _BatchNorm1d(_AcrossProcesses, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_AcrossProcesses, nn.BatchNorm2d):
    pass


class _BatchNorm3d(_AcrossProcesses, nn.BatchNorm3d):
    pass


_ACROSS: dict[type[_BatchNorm], type[_BatchNorm]] = {
    nn.BatchNorm1d: _BatchNorm1d,
    nn.BatchNorm2d: _BatchNorm2d,
    nn.BatchNorm3d: _BatchNorm3d,
}


def _in_full(values: Tensor) -> Tensor:
    """In float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _channels(values: Tensor) -> tuple[int, ...]:
    """The shape in which a number for each channel meets the values."""
    return (-1, *(1,) * (values.ndim - 2))
