"""Memory that a process keeps for its next batch."""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt, as malloc.h numbers them


def keep_memory() -> bool:
    """Has the C library keep what is freed, so that the next batch is made in the same pages.

    Left to itself, glibc gives large blocks back to the system, which clears each page of them
    before it is used again: at every step, as often as a tensor is made. Peak memory grows by what
    lies between the blocks. Nothing is changed where the C library is another, or where the
    environment tells glibc how to allocate (`MALLOC_...`, `GLIBC_TUNABLES`).

    Returns:
        Whether it does.

    Example:
        >>> keep_memory() or platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in os.environ
        True
    """
    told = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if told or platform.libc_ver()[0] != "glibc":
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1))
    set_option = ctypes.CDLL(None).mallopt
    return all(set_option(name, value) == 1 for name, value in settings)
