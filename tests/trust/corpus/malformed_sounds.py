"""Folders of recordings: files that are none, that end early, or promise what they lack."""

import io
import struct
from pathlib import Path

import numpy as np
import soundfile
from malformed import Kept, Refused, Skipped

RATE = 8_000
_NOISE = np.random.default_rng(0).integers(-9_000, 9_000, 4_000, dtype=np.int16)


def wav(
    data: bytes = _NOISE.tobytes(),
    *,
    code: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    claimed: int | None = None,
) -> bytes:
    """A WAV file byte by byte, whose header may say anything."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels, rate, rate * frame % 2**32, frame % 2**16, bits)
    size = len(data) if claimed is None else claimed
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", (4 + len(chunks)) % 2**32) + b"WAVE" + chunks


def packed(form: str, samples: np.ndarray = _NOISE, **how: object) -> bytes:
    """A recording as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=form, **how)
    return file.getvalue()


def _bad(name: str, contents: bytes, reason: str, file: str = "bad.wav") -> Skipped:
    return Skipped(f"recording {name}", lambda path: path.write_bytes(contents), reason, file)


def _floats(value: float) -> bytes:
    samples = _NOISE.astype(np.float32) / 2**15
    samples[7] = value
    return packed("WAV", samples, subtype="FLOAT")


_FLAC, _OGG = packed("FLAC"), packed("OGG")

SKIPPED = [
    _bad("of no bytes", b"", "."),
    _bad("of text", b"no recording\n", "."),
    _bad("of zeros", bytes(4096), "."),
    _bad("of a page", b"<!doctype html><title>404</title>", ".", "bad.mp3"),
    _bad("of its first 12 bytes", wav()[:12], "."),
    _bad("without samples", wav(b""), "holds no samples"),
    _bad("cut in half", wav()[:4_000], "truncated"),
    _bad("that promises 4 GiB", wav(claimed=2**31 - 2**17), "truncated|promises"),
    _bad("of 200 channels", wav(bytes(400 * 50), channels=200), "200 channels; 16 at most"),
    _bad("of no channels", wav(channels=0), "."),
    _bad("of no sample rate", wav(rate=0), "."),
    _bad("of 1 Hz", wav(rate=1), "1 Hz; it must be"),
    _bad("of 4 GHz", wav(rate=2**32 - 1), "."),
    _bad("of an unknown code", wav(code=0x7777), "."),
    _bad("of NaN", _floats(np.nan), "NaN or infinite"),
    _bad("of infinity", _floats(np.inf), "NaN or infinite"),
    _bad("flac cut in half", _FLAC[: len(_FLAC) // 2], ".", "bad.flac"),
    _bad("flac of its first 40 bytes", _FLAC[:40], ".", "bad.flac"),
    _bad("ogg cut in half", _OGG[: len(_OGG) // 2], "truncated|damaged", "bad.ogg"),
    _bad("ogg of its first 40 bytes", _OGG[:40], ".", "bad.ogg"),
    _bad("of a format that is not decoded", b"\0\0\0\x20ftypM4A ", "convert it to FLAC", "bad.m4a"),
    _bad("of a name with a line break", b"", ".", "bad\nname.wav"),
]
"""Each beside sound recordings of 16 bits at 8 kHz."""


def _held(samples: np.ndarray, contents: bytes):
    def write(at: Path) -> dict[str, np.ndarray]:
        for name in ("a.wav", "b.wav"):
            (at / name).write_bytes(contents)
        return dict.fromkeys(("a.wav", "b.wav"), samples[None, None])

    return write


_OVER = _NOISE.astype(np.float32) / 2**12

KEPT = [
    Kept(
        "recording of 32-bit floats over full scale",
        _held(_OVER, packed("WAV", _OVER, subtype="FLOAT")),
        "",
        "full scale|beyond|above",
    ),
    Kept("recording with rubbish behind its end", _held(_NOISE, wav() + b"LIST\x04\0\0\0rubb"), ""),
]


def _refused(name: str, words: str, **files: bytes) -> Refused:
    def write(at: Path) -> None:
        (at / "sounds").mkdir()
        for file, contents in files.items():
            (at / "sounds" / file.replace("_", ".")).write_bytes(contents)

    return Refused(name, write, words, "sounds")


REFUSED = [
    _refused(
        "recordings that are none", "no clip in folder .* can be read: a.wav", a_wav=b"", b_wav=b"x"
    ),
    _refused(
        "more bad recordings than allowed",
        "1 of 3 clips .* cannot be read, more than max_bad",
        a_wav=b"",
        b_wav=wav(),
        c_wav=wav(),
    ),
    Refused(
        "a recording in place of a folder",
        lambda at: (at / "a.wav").write_bytes(wav()),
        "is a single recording; give the folder",
        "a.wav",
    ),
]
