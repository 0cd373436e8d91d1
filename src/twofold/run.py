"""A run from beginning to end: open the data, train, keep the encoder, evaluate, report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from twofold import __version__, config
from twofold.augment import Views, substitutions
from twofold.config import Config, DataConfig
from twofold.display import Console
from twofold.distributed import refuse_several
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
from twofold.networks import build_encoder, check_reads
from twofold.preprocess import Preprocess, measure
from twofold.recipes import Recipe, recipe_by_name
from twofold.train import Outcome, fit

_HELD_OUT = (0.02, 100, 2000)  # share of labelled training items the online kNN asks about; bounds


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path
    data: Data | None = field(default=None, repr=False)
    """The data, if it is at hand; opened from the configuration otherwise."""
    backbone: nn.Module | None = field(default=None, repr=False)
    """The network, if the run trained one of the user's own and it is at hand."""
    recipe: Recipe | None = field(default=None, repr=False)
    """The recipe, if it is one of the user's own."""

    @property
    def config(self) -> Config:
        """Every number the run used."""
        return config.load_config(self.folder / CONFIG, self.recipe)

    def encoder(self, *, backbone: nn.Module | None = None) -> Encoder:
        """The trained encoder."""
        return load(self.folder, backbone=backbone or self.backbone)

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
            device, precision, ...) and of `DataConfig` (key, test, test_fraction, ...). Words of
            `prescription={"rotate": "invariant"}` join those of the recipe.

    Raises:
        TwofoldError: For an unknown name or option, a wrong value, or data that cannot be read.

    Example:
        >>> run = pretrain("simclr", data=images, out="runs/b", epochs=5)  # doctest: +SKIP
        >>> run.encoder().embed(images).shape  # doctest: +SKIP
        (1000, 512)
    """
    recipe = recipe_by_name(recipe) if isinstance(recipe, str) else recipe
    backbone = encoder if isinstance(encoder, nn.Module) else None
    if isinstance(encoder, str):
        changes["encoder"] = encoder
    elif encoder is not None and backbone is None:
        raise TwofoldError(
            f"encoder is {encoder!r}; it must be a name or a torch.nn.Module with num_features"
        )
    named = isinstance(data, (str, Path))
    if named:
        changes["data"] = str(data)
    whole = _change(Config(recipe=recipe), changes)
    folder = Path(out)
    check_new(folder, overwrite=overwrite)
    opened = None if named else open_config(whole.data, whole.settings.seed, data)
    start(whole, folder, data=opened, backbone=backbone, overwrite=overwrite, quiet=quiet)
    return Run(folder, opened, backbone, recipe)


def resume(
    run: str | Path,
    *,
    data: Any = None,
    backbone: nn.Module | None = None,
    recipe: Recipe | None = None,
    quiet: bool = False,
) -> Run:
    """Goes on with a run that was stopped, to the same weights as if it never had been.

    Args:
        run: Folder of the run.
        data: The array, if the run was started with one.
        backbone: A fresh network, if the run was started with one of the user's own.
        recipe: The recipe, if the run was started with one of the user's own.
        quiet: Whether to print nothing.
    """
    folder = Path(run)
    whole = config.load_config(folder / CONFIG, recipe)
    opened = None if data is None else open_config(whole.data, whole.settings.seed, data)
    start(whole, folder, data=opened, backbone=backbone, quiet=quiet)
    return Run(folder, opened, backbone, recipe)


def start(
    whole: Config,
    folder: Path,
    *,
    data: Data | None = None,
    backbone: nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Trains what `whole` describes in `folder`, from its newest checkpoint if it has one.

    With `overwrite`, the run that `folder` holds is removed; no sooner than everything that can
    be refused has been accepted.
    """
    refuse_several()
    console = Console(quiet=quiet)
    recipe, settings = whole.recipe, whole.settings
    _check_backbone(whole, backbone)
    data = data or open_config(whole.data, settings.seed)
    trained, held_out = _hold_out(data.train, settings.seed)
    hardware = _hardware(whole)
    preprocess = measure(trained.items)
    _check_batch(recipe, trained)
    network = recipe.encoder if backbone is None else type(backbone).__name__
    whole = _record(whole, data, preprocess, hardware, network)

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
    early, late = recipe.view_sizes(preprocess.size)
    for size in {preprocess.size, early, late}:
        check_reads(backbone, channels=trained.channels, size=size)
    change = recipe.early_share * recipe.epochs * (len(trained) // recipe.batch_size)
    method = Method(backbone, recipe.objectives, encode=recipe.encode)
    loader = Loader(
        trained.items,
        trained.labels,
        views=views,
        preprocess=preprocess,
        batch_size=recipe.batch_size,
        view_size=lambda step: early if step < change else late,
        device=hardware.device,
        threads=hardware.loader_threads,
        seed=settings.seed,
    )
    if overwrite:
        clear(folder)
    whole.save(folder / CONFIG)
    _list_skipped(data, folder)
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


def open_config(settings: DataConfig, seed: int, data: Any = None) -> Data:
    """Opens the data a configuration names, or the array given in its place."""
    if data is None and not settings.data:
        raise TwofoldError(
            "this run was given an array in Python; hand it over again as data= or, from a file, "
            "with --data"
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


def _record(
    whole: Config, data: Data, preprocess: Preprocess, hardware: Hardware, network: str
) -> Config:
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
        "network": network,
        "preprocess": dataclasses.asdict(preprocess),
        "hardware": dataclasses.asdict(hardware),
    }
    return dataclasses.replace(whole, found=found)


def _check_backbone(whole: Config, backbone: nn.Module | None) -> None:
    """A run goes on with the network it began with, by name or by hand."""
    own = whole.found.get("network", whole.recipe.encoder) != whole.recipe.encoder
    if own and backbone is None:
        raise TwofoldError(
            f"this run trains a network of your own, {whole.found['network']}; go on in Python "
            "with twofold.resume(folder, backbone=...)"
        )
    if whole.found and not own and backbone is not None:
        raise TwofoldError(f"this run trains {whole.recipe.encoder}; leave backbone out")


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
            if name in {f.name for f in dataclasses.fields(before)}:
                after = _replace(before, name, value)
                whole = dataclasses.replace(whole, **{part: after})
                break
        else:
            parts = (whole.recipe, whole.data, whole.settings)
            raise unknown("option", name, [f.name for p in parts for f in dataclasses.fields(p)])
    return whole


def _replace(part: Any, name: str, value: Any) -> Any:
    """`part` with one field replaced; words, settings and weights by name join those there are."""
    before = getattr(part, name)
    if isinstance(before, Mapping) and isinstance(value, Mapping):
        value = value if name == "objectives" else {**before, **value}
        return dataclasses.replace(part, **{name: value})
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(part, **{name: value})
    return config.from_plain(part, {name: str(value) if isinstance(value, Path) else value})
