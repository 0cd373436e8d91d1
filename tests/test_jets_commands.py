"""Every command once on jets, as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_jets import make_jets, write_jets

import twofold
from twofold.cli import main

QUICK = "--epochs 1 --batch-size 16 --threads 1 --loader-threads 0 --precision float32"


def run(line):
    """The exit status of `twofold LINE`."""
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    return caught.value.code


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Jets in a file and in a folder, a run on them, and one that was fine-tuned."""
    folder = tmp_path_factory.mktemp("jets")
    jets, labels, masses = make_jets(100)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TWOFOLD_CACHE", str(folder / "cache"))
        write_jets(folder / "jets.h5", jets, y=labels, m0=masses)
        (folder / "files").mkdir()
        for name, part in (("a", slice(50)), ("b", slice(50, 100))):
            write_jets(folder / "files" / f"{name}.h5", jets[part], y=labels[part])
        np.save(folder / "jet.npy", jets[3])
        np.save(folder / "jets.npy", np.moveaxis(jets[:2], 1, -1))
        (folder / "jet.png").touch()
        assert run(f"pretrain simclr --data jets.h5 --out run {QUICK}") == 0
        assert run(f"finetune run --data jets.h5 --out tuned {QUICK}") == 0
    return folder


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.setenv("TWOFOLD_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)


def test_an_evaluation_and_its_page_know_physics(capsys):
    assert run("evaluate run") == 0
    shown = capsys.readouterr().out
    for name in ("multiplicity", "energy", "girth", "ptd"):
        assert f"R² ({name})" in shown
    found = json.loads(Path("run/evaluation.json").read_text())
    assert list(found) == ["knn", "linear", "observables"]
    assert run("report run") == 0
    page = Path("run/report.html").read_text()
    assert '<h2 id="items-title">Jets</h2>' in page
    assert "R² (girth)" in page
    assert run("compare run tuned --out both.html") == 0
    assert "R² (girth)" in Path("both.html").read_text()


@pytest.mark.parametrize("domain", ["", "--domain jet"])
def test_a_folder_of_files_is_one_set_of_jets(capsys, domain):
    assert run(f"pretrain simclr --data files --out folder {domain} {QUICK} --overwrite") == 0
    said = capsys.readouterr().err
    assert "100 jets of 3x16x16 float32, 2 classes" in said
    assert "items/s" in said


@pytest.mark.parametrize("query", ["jet.npy", "jets.npy"])
def test_jets_like_a_jet_are_found(capsys, query):
    assert run(f"search run --data jets.h5 --query {query} --k 2 --out hits.png") == 0
    first = capsys.readouterr().out.splitlines()[1].split()
    assert first[1] == "1.0000"
    assert first[3] == ("3" if query == "jet.npy" else "0")
    assert Path("hits.png").stat().st_size > 1000


@pytest.mark.parametrize("query", ["jet.png", "jets.h5"])
def test_a_picture_is_no_query_to_an_encoder_of_jets(capsys, query):
    assert run(f"search run --data jets.h5 --query {query}") == 2
    assert f"the query {query} must be a .npy file of jets" in capsys.readouterr().err


def test_embeddings_and_predictions_are_written():
    assert run("embed run --data jets.h5 --out e.npz") == 0
    assert np.load("e.npz")["embeddings"].shape == (100, 32)
    assert run("predict tuned --data jets.h5 --out p.csv") == 0
    rows = Path("p.csv").read_text().splitlines()
    assert len(rows) == 101
    assert {row.split(",")[1] for row in rows[1:]} <= {"gluon", "quark"}


def test_a_graph_reads_energies_as_they_are_stored():
    jets = make_jets(6, seed=1)[0]
    assert run("export run --out run.pt2") == 0
    graph = torch.export.load("run.pt2").module()
    expected = twofold.load("run").embed(jets)
    np.testing.assert_allclose(graph(torch.from_numpy(jets)).detach(), expected, atol=1e-5)


@pytest.mark.slow
def test_a_prescription_is_proven(capsys):
    assert run("prove run --augmentations eta_flip smear --ceiling-epochs 0") == 0
    shown = capsys.readouterr().out
    assert "eta_flip" in shown
    assert "smear" in shown
    assert run("prove run --augmentations flip") == 2
    assert "unknown augmentation 'flip'" in capsys.readouterr().err


@pytest.mark.slow
def test_augmentations_of_jets_are_tried_with_each_other():
    words = "--compose eta_flip rotate --seeds 0"
    assert run(f"study simclr --data jets.h5 --out study {words} {QUICK}") == 0
    assert "eta_flip" in Path("study/table.csv").read_text()


def test_a_network_teaches_another():
    assert run(f"distill tuned --data jets.h5 --out student {QUICK}") == 0
    assert "distill" in json.loads(Path("student/evaluation.json").read_text())


@pytest.mark.slow
def test_few_labels_are_made_the_most_of():
    stages = "--finetune.epochs 1 --distill.epochs 1"
    assert run(f"semisupervise simclr --data jets.h5 --out stages {stages} {QUICK}") == 0
    assert Path("stages/distill/encoder.safetensors").exists()


def test_scikit_learn_takes_jets():
    jets, labels, _ = make_jets(40)
    options = {"threads": 1, "loader_threads": 0, "domain": "jet"}
    model = twofold.SelfSupervisedEncoder(epochs=1, batch_size=16, options=options)
    assert model.fit(jets, labels).transform(jets[:3]).shape == (3, 32)
    assert model.encoder_.preprocess.domain == "jet"
