"""HDF5 files: links that lead elsewhere, parts that are missing, contents that are broken."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from malformed import PREVIEW, Kept, Refused

_SOUND = np.arange(640, dtype=np.uint8).reshape(10, 8, 8)
_LABELS = PREVIEW + " --label-key labels"
_JETS = np.ones((10, 8, 8, 3), np.float32)


def _file(fill: Callable[[h5py.File], object], change: Callable[[bytes], bytes] | None = None):
    """What writes an HDF5 file, and then changes its bytes."""

    def write(at: Path) -> None:
        path = at / "x.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        if change is not None:
            path.write_bytes(change(path.read_bytes()))

    return write


def _h5(name: str, fill, words: str, command: str = PREVIEW, change=None) -> Refused:
    return Refused(f"hdf5 {name}", _file(fill, change), words, "x.h5", command)


def _of(**arrays: object):
    def fill(file: h5py.File) -> None:
        for name, array in arrays.items():
            file[name] = array

    return fill


def _chunked(file: h5py.File) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
    file.create_dataset("images", data=noise, chunks=(8, 8, 8), compression="gzip", fletcher32=True)


def _turned(share: float) -> Callable[[bytes], bytes]:
    def change(held: bytes) -> bytes:
        place = int(share * len(held))
        return held[:place] + bytes(b ^ 0xFF for b in held[place : place + 64]) + held[place + 64 :]

    return change


def _endless(held: bytes) -> bytes:
    """Texts of which the first, with its 16 bytes of header, takes 2^64 bytes, which HDF5 counts
    as none: it looks for the second there, again and again."""
    size = held.index(b"GCOL") + 24
    return held[:size] + (2**64 - 16).to_bytes(8, "little") + held[size + 8 :]


def _linked(at: Path) -> None:
    with h5py.File(at / "other.h5", "w") as other:
        other["images"] = _SOUND
    with h5py.File(at / "x.h5", "w") as file:
        file["images"] = h5py.ExternalLink(str(at / "other.h5"), "/images")


def _linked_below(at: Path) -> None:
    with h5py.File(at / "x.h5", "w") as file:
        file["images"] = _SOUND
        file["more/labels"] = h5py.ExternalLink("/etc/passwd", "/labels")


def _raw_elsewhere(at: Path) -> None:
    (at / "secret.bin").write_bytes(bytes(640))
    with h5py.File(at / "x.h5", "w") as file:
        place = [(str(at / "secret.bin"), 0, 640)]
        file.create_dataset("images", (10, 8, 8), "u1", external=place)


def _virtual(at: Path) -> None:
    with h5py.File(at / "other.h5", "w") as other:
        other["images"] = _SOUND
    layout = h5py.VirtualLayout((10, 8, 8), "u1")
    layout[:] = h5py.VirtualSource(str(at / "other.h5"), "images", (10, 8, 8))
    with h5py.File(at / "x.h5", "w") as file:
        file.create_virtual_dataset("images", layout)


def _cycle(file: h5py.File) -> None:
    file["images"] = _SOUND
    file["again"] = file["/"]


def _claims(shape: tuple[int, ...], **how: object):
    def fill(file: h5py.File) -> None:
        file.create_dataset("images", shape, "u1", **how)

    return fill


def _partly(*rows: int, name: str = "images", grown: bool = False, **how: object):
    """Ten rows in chunks of two, of which some were written."""

    def fill(file: h5py.File) -> None:
        whole = {"images": _SOUND, "labels": np.arange(10), "ids": np.arange(10).astype(bytes)}
        for key, values in whole.items():
            if key != name:
                file[key] = values
        values = whole[name]
        size = (len(rows), *values.shape[1:]) if grown else values.shape
        node = file.create_dataset(
            name, size, values.dtype, chunks=(2, *values.shape[1:]), maxshape=values.shape, **how
        )
        for row in rows:
            node[row] = values[row]
        node.resize(values.shape)

    return fill


def _named_classes(file: h5py.File) -> None:
    file["images"], file["labels"] = _SOUND, np.arange(10)
    file["labels"].attrs["classes"] = ["cat", "dog"]


_UNREAD = "cannot read '.*x.h5': ."

REFUSED = [
    _h5("of no bytes", _of(), _UNREAD, change=lambda held: b""),
    _h5("of text", _of(), _UNREAD, change=lambda held: b"no HDF5"),
    _h5("of its signature", _of(), _UNREAD, change=lambda held: held[:8]),
    _h5(
        "cut in half",
        _chunked,
        "truncated\\); copy it again",
        change=lambda held: held[: len(held) // 2],
    ),
    _h5(
        "without its last byte",
        _chunked,
        "truncated\\); copy it again",
        change=lambda held: held[:-1],
    ),
    _h5("with a broken chunk", _chunked, _UNREAD, change=_turned(0.8)),
    _h5("with a broken header", _chunked, "x.h5", change=_turned(0.005)),
    _h5(
        "with broken object headers",
        _of(images=_SOUND, labels=np.arange(10)),
        "x.h5",
        change=_turned(0.06),
    ),
    _h5("of nothing", _of(), "holds no images .*, but nothing"),
    _h5("of empty groups", lambda file: file.create_group("images"), "holds no images"),
    _h5("of an empty dataset", _of(images=h5py.Empty("f4")), "holds no images"),
    _h5("of one number", _of(images=7), "holds no images"),
    _h5("of words", _of(images="hello"), "holds no images"),
    _h5("of records", _of(images=np.zeros((10, 8, 8), [("a", "f4")])), "holds no images"),
    _h5(
        "of references",
        lambda file: file.create_dataset("images", (10, 8, 8), h5py.ref_dtype),
        "holds no images",
    ),
    _h5(
        "of lists of several lengths",
        lambda file: file.create_dataset("images", (10, 8, 8), h5py.vlen_dtype("u1")),
        "holds no images",
    ),
    _h5(
        "without the named array",
        _of(images=_SOUND),
        "has no array 'imges'; did you mean 'images'",
        PREVIEW + " --key imges",
    ),
    _h5("without the named labels", _of(images=_SOUND), "has no array 'labels'", _LABELS),
    _h5("of several images", _of(a=_SOUND, b=_SOUND), "name one by key="),
    _h5("of NaN", _of(images=np.full((4, 8, 8), np.nan)), "256 values that are NaN or infinite"),
    _h5("of no images", _of(images=np.zeros((0, 8, 8))), "none of them 0"),
    _h5("of 10^12 images that are not there", _claims((10**12, 8, 8), chunks=(64, 8, 8)), "memory"),
    _h5("of chunks of 3 GiB", _claims((10**9, 8, 8), chunks=(3 * 2**24, 8, 8)), "memory"),
    _h5(
        "of which the end was never written",
        _partly(*range(6)),
        "cannot read '.*x.h5': 2 of 5 chunks of images \\(10, 8, 8\\) were never written, the "
        "first at row 6; write the rest, or leave those rows out",
    ),
    _h5(
        "that was made longer than it was written",
        _partly(*range(4), grown=True, compression="gzip"),
        "3 of 5 chunks of images .* were never written, the first at row 4;",
    ),
    _h5(
        "with a gap, whatever it says of what is missing",
        _partly(0, 1, 2, 3, 8, fillvalue=7),
        "2 of 5 chunks of images .* were never written, the first at row 4;",
    ),
    _h5(
        "of chunks that are part of an image",
        lambda file: file.create_dataset("images", (10, 8, 8), "u1", chunks=(4, 8, 3)).__setitem__(
            np.s_[:, :, :3], 1
        ),
        "6 of 9 chunks of images .* were never written, the first at row 0;",
    ),
    _h5(
        "of labels of which some were never written",
        _partly(*range(8), name="labels"),
        "1 of 5 chunks of labels \\(10,\\) were never written, the first at row 8;",
        _LABELS,
    ),
    _h5(
        "of ids of which some were never written",
        _partly(*range(8), name="ids"),
        "1 of 5 chunks of ids \\(10,\\) were never written, the first at row 8;",
    ),
    _h5("of which nothing was written", _claims((10, 8, 8)), "images .* were never written; write"),
    _h5(
        "of chunks of which none was written",
        _claims((10, 8, 8), chunks=(2, 8, 8)),
        "the values of images .* were never written; write it again",
    ),
    _h5(
        "of texts that were never written",
        lambda file: (
            file.__setitem__("images", _SOUND),
            file.create_dataset("labels", (10,), h5py.string_dtype()),
        ),
        "the values of labels .* were never written",
        _LABELS,
    ),
    _h5(
        "of 9 labels for 10 images",
        _of(images=_SOUND, labels=np.arange(9)),
        "has 9 labels for 10 items",
    ),
    _h5(
        "of labels that are no UTF-8",
        _of(images=_SOUND, labels=np.array([b"\xff\xfe"] * 10)),
        "x.h5.*codec can't decode|UTF-8",
        _LABELS,
    ),
    _h5(
        "of texts that have no end",
        _of(images=_SOUND, labels=["cat", "dog"] * 5),
        "reading them does not end",
        _LABELS,
        change=_endless,
    ),
    _h5(
        "of more classes than are named",
        _named_classes,
        "numbers classes from 0 to 9, but its attribute 'classes' names 2",
        _LABELS,
    ),
    _h5(
        "of an id that occurs twice",
        _of(images=_SOUND, ids=[1, 1, *range(8)]),
        "the id '1' of 'x' occurs more than once",
    ),
    _h5(
        "of groups that are fractions",
        _of(images=_SOUND, g=np.arange(10) / 2),
        "fractions or NaN",
        PREVIEW + " --group-key g",
    ),
    Refused(
        "hdf5 of a link to another file",
        _linked,
        "lies in another file, and links to other files are not followed; open that",
        "x.h5",
    ),
    Refused(
        "hdf5 of a link elsewhere in a group",
        _linked_below,
        "more/labels of .* lies in another file",
        "x.h5",
    ),
    Refused("hdf5 of raw bytes of another file", _raw_elsewhere, "lies in another file", "x.h5"),
    Refused("hdf5 of views of another file", _virtual, "lies in another file", "x.h5"),
    _h5(
        "of a link to nothing",
        lambda file: file.__setitem__("images", h5py.SoftLink("/nowhere")),
        "holds no images",
    ),
    _h5(
        "of links that go round",
        lambda file: file.__setitem__("images", h5py.SoftLink("/images")),
        "holds no images",
    ),
    _h5("jets with NaN", _of(X_jets=_JETS * np.nan), "NaN", PREVIEW),
    _h5("jets of 9 labels", _of(X_jets=_JETS, y=np.arange(9)), "9 labels", PREVIEW),
    _h5(
        "jets of 10^12 that are not there",
        lambda file: file.create_dataset("X_jets", (10**12, 8, 8, 3), "f4", chunks=(64, 8, 8, 3)),
        "X_jets",
        PREVIEW,
    ),
    _h5(
        "jets of which the end was never written",
        lambda file: file.create_dataset(
            "X_jets", _JETS.shape, "f4", chunks=(3, 8, 8, 3)
        ).__setitem__(np.s_[:3], 1),
        "3 of 4 chunks of X_jets .* were never written, the first at row 3;",
    ),
    _h5(
        "jets cut short",
        _of(X_jets=_JETS),
        "truncated",
        PREVIEW + " --domain jet",
        change=lambda held: held[:-99],
    ),
    _h5(
        "states without orbits",
        _of(X=np.ones((9, 4))),
        "has no groups; name the array",
        PREVIEW.replace("simclr", "con_cer_net") + " --domain trajectory",
    ),
    _h5(
        "that says it is of a domain that there is none of",
        lambda file: file.attrs.__setitem__("domain", "taste"),
        "holds no images",
    ),
]
"""Each a file that no command opens."""


def _round(at: Path) -> dict[str, np.ndarray]:
    with h5py.File(at / "x.h5", "w") as file:
        _cycle(file)
    return {str(number): image[None] for number, image in enumerate(_SOUND)}


def _odd_chunks(at: Path) -> dict[str, np.ndarray]:
    """Chunks that end beyond the array, one of zeros, and some that were shortened away."""
    images = _SOUND.copy()
    images[3:6] = 0
    with h5py.File(at / "x.h5", "w") as file:
        how = {"chunks": (3, 5, 8), "maxshape": (None, 8, 8)}
        node = file.create_dataset("images", (40, 8, 8), "u1", **how)
        node[:10] = images
        node[30:] = 1
        node.resize(10, axis=0)
    return {str(number): image[None] for number, image in enumerate(images)}


KEPT = [
    Kept("hdf5 of groups that go round", _round, "x.h5"),
    Kept("hdf5 of chunks beyond its end", _odd_chunks, "x.h5"),
]
"""Each a file that is read whole."""
