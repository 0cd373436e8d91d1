"""Arrays in .npy files: headers that lie, and numbers that are none."""

import pickle
from pathlib import Path

import numpy as np
from malformed import PREVIEW, Kept, Refused, npy, put

STATES = PREVIEW.replace("simclr", "con_cer_net") + " --domain trajectory"
_JETS = PREVIEW + " --domain jet"


class _Planted:
    """What a stranger would like to be unpickled: it leaves a file behind."""

    def __reduce__(self):
        return (open, ("planted", "w"))


def planted(shape: tuple[int, ...] = (4,)) -> np.ndarray:
    """Objects that run code when they are unpickled."""
    found = np.empty(shape, dtype=object)
    found[...] = _Planted()
    return found


def _raw(name: str, contents: bytes, words: str) -> Refused:
    return Refused(f"npy {name}", put("x.npy", contents), words, "x.npy")


def _npy(name: str, array: np.ndarray, words: str, command: str = PREVIEW) -> Refused:
    return Refused(f"npy {name}", lambda at: np.save(at / "x.npy", array), words, "x.npy", command)


def _with(value: float, dtype: str = "float32") -> np.ndarray:
    array = np.ones((4, 8, 8), dtype)
    array[2, 1, 1] = value
    return array


_HEADER = "{{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8){}}}"
CALL = "__import__('os').system('touch planted')"
_UNREAD = "cannot read '.*x.npy': ."

REFUSED = [
    _raw("of no bytes", b"", _UNREAD),
    _raw("of text", b"1 2 3\n", _UNREAD),
    _raw("of its first 6 bytes", npy()[:6], _UNREAD),
    _raw("cut in its header", npy()[:40], _UNREAD),
    _raw("cut in its numbers", npy()[:-9], _UNREAD),
    _raw("without numbers", npy(data=b""), _UNREAD),
    _raw("of version 9.9", npy(version=b"\x09\x09"), _UNREAD),
    _raw("whose header is said to be 65,535 bytes", npy(length=65_535), _UNREAD),
    _raw("whose header is said to be 4 GiB", npy(version=b"\x02\x00", length=2**32 - 1), _UNREAD),
    _raw(
        "whose header is 1 MB",
        npy(header=_HEADER.format("") + " " * 10**6, version=b"\x02\x00"),
        _UNREAD,
    ),
    _raw("whose header is no dictionary", npy(header="[1, 2]"), _UNREAD),
    _raw("whose header is empty", npy(header=""), _UNREAD),
    _raw("whose header is no Python", npy(header="{'descr"), _UNREAD),
    _raw("whose header calls a function", npy(header=_HEADER.format(f", 'x': {CALL}")), _UNREAD),
    _raw("whose header is a call", npy(header=CALL), _UNREAD),
    _raw(
        "whose header lacks the shape",
        npy(header="{'descr': '|u1', 'fortran_order': False}"),
        _UNREAD,
    ),
    _raw("whose header has a key of bytes", npy(header=_HEADER.format(", b'x': 1")), _UNREAD),
    _raw("whose header says more", npy(header=_HEADER.format(", 'more': 1")), _UNREAD),
    _raw("whose header is 3,000 brackets deep", npy(header="[" * 3000), _UNREAD),
    _raw("whose header is 9,000 signs deep", npy(header="-" * 9000 + "1"), _UNREAD),
    _raw(
        "whose header is no UTF-8",
        npy(version=b"\x03\x00").replace(b"descr", b"\xff\xfe\xfd\xfc\xfb"),
        _UNREAD,
    ),
    _raw("of order 'yes'", npy(order="yes"), _UNREAD),
    _raw("of a shape that is a list", npy([4, 8, 8]), _UNREAD),
    _raw("of a shape of words", npy(("4", 8, 8)), _UNREAD),
    _raw("of a negative shape", npy((-4, 8, 8)), "x.npy"),
    _raw("of a shape of fractions", npy((4.5, 8, 8)), _UNREAD),
    _raw("of 10^12 images", npy((10**12, 8, 8)), _UNREAD),
    _raw("of more bytes than a number can count", npy((2**62, 2**62, 8)), _UNREAD),
    _raw(
        "of a number of 5,000 digits",
        npy(header="{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}"),
        _UNREAD,
    ),
    _raw("of a type that there is none of", npy(descr="|z9"), _UNREAD),
    _raw("of a type that is a list", npy(descr=[1]), _UNREAD),
    _raw("of a type that is a function", npy(descr="os.system"), _UNREAD),
    _raw(
        "of objects by its header alone", npy(descr="|O"), "pickled objects, which could run code"
    ),
    _raw(
        "that is a pickle", pickle.dumps(_Planted()), "pickled objects, which could run code|magic"
    ),
    _npy("of pickled objects", planted(), "pickled objects, which could run code"),
    _npy("of pickled lists", np.array([[1], [1, 2]], dtype=object), "save one plain array"),
    _npy("of one number", np.array(7), "must be \\(n, height, width\\)"),
    _npy("of one row", np.zeros(64), "must be \\(n, height, width\\)"),
    _npy("of one image", np.zeros((8, 8)), "must be \\(n, height, width\\)"),
    _npy(
        "of one colour image", np.zeros((32, 32, 3)), "looks like one image with its channels last"
    ),
    _npy("of five dimensions", np.zeros((2, 2, 2, 8, 8)), "must be \\(n, height, width\\)"),
    _npy("of no images", np.zeros((0, 8, 8)), "none of them 0"),
    _npy("of images without pixels", np.zeros((4, 0, 8)), "none of them 0"),
    _npy("of a single image", np.zeros((1, 8, 8)), "one item; a split needs at least two"),
    _npy(
        "of images in the third place",
        np.zeros((4, 16, 16, 5)),
        "put them second, as by np.moveaxis",
    ),
    _npy("of strings", np.full((4, 8, 8), "x"), "must be numbers"),
    _npy("of bytes", np.full((4, 8, 8), b"x"), "must be numbers"),
    _npy("of complex numbers", np.zeros((4, 8, 8), complex), "must be numbers"),
    _npy("of dates", np.zeros((4, 8, 8), "datetime64[s]"), "must be numbers"),
    _npy("of records", np.zeros((4, 8, 8), [("a", "f4")]), "must be numbers"),
    _npy("of raw bytes", np.zeros((4, 8, 8), "V4"), "must be numbers"),
    *(
        _npy(
            f"of {value} in {kind}",
            _with(value, kind),
            "1 values that are NaN or infinite, the first in image 2; replace",
        )
        for value in (np.nan, np.inf, -np.inf)
        for kind in ("float16", "float32", "float64")
    ),
    _npy(
        "of states with NaN",
        np.where(np.eye(9, 4) > 0, np.nan, 1)[None].repeat(3, 0),
        "NaN, infinite or too large numbers in 12 of 27 states; leave",
        STATES,
    ),
    _npy("of states too large", np.full((3, 9, 4), 1e300), "too large numbers", STATES),
    _npy("of states without dimensions", np.ones(9), "states must be", STATES),
    _npy("of words as states", np.full((3, 9), "x"), "states must be numbers", STATES),
    _npy("of one orbit", np.ones((1, 9, 4)), "holds one orbit; .*give two or more", STATES),
    _npy("of jets of 5 channels", np.zeros((4, 10, 10, 5), np.float32), "leave others out", _JETS),
    _npy(
        "of jets with channels at both ends", np.zeros((4, 3, 10, 3), np.float32), "channels", _JETS
    ),
    _npy("of jets with NaN", np.full((4, 10, 10, 3), np.nan, np.float32), "NaN", _JETS),
    _npy("of words as jets", np.full((4, 10, 10, 3), "x"), "jets are images", _JETS),
]
"""Each a file that no command opens."""


def _stored(array: np.ndarray, expected: np.ndarray):
    def write(at: Path) -> dict[str, np.ndarray]:
        np.save(at / "x.npy", array)
        return {str(number): item for number, item in enumerate(expected)}

    return write


def _appended(at: Path) -> dict[str, np.ndarray]:
    (at / "x.npy").write_bytes(npy() + b"rubbish" * 99)
    return {str(number): np.zeros((1, 8, 8), np.uint8) for number in range(4)}


_WIDE = np.arange(640).reshape(10, 1, 8, 8) * 400

KEPT = [
    Kept(
        "npy of the other byte order",
        _stored(_WIDE.astype(">u4"), _WIDE.astype(np.uint32)),
        "x.npy",
    ),
    Kept("npy by columns", _stored(np.asfortranarray(_WIDE), _WIDE.astype(np.uint32)), "x.npy"),
    Kept(
        "npy with channels last",
        _stored(np.moveaxis(_WIDE, 1, 3), _WIDE.astype(np.uint32)),
        "x.npy",
        "channels-last",
    ),
    Kept("npy of 12 bits", _stored(_WIDE // 64, (_WIDE // 64).astype(np.uint16)), "x.npy"),
    Kept("npy of numbers below zero", _stored(_WIDE - 9, (_WIDE - 9).astype(np.int32)), "x.npy"),
    Kept("npy of large floats", _stored(_WIDE * 1e300, _WIDE * 1e300), "x.npy"),
    Kept("npy with rubbish behind its end", _appended, "x.npy"),
]
"""Each a file that is read whole."""
