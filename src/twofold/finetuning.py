"""Labels for an encoder that is already trained: all of them, or the few that there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold.assembly import build_views, find_known, for_channels, with_batches, with_input
from twofold.choice import Choice, Measure
from twofold.config import Config, change, heard, load_config
from twofold.display import Console
from twofold.distributed import rank, wait_for_all
from twofold.domains import Data, Source
from twofold.encoder import Encoder, domain_of, load, preprocess_of, renewed
from twofold.errors import TwofoldError
from twofold.evaluate import accuracy, class_figures, draw_labels, features, figures_by_target
from twofold.evaluate.intervals import Figure
from twofold.folder import (
    BASELINE,
    CONFIG,
    ENCODER,
    check_new,
    check_run,
    write_down,
)
from twofold.hardware import Hardware
from twofold.launch import conduct, in_trusted_precision, open_config, record
from twofold.method import Method
from twofold.monitor import Monitor
from twofold.objectives import Supervised
from twofold.optim import layer_shares
from twofold.preprocess import Preprocess
from twofold.recipes import Recipe, recipe_by_name
from twofold.renderers import with_renderer
from twofold.sharing import by_all, find_hardware
from twofold.train import Outcome
from twofold.tuned import Tuned, load_tuned
from twofold.tuning import Tuning

BEST: dict[str, Measure] = {
    "held_out": lambda record: -record["held_out"]["loss"] if record["held_out"] else None
}
"""An epoch of fine-tuning is measured by the loss of held-out labels: of a few dozen items it is
far steadier than the accuracy, which may be at its highest by chance after the second epoch."""

HELD_OUT_OF_CLASS, HELD_OUT_NUMBERS = 5, 20
"""Held-out labels, on average of a class or of numbers in all, below which none choose."""


def finetune(
    run: str | Path,
    *,
    data: Any = None,
    out: str | Path,
    recipe: str | Recipe = "finetune",
    backbone: nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **changes: Any,
) -> Tuned:
    """Fine-tunes the encoder of a run on labels, and judges it on the test items.

    Args:
        run: Folder of the run, or an `encoder.safetensors`.
        data: A data name, a path, an array or `Data`; the run's own if None.
        out: Folder of the new run; created.
        recipe: Epochs, augmentations and optimiser: `finetune`, or a `Recipe` whose objective is
            `Supervised`.
        backbone: The network, if the run trained one of the user's own.
        overwrite: Whether to replace a run that `out` already holds.
        quiet: Whether to print nothing.
        **changes: Fields of `Tuning` (layer, freeze, layer_decay, label_fraction,
            labels_per_class, baseline, ...), `Recipe`, `Settings` and `DataConfig`.

    Returns:
        The network with its head; its figures are in `out/evaluation.json` under `finetune`.

    Raises:
        TwofoldError: For a wrong option, data without labels, or data that the encoder cannot
            read.

    Example:
        >>> tuned = finetune(
        ...     "runs/a", data="fashion-mnist", out="runs/tuned", label_fraction=0.01
        ... )  # doctest: +SKIP
        >>> tuned.predict(images)  # doctest: +SKIP
        array([3, 0, 9])
    """
    recipe = recipe_by_name(recipe, domain_of(run)) if isinstance(recipe, str) else recipe
    whole = Config(recipe=recipe, tuning=Tuning(start=str(run)))
    if data is None:
        whole = replace(whole, data=load_config(check_run(Path(run)) / CONFIG).data)
    named = data is None or isinstance(data, str | Path)
    if data is not None and named:
        changes["data"] = str(data)
    whole = change(whole, changes)
    folder = Path(out)
    check_new(folder, overwrite=overwrite)
    settings = heard(whole.data, preprocess_of(run))
    opened = None if named else open_config(settings, whole.settings.seed, recipe.domain, data)
    tune(whole, folder, data=opened, backbone=backbone, overwrite=overwrite, quiet=quiet)
    return load_tuned(folder, backbone=backbone)


@by_all
def tune(
    whole: Config,
    folder: Path,
    *,
    data: Data | None = None,
    backbone: nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Fine-tunes as `whole` says, from the newest checkpoint in `folder` if it has one.

    With `tuning.baseline`, the same network is then trained from random weights in
    `folder/baseline`. What both reach on the test items goes to `evaluation.json`.
    """
    assert whole.tuning is not None
    settings = heard(whole.data, preprocess_of(whole.tuning.start))
    data = data or open_config(settings, whole.settings.seed, whole.recipe.domain)
    outcome = _train(whole, folder, data, backbone, overwrite=overwrite, quiet=quiet)
    if not outcome.finished:
        return outcome
    figures, words = _reached(folder, data, backbone, whole)
    if whole.tuning.baseline:
        tuning = replace(whole.tuning, scratch=True, baseline=False)
        scratch, below = replace(whole, tuning=tuning), folder / BASELINE
        outcome = _train(scratch, below, data, backbone, quiet=quiet)
        if not outcome.finished:
            return outcome
        reached, _ = _reached(below, data, backbone, whole)
        figures |= {f"{name}_baseline": figure for name, figure in reached.items()}
    protocol = {
        **dataclasses.asdict(whole.tuning),
        **words,
        "data": data.name,
        "fingerprint": data.test.fingerprint(),
        "test_items": len(data.test),
        "seed": whole.settings.seed,
    }
    if rank() == 0:
        write_down(folder, {"finetune": {**figures, "protocol": protocol}})
    return outcome


def judge(outputs: Tensor, test: Source, seed: int) -> tuple[dict[str, Figure], dict[str, str]]:
    """How good logits of the test items are, or numbers: their figures, and words on those."""
    if test.labels is None:
        return {}, {}
    if test.classes:
        return class_figures(outputs, test.labels, test.label_names)
    return figures_by_target(outputs, test.labels, seed=seed, unit=test.label_unit), {}


def _reached(
    folder: Path, data: Data, backbone: nn.Module | None, whole: Config
) -> tuple[dict[str, Figure], dict[str, str]]:
    """What a fine-tuned run reaches on the test items."""
    wait_for_all()  # the first has written it
    tuned, device = load_tuned(folder, backbone=backbone), find_hardware(whole).device
    return judge(tuned.outputs(data.test.items, device=device), data.test, whole.settings.seed)


def _train(
    whole: Config,
    folder: Path,
    data: Data,
    backbone: nn.Module | None,
    *,
    overwrite: bool = False,
    quiet: bool = False,
) -> Outcome:
    """One run of fine-tuning, from the start's weights or from random ones."""
    console, settings, tuning = Console(quiet=quiet), whole.settings, whole.tuning
    assert tuning is not None
    base = load(check_start(tuning.start), backbone=backbone)
    if tuning.scratch:
        base = renewed(base, seed=settings.seed)
    _check_fits(base, data)
    labelled, held_out = divide(data.train, tuning, settings.seed)
    hardware = find_hardware(whole)
    recipe, remarks = with_batches(
        with_input(_for_encoder(whole.recipe, base), Path(tuning.start)), len(labelled)
    )
    recipe = for_channels(recipe, labelled.channels)
    network = type(base.backbone).__name__ if base.spec is None else recipe.encoder
    shapes = [base.preprocess.read_shape(recipe.view_size)]
    hardware, doubts = in_trusted_precision(whole, hardware, base.backbone, shapes)
    views = build_views(recipe, labelled, settings.seed)
    hardware = with_renderer(whole, hardware, views, len(labelled))
    whole = record(replace(whole, recipe=recipe), data, base.preprocess, hardware, network)
    labels = {"trained_on": len(labelled), "held_out": len(held_out) if held_out else 0}
    whole = replace(whole, found={**whole.found, "labels": labels})

    reading = base.reading(layer=tuning.layer)
    for stage in base.readings.stages[reading.depth :]:  # of the old head; nothing reads it
        stage.requires_grad_(False)
    torch.manual_seed(settings.seed)
    method = Method(
        Fixed(reading) if tuning.freeze else reading,
        recipe.learned,
        encode=recipe.encode,
        known=find_known(recipe, labelled, views),
    )
    monitor = Monitor(labelled, None, views=views, preprocess=base.preprocess, hardware=hardware)
    outcome = conduct(
        whole,
        folder,
        method,
        data=data,
        trained=labelled,
        views=views,
        preprocess=base.preprocess,
        hardware=hardware,
        monitor=HeldOut(held_out, monitor, base.preprocess, hardware),
        choice=Choice(
            folder,
            "held_out" if held_out else "last",
            measures=BEST,
            patience=tuning.patience,
        ),
        rate_shares={
            f"encoder.{name}": share
            for name, share in layer_shares(method.encoder, tuning.layer_decay).items()
        },
        remarks=(*remarks, *doubts, _about(labels, tuning)),
        overwrite=overwrite,
        console=console,
    )
    if outcome.finished and rank() == 0:
        base.eval().save(folder / ENCODER)
        Tuned(base, head(method), tuning.layer, labelled.label_names).save(folder)
    console.end(folder, outcome, command="finetune")
    return outcome


def divide(train: Source, tuning: Tuning, seed: int) -> tuple[Source, Source | None]:
    """The labelled items to train on, and those that choose the epoch; both drawn by class.

    Where too few could choose, none do: an epoch chosen by 20 labels is mostly chosen by chance.

    Raises:
        TwofoldError: If the items have no labels, or too few of a class.
    """
    if train.labels is None:
        raise TwofoldError(
            f"'{train.name}' has no labels to learn from; keep the files in one folder per class, "
            "or name the labels with --label-key"
        )
    classes = train.labels if train.classes else np.zeros(len(train), dtype=np.int64)
    chosen = np.arange(len(train))
    if tuning.label_fraction is not None or tuning.labels_per_class is not None:
        if tuning.labels_per_class is not None and not train.classes:
            raise TwofoldError(
                "labels_per_class counts items of a class, and these labels are numbers; "
                "use label_fraction"
            )
        chosen = draw_labels(
            classes, fraction=tuning.label_fraction, per_class=tuning.labels_per_class, seed=seed
        )
    enough = HELD_OUT_OF_CLASS * train.classes or HELD_OUT_NUMBERS
    if tuning.held_out * len(chosen) < enough:
        return train.take(chosen), None
    aside = draw_labels(classes[chosen], fraction=tuning.held_out, seed=seed + 1)
    rest = np.setdiff1d(np.arange(len(chosen)), aside)
    return train.take(chosen[rest]), train.take(chosen[aside])


class Fixed(nn.Module):
    """A network that is read and never moves: no gradient, and always in evaluation mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.num_features = network.num_features

    def train(self, mode: bool = True) -> Fixed:
        """Leaves the network in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """What the network returns."""
        with torch.no_grad():
            found: Tensor = self.network(images)
        return found


class HeldOut:
    """Measures a method on labels it does not train on, after each epoch.

    Args:
        items: Labelled items; None if there are none to spare.
        monitor: Measures the features.
        preprocess: What the encoder reads.
        hardware: Device and precision.
    """

    def __init__(
        self, items: Source | None, monitor: Monitor, preprocess: Preprocess, hardware: Hardware
    ) -> None:
        self.items, self.monitor = items, monitor
        self.preprocess, self.hardware = preprocess, hardware

    def __call__(self, method: Method) -> dict[str, Any]:
        """The record of one epoch: that of the monitor, and `held_out` (or None)."""
        return {**self.monitor(method), "held_out": self._measure(method)}

    def _measure(self, method: Method) -> Mapping[str, Any] | None:
        if self.items is None or self.items.labels is None:
            return None
        top = head(method)
        outputs = features(
            nn.Sequential(method.encoder, top),
            self.items.items,
            self.preprocess,
            precision=self.hardware.precision,
            device=self.hardware.device,
        )
        labels = torch.from_numpy(self.items.labels)
        if self.items.classes:
            loss = F.cross_entropy(outputs, labels).item()
            return {"metric": "accuracy", **accuracy(outputs.argmax(dim=1), labels), "loss": loss}
        mean, std = (top.get_buffer(f"target_{name}").cpu() for name in ("mean", "std"))
        standard = (labels.reshape(len(labels), -1) - mean) / std
        loss = F.mse_loss(outputs, standard).item()
        return {"metric": "r2", "value": 1 - loss, "n": len(labels), "loss": loss}


def head(method: Method) -> nn.Sequential:
    """The head that tells classes or numbers."""
    (name,) = method.objectives
    return next(module for module in method.heads[name].children())  # type: ignore[return-value]


def check_start(start: str) -> Path:
    """Where the weights come from that it begins with."""
    path = Path(start)
    return path if path.is_file() else check_run(path)


def _for_encoder(recipe: Recipe, base: Encoder) -> Recipe:
    """`recipe` with the encoder's own network and image size; refuses what is no supervision."""
    for name, objective in recipe.learned.items():
        if not isinstance(objective, Supervised):
            raise TwofoldError(
                f"objective {name!r} of {recipe.name} is a {type(objective).__name__}; "
                "fine-tuning learns from labels by Supervised alone"
            )
    size = recipe.view_size or base.preprocess.size
    if base.spec is None:
        return replace(recipe, view_size=size)
    same = {name: base.spec[name] for name in ("width", "stem") if name in base.spec}
    return replace(recipe, encoder=base.spec["name"], view_size=size, **same)


def _check_fits(base: Encoder, data: Data) -> None:
    if data.train.channels != base.preprocess.channels:
        raise TwofoldError(
            f"items of '{data.name}' have {data.train.channels} channels, and this encoder reads "
            f"{base.preprocess.channels}"
        )


def _about(labels: Mapping[str, int], tuning: Tuning) -> str:
    begun = "random weights" if tuning.scratch else tuning.start
    moves = "its head alone" if tuning.freeze else "all of it"
    chosen = f"{labels['held_out']} others choose the epoch"
    if not labels["held_out"]:
        chosen = "none is left to choose the epoch: the last is taken"
    return f"{labels['trained_on']} labels train {moves}, from {begun}; {chosen}"
