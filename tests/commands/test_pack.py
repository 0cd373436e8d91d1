"""`twofold pack` as a user types it, and the commands that work on shards."""

import os
import subprocess
import sys

import numpy as np
import pytest

from twofold.cli import main
from twofold.domains import open_data
from twofold.embeddings import read_embeddings

FEW = np.random.default_rng(0).integers(0, 256, (160, 8, 8), dtype=np.uint8)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    np.savez("few.npz", images=FEW, labels=np.arange(160) % 4, patient=np.arange(160) // 2)


def twofold(*args):
    """The exit status of `twofold ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, args)))
    return caught.value.code or 0


def test_packs_and_says_what(capsys, tmp_path):
    args = ("pack", "few.npz", "--out", "s", "--shard-mb", 0.004, "--group-key", "patient")
    assert twofold(*args) == 0
    assert capsys.readouterr().out == "s: 128 + 32 items in 4 shards\n"
    data = open_data("s")
    assert (len(data.train), len(np.unique(data.train.groups)), data.train.classes) == (128, 64, 4)
    assert data.note.endswith("; 4 shards")
    assert twofold(*args) == 2
    assert capsys.readouterr().err == (
        "twofold: s is packed already; choose another --out, or replace it with --overwrite\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("few.npz",), "--out is missing; it is the folder of the shards"),
        (("fewer.npz", "--out", "s"), "'fewer.npz' does not exist; did you mean 'few.npz'?"),
        (("few.npz", "--out", "s", "--shard-mb", "0"), "shard_mb is 0.0; it must be > 0"),
        (("few.npz", "--out", "few.npz"), "few.npz is a file; shards need a folder"),
        (("few.npz", "--out", "."), ". holds something else; shards need a folder"),
        (("few.npz", "--out", "s", "--cache-gb", "0"), "cache_gb is 0.0; it must be > 0"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(args, says, capsys, tmp_path):
    assert twofold("pack", *args) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_a_killed_pack_is_half_packed_and_the_same_command_goes_on(tmp_path, capsys):
    code = (
        "import os; from twofold import packing; from twofold.cli import main\n"
        "real = packing._Rows.write\n"
        "def write(self, file):\n"
        "    real(self, file)\n"
        "    if '00002' in file.filename: os._exit(9)\n"
        "packing._Rows.write = write\n"
        "main('pack few.npz --out s --shard-mb 0.002'.split())"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False)
    assert killed.returncode == 9
    assert twofold("pretrain", "simclr", "--data", "s", "--out", "a") == 2
    assert "'s' is half packed; the `twofold pack` that began it" in capsys.readouterr().err
    assert twofold("pack", "few.npz", "--out", "s", "--shard-mb", 0.002) == 0
    said = capsys.readouterr()
    assert said.err == "note: s is half packed: going on after 2 shards\n"
    assert said.out == "s: 128 + 32 items in 7 shards\n"
    assert not list((tmp_path / "s").glob(".*"))


def test_every_command_works_on_shards_here_and_elsewhere(tmp_path, capsys):
    small = ("--encoder", "resnet-small", "--width", 0.125, "--epochs", 1, "--batch-size", 32)
    here, url = "s", f"file://{tmp_path}/s"
    assert twofold("pack", "few.npz", "--out", here, "--shard-mb", 0.002) == 0
    assert twofold("pretrain", "simclr", "--data", url, "--out", "a", "--threads", 1, *small) == 0
    assert twofold("evaluate", "a", "--probes", "knn") == 0
    assert twofold("evaluate", "a", "--data", here, "--probes", "linear") == 0
    for data, out in ((here, "here.npz"), (url, "url.npz")):
        assert twofold("embed", "a", "--data", data, "--out", out, "--part", "train") == 0
    one, other = read_embeddings("here.npz"), read_embeddings("url.npz")
    np.testing.assert_array_equal(one.embeddings, other.embeddings)
    assert one.ids.tolist() == other.ids.tolist() == list(open_data(here).train.ids)
    assert twofold("finetune", "a", "--data", url, "--out", "t", "--epochs", 1) == 0
    assert twofold("predict", "t", "--data", url, "--out", "p.csv") == 0
    assert twofold("report", "a") == 0
    assert twofold("preview", "simclr", "--data", here, "--out", "p.png") == 0
    capsys.readouterr()


def test_a_shard_that_vanishes_ends_a_run_in_one_line(tmp_path, capsys):
    assert twofold("pack", "few.npz", "--out", "s", "--shard-mb", 0.002) == 0
    (tmp_path / "s" / "train-00002.h5").unlink()
    capsys.readouterr()
    flags = ("--encoder", "resnet-small", "--width", 0.125, "--threads", 1)
    assert twofold("pretrain", "simclr", "--data", "s", "--out", "a", *flags) == 2
    said = capsys.readouterr().err.splitlines()
    assert "cannot read s/train-00002.h5: [Errno 2] No such file" in said[-1]
