"""`twofold finetune` and `twofold predict` at the prompt."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from twofold.cli import main

QUICK = ["--threads", "1", "--loader-threads", "0", "--batch-size", "16", "--epochs", "2"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    labels = np.array(["cat", "dog"])[rng.integers(0, 2, 80)]
    items = rng.integers(0, 120, (80, 12, 12)) + 120 * (labels == "cat")[:, None, None]
    np.savez(folder / "pets.npz", images=items.astype(np.uint8), labels=labels)
    np.savez(folder / "plain.npz", images=items.astype(np.uint8))
    begin = f"pretrain simclr --data {folder}/pets.npz --out {folder}/a --encoder resnet-small"
    run(f"{begin} --width 0.25", *QUICK)
    return folder


def run(line, *more):
    with pytest.raises(SystemExit) as ended:
        main([*line.split(), *more])
    return ended.value.code


def test_labels_then_predictions(place, tmp_path, capsys):
    few = "--labels-per-class 10 --baseline --layer-decay 0.8 --profile"
    assert run(f"finetune {place}/a --out {tmp_path}/f {few}", *QUICK) == 0
    shown = capsys.readouterr()
    assert "accuracy" in shown.out
    assert "baseline" in shown.out
    assert shown.out.splitlines()[-1] == f"{tmp_path}/f/evaluation.json"
    assert "20 labels train all of it" in shown.err
    assert "the last is taken" in shown.err
    assert (tmp_path / "f" / "profile.json").exists()
    found = json.loads((tmp_path / "f" / "evaluation.json").read_text())["finetune"]
    assert found["protocol"]["labels_per_class"] == 10

    plain = f"--data {place}/plain.npz --out {tmp_path}/p.csv"
    assert run(f"predict {tmp_path}/f {plain}") == 0
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert len(rows) == 80
    assert {row["prediction"] for row in rows} <= {"cat", "dog"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)

    (tmp_path / "images").mkdir()
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:02}.png")
    (tmp_path / "images" / "07.png").write_bytes(b"no image")
    capsys.readouterr()
    assert run(f"predict {tmp_path}/f --data {tmp_path}/images --out {tmp_path}/i.csv") == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/i.csv: 29 predictions\n"
    assert said.err == f"note: 1 file could not be read; see {tmp_path}/i.skipped.tsv\n"
    assert (tmp_path / "i.skipped.tsv").read_text().startswith("07.png\t")

    assert run(f"finetune --resume {tmp_path}/f") == 0  # nothing is left to do but to say it
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("finetune {p}/a --out {t}/f --label-fraction 0.5 --labels-per-class 3", "both given"),
        ("finetune {p}/a --out {t}/f --labels-per-class 300", "has .* items"),
        ("finetune {p}/a --out {t}/f --label-fraktion 0.5", "did you mean --label-fraction"),
        ("finetune {p}/a --out {t}/f --data {p}/plain.npz", "has no labels to learn from"),
        ("finetune {p}/b --out {t}/f", "is no run"),
        ("finetune {p}/a", "--out is missing"),
        ("finetune --resume {p}/a", "go on with `twofold pretrain --resume"),
        ("predict {p}/a --data {p}/plain.npz --out {t}/p.csv", "has no head"),
        ("predict {p}/a --data {p}/plain.npz --out {t}/p.txt", "must end in .csv"),
    ],
)
def test_a_mistake_ends_in_one_line(place, tmp_path, capsys, line, says):
    assert (
        run(
            line.format(p=place, t=tmp_path),
            *(["--threads", "1"] if "finetune {p}" in line else []),
        )
        == 2
    )
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert re.search(says, said[0])
    assert not list(tmp_path.iterdir())


def test_pretrain_does_not_go_on_with_it(place, tmp_path, capsys):
    assert run(f"finetune {place}/a --out {tmp_path}/f", *QUICK) == 0
    capsys.readouterr()
    assert run(f"pretrain --resume {tmp_path}/f") == 2
    assert "go on with `twofold finetune --resume" in capsys.readouterr().err
