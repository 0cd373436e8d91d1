"""The evaluation of an encoder: probes of its frozen features beside what they have to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from twofold.domains import Data, Source
from twofold.domains.names import domain_by_name
from twofold.domains.observables import read_off
from twofold.errors import TwofoldError
from twofold.evaluate.features import Prepare, features
from twofold.evaluate.health import two_views
from twofold.evaluate.knn import neighbours
from twofold.evaluate.labels import check_several
from twofold.evaluate.metrics import PROBES as PROBE_NAMES
from twofold.evaluate.metrics import check_probes
from twofold.evaluate.options import ProbeOptions, read_options
from twofold.evaluate.probes import DEFAULTS, PROBES, Frozen, Kind, Measured, Observed, Orbits
from twofold.evaluate.provenance import copies, sealed
from twofold.evaluate.raw import raw_facts, raw_input
from twofold.items import Items
from twofold.preprocess import Preprocess

if TYPE_CHECKING:
    from twofold.augment import Views

_QUERIES, _NEIGHBOURS, _MAP_ITEMS = 48, 8, 1500
_OBSERVED = 2000  # items whose observables are predicted: as dense raw input allows
_PAIRS = 500  # test items of which two views are made: enough for a mean, and large ones fit


class Evaluation(NamedTuple):
    """What an evaluation found."""

    figures: dict[str, dict[str, Any]]
    """For each probe its figures, such as `accuracy`, `accuracy_raw` and `accuracy_untrained`, and
    the `protocol` behind them. A figure has `value`, `ci95` (None where there is no interval, as
    of health), `n` and what the probe chose (`l2`). Ready for JSON."""
    artefacts: dict[str, np.ndarray]
    """Arrays that a report draws: those of `picture`; `predictions`, classes by the kNN; of
    numbers `true`, `predicted_knn` and `predicted_regression`, each `(m, targets)`."""
    remarks: tuple[str, ...] = ()
    """What was asked for and left out, and why, one line each."""


class _Input(NamedTuple):
    """Something that the probes read."""

    words: str
    """What it is."""
    encode: Callable[[Items], Tensor]
    """From stored items to features `(n, dim)`, where the probes compute."""
    pair: Callable[[], tuple[Tensor, Tensor]] | None = None
    """Features of two views of each of some test items."""


def evaluate(
    encoder: nn.Module,
    data: Data,
    preprocess: Preprocess,
    *,
    untrained: nn.Module | None = None,
    raw: bool = True,
    views: Views | None = None,
    layer: str = "features",
    seed: int = 0,
    probes: Sequence[str] = (),
    batch_size: int = 512,
    precision: str = "float32",
    device: torch.device | str | None = None,
    progress: Callable[[str], object] | None = None,
    **options: Any,
) -> Evaluation:
    """Probe frozen features on the test items, beside raw input and the untrained network.

    All inputs go through the same code. Probes that learn do so from training items alone,
    choices included, and meet the test labels once: when their predictions are judged. The
    protocol of each probe says where labels of test items enter.

    Args:
        encoder: Maps preprocessed items to features `(batch, num_features)`.
        data: Training and test items; their labels are classes, numbers to regress, or missing.
        preprocess: From stored items to what the encoder reads.
        untrained: The same network before training; not compared with if None.
        raw: Whether raw input is compared with.
        views: How the training made views of an item; without them `health` has no alignment.
        layer: What of the network is read, for the protocol.
        seed: Chooses held-out training items and the items that are drawn.
        probes: Names from `twofold.evaluate.metrics.PROBES`. Those that the labels do not fit are
            left out with a remark if others do. By default `knn` and `linear` for classes, `knn`
            and `regression` for numbers, `health` without labels; `observables` with each of
            them where the domain names some.
        batch_size: Items encoded at a time.
        precision: `float32` or `bf16`, of the encoder; probes compute in float32.
        device: Where to compute; where the encoder is if None.
        progress: Called with a few words on what is being done.
        **options: Fields of `ProbeOptions`, such as `k` and `episodes`.

    Returns:
        Figures with their protocol, and arrays for a report.

    Raises:
        TwofoldError: If no probe fits the labels, or a probe or an option is unknown or does not
            fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def part(n):
        ...     labels = rng.integers(0, 2, n)
        ...     items = np.tile((255 * labels).astype(np.uint8)[:, None, None, None], (1, 1, 4, 4))
        ...     items[:, 0, 0, 0] = 128
        ...     return Source(name="toy", items=items, ids=list(map(str, range(n))), labels=labels)
        >>> data = Data(name="toy", train=part(60), test=part(20), note="black or white")
        >>> scale = Preprocess(low=0, high=255, mean=(0.5,), std=(0.5,), size=4)
        >>> found = evaluate(nn.Flatten(), data, scale, probes=["knn"], k=5)
        >>> found.figures["knn"]["accuracy"]["value"]
        1.0
    """
    if untrained is encoder:
        raise TwofoldError("untrained is the encoder itself; give a copy from before the training")
    known = read_options(options)
    rendered = preprocess.of_views

    @cache
    def pair() -> list[np.ndarray]:
        assert views is not None
        rows = np.sort(np.random.default_rng(seed).permutation(len(data.test))[:_PAIRS])
        images = preprocess.unit(data.test.items[rows])
        return [view.numpy() for view in two_views(views, images, rows)]

    def by(words: str, network: nn.Module, prepare: Callable[[Preprocess], Prepare]) -> _Input:
        how: dict[str, Any] = {"batch_size": batch_size, "precision": precision, "device": device}

        def encode(items: Items, scale: Preprocess = preprocess) -> Tensor:
            return features(network, items, prepare(scale), **how).to(device or "cpu")

        def encode_pair() -> tuple[Tensor, Tensor]:
            first, second = pair()
            return encode(first, rendered), encode(second, rendered)

        return _Input(words, encode, None if views is None else encode_pair)

    shared: dict[str, Any] = {"layer": layer, "precision": precision}
    shared["copies"] = copies(data.train.items, data.test.items)
    inputs = {"": by("features", encoder, lambda scale: scale)}
    if raw:
        shared |= raw_facts(preprocess)
        inputs["raw"] = by("raw input", nn.Flatten(), raw_input)
    if untrained is not None:
        inputs["untrained"] = by("untrained network", untrained, lambda scale: scale)
    return _judged(inputs, data, shared, probes, known, seed, progress)


def evaluate_embeddings(
    data: Data,
    *,
    seed: int = 0,
    probes: Sequence[str] = (),
    progress: Callable[[str], object] | None = None,
    **options: Any,
) -> Evaluation:
    """Probe embeddings that any system has computed; there is nothing to compare them with.

    Args:
        data: Embeddings in place of items, each `(dim, 1, 1)`, with the items' labels.
        seed: As of `evaluate`.
        probes: As of `evaluate`.
        progress: As of `evaluate`.
        **options: As of `evaluate`.

    Returns:
        As `evaluate`, without figures of raw input and an untrained network.

    Raises:
        TwofoldError: As `evaluate`.

    Example:
        >>> def part(name, labels):
        ...     points = np.eye(2, dtype=np.float32)[labels, :, None, None]
        ...     return Source(name=name, items=points, ids=range(len(labels)), labels=labels)
        >>> train, test = part("train", np.arange(40) % 2), part("test", np.arange(10) % 2)
        >>> data = Data(name="points", train=train, test=test, note="two points")
        >>> evaluate_embeddings(data, probes=["linear"]).figures["linear"]["accuracy"]["value"]
        1.0
    """
    inputs = {"": _Input("embeddings", _as_they_are)}
    known = read_options(options)
    return _judged(inputs, data, {"layer": "embeddings"}, probes, known, seed, progress)


def fitting(data: Data, probes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The probes that can be used with the labels of some data, and a remark on each other one.

    Raises:
        TwofoldError: If a probe is unknown, or none can be used.
    """
    check_probes(probes)
    kind, domain = _kind(data), domain_by_name(data.train.domain)
    usable = {
        "observables": bool(domain.observables),
        "conserved": data.test.groups is not None,
    }
    asked = tuple(dict.fromkeys(probes)) or DEFAULTS[kind] + tuple(
        name
        for name, default in (
            ("observables", True),
            ("conserved", domain.positives == "group"),
        )
        if default and usable[name]
    )
    chosen = tuple(
        name for name in asked if kind in PROBES[name].metrics and usable.get(name, True)
    )
    left_out = {name: _refusal(name, kind, data) for name in asked if name not in chosen}
    if not chosen:
        raise TwofoldError(next(iter(left_out.values())))
    if kind == "classes" and set(chosen) != {"health"}:
        check_several(data)
    return chosen, tuple(f"{name} is left out: {why}" for name, why in left_out.items())


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


def _judged(
    inputs: Mapping[str, _Input],
    data: Data,
    shared: Mapping[str, Any],
    probes: Sequence[str],
    options: ProbeOptions,
    seed: int,
    progress: Callable[[str], object] | None,
) -> Evaluation:
    """Every input through every probe; the first input is what is judged."""
    say = progress or (lambda words: None)
    kind, (chosen, remarks) = _kind(data), fitting(data, probes)
    measured: dict[str, dict[str, Measured]] = {probe: {} for probe in chosen}
    artefacts: dict[str, np.ndarray] = {}
    observables = domain_by_name(data.train.domain).observables
    observed = _observed(data, seed) if "observables" in chosen else None
    for name, (what, encode, pair) in inputs.items():
        say(f"{what} of {len(data.train)} training items")
        train = encode(data.train.items)
        say(f"{what} of {len(data.test)} test items")
        test = encode(data.test.items)
        if not name:
            artefacts |= picture(train, test, seed=seed)
        labels = data.train.labels, data.test.labels
        names, unit = data.train.label_names, data.test.label_unit
        frozen = Frozen(
            *(train, test, *labels, kind, names, unit, pair, observables, observed),
            train_orbits=_orbits(data.train),
            orbits=_orbits(data.test),
        )
        for probe in chosen:
            say(f"{what}: {PROBE_NAMES[probe].title.lower()}")
            found = measured[probe][name] = PROBES[probe].measure(frozen, options, seed)
            if not name:
                artefacts |= found.artefacts
    about = {
        "data": data.name,
        "fingerprint": data.test.fingerprint(),
        "train_items": len(data.train),
        "test_items": len(data.test),
        **shared,
        "seed": seed,
    }
    figures = {
        probe: {**dict(_side_by_side(found)), "protocol": sealed(found[""].protocol | about)}
        for probe, found in measured.items()
    }
    if shared.get("copies"):
        remarks += (f"{shared['copies']} test items are training items too, bit for bit",)
    return Evaluation(figures, artefacts, remarks)


def _orbits(source: Source) -> Orbits | None:
    return None if source.groups is None else Orbits(source.groups, source.times)


def _observed(data: Data, seed: int) -> tuple[Observed, Observed]:
    """What experts read off some training and some test items."""
    rng, found = np.random.default_rng(seed), []
    for source in (data.train, data.test):
        rows = np.sort(rng.permutation(len(source))[:_OBSERVED])
        values = read_off(source.items, source.domain, rows)
        found.append(Observed(rows, np.stack(list(values.values()), axis=1)))
    return found[0], found[1]


def _side_by_side(found: Mapping[str, Measured]) -> Iterator[tuple[str, Any]]:
    """Each figure of each input, those of one measure together: `accuracy`, `accuracy_raw`, ..."""
    for metric in found[""].figures:
        for name, measured in found.items():
            yield f"{metric}_{name}" if name else metric, measured.figures[metric]


def _refusal(probe: str, kind: Kind, data: Data) -> str:
    """Why a probe cannot be used, and what to do."""
    name = data.train.name
    if probe == "observables":
        items = domain_by_name(data.train.domain).items
        return f"'{name}' holds {items}, and it is not known what experts read off {items}"
    if probe == "conserved":
        return (
            f"'{name}' has no groups, and {probe} compares items within groups, such as orbits; "
            "name them with group_key"
        )
    if kind == "none":
        return _unlabelled(name, probe)
    usable = ", ".join(other for other in PROBES if kind in PROBES[other].metrics)
    if kind == "numbers":
        return (
            f"labels of '{name}' are numbers to regress, and {probe} needs classes; "
            f"choose from {usable}, or give classes as strings or whole numbers"
        )
    return f"labels of '{name}' are classes, and {probe} needs numbers; choose from {usable}"


def _unlabelled(name: str, probe: str) -> str:
    return (
        f"'{name}' has no labels, and {probe} needs one for each item; "
        "keep the files in one folder per class, or name the labels with label_key"
    )


def _kind(data: Data) -> Kind:
    """What the labels of both parts are."""
    train, test = (_kind_of(source) for source in (data.train, data.test))
    if train == test:
        return train
    for source, own in ((data.train, train), (data.test, test)):
        if own == "none":
            raise TwofoldError(_unlabelled(source.name, "a probe"))
    raise TwofoldError(
        f"labels of '{data.train.name}' are {train} and of '{data.test.name}' {test}; "
        "training and test items need the same"
    )


def _kind_of(source: Source) -> Kind:
    if source.labels is None:
        return "none"
    return "classes" if source.classes else "numbers"


def _as_they_are(embeddings: Items) -> Tensor:
    return torch.from_numpy(np.array(embeddings, dtype=np.float32)).flatten(1)
