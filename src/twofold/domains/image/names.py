"""What can be opened: image sets by name, and paths. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from twofold.domains.audio.names import AUDIO_SUFFIXES
from twofold.domains.shard_index import is_shards, is_url, need_fsspec
from twofold.errors import TwofoldError, nearest, unknown

NAMES: dict[str, str] = {
    "digits": "1,797 handwritten digits, 8x8 grey, 10 classes; comes with scikit-learn",
    "fashion-mnist": "60,000 + 10,000 articles of clothing, 28x28 grey, 10 classes",
}
"""Each name that `open_data` knows, with one line on what it is."""

ARRAY_SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def check_data(data: str) -> None:
    """Refuses what is neither a name nor a path that can be opened."""
    if is_url(data):
        need_fsspec(data)
    elif data not in NAMES and not is_shards(data):
        existing_path(data)


def existing_path(data: str | Path) -> Path:
    """The existing folder or array file that `data` names.

    Raises:
        TwofoldError: If it leads nowhere or to something that cannot be opened, with the nearest
            name.

    Example:
        >>> existing_path("digit")
        Traceback (most recent call last):
        twofold.errors.TwofoldError: unknown data 'digit'; did you mean 'digits'? ...
    """
    if data == "":  # which Path would take for the current folder
        raise unknown("data", data, NAMES)
    path = Path(data).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix.lower() in ARRAY_SUFFIXES):
        return path
    for one, suffixes in (("image", IMAGE_SUFFIXES), ("recording", AUDIO_SUFFIXES)):
        if path.is_file() and path.suffix.lower() in suffixes:
            raise TwofoldError(f"'{data}' is a single {one}; give the folder that holds the {one}s")
    if path.exists():
        raise TwofoldError(
            f"'{data}' is not a folder of images, and twofold opens no "
            f"{path.suffix or 'such'} files; it opens {', '.join(ARRAY_SUFFIXES)}"
        )
    if isinstance(data, str) and path.name == data and not path.suffix:
        known = [*NAMES, *(entry.name for entry in _entries(Path()) if entry.is_dir())]
        guess = nearest(data, known)
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise TwofoldError(
            f"unknown data {data!r}{hint} (known: {', '.join(NAMES)}, or the path of a folder "
            f"or of a {', '.join(ARRAY_SUFFIXES)} file)"
        )
    guess = nearest(path.name, [entry.name for entry in _entries(path.parent)])
    hint = f"; did you mean '{path.parent / guess}'?" if guess else "; check the path"
    raise TwofoldError(f"'{data}' does not exist{hint}")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
