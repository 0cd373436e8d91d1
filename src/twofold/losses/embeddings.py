"""What every loss asks of the embeddings it is given, and the precision it computes in."""

from __future__ import annotations

from torch import Tensor, float64
from torch.nn import functional as F

from twofold.errors import TwofoldError


def full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in float32, or all in float64 if one of them is."""
    wide = any(tensor.dtype == float64 for tensor in tensors)
    return tuple(tensor.double() if wide else tensor.float() for tensor in tensors)


def unit_rows(*embeddings: Tensor) -> tuple[Tensor, ...]:
    """The embeddings in full precision, each row of length 1 (a row of zeros stays)."""
    return tuple(F.normalize(rows, dim=1) for rows in full_precision(*embeddings))


def check_pair(**pair: Tensor) -> None:
    """Refuses what is not two sets of embeddings of the same items; the names are the caller's."""
    (first_name, first), (second_name, second) = pair.items()
    if first.ndim != 2 or first.shape != second.shape or not first.numel():
        raise TwofoldError(
            f"{first_name} and {second_name} must both be embeddings of shape (batch, dim); "
            f"they are {tuple(first.shape)} and {tuple(second.shape)}"
        )


def check_batch(loss: str, batch_size: int, *, why: str) -> None:
    """Refuses a batch of one item, with the reason why `loss` needs more."""
    if batch_size < 2:
        raise TwofoldError(f"{loss} needs a batch of at least 2 items, {why}; found {batch_size}")


def check_cosine(loss: str, embeddings: Tensor, *, remedy: str = "") -> None:
    """Refuses embeddings of one dimension, which L2 normalisation leaves nothing of."""
    if embeddings.shape[-1] < 2:
        raise TwofoldError(
            f"{loss} needs embeddings of at least 2 dimensions; with 1, cosine similarity leaves "
            f"only the two values -1 and +1{remedy}"
        )


def check_temperature(temperature: float) -> None:
    """Refuses a temperature that is not positive."""
    if not temperature > 0:
        raise TwofoldError(f"temperature is {temperature}; it must be > 0")
