"""One function that opens any set of images: by name, from a folder, a file or an array."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from twofold.domains.image.array_files import NAMED_SUFFIXES, Labels, given_labels, open_array_file
from twofold.domains.image.arrays import Opened, is_array, open_array
from twofold.domains.image.builtin import open_builtin
from twofold.domains.image.datasets import is_dataset, open_dataset
from twofold.domains.image.folder import FolderOptions, open_folder
from twofold.domains.image.names import NAMES, existing_path
from twofold.domains.source import Data, Source, split
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor
    from torch.utils.data import Dataset

    Images = str | Path | np.ndarray | Tensor | Source | Dataset[Any]


def open_data(
    data: Images | Data,
    *,
    key: str | None = None,
    label_key: str | None = None,
    labels: Labels | None = None,
    test: Images | None = None,
    test_labels: Labels | None = None,
    test_fraction: float = 0.2,
    image_size: int | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    workers: int | None = None,
    max_bad: float = 0.05,
    progress: bool | None = None,
) -> Data:
    """Opens images to train on and to test on.

    Where the data brings its own test part (`train/` and `test/` or `val/` folders; arrays such
    as `x_train` and `x_test`), or `test` is given, that is the test set. Otherwise a share of the
    images is held out (see `twofold.domains.split`).

    A folder is searched for JPEG, PNG, WebP, TIFF and BMP files, which are decoded once into the
    cache. If every image lies in a subfolder and there are two subfolders or more, each image's
    class is its folder, named relative to the root (or to `train/`). Images are scaled so
    that the short side fits, and cropped to the central square.

    Args:
        data: A name ("digits", "fashion-mnist"), a folder, a .npy, .npz or .h5 file, a numpy array
            or torch tensor `(n, height, width)` or `(n, channels, height, width)`, a `Source`, a
            `torch.utils.data.Dataset` of images or (image, label) pairs, or a `Data`, which comes
            back as it is. A name wins over a folder of that name; write "./digits" for the folder.
        key: Name of the images in a .npz or .h5 file that holds several candidates.
        label_key: Name of the labels there; "labels", "y", "targets" and the like are found.
        labels: Classes `(n,)` of an array, strings or whole numbers, or a .npy file of them.
        test: A set to test on; anything that `data` can be.
        test_labels: Classes of `test` if that is an array.
        test_fraction: Share held out where no test set is given, in (0, 1).
        image_size: Height and width in pixels that image files are decoded to; if None their own
            if all are squares of one size up to 256, else 96.
        seed: Chooses what is held out.
        cache: Folder for decoded images; $TWOFOLD_CACHE or ~/.cache/twofold if None.
        workers: Threads that decode, or processes that read a dataset; chosen from the number of
            processors if None.
        max_bad: Share of image files that may be unreadable, in [0, 1]; they are left out and
            listed in `Source.skipped`.
        progress: Whether to draw a progress bar on stderr; if None, on a terminal after a second.

    Returns:
        Train and test set, and a note on what they are.

    Raises:
        TwofoldError: If the data is missing, empty, damaged or not images, in one line.

    Example:
        >>> data = open_data("digits")
        >>> data.note
        'digits: 1,797 images of 1x8x8 uint8, 10 classes; random split 1,438 + 359 (seed 0)'
        >>> pixels = np.random.default_rng(0).integers(0, 4096, (50, 5, 16, 16))
        >>> own = open_data(pixels, labels=["cat", "dog"] * 25, test_fraction=0.1)
        >>> own.train.items.shape, own.train.items.dtype.name, own.train.label_names
        ((45, 5, 16, 16), 'uint16', ('cat', 'dog'))
    """
    if isinstance(data, Data):
        if test is not None:
            raise TwofoldError(f"'{data.name}' has a test set already; leave test= out")
        return data
    for option, value in (("key", key), ("label_key", label_key)):
        if value is not None and not _holds_names(data):
            raise TwofoldError(
                f"{option} is {value!r}, but only {', '.join(NAMED_SUFFIXES)} files hold arrays "
                "by name"
            )
    files = FolderOptions(cache=cache, workers=workers, max_bad=max_bad, progress=progress)
    found = _open(data, "data", key, label_key, labels, image_size, files)
    train, *rest = found.sources
    notes = found.notes
    if test is not None:
        if image_size is None and _is_folder(test):
            image_size = train.height
        other = _open(test, "test", key, label_key, test_labels, image_size, files)
        if len(other.sources) > 1:
            raise TwofoldError("test= has a train and a test part itself; give it one set")
        if rest:
            notes += (f"its own test part ({len(rest[0]):,}) is not used",)
        train, held_out = _with_common_classes(train, other.sources[0])
        notes += other.notes
    elif test_labels is not None:
        raise TwofoldError("test_labels belong to a test set; give it as test=")
    elif rest:
        held_out = rest[0]
    else:
        train, held_out = split(train, test_fraction=test_fraction, seed=seed)
    random = test is None and not rest
    note = _note(train, held_out, f" (seed {seed})" if random else "", notes)
    return Data(name=train.name, train=train, test=held_out, note=note)


def _open(
    data: Images,
    what: str,
    key: str | None,
    label_key: str | None,
    labels: Labels | None,
    image_size: int | None,
    files: FolderOptions,
) -> Opened:
    if isinstance(data, str | Path) and not _is_name(data):
        path = existing_path(data)
        if path.is_dir():
            _refuse_labels(labels, "a folder's classes are its subfolders")
            return open_folder(path, image_size, files)
        opened = open_array_file(path, key=key, label_key=label_key, labels=given_labels(labels))
    elif is_array(data):
        opened = open_array(data, what=what, labels=given_labels(labels))
    elif isinstance(data, Source):
        _refuse_labels(labels, "a Source carries its own")
        opened = Opened((data,), ())
    elif _is_name(data):
        _refuse_labels(labels, f"'{data}' has its own")
        opened = Opened(open_builtin(data, cache=files.cache), ())
    elif is_dataset(data):
        opened = open_dataset(data, what=what, labels=given_labels(labels), workers=files.workers)
    else:
        raise TwofoldError(
            f"{what} is a {type(data).__name__}; it must be a name, a path, a numpy array, a torch "
            "tensor, a dataset with a length, or a Source (np.stack makes an array of a list)"
        )
    shape = opened.sources[0].items.shape
    if image_size is not None and shape[2:] != (image_size, image_size):
        raise TwofoldError(
            f"image_size is {image_size}, but {what} holds arrays of {shape[2]}x{shape[3]}; "
            "they are used as stored: image_size is for folders of image files"
        )
    return opened


def _is_name(data: object) -> TypeGuard[str]:
    return isinstance(data, str) and data in NAMES


def _holds_names(data: object) -> bool:
    return isinstance(data, str | Path) and Path(data).suffix.lower() in NAMED_SUFFIXES


def _is_folder(data: object) -> bool:
    return isinstance(data, str | Path) and not _is_name(data) and Path(data).expanduser().is_dir()


def _refuse_labels(labels: Labels | None, reason: str) -> None:
    if labels is not None:
        raise TwofoldError(f"labels are for arrays; {reason}")


def _with_common_classes(train: Source, test: Source) -> tuple[Source, Source]:
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


def _note(train: Source, test: Source, seed: str, remarks: tuple[str, ...]) -> str:
    shape = "x".join(map(str, train.items.shape[1:]))
    classes = "no labels" if train.labels is None else f"{len(np.unique(train.labels))} classes"
    if test.labels is None and train.labels is not None:
        classes += " (test set: no labels)"
    how = (
        f"random split {len(train):,} + {len(test):,}{seed}"
        if seed
        else (f"given split {len(train):,} + {len(test):,}")
    )
    skipped = {path for source in (train, test) for path, _ in source.skipped}
    if skipped:
        remarks += (f"unreadable files left out: {len(skipped):,}",)
    count = len(train) + len(test)
    about = f"{train.name}: {count:,} images of {shape} {train.items.dtype}, {classes}"
    return "; ".join((about, how, *remarks))
