"""A run from beginning to end: open the data, train, keep the encoder, evaluate, report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from twofold import __version__, config
from twofold.augment import Views, substitutions
from twofold.config import Config, DataConfig
from twofold.display import Console
from twofold.domains import Data, Source, split
from twofold.domains.image import open_data
from twofold.encoder import Encoder, load, untrained
from twofold.errors import TwofoldError, unknown
from twofold.evaluate import evaluate
from twofold.folder import (
    ARTEFACTS,
    CONFIG,
    ENCODER,
    EVALUATION,
    SKIPPED,
    check_new,
    clear,
    write_atomically,
)
from twofold.hardware import Hardware, detect
from twofold.loader import Loader
from twofold.method import Method
from twofold.monitor import Monitor
from twofold.networks import build_encoder
from twofold.preprocess import Preprocess, measure
from twofold.recipes import Recipe, recipe_by_name
from twofold.train import Outcome, fit

_HELD_OUT = (0.02, 100, 2000)  # share of labelled training items the online kNN asks about; bounds


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    data: Data | None = None
    """The data, if it is at hand; opened from the configuration otherwise."""

    @property
    def config(self) -> Config:
        """Every number the run used."""
        return config.load_config(self.folder / CONFIG)

    def encoder(self, *, backbone: nn.Module | None = None) -> Encoder:
        """The trained encoder."""
        return load(self.folder, backbone=backbone)

    def open(self) -> Data:
        """The run's data."""
        return self.data or open_config(self.config.data, self.config.settings.seed)

    def evaluate(
        self, data: Data | None = None, *, backbone: nn.Module | None = None, quiet: bool = False
    ) -> dict[str, Any]:
        """Probes the frozen encoder, beside raw input and the untrained network.

        Writes `evaluation.json` (figures) and `evaluation.npz` (what the report draws), and
        returns the figures.
        """
        settings, encoder = self.config.settings, self.encoder(backbone=backbone)
        data = data or self.open()
        with Console(quiet=quiet).task("evaluating") as progress:
            figures, artefacts = evaluate(
                encoder.backbone,
                data,
                encoder.preprocess,
                untrained=untrained(encoder, seed=settings.seed),
                seed=settings.seed,
                device=detect(device=settings.device).device,
                progress=progress,
            )
        text = json.dumps(figures, indent=2) + "\n"
        write_atomically(self.folder / EVALUATION, text.encode())
        np.savez_compressed(self.folder / ARTEFACTS, **artefacts)  # type: ignore[arg-type]
        return figures

    def report(self) -> Path:
        """Writes `report.html` and returns its path."""
        from twofold.report import write

        try:
            data = self.open()
        except TwofoldError:
            data = None  # the report says that the items are not at hand
        views = None
        if data is not None:
            views = build_views(self.config.recipe, data.train, self.config.settings.seed)
        return write(self.folder, data, views)


def pretrain(
    recipe: str | Recipe = "simclr",
    *,
    data: Any,
    out: str | Path,
    encoder: str | nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Trains an encoder on `data` and returns the run.

    Args:
        recipe: A name from `RECIPES`, or a `Recipe`.
        data: A data name, a path, or an array `(n, channels, height, width)` or
            `(n, height, width)`.
        out: Folder of the run; created.
        encoder: Name of an encoder, or a network with `num_features`.
        overwrite: Whether to replace a run that `out` already holds.
        quiet: Whether to print nothing.
        **changes: Fields of `Recipe` (epochs, batch_size, optimizer, ...), of `Settings` (seed,
            device, precision, ...) and of `DataConfig` (key, test, test_fraction, ...).

    Raises:
        TwofoldError: For an unknown name or option, a wrong value, or data that cannot be read.

    Example:
        >>> run = pretrain("simclr", data=images, out="runs/b", epochs=5)  # doctest: +SKIP
        >>> run.encoder().embed(images).shape  # doctest: +SKIP
        (1000, 512)
    """
    recipe = recipe_by_name(recipe) if isinstance(recipe, str) else recipe
    if isinstance(encoder, str):
        changes["encoder"] = encoder
    named = isinstance(data, (str, Path))
    if named:
        changes["data"] = str(data)
    whole = _change(Config(recipe=recipe), changes)
    folder = Path(out)
    check_new(folder, overwrite=overwrite)
    opened = None if named else open_config(whole.data, whole.settings.seed, data)
    clear(folder)
    backbone = encoder if isinstance(encoder, nn.Module) else None
    start(whole, folder, data=opened, backbone=backbone, quiet=quiet)
    return Run(folder, opened)


def resume(
    run: str | Path, *, data: Any = None, backbone: nn.Module | None = None, quiet: bool = False
) -> Run:
    """Goes on with a run that was stopped, to the same weights as if it never had been.

    Args:
        run: Folder of the run.
        data: The array, if the run was started with one.
        backbone: A fresh network, if the run was started with one of the user's own.
        quiet: Whether to print nothing.
    """
    folder = Path(run)
    whole = config.load_config(folder / CONFIG)
    opened = None if data is None else open_config(whole.data, whole.settings.seed, data)
    start(whole, folder, data=opened, backbone=backbone, quiet=quiet)
    return Run(folder, opened)


def start(
    whole: Config,
    folder: Path,
    *,
    data: Data | None = None,
    backbone: nn.Module | None = None,
    quiet: bool = False,
) -> Outcome:
    """Trains what `whole` describes in `folder`, from its newest checkpoint if it has one."""
    console = Console(quiet=quiet)
    recipe, settings = whole.recipe, whole.settings
    data = data or open_config(whole.data, settings.seed)
    trained, held_out = _hold_out(data.train, settings.seed)
    hardware = _hardware(whole)
    preprocess = measure(trained.items)
    _check_batch(recipe, trained)
    whole = _record(whole, data, preprocess, hardware)
    whole.save(folder / CONFIG)
    _list_skipped(data, folder)

    views = build_views(recipe, trained, settings.seed)
    torch.manual_seed(settings.seed)
    spec: dict[str, Any] | None = None
    if backbone is None:
        spec = {
            "name": recipe.encoder,
            "channels": trained.channels,
            "image_size": recipe.view_size or preprocess.size,
            "width": recipe.width,
            "stem": recipe.stem,
        }
        backbone = build_encoder(**spec)
    method = Method(backbone, recipe.objectives, encode=recipe.encode)
    loader = Loader(
        trained.items,
        trained.labels,
        views=views,
        preprocess=preprocess,
        batch_size=recipe.batch_size,
        view_size=_view_sizes(recipe, preprocess.size, len(trained)),
        device=hardware.device,
        threads=hardware.loader_threads,
        seed=settings.seed,
    )
    console.begin(
        whole, data, substitutions(recipe.augmentations, recipe.prescription, trained.channels)
    )
    with console.training(recipe, loader.steps_per_epoch) as display:
        outcome = fit(
            method,
            loader,
            recipe=recipe,
            hardware=hardware,
            folder=folder,
            seed=settings.seed,
            checkpoint_seconds=settings.checkpoint_seconds,
            monitor=Monitor(
                trained, held_out, views=views, preprocess=preprocess, hardware=hardware
            ),
            monitor_every=settings.monitor_every,
            display=display,
        )
    if outcome.finished:
        Encoder(method.encoder, preprocess, spec).save(folder / ENCODER)
    console.end(folder, outcome)
    return outcome


def embed_data(run: str | Path, settings: DataConfig, out: Path, *, part: str) -> tuple[int, int]:
    """Writes the embeddings, ids and labels of some data to `out`; returns their shape."""
    encoder = load(run)
    data = open_config(settings, seed=0)
    sources = {"train": [data.train], "test": [data.test], "all": [data.train, data.test]}[part]
    hardware = detect()
    arrays: dict[str, np.ndarray] = {
        "embeddings": np.concatenate(
            [encoder.embed(source.items, device=hardware.device) for source in sources]
        ),
        "ids": np.concatenate([np.asarray(source.ids, dtype=str) for source in sources]),
    }
    labels = [source.labels for source in sources if source.labels is not None]
    if len(labels) == len(sources):
        arrays["labels"] = np.concatenate(labels)
        arrays["label_names"] = np.asarray(sources[0].label_names, dtype=str)
    with out.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    count, dim = arrays["embeddings"].shape
    return count, dim


def open_config(settings: DataConfig, seed: int, data: Any = None) -> Data:
    """Opens the data a configuration names, or the array given in its place."""
    if data is None and not settings.data:
        raise TwofoldError(
            "this run was given an array in Python; go on with twofold.resume(folder, data=array)"
        )
    return open_data(
        settings.data if data is None else data,
        key=settings.key,
        label_key=settings.label_key,
        test=settings.test,
        test_fraction=settings.test_fraction,
        image_size=settings.image_size,
        seed=seed,
    )


def build_views(recipe: Recipe, source: Source, seed: int) -> Views:
    """The views that a recipe makes of a source's items."""
    return Views(
        recipe.augmentations,
        recipe.prescription,
        channels=source.channels,
        size=recipe.view_size or min(source.height, source.width),
        seed=seed,
    )


def _hold_out(source: Source, seed: int) -> tuple[Source, Source | None]:
    """Training items, and a few with labels that only the online kNN sees."""
    share, least, most = _HELD_OUT
    count = min(most, max(least, round(share * len(source))))
    if source.labels is None or count > len(source) // 4:
        return source, None
    return split(source, test_fraction=count / len(source), seed=seed + 1)


def _hardware(whole: Config) -> Hardware:
    """What the run computes on; a resumed run computes as it began."""
    if "hardware" in whole.found:
        return Hardware(**whole.found["hardware"])
    settings = whole.settings
    return detect(
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        loader_threads=settings.loader_threads,
    )


def _record(whole: Config, data: Data, preprocess: Preprocess, hardware: Hardware) -> Config:
    """The configuration with what was found; refuses data that is not what it was."""
    fingerprint = data.train.fingerprint()
    before = whole.found.get("fingerprint", fingerprint)
    if before != fingerprint:
        raise TwofoldError(
            f"the data has changed since the run began (fingerprint {before}, now {fingerprint}); "
            "a run goes on with the items it began with"
        )
    found = {
        "twofold": __version__,
        "torch": str(torch.__version__),
        "note": data.note,
        "fingerprint": fingerprint,
        "train_items": len(data.train),
        "test_items": len(data.test),
        "channels": data.train.channels,
        "height": data.train.height,
        "width": data.train.width,
        "preprocess": dataclasses.asdict(preprocess),
        "hardware": dataclasses.asdict(hardware),
    }
    return dataclasses.replace(whole, found=found)


def _view_sizes(recipe: Recipe, size: int, items: int) -> Any:
    """Height and width of the views at a step."""
    late = recipe.view_size or size
    early = recipe.early_view_size or late
    change = recipe.early_share * recipe.epochs * (items // recipe.batch_size)
    return lambda step: early if step < change else late


def _check_batch(recipe: Recipe, source: Source) -> None:
    if len(source) < recipe.batch_size:
        raise TwofoldError(
            f"batch_size is {recipe.batch_size}, but there are {len(source)} items to train on; "
            f"choose --batch-size {max(2, len(source) // 4)} or so"
        )


def _list_skipped(data: Data, folder: Path) -> None:
    skipped = [*data.train.skipped, *data.test.skipped]
    if skipped:
        lines = "".join(f"{path}\t{reason}\n" for path, reason in skipped)
        write_atomically(folder / SKIPPED, lines.encode())


def _change(whole: Config, changes: Mapping[str, Any]) -> Config:
    """`whole` with fields of its recipe, data or settings replaced, whichever has them."""
    for name, value in changes.items():
        for part in ("recipe", "data", "settings"):
            before = getattr(whole, part)
            if name in {field.name for field in dataclasses.fields(before)}:
                after = dataclasses.replace(before, **{name: value})
                whole = dataclasses.replace(whole, **{part: after})
                break
        else:
            parts = (whole.recipe, whole.data, whole.settings)
            raise unknown("option", name, [f.name for p in parts for f in dataclasses.fields(p)])
    return whole
