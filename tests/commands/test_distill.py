"""`twofold distill` and `twofold semisupervise` at the prompt."""

import json
import re

import numpy as np
import pytest

from twofold.cli import main
from twofold.config import load_config

QUICK = ["--threads", "1", "--loader-threads", "0"]
SMALL = ["--batch-size", "16", "--epochs", "2", *QUICK]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    items = rng.integers(0, 120, (80, 12, 12)) + 120 * labels[:, None, None]
    np.savez(folder / "pets.npz", images=items.astype(np.uint8), labels=labels)
    begin = f"pretrain simclr --data {folder}/pets.npz --out {folder}/a --encoder resnet-small"
    run(f"{begin} --width 0.25", *SMALL)
    run(f"finetune {folder}/a --out {folder}/t --labels-per-class 9 --seed 1", *SMALL)
    return folder


def run(line, *more):
    with pytest.raises(SystemExit) as ended:
        main([*line.split(), *more])
    return ended.value.code


def test_a_student_of_a_run(place, tmp_path, capsys):
    how = "--student resnet-small --width 0.25 --temperature 2 --teacher-share 0.75 --profile"
    assert run(f"distill {place}/t --data {place}/pets.npz --out {tmp_path}/s {how}", *SMALL) == 0
    shown = capsys.readouterr()
    assert re.search(r"accuracy\W+teacher", shown.out)
    assert "agreement" in shown.out
    assert shown.out.splitlines()[-1] == f"{tmp_path}/s/evaluation.json"
    assert f"the teacher is {place}/t; 18 labels take part" in shown.err
    assert (tmp_path / "s" / "profile.json").exists()
    found = json.loads((tmp_path / "s" / "evaluation.json").read_text())["distill"]["protocol"]
    assert (found["temperature"], found["teacher_share"], found["seed"]) == (2.0, 0.75, 1)

    before = json.loads((tmp_path / "s" / "evaluation.json").read_text())
    assert run(f"distill --resume {tmp_path}/s") == 0  # nothing is left to do but to say it
    assert json.loads((tmp_path / "s" / "evaluation.json").read_text()) == before


def test_a_stopped_student_is_gone_on_with(place, tmp_path, capsys, interrupted_at):
    line = f"distill {place}/t --out {tmp_path}/s --width 0.25"
    with interrupted_at(3):
        assert run(line, *SMALL) == 130
    assert f"go on with `twofold distill --resume {tmp_path}/s`" in capsys.readouterr().err
    assert run(f"distill --resume {tmp_path}/s") == 0
    assert load_config(tmp_path / "s" / "config.yaml").distilling.teacher == f"{place}/t"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("distill", "TEACHER is missing; write twofold distill TEACHER"),
        ("distill {p}/nowhere --out {t}/s", "is no run: it does not exist"),
        ("distill {p}/a --out {t}/s", "give it one with `twofold finetune"),
        ("distill {p}/t", "--out is missing"),
        ("distill {p}/t --out {p}/a", "already holds a run"),
        ("distill {p}/t --out {t}/s --temperature 0", "temperature is 0.0; it must be > 0"),
        ("distill {p}/t --out {t}/s --teacher-share 2", "it must be in [0, 1]"),
        ("distill {p}/t --out {t}/s --temprature 2", "did you mean --temperature?"),
        ("distill {p}/t --out {t}/s --student resnet-smal", "did you mean 'resnet-small'"),
        ("distill {p}/t --out {t}/s --name other", "--name cannot be changed"),
        ("distill {p}/t --out {t}/s --seed 5", "give its --seed 1"),
        ("distill --resume {p}/t", "go on with `twofold finetune --resume"),
        ("distill --resume {p}/a", "go on with `twofold pretrain --resume"),
        ("distill --resume {p}/t --epochs 3", "takes no other flag; found --epochs"),
        ("semisupervise", "RECIPE is missing; write twofold semisupervise RECIPE"),
        ("semisupervise simclr_v2 --data {p}/pets.npz", "--out is missing"),
        ("semisupervise simclr_v2 --out {t}/s", "--data is missing"),
        (
            "semisupervise simclr_v2 --data {p}/pets.npz --out {t}/s --label-fraction 2",
            "label_fraction is 2.0; it must be in (0, 1]",
        ),
        (
            "semisupervise simclr_v2 --data {p}/pets.npz --out {t}/s --distill.name x",
            "--name cannot be changed",
        ),
        (
            "semisupervise simclr_v2 --data {p}/pets.npz --out {t}/s --start {p}/a",
            "leave out start and scratch",
        ),
        ("semisupervise --resume {p}/a", "has no semisupervise.yaml"),
    ],
)
def test_a_mistake_is_one_line(place, tmp_path, capsys, line, says):
    assert run(line.format(p=place, t=tmp_path), *([] if "--resume" in line else QUICK)) == 2
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert shown.startswith("twofold: ")
    assert says in shown
    assert not list(tmp_path.iterdir())


def test_stages_from_end_to_end(place, tmp_path, capsys, interrupted_at):
    line = (
        f"semisupervise simclr_v2 --data {place}/pets.npz --out {tmp_path}/s "
        "--encoder resnet-small --width 0.25 --student resnet-small --distill.width 0.25 "
        "--label-fraction 0.2 --batch-size 16 --epochs 1 --finetune.epochs 1 --distill.epochs 1 "
        "--distill.batch-size 16 --distill.objectives.distill.temperature 3"
    )
    with interrupted_at(2):
        assert run(line, *QUICK) == 130
    assert f"`twofold semisupervise --resume {tmp_path}/s`" in capsys.readouterr().err
    assert run(f"semisupervise --resume {tmp_path}/s") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1].strip() for line in shown[1:-1]] == [
        "pretrained, linear probe",
        "pretrained, fine-tuned",
        "from random weights",
        "distilled",
    ]  # the student's network is the large one, so that there is none to compare with
    assert shown[-1] == f"{tmp_path}/s/evaluation.json"
    found = json.loads((tmp_path / "s" / "distill" / "evaluation.json").read_text())
    assert found["distill"]["protocol"]["temperature"] == 3
