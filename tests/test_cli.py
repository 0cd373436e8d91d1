"""The command line as a user types it: the main road, and every way to stray from it."""

import json
import re
import shutil
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import twofold
from twofold.cli import COMMANDS, main
from twofold.folder import read_metrics

WITH = {"encoder": "resnet-small", "width": 0.25, "threads": 1, "batch_size": 32, "epochs": 1}
SMALL = [part for key, value in WITH.items() for part in (f"--{key.replace('_', '-')}", str(value))]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """What the command line sets for its own process ends with the test; so do caches."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))


def run(*args):
    """The exit status of `twofold ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    return caught.value.code


def images(count=120, channels=1, size=8, seed=0):
    shape = (count, channels, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data of every kind and a run, shared by the tests that only read them."""
    folder = tmp_path_factory.mktemp("place")
    np.save(folder / "images.npy", images())
    labels = np.arange(120) % 3
    np.savez(folder / "colour.npz", images=images(channels=3), labels=labels)
    np.savez(folder / "labelled.npz", images=images(), labels=labels)
    for number, (item, label) in enumerate(zip(images(60, 3), labels, strict=False)):
        path = folder / "photos" / "abc"[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.moveaxis(item, 0, 2)).save(path)
    (folder / "notes.txt").write_text("no data")
    (folder / "full").mkdir()
    (folder / "full" / "thesis.tex").write_text("not to be lost")
    for name, data in {"run": "labelled.npz", "plain": "images.npy"}.items():
        where = ("--data", folder / data, "--out", folder / name)
        assert run("pretrain", "simclr", *where, *SMALL) == 0
    plain = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    plain["recipe"]["epoch"] = 3
    (folder / "wrong.yaml").write_text(yaml.safe_dump(plain))
    twofold.pretrain("simclr", data=images(), out=folder / "array", quiet=True, **WITH)
    return folder


def same_weights(first, second):
    """Whether two folders hold encoders of the same bits."""
    one, other = (load_file(folder / "encoder.safetensors") for folder in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_main_road(tmp_path, capsys):
    """Pretrain, evaluate, embed, preview and report, each handing over to the next."""
    out, table = tmp_path / "run", tmp_path / "features.npz"
    contract = "--seed 0 --objectives.contrast.temperature 0.5 --prescription.rotate off"
    flags = f"--epochs 1 --batch-size 256 --encoder resnet-small {contract}".split()
    small = ["--width", "0.25", "--threads", "1"]
    assert run("pretrain", "simclr", "--data", "digits", "--out", out, *flags, *small) == 0
    said = capsys.readouterr()
    assert said.out == ""  # it is for results
    assert "simclr on digits: 1,797 images of 1x8x8" in said.err
    assert "1 epoch of batch 256" in said.err
    assert "hue needs 3 channels and the images have 1: it is not drawn" in said.err
    assert re.search(r"epoch 1: contrast \d\.\d+ \(chance 6\.24, floor 4\.24\); kNN", said.err)

    assert run("evaluate", out) == 0
    figures = json.loads((out / "evaluation.json").read_text())
    assert figures.keys() == {"knn", "linear"}
    for probe in figures.values():
        assert probe["protocol"]["test_items"] == 359
        for metric in ("accuracy", "accuracy_raw", "accuracy_untrained"):
            low, high = probe[metric]["ci95"]
            assert 0 <= low <= probe[metric]["value"] <= high <= 1
            assert probe[metric]["n"] == 359
    assert figures["knn"]["accuracy_raw"]["value"] > 0.97  # of digits, known to be easy
    shown = capsys.readouterr().out.splitlines()
    assert len([line for line in shown if " % " in line]) == 1 + 6
    assert shown[-1] == str(out / "evaluation.json")

    assert run("embed", out, "--data", "digits", "--out", table) == 0
    assert capsys.readouterr().out == f"{table}: 1797 embeddings of 64 features\n"
    with np.load(table, allow_pickle=False) as arrays:
        assert set(arrays.files) == {"embeddings", "ids", "part", "labels", "label_names"}
        assert arrays["embeddings"].shape == (1797, 64)
        assert arrays["labels"].shape == arrays["ids"].shape == (1797,)

    sheet = tmp_path / "views.png"
    assert run("preview", "simclr", "--data", "digits", "--out", sheet, "--rows", 2) == 0
    assert capsys.readouterr().out == f"{sheet}\n"
    with Image.open(sheet) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 100

    assert run("report", out) == 0
    page = out / "report.html"
    assert capsys.readouterr().out == f"{page}\n"
    assert 10_000 < page.stat().st_size < 3_000_000
    assert "</html>" in page.read_text()


def test_a_folder_of_images_trains_and_evaluates(tmp_path, place, capsys):
    out = tmp_path / "run"
    where = ("--data", place / "photos", "--out", out)
    assert run("pretrain", "simclr", *where, *SMALL) == 0
    assert "60 images of 3x8x8 uint8, 3 classes" in capsys.readouterr().err
    assert run("evaluate", out) == 0
    assert json.loads((out / "evaluation.json").read_text())["knn"]["accuracy"]["n"] == 12
    table = tmp_path / "features.npz"
    assert run("embed", out, "--data", place / "photos", "--out", table) == 0
    with np.load(table) as arrays:
        named = arrays["label_names"][arrays["labels"]]
        assert [name.split("/")[0] for name in arrays["ids"]] == named.tolist()


def test_embeddings_of_an_array_come_in_its_order(tmp_path, place):
    out = tmp_path / "features.npz"
    assert run("embed", place / "plain", "--data", place / "images.npy", "--out", out) == 0
    expected = twofold.load(place / "plain").embed(images())
    with np.load(out) as arrays:
        assert set(arrays.files) == {"embeddings", "ids", "part"}
        assert arrays["ids"].tolist() == [str(number) for number in range(120)]
        assert arrays["embeddings"].dtype == np.float32
        # A batch of another size sums in another order.
        np.testing.assert_allclose(arrays["embeddings"], expected, rtol=1e-4, atol=1e-5)


def test_the_test_part_is_what_the_run_held_out(tmp_path, place):
    """Also under another seed than 0, or items that were trained on would be taken for unseen."""
    where = ("--data", place / "images.npy")
    out, table = tmp_path / "run", tmp_path / "test.npz"
    assert run("pretrain", "simclr", *where, "--out", out, *SMALL, "--seed", 5) == 0
    assert run("embed", out, *where, "--out", table, "--part", "test") == 0
    expected = twofold.Run(out).open().test.ids
    with np.load(table) as arrays:
        assert sorted(arrays["ids"].tolist()) == sorted(expected)


def test_evaluate_reads_flags_about_the_run_s_own_data(place, capsys):
    assert run("evaluate", place / "run", "--test-fraction", 0.5) == 0
    figures = json.loads((place / "run" / "evaluation.json").read_text())
    assert figures["knn"]["accuracy"]["n"] == 60
    assert run("evaluate", place / "run", "--label-key", "classes") == 2
    assert "classes" in capsys.readouterr().err


def test_evaluate_takes_other_data(place):
    assert run("evaluate", place / "plain", "--data", place / "labelled.npz") == 0


def test_compare_prints_runs_side_by_side_and_writes_a_page(tmp_path, place, capsys):
    page = tmp_path / "both.html"
    assert run("compare", place / "run", place / "array", "--out", page) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f"{place / 'array'} has no evaluation" in "\n".join(shown)
    assert shown[-1] == str(page)
    (data,) = (line for line in shown if line.startswith("  data "))
    assert data.split() == ["data", str(place / "labelled.npz")]  # an array has no name
    assert "</html>" in page.read_text()


def test_a_config_file_repeats_a_run(tmp_path, place):
    """`--config` reads all of it back; flags beside it change what they name."""
    config = place / "run" / "config.yaml"
    for flags, out in [([], tmp_path / "same"), (["--seed", 1], tmp_path / "other")]:
        assert run("pretrain", "--config", config, "--out", out, *flags) == 0
    first, same, other = (
        yaml.safe_load((folder / "config.yaml").read_text())
        for folder in (place / "run", tmp_path / "same", tmp_path / "other")
    )
    assert first == same
    assert first["settings"].pop("seed") == 0
    assert other["settings"].pop("seed") == 1
    assert first["settings"] == other["settings"]
    assert first["recipe"] == other["recipe"]
    assert same_weights(place / "run", tmp_path / "same")
    assert not same_weights(place / "run", tmp_path / "other")


@pytest.mark.parametrize("form", ["--resume {}", "--resume={}"])
def test_resume_finishes_a_run_that_lost_its_encoder(tmp_path, place, form):
    where = ("--data", place / "images.npy", "--out", tmp_path / "run")
    assert run("pretrain", "simclr", *where, *SMALL) == 0
    encoder = tmp_path / "run" / "encoder.safetensors"
    encoder.rename(tmp_path / encoder.name)
    assert run("embed", tmp_path / "run", *where[:2], "--out", tmp_path / "f.npz") == 2
    assert run("pretrain", *form.format(tmp_path / "run").split(" ")) == 0
    assert same_weights(tmp_path, tmp_path / "run")
    steps = [line for line in read_metrics(tmp_path / "run") if line["kind"] == "step"]
    assert [line["step"] for line in steps] == [1, 2, 3]


def test_a_mistake_beside_overwrite_costs_no_run(tmp_path, place):
    out = tmp_path / "run"
    where = ("--data", place / "images.npy", "--out", out)
    assert run("pretrain", "simclr", *where, *SMALL) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for flags in (["--test-fraction", 0.99], ["--encoder", "timm/nope"], ["--device", "gpu"]):
        assert run("pretrain", "simclr", *where, *SMALL, "--overwrite", *flags) == 2
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert run("pretrain", "simclr", *where, *SMALL, "--overwrite", "--seed", 1) == 0
    assert (out / "encoder.safetensors").read_bytes() != before[out / "encoder.safetensors"]


def test_a_mistake_leaves_no_folder_behind(tmp_path, place):
    where = ("--data", place / "images.npy", "--out", tmp_path / "run")
    for flags in (["--test-fraction", 0.99], ["--encoder", "timm/nope"], ["--threads", 0]):
        assert run("pretrain", "simclr", *where, *SMALL, *flags) == 2
        assert not (tmp_path / "run").exists()


def test_names_with_brackets_and_colons_are_printed_as_they_are(tmp_path, place, capsys):
    out = tmp_path / "[red]:smile:[" / "]"
    assert run("pretrain", "simclr", "--data", place / "images.npy", "--out", out, *SMALL) == 0
    assert f"done: {out}/encoder.safetensors" in capsys.readouterr().err


def test_list_names_everything(capsys):
    assert run("list") == 0
    shown = capsys.readouterr().out
    for name in ("simclr", "resnet-small", "timm/NAME", "motion_blur", "fashion-mnist", "jet"):
        assert re.search(rf"^  {name} +\S", shown, re.MULTILINE), name
    assert {"domains", "augmentations (images)", "augmentations (jets)"} <= set(shown.splitlines())
    assert shown.index("augmentations (jets)") < shown.index("  eta_flip")


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_names_every_command(flag, capsys):
    main([flag])
    shown = capsys.readouterr().out
    assert all(f"twofold {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pretrain", "--help"], "RECIPE"),
        (["pretrain", "simclr", "--help"], "--objectives.contrast.temperature"),
        (["evaluate", "run", "--help"], "--label-key"),
        (["embed", "run", "--help"], "--part {all,train,test}"),
        (["prove", "run", "--help"], "--ceiling-epochs"),
        (["preview", "simclr", "--help"], "--rows"),
        (["compare", "run", "--help"], "--out FILE.html"),
    ],
)
def test_every_command_has_help(args, words, capsys):
    assert run(*args) == 0
    assert words in capsys.readouterr().out


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"twofold {twofold.__version__}\n"


def test_a_layer_of_the_head_is_embedded_by_its_name(tmp_path, place):
    where = ("--data", place / "images.npy", "--out", tmp_path / "f.npz")
    assert run("embed", place / "run", *where, "--layer", "projector.2") == 0
    expected = twofold.load(place / "run").embed(images(), layer="projector.2")
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["embeddings"].shape == (120, 128)
        np.testing.assert_allclose(arrays["embeddings"], expected, rtol=1e-4, atol=1e-4)


def test_a_run_and_any_encoder_are_proven(tmp_path, place, capsys, monkeypatch):
    """A run's findings join its figures; those of an encoder by its name go to a file."""
    monkeypatch.setattr(import_module("twofold.evaluate.decode"), "_STEPS", 20)
    shutil.copytree(place / "run", tmp_path / "run")
    asked = ("--augmentations", "flip", "--ceiling-epochs", 0)
    assert run("prove", tmp_path / "run", *asked) == 0
    said = capsys.readouterr().out
    path, out = tmp_path / "run" / "evaluation.json", tmp_path / "proof.json"
    assert said.splitlines()[-1] == str(path)
    assert re.search(r"flip +invariant .* AUC 0\.\d+ .* prescribed", said)
    found = json.loads(path.read_text())["prescription"]["augmentations"]
    assert list(found) == ["flip"]

    data = ("--data", place / "images.npy", "--out", out)
    assert run("prove", "resnet-small", *data, "--augmentations", "rotate") == 0
    assert re.search(r"rotate .* accuracy 0\.\d+", capsys.readouterr().out)
    found = json.loads(out.read_text())["augmentations"]
    assert list(found) == ["rotate"]
    assert found["rotate"]["word"] is None


TRAIN = "pretrain simclr --data digits --out OUT"
MISTAKES = [
    ("pretrian", "unknown command 'pretrian'; did you mean 'pretrain'?"),
    ("--verison", "unknown command '--verison'; did you mean '--version'?"),
    ("pretrain simcrl --data digits --out OUT", "unknown recipe 'simcrl'; did you mean 'simclr'?"),
    ("pretrain", "RECIPE is missing; write twofold pretrain RECIPE"),
    ("pretrain --data digits --out OUT", "RECIPE is missing"),
    (f"{TRAIN} --bath-size 3", "unknown flag --bath-size; did you mean --batch-size?"),
    (f"{TRAIN} --temperature 1", "did you mean --objectives.contrast.temperature?"),
    (f"{TRAIN} --epochs many", "--epochs is 'many'; it must be a whole number"),
    (f"{TRAIN} --epochs 1.5", "--epochs is '1.5'; it must be a whole number"),
    (f"{TRAIN} --epochs", "--epochs needs a value"),
    (f"{TRAIN} --epochs 0", "epochs is 0; it must be at least 1"),
    (f"{TRAIN} --width wide", "--width is 'wide'; it must be a number"),
    (f"{TRAIN} --view-size big", "--view-size is 'big'; it must be None or a whole number"),
    (f"{TRAIN} --stem lowres", "unknown value of --stem 'lowres'; did you mean 'low-resolution'?"),
    (f"{TRAIN} --augmentations.crop.scale 1", "--augmentations.crop.scale needs 2 values"),
    (f"{TRAIN} --augmentations.crop.scale a b", "--augmentations.crop.scale cannot be a b"),
    (f"{TRAIN} --augmentations.crop.scale 2 3", "ResizedCrop.scale is (2.0, 3.0); it must be"),
    (f"{TRAIN} --objectives.contrast.temperature -1", "temperature is -1.0; it must be > 0"),
    (f"{TRAIN} --seed -1", "seed is -1; it must be >= 0"),
    (f"{TRAIN} --name mine", "--name cannot be changed"),
    (f"{TRAIN} 7", "found '7', which belongs to no flag"),
    (f"{TRAIN} --prescription.rotat off", "did you mean --prescription.rotate?"),
    (f"{TRAIN} --prescription.rotate of", "unknown word for rotate 'of'; did you mean 'off'?"),
    (f"{TRAIN} --prescription.hue sensitive", "it changes nothing in images of 1 channel; say"),
    (f"{TRAIN} --encoder resnt18", "unknown encoder 'resnt18'; did you mean 'resnet18'?"),
    (
        f"{TRAIN} --encoder timm/resnet18x",
        "timm has no model 'resnet18x'; the nearest is",
    ),
    (f"{TRAIN} --device gpu", "device 'gpu' cannot be used"),
    (f"{TRAIN} --threads 0", "threads must be at least 1"),
    ("pretrain simclr --data digit --out OUT", "unknown data 'digit'; did you mean 'digits'?"),
    ("pretrain simclr --data imges.npy --out OUT", "did you mean 'images.npy'?"),
    ("pretrain simclr --data notes.txt --out OUT", "twofold opens no .txt files"),
    ("pretrain simclr --data photos/a/0.png --out OUT", "is a single image; give the folder"),
    ("pretrain simclr --data digits --test digit --out OUT", "did you mean 'digits'?"),
    ("pretrain simclr --data digits --out run", "run already holds a run; go on with"),
    ("pretrain simclr --data digits --out full", "full is not empty and holds no run"),
    ("pretrain simclr --data digits --out notes.txt", "notes.txt is a file"),
    ("pretrain simclr --data digits --out notes.txt/a/b", "notes.txt is a file"),
    ("pretrain simclr --out OUT", "--data is missing"),
    ("pretrain simclr --data digits", "--out is missing"),
    ("pretrain --resume", "--resume needs a value"),
    ("pretrain --resume rnu", "rnu is no run: it does not exist; did you mean run?"),
    ("pretrain --resume full", "full is no run: it has no config.yaml"),
    ("pretrain --resume run --epochs 3", "takes no other flag; found --epochs"),
    ("pretrain --resume array", "array was given an array in Python"),
    ("pretrain --config missing.yaml --out OUT", "missing.yaml does not exist"),
    ("pretrain --config notes.txt --out OUT", "notes.txt describes no run"),
    ("pretrain --config wrong.yaml --out OUT", "did you mean 'recipe.epochs'?"),
    ("pretrain --config run/config.yaml", "--out is missing"),
    ("evaluate", "RUN is missing; write twofold evaluate RUN"),
    ("evaluate rnu", "did you mean run?"),
    ("evaluate plain --probes knn", "'images' has no labels"),
    ("evaluate array", "--data is missing"),
    ("evaluate run --data colour.npz", "this encoder reads (batch, 1, height, width)"),
    ("evaluate run --sed 1", "unknown flag --sed"),
    ("embed rnu --data digits --out f.npz", "did you mean run?"),
    ("embed run --out f.npz", "--data is missing"),
    ("embed run --data digits", "--out is missing"),
    ("embed run --data digits --out f.npy", "f.npy; its name must end in .npz"),
    ("embed run --data digits --out no/f.npz", "the folder no does not exist"),
    ("embed run --data colour.npz --out f.npz", "this encoder reads (n, 1, height, width)"),
    ("embed run --data digits --out f.npz --part tests", "did you mean 'test'?"),
    ("embed run --data images.npy --out f.npz --route sensitive", "unknown route 'sensitive'"),
    ("embed run --data images.npy --out f.npz --layer projector.9", "did you mean 'projector.2'?"),
    ("prove", "RUN or ENCODER is missing; write twofold prove RUN"),
    ("prove rnu", "did you mean run?"),
    ("prove run --augmentations rotat", "unknown augmentation 'rotat'; did you mean 'rotate'?"),
    ("prove run --augmentations hue", "hue changes nothing in images of 1 channel"),
    ("prove resnet-small", "--data is missing"),
    ("prove resnet-small --data digits --out p.txt", "p.txt; its name must end in .json"),
    ("preview simcrl --data digits --out p.png", "did you mean 'simclr'?"),
    ("preview simclr --data digits --out p.jpg", "p.jpg; its name must end in .png"),
    ("preview simclr --data digits --out p.png --rows 0", "rows"),
    ("report", "RUN is missing"),
    ("report rnu", "did you mean run?"),
    ("report run run", "takes a run folder alone; found run"),
    ("compare", "RUN is missing; write twofold compare RUN RUN"),
    ("compare run", "there is one run to compare; it takes at least two"),
    ("compare run rnu", "rnu is no run: it does not exist; did you mean run?"),
    ("compare run full", "full is no run: it has no config.yaml"),
    ("compare run ./run", "run is given twice"),
    ("compare run plain --out c.png", "c.png; its name must end in .html"),
    ("compare run plain --out no/c.html", "the folder no does not exist"),
    ("compare run plain --out", "--out needs a value"),
    ("compare run plain --page c.html", "unknown flag --page"),
    ("list recipes", "takes nothing; found recipes"),
]


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(line, words, place, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert run(*line.replace("OUT", str(tmp_path / "out")).split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("twofold: ")
    assert words in said.err
    assert len(said.err) < 400
    assert sorted(place.rglob("*")) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line",
    [
        "pretrian",
        f"{TRAIN} --epochs many",
        "pretrain simclr --data digit --out OUT",
        "evaluate rnu",
        "compare run rnu",
        "embed run --data digits --out f.npy",
    ],
)
def test_a_mistake_is_answered_before_torch_is_imported(line, place):
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "from twofold.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *line.split()],
        check=False,
        capture_output=True,
        text=True,
        cwd=place,
    )
    assert done.returncode == 2
    assert done.stdout == "False\n"
    assert done.stderr.count("\n") == 1
