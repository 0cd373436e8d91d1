"""One function that opens any set of states: files of orbits, and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.domains.array_files import (
    NAMED_SUFFIXES,
    Entry,
    Keys,
    Labels,
    choose,
    given_labels,
    named_arrays,
    read_npy,
    usual,
)
from twofold.domains.arrays import LabelColumn, Opened, Part, as_sources, is_array, to_numpy
from twofold.domains.image.names import NAMES, existing_path
from twofold.domains.pairing import as_stored, open_pair, refuse_labels
from twofold.domains.source import Data, Source
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch import Tensor

    States = str | Path | np.ndarray | Tensor | Source

_LAYOUTS = {2: "(n, dim)", 3: "(orbits, times, dim)"}


def open_data(
    data: States | Data,
    *,
    key: str | None = None,
    label_key: str | None = None,
    group_key: str | None = None,
    time_key: str | None = None,
    groups: np.ndarray | Tensor | Sequence[object] | None = None,
    labels: Labels | None = None,
    test: States | None = None,
    test_labels: Labels | None = None,
    test_fraction: float = 0.2,
    image_size: int | None = None,
    seed: int = 0,
) -> Data:
    """Opens states to train on and to test on.

    States are `(n, dim)`, each with the orbit it is of as its group; or `(orbits, times, dim)`,
    where every orbit is a group. They are kept as items `(n, dim, 1, 1)` in float32. Whole orbits
    are held out where no test set is given (see `twofold.domains.split`).

    Args:
        data: A .h5, .npz or .npy file, a numpy array, a torch tensor, a `Source`, or a `Data`,
            which comes back as it is.
        key: Name of the states in a file; `X`, or the only array that can be them, if None.
        label_key: Name of the labels there, such as a conserved quantity; `labels`, `y` and the
            like or `energy` if None. Its attribute `unit` is their unit.
        group_key: Name of the orbits there; `orbit` if None.
        time_key: Name of the times there, in any unit; `t` if None.
        groups: Orbit of each state of an array `(n, dim)`.
        labels: Labels of states in one array, or a .npy file of them; one for each state, or one
            for each orbit of an array `(orbits, times, dim)`.
        test: A set to test on; anything that `data` can be.
        test_labels: Labels of `test` if that is an array.
        test_fraction: Share of the orbits held out where no test set is given, in (0, 1).
        image_size: Refused: states have no size.
        seed: Chooses what is held out.

    Returns:
        Train and test set, and a note on what they are.

    Raises:
        TwofoldError: If the data is missing, empty, damaged or no states, in one line.

    Example:
        >>> angle = np.linspace(0, 6, 30)
        >>> circles = [[[r * np.cos(a), r * np.sin(a)] for a in angle] for r in range(1, 6)]
        >>> open_data(np.array(circles)).note
        'array: 150 states of 2x1x1 float32, no labels, 5 groups; random split 120 + 30 (seed 0)'
    """

    def open_one(states: States, labels: Labels | None, beside: Source | None) -> Opened:
        what = "data" if beside is None else "test"
        keys = Keys(key, label_key, group_key, time_key)
        if beside is None and not _holds_names(states):
            keys.refuse()
        opened = _open(states, what, keys, given_labels(labels))
        return as_stored(opened, image_size, beside)

    return open_pair(
        data,
        test,
        open_one,
        labels=labels,
        test_labels=test_labels,
        groups=groups,
        test_fraction=test_fraction,
        seed=seed,
        items="states",
    )


def _open(
    data: States,
    what: str,
    keys: Keys,
    labels: LabelColumn | None,
) -> Opened:
    if isinstance(data, Source):
        refuse_labels(labels and labels.values, "a Source carries its own")
        return Opened((data,), ())
    if is_array(data):
        return _opened("array", [Part(what, to_numpy(data), labels)])
    if not isinstance(data, str | Path):
        raise TwofoldError(
            f"{what} is a {type(data).__name__}; states come from a path, a numpy array, a torch "
            "tensor or a Source (np.stack makes an array of a list of orbits)"
        )
    if data in NAMES:
        raise TwofoldError(f"'{data}' holds images, not states; leave the domain out")
    path = existing_path(data)
    if path.is_dir():
        raise TwofoldError(f"'{path}' is a folder; states come from one file")
    if path.suffix.lower() == ".npy":
        return _opened(path.stem, [Part(str(path), read_npy(path), labels)])
    with named_arrays(path) as entries:
        expected = Keys(
            usual(entries, "x"),
            _usual_label(entries, labels),
            usual(entries, "orbit"),
            usual(entries, "t"),
        )
        chosen, notes = choose(
            path,
            entries,
            Keys(*(named or found for named, found in zip(keys, expected, strict=True))),
            labels=labels,
            layouts=_LAYOUTS,
            items="states",
        )
        parts = [
            Part(f"{found.items.key} of '{path}'", found.items.read(), *found[1:])
            for found in chosen
        ]
    opened = _opened(path.stem, parts)
    return opened._replace(notes=opened.notes + notes)


def _holds_names(data: object) -> bool:
    return isinstance(data, str | Path) and Path(data).suffix.lower() in NAMED_SUFFIXES


def _usual_label(entries: Sequence[Entry], labels: LabelColumn | None) -> str | None:
    """The energy, where no labels are given or called so."""
    if labels is not None or any(usual(entries, name) for name in ("labels", "label", "y")):
        return None
    return usual(entries, "energy")


def _opened(name: str, parts: Sequence[Part]) -> Opened:
    return Opened(as_sources(name, [_as_items(part) for part in parts], domain="trajectory"), ())


def _as_items(part: Part) -> Part:
    """States as items `(n, dim, 1, 1)` in float32, each with its label and its orbit."""
    states, what = np.asarray(part.items), part.what
    if states.dtype.kind not in "buif":
        raise TwofoldError(f"{what} has type {states.dtype}; states must be numbers")
    if states.ndim not in _LAYOUTS or 0 in states.shape:
        raise TwofoldError(
            f"{what} has shape {states.shape}; states must be {' or '.join(_LAYOUTS.values())}, "
            "none of them 0"
        )
    if states.ndim == 3:
        part = _by_orbit(part, *states.shape[:2])
    with np.errstate(over="ignore"):  # what float32 cannot hold is told of as infinite
        items = states.reshape(-1, states.shape[-1], 1, 1).astype(np.float32)
    if bad := int((~np.isfinite(items)).any(axis=(1, 2, 3)).sum()):
        raise TwofoldError(
            f"{what} holds NaN, infinite or too large numbers in {bad:,} of {len(items):,} states; "
            "leave those out"
        )
    _check_orbits(what, part.groups)
    return part._replace(items=items)


def _by_orbit(part: Part, orbits: int, times: int) -> Part:
    """What belongs to states `(orbits, times, dim)`, one for each state."""
    if part.groups is not None and len(part.groups) != orbits:
        raise TwofoldError(
            f"{part.what} holds {orbits:,} orbits, and there are {len(part.groups):,} groups; "
            "leave the groups out, for every orbit is one"
        )
    names = np.arange(orbits) if part.groups is None else part.groups
    labels = part.labels
    if labels is not None and len(labels.values) == orbits:
        labels = labels._replace(values=np.repeat(labels.values, times, axis=0))
    clock = np.arange(times, dtype=np.float64) if part.times is None else part.times
    if len(clock) == times:
        clock = np.tile(clock, orbits)
    return part._replace(groups=np.repeat(names, times), labels=labels, times=clock)


def _check_orbits(what: str, groups: np.ndarray | None) -> None:
    if groups is not None and len(np.unique(groups)) < 2:
        raise TwofoldError(
            f"{what} holds one orbit; what is conserved shows between orbits: give two or more"
        )
