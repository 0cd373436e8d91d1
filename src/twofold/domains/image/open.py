"""One function that opens any set of images: by name, from a folder, a file or an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from twofold.domains.array_files import NAMED_SUFFIXES, Keys, Labels, given_labels
from twofold.domains.arrays import Opened, is_array
from twofold.domains.folders import FolderOptions
from twofold.domains.image.array_files import open_array_file
from twofold.domains.image.arrays import open_array
from twofold.domains.image.builtin import open_builtin
from twofold.domains.image.datasets import is_dataset, open_dataset
from twofold.domains.image.folder import open_folder
from twofold.domains.image.names import NAMES, existing_path
from twofold.domains.metadata import with_columns
from twofold.domains.pairing import check_size, open_pair, refuse_labels
from twofold.domains.source import Data, Source
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
    group_key: str | None = None,
    time_key: str | None = None,
    groups: np.ndarray | Tensor | Sequence[object] | None = None,
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
        group_key: Name of the groups there, such as patients: strings or whole numbers. Of a folder
            a column of the `metadata.csv` in it, whose column `path` names each image file.
        time_key: Name of the times there, in any unit, which tell which of a group are far apart;
            likewise of a folder.
        groups: Group of each item of an array.
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
    files = FolderOptions(cache=cache, workers=workers, max_bad=max_bad, progress=progress)

    def open_one(images: Images, labels: Labels | None, beside: Source | None) -> Opened:
        keys = Keys(key, label_key, group_key, time_key)
        if beside is None and not _holds_names(images):
            (Keys(key, label_key) if _is_folder(images) else keys).refuse()
        size = image_size
        if beside is not None and image_size is None and _is_folder(images):
            size = beside.height
        what = "data" if beside is None else "test"
        return _open(images, what, keys, labels, size, files)

    return open_pair(
        data,
        test,
        open_one,
        labels=labels,
        test_labels=test_labels,
        groups=groups,
        test_fraction=test_fraction,
        seed=seed,
        items="images",
    )


def _open(
    data: Images,
    what: str,
    keys: Keys,
    labels: Labels | None,
    image_size: int | None,
    files: FolderOptions,
) -> Opened:
    if isinstance(data, str | Path) and not _is_name(data):
        path = existing_path(data)
        if path.is_dir():
            refuse_labels(labels, "a folder's classes are its subfolders")
            opened = open_folder(path, image_size, files)
            return with_columns(opened, path, groups=keys.group_key, times=keys.time_key)
        opened = open_array_file(path, keys, given_labels(labels))
    elif is_array(data):
        opened = open_array(data, what=what, labels=given_labels(labels))
    elif isinstance(data, Source):
        refuse_labels(labels, "a Source carries its own")
        opened = Opened((data,), ())
    elif _is_name(data):
        refuse_labels(labels, f"'{data}' has its own")
        opened = Opened(open_builtin(data, cache=files.cache), ())
    elif is_dataset(data):
        opened = open_dataset(data, what=what, labels=given_labels(labels), workers=files.workers)
    else:
        raise TwofoldError(
            f"{what} is a {type(data).__name__}; it must be a name, a path, a numpy array, a torch "
            "tensor, a dataset with a length, or a Source (np.stack makes an array of a list)"
        )
    check_size(image_size, opened.sources[0], what)
    return opened


def _is_name(data: object) -> TypeGuard[str]:
    return isinstance(data, str) and data in NAMES


def _holds_names(data: object) -> bool:
    return isinstance(data, str | Path) and Path(data).suffix.lower() in NAMED_SUFFIXES


def _is_folder(data: object) -> bool:
    return isinstance(data, str | Path) and not _is_name(data) and Path(data).expanduser().is_dir()
