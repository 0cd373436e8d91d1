"""What a run left on disk, read with care: a run may have been interrupted at any moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from twofold.domains.damage import UNREADABLE
from twofold.errors import TwofoldError
from twofold.folder import ARTEFACTS, CONFIG, EVALUATION, METRICS, sound_metrics
from twofold.plain import plain_from_json, plain_from_yaml

Record = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """The contents of a run folder; what is missing is empty."""

    path: Path
    """The folder."""
    config: Record = field(default_factory=dict)
    """`config.yaml`."""
    config_text: str = ""
    """`config.yaml` as written."""
    steps: list[Record] = field(default_factory=list)
    """The lines of `metrics.jsonl` of kind "step", by step, each step once."""
    not_taken: list[Record] = field(default_factory=list)
    """Its lines of kind "skipped": steps at which something was not finite, each once."""
    epochs: list[Record] = field(default_factory=list)
    """Its lines of kind "epoch", by epoch, each epoch once."""
    end: Record | None = None
    """Its line of kind "end"; None while a run has not ended."""
    evaluation: Record = field(default_factory=dict)
    """`evaluation.json`."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """`evaluation.npz`."""
    notes: tuple[str, ...] = ()
    """One sentence for everything that could not be read."""


def read(path: str | Path) -> RunFolder:
    """Read a run folder, whatever part of it exists.

    Args:
        path: A folder that holds at least `config.yaml` or `metrics.jsonl`.

    Raises:
        TwofoldError: If there is no such folder, or it is not a run folder.
    """
    path = Path(path)
    if not path.is_dir():
        raise TwofoldError(f"run folder {str(path)!r} does not exist")
    if not any((path / name).exists() for name in (CONFIG, METRICS)):
        raise TwofoldError(
            f"{str(path)!r} is not a run folder: it holds neither config.yaml nor metrics.jsonl"
        )
    notes: list[str] = []
    config, config_text = _config(path / CONFIG, notes)
    records, damaged = sound_metrics(path)
    if damaged:
        notes.append(f"{damaged} of the lines of metrics.jsonl could not be read.")
    end = [record for record in records if record.get("kind") == "end"]
    return RunFolder(
        path=path,
        config=config,
        config_text=config_text,
        steps=_last_of_each(records, "step", by="step"),
        not_taken=_last_of_each(records, "skipped", by="step"),
        epochs=_last_of_each(records, "epoch", by="epoch"),
        end=end[-1] if end else None,
        evaluation=_evaluation(path / EVALUATION, notes),
        arrays=_arrays(path / ARTEFACTS, notes),
        notes=tuple(notes),
    )


def _config(path: Path, notes: list[str]) -> tuple[Record, str]:
    if not path.exists():
        notes.append("config.yaml is missing, so the settings of this run are not known.")
        return {}, ""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        loaded = plain_from_yaml(text)
    except ValueError:
        notes.append("config.yaml could not be read as YAML; it is shown as it is.")
        return {}, text
    return (loaded if isinstance(loaded, dict) else {}), text


def _last_of_each(records: list[Record], kind: str, *, by: str) -> list[Record]:
    """A resumed run writes the steps since its checkpoint again: the last writing counts."""
    by_number = {r[by]: r for r in records if r.get("kind") == kind and by in r}
    return [by_number[number] for number in sorted(by_number)]


def _evaluation(path: Path, notes: list[str]) -> Record:
    if not path.exists():
        return {}
    try:
        loaded = plain_from_json(path.read_bytes())
    except ValueError:  # no JSON, or not even text
        notes.append("evaluation.json could not be read.")
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _arrays(path: Path, notes: list[str]) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except UNREADABLE:
        notes.append("evaluation.npz could not be read.")
        return {}
