"""Pretraining, fine-tuning on few labels and distillation in one plan. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from twofold.config import Config, from_plain, to_plain
from twofold.distilling import Distilling
from twofold.errors import TwofoldError, unknown
from twofold.folder import flattened, write_atomically
from twofold.objectives import Distill, Supervised
from twofold.plain import plain_from_yaml
from twofold.recipes import Recipe, recipe_by_name
from twofold.tuning import Tuning

STAGES = "semisupervise.yaml"
PUBLISHED = Tuning(layer="projector.1", held_out=0.0)
"""SimCLRv2's fine-tuning: from the first layer of the head that was trained with the encoder, to
the last epoch, with all labels to learn from; a few held out would choose an epoch by chance."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What is trained from what, before anything is trained.

    Example:
        >>> tuning = replace(PUBLISHED, label_fraction=0.01)
        >>> stages = Stages(whole=Config(recipe=recipe_by_name("simclr_v2"), tuning=tuning))
        >>> list(stages.runs(Path("runs/s")))
        ['pretrain', 'finetune', 'distill', 'pretrain_student', 'direct']
        >>> stages.runs(Path("runs/s"))["distill"].distilling.teacher
        'runs/s/finetune'
    """

    whole: Config
    """How the large encoder is pretrained, on which data, and which labels there are."""
    finetune: Recipe = field(default_factory=lambda: recipe_by_name("finetune"))
    """How encoders are fine-tuned on those labels."""
    distill: Recipe = field(default_factory=lambda: recipe_by_name("distill"))
    """How the student learns from the large one, and which network it is."""

    def __post_init__(self) -> None:
        if self.tuning.start or self.tuning.scratch:
            raise TwofoldError(
                "the stages themselves say what fine-tuning begins with; leave out start and "
                "scratch"
            )
        for recipe, kind in ((self.finetune, Supervised), (self.distill, Distill)):
            for name, objective in recipe.learned.items():
                if not isinstance(objective, kind):
                    raise TwofoldError(
                        f"objective {name!r} of {recipe.name} is a {type(objective).__name__}; "
                        f"this stage learns by {kind.__name__} alone"
                    )
        depths = [
            len(getattr(objective, "projector", ()))
            for objective in self.whole.recipe.learned.values()
        ]
        layers = ["features", *(f"projector.{number + 1}" for number in range(max(depths)))]
        if self.tuning.layer not in layers:
            raise unknown(f"layer of {self.whole.recipe.name}", self.tuning.layer, layers)

    @property
    def tuning(self) -> Tuning:
        """Which labels there are, and what moves while they are learned."""
        assert self.whole.tuning is not None
        return self.whole.tuning

    @property
    def networks(self) -> tuple[str, str]:
        """The large network and the student's, in words."""
        return _network(self.whole.recipe), _network(self.distill)

    def runs(self, folder: Path) -> dict[str, Config]:
        """Each run by its folder below `folder`, in the order in which they are made.

        The student's network is also pretrained and fine-tuned by itself, to be compared with,
        unless it is the large one.
        """
        pretrain, student = replace(self.whole, tuning=None), self.distill
        lessons = Distilling(teacher=str(folder / "finetune"))
        runs = {
            "pretrain": pretrain,
            "finetune": self._tuned(folder / "pretrain"),
            "distill": replace(pretrain, recipe=student, distilling=lessons),
        }
        recipe = replace(
            pretrain.recipe, encoder=student.encoder, width=student.width, stem=student.stem
        )
        if recipe != pretrain.recipe:
            runs["pretrain_student"] = replace(pretrain, recipe=recipe)
            runs["direct"] = self._tuned(folder / "pretrain_student")
        return runs

    def _tuned(self, start: Path) -> Config:
        tuning = replace(self.tuning, start=str(start), scratch=False, baseline=True)
        return replace(self.whole, recipe=self.finetune, tuning=tuning)

    def save(self, folder: Path) -> None:
        """Writes `semisupervise.yaml`; refuses a folder that holds other stages.

        Raises:
            TwofoldError: With the first thing that differs.
        """
        plain = to_plain(self)
        if (folder / STAGES).exists():
            before, now = dict(flattened(_read(folder))), dict(flattened(plain))
            for key in [*before, *now]:
                there, here = before.get(key, "absent"), now.get(key, "absent")
                if there != here:
                    raise TwofoldError(
                        f"{folder} holds other stages: {key.removeprefix('whole.')} is {there} "
                        f"there and {here} here; choose another --out, or go on with "
                        f"`twofold semisupervise --resume {folder}`"
                    )
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        write_atomically(folder / STAGES, text.encode())


def load_stages(folder: Path) -> Stages:
    """Reads the `semisupervise.yaml` of a folder back.

    Raises:
        TwofoldError: If there is none, or it cannot be read.
    """
    plain = _read(folder)
    try:
        domain = plain["whole"]["recipe"]["domain"]
        recipe, tuned, taught = (
            recipe_by_name(part["name"], domain)
            for part in (plain["whole"]["recipe"], plain["finetune"], plain["distill"])
        )
        begun = Stages(whole=Config(recipe=recipe, tuning=Tuning()), finetune=tuned, distill=taught)
    except (KeyError, TypeError):
        raise TwofoldError(f"{folder / STAGES} describes no stages; begin them again") from None
    stages: Stages = from_plain(begun, plain)
    return stages


def _read(folder: Path) -> Any:
    path = folder / STAGES
    try:
        return plain_from_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TwofoldError(f"{folder} has no {STAGES}; it holds no stages to go on with") from None
    except ValueError:
        raise TwofoldError(f"{path} is no valid YAML; begin the stages in another folder") from None


def _network(recipe: Recipe) -> str:
    return recipe.encoder + (f", width {recipe.width:g}" if recipe.width != 1 else "")
