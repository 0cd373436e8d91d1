"""`twofold embed` as a user types it, alone and under torchrun."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import twofold
from twofold.cli import main
from twofold.embeddings import read_embeddings

SMALL = {"encoder": "resnet-small", "width": 0.25, "threads": 1, "batch_size": 32, "epochs": 1}
FEW = np.random.default_rng(0).integers(0, 256, (120, 8, 8), dtype=np.uint8)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, and the data it learned from."""
    folder = tmp_path_factory.mktemp("place")
    np.savez(folder / "few.npz", images=FEW, labels=np.arange(120) % 3)
    twofold.pretrain("simclr", data=FEW, out=folder / "run", quiet=True, **SMALL)
    return folder


def embed(*args):
    """The exit status of `twofold embed ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main(["embed", *map(str, args)])
    return caught.value.code


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_both_formats_hold_what_the_encoder_gives(tmp_path, place, name, capsys):
    out = tmp_path / name
    assert embed(place / "run", "--data", place / "few.npz", "--out", out, "--batch-size", 7) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 120 embeddings of 64 features\n"
    assert said.err == ""  # it is no terminal
    found = read_embeddings(out)
    expected = twofold.load(place / "run").embed(FEW)
    np.testing.assert_allclose(found.embeddings, expected, rtol=1e-4, atol=1e-5)
    assert [found.label_names[label] for label in found.labels] == list("012") * 40


def test_precision_and_device(tmp_path, place):
    where = (place / "run", "--data", place / "few.npz")
    how = ("--device", "cpu", "--precision", "bf16")
    assert embed(*where, "--out", tmp_path / "e.npz") == 0
    assert embed(*where, "--out", tmp_path / "rough.npz", *how) == 0
    exact, rough = (read_embeddings(tmp_path / name).embeddings for name in ("e.npz", "rough.npz"))
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, rtol=0.2, atol=0.2)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--out e.csv", "e.csv; its name must end in .npz or .parquet"),
        ("--out e.npz --device gpu", "device 'gpu' cannot be used"),
        ("--out e.npz --precision half", "unknown value of --precision 'half'"),
        ("--out e.npz --batch-size 0", "batch_size is 0; it must be > 0"),
    ],
)
def test_a_mistake_is_answered_in_one_line(place, flags, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert embed(place / "run", "--data", place / "few.npz", *flags.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not list(tmp_path.glob("e.*"))


def test_parquet_without_pyarrow_is_refused_before_anything_is_encoded(
    place, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    out = tmp_path / "e.parquet"
    assert embed(place / "run", "--data", place / "few.npz", "--out", out) == 2
    assert capsys.readouterr().err.endswith("needs pyarrow: pip install 'twofold[parquet]'\n")


def test_files_that_cannot_be_read_are_told_and_listed(tmp_path, place, capsys):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(FEW[:40]):
        Image.fromarray(image).save(tmp_path / "images" / f"{number:02}.png")
    (tmp_path / "images" / "07.png").write_bytes(b"no image")
    out = tmp_path / "e.npz"
    assert embed(place / "run", "--data", tmp_path / "images", "--out", out) == 0
    said = capsys.readouterr()
    listed = tmp_path / "e.skipped.tsv"
    assert said.out == f"{out}: 39 embeddings of 64 features\n"
    assert said.err == f"note: 1 file could not be read; see {listed}\n"
    assert listed.read_text().startswith("07.png\t")


@pytest.mark.slow
def test_two_processes_write_the_bytes_that_one_writes(tmp_path, place):
    """Three shards, of which the first process encodes two."""
    many = np.random.default_rng(1).integers(0, 256, (9000, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "many.npy", many)
    command = ["-m", "twofold", "embed", place / "run", "--data", tmp_path / "many.npy", "--out"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*words):
        arguments = [str(word) for word in words]
        return subprocess.run(
            arguments, env=surroundings, check=True, capture_output=True, text=True
        ).stdout

    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    run(sys.executable, *command, one)
    assert run(*launch, *command, two) == f"{two}: 9000 embeddings of 64 features\n"
    assert one.read_bytes() == two.read_bytes()
    assert not list(tmp_path.glob("*.parts"))


def test_processes_that_do_not_find_one_another_say_so(tmp_path, place, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    out = tmp_path / "e.npz"
    assert embed(place / "run", "--data", place / "few.npz", "--out", out) == 2
    assert "start them with torchrun" in capsys.readouterr().err
    assert not out.exists()
