"""The evaluation of an encoder: probes of its frozen features beside what they have to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from twofold.domains import Data, Source
from twofold.errors import TwofoldError, unknown
from twofold.evaluate.features import Prepare, features
from twofold.evaluate.intervals import accuracy
from twofold.evaluate.knn import knn, neighbours
from twofold.evaluate.linear import L2_GRID, linear_probe
from twofold.preprocess import Preprocess, resize

PROBES = ("knn", "linear")
RAW_SIZE = 32
"""Height and width in pixels above which raw input is shrunk for its baseline."""

_QUERIES, _NEIGHBOURS, _MAP_ITEMS = 48, 8, 1500


class Evaluation(NamedTuple):
    """What an evaluation found."""

    figures: dict[str, dict[str, Any]]
    """For each probe `accuracy`, `accuracy_raw` and `accuracy_untrained`, each with `value`,
    `ci95`, `n` and what the probe chose (`l2`), and the `protocol` behind them. Ready for JSON."""
    artefacts: dict[str, np.ndarray]
    """Arrays that a report draws: those of `picture`, and `predictions` of the kNN."""


def evaluate(
    encoder: nn.Module,
    data: Data,
    preprocess: Preprocess,
    *,
    untrained: nn.Module,
    seed: int = 0,
    probes: Sequence[str] = PROBES,
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 512,
    precision: str = "float32",
    device: torch.device | str | None = None,
    progress: Callable[[str], object] | None = None,
) -> Evaluation:
    """Probe frozen features on the test items, beside raw input and the untrained network.

    Each probe learns from the training items alone, choices included, and meets the test labels
    once: when its predictions are counted. All three inputs go through the same code.

    Args:
        encoder: Maps preprocessed items to features `(batch, num_features)`.
        data: Labelled training and test items.
        preprocess: From stored items to what the encoder reads.
        untrained: The same network before training.
        seed: Chooses held-out training items and the items that are drawn.
        probes: Which of `knn` and `linear`.
        k: Neighbours that vote.
        temperature: How much more the nearer neighbours count, > 0.
        batch_size: Items encoded at a time.
        precision: `float32` or `bf16`, of the encoder; probes compute in float32.
        device: Where to compute; where the encoder is if None.
        progress: Called with a few words on what is being done.

    Returns:
        Figures with their protocol, and arrays for a report.

    Raises:
        TwofoldError: If the data has no labels, a probe is unknown or an option does not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def part(n):
        ...     labels = rng.integers(0, 2, n)
        ...     items = np.tile((255 * labels).astype(np.uint8)[:, None, None, None], (1, 1, 4, 4))
        ...     items[:, 0, 0, 0] = 128
        ...     return Source(name="toy", items=items, ids=list(map(str, range(n))), labels=labels)
        >>> data = Data(name="toy", train=part(60), test=part(20), note="black or white")
        >>> scale = Preprocess(low=0, high=255, mean=(0.5,), std=(0.5,), size=4)
        >>> found = evaluate(nn.Flatten(), data, scale, untrained=nn.Flatten(), probes=["knn"])
        >>> found.figures["knn"]["accuracy"]["value"]
        1.0
    """
    for probe in probes:
        if probe not in PROBES:
            raise unknown("probe", probe, PROBES)
    if untrained is encoder:
        raise TwofoldError("untrained is the encoder itself; give a copy from before the training")
    train_labels, test_labels = _labels(data.train), _labels(data.test)
    raw_size = min(preprocess.size, RAW_SIZE)
    inputs: dict[str, tuple[str, nn.Module, Prepare]] = {
        "accuracy": ("features", encoder, preprocess),
        "accuracy_raw": ("raw input", nn.Flatten(), _raw(preprocess, raw_size)),
        "accuracy_untrained": ("untrained network", untrained, preprocess),
    }
    say = progress or (lambda words: None)
    embed = partial(features, batch_size=batch_size, precision=precision, device=device)
    figures: dict[str, dict[str, Any]] = {probe: {} for probe in probes}
    artefacts: dict[str, np.ndarray] = {}

    for name, (what, network, prepare) in inputs.items():
        say(f"{what} of {len(data.train)} training items")
        train = embed(network, data.train.items, prepare).to(device or "cpu")
        say(f"{what} of {len(data.test)} test items")
        test = embed(network, data.test.items, prepare).to(device or "cpu")
        if name == "accuracy":
            artefacts |= picture(train, test, seed=seed)
        if "knn" in probes:
            say(f"{what}: nearest neighbours")
            predictions = knn(train, train_labels, test, k=k, temperature=temperature)
            figures["knn"][name] = accuracy(predictions, test_labels)
            if name == "accuracy":
                artefacts["predictions"] = predictions.cpu().numpy()
        if "linear" in probes:
            say(f"{what}: linear probe")
            linear = linear_probe(train, train_labels, test, seed=seed)
            figures["linear"][name] = {**accuracy(linear.predictions, test_labels), "l2": linear.l2}

    own: dict[str, dict[str, Any]] = {
        "knn": {"k": k, "temperature": temperature, "similarity": "cosine"},
        "linear": {
            "classifier": "logistic regression on standardised features",
            "l2_grid": list(L2_GRID),
            "l2_chosen_on": "a tenth of the training items",
        },
    }
    shared = {
        "data": data.name,
        "fingerprint": data.test.fingerprint(),
        "train_items": len(data.train),
        "test_items": len(data.test),
        "layer": "features",
        "precision": precision,
        "raw_size": raw_size,
        "interval": "Wilson, over test items",
        "seed": seed,
    }
    for probe in probes:
        figures[probe]["protocol"] = own[probe] | shared
    return Evaluation(figures, artefacts)


def picture(train: Tensor, test: Tensor, *, seed: int = 0) -> dict[str, np.ndarray]:
    """What a report draws of features, labels or not.

    Args:
        train: Features of the training items `(n, dim)`.
        test: Features of the test items `(m, dim)`.
        seed: Chooses the test items.

    Returns:
        `query_index` `(48,)`, test items; `neighbour_index` and `neighbour_similarity` `(48, 8)`,
        their nearest training items; `map_index` `(1500,)`, test items, and `map_features`
        `(1500, dim)`; fewer if there are fewer items.

    Example:
        >>> picture(torch.eye(10), torch.eye(10))["neighbour_index"].shape
        (10, 8)
    """
    rng = np.random.default_rng(seed)
    query_index = np.sort(rng.permutation(len(test))[:_QUERIES])
    map_index = np.sort(rng.permutation(len(test))[:_MAP_ITEMS])
    similarity, index = neighbours(train, test[query_index], k=min(_NEIGHBOURS, len(train)))
    return {
        "query_index": query_index,
        "neighbour_index": index.cpu().numpy(),
        "neighbour_similarity": similarity.cpu().numpy(),
        "map_index": map_index,
        "map_features": test[map_index].cpu().numpy(),
    }


def _raw(preprocess: Preprocess, size: int) -> Prepare:
    """Pixels in [0, 1] as they are: what the encoder's features have to beat."""

    def prepare(items: np.ndarray, device: torch.device) -> Tensor:
        return resize(preprocess.unit(items, device), size)

    return prepare


def _labels(source: Source) -> np.ndarray:
    if source.labels is None:
        raise TwofoldError(
            f"'{source.name}' has no labels, and a probe needs one for each item; "
            "keep the files in one folder per class, or name the labels with label_key"
        )
    if not source.classes:
        raise TwofoldError(
            f"labels of '{source.name}' are numbers to regress, and kNN and linear probe classify; "
            "give classes as strings or whole numbers"
        )
    return source.labels
