"""From what was opened to a set to train on and one to test on, with a line about both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from twofold.domains.array_files import Labels
from twofold.domains.arrays import Opened, checked_groups, is_array, to_numpy
from twofold.domains.source import Data, Source, split
from twofold.errors import TwofoldError


def open_pair(
    data: Any,
    test: Any,
    open_one: Callable[[Any, Labels | None, Source | None], Opened],
    *,
    labels: Labels | None,
    test_labels: Labels | None,
    groups: Any,
    test_fraction: float,
    seed: int,
    items: str,
    size: Callable[[Source], str] | None = None,
) -> Data:
    """Train and test set: as given, as the data bring them, or split at random.

    Args:
        data: Whatever holds items; a `Data` comes back as it is.
        test: What holds those to test on, if they are named.
        open_one: Opens either, with its labels; the test set beside the train set.
        labels: Labels of `data`.
        test_labels: Labels of `test`.
        groups: Group of each item of `data`, but of a test part that it brings itself.
        test_fraction: Share held out where no test set is given, in (0, 1).
        seed: Chooses what is held out.
        items: What the items are called.
        size: How large an item of a set is, in words; channels, height and width if None.
    """
    if isinstance(data, Data):
        if test is not None:
            raise TwofoldError(f"'{data.name}' has a test set already; leave test= out")
        if groups is not None:
            raise TwofoldError(f"'{data.name}' is open already; give groups= where it is opened")
        return data
    found = open_one(data, labels, None)
    train, *rest = found.sources
    if groups is not None:
        train = _with_groups(train, groups)
    notes = found.notes
    if test is not None:
        other = open_one(test, test_labels, train)
        if len(other.sources) > 1:
            raise TwofoldError("test= has a train and a test part itself; give it one set")
        if rest:
            notes += (f"its own test part ({len(rest[0]):,}) is not used",)
        train, held_out = with_common_classes(train, other.sources[0])
        notes += other.notes
    elif test_labels is not None:
        raise TwofoldError("test_labels belong to a test set; give it as test=")
    elif rest:
        held_out = rest[0]
    else:
        train, held_out = split(train, test_fraction=test_fraction, seed=seed)
    random = test is None and not rest
    about = f"{items} of {(size or _shape)(train)} {train.items.dtype}"
    note = _note(train, held_out, about, f" (seed {seed})" if random else "", notes)
    return Data(name=train.name, train=train, test=held_out, note=note)


def with_common_classes(train: Source, test: Source) -> tuple[Source, Source]:
    """Both sets with the same class numbers: those of the train set, then any new ones."""
    if train.labels is None or test.labels is None or train.label_names == test.label_names:
        return train, test
    if not (train.label_names and test.label_names):
        raise TwofoldError("only one of train and test names its classes; give both label_names")
    names = tuple(dict.fromkeys(train.label_names + test.label_names))
    numbers = np.array([names.index(name) for name in test.label_names], dtype=np.int64)
    return (
        replace(train, label_names=names),
        replace(test, labels=numbers[test.labels], label_names=names),
    )


def check_size(image_size: int | None, source: Source, what: str) -> None:
    """Refuses another size than that of arrays, which are used as stored."""
    if image_size is not None and (source.height, source.width) != (image_size, image_size):
        raise TwofoldError(
            f"image_size is {image_size}, but {what} holds arrays of "
            f"{source.height}x{source.width}; they are used as stored: image_size is for folders "
            "of image files"
        )


def as_stored(opened: Opened, image_size: int | None, beside: Source | None) -> Opened:
    """Arrays of the size asked for, if one was, whose notes say so if they are a test set's."""
    check_size(image_size, opened.sources[0], "data" if beside is None else "test")
    if beside is None:
        return opened
    return opened._replace(notes=tuple(f"test set: {note}" for note in opened.notes))


def refuse_labels(labels: Labels | None, reason: str) -> None:
    """Refuses labels for what brings its own."""
    if labels is not None:
        raise TwofoldError(f"labels are for arrays; {reason}")


def _with_groups(source: Source, groups: Any) -> Source:
    """The items with groups that were handed over."""
    if source.groups is not None:
        raise TwofoldError(f"'{source.name}' has groups already; leave groups= out")
    if source.folder is not None:
        raise TwofoldError(
            "groups are for arrays; those of a folder are a column of its metadata.csv: name it "
            "as group_key"
        )
    array = to_numpy(groups) if is_array(groups) else np.asarray(groups)
    return replace(source, groups=checked_groups("groups", array))


def _shape(source: Source) -> str:
    return "x".join(map(str, source.items.shape[1:]))


def _note(train: Source, test: Source, about: str, seed: str, remarks: tuple[str, ...]) -> str:
    labels = _labelling(train)
    if test.labels is None and train.labels is not None:
        labels += " (test set: no labels)"
    groups, others = (
        set() if source.groups is None else set(source.groups.tolist()) for source in (train, test)
    )
    if groups:
        labels += f", {len(groups | others):,} groups"
    how = (
        f"random split {len(train):,} + {len(test):,}{seed}"
        if seed
        else (f"given split {len(train):,} + {len(test):,}")
    )
    skipped = {path for source in (train, test) for path, _ in source.skipped}
    if skipped:
        remarks += (f"unreadable files left out: {len(skipped):,}",)
    if both := groups & others:
        remarks += (f"groups in both parts: {len(both):,}",)
    count = len(train) + len(test)
    return "; ".join((f"{train.name}: {count:,} {about}, {labels}", how, *remarks))


def _labelling(source: Source) -> str:
    if source.labels is None:
        return "no labels"
    if source.classes:
        return f"{len(np.unique(source.labels))} classes"
    return f"labels in {source.label_unit}" if source.label_unit else "numbers as labels"
