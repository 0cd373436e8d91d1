"""Tells TensorBoard, Weights & Biases or MLflow what a run measures, where one is asked for."""

from __future__ import annotations

import json
import logging
import netrc
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from twofold.config import Config, to_plain
from twofold.errors import TwofoldError
from twofold.folder import TRACKERS, flattened, write_atomically
from twofold.log import Display

_PROJECT = "twofold"
_NOT_MEASURED = {"kind", "step", "epoch", "elapsed"}
_REFUSED = re.compile(r"[^\w./-]")  # what one tracker or another takes in no name
_PARAMETERS = 100  # that MLflow takes at a time
_JUDGED_BY = ("loss", "knn")  # figures beside the settings in TensorBoard's table of runs


class Tracker(Protocol):
    """Where figures go. Opened with a `Tracked`; its `id` is what it goes on with."""

    id: str

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name after a step."""

    def close(self, *, failed: bool) -> None:
        """Nothing more comes, because all went well or because it did not."""


@dataclass(frozen=True)
class Tracked:
    """What a tracker is told of a run when it begins, or goes on."""

    folder: Path
    settings: Mapping[str, Any]
    """Every setting, as in `config.yaml`, by the name of its flag."""
    id: str | None
    """What the tracker named the run when it began; None if it begins now."""
    quiet: bool


class TensorBoard:
    """Event files under `RUN/tensorboard`: `tensorboard --logdir RUN`."""

    def __init__(self, run: Tracked) -> None:
        self.id = "tensorboard"
        self._run = run
        self._writer: Any = None

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name after a step."""
        if self._writer is None:
            self._writer = self._open(step)
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *, failed: bool) -> None:
        """Writes down what is left."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> Any:
        """A writer that hides what was written from `step` on, before the run was stopped."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        place = self._run.folder / "tensorboard"
        begins = not place.exists()
        writer: Any = SummaryWriter(str(place), purge_step=step)
        if begins:
            plain = {
                name: value if isinstance(value, bool | int | float | str) else str(value)
                for name, value in flattened(self._run.settings)
            }
            for summary in hparams(plain, dict.fromkeys(_JUDGED_BY, 0.0)):  # type: ignore[no-untyped-call]
                writer.file_writer.add_summary(summary)
        return writer


class WeightsAndBiases:
    """A run of the project `twofold`, or `WANDB_PROJECT`; files under `RUN/wandb`.

    Nothing is sent without an account: it is offline unless `WANDB_API_KEY` is set, `wandb login`
    was done or `WANDB_MODE` says so; `wandb sync` sends an offline run later. The package's
    reports about itself are off unless `WANDB_ERROR_REPORTING` says so.
    """

    def __init__(self, run: Tracked) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else sent even offline
        import wandb

        mode: Any = os.environ.get("WANDB_MODE")
        mode = mode or ("online" if has_wandb_account() else "offline")
        self._wandb = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.folder.resolve().name,
            dir=run.folder,
            id=run.id,
            config=dict(run.settings),
            mode=mode,
            resume="allow" if mode == "online" else None,  # else `wandb sync` joins what has one id
            reinit="create_new",
            settings=wandb.Settings(console="off", quiet=True, silent=run.quiet),
        )
        self.id = str(self._wandb.id)
        # A step may come twice in a run that goes on: it is an axis and not wandb's own counter,
        # which must never go back.
        self._wandb.define_metric("*", step_metric="step")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name after a step."""
        self._wandb.log({"step": step, **figures})

    def close(self, *, failed: bool) -> None:
        """Ends the run; it can be gone on with."""
        self._wandb.finish(exit_code=int(failed))


class MLflow:
    """A run of the experiment `twofold`, or `MLFLOW_EXPERIMENT_NAME`.

    It goes to `MLFLOW_TRACKING_URI`, or to `RUN/mlruns/mlflow.db` where that is not set:
    `mlflow ui --backend-store-uri sqlite:///RUN/mlruns/mlflow.db`. The package's reports about
    itself are off unless `MLFLOW_DISABLE_TELEMETRY` says so.
    """

    def __init__(self, run: Tracked) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        uri, artefacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            store = (run.folder / "mlruns").resolve()
            store.mkdir(exist_ok=True)
            uri, artefacts = f"sqlite:///{store / 'mlflow.db'}", store.as_uri()
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=uri)
        if run.id is not None:
            self.id = run.id
            self._client.update_run(self.id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        known = self._client.get_experiment_by_name(name)
        experiment = (
            known.experiment_id if known else self._client.create_experiment(name, artefacts)
        )
        begun = self._client.create_run(experiment, run_name=run.folder.resolve().name)
        self.id = str(begun.info.run_id)
        parameters = [Param(key, str(value)) for key, value in flattened(run.settings)]
        for first in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self.id, params=parameters[first : first + _PARAMETERS])

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures by name after a step."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def close(self, *, failed: bool) -> None:
        """Ends the run; it can be gone on with."""
        self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")


_TRACKERS: Mapping[str, Callable[[Tracked], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def check_trackers(names: Sequence[str]) -> None:
    """Refuses a tracker whose package is missing.

    Raises:
        TwofoldError: With the command that installs it.
    """
    missing = [name for name in dict.fromkeys(names) if find_spec(name) is None]
    if missing:
        raise TwofoldError(
            f"track asks for {' and '.join(missing)}, not installed here; "
            f"`pip install {' '.join(missing)}`, or all trackers with `pip install twofold[track]`"
        )


@contextmanager
def tracked(
    display: Display, whole: Config, folder: Path, *, quiet: bool = False
) -> Iterator[Display]:
    """`display`, with the trackers that `whole` asks for told all that it is told.

    A run that goes on does so under the names that `trackers.json` remembers. A tracker that fails
    is told nothing more, and a warning says so: the run itself goes on.

    Args:
        display: Whoever watches without being asked.
        whole: The run, with what was found when it began.
        folder: Run folder; gets `trackers.json` and the files of trackers that write any.
        quiet: Whether to print nothing.
    """
    path = folder / TRACKERS
    ids: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    trackers: dict[str, Tracker] = {}
    names: Sequence[str] = whole.settings.track
    for name in dict.fromkeys(names):
        with _harmless(name):
            opened = _TRACKERS[name](Tracked(folder, _settings(whole), ids.get(name), quiet))
            trackers[name], ids[name] = opened, opened.id
            write_atomically(path, (json.dumps(ids, indent=2) + "\n").encode())
    told = _Told(display, trackers) if trackers else display
    failed = True
    try:
        yield told
        failed = False
    finally:
        for name, tracker in trackers.items():
            with _harmless(name):
                tracker.close(failed=failed)


class _Told:
    """A display, and trackers that are told the figures among what it is told."""

    def __init__(self, display: Display, trackers: dict[str, Tracker]) -> None:
        self._display, self._trackers = display, trackers

    def step(self, record: Mapping[str, Any]) -> None:
        self._display.step(record)
        self._log(record)

    def epoch(self, record: Mapping[str, Any]) -> None:
        self._display.epoch(record)
        self._log(record)

    def _log(self, record: Mapping[str, Any]) -> None:
        found = dict(figures(record))
        for name in list(self._trackers):
            tracker = self._trackers.pop(name)
            with _harmless(name):
                tracker.log(record["step"], found)
                self._trackers[name] = tracker  # one that failed is not put back


def figures(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a record of `metrics.jsonl` by name; a figure with its interval is one.

    Example:
        >>> dict(figures({"step": 3, "losses": {"contrast": 6.9}, "knn": {"value": 0.5, "n": 90}}))
        {'losses/contrast': 6.9, 'knn': 0.5}
    """
    for key, value in record.items():
        name = _REFUSED.sub("_", f"{above}{key}")
        if isinstance(value, Mapping):
            whole = "value" in value
            yield from [(name, value["value"])] if whole else figures(value, f"{name}/")
        elif isinstance(value, int | float) and key not in _NOT_MEASURED:
            yield name, value


def has_wandb_account() -> bool:
    """Whether the environment or `wandb login` hold a key; asks nobody."""
    if {"WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"} & os.environ.keys():
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _settings(whole: Config) -> dict[str, Any]:
    """The settings by the names of their flags, and what was found when the run began."""
    plain = to_plain(whole)
    flags = {**plain["recipe"], **plain["data"], **plain["settings"], **(plain["tuning"] or {})}
    return flags | {"found": plain["found"]}


@contextmanager
def _harmless(name: str) -> Iterator[None]:
    """Lets a tracker fail: it is not what the run is for."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        warnings.warn(f"{name} is told nothing more of this run: {reason}", stacklevel=3)
