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

_WORD = 0xFFFFFFFF  # the low 32 bits
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


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
    count: int, *, seed: int, epoch: int, index: np.ndarray, view: int, stream: str
) -> np.ndarray:
    """Uniform numbers in [0, 1), each a pure function of the arguments and nothing else.

    A sample's numbers depend neither on the other samples in `index` nor on `count`: asking for
    more appends.

    Args:
        count: How many numbers each sample needs.
        seed: Of the run, in [0, 2^32).
        epoch: Which pass over the data, from 0.
        index: Which samples `(n,)`, in [0, 2^32).
        view: Which view of the sample, from 0.
        stream: What the numbers are for, such as an augmentation's name.

    Returns:
        float64 `(n, count)`, in steps of 2^-32.

    Example:
        >>> both = uniforms(2, seed=0, epoch=3, index=np.array([5, 9]), view=1, stream="crop")
        >>> alone = uniforms(2, seed=0, epoch=3, index=np.array([9]), view=1, stream="crop")
        >>> bool((both[1] == alone[0]).all())
        True
    """
    return streams({(stream, view): count}, seed=seed, epoch=epoch, index=index)[stream, view]


def streams(
    counts: Mapping[tuple[str, int], int], *, seed: int, epoch: int, index: np.ndarray
) -> dict[tuple[str, int], np.ndarray]:
    """The numbers of `uniforms` for several streams and views at once, which is cheaper.

    Args:
        counts: How many numbers each sample needs, by stream and view.
        seed: Of the run, in [0, 2^32).
        epoch: Which pass over the data, from 0.
        index: Which samples `(n,)`, in [0, 2^32).

    Returns:
        float64 `(n, count)` by stream and view.
    """
    if not 0 <= seed <= _WORD:
        raise TwofoldError(f"seed is {seed}; it must be in [0, 2^32)")
    widths = {asked: -(-count // 4) for asked, count in counts.items()}
    columns = [
        (block, view & _WORD, zlib.crc32(stream.encode()))
        for (stream, view), width in widths.items()
        for block in range(width)
    ]
    block, views, keys = np.array(columns, dtype=np.int64).reshape(-1, 3).T
    sample = np.asarray(index, dtype=np.int64)[:, None]
    epochs = np.full((1, 1), epoch & _WORD, dtype=np.int64)
    words = philox((sample, block[None], epochs, views[None]), (seed, keys[None]))
    numbers = np.stack(words, axis=-1) * 2.0**-32
    found, start = {}, 0
    for asked, width in widths.items():
        some = numbers[:, start : start + width].reshape(len(sample), 4 * width)
        found[asked] = some[:, : counts[asked]]
        start += width
    return found


def permutation(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """A random order of `n` samples, a pure function of its arguments: int64 `(n,)`.

    Example:
        >>> sorted(permutation(5, seed=0, epoch=1).tolist())
        [0, 1, 2, 3, 4]
    """
    sample = np.arange(n, dtype=np.int64)
    zero = np.zeros(1, dtype=np.int64)
    key = (seed, zlib.crc32(b"permutation"))
    words = philox((sample, zero, zero + epoch, zero), key)
    return np.argsort((words[0] << 31) ^ words[1], kind="stable")
