"""A run folder in Python: begin it, go on with it, use, judge and show what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from twofold import distributed
from twofold.assembly import build_views, find_groups
from twofold.config import Config, change, load_config
from twofold.display import Console
from twofold.distillation import CARRY_ON
from twofold.domains import Data
from twofold.domains.names import told
from twofold.domains.open import open_data
from twofold.encoder import Encoder, load
from twofold.errors import TwofoldError
from twofold.evaluation import evaluate_encoder, keep, together
from twofold.folder import (
    CEILINGS,
    CONFIG,
    EVALUATION_SKIPPED,
    check_new,
    list_skipped,
    write_down,
)
from twofold.hardware import detect
from twofold.launch import open_config, start
from twofold.proof import CEILING_EPOCHS, prove
from twofold.reading import FEATURES
from twofold.recipes import Recipe, recipe_by_name


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
        return load_config(self.folder / CONFIG, self.recipe)

    def encoder(self, *, backbone: nn.Module | None = None) -> Encoder:
        """The trained encoder."""
        return load(self.folder, backbone=backbone or self.backbone)

    def open(self) -> Data:
        """The run's data."""
        if self.data is not None:
            return self.data
        whole = self.config
        return open_config(whole.data, whole.settings.seed, whole.recipe.domain)

    @distributed.together()
    def evaluate(
        self,
        data: Any = None,
        *,
        probes: Sequence[str] = (),
        layer: str = FEATURES,
        baselines: bool = True,
        backbone: nn.Module | None = None,
        quiet: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Probes the frozen encoder, beside raw input and the untrained network.

        Writes `evaluation.json` (figures) and `evaluation.npz` (what the report draws), and
        returns the figures. What other probes found before on the same items is kept. Processes
        of `torchrun` share the encoding; all find the same, and the first writes it.

        Args:
            data: What to judge it on, as `open_data` takes it; the run's own if None. Of a list of
                several, each with its own training items, the figures go under `transfer`, by the
                names of the sets.
            probes: Names from `twofold list`; by default `knn` and `linear` for classes, `knn`
                and `regression` for numbers, `health` without labels.
            layer: What is judged: the encoder's `features`, or a layer of the head that its loss
                read, such as `projector.1`.
            baselines: Whether raw input and the untrained network are compared with.
            backbone: The network, if the run trained one of the user's own.
            quiet: Whether to print nothing.
            **options: Fields of `twofold.evaluate.ProbeOptions`, such as `k` and `episodes`.
        """
        recipe, settings = self.config.recipe, self.config.settings
        encoder = self.encoder(backbone=backbone)
        given = data if isinstance(data, list | tuple) else [self.open() if data is None else data]
        how = {"domain": recipe.domain, "seed": settings.seed, **encoder.preprocess.window}
        sets = [open_data(one, **how) for one in given]
        console = Console(quiet=quiet)
        skipped = [unread for one in sets for unread in one.skipped]
        writes = distributed.rank() == 0
        console.notes(list_skipped(skipped, self.folder / EVALUATION_SKIPPED) if writes else ())
        found = evaluate_encoder(
            encoder,
            sets,
            views=lambda items: build_views(recipe, items.train, settings.seed),
            probes=probes,
            layer=layer,
            baselines=baselines,
            seed=settings.seed,
            device=distributed.own_device(detect(device=settings.device).device),
            console=console,
            **options,
        )
        figures = together(sets, found)
        if len(sets) == 1 and writes:
            keep(self.folder, found[0])
        elif writes:
            write_down(self.folder, figures)
        return figures

    def prove(
        self,
        data: Data | None = None,
        *,
        augmentations: Sequence[str] = (),
        ceiling_epochs: int = CEILING_EPOCHS,
        backbone: nn.Module | None = None,
        quiet: bool = False,
    ) -> dict[str, Any]:
        """Finds out what the encoder keeps of each augmentation, and whether that was prescribed.

        Adds its findings to `evaluation.json` under `prescription`, and returns them.

        Args:
            data: Items to prove it on; the run's own if None.
            augmentations: Which to look at; those prescribed something but `off` if none.
            ceiling_epochs: Epochs of an encoder for each augmentation that is trained to recover
                it alone; 0 for none.
            backbone: The network, if the run trained one of the user's own.
            quiet: Whether to print nothing.
        """
        whole = self.config
        encoder = self.encoder(backbone=backbone)
        own = encoder.spec is None  # no more of such networks can be built
        with Console(quiet=quiet).task("proving") as progress:
            proof = prove(
                encoder,
                data or self.open(),
                whole.recipe,
                words=whole.recipe.prescription,
                names=augmentations,
                whole=None if own else whole,
                ceilings=self.folder / CEILINGS,
                ceiling_epochs=ceiling_epochs,
                device=detect(device=whole.settings.device).device,
                seed=whole.settings.seed,
                progress=progress,
            )
        write_down(self.folder, {"prescription": proof})
        return proof

    def report(self) -> Path:
        """Writes `report.html` and returns its path."""
        from twofold.report import write

        try:
            data = self.open()
        except TwofoldError:
            data = None  # the report says that the items are not at hand
        views = groups = None
        if data is not None:
            recipe, seed = self.config.recipe, self.config.settings.seed
            views = build_views(recipe, data.train, seed)
            groups = find_groups(recipe, data.train, views, seed)
        return write(self.folder, data, views, groups)


def pretrain(
    recipe: str | Recipe = "simclr",
    *,
    data: Any,
    out: str | Path,
    encoder: str | nn.Module | None = None,
    overwrite: bool = False,
    profile: bool = False,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Trains an encoder on `data` and returns the run.

    Args:
        recipe: A name from `RECIPES`, or a `Recipe`.
        data: A data name, a path, an array `(n, channels, height, width)` or `(n, height, width)`,
            a `torch.utils.data.Dataset`, a `Source` or a `Data`.
        out: Folder of the run; created.
        encoder: Name of an encoder, or a network with `num_features`.
        overwrite: Whether to replace a run that `out` already holds.
        profile: Whether to find out what the run spends its time on: said at its end, and written
            to `profile.json`.
        quiet: Whether to print nothing.
        **changes: `domain` (what kind of items; told from the data if not given), fields of
            `Recipe` (epochs, batch_size, optimizer, ...), of `Settings` (seed, device, precision,
            ...) and of `DataConfig` (key, test, test_fraction, ...). Words of
            `prescription={"rotate": "invariant"}` join those of the recipe.

    Raises:
        TwofoldError: For an unknown name or option, a wrong value, or data that cannot be read.

    Example:
        >>> run = pretrain("simclr", data=images, out="runs/b", epochs=5)  # doctest: +SKIP
        >>> run.encoder().embed(images).shape  # doctest: +SKIP
        (1000, 512)
    """
    domain = changes.pop("domain", None) or told(data)
    recipe = recipe_by_name(recipe, domain) if isinstance(recipe, str) else recipe
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
    whole = change(Config(recipe=recipe), changes)
    folder = Path(out)
    check_new(folder, overwrite=overwrite)
    opened = None if named else open_config(whole.data, whole.settings.seed, domain, data)
    with Console(quiet=quiet).profile(folder, on=profile):
        start(whole, folder, data=opened, backbone=backbone, overwrite=overwrite, quiet=quiet)
    return Run(folder, opened, backbone, recipe)


def resume(
    run: str | Path,
    *,
    data: Any = None,
    beside: Any = None,
    backbone: nn.Module | None = None,
    recipe: Recipe | None = None,
    quiet: bool = False,
) -> Run:
    """Goes on with a run that was stopped, to the same weights as if it never had been.

    Args:
        run: Folder of the run.
        data: The array, if the run was started with one.
        beside: The array of the other source, if two were aligned and it was one.
        backbone: A fresh network, if the run was started with one of the user's own.
        recipe: The recipe, if the run was started with one of the user's own.
        quiet: Whether to print nothing.
    """
    folder = Path(run)
    whole = load_config(folder / CONFIG, recipe)
    seed, domain = whole.settings.seed, whole.recipe.domain
    opened = None if data is None else open_config(whole.data, seed, domain, data)
    given: dict[str, Any] = {"data": opened, "backbone": backbone, "quiet": quiet}
    if beside is not None:
        if whole.aligning is None:
            raise TwofoldError(f"{folder} has one source; leave beside out")
        other = whole.aligning
        given["beside"] = open_config(other.data, seed, other.recipe.domain, beside)
    CARRY_ON[whole.command](whole, folder, **given)
    return Run(folder, opened, backbone, recipe)
