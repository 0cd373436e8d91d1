"""`twofold search` as a user types it."""

import sys

import numpy as np
import pytest
from PIL import Image

import twofold
from twofold.cli import main

SMALL = {"encoder": "resnet-small", "width": 0.25, "threads": 1, "batch_size": 16, "epochs": 1}
ITEMS = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, its data, embeddings and queries."""
    folder = tmp_path_factory.mktemp("place")
    np.savez(folder / "items.npz", images=ITEMS, labels=np.array(["[red]", "blue"] * 32))
    np.save(folder / "some.npy", ITEMS[:2])
    Image.fromarray(ITEMS[9]).save(folder / "query.png")
    Image.fromarray(np.stack([ITEMS[9]] * 3, axis=2)).save(folder / "colour.png")
    (folder / "broken.png").write_text("no image")
    run = twofold.pretrain("simclr", data=ITEMS, out=folder / "run", quiet=True, **SMALL)
    data = twofold.open_data(folder / "items.npz")
    twofold.write_embeddings(run.encoder(), data, folder / "e.npz")
    twofold.write_embeddings(run.encoder(), data, folder / "layer.npz", layer="projector.1")
    return folder


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.chdir(place)


def run(line):
    """The exit status of `twofold search LINE`."""
    with pytest.raises(SystemExit) as caught:
        main(["search", *line.split()])
    return caught.value.code


def test_a_list_and_a_picture(tmp_path, capsys):
    out = tmp_path / "hits.png"
    asked = "run --data items.npz --query query.png --k 4"
    assert run(asked) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "query.png"
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert lines[1].split()[1] == "1.0000"
    assert lines[1].split()[3:] == ["9", "blue"]
    assert said.err == "note: --out FILE.png writes a picture of them\n"

    assert run(f"{asked} --out {out}") == 0
    drawn = capsys.readouterr()
    assert drawn.out == f"{said.out}{out}\n"
    assert drawn.err == ""
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width > 500


@pytest.mark.parametrize("data", ["--data items.npz", ""])
@pytest.mark.parametrize("index", ["exact", "hnsw"])
def test_embeddings_that_were_written_are_searched(data, index, capsys):
    assert run("run --data items.npz --query some.npy --k 3") == 0
    expected = capsys.readouterr().out
    assert run(f"run {data} --query some.npy --k 3 --embeddings e.npz --index {index}") == 0
    assert capsys.readouterr().out == expected
    assert expected.splitlines()[0::4] == ["some.npy 0", "some.npy 1"]


ASKED = "run --data items.npz --query query.png"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rnu --data items.npz --query query.png", "did you mean run?"),
        ("run --query query.png", "--data is missing"),
        ("run --data items.npz", "--query is missing"),
        ("run --data items.npz --query qery.png", "did you mean query.png?"),
        ("run --data items.npz --query run", "is no file"),
        ("run --data items.npz --query items.npz", "must be an image"),
        ("run --data items.npz --query broken.png", "not an image"),
        ("run --data items.npz --query colour.png", "3 channels; 1 were expected"),
        (f"{ASKED} --k 65", "k is 65; with 64 items in the bank it must be 1 to that"),
        (f"{ASKED} --k 0", "k is 0"),
        (f"{ASKED} --out hits.jpg", "hits.jpg; its name must end in .png"),
        (f"{ASKED} --embeddings f.npz", "f.npz does not exist; did you mean e.npz?"),
        (f"{ASKED} --embeddings run", "must end in .npz or .parquet"),
        (f"{ASKED} --embeddings items.npz", "no array 'embeddings'"),
        (f"{ASKED} --embeddings layer.npz", "name the route and layer"),
        ("run --query query.png --embeddings e.npz --out h.png", "name their --data, too"),
        (f"{ASKED} --index flat", "unknown value of --index 'flat'"),
        (f"{ASKED} --layer projector.9", "unknown layer 'projector.9'"),
    ],
)
def test_a_mistake_is_answered_in_one_line(line, words, capsys, place):
    before = sorted(place.rglob("*"))
    assert run(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err
    assert sorted(place.rglob("*")) == before


def test_without_faiss_a_graph_is_refused(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert run(f"{ASKED} --index hnsw") == 2
    assert "pip install 'twofold[search]'" in capsys.readouterr().err
