"""`twofold semisupervise`: pretrain, fine-tune on few labels, and distil to a small network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from twofold.arguments import check_name, check_source, domain_in, has, positional, required, take
from twofold.config import Config, DataConfig, Settings
from twofold.errors import TwofoldError
from twofold.flags import FLAT, parse
from twofold.folder import EVALUATION
from twofold.recipes import Recipe, recipe_by_name
from twofold.stages import PUBLISHED, Stages, load_stages
from twofold.tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class Semisupervise:
    """Pretrain an encoder, fine-tune it on few labels, and distil it to a smaller one."""

    recipe: Annotated[Recipe, FLAT]
    tuning: Annotated[Tuning, FLAT] = PUBLISHED
    student: str | None = None
    """The student's network; that of --distill.encoder if none. The large one is --encoder."""
    finetune: Recipe = field(default_factory=lambda: recipe_by_name("finetune"))
    """How encoders are fine-tuned."""
    distill: Recipe = field(default_factory=lambda: recipe_by_name("distill"))
    """How the student learns from the large one."""
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the stages; created, or gone on with if it holds the same."""


def main(args: list[str]) -> int:
    """Carries out the stages and prints what each reached; returns 130 if it was stopped."""
    if has(args, "--resume"):
        given, rest = take(args, "--resume")
        if rest:
            raise TwofoldError(f"--resume goes on as the stages began; found {rest[0]}")
        return _carry_out(load_stages(Path(given)), Path(given))
    name, args = positional(args, "RECIPE", "twofold semisupervise RECIPE --data D --out S")
    domain = domain_in(args)
    default = Semisupervise(
        recipe=recipe_by_name(name, domain),
        finetune=recipe_by_name("finetune", domain),
        distill=recipe_by_name("distill", domain),
    )
    flags = parse(Semisupervise, args, prog=f"twofold semisupervise {name}", default=default)
    for recipe, begun in (
        (flags.recipe, default.recipe),
        (flags.finetune, default.finetune),
        (flags.distill, default.distill),
    ):
        check_name(recipe, begun)
    check_source(flags.data)
    stages = Stages(
        whole=Config(
            recipe=flags.recipe, data=flags.data, settings=flags.settings, tuning=flags.tuning
        ),
        finetune=flags.finetune,
        distill=replace(flags.distill, encoder=flags.student or flags.distill.encoder),
    )
    return _carry_out(stages, required(flags.out, "--out", "the folder of the stages, e.g. runs/s"))


def _carry_out(stages: Stages, folder: Path) -> int:
    from twofold.semisupervision import carry_out, print_stages

    if not (found := carry_out(stages, folder)):
        return 130
    print_stages(found)
    print(folder / EVALUATION)
    return 0
