"""An encoder with the head that it was fine-tuned with: items in, classes or numbers out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twofold.checkpoint import load_tensors, save_tensors
from twofold.domains import Source
from twofold.encoder import Encoder, load
from twofold.errors import TwofoldError
from twofold.evaluate.features import features
from twofold.folder import CONFIG, HEAD, write_atomically
from twofold.items import Items
from twofold.networks import mlp, mlp_arguments
from twofold.reading import FEATURES


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned encoder and its head.

    Example:
        >>> tuned = load_tuned("runs/tuned")  # doctest: +SKIP
        >>> tuned.predict(images)  # doctest: +SKIP
        array([3, 0, 9])
    """

    encoder: Encoder
    """With its preprocessing."""
    head: nn.Sequential
    """From what is read of the encoder to logits `(batch, classes)`, or to standardised targets,
    whose `target_mean` and `target_std` it holds."""
    layer: str = FEATURES
    """What the head reads."""
    label_names: tuple[str, ...] = ()
    """Name of each class; none if numbers are regressed."""

    @property
    def classifies(self) -> bool:
        """Whether it tells classes; it regresses numbers otherwise."""
        return not hasattr(self.head, "target_mean")

    @property
    def network(self) -> nn.Sequential:
        """From preprocessed items to logits, or to standardised targets."""
        return nn.Sequential(self.encoder.reading(layer=self.layer), self.head)

    def outputs(
        self,
        items: Items | Tensor,
        *,
        batch_size: int = 512,
        device: str = "cpu",
        precision: str = "float32",
    ) -> Tensor:
        """Logits `(n, classes)`, or targets in their units `(n, targets)`, of items as stored."""
        found = features(
            self.network,
            self.encoder.preprocess.stored(items),
            self.encoder.preprocess,
            batch_size=batch_size,
            device=device,
            precision=precision,
        )
        if self.classifies:
            return found
        std, mean = self.head.get_buffer("target_std"), self.head.get_buffer("target_mean")
        return found * std.to(found) + mean.to(found)

    def predict(self, items: Items | Tensor, **how: Any) -> np.ndarray:
        """The class of each item `(n,)`, or its numbers `(n,)` or `(n, targets)`.

        Args:
            items: As stored, in the range and type of the training data.
            **how: `batch_size`, `device` and `precision`, as of `outputs`.
        """
        found = self.outputs(items, **how)
        if self.classifies:
            return found.argmax(dim=1).numpy()
        return (found[:, 0] if found.shape[1] == 1 else found).numpy()

    def probabilities(self, items: Items | Tensor, **how: Any) -> np.ndarray:
        """The probability of each class `(n, classes)`.

        Raises:
            TwofoldError: If it regresses numbers.
        """
        if not self.classifies:
            raise TwofoldError("this network regresses numbers; use predict")
        return torch.softmax(self.outputs(items, **how), dim=1).numpy()

    def save(self, folder: Path) -> None:
        """Writes the head beside the encoder's file in a run folder."""
        facts = {
            "mlp": mlp_arguments(self.head),
            "layer": self.layer,
            "label_names": list(self.label_names),
        }
        save_tensors(folder / HEAD, self.head.state_dict(), facts)


def load_tuned(run: str | Path, *, backbone: nn.Module | None = None) -> Tuned:
    """The fine-tuned network of a run.

    Args:
        run: Folder of a run of `twofold finetune` or `twofold distill`.
        backbone: The network, if it is one of the user's own.

    Raises:
        TwofoldError: If the run has no head, or a file is damaged.
    """
    folder = Path(run)
    if (folder / CONFIG).exists() and not (folder / HEAD).exists():
        raise TwofoldError(
            f"{folder} has no head that tells classes or numbers; give it one with "
            f"`twofold finetune {folder} --data D --out F`"
        )
    tensors, facts = load_tensors(folder / HEAD)
    shape = dict(facts["mlp"])
    head = mlp(*shape.pop("widths"), **shape)
    for name in ("target_mean", "target_std"):
        if name in tensors:
            head.register_buffer(name, torch.empty_like(tensors[name]))
    head.load_state_dict(tensors)
    names = tuple(facts["label_names"])
    return Tuned(load(folder, backbone=backbone), head.eval(), facts["layer"], names)


def write_predictions(
    tuned: Tuned, sources: Sequence[Source], out: Path, *, device: str = "cpu"
) -> int:
    """Writes id and prediction of every item as CSV, and returns how many there are.

    A class goes by its name, its probability beside it; of several numbers each has a column.

    Args:
        tuned: The network.
        sources: The items.
        out: The file; replaced when all of it is there.
        device: Where to compute.
    """
    rows: list[tuple[Any, ...]] = []
    head: tuple[str, ...] = ("id", "prediction")
    for source in sources:
        if tuned.classifies:
            shares = tuned.probabilities(source.items, device=device)
            names = tuned.label_names or tuple(map(str, range(shares.shape[1])))
            head = ("id", "prediction", "probability")
            columns = [[names[best] for best in shares.argmax(axis=1)], shares.max(axis=1)]
        else:
            numbers = tuned.predict(source.items, device=device)
            columns = [numbers] if numbers.ndim == 1 else list(numbers.T)
            if len(columns) > 1:
                head = ("id", *(f"prediction_{number}" for number in range(len(columns))))
        rows += zip(source.ids, *columns, strict=True)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([head, *rows])
    write_atomically(out, text.getvalue().encode("utf-8", "surrogateescape"))
    return len(rows)
