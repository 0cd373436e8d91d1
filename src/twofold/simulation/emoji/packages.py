"""Packages of icon sets: fetched by npm, or already in a folder, and read as they are packed."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from twofold.domains.cache import cache_folder
from twofold.errors import TwofoldError, unknown
from twofold.plain import plain_from_json
from twofold.simulation.emoji.sets import SETS

_NOT_AS_PACKED = (ValueError, KeyError, TypeError, AttributeError)  # JSON of another shape
_CODES = ("code ", "errno ", "syscall ")  # how npm begins to tell what went wrong
_PATIENCE = 300  # seconds for all packages, some 12 MB
_IMPATIENT = (  # without a network npm tries for minutes; in milliseconds
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=3000",
    "--fetch-timeout=60000",
)
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="1" height="1" viewBox="{left} {top} {width} {height}">{body}</svg>'
)  # a square, in the middle of which an oblong drawing is fitted
_LARGEST = 256 * 2**20  # bytes of a file in a package; some have 20 MiB
_SIDE = 16  # of an icon whose package does not say it, by the format's rule


@dataclass(frozen=True)
class Drawing:
    """One drawing of an artist."""

    name: str
    """What its set calls it, such as `red-heart`."""
    others: tuple[str, ...]
    """Its other names, and its code points."""
    category: str
    """Of its set's categories; blank if in none."""
    svg: str
    """The drawing itself."""


@dataclass(frozen=True)
class IconSet:
    """All drawings of an artist."""

    name: str
    version: str
    licence: str
    """As SPDX calls it."""
    author: str
    drawings: tuple[Drawing, ...]


def fetch_packages(names: Sequence[str], cache: str | Path | None = None) -> list[Path]:
    """The packages of some sets, fetched by npm where the cache lacks them.

    Args:
        names: Of `SETS`.
        cache: Folder of decoded data; see `cache_folder`.

    Raises:
        TwofoldError: If a set is unknown, npm is missing or fails, or a package is another than
            the pinned one.
    """
    for name in names:
        if name not in SETS:
            raise unknown("set", name, SETS)
    folder = cache_folder(cache) / "simulate" / "emoji"
    paths = {name: folder / f"iconify-json-{name}-{SETS[name].version}.tgz" for name in names}
    missing = [name for name, path in paths.items() if _digest(path) != SETS[name].sha256]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as fetched:
            _pack(missing, Path(fetched))
            for name in missing:
                _keep(Path(fetched) / paths[name].name, name, paths[name])
    return list(paths.values())


def find_packages(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """The packages that lie in a folder, as `npm pack` names their files.

    Args:
        folder: Whatever versions it holds are taken as they are.
        names: Of the sets, in this order; all there are if none.

    Raises:
        TwofoldError: If there is no such folder, none of a set, or several.
    """
    if not folder.is_dir():
        raise TwofoldError(f"packages is {folder}; there is no such folder")
    files = sorted(folder.glob("*.tgz"))
    if not files:
        raise TwofoldError(
            f"packages is {folder}, which holds no .tgz; fetch one there, as by "
            "`npm pack @iconify-json/noto`"
        )
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(_set_of(file), []).append(file)
    order = list(SETS)
    known = sorted(by_name, key=lambda name: (order.index(name) if name in SETS else 99, name))
    for name in names:
        if name not in by_name:
            raise unknown("set", name, known)
    chosen = [(name, by_name[name]) for name in names or known]
    for name, found in chosen:
        if len(found) > 1:
            raise TwofoldError(
                f"{folder} holds several packages of {name}: "
                f"{', '.join(file.name for file in found)}; leave one there"
            )
    return [found[0] for _, found in chosen]


def read_package(path: Path) -> IconSet:
    """The drawings in a package: those that their artist shows, with every name of each.

    Raises:
        TwofoldError: If it is damaged, or no package of icons.
    """
    try:
        with tarfile.open(path, "r:gz") as packed:
            icons, info, metadata, codes, package = (
                _member(packed, name, optional=name in {"chars", "metadata", "info"})
                for name in ("icons", "info", "metadata", "chars", "package")
            )
        return _icon_set(icons, info, metadata, codes, version=str(package["version"]))
    except (OSError, EOFError, tarfile.TarError, zlib.error, *_NOT_AS_PACKED) as error:
        raise TwofoldError(
            f"{path} is damaged or no package of icons ({error}); delete it and fetch it again"
        ) from None


def _icon_set(icons: Any, info: Any, metadata: Any, codes: Any, *, version: str) -> IconSet:
    shown = {name: icon for name, icon in icons["icons"].items() if not icon.get("hidden")}
    others: dict[str, list[str]] = {name: [] for name in shown}
    for alias, how in sorted(icons.get("aliases", {}).items()):
        if set(how) == {"parent"} and how["parent"] in shown:  # others are turned or mirrored
            others[how["parent"]].append(alias)
    for code, name in sorted(codes.items()):
        if name in shown:
            others[name].append(f"U+{_without_selector(code)}")
    categories: dict[str, str] = {}
    for category, names in metadata.get("categories", {}).items():
        for name in names:
            categories.setdefault(name, category)
    if not isinstance(icons["prefix"], str):
        raise ValueError(f"its prefix is {icons['prefix']!r}")
    return IconSet(
        name=icons["prefix"],
        version=version,
        licence=info.get("license", {}).get("spdx", "unknown"),
        author=info.get("author", {}).get("name", "unknown"),
        drawings=tuple(
            Drawing(name, tuple(others[name]), categories.get(name, ""), _svg(icons, shown[name]))
            for name in sorted(shown)
        ),
    )


def _svg(icons: Any, icon: Any) -> str:
    """A drawing on its own; what it does not say of its place, its set says."""
    default = {"left": 0, "top": 0, "width": _SIDE, "height": _SIDE}
    place = {name: icon.get(name, icons.get(name, value)) for name, value in default.items()}
    if not isinstance(icon["body"], str) or not all(
        isinstance(n, int | float) for n in place.values()
    ):
        raise ValueError(f"a drawing is {icon!r:.60}")
    return _SVG.format(**place, body=icon["body"])


def _without_selector(code: str) -> str:
    """Code points without the one that asks for colours, which not every set writes."""
    return "-".join(point for point in code.split("-") if point != "fe0f")


def _member(packed: tarfile.TarFile, name: str, *, optional: bool) -> Any:
    """One JSON file of a package, read where it lies; empty if it may be missing and is."""
    try:
        member = packed.getmember(f"package/{name}.json")
    except KeyError:
        if optional:
            return {}
        raise
    # No link is followed, and a small package must not unpack to more than memory holds.
    file = packed.extractfile(member) if member.isreg() and member.size <= _LARGEST else None
    if file is None:
        raise ValueError(f"{name}.json is no file of up to {_LARGEST / 2**20:.0f} MiB")
    return plain_from_json(file.read())


def _set_of(file: Path) -> str:
    """The set that a file is named for: `noto` of `iconify-json-noto-1.2.9.tgz`."""
    return file.stem.removeprefix("iconify-json-").rpartition("-")[0] or file.stem


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _pack(names: Sequence[str], folder: Path) -> None:
    """Lets npm fetch packages into a folder."""
    npm = shutil.which("npm")
    remedy = "or name a folder of packages that are already there as --packages"
    if npm is None:
        raise TwofoldError(f"npm, which fetches the drawings, is not found; install it, {remedy}")
    specs = [f"@iconify-json/{name}@{SETS[name].version}" for name in names]
    command = [npm, "pack", "--ignore-scripts", "--loglevel=error", *_IMPATIENT, *specs]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise TwofoldError(
            f"npm has not fetched {', '.join(names)} in {_PATIENCE} s; try again, {remedy}"
        ) from None
    if done.returncode:
        said = [line.removeprefix("npm error ") for line in done.stderr.splitlines()]
        reason = next((line for line in said if line and not line.startswith(_CODES)), "")
        raise TwofoldError(
            f"npm cannot fetch {', '.join(names)} ({reason or f'status {done.returncode}'}); "
            f"look after the network, {remedy}"
        )


def _keep(fetched: Path, name: str, path: Path) -> None:
    """Puts a package into its place if it is the one that is meant."""
    found = _digest(fetched)
    if found != SETS[name].sha256:
        raise TwofoldError(
            f"the package of {name} {SETS[name].version} has SHA-256 {found[:12] or 'none'}, not "
            f"{SETS[name].sha256[:12]}; it was changed on its way or where it is kept, and is not "
            "used"
        )
    fetched.replace(path)
