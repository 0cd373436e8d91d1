"""Begins a run, or goes on with one: everything is checked, then it is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from twofold import __version__
from twofold.assembly import (
    add_adapters,
    build_views,
    check_views,
    describe,
    find_groups,
    find_known,
    for_channels,
    new_network,
    with_batches,
)
from twofold.augment import Views, substitutions
from twofold.calibration import calibrate
from twofold.choice import Choice
from twofold.config import Config, DataConfig, heard
from twofold.display import Console
from twofold.distributed import one_first, rank, world_size
from twofold.domains import Data, Source, open_data, split
from twofold.domains.names import check_domain, domain_by_name
from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.evaluate import blinded
from twofold.folder import CONFIG, ENCODER, SKIPPED, alone, clear, list_skipped
from twofold.hardware import Hardware, trusted
from twofold.loader import Feed, InParts, Loader, Paired
from twofold.method import Method
from twofold.monitor import Monitor
from twofold.positives import Groups
from twofold.preprocess import Preprocess
from twofold.reading import Readings
from twofold.renderers import with_renderer
from twofold.sharing import by_all, find_hardware
from twofold.track import check_trackers, tracked
from twofold.train import Learner, Outcome, fit

_HELD_OUT = (0.02, 100, 2000)  # share of labelled training items the online kNN asks about; bounds


@by_all
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
    console = Console(quiet=quiet)
    settings = whole.settings
    _check_backbone(whole, backbone)
    if rank() == 0 and (folder / CONFIG).exists():
        with alone(folder):
            pass  # who cannot train there need not wait for the data
    data = data or open_config(whole.data, settings.seed, whole.recipe.domain)
    check_domain(data, whole.recipe.domain)
    trained, held_out = _hold_out(data.train, settings.seed)
    if whole.recipe.choose == "knn" and held_out is None:
        raise TwofoldError(
            "choose is 'knn', but the online kNN has no labels to hold out; say 'rankme' or 'last'"
        )
    hardware = find_hardware(whole)
    recipe = for_channels(whole.recipe, trained.channels)
    views = build_views(recipe, trained, settings.seed)
    groups = find_groups(recipe, trained, views, settings.seed)
    recipe, remarks = with_batches(recipe, len(trained), groups)
    kind = domain_by_name(recipe.domain)
    preprocess = kind.tools.measure(trained.items, recipe.input)
    whole = dataclasses.replace(whole, recipe=recipe)
    network = recipe.encoder if backbone is None else type(backbone).__name__
    known = find_known(recipe, trained, views)
    torch.manual_seed(settings.seed)
    spec: dict[str, Any] | None = None
    if backbone is None:
        backbone, spec = new_network(recipe, preprocess)
    backbone, spec = add_adapters(recipe, backbone, spec)
    shapes = check_views(recipe, backbone, preprocess)
    hardware, doubts = in_trusted_precision(whole, hardware, backbone, shapes)
    hardware = with_renderer(whole, hardware, views, len(trained))
    method = Method(backbone, recipe.learned, encode=recipe.encode, known=known)
    feeding = partial(feed, whole, trained, views, preprocess, groups=groups)
    hardware, measured = calibrate(whole, hardware, method, feeding)
    whole = record(whole, data, preprocess, hardware, network)
    about, sentences = describe(recipe, method)
    if groups is not None:
        about["groups"] = len(groups)
    whole = dataclasses.replace(whole, found={**whole.found, **about})
    monitor = Monitor(
        trained,
        held_out,
        views=views,
        preprocess=preprocess,
        hardware=hardware,
        groups=groups,
        watched=data.test,
    )
    outcome = conduct(
        whole,
        folder,
        method,
        data=data,
        trained=trained,
        views=views,
        preprocess=preprocess,
        hardware=hardware,
        monitor=monitor,
        choice=Choice(folder, recipe.choose),
        groups=groups,
        remarks=(*remarks, *doubts, *measured, *sentences),
        overwrite=overwrite,
        console=console,
    )
    if outcome.finished:
        encoder = complete(whole, method, spec, trained, views, preprocess)
        if rank() == 0:
            encoder.save(folder / ENCODER)
    console.end(folder, outcome)
    return outcome


def complete(
    whole: Config,
    method: Method,
    spec: dict[str, Any] | None,
    trained: Source,
    views: Views,
    preprocess: Preprocess,
) -> Encoder:
    """A trained encoder with its head, and with what it is to be blind to projected out."""
    blind = {
        name: kind
        for name, kind in views.augmentations.items()
        if whole.recipe.prescription[name] == "blind"
    }
    projector = method.projector()
    erasers = blinded(
        Readings(method.encoder, projector),
        blind,
        trained.items,
        preprocess,
        seed=whole.settings.seed,
        device=find_hardware(whole).device,
    )
    return Encoder(method.encoder, preprocess, spec, projector, erasers)


def conduct(
    whole: Config,
    folder: Path,
    method: Learner,
    *,
    data: Data,
    trained: Source,
    views: Views,
    preprocess: Preprocess,
    hardware: Hardware,
    monitor: Callable[[Any], Mapping[str, Any]],
    choice: Choice,
    groups: Groups | None = None,
    beside: Loader | None = None,
    rate_shares: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    remarks: Sequence[str] = (),
    overwrite: bool = False,
    console: Console,
) -> Outcome:
    """Writes down and says what is about to run, and trains `method` as far as it gets.

    Of several processes the first alone writes and speaks.

    Args:
        whole: All of it, with what was found.
        folder: Run folder; what it holds of another run goes if `overwrite`.
        method: What is trained.
        data: Where the items come from.
        trained: Those of them that are trained on.
        views: Gives their views.
        preprocess: What the encoder reads.
        hardware: Where and how to compute.
        monitor: As of `fit`.
        choice: As of `fit`.
        groups: As of `Loader`.
        beside: Gives views of the same items from another source.
        rate_shares: As of `fit`.
        weights: As of `fit`.
        remarks: What else there is to say before it begins.
        overwrite: Whether `folder` is cleared first.
        console: Where it is said.
    """
    recipe, settings = whole.recipe, whole.settings
    loader = feed(whole, trained, views, preprocess, hardware, groups)
    batches: Feed = loader if beside is None else Paired(loader, beside)
    if recipe.effective_batch is not None:
        method.check_parts(recipe.batch_norm)
        batches = InParts(loader, recipe.num_parts, recipe.batch_norm)
    check_trackers(settings.track)
    replaced = substitutions(recipe.augmentations, recipe.prescription, trained.channels)
    train = partial(
        fit,
        method,
        batches,
        recipe=recipe,
        hardware=hardware,
        folder=folder,
        ids=trained.ids,
        seed=settings.seed,
        checkpoint_seconds=settings.checkpoint_seconds,
        not_finite=settings.not_finite,
        monitor=monitor,
        monitor_every=settings.monitor_every,
        choice=choice,
        rate_shares=rate_shares,
        weights=weights,
    )
    if rank() > 0:
        return train()
    with alone(folder):
        if overwrite:
            clear(folder)
        whole.save(folder / CONFIG)
        unread = list_skipped(data.skipped, folder / SKIPPED)
        console.begin(whole, data, list(views.augmentations), (*remarks, *replaced, *unread))
        with (
            console.training(recipe, batches.steps_per_epoch) as shown,
            tracked(shown, whole, folder, quiet=console.quiet) as display,
        ):
            return train(display=display)


def feed(
    whole: Config,
    trained: Source,
    views: Views,
    preprocess: Preprocess,
    hardware: Hardware,
    groups: Groups | None = None,
) -> Loader:
    """The batches of a run or the parts of them, at first with views as small as it asks for."""
    recipe = whole.recipe
    early, late = recipe.view_sizes(preprocess.size)
    samples, parts = len(trained if groups is None else groups), recipe.num_parts
    change = recipe.early_share * recipe.epochs * (samples // recipe.step_size)
    return Loader(
        trained.items,
        trained.labels,
        views=views,
        preprocess=preprocess,
        batch_size=recipe.batch_size,
        view_size=lambda part: early if part // parts < change else late,
        device=hardware.device,
        threads=hardware.loader_threads,
        seed=whole.settings.seed,
        groups=groups,
        multiple=parts,
        process=rank(),
        processes=world_size(),
        layout=hardware.layout,
    )


def open_config(settings: DataConfig, seed: int, domain: str, data: Any = None) -> Data:
    """Opens the data a configuration names, or the array given in its place, as of a domain."""
    if data is None and not settings.data:
        raise TwofoldError(
            "this run was given an array in Python; hand it over again as data= or, from a file, "
            "with --data"
        )
    window = {name: getattr(settings, name) for name in ("sample_rate", "seconds", "mono")}
    kind = domain_by_name(domain)
    for name, value in window.items():
        if value and not kind.signals:
            raise TwofoldError(
                f"{name} is {value}, but {kind.items} are no recordings; leave it out"
            )
    with one_first():  # what it finds out of files, it may leave to the others in a cache
        return open_data(
            settings.data if data is None else data,
            domain=domain,
            cache_gb=settings.cache_gb,
            key=settings.key,
            label_key=settings.label_key,
            group_key=settings.group_key,
            time_key=settings.time_key,
            test=settings.test,
            test_fraction=settings.test_fraction,
            image_size=settings.image_size,
            seed=seed,
            **(window if kind.signals else {}),
        )


def _hold_out(source: Source, seed: int) -> tuple[Source, Source | None]:
    """Training items, and a few with labels that only the online kNN sees."""
    share, least, most = _HELD_OUT
    count = min(most, max(least, round(share * len(source))))
    if not source.classes or count > len(source) // 4:
        return source, None
    return split(source, test_fraction=count / len(source), seed=seed + 1)


def in_trusted_precision(
    whole: Config, hardware: Hardware, network: nn.Module, shapes: Iterable[tuple[int, int, int]]
) -> tuple[Hardware, tuple[str, ...]]:
    """How a network can be computed rightly, and what there is to say if that is another way.

    Raises:
        TwofoldError: If bf16 was asked for and is wrong for such items.
    """
    sound = trusted(hardware, network, shapes)
    if sound == hardware:
        return hardware, ()
    if whole.settings.precision == "bf16":
        raise TwofoldError(
            "precision is bf16, in which this processor computes this network wrongly for items of "
            "such a shape; say --precision float32"
        )
    return sound, ("in float32, for this processor's bf16 is wrong for items of such a shape",)


def record(
    whole: Config, data: Data, preprocess: Preprocess, hardware: Hardware, network: str
) -> Config:
    """The configuration with what was found; refuses data that is not what it was."""
    scale = dataclasses.asdict(preprocess)
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
        "negatives": {
            name: count
            for name, objective in whole.recipe.learned.items()
            if (count := objective.num_negatives(whole.recipe.step_size)) is not None
        },
        "preprocess": scale,
        "hardware": dataclasses.asdict(hardware),
    }
    return dataclasses.replace(whole, data=heard(whole.data, scale), found=found)


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
