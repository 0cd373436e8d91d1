"""`twofold preview`: the views, before paying for training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from twofold.arguments import check_source, domain_in, output, positional
from twofold.config import DataConfig
from twofold.flags import FLAT, parse
from twofold.recipes import Recipe, recipe_by_name


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Draw items, their views, and what was drawn for each."""

    recipe: Annotated[Recipe, FLAT]
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    out: Path | None = None
    """Picture to write, .png."""
    rows: int = 8
    """Items shown."""
    seed: int = 0
    """Seeds the draws."""


def main(args: list[str]) -> int:
    """Draws items, their views, and what was drawn for each."""
    name, args = positional(args, "RECIPE", "twofold preview RECIPE --data D --out PNG")
    default = Preview(recipe=recipe_by_name(name, domain_in(args)))
    flags = parse(Preview, args, prog=f"twofold preview {name}", default=default)
    check_source(flags.data)
    out = output(flags.out, ".png")

    from twofold.assembly import build_views, find_groups
    from twofold.domains.names import domain_by_name
    from twofold.launch import open_config
    from twofold.report import preview as draw

    kind = domain_by_name(flags.recipe.domain)
    source = open_config(flags.data, flags.seed, kind.name).train
    preprocess = kind.tools.measure(source.items, flags.recipe.input)
    views = build_views(flags.recipe, source, flags.seed)
    groups = find_groups(flags.recipe, source, views, flags.seed)
    draw(source, views, out, rows=flags.rows, preprocess=preprocess, groups=groups)
    print(out)
    return 0
