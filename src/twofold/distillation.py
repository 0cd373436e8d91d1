"""A student learns from a teacher: a network that was fine-tuned on labels, on items without."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from twofold.alignment import join
from twofold.assembly import (
    build_views,
    check_views,
    find_known,
    for_channels,
    new_network,
    with_batches,
    with_input,
)
from twofold.choice import Choice
from twofold.config import Config, Settings, change, heard, load_config
from twofold.display import Console
from twofold.distilling import Distilling, as_asked
from twofold.distributed import rank
from twofold.domains import Data, Source
from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.evaluate import accuracy
from twofold.finetuning import divide, head, judge, tune
from twofold.folder import (
    CONFIG,
    ENCODER,
    check_new,
    check_run,
    write_down,
)
from twofold.hardware import Hardware
from twofold.launch import conduct, in_trusted_precision, open_config, record, start
from twofold.method import Method
from twofold.monitor import Monitor
from twofold.objectives import Distill, Known
from twofold.recipes import Recipe, recipe_by_name
from twofold.renderers import with_renderer
from twofold.sharing import by_all, find_hardware
from twofold.train import Outcome
from twofold.tuned import Tuned, load_tuned


def distill(
    teacher: str | Path,
    *,
    student: str | None = None,
    data: Any = None,
    out: str | Path,
    recipe: str | Recipe = "distill",
    temperature: float | None = None,
    teacher_share: float | None = None,
    backbone: nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **changes: Any,
) -> Tuned:
    """Trains a network from random weights to answer as a fine-tuned one does.

    The student learns from the teacher's answers to all training items, without their labels, and
    may so become smaller than its teacher, or better. With a `teacher_share` below 1, the labels
    that the teacher had take part, and no other.

    Args:
        teacher: Folder of a run of `finetune` or `distill`.
        student: Name of the student's network; the recipe's (`resnet-small`) if None.
        data: A data name, a path, an array or `Data`; the teacher's own if None.
        out: Folder of the new run; created.
        recipe: Epochs, augmentations and optimiser: `distill`, or a `Recipe` whose objective is
            `Distill`.
        temperature: Divides the logits of both, > 0; the recipe's (1) if None.
        teacher_share: Share of the teacher in the loss, in [0, 1]; the recipe's (1) if None.
        backbone: The teacher's network, if its run trained one of the user's own.
        overwrite: Whether to replace a run that `out` already holds.
        quiet: Whether to print nothing.
        **changes: Fields of `Recipe`, `Settings` and `DataConfig`.

    Returns:
        The student with its head; its figures are in `out/evaluation.json` under `distill`.

    Raises:
        TwofoldError: For a wrong option, a teacher without a head, or data that it cannot read.

    Example:
        >>> student = distill("runs/tuned", out="runs/student", temperature=2)  # doctest: +SKIP
        >>> student.predict(images)  # doctest: +SKIP
        array([3, 0, 9])

    Reference: Chen et al., 2020, arXiv:2006.10029.
    """
    before = load_config(check_run(Path(teacher)) / CONFIG)
    if isinstance(recipe, str):
        recipe = recipe_by_name(recipe, before.recipe.domain)
    objectives = as_asked(recipe.objectives, temperature=temperature, teacher_share=teacher_share)
    whole = Config(
        recipe=replace(recipe, objectives=objectives, encoder=student or recipe.encoder),
        settings=Settings(seed=before.settings.seed),
        distilling=Distilling(teacher=str(teacher)),
    )
    if data is None:
        whole = replace(whole, data=before.data)
    named = data is None or isinstance(data, str | Path)
    if data is not None and named:
        changes["data"] = str(data)
    whole = change(whole, changes)
    folder = Path(out)
    check_new(folder, overwrite=overwrite)
    seed = whole.settings.seed
    opened = None if named else open_config(whole.data, seed, recipe.domain, data)
    teach(whole, folder, data=opened, backbone=backbone, overwrite=overwrite, quiet=quiet)
    return load_tuned(folder)


@by_all
def teach(
    whole: Config,
    folder: Path,
    *,
    data: Data | None = None,
    backbone: nn.Module | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Distils as `whole` says, from the newest checkpoint in `folder` if it has one.

    What student and teacher reach on the test items, and how often they agree, goes to
    `evaluation.json`.
    """
    console, settings, lessons = Console(quiet=quiet), whole.settings, _lessons(whole)
    teacher = load_tuned(check_run(lessons), backbone=backbone)
    preprocess, digest = teacher.encoder.preprocess, _digest(whole, teacher)
    wanted = heard(whole.data, asdict(preprocess))
    data = data or open_config(wanted, settings.seed, whole.recipe.domain)
    _check_items(whole, teacher, data)
    trained, labelled = replace(data.train, labels=None, label_names=()), None
    if _objective(whole.recipe).teacher_share < 1:
        trained, labelled = data.train, labels_had(lessons, data.train)

    hardware = find_hardware(whole)
    recipe = with_input(whole.recipe, lessons)
    recipe = replace(recipe, view_size=recipe.view_size or preprocess.size)
    recipe, remarks = with_batches(for_channels(recipe, trained.channels), len(trained))
    views = build_views(recipe, trained, settings.seed)
    torch.manual_seed(settings.seed)
    network, spec = new_network(recipe, preprocess)
    shapes = check_views(recipe, network, preprocess)
    hardware, doubts = in_trusted_precision(whole, hardware, network, shapes)
    hardware = with_renderer(whole, hardware, views, len(trained))
    whole = record(replace(whole, recipe=recipe), data, preprocess, hardware, recipe.encoder)
    labels = 0 if labelled is None else int(labelled.sum())
    whole = replace(whole, found={**whole.found, "teacher": digest, "labels": labels})

    student = Encoder(network, preprocess, spec)
    method = Method(
        network,
        recipe.learned,
        encode=recipe.encode,
        known=_known(find_known(recipe, trained, views), teacher, labelled, hardware),
    )
    outcome = conduct(
        whole,
        folder,
        method,
        data=data,
        trained=trained,
        views=views,
        preprocess=preprocess,
        hardware=hardware,
        monitor=Monitor(trained, None, views=views, preprocess=preprocess, hardware=hardware),
        choice=Choice(folder, "last"),
        remarks=(*remarks, *doubts, f"the teacher is {lessons}; {labels or 'no'} labels take part"),
        overwrite=overwrite,
        console=console,
    )
    if outcome.finished:
        taught = Tuned(student.eval(), head(method), label_names=teacher.label_names)
        if rank() == 0:
            student.save(folder / ENCODER)
            taught.save(folder)
        found = _judge(taught, teacher, data, whole)
        if rank() == 0:
            write_down(folder, {"distill": found})
    console.end(folder, outcome, command="distill")
    return outcome


CARRY_ON: dict[str, Callable[..., Outcome]] = {
    "pretrain": start,
    "finetune": tune,
    "distill": teach,
    "align": join,
}
"""What begins a run or goes on with it, by its command."""


def labels_had(run: Path, train: Source) -> np.ndarray:
    """Which items a teacher, or the first of its teachers, learned from with their labels.

    Args:
        run: Folder of the teacher.
        train: The items that it was trained on.

    Returns:
        Whether the label of each item was among them, bool `(n,)`.

    Raises:
        TwofoldError: If it was trained on other items.
    """
    whole = load_config(check_run(run) / CONFIG)
    if whole.distilling is not None:
        return labels_had(_lessons(whole), train)
    if whole.tuning is None or whole.found.get("fingerprint") != train.fingerprint():
        raise TwofoldError(
            f"labels take part if teacher_share is below 1, and {run} had none of those of "
            f"'{train.name}'; say 1, or distil on the data that it learned from"
        )
    chosen, _ = divide(train, replace(whole.tuning, held_out=0.0), whole.settings.seed)
    had = set(chosen.ids)
    return np.array([name in had for name in train.ids])


def _known(known: Known, teacher: Tuned, labelled: np.ndarray | None, hardware: Hardware) -> Known:
    """What is known of the items, with the teacher and what its answers are."""
    network = teacher.network.requires_grad_(False).eval()
    network.to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scale = {name: tuple(buffer.tolist()) for name, buffer in teacher.head.named_buffers()}
    answers: dict[str, Any] = {"classes": teacher.head[-1].out_features}
    if not teacher.classifies:
        answers = {"classes": 0, **{name: scale[name] for name in ("target_mean", "target_std")}}
    rows = None if labelled is None else torch.from_numpy(labelled)
    return replace(known, teacher=network, labelled=rows, **answers)


def _judge(student: Tuned, teacher: Tuned, data: Data, whole: Config) -> dict[str, Any]:
    """What both reach on the test items if their labels are what the teacher tells."""
    found: dict[str, Any] = {}
    test, objective = data.test, _objective(whole.recipe)
    device = find_hardware(whole).device
    own, taught = (network.outputs(test.items, device=device) for network in (student, teacher))
    words: dict[str, str] = {}
    if test.label_names == teacher.label_names and bool(test.classes) == teacher.classifies:
        figures, words = judge(own, test, whole.settings.seed)
        reached, _ = judge(taught, test, whole.settings.seed)
        found |= figures | {f"{name}_teacher": figure for name, figure in reached.items()}
    if teacher.classifies:
        found["agreement"] = accuracy(own.argmax(dim=1), taught.argmax(dim=1))
    found["protocol"] = {
        "teacher": str(_lessons(whole)),
        "temperature": objective.temperature,
        "teacher_share": objective.teacher_share,
        "labels": whole.found["labels"],
        **words,
        "data": data.name,
        "fingerprint": test.fingerprint(),
        "test_items": len(test),
        "seed": whole.settings.seed,
    }
    return found


def _objective(recipe: Recipe) -> Distill:
    """What the recipe learns, which is to answer as the teacher."""
    objectives = list(recipe.learned.values())
    if len(objectives) != 1 or not isinstance(objectives[0], Distill):
        kinds = ", ".join(type(objective).__name__ for objective in objectives)
        raise TwofoldError(
            f"objectives of {recipe.name} are {kinds}; a student learns from its teacher by "
            "Distill alone"
        )
    return objectives[0]


def _lessons(whole: Config) -> Path:
    """The teacher's folder."""
    assert whole.distilling is not None
    return Path(whole.distilling.teacher)


def _digest(whole: Config, teacher: Tuned) -> str:
    """Sixteen hex digits of the teacher's weights; refuses others than those it began with."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in teacher.network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    found, before = digest.hexdigest(), whole.found.get("teacher")
    if before not in (None, found):
        raise TwofoldError(
            f"the teacher {_lessons(whole)} has changed since the run began (digest {before}, now "
            f"{found}); a run goes on with the teacher it began with"
        )
    return found


def _check_items(whole: Config, teacher: Tuned, data: Data) -> None:
    """Refuses items that the teacher cannot read, and a split of its own items that is another."""
    channels = teacher.encoder.preprocess.channels
    if data.train.channels != channels:
        raise TwofoldError(
            f"items of '{data.name}' have {data.train.channels} channels, and this teacher reads "
            f"{channels}"
        )
    before = load_config(_lessons(whole) / CONFIG)
    other = before.found.get("fingerprint") != data.train.fingerprint()
    if whole.data.data and whole.data == before.data and other:
        raise TwofoldError(
            f"training items of '{data.name}' are not those of the teacher, so that it may have "
            f"learned from test items; give its --seed {before.settings.seed}, or name test items "
            "with --test"
        )
