"""Sound files with bytes changed, and values of every kind in the place of others.

The examples are the same in every run; `make torture` tries more, and others each time
(`TWOFOLD_EXAMPLES`).
"""

import os
import tempfile
import warnings
from pathlib import Path

import pytest
import yaml
from fuzzed import TARGETS, Target, try_bytes, try_line
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from malformed import limits, npy

from twofold.config import Config, DataConfig, load_config, to_plain
from twofold.recipes import simclr

EXAMPLES = int(os.environ.get("TWOFOLD_EXAMPLES", "25"))
_HOW = settings(
    max_examples=EXAMPLES,
    derandomize="TWOFOLD_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Nothing that a file says comes to lie outside the test's own folder."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@st.composite
def changed(draw, sound):
    """A file with some bytes turned, cut off, put in, or replaced by those of another place."""
    held = bytearray(sound)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(held) - 1)))
        what = draw(st.sampled_from(("turn", "turn", "cut", "put", "copy")))
        if what == "cut":
            del held[place : place + draw(st.integers(1, max(1, len(held))))]
        elif what == "put":
            held[place:place] = draw(st.binary(max_size=16))
        elif what == "copy":
            held[place:place] = held[: draw(st.integers(1, 64))]
        elif held:
            held[place] = draw(st.integers(0, 255))
    return bytes(held)


def folder_for(tmp_path):
    """A folder that no other example has written into."""
    number = len(list(tmp_path.glob("example*")))
    folder = tmp_path / f"example{number}"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name, tmp_path):
    target = TARGETS[name]
    assert try_bytes(target, target.sound, folder_for(tmp_path)), "the sound one is read"

    @_HOW
    @given(changed(target.sound) | st.binary(max_size=200))
    def once(contents):
        with limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try_bytes(target, contents, folder_for(tmp_path))

    once()


_SIZES = st.integers(-3, 2**70) | st.sampled_from([0, 1, 8, 2**31, 2**32, 2**63])
_KINDS = st.sampled_from(
    ["|u1", "<f8", ">f4", "|O", "|S9", "<U3", "|V5", "<M8[s]", "|b1", "<c8", ""]
)


@_HOW
@given(
    st.lists(_SIZES, max_size=6).map(tuple) | st.text(max_size=5) | st.floats(),
    _KINDS | st.text(max_size=6) | st.lists(st.text(max_size=3), max_size=2),
    st.booleans() | st.none() | st.text(max_size=4),
    st.binary(max_size=512),
)
def test_headers_of_any_shape_and_type_are_read_or_refused(shape, descr, order, data):
    target = Target("x.npy", b"", TARGETS["npy"].read)
    try_in_a_folder(target, npy(shape, descr, order=order, data=data))


def try_in_a_folder(target, contents):
    """As `try_bytes`, in a folder that goes afterwards."""
    with limits(), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return try_bytes(target, contents, Path(folder, "x"))


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_SOUND = to_plain(Config(recipe=simclr(), data=DataConfig(data="digits")))


def paths_of(plain, above=()):
    """Where the values of nested mappings lie."""
    for key, value in plain.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths_of(value, (*above, key))


@_HOW
@given(st.sampled_from(sorted(paths_of(_SOUND))), _PLAIN)
@example(("aligning",), [])
@example(("aligning",), {})
def test_any_value_anywhere_in_a_configuration_is_taken_or_refused(path, value):
    plain = yaml.safe_load(yaml.safe_dump(_SOUND))
    part = plain
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    target = Target("config.yaml", b"", load_config)
    try_in_a_folder(target, yaml.safe_dump(plain, allow_unicode=True).encode("utf-8", "replace"))


@_HOW
@given(st.text(max_size=300))
def test_any_text_is_a_configuration_or_refused(text):
    target = Target("config.yaml", b"", load_config)
    try_in_a_folder(target, text.encode("utf-8", "surrogatepass"))


@_HOW
@given(
    st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_table_is_read_or_refused(rows, comma, encoding):
    lines = ["path,patient", *(comma.join(cells) for cells in rows)]
    target = Target("metadata.csv", b"", TARGETS["csv"].read)
    try_in_a_folder(target, "\n".join(lines).encode(encoding, "replace"))


_WORDS = st.sampled_from(
    [
        *("--data", "--out", "--epochs", "--domain", "--seed", "--key", "--recipe", "--config"),
        *("--prescription.flip", "--objectives.contrast.temperature", "--test-fraction", "--track"),
        *(
            "digits",
            "simclr",
            "3",
            "-1",
            "nan",
            "1e999",
            "None",
            "True",
            "[]",
            "",
            "--",
            "-",
            "=",
            "x=1",
        ),
    ]
)


@_HOW
@given(
    st.sampled_from(["pretrain", "preview", "align", "study", "distill", "search", "list", "runs"]),
    st.lists(_WORDS | st.text(max_size=6), max_size=6),
)
def test_any_command_line_ends_in_one_line(command, words):
    """Without a place to write to, so that none of them begins to work."""
    if "--out" in words or any(word.startswith("--o") for word in words):
        words = [word for word in words if not word.startswith("--o")]
    with limits(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = try_line([command, *words])
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 1 or said.startswith("note"), said
