"""SimCLRv2 from end to end: pretrained large, tuned on few labels, distilled to a small network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table

from twofold.config import Config, change, load_config
from twofold.display import Console
from twofold.distillation import CARRY_ON
from twofold.domains import Data
from twofold.domains.names import told
from twofold.encoder import load
from twofold.errors import TwofoldError
from twofold.evaluate import evaluate
from twofold.evaluate.metrics import spell
from twofold.finetuning import divide
from twofold.folder import CONFIG, ENCODER, read_evaluation, write_down
from twofold.hardware import detect
from twofold.launch import open_config
from twofold.recipes import Recipe, recipe_by_name
from twofold.stages import PUBLISHED, STAGES, Stages

ROWS = {
    "accuracy_linear": "pretrained, linear probe",
    "accuracy_finetune": "pretrained, fine-tuned",
    "accuracy_scratch": "from random weights",
    "accuracy_distill": "distilled",
    "accuracy_direct": "pretrained, fine-tuned",
    "accuracy_direct_scratch": "from random weights",
}
"""Each figure, and what was done to the network that it is of."""


def semisupervise(
    recipe: str | Recipe = "simclr_v2",
    *,
    data: Any,
    out: str | Path,
    student: str | None = None,
    finetune: str | Recipe = "finetune",
    distill: str | Recipe = "distill",
    quiet: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Pretrains a network, fine-tunes it on few labels, and distils it to a smaller one.

    All three learn from the same training items; labels are those that `label_fraction` or
    `labels_per_class` draw. For comparison, the student's network is pretrained by the same recipe
    and fine-tuned on the same labels by itself, both are trained on them from random weights, and
    a linear probe reads the pretrained encoder. The same call again goes on where the last one
    stopped.

    Args:
        recipe: How the large network is pretrained: a name from `RECIPES`, or a `Recipe`.
        data: A data name, a path, an array or `Data`; it must have classes.
        out: Folder of the stages; each is a run in a folder below.
        student: Name of the student's network; that of `distill` (`resnet-small`) if None.
        finetune: Epochs, augmentations and optimiser of the fine-tuning.
        distill: The same of the distillation, with its temperature and the share of the labels.
        quiet: Whether to print nothing.
        **changes: Fields of the pretraining `Recipe` (encoder, epochs, ...), of `Tuning`
            (label_fraction, labels_per_class, layer, ...), `Settings` and `DataConfig`.

    Returns:
        The accuracy of every stage on the test items, as in `out/evaluation.json` under
        `semisupervise`; nothing if it was stopped.

    Raises:
        TwofoldError: For a wrong option, data without classes, or a folder of something else.

    Example:
        >>> found = semisupervise(
        ...     "simclr_v2", data="fashion-mnist", out="runs/s", label_fraction=0.01
        ... )  # doctest: +SKIP
        >>> found["accuracy_distill"]["value"] > found["accuracy_direct"]["value"]  # doctest: +SKIP
        True

    Reference: Chen et al., 2020, arXiv:2006.10029.
    """
    named = isinstance(data, str | Path)
    if named:
        changes["data"] = str(data)
    domain = changes.pop("domain", None) or told(data)
    recipe, tuned, taught = (
        recipe_by_name(one, domain) if isinstance(one, str) else one
        for one in (recipe, finetune, distill)
    )
    stages = Stages(
        whole=change(Config(recipe=recipe, tuning=PUBLISHED), changes),
        finetune=tuned,
        distill=replace(taught, encoder=student or taught.encoder),
    )
    config = stages.whole
    opened = None if named else open_config(config.data, config.settings.seed, domain, data)
    return carry_out(stages, Path(out), data=opened, quiet=quiet)


def carry_out(
    stages: Stages, folder: Path, *, data: Data | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Trains what `folder` lacks of the stages, and judges them on the test items.

    Args:
        stages: What is trained from what.
        folder: Where; one that holds a part of the same stages is gone on with.
        data: The items, if the plan names none.
        quiet: Whether to print nothing.

    Returns:
        As `semisupervise`.
    """
    if folder.exists() and not (folder / STAGES).exists() and any(folder.iterdir()):
        raise TwofoldError(f"{folder} is not empty and holds no stages; choose another --out")
    if data is None:
        whole = stages.whole
        data = open_config(whole.data, whole.settings.seed, whole.recipe.domain)
    labelled = _labelled(stages, data)
    stages.save(folder)
    console = Console(quiet=quiet)
    for name, planned in stages.runs(folder).items():
        if not _is_done(planned, folder / name) and not _go_on(planned, folder / name, data, quiet):
            console.notes([f"all stages go on with `twofold semisupervise --resume {folder}`"])
            return {}
    with console.task("linear probe of the pretrained encoder"):
        found = _figures(stages, folder, labelled)
    protocol = {
        "label_fraction": stages.tuning.label_fraction,
        "labels_per_class": stages.tuning.labels_per_class,
        "labels": len(labelled.train),
        "data": data.name,
        "fingerprint": data.test.fingerprint(),
        "test_items": len(data.test),
        "seed": stages.whole.settings.seed,
    }
    write_down(folder, {"semisupervise": {**found, "protocol": protocol}})
    return found


def print_stages(figures: Mapping[str, Any]) -> None:
    """A table of what every stage reached, on standard output."""
    table = Table("network", "trained", "accuracy", "95 % interval", box=None)
    for name, figure in figures.items():
        table.add_row(figure["network"], ROWS[name], *spell(name, figure))
    RichConsole(highlight=False).print(table)


def _labelled(stages: Stages, data: Data) -> Data:
    """The data as a probe sees them: with the labels that there are, and no other."""
    chosen, _ = divide(data.train, replace(stages.tuning, held_out=0.0), stages.whole.settings.seed)
    if not chosen.classes:
        raise TwofoldError(
            f"labels of '{data.train.name}' are numbers; stages are compared by their accuracy, "
            "so they need classes"
        )
    return replace(data, train=chosen)


def _is_done(planned: Config, run: Path) -> bool:
    """Whether a run is finished and judged."""
    if planned.tuning is None and planned.distilling is None:
        return (run / ENCODER).exists()
    return ("finetune" if planned.tuning else "distill") in read_evaluation(run)


def _go_on(planned: Config, run: Path, data: Data, quiet: bool) -> bool:
    """Begins a run, or goes on with it; returns whether it came to its end."""
    begun = (run / CONFIG).exists()
    whole = load_config(run / CONFIG, planned.recipe) if begun else planned
    return CARRY_ON[whole.command](whole, run, data=data, quiet=quiet).finished


def _figures(stages: Stages, folder: Path, labelled: Data) -> dict[str, Any]:
    """The accuracy of every stage, and of which network it is."""
    large, small = stages.networks
    tuned = read_evaluation(folder / "finetune")["finetune"]
    direct = read_evaluation(folder / "direct").get("finetune")
    found = {
        "accuracy_linear": (large, _linear(stages, folder / "pretrain", labelled)),
        "accuracy_finetune": (large, tuned["accuracy"]),
        "accuracy_scratch": (large, tuned["accuracy_baseline"]),
        "accuracy_distill": (small, read_evaluation(folder / "distill")["distill"]["accuracy"]),
    }
    if direct is not None:
        found["accuracy_direct"] = small, direct["accuracy"]
        found["accuracy_direct_scratch"] = small, direct["accuracy_baseline"]
    return {name: {**figure, "network": network} for name, (network, figure) in found.items()}


def _linear(stages: Stages, run: Path, labelled: Data) -> dict[str, Any]:
    """The accuracy of a linear probe that has the same labels."""
    encoder, settings = load(run), stages.whole.settings
    evaluation = evaluate(
        encoder.reading(),
        labelled,
        encoder.preprocess,
        raw=False,
        seed=settings.seed,
        probes=["linear"],
        device=detect(device=settings.device).device,
    )
    figure: dict[str, Any] = evaluation.figures["linear"]["accuracy"]
    return figure
