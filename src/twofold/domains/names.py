"""Every domain by name, and how to tell which one some data are of. Imports nothing heavy."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.domains.audio.domain import RECORDINGS
from twofold.domains.audio.names import AUDIO_SUFFIXES
from twofold.domains.domain import Domain
from twofold.domains.image.domain import IMAGES
from twofold.domains.image.names import IMAGE_SUFFIXES, NAMES
from twofold.domains.jet.domain import JETS
from twofold.domains.shard_index import is_shards, read_index
from twofold.domains.trajectory.domain import TRAJECTORIES
from twofold.errors import TwofoldError, unknown

if TYPE_CHECKING:
    from twofold.domains.source import Data

DOMAINS: dict[str, Domain] = {
    domain.name: domain for domain in (IMAGES, RECORDINGS, JETS, TRAJECTORIES)
}
"""Every domain by name."""

_JET_KEY, _RATE = "X_jets", "sample_rate"
_HDF5 = (".h5", ".hdf5")
_SUFFIXES = {*_HDF5, ".npz", *AUDIO_SUFFIXES}


def domain_by_name(name: str) -> Domain:
    """The domain of that name.

    Raises:
        TwofoldError: If no domain goes by that name.
    """
    if name not in DOMAINS:
        raise unknown("domain", name, DOMAINS)
    return DOMAINS[name]


def check_domain(data: Data, name: str) -> None:
    """Refuses data of another domain.

    Raises:
        TwofoldError: With both names.
    """
    if data.train.domain != name:
        raise TwofoldError(
            f"'{data.name}' holds {DOMAINS[data.train.domain].items}, and this is for "
            f"{DOMAINS[name].items}; say --domain {data.train.domain}, or give other data"
        )


def told(data: object) -> str:
    """The name of the domain that data are of: what they say themselves, else `image`.

    An opened set says it, and so does an HDF5 file by its attribute `domain`, by holding `X_jets`,
    rows of numbers `X` with an `orbit` each, or a `sample_rate`, as an .npz file may, too. Of a
    folder, and of a list of files, the first file decides.

    Example:
        >>> told("digits")
        'image'
    """
    source = getattr(data, "train", data)
    if isinstance(named := getattr(source, "domain", None), str):
        return named
    if isinstance(data, Sequence) and not isinstance(data, str) and data:
        data = min(map(str, data)) if all(isinstance(one, str | Path) for one in data) else None
    if not isinstance(data, str | Path) or data in NAMES:
        return "image"
    if is_shards(data):
        return read_index(data).domain
    path = Path(data).expanduser()
    file = _first_file(path) if path.is_dir() else path
    if file is None or file.suffix.lower() not in _SUFFIXES:
        return "image"
    return "audio" if file.suffix.lower() in AUDIO_SUFFIXES else _told_by(file)


def _first_file(folder: Path) -> Path | None:
    """The first file of items, those nearest to the root first; the rest is not looked at."""
    known = _SUFFIXES | {*IMAGE_SUFFIXES}
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in known and not name.startswith("."):
                return Path(place, name)
    return None


def _told_by(path: Path) -> str:
    """The domain that a file of arrays says its items are of."""
    from twofold.domains.damage import UNREADABLE

    try:
        if path.suffix.lower() not in _HDF5:
            with zipfile.ZipFile(path) as archive:
                return "audio" if f"{_RATE}.npy" in archive.namelist() else "image"
        return _told_by_hdf5(path)
    except UNREADABLE:  # that it cannot be read is told where it is opened
        return "image"


def _told_by_hdf5(path: Path) -> str:
    import h5py

    from twofold.domains.damage import check_texts

    check_texts(path)
    with h5py.File(path, "r") as file:
        if (said := str(file.attrs.get("domain", ""))) in DOMAINS:
            return said
        if any(str(key).startswith(_JET_KEY) for key in file):
            return "jet"
        if "orbit" in file and len(getattr(file.get("X"), "shape", ())) == 2:
            return "trajectory"
        return "audio" if _RATE in file.attrs or _RATE in file else "image"
