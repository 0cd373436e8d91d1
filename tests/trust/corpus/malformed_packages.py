"""Packages of drawings, from npm or a stranger: archives that lie, JSON of another shape."""

import gzip
import io
import json
import tarfile
from pathlib import Path

from malformed import Refused

_COMMAND = "simulate emoji --packages {at} --out {at}/x.h5 --workers 1 --quiet"
_SQUARE = '<rect width="8" height="8" fill="red"/>'


def _icons(prefix: object = "b", **changes: object) -> dict[str, object]:
    sound = {"prefix": prefix, "icons": {"red-heart": {"body": _SQUARE}}, "width": 16, "height": 16}
    return sound | changes


def package(members: dict[str, object], **links: str) -> bytes:
    """A .tgz as npm packs it; members that are no bytes are written as JSON."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, contents in members.items():
            held = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(held)
            archive.addfile(member, io.BytesIO(held))
        for name, target in links.items():
            member = tarfile.TarInfo(f"package/{name}.json")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return file.getvalue()


def _sound(name: str) -> bytes:
    members = {
        "icons.json": _icons(name),
        "package.json": {"version": "1.0.0"},
        "chars.json": {"2764": "red-heart"},
        "metadata.json": {"categories": {"Symbols": ["red-heart"]}},
    }
    return package(members)


def _bad(
    name: str, contents: bytes, words: str = "is damaged or no package of icons .*; delete it"
) -> Refused:
    def write(at: Path) -> None:
        (at / "iconify-json-a-1.0.0.tgz").write_bytes(_sound("a"))
        (at / "iconify-json-b-1.0.0.tgz").write_bytes(contents)

    return Refused(f"package {name}", write, words, "", _COMMAND)


def _of(
    name: str,
    icons: object,
    words: str = "is damaged or no package of icons .*; delete it",
    **more: object,
) -> Refused:
    members = {"icons.json": icons, "package.json": {"version": "1.0.0"}}
    return _bad(
        name, package(members | {f"{key}.json": value for key, value in more.items()}), words
    )


def _bomb() -> bytes:
    """A member of 1 GiB of spaces in a megabyte."""
    member = tarfile.TarInfo("package/icons.json")
    member.size = 2**30
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        packed.write(member.tobuf())
        for _ in range(64):
            packed.write(b" " * 2**20)
    return file.getvalue()


REFUSED = [
    _bad("of no bytes", b""),
    _bad("of text", b"no archive"),
    _bad("cut in half", _sound("b")[:150]),
    _bad("without an end", _sound("b")[:-60]),
    _bad("with broken contents", _sound("b")[:60] + b"\xff" * 40 + _sound("b")[100:]),
    _bad("of nothing", package({})),
    _bad("of other files", package({"readme.md": b"hello"})),
    _bad("of names that lead elsewhere", package({"../../../planted": b"x", "/tmp/planted": b"x"})),
    _bad(
        "whose icons are a link", package({"package.json": {"version": "1"}}, icons="/etc/passwd")
    ),
    _bad(
        "whose icons are a link to itself",
        package({"package.json": {"version": "1"}}, icons="icons.json"),
    ),
    _bad("that unpacks to 1 GiB", _bomb()),
    _of("of text as icons", b"hello"),
    _of("of icons nested without end", b"[" * 10**5),
    _of("of icons that are a list", []),
    _of("of icons that are a number", 7),
    _of("without a prefix", {"icons": {}}),
    _of("of icons that are words", _icons(icons="all")),
    _of("of an icon that is a number", _icons(icons={"red-heart": 7})),
    _of("of an icon without a body", _icons(icons={"red-heart": {}})),
    _of("of a body that is a number", _icons(icons={"red-heart": {"body": 7}})),
    _of(
        "of a body that is no SVG",
        _icons(icons={"red-heart": {"body": "<rect"}}),
        "drawing .* cannot be read",
        chars={"2764": "red-heart"},
    ),
    _of("of a side that is words", _icons(width="wide"), chars={"2764": "red-heart"}),
    _of("of a prefix that is a list", _icons(["b"])),
    _of("of aliases that are words", _icons(aliases="all")),
    _of("of aliases of nothing", _icons(aliases={"heart": 7})),
    _of("of codes that are a list", _icons(), chars=["red-heart"]),
    _of("of categories that are a list", _icons(), metadata={"categories": ["red-heart"]}),
    _of("of a licence that is words", _icons(), info={"license": "free"}),
    Refused(
        "packages that are missing", lambda at: None, "holds no .tgz; fetch one there", "", _COMMAND
    ),
    Refused(
        "packages twice",
        lambda at: [(at / f"iconify-json-a-{v}.tgz").write_bytes(_sound("a")) for v in "12"],
        "several packages of a",
        "",
        _COMMAND,
    ),
]
"""Each a package that nothing is drawn from."""
