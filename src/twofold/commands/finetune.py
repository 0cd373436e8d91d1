"""`twofold finetune`: labels for an encoder that is already trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from twofold.arguments import changed, check_name, check_source, has, positional, required, resumed
from twofold.config import Config, DataConfig, Settings, load_config
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, check_new, check_run
from twofold.recipes import Recipe, recipe_by_name
from twofold.tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Fine-tune an encoder on labels."""

    recipe: Annotated[Recipe, FLAT] = field(default_factory=lambda: recipe_by_name("finetune"))
    tuning: Annotated[Tuning, FLAT] = field(default_factory=Tuning)
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the new run; created."""
    overwrite: bool = False
    """Replace a run that --out already holds."""
    profile: bool = False
    """Say at the end what the training spent its time on."""


def main(args: list[str]) -> int:
    """Fine-tunes an encoder and judges it; returns 130 if it was stopped before its end."""
    if has(args, "--resume"):
        return _tune(*resumed(args, "finetune"))
    given, args = positional(args, "RUN", "twofold finetune RUN --data D --out F")
    before = load_config(check_run(Path(given)) / CONFIG)
    recipe = recipe_by_name("finetune", before.recipe.domain)
    tuned = Finetune(recipe=recipe, tuning=Tuning(start=given))
    flags = parse(Finetune, args, prog="twofold finetune RUN", default=tuned)
    check_name(flags.recipe, tuned.recipe)
    data = flags.data if flags.data.data else changed(before.data, flags.data)
    check_source(data)
    out = required(flags.out, "--out", "the folder of the new run, e.g. runs/tuned")
    check_new(out, overwrite=flags.overwrite)
    whole = Config(recipe=flags.recipe, data=data, settings=flags.settings, tuning=flags.tuning)
    whole = replace(whole, tuning=replace(flags.tuning, start=given))
    return _tune(whole, out, flags.overwrite, flags.profile)


def _tune(whole: Config, folder: Path, overwrite: bool = False, profile: bool = False) -> int:
    from twofold.display import Console, print_reached
    from twofold.finetuning import tune

    with Console().profile(folder, on=profile):
        finished = tune(whole, folder, overwrite=overwrite).finished
    if not finished:
        return 130
    print_reached(folder, "finetune")
    return 0
