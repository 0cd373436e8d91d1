"""Arrays by name in .npz files: archives that are none, and parts that disagree."""

import io
import zipfile
from pathlib import Path

import numpy as np
from malformed import PREVIEW, Refused, npy, put
from malformed_npy import CALL, STATES, planted

_SOUND = np.arange(640, dtype=np.uint8).reshape(10, 8, 8)
_LABELS = PREVIEW + " --label-key labels"
_GROUPS = PREVIEW + " --group-key groups"
_TIMES = PREVIEW + " --time-key times"


def _npz(name: str, words: str, command: str = PREVIEW, **arrays: object) -> Refused:
    def write(at: Path) -> None:
        np.savez(at / "x.npz", **arrays)

    return Refused(f"npz {name}", write, words, "x.npz", command)


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A .npz file whose members may be anything."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return file.getvalue()


def _zip(
    name: str, contents: bytes, words: str = "cannot read '.*x.npz': .", command: str = PREVIEW
) -> Refused:
    return Refused(f"npz {name}", put("x.npz", contents), words, "x.npz", command)


def _swapped(before: bytes, after: bytes, *, member: bytes = npy()) -> bytes:
    return zipped({"images.npy": member}).replace(before, after)


def _encrypted() -> bytes:
    """Marked as encrypted, at the member and in the directory."""
    held = bytearray(zipped({"images.npy": npy()}, zipfile.ZIP_STORED))
    held[6] |= 1
    held[held.index(b"PK\x01\x02") + 8] |= 1
    return bytes(held)


def _of_method(method: int) -> bytes:
    held = bytearray(zipped({"images.npy": npy()}))
    held[8] = method
    held[held.index(b"PK\x01\x02") + 10] = method
    return bytes(held)


def _broken(how: int) -> bytes:
    """The middle of its contents turned over."""
    held = bytearray(zipped({"images.npy": npy(data=np.random.default_rng(0).bytes(256))}, how))
    held[200] ^= 0xFF
    return bytes(held)


def _twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", npy())
        archive.writestr("images", npy((4, 8, 8), data=bytes([1]) * 256))
    return file.getvalue()


_TEN = np.arange(10)

REFUSED = [
    _zip("of no bytes", b""),
    _zip("of text", b"PK no archive"),
    _zip("cut in half", zipped({"images.npy": npy()})[:120]),
    _zip("without its directory", zipped({"images.npy": npy()})[:-30]),
    _zip("of nothing", zipped({}), "holds no images .*, but nothing"),
    _zip("of a text", zipped({"readme.txt": b"hello"})),
    _zip("of an array of text", zipped({"images.npy": b"hello"})),
    _zip("of an empty member", zipped({"images.npy": b""})),
    _zip("of another archive", zipped({"images.npy": zipped({"images.npy": npy()})})),
    _zip("with broken contents", _broken(zipfile.ZIP_STORED)),
    _zip("with broken packing", _broken(zipfile.ZIP_DEFLATED)),
    _zip("that is encrypted", _encrypted()),
    _zip("packed in a way that there is none of", _of_method(99)),
    _zip("with fewer numbers than it says", zipped({"images.npy": npy((400, 8, 8))})),
    _zip(
        "of 10^12 images",
        zipped({"images.npy": npy((10**12, 8, 8))}),
        "asks for more memory than there is",
    ),
    _zip("of a negative shape", zipped({"images.npy": npy((-4, 8, 8))}), "x.npz"),
    _zip(
        "of more bytes than a number can count",
        zipped({"images.npy": npy((2**62, 2**62, 8))}),
        "x.npz",
    ),
    _zip("whose header is 9,000 signs deep", zipped({"images.npy": npy(header="-" * 9000 + "1")})),
    _zip("whose header calls a function", zipped({"images.npy": npy(header=CALL)})),
    _zip(
        "whose header is 1 MB", zipped({"images.npy": npy(header=" " * 10**6, version=b"\x02\x00")})
    ),
    _zip("of a member of version 9.9", zipped({"images.npy": npy(version=b"\x09\x09")})),
    _zip("of the same name twice", _twice(), "several arrays|twice|more than once"),
    _zip(
        "of names that lead elsewhere",
        zipped({"../../a.npy": npy(), "/etc/b.npy": npy()}),
        "several arrays that could be the images; name one",
    ),
    _npz("of pickled objects", "holds no images", images=planted((4, 8, 8))),
    _npz(
        "of pickled objects by name",
        "pickled objects, which could run code",
        PREVIEW + " --key images",
        images=planted((4, 8, 8)),
    ),
    _npz(
        "of pickled labels",
        "pickled objects, which could run code|object",
        _LABELS,
        images=_SOUND,
        labels=planted((10,)),
    ),
    _npz("of NaN", "NaN or infinite", images=np.full((4, 8, 8), np.nan)),
    _npz("of no images", "holds no images|none of them 0", images=np.zeros((0, 8, 8))),
    _npz(
        "of several images",
        "several arrays that could be the images; name one by key=",
        a=_SOUND,
        b=_SOUND,
    ),
    _npz(
        "without the named array",
        "has no array 'imges'; did you mean 'images'",
        PREVIEW + " --key imges",
        images=_SOUND,
    ),
    _npz("without the named labels", "has no array 'labels'", _LABELS, images=_SOUND),
    _npz("without the named groups", "has no array 'groups'", _GROUPS, images=_SOUND),
    _npz(
        "of 9 labels for 10 images",
        "has 9 labels for 10 items",
        _LABELS,
        images=_SOUND,
        labels=_TEN[:9],
    ),
    _npz(
        "of no labels for 10 images",
        "has 0 labels for 10 items|labels",
        _LABELS,
        images=_SOUND,
        labels=_TEN[:0],
    ),
    _npz(
        "of labels in two dimensions",
        "labels must be \\(n,\\)",
        _LABELS,
        images=_SOUND,
        labels=np.ones((10, 2), int),
    ),
    _npz(
        "of NaN as label",
        "NaN or infinite labels, or too large ones; leave",
        _LABELS,
        images=_SOUND,
        labels=_TEN * np.nan,
    ),
    _npz(
        "of labels that are complex",
        "labels are whole numbers",
        _LABELS,
        images=_SOUND,
        labels=_TEN * 1j,
    ),
    _npz(
        "of labels that are dates",
        "labels are whole numbers",
        _LABELS,
        images=_SOUND,
        labels=_TEN.astype("datetime64[s]"),
    ),
    _npz(
        "of labels that are no UTF-8",
        "labels.*UTF-8",
        _LABELS,
        images=_SOUND,
        labels=np.array([b"\xff\xfe"] * 10),
    ),
    _npz(
        "of labels too large to count", "labels", _LABELS, images=_SOUND, labels=np.full(10, 1e300)
    ),
    _npz("of 9 ids for 10 images", "has 9 ids for 10 items", images=_SOUND, ids=_TEN[:9]),
    _npz(
        "of an id that occurs twice",
        "the id '1' of 'x' occurs more than once",
        images=_SOUND,
        ids=np.array([1, 1, *range(8)]),
    ),
    _npz(
        "of ids that are pickled",
        "pickled objects, which could run code",
        images=_SOUND,
        ids=planted((10,)),
    ),
    _npz(
        "of 9 groups for 10 images",
        "has 9 groups for 10 items",
        _GROUPS,
        images=_SOUND,
        groups=_TEN[:9],
    ),
    _npz(
        "of one group",
        "one group; a split needs at least two",
        _GROUPS,
        images=_SOUND,
        groups=_TEN * 0,
    ),
    _npz("of NaN as group", "fractions or NaN", _GROUPS, images=_SOUND, groups=np.full(10, np.nan)),
    _npz(
        "of groups without a name",
        "is empty for item 0; name its group",
        _GROUPS,
        images=_SOUND,
        groups=np.array([""] * 10),
    ),
    _npz(
        "of groups in two dimensions",
        "groups must be \\(n,\\)",
        _GROUPS,
        images=_SOUND,
        groups=np.ones((10, 2), int),
    ),
    _npz(
        "of infinite times",
        "NaN or infinity for 10 of 10 items; leave",
        _TIMES,
        images=_SOUND,
        times=np.full(10, np.inf),
    ),
    _npz(
        "of words as times",
        "times must be \\(n,\\), a number",
        _TIMES,
        images=_SOUND,
        times=np.array(["now"] * 10),
    ),
    _npz(
        "of 9 times for 10 images",
        "has 9 times for 10 items",
        _TIMES,
        images=_SOUND,
        times=_TEN[:9],
    ),
    _npz(
        "whose test images have another size",
        "shape .* train items",
        x_train=_SOUND,
        x_test=_SOUND[:, :4],
    ),
    _npz(
        "whose test images have another type",
        "must have the same type",
        x_train=_SOUND,
        x_test=_SOUND.astype(float),
    ),
    _npz("whose test images are none", "none of them 0", x_train=_SOUND, x_test=_SOUND[:0]),
    _npz("of one orbit", "holds one orbit", STATES, X=np.ones((9, 4)), orbit=np.zeros(9, int)),
    _npz(
        "of orbits of another number",
        "orbits|groups",
        STATES,
        X=np.ones((9, 4)),
        orbit=np.arange(8),
    ),
]
"""Each a file that no command opens."""
