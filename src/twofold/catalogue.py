"""All runs below a folder: what each was, how far it got, how well it did and what it took."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from twofold.errors import TwofoldError
from twofold.evaluate.metrics import figures_of
from twofold.folder import (
    CHECKPOINTS,
    CONFIG,
    ENCODER,
    EVALUATION,
    FOLDERS,
    METRICS,
    sound_metrics,
)
from twofold.plain import plain_from_json, plain_from_yaml


@dataclass(frozen=True, kw_only=True, order=True)
class Result:
    """The leading figure of a probe; results are ordered by it."""

    value: float
    """The figure."""
    metric: str
    """What was measured, as `evaluation.json` calls it."""
    half: float
    """Half of its 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run as its folder tells it; None where that says nothing."""

    name: str
    """Its path below the folder that was searched."""
    folder: Path
    """Where it is."""
    recipe: str | None = None
    """Name of the recipe."""
    data: str | None = None
    """Name of the data."""
    encoder: str | None = None
    """Name of the network, and its width if that was changed."""
    epochs: int | None = None
    """How long it was meant to be."""
    state: str
    """`finished`, or how far it got."""
    not_taken: int = 0
    """Steps at which a loss or gradient was not finite."""
    problems: tuple[str, ...] = ()
    """Files of it that cannot be read."""
    knn: Result | None = None
    """What the nearest neighbours made of it."""
    linear: Result | None = None
    """What the linear probe made of it."""
    finetune: Result | None = None
    """How well it did on labels, if it was fine-tuned."""
    health: str | None = None
    """Verdict after its last epoch."""
    seconds: float | None = None
    """What its training took so far."""
    images_per_s: float | None = None
    """How fast it was."""
    when: datetime | None = None
    """When it last wrote something down."""


def runs(folder: str | Path = "runs") -> list[Entry]:
    """Every run below a folder, by name; also those of studies, and those that are damaged.

    Args:
        folder: Where to search; it may be a run itself.

    Raises:
        TwofoldError: If there is no such folder.

    Example:
        >>> [entry.name for entry in runs("runs") if entry.state != "finished"]  # doctest: +SKIP
        ['a', 'temperature/runs/temperature=1,seed=0']
    """
    top = Path(folder)
    if not top.is_dir():
        finding = "is a file" if top.exists() else "does not exist"
        raise TwofoldError(f"{top} {finding}; name the folder that holds the runs")
    found = []
    for path, folders, files in os.walk(top):
        if CONFIG in files:
            found.append(Path(path))
            folders[:] = [name for name in folders if name not in FOLDERS]
    return sorted((_read(run, top) for run in found), key=lambda entry: entry.name)


def _read(run: Path, top: Path) -> Entry:
    """What the files of a run say, as far as they can be read."""
    problems: list[str] = []
    config = _opened(run / CONFIG, plain_from_yaml, problems)
    evaluation = _opened(run / EVALUATION, plain_from_json, problems)
    try:
        lines, damaged = sound_metrics(run)
    except OSError:
        lines, damaged = [], 1
    if damaged:
        problems.append(METRICS)
    recipe, found = _part(config, "recipe"), _part(config, "found")
    last, epoch = _last(lines, {"step", "end"}), _last(lines, {"epoch"})
    if not recipe and CONFIG not in problems:
        problems.append(CONFIG)
    return Entry(
        name=str(run.relative_to(top)) if run != top else run.resolve().name,
        folder=run,
        recipe=_word(recipe.get("name")),
        data=_data(config),
        encoder=_encoder(recipe, found),
        epochs=_whole(recipe.get("epochs")),
        state=_state(run, last, _whole(recipe.get("epochs"))),
        not_taken=sum(line.get("kind") == "skipped" for line in lines),
        problems=tuple(f"{name} cannot be read" for name in problems),
        knn=_result(evaluation, "knn"),
        linear=_result(evaluation, "linear"),
        finetune=_result(evaluation, "finetune"),
        health=_word(_part(epoch, "health").get("verdict")),
        seconds=_number(last.get("elapsed")),
        images_per_s=_number(last.get("images_per_s")),
        when=_written(run / METRICS) or _written(run / CONFIG),
    )


def _opened(path: Path, parse: Callable[[str], Any], problems: list[str]) -> dict[str, Any]:
    """A file's mapping; empty, and named among the problems, if it cannot be read."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict):
        return content
    problems.append(path.name)
    return {}


def _last(lines: Sequence[Mapping[str, Any]], kinds: set[str]) -> Mapping[str, Any]:
    """The last line of one of those kinds; empty if there is none."""
    return next((line for line in reversed(lines) if line.get("kind") in kinds), {})


def _state(run: Path, last: Mapping[str, Any], epochs: int | None) -> str:
    if last.get("kind") == "end":
        return "finished" if (run / ENCODER).exists() else f"no {ENCODER}"
    if not last:
        return "not begun"
    epoch = _whole(last.get("epoch"))
    reached = f"epoch {'?' if epoch is None else epoch + 1} of {epochs or '?'}"
    saved = "" if any((run / CHECKPOINTS).glob("*.safetensors")) else ", no checkpoint"
    return f"unfinished: {reached}{saved}"


def _written(path: Path) -> datetime | None:
    """When a file was last written to; None if it is gone, as when a run is being replaced."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    except OSError:
        return None


def _data(config: Mapping[str, Any]) -> str | None:
    """What the data is called: the first word of what the run says of it."""
    note = _word(_part(config, "found").get("note"))
    return note.partition(":")[0] if note else _word(_part(config, "data").get("data"))


def _encoder(recipe: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    name, width = _word(found.get("network", recipe.get("encoder"))), _number(recipe.get("width"))
    return f"{name}, width {width:g}" if name and width not in (None, 1.0) else name


def _result(evaluation: Mapping[str, Any], probe: str) -> Result | None:
    """The first figure of a probe that has an interval."""
    for metric, figure in figures_of(_part(evaluation, probe)).items():
        ends = figure["ci95"] if isinstance(figure["ci95"], list) else []
        numbers = [n for n in map(_number, (figure.get("value"), *ends)) if n is not None]
        if len(numbers) == 3:
            value, low, high = numbers
            return Result(value=value, metric=metric, half=(high - low) / 2)
    return None


def _part(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = mapping.get(key)
    return part if isinstance(part, Mapping) else {}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) else None
