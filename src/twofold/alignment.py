"""Two encoders, one space: what sees the same items in two ways learns which are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from twofold.aligning import begun, check_rows, side_by_side
from twofold.assembly import (
    add_adapters,
    build_views,
    check_views,
    find_groups,
    find_known,
    for_channels,
    new_network,
    with_batches,
)
from twofold.augment import Views, substitutions
from twofold.choice import Choice
from twofold.config import Aligning, Config, change, load_config
from twofold.display import Console
from twofold.distributed import rank
from twofold.domains import Data, Source
from twofold.domains.names import check_domain, domain_by_name, told
from twofold.encoder import Encoder, load, renewed
from twofold.errors import TwofoldError
from twofold.evaluate import partners
from twofold.evaluate.intervals import Figure
from twofold.folder import (
    BESIDE,
    CONFIG,
    ENCODER,
    METRICS,
    check_new,
    check_run,
    read_metrics,
    write_atomically,
    write_down,
)
from twofold.hardware import Hardware, detect, trusted
from twofold.launch import complete, conduct, feed, open_config, record
from twofold.loader import Loader
from twofold.method import Aligned, Method
from twofold.monitor import Monitor
from twofold.positives import Groups
from twofold.preprocess import Preprocess
from twofold.renderers import with_renderer
from twofold.sharing import by_all, find_hardware
from twofold.train import Outcome

_KS = (1, 5, 10)


@dataclass(frozen=True)
class Alignment:
    """Two encoders that were trained beside each other."""

    folder: Path
    """Of the run: that of the first encoder; that of the other is `beside` in it."""

    @property
    def folders(self) -> tuple[Path, Path]:
        """Of both encoders; each is read as the folder of any run is."""
        return self.folder, self.folder / BESIDE

    @property
    def encoders(self) -> tuple[Encoder, Encoder]:
        """Both, the last layer of whose heads is the space that they share."""
        first, second = map(load, self.folders)
        return first, second

    def retrieve(self, data: Any = None, beside: Any = None) -> dict[str, dict[str, Figure]]:
        """How well the items held out find themselves in the other source.

        Args:
            data: Items of the first source; the run's own if None.
            beside: The same items in the other source, row by row; the run's own if None.

        Returns:
            Figures as of `retrieved`.
        """
        whole = load_config(check_run(self.folder) / CONFIG)
        first, second = _opened(whole, data, beside)
        tested, settings = (first.test, second.test), whole.settings
        device = detect(device=settings.device).device
        return retrieved(self.encoders, tested, seed=settings.seed, device=device)


def align(
    recipe: str = "info_nce",
    *,
    data: Any,
    beside: Any,
    out: str | Path,
    temperature: float = Aligning.temperature,
    within: float = Aligning.within,
    beside_changes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **changes: Any,
) -> Alignment:
    """Trains two encoders, each on one of two sources that see the same items, to agree.

    `loss = across + within * w`: `across` is the InfoNCE by which each item of either source
    finds itself among those of the other, both ways, and `w` what the recipe learns from two
    views of one source, the mean of both. Both compare the projections of the recipe's head.

    Args:
        recipe: A name from `RECIPES`, of a method with a projector and without labels.
        data: A source, as `pretrain` takes it.
        beside: Another source of the same items: its row i shows what row i of `data` shows.
        out: Folder of the run; created. The other encoder's is `beside` in it.
        temperature: Divides the cosines between the sources, > 0.
        within: Weight of what each source learns by itself, >= 0.
        beside_changes: What `changes` are to `data`, for `beside`: encoder, prescription, key, ...
        overwrite: Whether to replace a run that `out` already holds.
        quiet: Whether to print nothing.
        **changes: `domain`, fields of `Recipe`, `Settings` and `DataConfig`, as of `pretrain`.
            What belongs to the steps (epochs, batch_size, optimizer, positives, ...) is for both.

    Returns:
        Both encoders; how well they find each other's items is in `out/evaluation.json`.

    Raises:
        TwofoldError: For a wrong option, or sources whose rows do not correspond.

    Example:
        >>> pair = align(data="pictures.h5", beside="states.h5", out="runs/pair")  # doctest: +SKIP
        >>> pair.retrieve()["forth"]["r@1"]["value"]  # doctest: +SKIP
        0.93

    Reference: Morgado et al., 2021, arXiv:2004.12943; Radford et al., 2021, arXiv:2103.00020.
    """
    aside = dict(beside_changes or {})
    wholes = []
    for source, options in ((data, changes), (beside, aside)):
        domain = options.pop("domain", None) or told(source)
        if isinstance(source, str | Path):
            options["data"] = str(source)
        wholes.append(change(Config(recipe=begun(recipe, domain)), options))
    whole, other = wholes
    if other.settings != Config(recipe=other.recipe).settings:
        raise TwofoldError("settings of the source beside cannot be set; they are for both")
    whole = side_by_side(whole, other.recipe, other.data, temperature=temperature, within=within)
    folder = Path(out)
    check_new(folder, overwrite=overwrite)
    opened = _opened(whole, *(None if isinstance(s, str | Path) else s for s in (data, beside)))
    join(whole, folder, data=opened[0], beside=opened[1], overwrite=overwrite, quiet=quiet)
    return Alignment(folder)


@by_all
def join(
    whole: Config,
    folder: Path,
    *,
    data: Data | None = None,
    beside: Data | None = None,
    backbone: nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Aligns as `whole` says, from the newest checkpoint in `folder` if it has one.

    How well the items held out find each other goes to `evaluation.json`, beside what random
    weights do.
    """
    assert whole.aligning is not None
    if backbone is not None:
        raise TwofoldError("two encoders are trained, both by name; leave backbone out")
    if folder.name == BESIDE and (folder.parent / CONFIG).exists():
        raise TwofoldError(
            f"{folder} is half of {folder.parent}; go on with "
            f"`twofold align --resume {folder.parent}`"
        )
    console, aligning, seed = Console(quiet=quiet), whole.aligning, whole.settings.seed
    data, beside = _opened(whole, data, beside)
    trained = _unlabelled(data.train)
    recipe = for_channels(whole.recipe, trained.channels)
    groups = find_groups(recipe, trained, build_views(recipe, trained, seed), seed)
    recipe, remarks = with_batches(recipe, len(trained), groups)
    other = replace(
        whole,
        recipe=replace(aligning.recipe, batch_size=recipe.batch_size),
        data=aligning.data,
        found=whole.found.get("beside", {}),
    )
    hardware = find_hardware(whole)
    first = _prepared(replace(whole, recipe=recipe), data, hardware, groups)
    second = _prepared(other, beside, hardware, groups)
    sides = {"data": first, "beside": second}
    compared = {
        side: one
        for side, one in sides.items()
        if aligning.within and (groups is not None or one.views.augmentations)
    }
    method = Aligned(
        first.method,
        second.method,
        temperature=aligning.temperature,
        weights={side: one.whole.recipe.loss_weights for side, one in compared.items()},
    )
    whole = _with_both(first, second, aligning)

    def monitor(method: Aligned) -> dict[str, Any]:
        """The record of an epoch: that of the first encoder, and `beside` that of the other."""
        records = {side: one.monitor(method.sides[side]) for side, one in sides.items()}
        return records["data"] | {"beside": records["beside"]}

    shares = {"across": 1.0, "within": aligning.within}
    outcome = conduct(
        whole,
        folder,
        method,
        data=data,
        trained=first.trained,
        views=first.views,
        preprocess=first.preprocess,
        hardware=hardware,
        monitor=monitor,
        choice=Choice(folder, "last"),
        groups=groups,
        beside=second.loader,
        weights={name: shares[name] for name in method.objectives},
        remarks=(*remarks, *_about(second, list(compared.values()), aligning.within)),
        overwrite=overwrite,
        console=console,
    )
    if outcome.finished:
        encoders = first.encoder(), second.encoder()
        if rank() == 0:
            for encoder, place in zip(encoders, Alignment(folder).folders, strict=True):
                encoder.eval().save(place / ENCODER)
            _write_beside(whole, second, folder / BESIDE)
        _judge(encoders, (data, beside), whole, folder)
    console.end(folder, outcome, command="align")
    return outcome


@dataclass(frozen=True, eq=False)
class _Side:
    """One source, and all that learns from it."""

    whole: Config
    trained: Source
    views: Views
    preprocess: Preprocess
    method: Method
    spec: dict[str, Any] | None
    loader: Loader
    monitor: Monitor

    def encoder(self) -> Encoder:
        """Its encoder, once it is trained."""
        learned = self.method, self.spec
        return complete(self.whole, *learned, self.trained, self.views, self.preprocess)


def _prepared(whole: Config, data: Data, hardware: Hardware, groups: Groups | None) -> _Side:
    """Everything of one source before the first step."""
    trained, seed = _unlabelled(data.train), whole.settings.seed
    recipe = for_channels(whole.recipe, trained.channels)
    views = build_views(recipe, trained, seed)
    preprocess = domain_by_name(recipe.domain).tools.measure(trained.items, recipe.input)
    torch.manual_seed(seed)
    network, spec = add_adapters(recipe, *new_network(recipe, preprocess))
    if trusted(hardware, network, check_views(recipe, network, preprocess)) != hardware:
        raise TwofoldError(
            f"this processor's bf16 is wrong for items as in '{data.name}'; say --precision float32"
        )
    hardware = with_renderer(whole, hardware, views, len(trained))
    whole = record(replace(whole, recipe=recipe), data, preprocess, hardware, recipe.encoder)
    known = find_known(recipe, trained, views)
    method = Method(network, recipe.learned, encode=recipe.encode, known=known)
    loader = feed(whole, trained, views, preprocess, hardware, groups)
    monitor = Monitor(
        trained, None, views=views, preprocess=preprocess, hardware=hardware, groups=groups
    )
    return _Side(whole, trained, views, preprocess, method, spec, loader, monitor)


def _with_both(first: _Side, second: _Side, aligning: Aligning) -> Config:
    """The configuration of the run, with what was found out about either source."""
    found = {**first.whole.found, "beside": second.whole.found}
    aligning = replace(aligning, recipe=second.whole.recipe)
    return replace(first.whole, aligning=aligning, found=found)


def _about(second: _Side, compared: Sequence[_Side], within: float) -> tuple[str, ...]:
    """What there is to say of the source beside, and of what is compared within either."""
    recipe, drawn = second.whole.recipe, ", ".join(second.views.augmentations) or "none"
    sentences = (
        f"beside: {second.whole.found['note']}; {recipe.encoder}; augmentations: {drawn}",
        *substitutions(recipe.augmentations, recipe.prescription, second.trained.channels),
        f"across: {recipe.batch_size - 1} negatives per anchor",
    )
    if not within or len(compared) == 2:
        return sentences
    alone = f"within {compared[0].trained.name} alone" if compared else "across sources alone"
    return (
        *sentences,
        f"views are compared {alone}: a source of which no augmentation is drawn has one view",
    )


def _unlabelled(source: Source) -> Source:
    return replace(source, labels=None, label_names=())


def _opened(whole: Config, data: Any, beside: Any) -> tuple[Data, Data]:
    """Both sources as given, or as the configuration names them; refuses rows that differ."""
    assert whole.aligning is not None
    other = replace(whole, recipe=whole.aligning.recipe, data=whole.aligning.data)
    first, second = (
        open_config(one.data, one.settings.seed, one.recipe.domain, given)
        for one, given in ((whole, data), (other, beside))
    )
    check_domain(first, whole.recipe.domain)
    check_domain(second, other.recipe.domain)
    check_rows(first, second)
    return first, second


def _write_beside(whole: Config, other: _Side, folder: Path) -> None:
    """What makes the other encoder's folder that of a run: what it was trained on, and how."""
    assert whole.aligning is not None
    mirrored = replace(whole.aligning, recipe=whole.recipe, data=whole.data)
    replace(other.whole, aligning=mirrored).save(folder / CONFIG)
    *records, end = read_metrics(folder.parent)
    parameters = sum(weight.numel() for weight in other.method.encoder.parameters())
    records = [record | record.pop("beside", {}) for record in records]
    lines = (json.dumps(record) + "\n" for record in (*records, {**end, "parameters": parameters}))
    write_atomically(folder / METRICS, "".join(lines).encode())


def _judge(
    encoders: tuple[Encoder, Encoder], data: tuple[Data, Data], whole: Config, folder: Path
) -> None:
    """Writes down how well items held out find each other, by these weights and by random ones."""
    seed, test = whole.settings.seed, (data[0].test, data[1].test)
    device = find_hardware(whole).device
    found = retrieved(encoders, test, seed=seed, device=device)
    random = (renewed(encoders[0], seed=seed), renewed(encoders[1], seed=seed))
    floor = retrieved(random, test, seed=seed, device=device)
    protocol = {
        "data": data[0].name,
        "beside": data[1].name,
        "layers": [encoder.layers[-1] for encoder in encoders],
        "fingerprint": test[0].fingerprint(),
        "test_items": len(test[0]),
        "chance": 1 / len(test[0]),
        "seed": seed,
    }
    figures = {
        way: figures
        | {f"{name}_untrained": figure for name, figure in floor[way].items()}
        | {"protocol": protocol}
        for way, figures in found.items()
    }
    if rank() > 0:
        return
    here, there = Alignment(folder).folders
    write_down(here, figures)
    write_down(there, {"forth": figures["back"], "back": figures["forth"]})


def retrieved(
    encoders: tuple[Encoder, Encoder],
    sources: tuple[Source, Source],
    *,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, dict[str, Figure]]:
    """How well items find themselves in another source, in the space where both heads end.

    Args:
        encoders: One for each source.
        sources: The same items, row by row.
        seed: Of the intervals.
        device: Where to encode.

    Returns:
        Figures of `evaluate.partners`: `forth` from the first source to the second, and `back`.
    """
    first, second = (
        torch.from_numpy(encoder.embed(source.items, layer=encoder.layers[-1], device=device))
        for encoder, source in zip(encoders, sources, strict=True)
    )
    ks = [k for k in _KS if k <= len(first)]
    return {
        "forth": partners(first, second, ks=ks, seed=seed),
        "back": partners(second, first, ks=ks, seed=seed),
    }
