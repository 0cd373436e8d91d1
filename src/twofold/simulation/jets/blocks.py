"""The blocks that jets are made in: each is made once, by its own seed, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twofold.domains.cache import cache_folder
from twofold.simulation.jets.generate import generate
from twofold.simulation.jets.particles import Jets, load
from twofold.simulation.jets.tasks import Sample
from twofold.simulation.processes import in_processes, worker_count

SIZE = 250
"""Jets of one class in a block: some seconds of work that a stop can lose."""


class Block(NamedTuple):
    """Some jets of one class."""

    sample: Sample
    label: int
    """Of their class."""
    number: int
    """Of the block, within its class."""
    n: int
    """How many of its jets are asked for."""
    folder: Path
    """Where blocks of the sample are kept."""

    @property
    def path(self) -> Path:
        """The file that keeps it."""
        return self.folder / f"{self.sample.classes[self.label]}-{self.number:05d}.npz"

    @property
    def seed(self) -> int:
        """What its collisions follow from, and what the detector makes of them."""
        return self.sample.block_seed(self.label, self.number)

    def read(self) -> Jets | None:
        """Its jets, as many as are asked for; None if that many are not there."""
        jets = load(self.path)
        return None if jets is None or len(jets) < self.n else jets.head(self.n)


def labels(n: int, seed: int) -> np.ndarray:
    """The class of each of `n` jets: of two neighbours one is of either, which first by chance.

    So any head of them is balanced, no stride meets one class alone, and more jets leave the
    first ones in their places.

    Example:
        >>> labels(8, seed=0), labels(3, seed=0)
        (array([0, 1, 1, 0, 1, 0, 1, 0]), array([0, 1, 1]))
    """
    first = (np.random.default_rng(seed).random((n + 1) // 2) < 0.5).astype(np.int64)
    return np.stack([first, 1 - first], axis=1).reshape(-1)[:n]


def blocks(sample: Sample, n: int, cache: str | Path | None = None) -> list[tuple[Block, Block]]:
    """The blocks that hold `n` jets, two at a time, one of each class."""
    folder = cache_folder(cache) / "simulate" / f"{sample.task}-{sample.digest}"
    counts = np.bincount(labels(n, sample.seed), minlength=2).tolist()

    def block(label: int, number: int) -> Block:
        return Block(sample, label, number, min(SIZE, counts[label] - SIZE * number), folder)

    return [(block(0, number), block(1, number)) for number in range(-(-max(counts) // SIZE))]


def missing(wanted: Iterable[Block]) -> list[Block]:
    """Those of some blocks that are to be made yet."""
    return [block for block in wanted if block.n and block.read() is None]


def make(
    wanted: Sequence[Block], *, workers: int | None = None, progress: Callable[[int], None]
) -> None:
    """Makes blocks and keeps them.

    Args:
        wanted: Any blocks.
        workers: Processes; one for each processor if None.
        progress: Told how many more jets are there.
    """
    in_processes(_make, wanted, workers=worker_count(workers), done=progress)


def _make(block: Block) -> int:
    jets = generate(block.sample, block.label, block.number, block.n)
    jets.head(min(SIZE, len(jets))).save(block.path)
    return block.n
