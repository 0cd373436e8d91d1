"""Log-sum-exp over the similarities of all rows, of which one tile is in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from twofold.distributed import gather, rank, total_of, world_size
from twofold.losses.similarities import Similarity

SHARED_PAIRS = 2**22
"""Similarities that take longer than to exchange what is found of them."""

# With so many similarities or fewer it is no slower to let autograd keep them, by
# `python benchmarks/losses.py --crossover`; the triangle of a symmetric matrix is half the work.
_DENSE = 2**19
_DENSE_SYMMETRIC = 2**16
_TILE = 256  # rows and columns: 256 KiB, which stay in a core's cache
_GPU_TILE = 2048  # enough to keep a GPU busy
_HEADROOM = 24.0  # of an exponent: sums of exp(24) = 2.6e10 terms do not overflow


def log_sum_exp(
    rows: Tensor,
    others: Tensor | None = None,
    *,
    similarity: Similarity,
    without: tuple[int, ...] = (),
    labels: Tensor | None = None,
    shared: bool = False,
) -> Tensor:
    """For each row, what it is similar to: `log sum_k exp s(row_i, other_k)`.

    Tiles of the matrix `s` are computed one after the other, and once more in the backward pass, so
    that memory grows with the rows, not with their square. Where rows are compared with one another
    only tiles on and above the diagonal are: each serves its rows and its columns.

    Args:
        rows: Prepared by `similarity` `(n, dim)`.
        others: What they are compared with, prepared alike `(m, dim)`; the rows themselves if None.
        similarity: The measure, and its temperature.
        without: Diagonals that are left out of the sums: `k = i + offset` for each offset.
        labels: Of the rows `(n,)`; sums are over rows of the same label. Without `others` alone.
        shared: Whether all processes ask for the same, and are to share the tiles where there are
            many. The gradient is whole on each.

    Returns:
        `(n,)`; no sum may be empty.

    Example:
        >>> from twofold.losses.similarities import Cosine
        >>> cosine = Cosine(temperature=0.5)
        >>> (rows,) = cosine.prepare(torch.ones(3, 2, dtype=torch.float64))
        >>> log_sum_exp(rows, similarity=cosine, without=(0,)).exp() / math.exp(2)
        tensor([2.0000, 2.0000, 2.0000], dtype=torch.float64)

    Reference: Cheng et al., 2024, arXiv:2410.17243, who stream the losses of CLIP.
    """
    pairs = len(rows) * len(rows if others is None else others)
    shared = shared and pairs >= SHARED_PAIRS and world_size() > 1
    comparison = _Comparison(similarity, others is None, without, labels, shared)
    if pairs <= (_DENSE_SYMMETRIC if others is None else _DENSE):
        return comparison.dense(rows, rows if others is None else others)
    total: Tensor = _Streamed.apply(rows, others, comparison)
    return total


class _Tile(NamedTuple):
    """Part of the matrix of similarities."""

    rows: slice
    columns: slice
    mirrored: bool
    """Whether it stands for the part below the diagonal, too."""

    @property
    def sums(self) -> tuple[tuple[slice, int], ...]:
        """The sums it is part of, and the dimension that these are over."""
        along_rows, along_columns = (self.rows, 1), (self.columns, 0)
        return (along_rows, along_columns) if self.mirrored else (along_rows,)


class _Comparison(NamedTuple):
    """Which similarities there are."""

    similarity: Similarity
    symmetric: bool
    """Whether rows are compared with one another."""
    without: tuple[int, ...]
    labels: Tensor | None
    shared: bool = False
    """Whether each process takes some of the tiles."""

    def tiles(self, rows: Tensor, others: Tensor) -> Iterator[_Tile]:
        """Those of this process."""
        found = self._tiles(rows, others)
        return islice(found, rank(), None, world_size()) if self.shared else found

    def _tiles(self, rows: Tensor, others: Tensor) -> Iterator[_Tile]:
        """All of the matrix, or what is on and above its diagonal if it is symmetric."""
        size = _TILE if rows.device.type == "cpu" else _GPU_TILE
        height = min(len(rows), size)
        width = size**2 // height
        for top in range(0, len(rows), height):
            for left in range(top if self.symmetric else 0, len(others), width):
                mirrored = self.symmetric and left > top
                yield _Tile(slice(top, top + height), slice(left, left + width), mirrored)

    def values(self, rows: Tensor, others: Tensor, tile: _Tile) -> Tensor:
        """The similarities of a tile, -inf where they do not count."""
        found = self.similarity.of(rows[tile.rows], others[tile.columns])
        for offset in self.without:
            found.diagonal(offset + tile.rows.start - tile.columns.start).fill_(-math.inf)
        if self.labels is not None:
            other = self.labels[tile.rows, None] != self.labels[tile.columns]
            found.masked_fill_(other, -math.inf)
        return found

    def weights(
        self, rows: Tensor, others: Tensor, tile: _Tile, total: Tensor, slopes: Tensor
    ) -> Tensor:
        """What a change of each similarity changes of `sum(slopes * total)`."""
        values = self.values(rows, others, tile)
        level, slope = total[tile.rows, None], slopes[tile.rows, None]
        mirror_level, mirror_slope = total[tile.columns], slopes[tile.columns]
        if self.bounded(rows.dtype):
            share = slope * (-level).exp()
            if self.symmetric:
                share = share + mirror_slope * (-mirror_level).exp()
            return values.exp_().mul_(share)
        found = (values - level).exp_().mul_(slope)
        if self.symmetric:
            found += values.sub_(mirror_level).exp_().mul_(mirror_slope)
        return found

    def dense(self, rows: Tensor, others: Tensor) -> Tensor:
        """All in a single tile, which autograd keeps."""
        whole = _Tile(slice(0, len(rows)), slice(0, len(others)), mirrored=False)
        return self.values(rows, others, whole).logsumexp(dim=1)

    def bounded(self, dtype: torch.dtype) -> bool:
        """Whether `exp` of similarities can be summed as it is, once for rows and for columns."""
        return self.similarity.largest <= math.log(torch.finfo(dtype).max) - _HEADROOM


class _Streamed(torch.autograd.Function):
    """`_Comparison.dense`, a tile at a time."""

    @staticmethod
    def forward(rows: Tensor, others: Tensor | None, comparison: _Comparison) -> Tensor:
        others = rows if others is None else others
        bounded = comparison.bounded(rows.dtype)
        total = rows.new_full((len(rows),), 0.0 if bounded else -math.inf)
        for tile in comparison.tiles(rows, others):
            values = comparison.values(rows, others, tile)
            if bounded:
                values.exp_()
            for part, dim in tile.sums:
                if bounded:
                    total[part] += values.sum(dim=dim)
                else:
                    total[part] = torch.logaddexp(total[part], values.logsumexp(dim=dim))
        total = total.log() if bounded else total
        return gather(total).view(-1, len(rows)).logsumexp(dim=0) if comparison.shared else total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        rows, others, ctx.comparison = inputs
        ctx.save_for_backward(rows, others, output)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, others, total = ctx.saved_tensors
        needed = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # this gradient will be differentiated, as the dense form can
            dense = ctx.comparison.dense(rows, rows if others is None else others)
            inputs = [x for x, used in zip((rows, others), needed, strict=True) if used]
            found = iter(torch.autograd.grad(dense, inputs, slopes, create_graph=True))
            return *(next(found) if used else None for used in needed), None
        to_rows = torch.zeros_like(rows)
        to_others = torch.zeros_like(others) if needed[1] else None
        others = rows if others is None else others
        gradient = ctx.comparison.similarity.gradient
        with torch.autocast(rows.device.type, enabled=False):
            for tile in ctx.comparison.tiles(rows, others):
                weights = ctx.comparison.weights(rows, others, tile, total, slopes)
                first, second = rows[tile.rows], others[tile.columns]
                to_rows[tile.rows] += gradient(weights, first, second)
                mirror = to_rows if tile.mirrored else to_others
                if mirror is not None:
                    mirror[tile.columns] += gradient(weights.mT, second, first)
        if ctx.comparison.shared:
            to_rows = total_of(to_rows)
            to_others = to_others if to_others is None else total_of(to_others)
        return to_rows, to_others, None
