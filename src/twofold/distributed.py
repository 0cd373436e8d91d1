"""Processes that work together, and what they exchange: the only module that knows of several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from twofold.errors import TwofoldError

Found = TypeVar("Found")

_PATIENCE = timedelta(days=30)  # one that has died is noticed at once: its connections close
_MOMENT = timedelta(seconds=5)  # by which processes differ in finding what all of them find
_BUCKET = 25 * 2**20  # bytes of gradients that travel at a time
_groups = count()  # a store remembers the addresses of the groups before


class LostError(TwofoldError):
    """Another process ended before the work of all was done."""


def world_size() -> int:
    """How many processes train together; 1 without `torchrun`."""
    return distributed.get_world_size() if _running() else 1


def rank() -> int:
    """This process's number, from 0; process 0 writes files and speaks for all."""
    return distributed.get_rank() if _running() else 0


def processes_here() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if _running() else 1


@contextmanager
def together(remedy: str = "start it again") -> Iterator[None]:
    """A block that all processes of `torchrun` go through; without it, a block like any other.

    Nobody leaves it before all have come to its end. An error that all processes find is raised by
    process 0 alone; the others, like those that wait for one that has told why it ends, exit with
    status 2.

    Args:
        remedy: What to do when a process dies, in the words of an error.

    Raises:
        LostError: If another process ends within the block, and nobody has told why.
        TwofoldError: If there are several processes that do not find one another.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    if _running():
        with _noticing(remedy):
            yield
            wait_for_all()
        return
    store = _join()
    try:
        with _noticing(remedy):
            yield
            wait_for_all()
    except Exception as error:
        if _is_told(error, store):
            raise SystemExit(2) from None
        own = isinstance(error, TwofoldError | OSError) and not isinstance(error, LostError)
        if own and rank() > 0:
            raise TwofoldError(f"process {rank()} of {world_size()}: {error}") from error
        raise
    finally:
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Goes on as soon as every process has come here."""
    if world_size() > 1:
        distributed.all_reduce(torch.zeros(1))  # where GPUs are computed on, a barrier is theirs


@contextmanager
def one_first() -> Iterator[None]:
    """A block that one process of each machine goes through before the others of it.

    For what leaves files behind that the next to come would make, too.
    """
    leads = os.environ.get("LOCAL_RANK", "0") == "0"
    if not leads:
        wait_for_all()
    try:
        yield
    finally:
        if leads:
            wait_for_all()


def own_device(device: str) -> str:
    """This process's device: of several GPUs of one machine, each process takes its own.

    Raises:
        TwofoldError: If there are more processes than GPUs.

    Example:
        >>> own_device("cpu")
        'cpu'
    """
    if world_size() == 1 or torch.device(device).type != "cuda":
        return device
    if not _one_gpu_each():
        raise TwofoldError(
            f"{processes_here()} processes share {torch.cuda.device_count()} GPUs; start one for "
            "each, or say --device cpu"
        )
    return f"cuda:{_local_rank()}"


def of_first(find: Callable[[], Found]) -> Found:
    """What process 0 finds, on every process; the others do not look.

    Example:
        >>> of_first(lambda: 3)
        3
    """
    if world_size() == 1:
        return find()
    told: list[Any] = [find() if rank() == 0 else None]
    distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    found: Found = told[0]
    return found


def of_all(value: Found) -> list[Found]:
    """What each process has, by rank.

    Example:
        >>> of_all(3)
        [3]
    """
    told: list[Any] = [value] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(told, value)
    return told


def make_alike(module: nn.Module) -> None:
    """Gives a module the weights and buffers that it has on process 0."""
    if world_size() > 1:
        held = of_first(lambda: {name: t.cpu() for name, t in module.state_dict().items()})
        module.load_state_dict(held)


def gather(embeddings: Tensor) -> Tensor:
    """The rows of all ranks, in rank order: `(batch, dim)` to `(world_size * batch, dim)`.

    Differentiable: each rank receives the gradient that every rank's loss has for its rows, so
    that the average that `average_gradients` takes is the gradient of the whole batch's loss.

    Example:
        >>> rows = torch.ones(4, 2)
        >>> gather(rows) is rows  # a single process has all rows already
        True
    """
    if world_size() == 1:
        return embeddings
    rows: Tensor = _Gathered.apply(embeddings)
    return rows


def mean(values: Tensor) -> Tensor:
    """The mean over all ranks of a tensor of any shape, the same on each; not differentiable.

    Example:
        >>> mean(torch.tensor([1.0, 3.0])).tolist()  # a single process has it already
        [1.0, 3.0]
    """
    return total_of(values) / world_size() if world_size() > 1 else values


def total_of(values: Tensor) -> Tensor:
    """The sum over all ranks of a tensor of any shape, the same on each; not differentiable.

    Example:
        >>> total_of(torch.tensor([1.0, 3.0])).tolist()  # a single process has it already
        [1.0, 3.0]
    """
    if world_size() == 1:
        return values
    total = values.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces the gradient of each parameter by its mean over all ranks.

    To be called once the gradients are whole: they travel in a few large pieces, not while they
    are computed, for balancers take gradients of single losses and of single layers before.

    Example:
        >>> weight = nn.Parameter(torch.ones(2))
        >>> weight.sum().backward()
        >>> average_gradients([weight])
        >>> weight.grad.tolist()
        [1.0, 1.0]
    """
    if world_size() == 1:
        return
    for bucket in _buckets([p.grad for p in parameters if p.grad is not None]):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        distributed.all_reduce(flat)
        flat /= world_size()
        averaged = torch.split(flat, [gradient.numel() for gradient in bucket])
        for gradient, average in zip(bucket, averaged, strict=True):
            gradient.copy_(average.view(gradient.shape))


def shares(size: int, block: int) -> list[range]:
    """Of rows that are worked on a block at a time, those of each process: whole blocks.

    Example:
        >>> shares(1000, 512)
        [range(0, 1000)]
    """
    blocks, among = -(-size // block), world_size()
    ends = [min(size, number * blocks // among * block) for number in range(among + 1)]
    return [range(*between) for between in pairwise(ends)]


def complete(rows: Tensor, parts: Sequence[range]) -> Tensor:
    """Rows in memory with those filled in that other processes found.

    Args:
        rows: All, of which this process has filled in its part; any tensor if that is empty.
        parts: That of each process, of which one at least is not.

    Example:
        >>> complete(torch.ones(3, 2), shares(3, 2)).shape
        torch.Size([3, 2])
    """
    if world_size() == 1:
        return rows
    shape, kind = next(
        told for told, part in zip(of_all((rows.shape, rows.dtype)), parts, strict=True) if part
    )
    rows = rows if parts[rank()] else torch.empty(shape, dtype=kind)
    for number, part in enumerate(parts):
        if part:
            distributed.broadcast(rows[part.start : part.stop], src=number)
    return rows


class _Gathered(torch.autograd.Function):
    """Rows of all ranks; back go the gradients that all ranks have for one's own."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [rows.new_empty(rows.shape) for _ in range(world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total_of(gradient).chunk(world_size())[rank()]


def _running() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _one_gpu_each() -> bool:
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    return torch.cuda.is_available() and here <= torch.cuda.device_count()


def _join() -> Store:
    """Meets the other processes; returns what they leave one another messages in."""
    backend = "gloo"
    if _one_gpu_each():
        torch.cuda.set_device(_local_rank())
        backend = "cpu:gloo,cuda:nccl"
    try:
        above, number, size = next(rendezvous("env://"))
        store = PrefixStore(f"twofold/{next(_groups)}", above)
        distributed.init_process_group(
            backend, store=store, rank=number, world_size=size, timeout=_PATIENCE
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TwofoldError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes do not find one "
            f"another ({reason}); start them with torchrun"
        ) from None
    return store


@contextmanager
def _noticing(remedy: str) -> Iterator[None]:
    """A block in which an exchange that fails tells that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        words = str(error)
        if isinstance(error, distributed.DistError) or "gloo" in words:
            raise LostError(f"another process ended before its work was done; {remedy}") from None
        raise


def _is_told(error: Exception, store: Store) -> bool:
    """Whether another process tells of an error, or of why it is the other that has ended."""
    try:
        if isinstance(error, LostError):
            return bool(store.check(["told"])) or store.add("lost", 1) > 1
        store.set(f"told/{rank()}", str(error))
        store.set("told", "")
        if rank() == 0:
            return False
        store.wait(["told/0"], _MOMENT)
        return bool(store.get("told/0") == str(error).encode())
    except distributed.DistError:
        return False


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one type, as many as travel at a time."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(held.nbytes for held in bucket) + gradient.nbytes > _BUCKET
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
