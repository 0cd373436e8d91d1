"""The table of runs: what each folder tells, and what becomes of those that are damaged."""

import copy
import json
import os

import pytest
import yaml

import twofold
from twofold.catalogue import Result, runs
from twofold.errors import TwofoldError

CONFIG = {
    "recipe": {"name": "simclr", "encoder": "resnet18", "width": 1.0, "epochs": 3},
    "data": {"data": "/somewhere/photos.npz"},
    "found": {"note": "photos: 1,797 images of 1x8x8", "network": "resnet18"},
}
STEPS = [
    {"kind": "step", "step": 20, "epoch": 0, "images_per_s": 90.0, "elapsed": 30.5},
    {"kind": "epoch", "epoch": 1, "step": 20, "health": {"verdict": "constant"}, "elapsed": 31.0},
    {"kind": "step", "step": 30, "epoch": 1, "images_per_s": 80.0, "elapsed": 45.0},
]
END = [
    {"kind": "epoch", "epoch": 3, "step": 60, "health": {"verdict": "healthy"}, "elapsed": 90.0},
    {"kind": "end", "step": 60, "images_per_s": 85.0, "elapsed": 91.5},
]


def figure(value, low, high):
    return {"value": value, "ci95": [low, high], "n": 100}


@pytest.fixture
def make(tmp_path):
    """Makes a run folder; `files` are written into it as they are."""

    def make(
        folder, /, lines=(*STEPS, *END), evaluation=None, files=("encoder.safetensors",), **recipe
    ):
        config = copy.deepcopy(CONFIG)
        config["recipe"].update(recipe)
        folder = tmp_path / folder
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if evaluation is not None:
            (folder / "evaluation.json").write_text(json.dumps(evaluation))
        for file in files:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).touch()
        return folder

    return make


def test_a_finished_run_is_told_by_its_files(make, tmp_path):
    evaluation = {
        "knn": {"accuracy": figure(0.8, 0.78, 0.84), "accuracy_raw": figure(0.1, 0.0, 0.2)},
        "linear": {"protocol": {"l2": 1}, "r2": figure(0.5, 0.4, 0.7)},
        "finetune": {"accuracy": figure(0.9, 0.88, 0.92)},
    }
    folder = make("a", evaluation=evaluation)
    os.utime(folder / "metrics.jsonl", (0, 1_700_000_000))
    (entry,) = runs(tmp_path)
    assert (entry.name, entry.folder) == ("a", folder)
    assert (entry.recipe, entry.data, entry.encoder, entry.epochs) == (
        "simclr",
        "photos",
        "resnet18",
        3,
    )
    assert (entry.state, entry.problems, entry.health) == ("finished", (), "healthy")
    assert entry.knn == Result(value=0.8, metric="accuracy", half=pytest.approx(0.03))
    assert entry.linear == Result(value=0.5, metric="r2", half=pytest.approx(0.15))
    assert entry.finetune == Result(value=0.9, metric="accuracy", half=pytest.approx(0.02))
    assert (entry.seconds, entry.images_per_s) == (91.5, 85.0)
    assert entry.when.timestamp() == 1_700_000_000


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ({"files": ()}, "no encoder.safetensors"),
        (
            {"lines": STEPS, "files": ("checkpoints/step-00000030.safetensors",)},
            "unfinished: epoch 2 of 3",
        ),
        ({"lines": STEPS[:1], "files": ()}, "unfinished: epoch 1 of 3, no checkpoint"),
        ({"lines": (), "files": ()}, "not begun"),
    ],
)
def test_a_run_that_is_not_complete_says_how_far_it_got(make, tmp_path, how, state):
    make("a", **how)
    assert runs(tmp_path)[0].state == state


def test_steps_that_were_not_taken_are_counted(make, tmp_path):
    skipped = [{"kind": "skipped", "step": step, "what": "loss"} for step in (3, 7)]
    make("a", lines=[*skipped, *STEPS, *END])
    make("b")
    assert [entry.not_taken for entry in runs(tmp_path)] == [2, 0]


def test_what_an_unfinished_run_took_is_that_of_its_last_step(make, tmp_path):
    make("a", lines=STEPS, files=())
    (entry,) = runs(tmp_path)
    assert (entry.seconds, entry.images_per_s, entry.health) == (45.0, 80.0, "constant")


def test_what_a_run_does_not_say_is_none(make, tmp_path):
    folder = make("a", width=0.5)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"found": {}}))
    (folder / "metrics.jsonl").unlink()
    (entry,) = runs(tmp_path)
    assert (entry.data, entry.encoder) == ("/somewhere/photos.npz", "resnet18, width 0.5")
    assert (entry.knn, entry.linear, entry.finetune, entry.health) == (None,) * 4
    assert (entry.seconds, entry.images_per_s) == (None, None)


def test_runs_are_found_at_any_depth_but_not_among_what_made_a_run(make, tmp_path):
    inside = ["b/ceilings/crop", "b/candidates/x", "b/wandb/files", "b/baseline"]
    for name in ["b", "study/runs/t=1,seed=0", "study/runs/t=1,seed=1", "a", "b/tuned", *inside]:
        make(name)
    assert [entry.name for entry in runs(tmp_path)] == [
        "a",
        "b",
        "b/tuned",
        "study/runs/t=1,seed=0",
        "study/runs/t=1,seed=1",
    ]


def test_a_run_may_be_searched_itself(make):
    assert [entry.name for entry in runs(make("only"))] == ["only"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", b"a: [1,\n"),
        ("config.yaml", b"just words"),
        ("config.yaml", b"\xff\xfe\x00"),
        ("config.yaml", b"recipe: simclr\n"),
        ("evaluation.json", b'{"knn": {'),
        ("evaluation.json", b"[1, 2]"),
        ("metrics.jsonl", b'{"kind": "step"\n{"kind": "end", "step": 3}\n'),
        ("metrics.jsonl", b"\xff\xfe\x00"),
    ],
)
def test_a_damaged_file_is_named_beside_what_can_be_read(make, tmp_path, file, content):
    make("good")
    (make("bad", evaluation={"knn": {}}) / file).write_bytes(content)
    bad, good = runs(tmp_path)
    assert bad.problems == (f"{file} cannot be read",)
    assert (bad.recipe is None) == (file == "config.yaml")
    assert good.problems == ()


@pytest.mark.parametrize(
    ("recipe", "line", "evaluation"),
    [
        ({"epochs": "many", "name": 3, "width": "wide", "encoder": ["a"]}, {}, {}),
        ({}, {"kind": "end", "elapsed": "long", "images_per_s": None}, {}),
        ({}, {"kind": "epoch", "health": "fine"}, {}),
        ({}, {"kind": "step", "epoch": "first"}, {}),
        ({}, {}, {"knn": 3, "linear": {"accuracy": {"value": "x", "ci95": [0, 1]}}}),
        ({}, {}, {"knn": {"accuracy": {"ci95": None, "value": 0.5}, "mae": {"ci95": 3}}}),
    ],
)
def test_values_of_a_wrong_kind_are_none(make, tmp_path, recipe, line, evaluation):
    make("a", lines=[line], evaluation=evaluation, **recipe)
    (entry,) = runs(tmp_path)
    assert (entry.knn, entry.linear, entry.seconds, entry.health) == (None,) * 4
    if recipe:
        assert (entry.epochs, entry.recipe) == (None, None)


def test_a_configuration_that_is_gone_is_damage(make, tmp_path):
    """As when a run is replaced in the meantime, or a link leads nowhere."""
    folder = make("a", lines=())
    (folder / "metrics.jsonl").unlink()
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").symlink_to(tmp_path / "nowhere")
    (entry,) = runs(tmp_path)
    assert (entry.problems, entry.when) == (("config.yaml cannot be read",), None)


def test_a_line_cut_short_by_a_crash_is_no_damage(make, tmp_path):
    folder = make("a", lines=STEPS)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')
    assert runs(tmp_path)[0].problems == ()


def test_a_folder_without_runs_is_empty_and_none_is_refused(tmp_path):
    assert runs(tmp_path) == []
    with pytest.raises(TwofoldError, match="nowhere does not exist"):
        runs(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(TwofoldError, match="file is a file"):
        runs(tmp_path / "file")


def test_the_public_name_is_the_function():
    assert twofold.runs is runs
