"""Positives by group: views of different items that belong together, such as a patient's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from twofold.augment import permutation, uniforms
from twofold.augment.draws import Stream
from twofold.clips import Clips
from twofold.errors import TwofoldError
from twofold.items import Items
from twofold.preprocess import Preprocess

_WINDOW: Stream = ("window", True)


class Groups:
    """Items by group, of whom views show different ones.

    An epoch goes through the groups once. Of each it shows as many members as there are views,
    drawn anew every epoch, all different while there are enough; a smaller group starts again
    once all were shown. As a group occurs once an epoch, and so once a batch, two of its items
    are never negatives of each other.

    With times, the members shown are instead those that are spread over the whole time of their
    group: the first, the last, and evenly between, in an order drawn anew. What changes slowly
    then differs between them as much as it can, and no longer passes for what stays.

    Args:
        groups: Group of each item `(n,)`, numbers or strings.
        num_views: How many members are shown, one in each view; >= 2.
        seed: Seed of the draws.
        alone: Whether groups of one item take part: all their views are of that item.
        times: Time of each item `(n,)`, if it is the members far apart that are shown; any of
            them are if None.

    Raises:
        TwofoldError: If no group has two items.

    Example:
        >>> groups = Groups(np.array(["a", "b", "a", "b", "b"]), num_views=2, seed=0)
        >>> len(groups), groups.names.tolist()
        (2, ['a', 'b'])
        >>> groups.members(np.array([0, 1]), epoch=0).tolist()
        [[2, 0], [3, 1]]
        >>> times = np.array([5.0, 0.0, 6.0, 1.0, 2.0])
        >>> apart = Groups(np.array(["a", "b", "a", "b", "b"]), num_views=2, seed=0, times=times)
        >>> apart.members(np.array([1]), epoch=0).tolist()  # at 2 and at 0, not at 1
        [[4, 1]]
    """

    def __init__(
        self,
        groups: np.ndarray,
        *,
        num_views: int,
        seed: int,
        alone: bool = True,
        times: np.ndarray | None = None,
    ) -> None:
        names, number = np.unique(groups, return_inverse=True)
        counts = np.bincount(number)
        if counts.max() < 2:
            raise TwofoldError(
                f"each of the {len(names):,} groups has one item, and a positive is another item "
                "of the same group; name other groups, or say positives 'augmentations'"
            )
        self.num_single = int((counts == 1).sum())
        self.num_found = len(names)
        taken = counts > (0 if alone else 1)
        self.names, self._counts = names[taken], counts[taken]
        self._starts = np.cumsum(self._counts) - self._counts
        self._items = np.flatnonzero(taken[number])
        self._number = number[self._items]
        self._in_time: np.ndarray | None = None
        if times is not None:
            self._in_time = self._items[np.lexsort((times[self._items], self._number))]
        self._num_views, self._seed = num_views, seed
        self._drawn: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """How many groups take part."""
        return len(self.names)

    @property
    def firsts(self) -> np.ndarray:
        """The first item of each group, int64 `(groups,)`."""
        by_group = self._items[np.argsort(self._number, kind="stable")]
        return np.asarray(by_group[self._starts])

    def members(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """The items that the views of some groups show: int64 `(groups, views)`.

        A pure function of seed, epoch and group, whatever other groups are asked for.

        Args:
            rows: Which groups, by their places among `names`.
            epoch: Which pass over the groups, from 0.
        """
        counts, views = self._counts[rows, None], np.arange(self._num_views)
        known = self._drawn
        if known is None or known[0] != epoch:  # loader threads may be in two epochs
            known = self._drawn = (epoch, self._draw(epoch))
        drawn = known[1]
        if self._in_time is None:
            return np.asarray(drawn[self._starts[rows, None] + views % counts])
        moments = (views + drawn[rows, None]) % self._num_views
        turns = np.rint(moments * (counts - 1) / (self._num_views - 1)).astype(np.int64)
        return np.asarray(self._in_time[self._starts[rows, None] + turns])

    def _draw(self, epoch: int) -> np.ndarray:
        """All items, group after group, those of each in an order of the epoch.

        With times the moment from which each group's are dealt out, so that no view is the earlier
        one for good.
        """
        if self._in_time is not None:
            return permutation(len(self), seed=self._seed, epoch=epoch, stream="moments")
        # Sorting is stable, so a shuffle of all items is one of each group.
        order = permutation(len(self._items), seed=self._seed, epoch=epoch, stream="members")
        by_group: np.ndarray = self._items[order[np.argsort(self._number[order], kind="stable")]]
        return by_group


def read(
    items: Items,
    index: np.ndarray,
    preprocess: Preprocess,
    device: str = "cpu",
    *,
    seed: int = 0,
    epoch: int = 0,
) -> Tensor:
    """What `Views` renders of items, on their scale.

    Args:
        items: Stored items.
        index: Which ones `(n,)`; or those of each view `(n, views)`, each of which is read once.
        preprocess: The scale.
        device: Where they go.
        seed: With the epoch and the index it settles which window of a clip is read.
        epoch: Which pass over the data, from 0.

    Returns:
        float32 `(n, channels, height, width)`; or `(views * n, channels, height, width)`, those
        of the first view, then those of the second, ...
    """
    if index.ndim == 1:
        return preprocess.unit(_stored(items, index, seed, epoch), device)
    found, places = np.unique(index.T.reshape(-1), return_inverse=True)
    unit = preprocess.unit(_stored(items, found, seed, epoch), device)
    return unit.index_select(0, torch.from_numpy(places).to(unit.device))


def _stored(items: Items, index: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The items at `index`; of clips, windows drawn anew every epoch."""
    if isinstance(items, Clips):
        drawn = uniforms({_WINDOW: 1}, seed=seed, epoch=epoch, index=index, view=0)
        return items.drawn(index, drawn[_WINDOW][:, 0])
    stored: np.ndarray = items[index]
    return stored
