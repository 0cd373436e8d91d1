"""Embeddings a block at a time, in files that a process that is stopped leaves to the next."""

from __future__ import annotations

import io
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twofold.folder import write_atomically

_ITEMS = 4096  # so that little is lost when a process is stopped
_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Shards:
    """Embeddings `(count, dim)` in blocks, each a file that is there whole or not at all.

    They lie in a folder beside the file that they will become, below it in one that is named for
    how they came about: what another encoder or other data gave is never taken for them.

    Example:
        >>> import tempfile
        >>> shards = Shards(Path(tempfile.mkdtemp(), "e.npz"), "0f3c", count=5000, dim=2)
        >>> shards.blocks
        [range(0, 4096), range(4096, 5000)]
        >>> shards.write(1, np.ones((904, 2), np.float32))
        >>> [number for number in range(2) if shards.holds(number)]
        [1]
    """

    out: Path
    """The file that they will become."""
    origin: str
    """Digest of the encoder, the items and how they are encoded."""
    count: int
    """How many items."""
    dim: int
    """Dimension of an embedding."""

    @property
    def above(self) -> Path:
        """The folder beside `out`."""
        return self.out.with_name(f"{self.out.name}.parts")

    @property
    def folder(self) -> Path:
        """The folder of these shards."""
        return self.above / self.origin

    @property
    def blocks(self) -> list[range]:
        """The places of the items of each shard."""
        size = max(1, min(_ITEMS, _BYTES // (4 * self.dim)))
        starts = range(0, self.count, size)
        return [range(start, min(start + size, self.count)) for start in starts]

    def holds(self, number: int) -> bool:
        """Whether a shard is there, and no other file in its place."""
        try:
            found: np.ndarray = np.load(self._path(number), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False
        return found.dtype == np.float32 and found.shape == (len(self.blocks[number]), self.dim)

    def read(self, number: int) -> np.ndarray:
        """The embeddings of a shard."""
        found: np.ndarray = np.load(self._path(number))
        return found

    def write(self, number: int, embeddings: np.ndarray) -> None:
        """Writes a shard."""
        packed = io.BytesIO()
        np.save(packed, embeddings)
        write_atomically(self._path(number), packed.getvalue())

    def clear(self) -> None:
        """Removes these shards."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # it holds shards of another origin, or was never made
            self.above.rmdir()

    def clear_others(self) -> bool:
        """Removes shards of any other origin, and says whether there were any."""
        others = [path for path in self.above.glob("*") if path != self.folder]
        for path in others:
            shutil.rmtree(path, ignore_errors=True)
        return bool(others)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npy"
