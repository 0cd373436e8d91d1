"""The blocks that sounds are made in: each is made once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from twofold.domains.cache import cache_folder
from twofold.simulation.processes import in_processes
from twofold.simulation.sounds.script import Script, Sounds, digest, load, render

SIZE = 250
"""Sounds of a block: less than a second of work that a stop can lose."""


class Block(NamedTuple):
    """Some sounds that follow each other."""

    script: Script
    rows: range
    """Which sounds of all."""
    path: Path
    """The file that keeps it."""

    def read(self) -> Sounds | None:
        """Its sounds, as many as are asked for; None if that many are not there."""
        sounds = load(self.path)
        return (
            None if sounds is None or len(sounds) < len(self.rows) else sounds.head(len(self.rows))
        )


def blocks(script: Script, n: int, cache: str | Path | None = None) -> list[Block]:
    """The blocks that hold `n` sounds."""
    folder = cache_folder(cache) / "simulate" / f"{script.subject}-{digest(script)}"
    return [
        Block(script, range(start, min(start + SIZE, n)), folder / f"{start // SIZE:05d}.npz")
        for start in range(0, n, SIZE)
    ]


def missing(wanted: Iterable[Block]) -> list[Block]:
    """Those of some blocks that are to be made yet."""
    return [block for block in wanted if block.read() is None]


def make(wanted: Sequence[Block], *, workers: int, progress: Callable[[int], None]) -> None:
    """Makes blocks and keeps them.

    Args:
        wanted: Any blocks.
        workers: Processes.
        progress: Told how many more sounds are there.
    """
    in_processes(_make, wanted, workers=workers, done=progress)


def _make(block: Block) -> int:
    render(block.script, block.rows).save(block.path)
    return len(block.rows)
