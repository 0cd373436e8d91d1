"""Embeddings of earlier steps, kept beside the network and saved with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Memory(nn.Module):
    """Unit vectors that no gradient reaches: a queue of the latest, or a bank with one per item.

    They start as random directions.

    Args:
        count: How many vectors, >= 1.
        dim: Their dimension, >= 1.

    Example:
        >>> memory = Memory(3, 2)
        >>> memory.push(torch.eye(2))
        >>> memory.rows[:2].tolist(), int(memory.oldest)
        ([[1.0, 0.0], [0.0, 1.0]], 2)
    """

    rows: Tensor
    oldest: Tensor

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(count, dim), dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, embeddings: Tensor) -> None:
        """Puts embeddings `(batch, dim)` in the place of the oldest."""
        latest = embeddings[-len(self.rows) :]
        place = (self.oldest + torch.arange(len(latest), device=self.rows.device)) % len(self.rows)
        self.rows[place] = F.normalize(latest.to(self.rows.dtype), dim=1)
        self.oldest.copy_((place[-1] + 1) % len(self.rows))

    @torch.no_grad()
    def blend(self, index: Tensor, embeddings: Tensor, *, momentum: float) -> None:
        """Moves rows `index` towards embeddings: `momentum * row + (1 - momentum) * embedding`."""
        fresh = F.normalize(embeddings.to(self.rows.dtype), dim=1)
        self.rows[index] = F.normalize(fresh.lerp(self.rows[index], momentum), dim=1)
