"""Run folders of strangers, queries, and command lines: files that lie about what they hold."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from malformed import Refused, npy, png

from twofold.checkpoint import load_tensors, save_tensors

_EMBED = "embed {at}/run --data {at}/images.npy --out {at}/out.npz"
_SEARCH = "search {at}/run --data {at}/images.npy --query {data} --k 2"


def _encoder(
    name: str, change: Callable[[bytes], bytes], words: str = "encoder.safetensors is damaged"
) -> Refused:
    """An encoder's file with other bytes."""

    def write(at: Path) -> None:
        path = at / "run" / "encoder.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return Refused(f"encoder {name}", write, words, "run", _EMBED)


def _facts(
    name: str,
    change: Callable[[dict], object],
    words: str = "encoder.safetensors does not fit the network that it describes",
) -> Refused:
    """An encoder's file, sound in itself, that says something else of its network."""

    def write(at: Path) -> None:
        path = at / "run" / "encoder.safetensors"
        tensors, facts = load_tensors(path)
        changed = change(facts)
        save_tensors(path, tensors, facts if changed is None else changed)

    return Refused(f"encoder {name}", write, words, "run", _EMBED)


def _spec(**changes: object) -> Callable[[dict], object]:
    return lambda facts: facts["spec"].update(changes)


def _other_weights(at: Path) -> None:
    path = at / "run" / "encoder.safetensors"
    save_tensors(path, {"weight": torch.zeros(2)}, load_tensors(path)[1])


def _rubbish(name: str) -> Callable[[Path], object]:
    return lambda at: (at / "run" / name).write_bytes(b"\xff\xfe rubbish")


ENCODERS = [
    _encoder("of no bytes", lambda held: b""),
    _encoder("of text", lambda held: b"no weights"),
    _encoder("cut in half", lambda held: held[: len(held) // 2]),
    _encoder("without its last byte", lambda held: held[:-1]),
    _encoder(
        "with a byte turned over", lambda held: held[:-40] + bytes([held[-40] ^ 1]) + held[-39:]
    ),
    _encoder(
        "whose header is said to be 2^60 bytes", lambda held: struct.pack("<Q", 2**60) + held[8:]
    ),
    _encoder("whose header is no JSON", lambda held: held[:8] + b"x" + held[9:]),
    _encoder(
        "whose header is nested without end", lambda held: struct.pack("<Q", 10**5) + b"[" * 10**5
    ),
    _encoder("of a pickle", lambda held: b"\x80\x04cos\nsystem\n(S'touch planted'\ntR."),
    _encoder("of a zip archive", lambda held: b"PK\x03\x04" + bytes(60)),
    _facts("that says a list", lambda facts: [1], "its facts are no mapping"),
    _facts("that says nothing", lambda facts: facts.clear()),
    _facts("without a network", lambda facts: facts.pop("spec") and None),
    _facts("without a scale", lambda facts: facts.pop("preprocess") and None),
    _facts("of a scale that is a number", lambda facts: facts.update(preprocess=7)),
    _facts("of a scale with more", lambda facts: facts["preprocess"].update(more=1)),
    _facts("of a network that is a list", lambda facts: facts.update(spec=[1])),
    _facts("of a network with more", _spec(more=1)),
    _facts(
        "of an unknown network",
        _spec(name="resnt18"),
        "unknown encoder 'resnt18'; did you mean 'resnet18'",
    ),
    _facts("of a network named by a list", _spec(name=[1]), "run"),
    _facts("of another width", _spec(width=2.0)),
    _facts("of a negative width", _spec(width=-1), "must be positive"),
    _facts("of a width of words", _spec(width="wide")),
    _facts("of an endless width", _spec(width=float("inf"))),
    _facts("of another number of channels", _spec(channels=3)),
    _facts("of channels that are a list", _spec(channels=[1])),
    _facts("of an unknown stem", _spec(stem="deep")),
    _facts("of adapters that are a number", _spec(adapters=7)),
    _facts(
        "of adapters of an unknown kind", _spec(adapters={"routes": ["a"], "kind": "more"}), "more"
    ),
    Refused(
        "encoder of other weights",
        _other_weights,
        "does not fit the network that it describes",
        "run",
        _EMBED,
    ),
    Refused(
        "encoder that is missing",
        lambda at: (at / "run" / "encoder.safetensors").unlink(),
        "has no encoder yet; finish it",
        "run",
        _EMBED,
    ),
    Refused(
        "projector that is none",
        _rubbish("projector.safetensors"),
        "projector.safetensors is damaged",
        "run",
        _EMBED,
    ),
    Refused(
        "erasers that are none",
        _rubbish("erasers.safetensors"),
        "erasers.safetensors is damaged",
        "run",
        _EMBED,
    ),
    Refused(
        "head that is none",
        _rubbish("head.safetensors"),
        "head.safetensors is damaged",
        "run",
        "predict {at}/run --data {at}/images.npy --out {at}/out.csv",
    ),
    Refused(
        "run without a configuration",
        lambda at: (at / "run" / "config.yaml").unlink(),
        "is no run: it has no config.yaml",
        "run",
        _EMBED,
    ),
    Refused(
        "run of another configuration",
        lambda at: (at / "run" / "config.yaml").write_text("[1]"),
        "describes no run",
        "run",
        _EMBED,
    ),
    Refused(
        "run whose configuration is no text",
        _rubbish("config.yaml"),
        "is not valid YAML",
        "run",
        _EMBED,
    ),
    Refused(
        "run to compare whose configuration is no text",
        _rubbish("config.yaml"),
        "cannot be read as YAML; leave this run out",
        "run",
        "compare {at}/run {at}/again",
    ),
    Refused(
        "run to go on with whose configuration is a list",
        lambda at: (at / "run" / "config.yaml").write_text("recipe: [1]"),
        "describes no run",
        "run",
        "pretrain --resume {at}/run",
    ),
]


def _query(name: str, file: str, contents: bytes, words: str) -> Refused:
    return Refused(
        f"query {name}", lambda at: (at / file).write_bytes(contents), words, file, _SEARCH
    )


def _saved(array: np.ndarray) -> bytes:
    return npy(array.shape, array.dtype.str, data=array.tobytes())


QUERIES = [
    _query("of no bytes", "q.png", b"", "q.png is no query .*: not an image"),
    _query("cut short", "q.png", png(8, 8, data=bytes(72))[:45], "q.png is no query"),
    _query("of 50,000 x 50,000 pixels", "q.png", png(50_000, 50_000), "q.png is no query"),
    _query(
        "of 50,000 x 50,000 deep pixels",
        "q.png",
        png(50_000, 50_000, depth=16),
        "q.png is no query",
    ),
    _query("of text", "q.jpg", b"hello", "q.jpg is no query .*: not an image"),
    _query("of another kind", "q.gif", b"GIF89a", "must be an image .* or a .npy file"),
    _query("of no array", "q.npy", b"hello", "cannot read .*q.npy"),
    _query("of pickled objects", "q.npy", npy(descr="|O"), "pickled objects, which could run code"),
    _query(
        "of another shape", "q.npy", _saved(np.zeros((2, 3, 8, 8), np.uint8)), "1 channel|shape"
    ),
    _query("of another type", "q.npy", _saved(np.zeros((2, 8, 8), np.float64)), "uint8|float64"),
    _query("of NaN", "q.npy", _saved(np.full((2, 8, 8), np.nan)), "uint8|float64|NaN"),
    _query("of no items", "q.npy", _saved(np.zeros((0, 8, 8), np.uint8)), "q.npy|no items|shape|0"),
    _query("of words", "q.npy", _saved(np.full((2, 8, 8), "x")), "q.npy|uint8|<U1"),
    Refused("query that is missing", lambda at: None, "is no file", "q.png", _SEARCH),
    Refused(
        "query that is a folder", lambda at: (at / "q.npy").mkdir(), "is no file", "q.npy", _SEARCH
    ),
]


def _line(command: str, words: str) -> Refused:
    return Refused(f"line: {command}"[:90], lambda at: None, words, "", command)


_RUN = "pretrain simclr --data digits --out {at}/out "

LINES = [
    _line("pretrian simclr", "unknown command 'pretrian'; did you mean 'pretrain'"),
    _line("--hepl", "unknown command '--hepl'; did you mean '--help'"),
    _line("pretrain", "RECIPE is missing; write twofold pretrain"),
    _line(
        "pretrain simclrr --data digits --out {at}/out",
        "unknown recipe 'simclrr'; did you mean 'simclr'",
    ),
    _line("pretrain simclr --out {at}/out", "--data is missing; it is"),
    _line("pretrain simclr --data digits", "--out is missing; it is"),
    _line("pretrain simclr --data '' --out {at}/out", "--data is missing|unknown data ''"),
    _line("pretrain simclr --data 'a\nb' --out {at}/out", "unknown data 'a.nb'"),
    _line("pretrain simclr --data digits --domain taste --out {at}/out", "unknown domain 'taste'"),
    _line("pretrain simclr --data digits --domain", "--domain needs a value"),
    _line("pretrain --config", "--config needs a value"),
    _line("pretrain --resume {at}", "is no run: it has no config.yaml"),
    _line("pretrain --resume {at} --epochs 3", "takes no other flag; found --epochs"),
    _line(_RUN + "--epoch 3", "unknown flag --epoch; did you mean --epochs"),
    _line(_RUN + "--epochs", "--epochs needs a value"),
    _line(_RUN + "--epochs many", "--epochs is 'many'; it must be a whole number"),
    _line(_RUN + "--epochs 2.5", "--epochs is '2.5'; it must be a whole number"),
    _line(_RUN + "--epochs 0", "epochs is 0"),
    _line(_RUN + "--epochs " + "9" * 5000, "--epochs"),
    _line(_RUN + "--batch-size -1", "batch_size is -1"),
    _line(_RUN + "--seed -1", "seed is -1; it must be >= 0"),
    _line(_RUN + "--seed 1e400", "--seed is '1e400'; it must be a whole number"),
    _line(_RUN + "--test-fraction nan", "test_fraction is nan; it must be in"),
    _line(_RUN + "--test-fraction inf", "test_fraction is inf; it must be in"),
    _line(_RUN + "--image-size 1", "image_size is 1; it must be at least 4"),
    _line(_RUN + "--precision int3", "unknown value of --precision 'int3'"),
    _line(_RUN + "--encoder resnt18", "unknown encoder 'resnt18'; did you mean"),
    _line(_RUN + "--prescription.flip sometimes", "sometimes"),
    _line(_RUN + "--prescription.flop invariant", "unknown flag --prescription.flop"),
    _line(_RUN + "--objectives.contrast.temperature nan", "temperature is nan"),
    _line(_RUN + "--objectives.contrast.temperature 0", "temperature is 0"),
    _line(_RUN + "--device cpux", "device"),
    _line(_RUN + "more", "found 'more', which belongs to no flag"),
    _line("evaluate {at}", "is no run"),
    _line("evaluate --embeddings", "--embeddings"),
    _line("evaluate timm/nothing --data digits", "timm has no model 'nothing'"),
    _line("evaluate torchvision/nothing --data digits", "torchvision has no classifier 'nothing'"),
    _line("evaluate ../../etc/passwd --data digits", "is no run: it does not exist"),
    _line("compare {at}", "there is one run to compare"),
    _line("compare {at} {at}", "is no run"),
    _line("runs {at}/none", "does not exist; name the folder"),
    _line("runs {at} --sort age", "unknown column 'age'"),
    _line("report", "RUN is missing"),
    _line("search {at} --data digits --query q.png", "is no run"),
    _line("study simclr --data digits --out {at}/out --grid epochs", "write field=value,value"),
    _line(
        "study simclr --data digits --out {at}/out --grid epoch=1,2",
        "unknown field 'epoch'; did you mean",
    ),
    _line(
        "study simclr --data digits --out {at}/out --grid epochs=" + "[" * 500,
        "has values that are no YAML",
    ),
    _line(
        "study simclr --data digits --out {at}/out --grid 'epochs=&a 1,*a'",
        "has values that are no YAML",
    ),
    _line("study simclr --data digits --out {at}/out --grid epochs=1 --seeds -1", "seeds"),
    _line("simulate rain --out {at}/x.h5", "unknown subject 'rain'"),
    _line("simulate pendulum --out {at}/none/x.h5", "the folder .* does not exist"),
    _line("simulate pendulum --out {at}/x.txt", "must end in .h5"),
    _line("list everything", "everything"),
]

REFUSED = LINES
"""Each a command line that is wrong in itself."""
WITH_RUN = [*ENCODERS, *QUERIES]
"""Each beside a sound run at `run`, a copy of it at `again`, and its images."""
