"""The proof of a prescription: what an encoder keeps of every augmentation, and what it could."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from twofold.augment import Augmentation
from twofold.config import Config
from twofold.display import Console
from twofold.domains import Data
from twofold.domains.names import domain_by_name
from twofold.encoder import Encoder, load
from twofold.errors import TwofoldError, unknown
from twofold.evaluate.prescription import encode_unchanged, judge, noticeable, observe
from twofold.folder import ENCODER
from twofold.launch import start
from twofold.networks import build_encoder, check_reads
from twofold.objectives import Predict
from twofold.reading import FEATURES, Readings
from twofold.recipes import Recipe, simclr

CEILING_EPOCHS = 2
"""Epochs of an encoder that is trained to recover one augmentation alone."""


def prove(
    encoder: Encoder,
    data: Data,
    recipe: Recipe,
    *,
    words: Mapping[str, str],
    names: Sequence[str] = (),
    whole: Config | None = None,
    ceilings: Path | None = None,
    ceiling_epochs: int = CEILING_EPOCHS,
    device: str = "cpu",
    seed: int = 0,
    progress: Callable[[str], object] = lambda words: None,
) -> dict[str, Any]:
    """What every reading of an encoder keeps of each augmentation, with a verdict per word.

    Probes learn from training items and are judged on test items. Of each augmentation the ceiling
    is what the same probe reaches on the same kind of network trained to recover it and nothing
    else.

    Args:
        encoder: With its routes, and the projector if it is at hand.
        data: Training and test items; labels are not used.
        recipe: How augmentations draw, and what a ceiling's network is.
        words: What was prescribed, by name; empty for an encoder that nobody prescribed anything.
        names: Augmentations to look at; those with a word other than `off`, or all, if none.
        whole: The run's settings, under which ceilings are trained; None for no ceilings.
        ceilings: Folder in which their runs are kept; one that is there is not trained again.
        ceiling_epochs: Epochs of each; 0 for no ceilings.
        device: Where to compute.
        seed: Of draws and probes.
        progress: Called with a few words on what is being done.

    Returns:
        `augmentations`: for each its `word`, `ceiling` and `readings`, which hold the evidence and
        the verdict of each layer and route; and the `protocol`. Ready for JSON.

    Raises:
        TwofoldError: If a name is unknown or changes nothing in these items.
    """
    chosen = _chosen(recipe, words, names, data.train.channels)
    readings = encoder.readings.eval()
    items = (data.train.items, data.test.items, encoder.preprocess)
    progress("embeddings of items as they are")
    unchanged = encode_unchanged(readings, *items, device=device)
    found: dict[str, Any] = {}
    for name, augmentation in chosen.items():
        progress(f"{name}: what embeddings tell of it")
        seen = observe(
            readings, (name, augmentation), *items, unchanged=unchanged, seed=seed, device=device
        )
        ceiling = None
        if whole is not None and ceiling_epochs:
            progress(f"{name}: what an encoder trained for it alone tells")
            best = _trained_for(name, whole, data, ceilings, ceiling_epochs)
            alone = Readings(best.backbone).eval()
            ceiling = observe(alone, (name, augmentation), *items, seed=seed, device=device)
        reached = ceiling[FEATURES]["decoded"] if ceiling else None
        values = [one["decoded"]["value"] for one in seen.values()]
        top = 1.0 if reached is None else max(reached["value"], *values)
        word = words.get(name)
        found[name] = {
            "word": word,
            "ceiling": reached,
            "top": top,
            "readings": {
                reading: {**one, "verdict": judge(one, word, ceiling=top)}
                for reading, one in seen.items()
            },
            "judged_on": _decisive(word, tuple(seen)),
        }
    return {"augmentations": found, "protocol": {"seed": seed, "ceiling_epochs": ceiling_epochs}}


def prove_by_name(
    name: str,
    data: Data,
    *,
    names: Sequence[str] = (),
    pretrained: bool = False,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """What an encoder keeps that no run of ours trained; shares are of the way from chance to 1.

    Args:
        name: Of the encoder, as of `build_encoder`.
        data: Training and test items.
        names: Augmentations to look at, drawn as they are by default; all if none.
        pretrained: Whether to fetch published weights; random ones otherwise.
        seed: Of random weights, draws and probes.
        quiet: Whether to print nothing.
    """
    kind = domain_by_name(data.train.domain)
    preprocess = kind.tools.measure(data.train.items)
    torch.manual_seed(seed)
    channels, rows, size = preprocess.read_shape()
    backbone = build_encoder(
        name, channels=channels, rows=rows, image_size=size, pretrained=pretrained
    )
    check_reads(backbone, (channels, rows, size))
    encoder = Encoder(backbone.eval(), preprocess)
    with Console(quiet=quiet).task("proving") as progress:
        recipe = simclr(kind.name)
        return prove(encoder, data, recipe, words={}, names=names, seed=seed, progress=progress)


def _chosen(
    recipe: Recipe, words: Mapping[str, str], names: Sequence[str], channels: int
) -> dict[str, Augmentation]:
    for name in names:
        if name not in recipe.augmentations:
            raise unknown("augmentation", name, recipe.augmentations)
    drawn = [name for name, word in words.items() if word != "off"]
    chosen = {
        name: suited
        for name in names or drawn or recipe.augmentations
        if (suited := recipe.augmentations[name].for_channels(channels)) is not None
    }
    for name in names:
        if name not in chosen:
            raise TwofoldError(
                f"{name} changes nothing in {domain_by_name(recipe.domain).items} of {channels} "
                f"channel{'s' if channels > 1 else ''}; leave it out"
            )
    return chosen


def _decisive(word: str | None, readings: tuple[str, ...]) -> str:
    """The reading that a word is about."""
    return "sensitive" if word in {"sensitive", "both"} and "sensitive" in readings else readings[0]


def _trained_for(name: str, whole: Config, data: Data, folder: Path | None, epochs: int) -> Encoder:
    """The encoder of a run that learned to recover one augmentation, trained now or before."""
    drawn = noticeable(whole.recipe.augmentations[name])
    recipe = replace(
        whole.recipe,
        objectives={"predict": Predict(name, views=(0,), route="invariant")},
        prescription={name: "both"},
        augmentations={**whole.recipe.augmentations, name: drawn},
        positives="augmentations",
        asymmetry={},
        repeats={},
        select="each",
        num_views=1,
        small_views=0,
        weights={},
        adapters="none",
        epochs=epochs,
        choose="last",
        early_resolution=1.0,
    )
    settings = replace(whole.settings, monitor_every=epochs, track=())
    with tempfile.TemporaryDirectory() as temporary:
        place = (folder or Path(temporary)) / f"{name}-{epochs}"
        if not (place / ENCODER).exists():
            alone = Config(recipe=recipe, data=whole.data, settings=settings)
            start(alone, place, data=data, overwrite=True, quiet=True)
        return load(place)
