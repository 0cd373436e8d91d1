"""Features of stored items, from an encoder that is proven not to move while it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from twofold.clips import Clips
from twofold.distributed import complete, rank, shares
from twofold.errors import TwofoldError, unknown
from twofold.items import Items

Prepare = Callable[[np.ndarray, torch.device], Tensor]
"""From stored items `(batch, channels, height, width)` to what an encoder reads, on a device."""

_PRECISIONS = ("float32", "bf16")


def features(
    encoder: nn.Module,
    items: Items,
    preprocess: Prepare,
    *,
    batch_size: int = 512,
    precision: str = "float32",
    device: torch.device | str | None = None,
    progress: Callable[[int], object] | None = None,
) -> Tensor:
    """Features of `items`, in evaluation mode and without gradients.

    Afterwards every submodule is in the mode it was in, the encoder is on the device it was on,
    and no parameter or buffer has changed. Processes that are together encode a share of the
    batches each, and all of them get all features.

    Args:
        encoder: Maps a batch to features `(batch, num_features)`.
        items: Items as stored `(n, channels, height, width)`; a memory map is read in batches.
            Features of a clip are the mean over all its windows.
        preprocess: From stored items to what the encoder reads, such as a `Preprocess`.
        batch_size: Items encoded at a time, > 0.
        precision: `float32`, or `bf16` to let the encoder compute under autocast.
        device: Where to compute; where the encoder is if None.
        progress: Called after each batch with the number of items encoded so far, by this process.

    Returns:
        Float32 features `(n, num_features)` in memory, on the CPU.

    Raises:
        TwofoldError: If there are no items, if what the encoder returns is not finite or not
            `(batch, num_features)`, or if encoding changed the encoder.

    Example:
        >>> from twofold.preprocess import measure
        >>> items = np.arange(48, dtype=np.uint8).reshape(3, 1, 4, 4)
        >>> features(nn.Flatten(), items, measure(items)).shape
        torch.Size([3, 16])
    """
    if batch_size < 1:
        raise TwofoldError(f"batch_size is {batch_size}; it must be > 0")
    if len(items) == 0:
        raise TwofoldError("there are no items to encode; give at least one")
    parts, result = shares(len(items), batch_size), torch.empty(0)
    own = parts[rank()]
    with encoding(encoder, preprocess, precision=precision, device=device) as encode:
        for start in range(own.start, own.stop, batch_size):
            some = slice(start, min(start + batch_size, own.stop))
            encoded = encode(items.select(some) if isinstance(items, Clips) else items[some])
            if start == own.start:
                result = torch.empty(len(items), encoded.shape[1])
            result[some] = encoded
            if progress is not None:
                progress(some.stop - own.start)
    return complete(result, parts)


@contextmanager
def encoding(
    encoder: nn.Module,
    preprocess: Prepare,
    *,
    precision: str = "float32",
    device: torch.device | str | None = None,
) -> Iterator[Callable[[np.ndarray | Clips], Tensor]]:
    """A block in which a frozen encoder turns batches of stored items into features.

    What `features` does with items that need not be in one array, nor their features in memory.

    Args:
        encoder: As of `features`, like all others.
        preprocess: From stored items to what the encoder reads.
        precision: `float32` or `bf16`.
        device: Where to compute; where the encoder is if None.

    Returns:
        From items `(batch, channels, height, width)` to float32 features `(batch, num_features)`
        on the CPU; from clips to the mean over all windows of each.

    Raises:
        TwofoldError: As `features` does; that encoding changed the encoder is told at the end.

    Example:
        >>> from twofold.preprocess import measure
        >>> items = np.arange(48, dtype=np.uint8).reshape(3, 1, 4, 4)
        >>> with encoding(nn.Flatten(), measure(items)) as encode:
        ...     encode(items[:2]).shape
        torch.Size([2, 16])
    """
    if precision not in _PRECISIONS:
        raise unknown("precision", precision, _PRECISIONS)
    home = _device(encoder)
    where = home if device is None else torch.device(device)

    def encode(items: np.ndarray | Clips) -> Tensor:
        if isinstance(items, Clips):
            return _over_windows(encode, items)
        images = preprocess(items, where)
        with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
            encoded: Tensor = encoder(images)
        _check(encoded, len(items))
        return encoded.to("cpu", torch.float32)

    try:
        with frozen(encoder.to(where)):
            yield encode
    finally:
        encoder.to(home)


@contextmanager
def frozen(encoder: nn.Module) -> Iterator[None]:
    """A block in which the encoder is only read: evaluation mode, no gradients, nothing moves.

    A probe of an encoder that still moves (through BatchNorm's running statistics, say) measures
    another encoder than the one it names, usually a better one.

    Raises:
        TwofoldError: If the block changed a parameter or a buffer.

    Example:
        >>> encoder = nn.BatchNorm1d(4)
        >>> with frozen(encoder):
        ...     encoder.training
        False
        >>> encoder.training
        True
    """
    modes = [(module, module.training) for module in encoder.modules()]
    before = checksums(encoder)
    encoder.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
    after = checksums(encoder)
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if changed:
        raise TwofoldError(
            f"the encoder changed its own {changed[0]!r} ({len(changed)} tensors in all) while it "
            "was evaluated; in evaluation mode its forward must leave parameters and buffers alone"
        )


def checksums(encoder: nn.Module) -> dict[str, bytes]:
    """A digest of every parameter and every buffer, non-persistent ones too, bit for bit."""
    return {
        name: hashlib.blake2b(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        ).digest()
        for name, tensor in chain(encoder.named_parameters(), encoder.named_buffers())
    }


def _over_windows(encode: Callable[[np.ndarray | Clips], Tensor], clips: Clips) -> Tensor:
    """The mean of the features of each clip's windows, as many of which are encoded at a time."""
    windows, owners = clips.windows()
    count = len(clips)
    parts = [encode(windows[first : first + count]) for first in range(0, len(windows), count)]
    if len(parts) == 1:
        return parts[0]
    lengths = torch.from_numpy(np.bincount(owners))
    found: Tensor = torch.segment_reduce(torch.cat(parts), "mean", lengths=lengths, axis=0)
    return found


def _device(encoder: nn.Module) -> torch.device:
    tensor = next(chain(encoder.parameters(), encoder.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _check(encoded: object, count: int) -> None:
    if not isinstance(encoded, Tensor):
        raise TwofoldError(
            f"the encoder returned a {type(encoded).__name__}; "
            "it must return one tensor (batch, num_features)"
        )
    if encoded.ndim != 2 or len(encoded) != count:
        raise TwofoldError(
            f"the encoder returned shape {tuple(encoded.shape)} for {count} items; it must return "
            "(batch, num_features): end it with global pooling and flatten"
        )
    bad = int((~encoded.isfinite().all(dim=1)).sum())
    if bad:
        raise TwofoldError(
            f"the features of {bad} of {count} items are NaN or infinite; "
            "the encoder has diverged: train it again with a lower learning rate"
        )
