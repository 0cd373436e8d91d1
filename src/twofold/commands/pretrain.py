"""`twofold pretrain`: train an encoder, or go on with a run that was stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from twofold.arguments import (
    check_name,
    check_source,
    domain_in,
    has,
    positional,
    required,
    resumed,
    take,
)
from twofold.config import Config, DataConfig, Settings, load_config
from twofold.flags import FLAT, parse
from twofold.folder import check_new
from twofold.recipes import Recipe, recipe_by_name


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Train an encoder."""

    recipe: Annotated[Recipe, FLAT]
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the run; created."""
    overwrite: bool = False
    """Replace a run that --out already holds."""
    profile: bool = False
    """Say at the end what the run spent its time on."""


def main(args: list[str]) -> int:
    """Trains an encoder; returns 130 if it was stopped before its end."""
    if has(args, "--resume"):
        return _train(*resumed(args, "pretrain"))
    if has(args, "--config"):
        path, args = take(args, "--config")
        begun = load_config(Path(path))
    else:
        name, args = positional(args, "RECIPE", "twofold pretrain RECIPE --data D --out RUN")
        begun = Config(recipe=recipe_by_name(name, domain_in(args)))
    default = Pretrain(recipe=begun.recipe, data=begun.data, settings=begun.settings)
    flags = parse(Pretrain, args, prog=f"twofold pretrain {begun.recipe.name}", default=default)
    check_name(flags.recipe, begun.recipe)
    check_source(flags.data)
    out = required(flags.out, "--out", "the folder of the run, e.g. runs/a")
    check_new(out, overwrite=flags.overwrite)
    whole = Config(recipe=flags.recipe, data=flags.data, settings=flags.settings)
    return _train(whole, out, flags.overwrite, flags.profile)


def _train(whole: Config, folder: Path, overwrite: bool = False, profile: bool = False) -> int:
    from twofold.display import Console
    from twofold.launch import start

    with Console().profile(folder, on=profile):
        return 0 if start(whole, folder, overwrite=overwrite).finished else 130
