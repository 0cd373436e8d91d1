"""Evaluations of whole encoders and of embeddings, on one set of data or several."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from twofold.augment import Views
from twofold.display import Console
from twofold.distributed import own_device
from twofold.domains import Data, Source, split
from twofold.domains.names import check_domain, domain_by_name
from twofold.domains.pairing import with_common_classes
from twofold.embeddings import Embeddings, read_embeddings
from twofold.encoder import Encoder, untrained
from twofold.errors import TwofoldError
from twofold.evaluate import evaluate, evaluate_embeddings
from twofold.evaluate.metrics import PROBES
from twofold.evaluate.options import read_options
from twofold.evaluate.protocol import Evaluation, fitting
from twofold.folder import ARTEFACTS, list_skipped, revised, write_atomically
from twofold.hardware import detect
from twofold.networks import build_encoder, check_reads
from twofold.preprocess import Preprocess
from twofold.reading import FEATURES

TRANSFER = "transfer"
"""Where `evaluation.json` keeps the figures of several sets of data, by their names."""


def evaluate_encoder(
    encoder: Encoder,
    sets: Sequence[Data],
    *,
    views: Callable[[Data], Views] | None = None,
    layer: str = FEATURES,
    baselines: bool = True,
    seed: int = 0,
    device: str = "cpu",
    console: Console,
    **how: Any,
) -> list[Evaluation]:
    """Probes a frozen encoder on each set of data, with that set's own training items.

    Args:
        encoder: A trained encoder.
        sets: Data of the shape and type it was trained on.
        views: How the training makes views of some data.
        layer: Of the encoder, what is judged.
        baselines: Whether raw input and the untrained network are compared with.
        seed: Of the untrained network and of all draws.
        device: Where to compute.
        console: Told what is being done.
        **how: `probes` and options of `twofold.evaluate.evaluate`.

    Raises:
        TwofoldError: Before anything is computed, if a set does not fit the encoder or a probe.
    """
    for data in sets:
        _check_fits(data, encoder.preprocess)
    judged = encoder.reading(layer=layer)
    fresh = untrained(encoder, seed=seed, layer=layer) if baselines else None
    return _each(
        sets,
        lambda data, progress: evaluate(
            judged,
            data,
            encoder.preprocess,
            untrained=fresh,
            raw=baselines,
            views=None if views is None else views(data),
            layer=layer,
            seed=seed,
            device=device,
            progress=progress,
            **how,
        ),
        how,
        console,
    )


def evaluate_by_name(
    name: str,
    sets: Sequence[Data],
    *,
    pretrained: bool = False,
    baselines: bool = True,
    seed: int = 0,
    quiet: bool = False,
    **how: Any,
) -> dict[str, Any]:
    """Probes an encoder that no run of ours trained, beside raw input and random weights.

    For each set of data the network is built anew with its channels and size.

    Args:
        name: Of the encoder, as of `build_encoder`.
        sets: One set of data, or several.
        pretrained: Whether to fetch the published weights. What is judged has random ones
            otherwise, and is compared with others.
        baselines: Whether raw input and random weights are compared with.
        seed: Of random weights and of all draws.
        quiet: Whether to print nothing.
        **how: `probes` and options of `twofold.evaluate.evaluate`.

    Returns:
        The figures, as in `evaluation.json`; those of several sets by their names.
    """
    device = own_device(detect().device)
    console = Console(quiet=quiet)
    console.notes(list_skipped([unread for data in sets for unread in data.skipped], None))

    def judged(data: Data, progress: Callable[[str], object]) -> Evaluation:
        preprocess = domain_by_name(data.train.domain).tools.measure(data.train.items)
        return evaluate(
            _network(name, data, preprocess, seed, pretrained=pretrained),
            data,
            preprocess,
            untrained=_network(name, data, preprocess, seed + 1) if baselines else None,
            raw=baselines,
            seed=seed,
            device=device,
            progress=progress,
            **how,
        )

    found = _each(sets, judged, how, console)
    if not pretrained:
        console.notes([f"{name} has random weights; --pretrained fetches the published ones"])
    return together(sets, found)


def evaluate_files(
    files: Sequence[str | Path],
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    quiet: bool = False,
    **how: Any,
) -> dict[str, Any]:
    """Probes embeddings that any system has written.

    The test items are those of the second file, or those whose `part` is "test", or a share that
    is split off by their ids as that of any data is.

    Args:
        files: A .npz or .parquet file as `twofold.embeddings.read_embeddings` takes it; with a
            second one, that of the test items.
        test_fraction: Share of the items that is split off where no split is given, in (0, 1).
        seed: Of the split and of all draws.
        quiet: Whether to print nothing.
        **how: `probes` and options of `twofold.evaluate.evaluate`.

    Returns:
        The figures, as in `evaluation.json`.

    Raises:
        TwofoldError: If a file cannot be used, or both do not belong together.
    """
    data = open_embeddings(files, test_fraction=test_fraction, seed=seed)
    (found,) = _each(
        [data],
        lambda data, progress: evaluate_embeddings(data, seed=seed, progress=progress, **how),
        how,
        Console(quiet=quiet),
    )
    return found.figures


def open_embeddings(
    files: Sequence[str | Path], *, test_fraction: float = 0.2, seed: int = 0
) -> Data:
    """Training and test embeddings of one file, or of two, as items of shape `(dim, 1, 1)`."""
    paths = [Path(file) for file in files]
    if len(paths) not in (1, 2):
        raise TwofoldError(
            f"there are {len(paths)} files of embeddings; give one, or one to train on and one to "
            "test on"
        )
    first, *others = [read_embeddings(path) for path in paths]
    name, part = paths[0].stem, first.part
    if others:
        (second,) = others
        if second.dim != first.dim:
            raise TwofoldError(
                f"{paths[1]} holds embeddings of {second.dim} features and {paths[0]} of "
                f"{first.dim}; both must be of one encoder"
            )
        train, test = with_common_classes(_source(name, first), _source(paths[1].stem, second))
        note = f"{paths[0]} to train on, {paths[1]} to test on"
    elif part is not None and len(set(part.tolist())) == 2:
        train, test = (_source(name, first, part == which) for which in ("train", "test"))
        note = f"{paths[0]}, split as it says"
    else:
        train, test = split(_source(name, first), test_fraction=test_fraction, seed=seed)
        note = f"{paths[0]}, split at random (seed {seed})"
    return Data(name=name, train=train, test=test, note=note)


def together(sets: Sequence[Data], found: Sequence[Evaluation]) -> dict[str, Any]:
    """The figures of one set as they are, those of several by their names."""
    if len(found) == 1:
        return found[0].figures
    names = [data.name for data in sets]
    told = [
        name if names.count(name) == 1 else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(names)
    ]
    figures = [evaluation.figures for evaluation in found]
    return {TRANSFER: dict(zip(told, figures, strict=True))}


def keep(folder: Path, found: Evaluation) -> None:
    """Writes figures and arrays to a run folder.

    What other probes found on the same items stays beside them; what was found on others goes, so
    that a file never mixes two sets of data.
    """
    fingerprint = _fingerprint(next(iter(found.figures.values())))
    with revised(folder) as held:
        judged = [name for name in held if name in PROBES]
        stale = [name for name in judged if _fingerprint(held[name]) != fingerprint]
        for name in stale:
            del held[name]
        held.update(found.figures)
        same_items = bool(judged) and not stale
        arrays = {**(_arrays(folder / ARTEFACTS) if same_items else {}), **found.artefacts}
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
        write_atomically(folder / ARTEFACTS, packed.getvalue())


def _each(
    sets: Sequence[Data],
    judge: Callable[[Data, Callable[[str], object]], Evaluation],
    how: Mapping[str, Any],
    console: Console,
) -> list[Evaluation]:
    """Judges every set, once all are known to fit the probes."""
    read_options({name: value for name, value in how.items() if name != "probes"})
    for data in sets:
        fitting(data, how.get("probes", ()))
    found = []
    for data in sets:
        task = f"evaluating on {data.name}" if len(sets) > 1 else "evaluating"
        with console.task(task) as progress:
            found.append(judge(data, progress))
        console.notes(found[-1].remarks)
    return found


def _check_fits(data: Data, preprocess: Preprocess) -> None:
    try:
        preprocess.unit(data.train.items[:1])
    except TwofoldError as error:
        raise TwofoldError(f"'{data.name}' does not fit: {error}") from None
    check_domain(data, preprocess.domain)
    kind, size = domain_by_name(preprocess.domain), preprocess.size
    if preprocess.sample_rate is not None:
        _check_windows(data, preprocess.sample_rate, size)
    elif kind.size(data.train.height, data.train.width) != size:
        items, shape = kind.items, f"{data.train.height}x{data.train.width}"
        hint = f" (--image-size {size} for a folder)" if preprocess.domain == "image" else ""
        raise TwofoldError(
            f"'{data.name}' does not fit: its {items} are {shape} pixels and this encoder reads "
            f"{size}x{size}; give {items} of that size{hint}"
        )


def _check_windows(data: Data, sample_rate: int, size: int) -> None:
    found, rate = data.train.width, getattr(data.train.items, "sample_rate", sample_rate)
    if (found, rate) != (size, sample_rate):
        raise TwofoldError(
            f"'{data.name}' does not fit: its windows are {found:,} samples at {rate:,} Hz and "
            f"this encoder reads {size:,} at {sample_rate:,} Hz; say --sample-rate {sample_rate} "
            f"--seconds {size / sample_rate:g}"
        )


def _network(
    name: str, data: Data, preprocess: Preprocess, seed: int, *, pretrained: bool = False
) -> nn.Module:
    channels, rows, size = preprocess.read_shape()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_encoder(
            name, channels=channels, rows=rows, image_size=size, pretrained=pretrained
        )
    check_reads(network, (channels, rows, size))
    return network.eval()


def _source(name: str, found: Embeddings, rows: np.ndarray | slice = slice(None)) -> Source:
    return Source(
        name=name,
        items=found.embeddings[rows, :, None, None],
        ids=found.ids[rows].tolist(),
        labels=None if found.labels is None else found.labels[rows],
        label_names=found.label_names,
    )


def _fingerprint(entry: Mapping[str, Any]) -> Any:
    """That of the items behind the figures of a probe."""
    return entry.get("protocol", {}).get("fingerprint")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}
