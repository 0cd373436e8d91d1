"""A study from end to end on toys: what it trains, on what it judges, and how it goes on."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import twofold
from twofold import train
from twofold.cli import main
from twofold.domains import Data, split
from twofold.domains.image import open_data
from twofold.errors import TwofoldError
from twofold.folder import read_metrics
from twofold.interruption import Stop
from twofold.studies import carry

SMALL = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "epochs": 1, "threads": 1}
FIELD = "objectives.contrast.temperature"
GRID = {FIELD: [0.1, 0.5]}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """What the command line sets for its own process ends with the test."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")


def toys(count=120, channels=1, seed=0):
    """Images whose top is dark in one class of two."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (count, channels, 8, 8), np.uint8), np.arange(count) % 2
    images[labels == 1, :, :4] //= 4
    return images, labels


def opened(**options):
    images, labels = toys(**options)
    return open_data(images, labels=labels)


def study(folder, data=None, **options):
    return twofold.study(
        "simclr",
        data=data or opened(),
        out=folder,
        **{"grid": GRID, "seeds": (0,), "quiet": True, **SMALL, **options},
    )


def test_every_combination_is_trained_with_every_seed(tmp_path):
    found = study(tmp_path, seeds=(0, 3))
    assert [list(row.values.values()) for row in found.rows] == [[0.1], [0.5]]
    for row in found.rows:
        assert len(row.figures["linear"]) == len(row.figures["knn"]) == 2
        assert row.estimate("knn").basis == "t over 2 seeds"
        for seed in (0, 3):
            run = twofold.Run(tmp_path / "runs" / f"temperature={row.values[FIELD]},seed={seed}")
            assert run.config.settings.seed == seed
            assert run.config.recipe.objectives["contrast"].temperature == row.values[FIELD]
            assert run.encoder().embed(toys()[0]).shape == (120, 64)
    assert [path.name for path in found.files] == ["table.csv", "figure.svg", "figure.png"]
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 0, 3, 3]


def test_figures_are_of_held_out_training_items(tmp_path):
    """By hand: the split, the embeddings of the run, and their weighted neighbours."""
    data = opened()
    found = study(tmp_path, data, grid={})
    bank, queries = split(data.train, test_fraction=24 / 96, seed=0)  # a quarter: there are few
    encoder = twofold.load(tmp_path / "runs" / "seed=0")
    near, far = (encoder.embed(source.items) for source in (queries, bank))
    near, far = (e / np.linalg.norm(e, axis=1, keepdims=True) for e in (near, far))
    right = 0
    for feature, label in zip(near, queries.labels, strict=True):
        similarity = far @ feature
        nearest = np.argsort(-similarity)[:20]
        votes = np.bincount(bank.labels[nearest], np.exp(similarity[nearest] / 0.07))
        right += votes.argmax() == label
    (figure,) = found.rows[0].figures["knn"]
    assert (figure["n"], figure["value"]) == (24, right / 24)
    config = twofold.Run(tmp_path / "runs" / "seed=0").config
    assert config.found["train_items"] == 72
    assert "held-out training items; test items are not touched" in found.judged_on


def test_test_items_enter_nothing(tmp_path):
    """Other test items, labelled at random or not at all, change no figure."""
    data = opened()
    noise = np.random.default_rng(1).permutation(data.test.items.reshape(-1))
    for name, labels in {"other": data.test.labels[::-1].copy(), "none": None}.items():
        test = twofold.Source(
            name="noise",
            items=noise.reshape(data.test.items.shape),
            ids=data.test.ids,
            labels=labels,
            label_names=data.train.label_names,
        )
        other = Data(name="toys", train=data.train, test=test, note="with noise to test on")
        assert study(tmp_path / name, other).rows == study(tmp_path / "own", data).rows


def test_a_final_study_is_judged_on_test_items(tmp_path):
    data = opened()
    found = study(tmp_path, data, judge="test")
    assert found.judged_on == "the 24 test items"
    for row in found.rows:
        assert row.figures["knn"][0]["n"] == 24
    run = twofold.Run(tmp_path / "runs" / "temperature=0.1,seed=0", data)
    assert run.config.found["train_items"] == 96
    figures = run.evaluate(quiet=True)
    for probe in ("knn", "linear"):  # the same figures as `twofold evaluate` finds
        assert found.rows[0].figures[probe][0]["value"] == figures[probe]["accuracy"]["value"]


@pytest.mark.parametrize(("items", "held_out"), [(96, 24), (2400, 500), (8000, 800)])
def test_a_tenth_is_held_out_and_500_if_there_are_enough(items, held_out):
    source = twofold.Source(
        name="blank",
        items=np.zeros((items, 1, 8, 8), np.uint8),
        ids=[str(i) for i in range(items)],
        labels=np.arange(items) % 2,
    )
    plan = twofold.studies.Plan(whole=twofold.Config(recipe=twofold.RECIPES["simclr"]()))
    data = carry._judged(plan, Data(name="blank", train=source, test=source, note=""))
    assert len(data.test) == held_out
    assert set(data.train.ids) | set(data.test.ids) == set(source.ids)
    assert not set(data.train.ids) & set(data.test.ids)


class Stopping(Stop):
    """Asks the second training to stop after some steps."""

    def __init__(self, steps, asked):
        super().__init__()
        self.steps, self.trainings = steps, asked

    @property
    def due(self):
        return len(self.trainings) == 2 and next(self.steps) > 5


def test_a_study_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """A run that ended is left alone, one that was half-way ends with the bits it would have."""
    expected = study(tmp_path / "whole", epochs=3)

    real, asked = train.interruptible, []

    @contextmanager
    def stopping():
        with real():
            asked.append(0)
            yield Stopping(iter(range(100)), asked)

    monkeypatch.setattr(train, "interruptible", stopping)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "cut", epochs=3)
    monkeypatch.setattr(train, "interruptible", real)
    first, second = (tmp_path / "cut" / "runs" / f"temperature={t},seed=0" for t in GRID[FIELD])
    before = (first / "encoder.safetensors").stat().st_mtime_ns
    assert 0 < read_metrics(second)[-1]["step"] < 12
    assert not (second / "encoder.safetensors").exists()

    found = study(tmp_path / "cut", epochs=3)
    assert found.rows == expected.rows
    assert (first / "encoder.safetensors").stat().st_mtime_ns == before
    steps = [line["step"] for line in read_metrics(second) if line["kind"] == "step"]
    assert steps == list(range(1, 13))
    weights = [
        load_file(root / "runs" / second.name / "encoder.safetensors")
        for root in (tmp_path / "cut", tmp_path / "whole")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_finished_study_trains_nothing(tmp_path, monkeypatch):
    first = study(tmp_path)
    monkeypatch.setattr(carry, "start", None)
    assert study(tmp_path) == first


def test_other_items_are_no_part_of_the_same_study(tmp_path):
    study(tmp_path)
    with pytest.raises(TwofoldError, match=r"the data has changed since temperature=0\.1,seed=0"):
        study(tmp_path, opened(seed=1))


def test_another_grid_needs_another_folder(tmp_path):
    study(tmp_path)
    with pytest.raises(TwofoldError, match=r"grid\.objectives\.contrast\.temperature is \[0\.1, 0"):
        study(tmp_path, grid={FIELD: [0.1, 0.2]})


@pytest.mark.parametrize(("name", "words"), [("a.txt", "not empty"), ("config.yaml", "a run")])
def test_a_folder_that_holds_something_else_is_refused(tmp_path, name, words):
    (tmp_path / name).write_text("mine")
    with pytest.raises(TwofoldError, match=words):
        study(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_combination_that_diverges_does_not_end_the_study(tmp_path):
    found = study(tmp_path, grid={"optimizer.learning_rate": [1e12, 0.1]})
    failed, fine = found.rows
    assert failed.estimate("linear") is None
    assert "seed 0 failed: the loss of 'contrast' is not finite at step 2" in failed.notes[0]
    assert fine.estimate("linear") is not None
    assert study(tmp_path, grid={"optimizer.learning_rate": [1e12, 0.1]}) == found


def test_batches_that_cannot_be_filled_are_told(tmp_path):
    found = study(tmp_path, grid={"batch_size": [16, 5000]})
    assert found.rows[0].notes == ()
    assert found.rows[1].notes == ("items fill no batch of 5000: 18 a batch",)


def test_a_field_of_the_data_is_varied(tmp_path):
    images, labels = toys()
    np.savez(tmp_path / "toys.npz", images=images, labels=labels, inverse=255 - images)
    found = twofold.study(
        data=tmp_path / "toys.npz",
        out=tmp_path / "study",
        grid={"key": ["images", "inverse"]},
        seeds=(0,),
        quiet=True,
        **SMALL,
    )
    prints = [json.loads(line)["fingerprint"] for line in open_lines(tmp_path / "study")]
    assert [list(row.values.values()) for row in found.rows] == [["images"], ["inverse"]]
    assert len(set(prints)) == 2


def open_lines(folder):
    return (folder / "results.jsonl").read_text().splitlines()


def test_a_composition_draws_each_pair_alone(tmp_path):
    found = study(tmp_path, grid=None, compose=("crop", "jitter"))
    assert [tuple(row.values.values()) for row in found.rows] == [
        ("crop", "crop"),
        ("crop", "jitter"),
        ("jitter", "jitter"),
    ]
    for name in ("crop", "crop+jitter", "jitter"):
        words = twofold.Run(tmp_path / "runs" / f"{name},seed=0").config.recipe.prescription
        drawn = {augmentation for augmentation, word in words.items() if word != "off"}
        jitter = {"brightness", "contrast", "saturation", "hue"}
        assert drawn == ({"crop"} if "crop" in name else set()) | (
            jitter if "jitter" in name else set()
        )


@pytest.mark.parametrize("name", ["grayscale", "hue"])
def test_what_the_channels_cannot_have_is_refused(tmp_path, name):
    with pytest.raises(TwofoldError, match=f"{name} changes nothing in images of 1 channels"):
        study(tmp_path / "gray", grid=None, compose=("crop", name))
    assert not (tmp_path / "gray").exists()


def test_items_without_classes_are_refused(tmp_path):
    with pytest.raises(TwofoldError, match="has no classes, and a study judges by them"):
        study(tmp_path / "study", open_data(toys()[0]))
    assert not (tmp_path / "study").exists()


@pytest.fixture
def file(tmp_path):
    images, labels = toys()
    np.savez(tmp_path / "toys.npz", images=images, labels=labels)
    return tmp_path / "toys.npz"


def run(*args):
    """The exit status of `twofold study ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main(["study", *map(str, args)])
    return caught.value.code


def flags(file, out):
    small = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    return ["simclr", "--data", file, "--out", out, *small, "--seeds", 0]


def test_one_command_makes_a_table_and_a_figure(tmp_path, file, capsys):
    out = tmp_path / "study"
    grids = ["--grid", f"{FIELD}=0.1,0.5", "--grid", "prescription.flip=off,invariant"]
    assert run(*flags(file, out), *grids) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-3:] == [
        str(out / name) for name in ("table.csv", "figure.svg", "figure.png")
    ]
    assert "24 held-out training items; test items are not touched" in said.out
    assert "note: hue needs 3 channels and the images have 1: it is not drawn" in said.err
    assert "4 of 4: temperature 0.5, flip invariant, seed 0: linear probe" in said.err
    plain = yaml.safe_load((out / "study.yaml").read_text())
    assert plain["grid"] == {FIELD: [0.1, 0.5], "prescription.flip": ["off", "invariant"]}
    table = (out / "table.csv").read_bytes()
    assert run("--resume", out) == 0
    assert "of 4" not in capsys.readouterr().err
    assert (out / "table.csv").read_bytes() == table


def test_ctrl_c_says_how_to_go_on(tmp_path, file, capsys, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    out = tmp_path / "study"
    monkeypatch.setattr(carry, "start", stop)
    assert run(*flags(file, out), "--grid", f"{FIELD}=0.1,0.5") == 130
    said = capsys.readouterr().err
    assert f"stopped after 0 of 2 runs; go on with `twofold study --resume {out}`" in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--grid epoch=1,2", "unknown field 'epoch'; did you mean 'epochs'"),
        ("--grid epochs=1,x", "epochs is 'x'; it must be of type int"),
        ("--grid epochs", "write field=value,value"),
        ("--seed 3", "use --seeds"),
        ("--name mine", "--name cannot be changed"),
        ("--judge tset", "did you mean 'test'?"),
        ("--compose crop crp", "did you mean 'crop'?"),
        ("--compose crop grayscale", "grayscale changes nothing in images"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, file, capsys, args, words):
    out = tmp_path / "study"
    assert run(*flags(file, out), *args.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("twofold: ")
    assert said.count("\n") == 1
    assert words in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "words"), [(["--help"], "RECIPE"), (["simclr", "--help"], "--grid")]
)
def test_it_has_help(args, words, capsys):
    assert run(*args) == 0
    assert words in capsys.readouterr().out


def test_a_run_shows_its_epoch_while_it_trains(tmp_path):
    shown = carry._Progress("1 of 2: flip off", tmp_path, 9)
    assert str(shown.__rich__()) == "1 of 2: flip off"
    steps = [{"kind": "step", "step": i, "epoch": i // 50, "losses": {}} for i in range(300)]
    lines = "".join(json.dumps(step) + "\n" for step in steps)
    (tmp_path / "metrics.jsonl").write_text(lines + '{"kind": "step", "st')
    assert str(shown.__rich__()) == "1 of 2: flip off, epoch 6 of 9"


def test_an_array_is_asked_for_again_where_it_is_not_at_hand(tmp_path, capsys):
    study(tmp_path)
    assert run("--resume", tmp_path) == 2
    assert "go on there by the same call of twofold.study" in capsys.readouterr().err


def test_resume_takes_a_study_and_nothing_else(tmp_path, capsys):
    assert run("--resume", tmp_path) == 2
    assert "is no study: it has no study.yaml" in capsys.readouterr().err
    assert run("--resume", tmp_path, "--epochs", 3) == 2
    assert "found --epochs" in capsys.readouterr().err
