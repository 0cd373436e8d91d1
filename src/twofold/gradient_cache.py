"""Batches encoded part by part: the losses see all items, the memory one part of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from twofold.distributed import world_size
from twofold.errors import TwofoldError
from twofold.networks.names import BatchNorm
from twofold.normalization import follow, moments, over_all
from twofold.objectives import Batch, Parts

Features = Mapping[str | None, tuple[Tensor, ...]]
"""Of each view, by route."""

_Encode = Callable[[tuple[Tensor, ...]], Features]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

_Moments = tuple[Tensor, Tensor]
_Found = Mapping[_BatchNorm, Sequence[_Moments]]
"""Mean and variance of what enters a norm, each time that it is called in a part."""


def encode_parts(encode: _Encode, batch: Parts, network: nn.Module) -> tuple[Batch, Features]:
    """A batch with what is known of its items, and the features of all of them, with gradients.

    Only features are kept. Where a gradient reaches those of a part, its views are made and
    encoded once more, with the same dropout. The last part alone is spared that: its activations
    wait, for the backward pass begins with it.

    So losses and gradients are those of one batch where the features of an item depend on no other
    item. They do with BatchNorm, whatever `batch.batch_norm` says: `group` divides by the
    statistics of a part, `frozen` by running ones. `two-pass` encodes all parts once more before,
    each by its own statistics, and divides by those of all: no gradient goes through them, and
    behind the first norm they are of activations that were divided by those of a part.

    Args:
        encode: Views `(part, ...)` to features `(part, dim)`, by `network`.
        batch: The parts, all of one size.
        network: The encoder.

    Raises:
        TwofoldError: If the network has BatchNorm and the batch does not say by what it divides.

    Reference: Gao et al., 2021, arXiv:2101.06983.
    """
    check_norms(network, batch.batch_norm)
    norms = [norm for norm in _batch_norms(network) if norm.training]
    at_first, again = _dividing(norms, batch, encode)
    told: dict[int, Batch] = {}

    def encode_part(number: int) -> Features:
        divided = again if number in told else at_first
        part = batch.parts[number]()
        told[number] = replace(part, views=())
        with divided():
            return encode(part.views)

    *most, last = range(len(batch.parts))
    found: list[Features] = [checkpoint(encode_part, n, use_reentrant=False) for n in most]
    found.append(encode_part(last))
    features = {
        route: tuple(map(torch.cat, zip(*(part[route] for part in found), strict=True)))
        for route in found[0]
    }
    return _together([told[number] for number in (*most, last)]), features


def check_norms(network: nn.Module, batch_norm: BatchNorm | None) -> None:
    """Refuses to leave open what BatchNorm divides by, and an answer that nothing asks for.

    Raises:
        TwofoldError: Also for running statistics that a norm does not have.

    Example:
        >>> check_norms(nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8)), None)
        Traceback (most recent call last):
        twofold.errors.TwofoldError: the encoder has BatchNorm, ...
    """
    norms = list(_batch_norms(network))
    if norms and batch_norm is None:
        raise TwofoldError(
            "the encoder has BatchNorm, which divides by statistics of a whole batch, but "
            "effective_batch encodes it in parts; say with batch_norm by which: 'frozen', 'group' "
            "or 'two-pass'; none is the same as one batch"
        )
    if not norms and batch_norm is not None:
        raise TwofoldError(
            f"batch_norm is {batch_norm!r}, but the encoder has no BatchNorm: parts equal one "
            "batch without; leave it out"
        )
    if batch_norm == "frozen" and any(norm.running_mean is None for norm in norms):
        raise TwofoldError(
            "batch_norm is 'frozen', but the encoder's BatchNorm keeps no running statistics; say "
            "'group' or 'two-pass'"
        )


def _batch_norms(network: nn.Module) -> Iterator[_BatchNorm]:
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


def _together(parts: Sequence[Batch]) -> Batch:
    """What is known of the items of all parts."""
    draws = (
        {
            name: {key: np.concatenate([one[name][key] for one in view]) for key in view[0][name]}
            for name in view[0]
        }
        for view in zip(*(part.draws for part in parts), strict=True)
    )
    labels = [part.labels for part in parts if part.labels is not None]
    return Batch(
        views=(),
        draws=tuple(draws),
        index=torch.cat([part.index for part in parts]),
        labels=torch.cat(labels) if labels else None,
    )


def _dividing(
    norms: Sequence[_BatchNorm], batch: Parts, encode: _Encode
) -> tuple[Callable[[], AbstractContextManager[None]], Callable[[], AbstractContextManager[None]]]:
    """What norms are made to do while a part is encoded at first, and while it is again."""
    if batch.batch_norm == "frozen":
        return (lambda: _resting(norms),) * 2
    if batch.batch_norm == "two-pass":
        found = _measured(norms, batch, encode)
        return (lambda: _divided_by(found),) * 2
    return nullcontext, lambda: _on_copies(norms)


@contextmanager
def _resting(norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Norms divide by their running statistics, and leave them."""
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True


@contextmanager
def _on_copies(norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Norms move copies of their running statistics, so that a part counts once."""
    before = [(norm, name, getattr(norm, name)) for norm in norms for name in _STATISTICS]
    for norm, name, own in before:
        setattr(norm, name, None if own is None else own.clone())
    try:
        yield
    finally:
        for norm, name, own in before:
            setattr(norm, name, own)


@contextmanager
def _divided_by(found: _Found) -> Iterator[None]:
    """Norms divide by what was measured for each of their calls."""
    turns = {norm: iter(moments) for norm, moments in found.items()}

    def take(norm: nn.Module, _: object) -> None:
        assert isinstance(norm, _BatchNorm)
        norm.running_mean, norm.running_var = next(turns[norm])

    hooks = [norm.register_forward_pre_hook(take) for norm in found]
    try:
        with _on_copies(found), _resting(found):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _measured(norms: Sequence[_BatchNorm], batch: Parts, encode: _Encode) -> _Found:
    """Mean and variance over all parts for each call of a norm; running ones move towards them."""
    calls: dict[_BatchNorm, list[list[tuple[Tensor, Tensor, int]]]] = {n: [] for n in norms}

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        calls[norm][-1].append(moments(inputs[0]))

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    begun = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if begun else ()
    try:
        # as it draws after, so that dropout is the same
        with torch.random.fork_rng(devices), torch.no_grad(), _on_copies(norms):
            for part in batch.parts:
                for of_parts in calls.values():
                    of_parts.append([])
                encode(part().views)
    finally:
        for hook in hooks:
            hook.remove()
    torch.clear_autocast_cache()  # torch 2.9 would take its weights, without gradients
    return {
        norm: [_over_parts(norm, call) for call in zip(*calls[norm], strict=True)] for norm in norms
    }


def _over_parts(norm: _BatchNorm, call: Iterable[tuple[Tensor, Tensor, int]]) -> _Moments:
    """The moments of a call over all parts, equally large, of all processes."""
    means, variances, sizes = zip(*call, strict=True)
    whole = over_all(torch.stack(means), torch.stack(variances))
    follow(norm, *whole, sum(sizes) * world_size())
    return whole
