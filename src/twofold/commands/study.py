"""`twofold study`: a grid over any fields and seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from twofold.arguments import check_name, check_source, domain_in, has, positional, required, take
from twofold.config import Config, DataConfig, Settings
from twofold.errors import TwofoldError
from twofold.flags import FLAT, parse
from twofold.recipes import Recipe, recipe_by_name
from twofold.studies.plan import Plan, load_plan, parse_grid


@dataclass(frozen=True, kw_only=True)
class Study:
    """Train a grid, judge every run on held-out training items, and compare."""

    recipe: Annotated[Recipe, FLAT]
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the study; created."""
    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """field=value,value,... of any field below; may be given several times."""
    compose: tuple[str, ...] = ()
    """Augmentations, each tried alone and with each other; jitter stands for all four of colour."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of every combination; intervals are over them."""
    judge: Literal["held-out", "test"] = "held-out"
    """Items to judge on; test is for final figures."""


def main(args: list[str]) -> int:
    """Trains a grid and prints its rows, the best first."""
    if has(args, "--resume"):
        given, rest = take(args, "--resume")
        if rest:
            raise TwofoldError(f"--resume goes on as the study began; found {rest[0]}")
        folder, plan = Path(given), load_plan(Path(given))
    else:
        name, args = positional(args, "RECIPE", "twofold study RECIPE --data D --out FOLDER")
        default = Study(recipe=recipe_by_name(name, domain_in(args)))
        flags = parse(Study, args, prog=f"twofold study {name}", default=default)
        check_name(flags.recipe, default.recipe)
        check_source(flags.data)
        folder = required(flags.out, "--out", "the folder of the study, e.g. runs/temperature")
        plan = Plan(
            whole=Config(recipe=flags.recipe, data=flags.data, settings=flags.settings),
            grid=parse_grid(flags.grid),
            compose=flags.compose,
            seeds=flags.seeds,
            judge=flags.judge,
        )

    from twofold.studies import carry_out

    carry_out(plan, folder).print()
    return 0
