"""Every domain by name, and how to tell which one some data are of. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.domains.domain import Domain
from twofold.domains.image.domain import IMAGES
from twofold.domains.image.names import IMAGE_SUFFIXES, NAMES
from twofold.domains.jet.domain import JETS
from twofold.domains.trajectory.domain import TRAJECTORIES
from twofold.errors import TwofoldError, unknown

if TYPE_CHECKING:
    from twofold.domains.source import Data

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (IMAGES, JETS, TRAJECTORIES)}
"""Every domain by name."""

_JET_KEY, _SUFFIXES = "X_jets", {".h5", ".hdf5"}


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

    An opened set says it, and so does an HDF5 file by its attribute `domain` or by holding
    `X_jets`. Of a folder, and of a list of files, the first file decides.

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
    path = Path(data).expanduser()
    file = _first_file(path) if path.is_dir() else path
    return _told_by(file) if file is not None and file.suffix.lower() in _SUFFIXES else "image"


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
    """The domain that an HDF5 file says its items are of."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if (said := str(file.attrs.get("domain", ""))) in DOMAINS:
                return said
            return "jet" if any(str(key).startswith(_JET_KEY) for key in file) else "image"
    except OSError:  # that it cannot be read is told where it is opened
        return "image"
