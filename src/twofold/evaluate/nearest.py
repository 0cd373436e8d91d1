"""Nearest neighbours on a processor that multiplies bf16: searched in bf16, compared in float32.

A product in bf16 is several times as fast as in float32 and wrong in the third digit. It serves to
rule out what cannot be a neighbour; the few in a hundred that are left are compared in float32.

With `m` the mean of the bank, a query `q` orders the bank `b` as

    q·b - q·m = (q - m)·(b - m) + m·(b - m) = u·v + s

does, and vectors `u'`, `v'` rounded to bf16 are off by no more than

    |u·v - u'·v'| = |(u - u')·v + u'·(v - v')| <= |u - u'| |v| + |u'| |v - v'|,

where all norms are measured. Features of one encoder are much alike: without their mean they are
short, and so is the bound. `s` is stored as the sum of two bf16 numbers, beside `v'`.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.hardware import detect

_BLOCKS = 4  # per neighbour: the more, the sharper the limit and the slower its search
_ROWS = 1024  # of the bank at a time, so that what is computed of them stays in the cache
_SMALLEST_BANK, _FEWEST_QUERIES = 4096, 512  # below, rounding the bank costs what it saves
_MOST_THREADS = 8  # above, the product is no longer what takes the time: one thread selects
_BF16 = 2**-8  # the largest relative error of rounding to bf16
_LOWEST = -(2**15)  # of whole numbers of two bytes


def search_pays(bank: Tensor, queries: Tensor, k: int) -> bool:
    """Whether `Search` is the faster way, which it is for many queries of a large bank."""
    return (
        len(bank) >= max(_SMALLEST_BANK, 8 * _BLOCKS * k)
        and len(queries) >= _FEWEST_QUERIES
        and bank.device.type == "cpu"
        and torch.get_num_threads() <= _MOST_THREADS
        and detect(device="cpu").precision == "bf16"
    )


def compare_all(bank: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Similarities and indices `(m, k)` of the `k` nearest, by comparing each query with all."""
    similarity, index = (queries @ bank.T).topk(k)
    return similarity, index


class Search:
    """Finds what `compare_all` finds; only how float32 sums are rounded may differ.

    Args:
        bank: Unit vectors `(n, dim)`, float32, on the CPU.
        k: How many neighbours, in [1, n / 4].

    Example:
        >>> vectors = F.normalize(torch.randn(5000, 8, generator=torch.Generator().manual_seed(0)))
        >>> similarity, index = Search(vectors, k=3)(vectors[:4])
        >>> index[:, 0].tolist(), torch.equal(index, compare_all(vectors, vectors[:4], 3)[1])
        ([0, 1, 2, 3], True)
    """

    def __init__(self, bank: Tensor, k: int) -> None:
        self.bank, self.k = bank.contiguous(), k
        self.mean = bank.mean(0)
        self.rounded = bank.new_empty(len(bank), bank.shape[1] + 2, dtype=torch.bfloat16)
        lengths, losses, offset_losses = [], [], []
        parts = (torch.split(part, _ROWS) for part in (bank, self.rounded))
        for rows, rounded in zip(*parts, strict=True):
            centred = rows - self.mean
            offset = centred @ self.mean
            rounded[:, :-2] = centred
            rounded[:, -2] = offset
            rounded[:, -1] = offset - rounded[:, -2]
            lengths.append(centred.norm(dim=1).max())
            losses.append((centred - rounded[:, :-2]).norm(dim=1).max())
            offset_losses.append((offset - rounded[:, -2] - rounded[:, -1]).abs().max())
        # The largest |v|, |v - v'| and |s - s'| of the bank.
        self.length = torch.stack(lengths).max()
        self.loss = torch.stack(losses).max()
        self.offset_loss = torch.stack(offset_losses).max()
        self._products = torch.empty(0, dtype=torch.bfloat16)

    def __call__(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Similarities and indices `(m, k)` for unit vectors `(m, dim)`, m < 2^15."""
        products, error = self._multiply(queries)
        limit = self._limit(products, error)
        found = _at_least(products, limit, most=products.size // 16)
        if found is None:  # one by one, so many would take longer than all at once
            return compare_all(self.bank, queries, self.k)
        item, query = (torch.from_numpy(part) for part in np.divmod(found, len(queries)))
        similarity = _similarities(self.bank, queries, item, query)
        return _nearest(similarity, item, query, len(queries), self.k)

    def _multiply(self, queries: Tensor) -> tuple[np.ndarray, Tensor]:
        """Products in bf16 `(n, m)`, and how far each query's may be off before their rounding."""
        centred = queries - self.mean
        rounded = F.pad(centred, (0, 2), value=1.0).bfloat16()
        kept = rounded[:, :-2].float()
        length = kept.norm(dim=1)
        error = (centred - kept).norm(dim=1) * self.length + length * self.loss + self.offset_loss
        # Sums in float32 lose at most dim 2^-24 of the product of the norms; twice that is safe.
        error += (queries.shape[1] + 4) * 2**-23 * (length + self.mean.norm()) * self.length
        # The same memory serves all queries: fresh pages would cost half the time of the product.
        size = len(self.bank) * len(queries)
        if self._products.numel() < size:
            self._products = torch.empty(size, dtype=torch.bfloat16)
        products = self._products[:size].view(len(self.bank), len(queries))
        torch.mm(self.rounded, rounded.T, out=products)
        # Their bits as whole numbers are in the same order if positive, and quicker to compare.
        return products.view(torch.int16).numpy(), 1.001 * error

    def _limit(self, products: np.ndarray, error: Tensor) -> np.ndarray:
        """What each query's product with a neighbour must at least be `(m,)`, as whole numbers.

        The bank is dealt into blocks. At least `k` products reach the `k`-th largest of the blocks'
        maxima, `t`; before they were rounded, these were at least `t (1 - 2^-8)`. So the `k`
        neighbours are at least that less the error, and their products less the error once more.
        """
        blocks = _BLOCKS * self.k
        height = len(products) // blocks
        dealt = torch.from_numpy(products[: height * blocks].reshape(height, blocks, -1))
        maxima = dealt.amax(0).numpy()
        reached = torch.from_numpy(np.partition(maxima, -self.k, axis=0)[-self.k])
        limit = reached.view(torch.bfloat16).float() * (1 - _BF16) - 2 * error
        # All are compared where the limit is not positive (or not a number).
        return torch.where(limit > 0, limit.bfloat16().view(torch.int16), _LOWEST).numpy()


def _at_least(products: np.ndarray, limit: np.ndarray, *, most: int) -> np.ndarray | None:
    """Where products `(n, m)` reach the limit `(m,)`, flattened; None if that is in too many."""
    found, total = [], 0
    for start in range(0, len(products), _ROWS):
        reached = np.flatnonzero(products[start : start + _ROWS] >= limit)
        found.append(reached + start * len(limit))
        total += len(reached)
        if total > most:
            return None
    return np.concatenate(found)


def _similarities(bank: Tensor, queries: Tensor, item: Tensor, query: Tensor) -> Tensor:
    """Products in float32 of pairs, ordered by item: so the bank is read once for all queries."""
    starts = torch.searchsorted(item, torch.arange(len(bank) + 1))
    with warnings.catch_warnings():  # PyTorch calls sparse tensors a beta
        warnings.simplefilter("ignore", UserWarning)
        pairs = torch.sparse_csr_tensor(
            starts, query, bank.new_zeros(len(query)), (len(bank), len(queries))
        )
        similarity: Tensor = torch.sparse.sampled_addmm(pairs, bank, queries.T, beta=0.0).values()
    return similarity


def _nearest(
    similarity: Tensor, item: Tensor, query: Tensor, queries: int, k: int
) -> tuple[Tensor, Tensor]:
    """The `k` largest similarities of each query and their items, from those of pairs."""
    # NumPy sorts numbers of two bytes by their digits, in a tenth of the time.
    order = torch.from_numpy(np.argsort(query.numpy().astype(np.int16), kind="stable"))
    counts = query.bincount(minlength=queries)
    starts = counts.cumsum(0) - counts
    width = int(counts.max())
    padded = similarity.new_full((queries, width), -torch.inf)
    padded[torch.arange(width) < counts[:, None]] = similarity[order]
    largest = padded.topk(k)
    index: Tensor = item[order[starts[:, None] + largest.indices]]
    return largest.values, index
