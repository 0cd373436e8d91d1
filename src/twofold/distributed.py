"""Ranks, and what is gathered across them: the only module that knows there is more than one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.distributed.nn import functional as differentiable

from twofold.errors import TwofoldError

_PATIENCE = timedelta(days=30)  # one that has died is noticed at once: its connections close


def world_size() -> int:
    """How many processes train together; 1 without `torchrun`."""
    return distributed.get_world_size() if _running() else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if _running() else 0


@contextmanager
def together() -> Iterator[None]:
    """A block that all processes of `torchrun` go through; without it, a block like any other.

    Raises:
        TwofoldError: If there are several processes that do not find one another.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or _running():
        yield
        return
    try:
        distributed.init_process_group("gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TwofoldError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes do not find one "
            f"another ({reason}); start them with torchrun"
        ) from None
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Goes on as soon as every process has come here.

    Raises:
        TwofoldError: If another process ended before it did.
    """
    if world_size() == 1:
        return
    try:
        distributed.monitored_barrier(timeout=_PATIENCE)
    except RuntimeError:
        raise TwofoldError(
            "another process ended before its work was done; the same command goes on from there"
        ) from None


def own_device(device: str) -> str:
    """This process's device: of several GPUs of one machine, each process takes its own.

    Example:
        >>> own_device("cpu")
        'cpu'
    """
    if device != "cuda" or world_size() == 1:
        return device
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def refuse_several() -> None:
    """Refuses to run beside other processes that would write to the same folder.

    Raises:
        TwofoldError: Under `torchrun` with more than one process, until runs can be shared.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count != "1":
        raise TwofoldError(
            f"WORLD_SIZE is {count}; a run is trained by one process so far: start it without "
            "torchrun"
        )


def gather(embeddings: Tensor) -> Tensor:
    """The rows of all ranks, in rank order: `(batch, dim)` to `(world_size * batch, dim)`.

    Differentiable: each rank receives the gradient that every rank's loss has for its rows, so
    that the average DistributedDataParallel takes is the gradient of the whole batch's loss.

    Example:
        >>> rows = torch.ones(4, 2)
        >>> gather(rows) is rows  # a single process has all rows already
        True
    """
    if world_size() == 1:
        return embeddings
    return torch.cat(differentiable.all_gather(embeddings))  # type: ignore[no-untyped-call]


def mean(values: Tensor) -> Tensor:
    """The mean over all ranks of a tensor of any shape, the same on each; not differentiable.

    Example:
        >>> mean(torch.tensor([1.0, 3.0])).tolist()  # a single process has it already
        [1.0, 3.0]
    """
    if world_size() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / world_size()


def _running() -> bool:
    return distributed.is_available() and distributed.is_initialized()
