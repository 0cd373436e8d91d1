"""`twofold align` at the prompt."""

import json
import re

import numpy as np
import pytest

from twofold.cli import main
from twofold.config import load_config

QUICK = "--epochs 2 --batch-size 16 --threads 1 --loader-threads 0 --early-resolution 1"
PLAIN = "--encoder mlp --prescription.crop off --prescription.flip off --within 0"
BESIDE = "--beside {p}/felt.npz --beside.key states --beside.domain trajectory"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (80, 2)).astype(np.float32)
    columns = np.linspace(-1, 1, 8)
    spots = np.exp(-8 * ((columns - states[:, :1]) ** 2))[:, None] * np.ones((8, 1))
    images, groups = (255 * spots).astype(np.uint8), np.arange(80) // 4
    np.savez(folder / "seen.npz", images=images, patient=groups)
    np.savez(folder / "felt.npz", states=states, patient=groups)
    np.savez(folder / "fewer.npz", states=states[:70], patient=groups[:70])
    run(f"align info_nce --data {folder}/seen.npz {BESIDE.format(p=folder)} --out {folder}/r")
    return folder


def run(line):
    """The exit status of `twofold`; a new alignment is a quick one."""
    begins = "--resume" not in line and line.startswith("align ")
    with pytest.raises(SystemExit) as ended:
        main(f"{line} {PLAIN} {QUICK}".split() if begins else line.split())
    return ended.value.code


def test_two_sources_of_one_event(place, tmp_path, capsys, interrupted_at):
    line = f"align info_nce --data {place}/seen.npz {BESIDE.format(p=place)} --out {tmp_path}/r"
    line += " --group-key patient --beside.group-key patient --temperature 0.2 --beside.width 0.5"
    with interrupted_at(3):
        assert run(line) == 130
    assert f"go on with `twofold align --resume {tmp_path}/r`" in capsys.readouterr().err
    assert run(f"align --resume {tmp_path}/r") == 0
    shown = capsys.readouterr()
    assert re.search(r"forth\W+R@1\W", shown.out)
    assert re.search(r"back\W+median rank, untrained", shown.out)
    assert shown.out.splitlines()[-1] == f"{tmp_path}/r/evaluation.json"
    assert "note: beside: felt: 80 states of 2x1x1" in shown.err
    assert "20 groups" in shown.err
    assert "mlp; augmentations: none" in shown.err
    assert "across: 15 negatives per anchor" in shown.err
    whole = load_config(tmp_path / "r" / "config.yaml")
    assert (whole.aligning.temperature, whole.aligning.recipe.width) == (0.2, 0.5)
    assert whole.aligning.data.group_key == "patient"
    before = json.loads((tmp_path / "r" / "evaluation.json").read_text())
    assert before["forth"]["protocol"]["test_items"] == 16

    assert run(f"align --resume {tmp_path}/r") == 0  # nothing is left to do but to say it
    assert json.loads((tmp_path / "r" / "evaluation.json").read_text()) == before

    assert run(f"{line} --overwrite --profile") == 0
    assert (tmp_path / "r" / "profile.json").exists()


def test_what_it_leaves_is_read_by_other_commands(place, tmp_path, capsys):
    for part, file, more in (("", "seen.npz", ""), ("/beside", "felt.npz", " --key states")):
        out = tmp_path / file
        how = f"--data {place}/{file}{more} --out {out} --layer projector.2"
        assert run(f"embed {place}/r{part} {how}") == 0
        assert np.load(out)["embeddings"].shape == (80, 128)
        for command in ("evaluate", "report"):
            assert run(f"{command} {place}/r{part}") == 0
    capsys.readouterr()
    run(f"runs {place}")
    table = capsys.readouterr().out
    assert "info_nce" in table
    assert "beside" not in table


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("align", "RECIPE is missing; write twofold align RECIPE --data D --beside E"),
        ("align info_nce --data {p}/seen.npz --out {t}/r", "--beside is missing"),
        ("align info_nce --beside {p}/seen.npz --out {t}/r", "--data is missing"),
        ("align info_nce --data {p}/seen.npz {b}", "--out is missing"),
        ("align info_nce --data {p}/seen.npz --beside {p}/none.npz --out {t}/r", "none.npz"),
        ("align info_nce --data {p}/seen.npz --beside {p}/seen.npz --out {t}/r", "the same values"),
        ("align simcrl --data {p}/seen.npz {b} --out {t}/r", "did you mean 'simclr'"),
        ("align info_nce --data {p}/seen.npz {b} --out {p}/r", "already holds a run"),
        (
            "align info_nce --data {p}/seen.npz --beside {p}/fewer.npz --beside.key states "
            "--beside.domain trajectory --out {t}/r",
            "have 80 and 70 rows; row i of the one must be row i of the other",
        ),
        (
            "align info_nce --data {p}/seen.npz {b} --out {t}/r --group-key patient",
            "'seen' has groups and 'felt' has none; name the same for both",
        ),
        (
            "align info_nce --data {p}/seen.npz {b} --out {t}/r --beside.epochs 4",
            "epochs of the source beside cannot be set",
        ),
        (
            "align info_nce --data {p}/seen.npz {b} --out {t}/r --beside.encodr mlp",
            "did you mean --beside.encoder?",
        ),
        ("align info_nce --data {p}/seen.npz {b} --out {t}/r --temperature 0", "must be > 0"),
        ("align info_nce --data {p}/seen.npz {b} --out {t}/r --name other", "--name cannot be"),
        ("align --resume {p}/r/beside", "is half of"),
        ("align --resume {p}/r --epochs 3", "takes no other flag; found --epochs"),
        ("pretrain --resume {p}/r", "go on with `twofold align --resume"),
    ],
)
def test_a_mistake_is_one_line(place, tmp_path, capsys, line, says):
    assert run(line.format(p=place, t=tmp_path, b=BESIDE.format(p=place))) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert len([words for words in shown if words.startswith("twofold: ")]) == 1
    assert says in shown[-1]
    assert not list(tmp_path.iterdir())
