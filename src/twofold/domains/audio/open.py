"""One function that opens any set of clips: folders of recordings, files of arrays, and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.clips import Clips
from twofold.domains.array_files import NAMED_SUFFIXES, Keys, Labels, given_labels
from twofold.domains.arrays import Opened, is_array
from twofold.domains.audio.arrays import open_array, open_array_file
from twofold.domains.audio.recordings import open_folder
from twofold.domains.audio.windows import Reading, rate_text, reading_like
from twofold.domains.folders import FolderOptions
from twofold.domains.image.names import NAMES, existing_path
from twofold.domains.metadata import with_columns
from twofold.domains.pairing import as_stored, open_pair, refuse_labels
from twofold.domains.source import Data, Source
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch import Tensor

    Recordings = str | Path | np.ndarray | Tensor | Sequence[np.ndarray] | Source


def open_data(
    data: Recordings | Data,
    *,
    key: str | None = None,
    label_key: str | None = None,
    group_key: str | None = None,
    time_key: str | None = None,
    groups: np.ndarray | Tensor | Sequence[object] | None = None,
    labels: Labels | None = None,
    test: Recordings | None = None,
    test_labels: Labels | None = None,
    test_fraction: float = 0.2,
    image_size: int | None = None,
    sample_rate: int | None = None,
    seconds: float | None = None,
    mono: bool = False,
    seed: int = 0,
    cache: str | Path | None = None,
    workers: int | None = None,
    max_bad: float = 0.05,
    progress: bool | None = None,
) -> Data:
    """Opens recordings to train on and to test on.

    Where the data brings its own test part (`train/` and `test/` or `val/` folders; arrays such
    as `X_train` and `X_test`), or `test` is given, that is the test set. Otherwise a share of the
    clips is held out (see `twofold.domains.split`).

    A folder is searched for WAV, FLAC, OGG, MP3, AIFF and Opus files, which are decoded once into
    the cache, from which they are mapped ever after. If every file lies in a subfolder and there
    are two subfolders or more, each clip's class is its folder, named relative to the root (or to
    `train/`). Files at another sample rate than the others are resampled, and mixed down to mono
    where some have more channels than others. Samples stay int16 where that loses nothing, unless
    `test` is given, and are else float32 of full scale 1.

    Args:
        data: A folder, a .npy, .npz or .h5 file, a numpy array or torch tensor `(n, samples)` or
            `(n, channels, samples)`, a list of arrays `(samples,)` or `(channels, samples)` of any
            lengths, a `Source`, or a `Data`, which comes back as it is. Arrays are int16 or
            floating point of full scale 1.
        key: Name of the clips in a .npz or .h5 file; `X`, or the only array that can be them, if
            None.
        label_key: Name of the labels there: classes, or numbers to regress; "labels", "y",
            "targets" and the like are found. Of a folder a column of the `metadata.csv` in it,
            whose column `path` names each file.
        group_key: Name of the groups there, such as speakers: strings or whole numbers; likewise
            of a folder.
        time_key: Name of the times there, in any unit; likewise of a folder.
        groups: Group of each clip of an array.
        labels: Labels `(n,)` of an array, or a .npy file of them.
        test: A set to test on; anything that `data` can be.
        test_labels: Labels of `test` if that is an array.
        test_fraction: Share held out where no test set is given, in (0, 1).
        image_size: Refused: recordings have no such size.
        sample_rate: Samples a second in [1000, 768000], to which others are resampled; if None
            that of most files, or what a file of arrays says: `sample_rate`, as an array or an
            attribute.
        seconds: Length of the windows that are read of each clip; if None that of the clips if
            they share one, else their median.
        mono: Whether clips of several channels are mixed down to one even if all have as many.
        seed: Chooses what is held out.
        cache: Folder for decoded recordings; $TWOFOLD_CACHE or ~/.cache/twofold if None.
        workers: Threads that decode; chosen from the number of processors if None.
        max_bad: Share of files that may be unreadable, in [0, 1]; they are left out and listed in
            `Source.skipped`.
        progress: Whether to draw a progress bar on stderr; if None, on a terminal after a second.

    Returns:
        Train and test set, whose items are `Clips`, and a note on what they are.

    Raises:
        TwofoldError: If the data is missing, empty, damaged or not sound, in one line.

    Example:
        >>> noise = np.random.default_rng(0).integers(-999, 999, (50, 800), dtype=np.int16)
        >>> data = open_data(noise, sample_rate=8000, seconds=0.05, labels=["cat", "dog"] * 25)
        >>> data.note
        'array: 50 clips of 400 samples at 8 kHz int16, 2 classes; random split 40 + 10 (seed 0)'
        >>> data.train.items.shape
        (40, 1, 1, 400)
    """
    if image_size is not None:
        raise TwofoldError(
            f"image_size is {image_size}, but recordings have none; their windows are as long as "
            "seconds says"
        )
    # A test set of its own may need float32, and both are kept alike; nothing is lost by it.
    wanted = Reading(sample_rate=sample_rate, seconds=seconds, mono=mono, whole=test is None)
    files = FolderOptions(cache=cache, workers=workers, max_bad=max_bad, progress=progress)

    def open_one(clips: Recordings, labels: Labels | None, beside: Source | None) -> Opened:
        what = "data" if beside is None else "test"
        keys = Keys(key, label_key, group_key, time_key)
        if beside is None and not _holds_names(clips):
            keys.refuse()
        others = None if beside is None else beside.items
        reading = reading_like(others) if isinstance(others, Clips) else wanted
        return as_stored(_open(clips, what, keys, labels, reading, files), None, beside)

    return open_pair(
        data,
        test,
        open_one,
        labels=labels,
        test_labels=test_labels,
        groups=groups,
        test_fraction=test_fraction,
        seed=seed,
        items="clips",
        size=_size,
    )


def _open(
    data: Recordings,
    what: str,
    keys: Keys,
    labels: Labels | None,
    reading: Reading,
    files: FolderOptions,
) -> Opened:
    if isinstance(data, Source):
        refuse_labels(labels, "a Source carries its own")
        return Opened((data,), ())
    if isinstance(data, str | Path):
        if data in NAMES:
            raise TwofoldError(f"'{data}' holds images, not recordings; leave the domain out")
        path = existing_path(data)
        if not path.is_dir():
            return open_array_file(path, keys, given_labels(labels), reading)
        refuse_labels(labels, "a folder's classes are its subfolders, or a column of its table")
        Keys(keys.key).refuse()
        return with_columns(
            open_folder(path, reading, files),
            path,
            labels=keys.label_key,
            groups=keys.group_key,
            times=keys.time_key,
        )
    if is_array(data) or (isinstance(data, Sequence) and all(map(_is_clip, data))):
        return open_array(data, what, given_labels(labels), reading)
    raise TwofoldError(
        f"{what} is a {type(data).__name__}; recordings come from a path, a numpy array, a torch "
        "tensor, a list of arrays or a Source"
    )


def _holds_names(data: object) -> bool:
    if not isinstance(data, str | Path):
        return False
    path = Path(data).expanduser()
    return path.is_dir() or path.suffix.lower() in NAMED_SUFFIXES


def _is_clip(clip: object) -> bool:
    return is_array(clip) or (isinstance(clip, Sequence) and not isinstance(clip, str))


def _size(source: Source) -> str:
    """How long a window is."""
    clips = source.items
    channels = f"{source.channels} channels of " if source.channels > 1 else ""
    rate = f" at {rate_text(clips.sample_rate)}" if isinstance(clips, Clips) else ""
    return f"{channels}{source.width:,} samples{rate}"
