"""`twofold distill`: teach a network what a fine-tuned one has learned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from twofold.arguments import changed, check_name, check_source, has, positional, required, resumed
from twofold.config import Config, DataConfig, Settings, load_config
from twofold.distilling import Distilling, as_asked
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, check_new, check_run
from twofold.recipes import Recipe, recipe_by_name


@dataclass(frozen=True, kw_only=True)
class Distill:
    """Train a network from random weights to answer as a fine-tuned one does."""

    student: str | None = None
    """The student's network; that of --encoder if none."""
    temperature: float | None = None
    """Divides the logits of both networks, > 0; the recipe's if none."""
    teacher_share: float | None = None
    """Share of the teacher in the loss, in [0, 1]; the recipe's if none. The rest is that of the
    labels that the teacher had."""
    recipe: Annotated[Recipe, FLAT] = field(default_factory=lambda: recipe_by_name("distill"))
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    settings: Annotated[Settings, FLAT] = field(default_factory=Settings)
    out: Path | None = None
    """Folder of the new run; created."""
    overwrite: bool = False
    """Replace a run that --out already holds."""
    profile: bool = False
    """Say at the end what the training spent its time on."""


def main(args: list[str]) -> int:
    """Distils a teacher and judges the student; returns 130 if it was stopped before its end."""
    if has(args, "--resume"):
        return _teach(*resumed(args, "distill"))
    given, args = positional(args, "TEACHER", "twofold distill TEACHER --data D --out F")
    before = load_config(check_run(Path(given)) / CONFIG)
    recipe = recipe_by_name("distill", before.recipe.domain)
    taught = Distill(recipe=recipe, settings=Settings(seed=before.settings.seed))
    flags = parse(Distill, args, prog="twofold distill TEACHER", default=taught)
    check_name(flags.recipe, taught.recipe)
    data = flags.data if flags.data.data else changed(before.data, flags.data)
    check_source(data)
    out = required(flags.out, "--out", "the folder of the new run, e.g. runs/student")
    check_new(out, overwrite=flags.overwrite)
    objectives = as_asked(
        flags.recipe.objectives, temperature=flags.temperature, teacher_share=flags.teacher_share
    )
    network = flags.student or flags.recipe.encoder
    whole = Config(
        recipe=replace(flags.recipe, objectives=objectives, encoder=network),
        data=data,
        settings=flags.settings,
        distilling=Distilling(teacher=given),
    )
    return _teach(whole, out, flags.overwrite, flags.profile)


def _teach(whole: Config, folder: Path, overwrite: bool = False, profile: bool = False) -> int:
    from twofold.display import Console, print_reached
    from twofold.distillation import teach

    with Console().profile(folder, on=profile):
        finished = teach(whole, folder, overwrite=overwrite).finished
    if not finished:
        return 130
    print_reached(folder, "distill")
    return 0
