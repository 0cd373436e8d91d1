"""Random numbers that are a pure function of what they are for, by counting instead of state."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch import Tensor

    Words = TypeVar("Words", np.ndarray, Tensor)

Stream = tuple[str, bool | tuple[int, ...]]
Draws = dict[str, dict[str, np.ndarray]]
"""For every augmentation whether it is `applied` and its parameters, each `(n,)`."""

_WORD = 0xFFFFFFFF  # the low 32 bits
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_PIECE = 2**16  # samples whose words are held at once


def philox(
    counter: tuple[Words, Words, Words, Words], key: tuple[Words | int, Words | int]
) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10: 128 random bits for every (counter, key), the same on every device.

    Args:
        counter: Four 32-bit words in 64-bit integer arrays (NumPy or torch) that broadcast.
        key: Two 32-bit words, numbers or arrays that broadcast with the counter.

    Returns:
        Four 32-bit words in 64-bit integer arrays.

    Example:
        >>> zero = np.zeros(1, dtype=np.int64)
        >>> [f"{int(word[0]):08x}" for word in philox((zero, zero, zero, zero), (0, 0))]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']

    Reference: Salmon et al., 2011, doi:10.1145/2063384.2063405
    """
    first, second, third, fourth = counter
    left, right = key
    for _ in range(_ROUNDS):
        # Signed 64-bit products wrap, and the shift copies the sign: the mask undoes both.
        product, other = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first = ((other >> 32) & _WORD) ^ second ^ left
        third = ((product >> 32) & _WORD) ^ fourth ^ right
        second, fourth = other & _WORD, product & _WORD
        left, right = (left + _KEY_STEPS[0]) & _WORD, (right + _KEY_STEPS[1]) & _WORD
    return first, second, third, fourth


def uniforms(
    counts: Mapping[Stream, int],
    *,
    seed: int,
    epoch: int,
    index: np.ndarray,
    view: int | np.ndarray,
) -> dict[Stream, np.ndarray]:
    """Uniform numbers in [0, 1), each a pure function of its stream and the arguments.

    A sample's numbers depend neither on what else is asked for nor on their count: asking for more
    appends.

    Args:
        counts: How many numbers each sample needs of a stream. A stream is what its numbers are
            for, such as an augmentation's name, and whether they are one for all views, those of
            view 0; or, for each view, the view whose numbers it has.
        seed: Of the run, in [0, 2^32).
        epoch: Which pass over the data, from 0.
        index: Which samples `(n,)`, in [0, 2^32); or the sample that each view shows, `(n, views)`:
            numbers are those of the sample in the view whose numbers they are.
        view: Which view, from 0: one for all samples or one for each `(n,)`.

    Returns:
        float64 `(n, count)` by stream, in steps of 2^-32.

    Example:
        >>> own, shared, repeated = ("crop", False), ("crop", True), ("crop", (0, 1, 0))
        >>> counts = {own: 2, shared: 2, repeated: 2}
        >>> index = np.array([9, 9, 9])  # three views of one sample
        >>> drawn = uniforms(counts, seed=0, epoch=3, index=index, view=np.array([0, 1, 2]))
        >>> [(drawn[stream] == drawn[stream][0]).all(axis=1).tolist() for stream in counts]
        [[True, False, False], [True, True, True], [True, False, True]]
    """
    if not 0 <= seed <= _WORD:
        raise TwofoldError(f"seed is {seed}; it must be in [0, 2^32)")
    widths = {stream: -(-count // 4) for stream, count in counts.items()}
    columns = [(*stream, block) for stream, width in widths.items() for block in range(width)]
    coded = [
        (block, sources is not True, zlib.crc32(name.encode())) for name, sources, block in columns
    ]
    block, own, keys = np.array(coded, dtype=np.int64).reshape(-1, 3).T
    samples = np.asarray(index, dtype=np.int64)
    epochs = np.full((1, 1), epoch & _WORD, dtype=np.int64)
    views = np.asarray(view, dtype=np.int64).reshape(-1, 1) * own
    for column, (_, sources, _) in enumerate(columns):
        if isinstance(sources, tuple):
            views[:, column] = np.take(sources, view)
    alike = samples.ndim == 1
    sample = samples[:, None] if alike else samples[np.arange(len(samples))[:, None], views]
    words = philox((sample, block[None], epochs, views), (seed, keys[None]))
    numbers = np.stack(words, axis=-1) * 2.0**-32
    found, start = {}, 0
    for stream, width in widths.items():
        some = numbers[:, start : start + width].reshape(len(sample), 4 * width)
        found[stream] = some[:, : counts[stream]]
        start += width
    return found


def subset(size: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Who belongs to a random subset: of every size from 1 to all alike, and of its members.

    Args:
        size: Uniform in [0, 1), what the size follows from, `(n,)`.
        members: Uniform in [0, 1), whose smallest belong, `(count, n)`.

    Returns:
        Bool `(count, n)`.

    Example:
        >>> subset(np.array([0.1, 0.4]), np.array([[0.9, 0.9], [0.2, 0.2], [0.4, 0.4]])).T.tolist()
        [[False, True, False], [False, True, True]]

    Reference: Heggan et al., 2023, arXiv:2305.17191
    """
    ranks = np.argsort(np.argsort(members, axis=0), axis=0)
    return ranks < 1 + size * len(members) // 1


def part_of(draws: Draws, some: slice | np.ndarray) -> Draws:
    """What was drawn for some of the samples."""
    return {
        name: {key: value[some] for key, value in drawn.items()} for name, drawn in draws.items()
    }


def permutation(n: int, *, seed: int, epoch: int, stream: str = "permutation") -> np.ndarray:
    """A random order of `n` samples, a pure function of its arguments: int64 `(n,)`.

    Args:
        n: How many.
        seed: Of the run.
        epoch: Which pass over the data, from 0.
        stream: What the order is for.

    Example:
        >>> sorted(permutation(5, seed=0, epoch=1).tolist())
        [0, 1, 2, 3, 4]
    """
    zero = np.zeros(1, dtype=np.int64)
    key = (seed, zlib.crc32(stream.encode()))
    drawn = np.empty(n, dtype=np.int64)
    for start in range(0, n, _PIECE):  # the words of millions would fill the memory
        sample = np.arange(start, min(start + _PIECE, n), dtype=np.int64)
        words = philox((sample, zero, zero + epoch, zero), key)
        drawn[start : start + _PIECE] = (words[0] << 31) ^ words[1]
    return np.argsort(drawn, kind="stable")
