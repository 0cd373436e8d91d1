"""What a malformed input is: who writes it, which command reads it, and what must come of it."""

import resource
import shlex
import signal
import struct
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20
"""No input may keep a command longer; most are answered in a twentieth of a second."""
MORE_BYTES = 3 * 2**29
"""Nor may it ask for more memory than this beyond what the process has."""

PREVIEW = "preview simclr --data {data} --out {at}/views.png --rows 1"
EVALUATE = "evaluate --embeddings {data} --probes knn linear"
CONFIG = "pretrain --config {data} --out {at}/out"


@dataclass(frozen=True)
class Refused:
    """An input that a command refuses in one line, with exit status 2."""

    name: str
    """What is wrong with it."""
    write: Callable[[Path], object]
    """Writes it into an empty folder."""
    words: str
    """Pattern of what the line says: the thing, and the remedy."""
    data: str = ""
    """The file or folder that the command is given, below that folder."""
    command: str = PREVIEW
    """What reads it; `{data}` is its path, `{at}` the folder."""

    def line(self, at: Path) -> list[str]:
        """The arguments of the command."""
        words = shlex.split(self.command)
        return [w.replace("{data}", str(at / self.data)).replace("{at}", str(at)) for w in words]


@dataclass(frozen=True)
class Skipped:
    """A file among sound images that is left out, counted and listed; the others are as ever."""

    name: str
    """What is wrong with it."""
    write: Callable[[Path], object]
    """Writes it at a path."""
    reason: str
    """Pattern of the reason in the list."""
    file: str = "bad.png"
    """What it is called."""


@dataclass(frozen=True)
class Kept:
    """An input that looks odd and is sound: all of it is read, and as it is."""

    name: str
    """What is odd about it."""
    write: Callable[[Path], object]
    """Writes it into an empty folder, and returns what must be read: by id, the item."""
    data: str = ""
    """The file or folder to open, below that folder."""
    note: str = ""
    """Pattern of what is said of it."""


class TooSlowError(BaseException):
    """An input held a command up; no handler of errors may take it for one."""


@contextmanager
def limits():
    """Little time and little memory: what a malformed input may cost."""

    def stop(signum, frame):
        raise TooSlowError(f"still busy after {SECONDS} s")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (size + MORE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def put(name: str, contents: bytes | str) -> Callable[[Path], object]:
    """What writes one file of that name."""
    held = contents.encode() if isinstance(contents, str) else contents
    return lambda at: (at / name).write_bytes(held)


def npy(
    shape: object = (4, 8, 8),
    descr: object = "|u1",
    *,
    order: object = False,
    header: str | None = None,
    version: bytes = b"\x01\x00",
    length: int | None = None,
    data: bytes = bytes(256),
) -> bytes:
    """A .npy file byte by byte, whose header may say anything."""
    said = {"descr": descr, "fortran_order": order, "shape": shape}
    text = (repr(said) if header is None else header).encode() + b"\n"
    count = len(text) if length is None else length
    size = struct.pack("<H" if version[:1] == b"\x01" else "<I", count)
    return b"\x93NUMPY" + version + size + text + data


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG file byte by byte, whose header may claim any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
