"""Shards as memory maps: of files here, and of those fetched from elsewhere, ahead of their use."""

from __future__ import annotations

import contextlib
import hashlib
import math
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import RLock, Thread
from typing import IO

import numpy as np

from twofold.domains.cache import cache_folder
from twofold.domains.shard_index import INDEX, Place, Stored, unreached
from twofold.errors import TwofoldError

_PIECE_BYTES = 2**20
_FETCHED_AT_ONCE = 4
WAITS = (0.5, 2.0, 8.0)
"""Seconds before a file that could not be fetched is asked for again."""


class Maps:
    """The shards last used, mapped, as many as fit in some bytes.

    A shard that lies elsewhere is copied into a nameless file in the cache folder, which goes when
    its map goes, or the process. Any thread may ask.

    Args:
        place: Where the shards lie.
        shards: Which ones there are.
        most_bytes: How large those that are mapped at a time may be together; the one that is
            asked for is mapped in any case.
        cache: Folder for copies; $TWOFOLD_CACHE or ~/.cache/twofold if None.
    """

    def __init__(
        self,
        place: Place,
        shards: Sequence[Stored],
        *,
        most_bytes: float,
        cache: str | Path | None = None,
    ) -> None:
        self.place, self.shards, self.most_bytes, self.cache = place, shards, most_bytes, cache
        self._held: dict[int, Future[np.ndarray]] = {}  # that used last comes last
        self._waiting: deque[tuple[int, Future[np.ndarray]]] = deque()
        self._lock, self._fetchers = RLock(), 0

    def __getitem__(self, number: int) -> np.ndarray:
        """The items of a shard, once they are here."""
        return self._asked(number, at_once=True).result()

    def expect(self, numbers: Iterable[int]) -> None:
        """Begins to fetch shards that are about to be asked for."""
        if self.place.folder is None:
            for number in numbers:
                self._asked(number, at_once=False)

    def _asked(self, number: int, *, at_once: bool) -> Future[np.ndarray]:
        with self._lock:
            future = self._held.pop(number, None)
            if future is None:
                self._make_room(self.shards[number].bytes)
                future = self._begun(number, at_once)
            self._held[number] = future
            return future

    def _make_room(self, size: int) -> None:
        held = sum(self.shards[number].bytes for number in self._held)
        for number in [n for n, future in self._held.items() if future.done()]:
            if held + size <= self.most_bytes:
                return
            held -= self.shards[number].bytes
            del self._held[number]  # unmapped once no thread reads it any more

    def _begun(self, number: int, at_once: bool) -> Future[np.ndarray]:
        future: Future[np.ndarray] = Future()
        if self.place.folder is not None:
            self._fill(number, future)
            return future
        if at_once:
            self._waiting.appendleft((number, future))
        else:
            self._waiting.append((number, future))
        if self._fetchers < _FETCHED_AT_ONCE:
            # No pool: a program that ends does not wait for what it will not read.
            self._fetchers += 1
            Thread(target=self._fetch, name="fetch", daemon=True).start()
        return future

    def _fetch(self) -> None:
        """Fetches what is waited for until nothing is."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._fetchers -= 1
                    return
                number, future = self._waiting.popleft()
            self._fill(number, future)

    def _fill(self, number: int, future: Future[np.ndarray]) -> None:
        try:
            found = map_arrays(self.place, self.shards[number], self.cache)["items"]
        except BaseException as error:
            with self._lock:
                self._held.pop(number, None)  # so that it is tried anew when it is asked for again
            future.set_exception(error)
        else:
            future.set_result(found)


def map_arrays(
    place: Place, stored: Stored, cache: str | Path | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a file by name, mapped; from elsewhere it is fetched first, and checked.

    Raises:
        TwofoldError: If it is gone, is not the file that was packed, or cannot be fetched.
    """
    if place.folder is None:
        mapped = _fetched(place, stored, cache)
    else:
        path = place.folder / stored.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise TwofoldError(f"{unreached(str(path), error)}; pack it again") from None
        _check(str(path), size, stored)
        mapped = _mapped(path)
    try:
        return {name: _array(mapped, **about) for name, about in stored.arrays.items()}
    except (TypeError, ValueError) as error:
        what = f"{stored.file} of '{place.where}'"
        raise TwofoldError(f"{unreached(what, error)}; its {INDEX} is damaged") from None


def digest_of(path: Path) -> str:
    """BLAKE2b of a file's contents, 32 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hash).hexdigest()


def _array(mapped: np.ndarray, *, offset: int, dtype: str, shape: Sequence[int]) -> np.ndarray:
    kind = np.dtype(dtype)
    if offset < 0 or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {tuple(shape)} at byte {offset}")
    return mapped[offset:][: kind.itemsize * math.prod(shape)].view(kind).reshape(shape)


def _mapped(file: Path | IO[bytes]) -> np.ndarray:
    # Private and writable, for torch warns of arrays that are not; nobody writes.
    return np.asarray(np.memmap(file, mode="c"))


def _fetched(place: Place, stored: Stored, cache: str | Path | None) -> np.ndarray:
    """A copy of a file that lies elsewhere; what fails is tried again a few times."""
    what = f"{stored.file} of '{place.where}'"
    for wait in (*WAITS, None):
        try:
            with tempfile.TemporaryFile(dir=cache_folder(cache)) as copy:
                _copy(place, stored, what, copy)
                return _mapped(copy)
        except (FileNotFoundError, _CacheFullError) as error:
            raise TwofoldError(unreached(what, error)) from None
        except Exception as error:  # every file system has its own
            if wait is None:
                told = str(error) if isinstance(error, TwofoldError) else unreached(what, error)
                raise TwofoldError(
                    f"{told} (tried {len(WAITS) + 1} times); a run goes on from its newest "
                    "checkpoint with --resume"
                ) from None
            time.sleep(wait)
    raise AssertionError  # the last wait is None


class _CacheFullError(OSError):
    """The cache folder takes no more: to ask again would not help."""


def _copy(place: Place, stored: Stored, what: str, copy: IO[bytes]) -> None:
    digest = _hash()
    with contextlib.closing(place.open(stored.file)) as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            try:
                copy.write(piece)
            except OSError as error:
                raise _CacheFullError(f"the cache folder takes no more ({error})") from None
    copy.flush()
    _check(what, copy.tell(), stored)
    if digest.hexdigest() != stored.digest:
        raise TwofoldError(f"{what} has changed since it was packed; pack it again")


def _check(what: str, size: int, stored: Stored) -> None:
    if size != stored.bytes:
        raise TwofoldError(
            f"{what} has {size:,} bytes and was packed with {stored.bytes:,}; "
            + ("it is cut off: copy it again" if size < stored.bytes else "pack it again")
        )


def _hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)
