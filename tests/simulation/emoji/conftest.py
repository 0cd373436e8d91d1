"""Icon sets that cost nothing, packed as npm packs them."""

import io
import json
import tarfile

import pytest

HEART = '<circle cx="8" cy="8" r="6" fill="{}"/>'


def pack(folder, name, icons, *, version="1.0.0", aliases=None, codes=None, categories=None):
    """Writes the package of a set whose icons are SVG bodies, or whole entries, by name."""
    entries = {key: {"body": i} if isinstance(i, str) else i for key, i in icons.items()}
    members = {
        "icons": {"prefix": name, "icons": entries, "aliases": aliases or {}},
        "info": {"author": {"name": f"{name}'s artist"}, "license": {"spdx": "MIT"}},
        "metadata": {} if categories is None else {"categories": categories},
        "chars": codes or {},
        "package": {"version": version},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"iconify-json-{name}-{version}.tgz"
    with tarfile.open(path, "w:gz") as packed:
        for key, value in members.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(f"package/{key}.json")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(scope="session")
def pack_set():
    """A writer of packages: `pack_set(folder, name, icons, ...)`."""
    return pack


@pytest.fixture
def three_sets(tmp_path):
    """A folder of three sets: two that share two concepts, and one that has a third of its own."""
    folder = tmp_path / "packages"
    red, blue = HEART.format("red"), HEART.format("blue")
    pack(
        folder,
        "noto",
        {"heart": red, "star": blue, "man-artist": red, "lonely": red},
        categories={"Symbols": ["heart", "lonely"], "Nature": ["star"], "People": ["man-artist"]},
        codes={"2764-fe0f": "heart"},
    )
    pack(
        folder,
        "openmoji",
        {"heavy-heart": red, "sun": blue, "man-artist": blue},
        aliases={"star": {"parent": "sun"}, "moon": {"parent": "heavy-heart", "hFlip": True}},
        codes={"2764": "heavy-heart"},
    )
    pack(folder, "toy", {"heart": blue, "moon": red})
    return folder
