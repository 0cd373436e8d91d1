"""The proof of a prescription: of a run, beside ceilings, and of an encoder by its name."""

import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch

import twofold
from twofold import TwofoldError
from twofold.domains.image import open_data
from twofold.objectives import SimCLR
from twofold.proof import prove_by_name
from twofold.recipes import RECIPES

SMALL = {
    "encoder": "resnet-small",
    "width": 0.25,
    "batch_size": 32,
    "epochs": 1,
    "threads": 1,
    "quiet": True,
}
WORDS = {"rotate": "sensitive", "flip": "blind", "vertical_flip": "both"}


def items_of(count, seed=0):
    """Gray noise under a light that falls from the top left."""
    light = np.add.outer(np.arange(8), np.arange(8)) * 16
    noise = np.random.default_rng(seed).integers(0, 32, (count, 1, 8, 8))
    return (light + noise).astype(np.uint8)


DATA = open_data(items_of(120), labels=np.arange(120) % 2)


@pytest.fixture(autouse=True)
def short_probes(monkeypatch):
    """What probes find is not what is tested here."""
    decode = import_module("twofold.evaluate.decode")
    monkeypatch.setattr(decode, "_STEPS", 20)


def narrow(name="simclr"):
    """The recipe with a narrow head."""
    recipe = RECIPES[name]()
    contrast = SimCLR(projector=(24, 16))
    return replace(recipe, objectives={**recipe.objectives, "contrast": contrast})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one epoch with every word, blind from a few rows."""
    folder = tmp_path_factory.mktemp("proof") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twofold.evaluate.prescription._ROWS", 300)
        return twofold.pretrain(narrow(), data=DATA, out=folder, prescription=WORDS, **SMALL)


def starts(monkeypatch):
    """Counts the runs that a proof begins, and lets them begin."""
    from twofold import proof

    begun, real = [], proof.start

    def counted(whole, folder, **settings):
        begun.append((folder.name, whole.recipe))
        return real(whole, folder, **settings)

    monkeypatch.setattr(proof, "start", counted)
    return begun


def test_what_was_prescribed_is_judged_by_its_words_and_kept_beside_the_figures(run):
    proof = run.prove(ceiling_epochs=0, quiet=True)
    found = proof["augmentations"]
    drawn = {name for name, word in run.config.recipe.prescription.items() if word != "off"}
    assert set(found) == drawn - {"saturation", "hue", "grayscale"}  # which need colours
    for name, one in found.items():
        assert one["word"] == run.config.recipe.prescription[name]
        assert one["ceiling"] is None
        assert list(one["readings"]) == ["features", "projector.1", "projector.2"]
        assert one["judged_on"] == "features"
        for reading in one["readings"].values():
            assert (reading["verdict"]["achieved"] is None) == (one["word"] == "off")
    path = run.folder / "evaluation.json"
    assert json.loads(path.read_text()) == {"prescription": proof}
    figures = run.evaluate(quiet=True)
    assert json.loads(path.read_text()) == {"prescription": proof, **figures}
    less = run.prove(augmentations=("flip",), ceiling_epochs=0, quiet=True)
    assert json.loads(path.read_text()) == {"prescription": less, **figures}
    assert less["augmentations"] == {"flip": found["flip"]}


def test_ceilings_are_trained_once_for_the_augmentation_alone(run, monkeypatch):
    begun = starts(monkeypatch)
    asked = {"augmentations": ("rotate", "flip"), "quiet": True}
    proof = run.prove(ceiling_epochs=1, **asked)
    assert [name for name, _ in begun] == ["rotate-1", "flip-1"]
    for name, (_, recipe) in zip(("rotate", "flip"), begun, strict=True):
        assert list(recipe.learned) == ["predict"]
        assert recipe.learned["predict"].names == (name,)
        assert recipe.prescription == {name: "both"}
        assert (recipe.num_views, recipe.epochs) == (1, 1)
        assert recipe.encoder == "resnet-small"
    assert begun[1][1].augmentations["flip"].probability == 0.5
    for one in proof["augmentations"].values():
        seen = [one["ceiling"], *(reading["decoded"] for reading in one["readings"].values())]
        assert one["top"] == max(decoded["value"] for decoded in seen)
    assert run.prove(ceiling_epochs=1, **asked) == proof
    assert len(begun) == 2
    other = run.prove(augmentations=("rotate",), ceiling_epochs=2, quiet=True)
    assert begun[2][1].epochs == other["protocol"]["ceiling_epochs"] == 2


def test_what_beats_its_ceiling_takes_its_place(run, monkeypatch):
    def observed(readings, *given, **settings):
        value = 0.9 if readings.layers[1:] else 0.7  # a ceiling is read without its head
        alike = {"value": 0.5, "random": 0.0}
        evidence = {"similarity": alike, "decoded": {"value": value, "chance": 0.5}}
        return dict.fromkeys(readings.names, evidence)

    monkeypatch.setattr("twofold.proof.observe", observed)
    proof = run.prove(augmentations=("rotate",), ceiling_epochs=1, quiet=True)
    found = proof["augmentations"]["rotate"]
    assert (found["ceiling"]["value"], found["top"]) == (0.7, 0.9)
    assert found["readings"]["features"]["verdict"]["share"] == pytest.approx(1)


def test_each_route_is_proven_and_the_sensitive_one_judged_where_it_is_to_keep(tmp_path):
    run = twofold.pretrain(narrow("mt_slvr"), data=DATA, out=tmp_path / "run", **SMALL)
    asked = {"augmentations": ("flip", "rotate"), "ceiling_epochs": 0, "quiet": True}
    found = run.prove(**asked)["augmentations"]
    for name, judged_on in {"flip": "sensitive", "rotate": "invariant"}.items():
        readings = list(found[name]["readings"])
        assert readings == ["invariant", "sensitive", "projector.1", "projector.2"]
        assert found[name]["judged_on"] == judged_on


def test_an_encoder_that_no_run_trained_is_proven_by_its_name():
    proof = prove_by_name("resnet-small", DATA, names=("rotate", "flip"), quiet=True)
    for name, one in proof["augmentations"].items():
        assert (one["word"], one["ceiling"], one["top"]) == (None, None, 1.0)
        assert list(one["readings"]) == ["features"]
        verdict = one["readings"]["features"]["verdict"]
        assert verdict["achieved"] is None
        assert verdict["share"] > 0.5, name  # random convolutions keep where the light falls from
    assert prove_by_name("resnet-small", DATA, names=("rotate", "flip"), quiet=True) == proof


def test_a_network_of_the_user_s_own_has_no_ceiling(tmp_path, monkeypatch):
    class Own(torch.nn.Module):
        num_features = 6

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 6, 3)

        def forward(self, images):
            return self.layer(images).mean((2, 3))

    begun = starts(monkeypatch)
    settings = {key: value for key, value in SMALL.items() if key != "width"}
    network = {**settings, "encoder": Own()}
    run = twofold.pretrain(narrow(), data=DATA, out=tmp_path / "run", **network)
    proof = run.prove(augmentations=("flip",), quiet=True)
    assert proof["augmentations"]["flip"]["ceiling"] is None
    assert begun == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("rotat",), "unknown augmentation 'rotat'; did you mean 'rotate'"),
        (("flip", "hue"), "hue changes nothing in images of 1 channel; leave it out"),
    ],
)
def test_what_cannot_be_proven_is_refused(run, names, words):
    for prove in (
        lambda: run.prove(augmentations=names, quiet=True),
        lambda: prove_by_name("resnet-small", DATA, names=names, quiet=True),
    ):
        with pytest.raises(TwofoldError, match=words) as error:
            prove()
        assert "\n" not in str(error.value)


def test_a_run_whose_positives_are_groups_is_proven_item_by_item(tmp_path, monkeypatch):
    monkeypatch.setattr("twofold.evaluate.prescription._ROWS", 300)
    data = open_data(items_of(120), labels=np.arange(120) // 3 % 2, groups=np.arange(120) // 3)
    recipe = replace(narrow(), positives="group")
    changes = {**SMALL, "batch_size": 8, "prescription": {"flip": "invariant"}}
    run = twofold.pretrain(recipe, data=data, out=tmp_path / "run", **changes)
    proof = run.prove(ceiling_epochs=1, quiet=True)
    assert proof["augmentations"]["flip"]["ceiling"] is not None
