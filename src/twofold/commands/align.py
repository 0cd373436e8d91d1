"""`twofold align`: train two encoders on two sources of the same items."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from twofold.aligning import begun, side_by_side
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
from twofold.config import Aligning, Config, DataConfig, Settings
from twofold.flags import FLAT, parse
from twofold.folder import check_new
from twofold.recipes import Recipe

_BESIDE = tyro.conf.arg(name="beside")


@dataclass(frozen=True, kw_only=True)
class Align:
    """Train two encoders, each on one of two sources of the same items, to agree."""

    recipe: Annotated[Recipe, FLAT] = field(default_factory=lambda: begun("info_nce", "image"))
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    beside: str = ""
    """Another source of the same items, as --data: its row i shows what row i of --data shows."""
    temperature: float = Aligning.temperature
    """Divides the cosines between items of one source and of the other, > 0."""
    within: float = Aligning.within
    """Weight of what each learns from views of its own, >= 0, beside 1 for what both agree on."""
    beside_recipe: Annotated[Recipe, _BESIDE] = field(
        default_factory=lambda: begun("info_nce", "image")
    )
    beside_data: Annotated[DataConfig, _BESIDE] = field(default_factory=DataConfig)
    settings: Annotated[Settings, FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the run; created. The other encoder's is `beside` in it."""
    overwrite: bool = False
    """Replace a run that --out already holds."""
    profile: bool = False
    """Say at the end what the training spent its time on."""


def main(args: list[str]) -> int:
    """Aligns two sources and judges them; returns 130 if it was stopped before its end."""
    if has(args, "--resume"):
        return _join(*resumed(args, "align"))
    usage = "twofold align RECIPE --data D --beside E --out RUN"
    name, args = positional(args, "RECIPE", usage)
    recipe, other = begun(name, domain_in(args)), begun(name, _domain_beside(args))
    default = Align(recipe=recipe, beside_recipe=other)
    flags = parse(Align, args, prog=f"twofold align {name}", default=default)
    check_name(flags.recipe, recipe)
    check_source(flags.data)
    beside = replace(
        flags.beside_data,
        data=required(flags.beside, "--beside", "what else sees the items, as --data"),
    )
    check_source(beside)
    out = required(flags.out, "--out", "the folder of the run, e.g. runs/pair")
    check_new(out, overwrite=flags.overwrite)
    whole = side_by_side(
        Config(recipe=flags.recipe, data=flags.data, settings=flags.settings),
        flags.beside_recipe,
        beside,
        temperature=flags.temperature,
        within=flags.within,
    )
    return _join(whole, out, flags.overwrite, flags.profile)


def _domain_beside(args: list[str]) -> str:
    """The domain of the source beside, whose flags are those of any but for how they begin."""
    flags = {"--beside": "--data", "--beside.domain": "--domain"}
    given = ([name, *take(args, flag)[:1]] for flag, name in flags.items() if has(args, flag))
    return domain_in([part for pair in given for part in pair])


def _join(whole: Config, folder: Path, overwrite: bool = False, profile: bool = False) -> int:
    from twofold.alignment import join
    from twofold.display import Console, print_figures
    from twofold.folder import EVALUATION, read_evaluation

    with Console().profile(folder, on=profile):
        finished = join(whole, folder, overwrite=overwrite).finished
    if not finished:
        return 130
    found = read_evaluation(folder)
    print_figures({way: found[way] for way in ("forth", "back")})
    print(folder / EVALUATION)
    return 0
