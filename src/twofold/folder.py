"""The run folder: who may begin one, what it holds, and how its files are written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from twofold.errors import TwofoldError, nearest, printable
from twofold.plain import plain_from_json

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
CANDIDATES = "candidates"
ENCODER = "encoder.safetensors"
PROJECTOR = "projector.safetensors"
ERASERS = "erasers.safetensors"
HEAD = "head.safetensors"
CEILINGS = "ceilings"
BASELINE = "baseline"
BESIDE = "beside"
EVALUATION = "evaluation.json"
ARTEFACTS = "evaluation.npz"
REPORT = "report.html"
SKIPPED = "skipped.tsv"
EVALUATION_SKIPPED = f"evaluation.{SKIPPED}"
TRACKERS = "trackers.json"
PROFILE = "profile.json"

_FILES = (
    CONFIG,
    METRICS,
    ENCODER,
    PROJECTOR,
    ERASERS,
    HEAD,
    EVALUATION,
    ARTEFACTS,
    REPORT,
    SKIPPED,
    EVALUATION_SKIPPED,
    TRACKERS,
    PROFILE,
)
FOLDERS = (CHECKPOINTS, CANDIDATES, CEILINGS, BASELINE, BESIDE, "tensorboard", "wandb", "mlruns")
"""What a run keeps in folders of its own; there are no runs in their own right below them."""
_NAMED = 3  # files in a sentence
PARTIAL = ".partial"
"""Ends the names of files that are being written."""


def check_new(folder: Path, *, overwrite: bool = False) -> None:
    """Refuses a folder that holds something else, or a run that is not to be replaced."""
    if folder.exists() and not folder.is_dir():
        raise TwofoldError(f"{folder} is a file; a run needs a folder of its own")
    if (folder / CONFIG).exists():
        if not overwrite:
            raise TwofoldError(
                f"{folder} already holds a run; go on with `twofold pretrain --resume {folder}`, "
                "choose another --out, or replace it with --overwrite"
            )
    elif folder.exists() and any(path.suffix != PARTIAL for path in folder.iterdir()):
        raise TwofoldError(f"{folder} is not empty and holds no run; choose another --out")
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise TwofoldError(f"{folder} cannot be created: {above} is a file; choose another --out")
    _check_writable(folder, above)


def _check_writable(folder: Path, above: Path) -> None:
    if not os.access(above, os.W_OK):
        raise TwofoldError(
            f"{folder} cannot be written: {above} is read-only; choose another --out"
        )


@contextmanager
def alone(folder: Path, doing: str = "training") -> Iterator[None]:
    """A block in which this process alone trains in `folder`, which is made if missing.

    The system holds the lock and lets go of it when the process ends, however it ends. What
    processes that were killed had begun to write is removed; files of others are left alone.

    Raises:
        TwofoldError: If another process trains there, or nothing can be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with alone(folder), alone(folder):
        ...     pass
        Traceback (most recent call last):
        twofold.errors.TwofoldError: another process is training in ...
    """
    import fcntl  # where there is none, only training is out of reach

    folder.mkdir(parents=True, exist_ok=True)
    _check_writable(folder, folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TwofoldError(
                f"another process is {doing} in {folder}; wait for it, or choose another --out"
            ) from None
        for place in (folder, folder / CHECKPOINTS, folder / CANDIDATES):
            for partial in place.glob(f".*{PARTIAL}"):
                writer = partial.name.split(".")[-2]
                if writer.isdecimal() and not _runs(int(writer)):
                    partial.unlink(missing_ok=True)
        yield
    finally:
        os.close(lock)


def _runs(process: int) -> bool:
    """Whether a process of that number exists, other than this one."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # no number of a process is that large
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def check_run(folder: Path) -> Path:
    """`folder`, if it holds a run."""
    if not (folder / CONFIG).exists():
        finding = f"has no {CONFIG}" if folder.is_dir() else "does not exist"
        guess = nearest(
            folder.name, [path.parent.name for path in folder.parent.glob(f"*/{CONFIG}")]
        )
        hint = f"; did you mean {folder.parent / guess}?" if guess else ""
        raise TwofoldError(f"{folder} is no run: it {finding}{hint}")
    return folder


def clear(folder: Path) -> None:
    """Removes what a run leaves, and nothing else."""
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; one that was cut short by a crash is left out."""
    return sound_metrics(folder)[0]


def sound_metrics(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of `metrics.jsonl` that can be read, and how many cannot.

    A last line that was cut short by a crash is left out and not counted: that is no news.
    """
    path = folder / METRICS
    lines = path.read_bytes().splitlines() if path.exists() else []
    records, damaged = [], 0
    for number, line in enumerate(lines, start=1):
        try:
            record = plain_from_json(line)
        except ValueError:  # no JSON, or not even text
            cut_short = number == len(lines) and line.isascii()  # as all that is written
            damaged += bool(line.strip()) and not cut_short
            continue
        if isinstance(record, dict):
            records.append(record)
        else:
            damaged += 1
    return records, damaged


def read_evaluation(folder: Path) -> dict[str, Any]:
    """`evaluation.json`, as far as it is one; nothing if it is missing or was cut short."""
    return {
        name: entry
        for name, entry in _written(folder).items()
        if isinstance(entry, dict) and isinstance(entry.get("protocol", {}), dict)
    }


def _written(folder: Path) -> dict[str, Any]:
    """What `evaluation.json` holds, whatever it is."""
    try:
        found = plain_from_json((folder / EVALUATION).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def revised(folder: Path) -> Iterator[dict[str, Any]]:
    """What `evaluation.json` holds, to be changed in a block at whose end it is written back.

    Of several processes that do so in one run folder, each waits for the one before. A folder of
    several runs has one process.
    """
    config = folder / CONFIG
    with _turn(config) if config.exists() else nullcontext():
        found = _written(folder)
        yield found
        write_atomically(folder / EVALUATION, (json.dumps(found, indent=2) + "\n").encode())


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """A block that processes enter one at a time, by a lock on a file that none of them changes."""
    try:
        import fcntl
    except ImportError:  # only several processes at once are out of reach
        yield
        return
    with path.open("r+b") as file:  # on a network drive, only who may write can lock
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_down(folder: Path, found: Mapping[str, Any]) -> None:
    """Adds to `evaluation.json`, in place of what was found before under the same names."""
    with revised(folder) as held:
        held.update(found)


def list_skipped(skipped: Sequence[tuple[str, str]], path: Path | None) -> tuple[str, ...]:
    """Writes path and reason of each file that could not be read, and returns what to say of it.

    Without a file to write to, the first few are named.

    Example:
        >>> list_skipped([("a.png", "cut short")], None)
        ('1 file could not be read: a.png (cut short)',)
    """
    if not skipped:
        return ()
    shown = [(printable(file), printable(reason)) for file, reason in skipped]
    files = "1 file" if len(skipped) == 1 else f"{len(skipped):,} files"
    if path is None:
        first = ", ".join(f"{file} ({reason})" for file, reason in shown[:_NAMED])
        more = ", ..." if len(shown) > _NAMED else ""
        return (f"{files} could not be read: {first}{more}",)
    lines = "".join(f"{file}\t{reason}\n" for file, reason in shown)
    write_atomically(path, lines.encode())
    return (f"{files} could not be read; see {path}",)


def flattened(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings, as in `config.yaml`, by the names of their flags.

    Example:
        >>> dict(flattened({"optimizer": {"momentum": 0.9}, "epochs": 3}))
        {'optimizer.momentum': 0.9, 'epochs': 3}
    """
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file at `path` by `data`, all of it or nothing, even if the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with _naming(path), beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):
        parent = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(parent)  # the new name
        finally:
            os.close(parent)


def append(path: Path, text: str) -> None:
    """Adds a line or several to the file at `path`."""
    with _naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A block whose system errors name the file: that of a full disk does not by itself."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
