"""`twofold evaluate` as a user types it: of a run, of an encoder by name, of embeddings."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import twofold
from twofold.cli import main

SMALL = {"encoder": "resnet-small", "width": 0.25, "threads": 1, "batch_size": 32, "epochs": 1}
CLASSES = np.arange(120) % 3


def images(channels=1, size=8):
    items = np.random.default_rng(0).integers(0, 150, (120, channels, size, size))
    return (items + 40 * CLASSES[:, None, None, None]).astype(np.uint8)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, sets of data and files of embeddings."""
    folder = tmp_path_factory.mktemp("trained")
    few = images()
    np.savez(folder / "classes.npz", images=few, labels=CLASSES)
    np.savez(folder / "more.npz", images=few[:90], labels=CLASSES[:90])
    np.savez(folder / "numbers.npz", images=few, labels=few.mean(axis=(1, 2, 3)))
    np.savez(folder / "colour.npz", images=images(channels=3), labels=CLASSES)
    np.savez(folder / "large.npz", images=images(size=12), labels=CLASSES)
    np.save(folder / "plain.npy", few)
    points = np.eye(3, 6)[CLASSES] + 0.2 * np.random.default_rng(1).normal(size=(120, 6))
    np.savez(folder / "e.npz", embeddings=points, labels=CLASSES)
    np.savez(folder / "wide.npz", embeddings=np.ones((9, 7)), labels=CLASSES[:9])
    settings = {"data": str(folder / "classes.npz"), "out": folder / "run"}
    twofold.pretrain("simclr", **settings, quiet=True, **SMALL)
    return folder


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    """The same in a folder of its own, which is the current one."""
    shutil.copytree(trained, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def evaluate(line):
    """The exit status of `twofold evaluate LINE`."""
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", *line.split()])
    return caught.value.code


def test_every_probe_of_classes_goes_beside_both_baselines(place, capsys):
    probes = "knn linear fewshot retrieval clustering fewlabels health"
    options = "--ways 3 --episodes 20 --per-class 1 5 --draws 2 --k 5 --ks 1 3 --inits 2"
    assert evaluate(f"run --probes {probes} {options}") == 0
    found = json.loads((place / "run" / "evaluation.json").read_text())
    assert list(found) == probes.split()
    for name, metric in {
        "knn": "accuracy",
        "linear": "accuracy",
        "fewshot": "accuracy",
        "retrieval": "r@3",
        "clustering": "nmi",
        "fewlabels": "accuracy@5",
        "health": "alignment",
    }.items():
        assert {metric, f"{metric}_raw", f"{metric}_untrained"} < found[name].keys()
    assert (found["knn"]["protocol"]["k"], found["fewshot"]["protocol"]["ways"]) == (5, 3)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["retrieval", "R@3,"] for line in lines)
    assert lines[-2].startswith("Healthy: the features use about")
    assert lines[-1] == "run/evaluation.json"


def test_a_probe_that_the_labels_do_not_fit_is_left_out_aloud(place, capsys):
    assert evaluate("run --probes linear regression --no-baselines") == 0
    said = capsys.readouterr()
    assert said.err.startswith("note: regression is left out: labels of 'classes' are classes")
    shown = said.out.splitlines()
    assert [line.split()[:2] for line in shown[1:-1]] == [["linear", "accuracy"]]


def test_numbers_are_regressed(place, capsys):
    assert evaluate("run --data numbers.npz") == 0
    found = json.loads((place / "run" / "evaluation.json").read_text())
    assert list(found) == ["knn", "regression"]
    shown = capsys.readouterr().out
    for words in ("R²", "MAE", "RMSE, raw", "Spearman, untrained"):
        assert words in shown


def test_several_sets_are_a_table(place, capsys):
    assert evaluate("run --data classes.npz more.npz numbers.npz --probes knn linear --k 3") == 0
    figures = json.loads((place / "run" / "evaluation.json").read_text())["transfer"]
    assert list(figures) == ["classes", "more", "numbers"]
    assert figures["more"]["knn"]["accuracy"]["n"] == 18
    shown = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in shown if line.split()[:1]}
    value = figures["more"]["knn"]["accuracy"]["value"]
    assert f"{100 * value:.1f} %" in rows["more"]
    assert "%" not in rows["numbers"]


def test_names_with_brackets_are_printed_as_they_are(place, capsys):
    (place / "more.npz").rename(place / "[red]:smile:[.npz")
    assert evaluate("run --data classes.npz [red]:smile:[.npz --probes knn --k 3") == 0
    assert "[red]:smile:[ " in capsys.readouterr().out


def test_an_encoder_by_name_needs_no_run(place, capsys):
    assert evaluate("torchvision/resnet18 --data classes.npz --probes knn --out f.json") == 0
    found = json.loads((place / "f.json").read_text())
    assert set(found["knn"]) == {"accuracy", "accuracy_raw", "accuracy_untrained", "protocol"}
    said = capsys.readouterr()
    assert "random weights; --pretrained fetches the published ones" in said.err
    assert said.out.splitlines()[-1] == "f.json"


def test_embeddings_need_no_encoder(place, capsys):
    assert evaluate("--embeddings e.npz --probes knn linear health --k 3 --out f.json") == 0
    found = json.loads((place / "f.json").read_text())
    assert found["linear"]["accuracy"]["value"] > 0.9
    assert found["linear"]["protocol"]["test_items"] == 24
    assert evaluate("--embeddings e.npz e.npz --probes linear") == 0
    assert " 120" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "RUN is missing; write twofold evaluate RUN"),
        ("run --probes knm", "unknown probe 'knm'; did you mean 'knn'?"),
        (
            "run --probes regression",
            "labels of 'classes' are classes, and regression needs numbers",
        ),
        ("run --data plain.npy --probes knn", "'plain' has no labels, and knn needs one"),
        ("run --data numbers.npz --probes linear", "are numbers to regress, and linear needs"),
        ("run --data classes.npz colour.npz", "'colour' does not fit: items have shape"),
        ("run --data classes.npz large.npz", "'large' does not fit: its images are 12x12 pixels"),
        ("run --data classes.npz more.npz --test more.npz", "--test holds test items of one set"),
        ("run --data classes.npz mor.npz", "mor.npz"),
        ("run --ways 1", "ways is 1; it must be >= 2"),
        ("run --way 3", "unknown flag --way; did you mean --ways?"),
        ("run --probes fewshot", "5 ways need as many classes"),
        ("run --classifier svm", "unknown value of --classifier 'svm'"),
        ("run --pretrained", "--pretrained is for encoders by name"),
        ("run --out figures.txt", "its name must end in .json"),
        ("run --seed 1", "--seed is for encoders by name and embeddings; a run has its own"),
        ("run --embeddings e.npz", "--embeddings stands in place of run; judge one of them"),
        ("--embeddings e.npz --data classes.npz", "--data is for items; a file of embeddings"),
        ("--embeddings e.npz --label-key y", "--label-key is for items"),
        ("--embeddings e.npz --pretrained", "--pretrained is for encoders by name"),
        ("--embeddings f.npz", "f.npz does not exist; did you mean e.npz?"),
        ("--embeddings e.npz wide.npz", "of 7 features and e.npz of 6; both must be of one"),
        ("--embeddings e.npz e.npz e.npz", "there are 3 files of embeddings"),
        ("timm/resnet18", "--data is missing"),
        ("torchvision/resnet --data classes.npz", "torchvision has no classifier 'resnet'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(place, capsys, line, words):
    assert evaluate(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("twofold: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not (place / "run" / "evaluation.json").exists()


def test_a_mistake_is_answered_before_torch_is_imported(place):
    program = """
import sys
from twofold.cli import main
for line in ("run --probes knm", "run --k 0", "timm/resnet18", "--embeddings f.npz"):
    try:
        main(["evaluate", *line.split()])
    except SystemExit as end:
        assert end.code == 2, line
    assert "torch" not in sys.modules, line
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_that_cannot_be_read_are_counted_and_listed(place, capsys):
    generator = np.random.default_rng(0)
    for label in "ab":
        (place / "images" / label).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "images" / label / f"{number}.png")
    (place / "images" / "a" / "3.png").write_bytes(b"no image")
    assert evaluate("run --data images --probes knn --no-baselines") == 0
    said = "note: 1 file could not be read; see run/evaluation.skipped.tsv\n"
    assert capsys.readouterr().err == said
    assert (place / "run" / "evaluation.skipped.tsv").read_text().startswith("a/3.png\t")
    assert evaluate("resnet-small --data images --probes knn --no-baselines") == 0
    assert "note: 1 file could not be read: a/3.png (" in capsys.readouterr().err
