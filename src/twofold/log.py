"""`metrics.jsonl`, as a training writes it."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from twofold.balance import Weighing
from twofold.distributed import rank
from twofold.divergence import Divergence
from twofold.folder import METRICS, append, read_metrics, sound_metrics, write_atomically

_FLUSH = 10  # steps between reading losses back from the device and writing them down


class Display(Protocol):
    """What the loop tells whoever watches."""

    def step(self, record: Mapping[str, Any]) -> None:
        """A step that was written down."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch's online evaluation."""


class Log:
    """`metrics.jsonl`: one line a step, one an epoch, one at the end; process 0 writes them.

    Lines of steps after the checkpoint a run goes on from are dropped, for they come again.

    Args:
        folder: Run folder.
        start: Steps that were done before.
        batch_size: Items a step, of all processes.
        bounds: Of each loss its value at chance and its floor, where they are known.
        display: Told of what is written down.
    """

    def __init__(
        self,
        folder: Path,
        start: int,
        *,
        batch_size: int,
        bounds: Mapping[str, tuple[float, float]],
        display: Display | None,
    ) -> None:
        self.folder, self.display, self.batch_size = folder, display, batch_size
        self._writes, self._elapsed = rank() == 0, 0.0
        if self._writes:
            self._begin(start)
        self._began = self._mark = time.monotonic()
        self._pending: list[dict[str, Any]] = []
        self._bounds = {
            "chance": {name: chance for name, (chance, _) in bounds.items()},
            "floor": {name: floor for name, (_, floor) in bounds.items()},
        }

    def step(
        self,
        step: int,
        epoch: int,
        total: Tensor,
        losses: Mapping[str, Tensor],
        rate: float,
        balance: Weighing,
    ) -> None:
        """Remembers a step; every few of them are read back from the device and written."""
        if not self._writes:
            return
        record = {"kind": "step", "step": step, "epoch": epoch, "loss": total, "losses": losses}
        self._pending.append(record | {"lr": rate, "balance": balance})
        if len(self._pending) >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Writes down the steps remembered."""
        if not self._pending:
            return
        records = []
        for record in self._pending:
            losses = {name: float(loss) for name, loss in record["losses"].items()}
            balance = record.pop("balance").plain()
            read = {"loss": float(record["loss"]), "losses": losses}
            read |= {"balance": balance} if balance else {}
            records.append(record | read | self._bounds)
        now = time.monotonic()
        rate = self.batch_size * len(records) / max(now - self._mark, 1e-9)
        self._mark, self._pending = now, []
        for record in records:
            self._write(record | {"images_per_s": round(rate, 1)})
        if self.display:
            self.display.step(records[-1] | {"images_per_s": rate})

    def skip(self, epoch: int, found: Divergence) -> None:
        """Writes down a step that was not taken, and why, after those before it."""
        self.flush()
        self._write({"kind": "skipped", "epoch": epoch, **vars(found)})

    def epoch(self, step: int, epoch: int, measured: Mapping[str, Any]) -> Mapping[str, Any]:
        """Writes down what the monitor measured after an epoch, and returns the record."""
        record = {"kind": "epoch", "epoch": epoch, "step": step, **measured}
        self._write(record)
        self._mark = time.monotonic()  # the monitor's time is not the training's
        if self.display:
            self.display.epoch(record)
        return record

    def end(self, step: int, parameters: int, chosen: Mapping[str, Any]) -> None:
        """Writes down that the run is complete, and which epoch's encoder it ends with."""
        if not self._writes:
            return
        rates = [
            line["images_per_s"] for line in read_metrics(self.folder) if line["kind"] == "step"
        ]
        rate = sorted(rates)[len(rates) // 2] if rates else 0.0
        record = {"kind": "end", "step": step, "images_per_s": rate, "parameters": parameters}
        self._write(record | {"chosen": chosen})

    def _begin(self, start: int) -> None:
        """Keeps the lines of the steps before, and the time that they took."""
        lines, damaged = sound_metrics(self.folder)
        path = self.folder / METRICS
        if damaged:
            warnings.warn(f"{damaged} lines of {path} are damaged and go", stacklevel=4)
        kept = [line for line in lines if line["step"] <= start and line["kind"] != "end"]
        write_atomically(path, "".join(map(_line, kept)).encode())
        self._elapsed = kept[-1]["elapsed"] if kept else 0.0

    def _write(self, record: Mapping[str, Any]) -> None:
        if not self._writes:
            return
        elapsed = round(self._elapsed + time.monotonic() - self._began, 3)
        append(self.folder / METRICS, _line({**record, "elapsed": elapsed}))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"
