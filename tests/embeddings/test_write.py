"""Embeddings of any number of items in one file: what it holds, and going on with it."""

import json
import subprocess
import sys
import zipfile
from importlib import import_module

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torch import nn

from twofold.domains import Data, Source
from twofold.domains.image import open_data
from twofold.embeddings import read_embeddings, write_embeddings
from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.preprocess import measure

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4), dtype=np.uint8)


class Network(nn.Module):
    """A linear map of the pixels, which counts what it reads."""

    num_features = 6

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(16, 6))
        self.batches = []

    def forward(self, images):
        self.batches.append(len(images))
        return images.flatten(1) @ self.weight


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(import_module("twofold.embeddings.shards"), "_ITEMS", 8)


@pytest.fixture
def encoder():
    return Encoder(Network(), measure(IMAGES))


@pytest.fixture
def stop_after(monkeypatch):
    """Lets `count` shards be written, then stops as Ctrl-C does."""
    shards = import_module("twofold.embeddings.shards")

    def stop(count, *args):
        write, written = shards.write_atomically, []

        def interrupted(path, data):
            if len(written) == count:
                raise KeyboardInterrupt
            written.append(path)
            write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(shards, "write_atomically", interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_embeddings(*args)

    return stop


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
@pytest.mark.parametrize(
    "labels", [None, np.arange(50) % 3, ["b", "a"] * 25, np.arange(50) / 8, np.ones((50, 2)) / 3]
)
def test_what_is_written_is_read_back(tmp_path, encoder, name, labels):
    data, out = open_data(IMAGES, labels=labels), tmp_path / name
    assert write_embeddings(encoder, data, out, batch_size=5) == (50, 6)
    found = read_embeddings(out)
    expected = encoder.embed(IMAGES, batch_size=5)[:, :6]  # in other batches: rounded otherwise
    np.testing.assert_allclose(found.embeddings, expected, rtol=1e-5, atol=1e-6)
    assert found.ids.tolist() == [str(number) for number in range(50)]
    assert {key for key, part in zip(found.ids, found.part, strict=True) if part == "test"} == set(
        data.test.ids
    )
    assert found.label_names == data.train.label_names
    assert (found.labels is None) == (labels is None)
    if labels is not None:
        for source in (data.train, data.test):
            rows = np.array(source.ids, dtype=int)
            assert np.array_equal(found.labels[rows], source.labels)
    assert sorted(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("part", ["train", "test"])
def test_one_part_alone(tmp_path, encoder, part):
    data = open_data(IMAGES)
    source = getattr(data, part)
    write_embeddings(encoder, data, tmp_path / "e.npz", part=part)
    found = read_embeddings(tmp_path / "e.npz")
    assert found.ids.tolist() == list(source.ids)
    assert set(found.part) == {part}
    np.testing.assert_allclose(found.embeddings, encoder.embed(source.items), rtol=1e-5, atol=1e-5)


def test_two_arrays_that_count_from_0_each_stay_apart(tmp_path, encoder):
    write_embeddings(encoder, open_data(IMAGES[:30], test=IMAGES[30:]), tmp_path / "e.npz")
    found = read_embeddings(tmp_path / "e.npz")
    assert found.ids.tolist() == [str(number) for number in (*range(30), *range(20))]
    assert found.part.tolist() == ["train"] * 30 + ["test"] * 20
    np.testing.assert_allclose(found.embeddings, encoder.embed(IMAGES), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_items_of_files_come_with_their_paths(tmp_path, encoder, name):
    for number, item in enumerate(IMAGES[:12]):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item[0]).save(path)
    data = open_data(tmp_path / "photos", cache=tmp_path / "cache")
    write_embeddings(encoder, data, tmp_path / name)
    found = read_embeddings(tmp_path / name)
    for embedding, path, id, label in zip(
        found.embeddings, found.paths, found.ids, found.labels, strict=True
    ):
        assert path == str(tmp_path / "photos" / id)
        assert found.label_names[label] == id[0]
        again = encoder.embed(np.asarray(Image.open(path))[None])[0]
        np.testing.assert_allclose(embedding, again, rtol=1e-5, atol=1e-5)


def test_the_arrays_are_stored_as_they_are(tmp_path, encoder):
    """Not compressed, so that rows can be mapped; and of the same bytes each time."""
    data = open_data(IMAGES)
    for name in ("a.npz", "b.npz"):
        write_embeddings(encoder, data, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    content = (tmp_path / "a.npz").read_bytes()
    assert read_embeddings(tmp_path / "a.npz").embeddings.tobytes() in content


def test_a_parquet_file_says_what_it_holds(tmp_path, encoder):
    out = tmp_path / "e.parquet"
    write_embeddings(encoder, open_data(IMAGES, labels=["x", "y"] * 25), out, recipe="simclr")
    file = pyarrow.parquet.ParquetFile(out)
    assert file.num_row_groups == 7  # shards of 8
    schema = file.schema_arrow
    assert schema.names == ["embedding", "id", "part", "label"]
    assert str(schema.field("embedding").type) == "fixed_size_list<element: float>[6]"
    facts = json.loads(schema.metadata[b"twofold"])
    assert facts["recipe"] == "simclr"
    assert facts["dim"] == 6
    assert (facts["route"], facts["layer"]) == ("all", "features")
    assert len(facts["encoder"]) == 16
    assert set(file.read()["label"].to_pylist()) == {"x", "y"}


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_classes_keep_their_numbers(tmp_path, encoder, name):
    """Whatever the order of their names, and even if none of their items is there."""
    labels, names = np.array([2, 0, 2, 0]), ("z", "unseen", "a")
    ids = ("a", "b", "c", "d")
    source = Source(name="four", items=IMAGES[:4], ids=ids, labels=labels, label_names=names)
    data = Data(name="four", train=source, test=source.take([0]), note="")
    write_embeddings(encoder, data, tmp_path / name, part="train")
    found = read_embeddings(tmp_path / name)
    assert found.labels.tolist() == labels.tolist()
    assert found.label_names == names


def test_a_name_that_is_no_unicode_is_refused_by_parquet_alone(tmp_path, encoder):
    source = Source(name="odd", items=IMAGES[:4], ids=("a", "b", "c", "d\udcff"))
    data = Data(name="odd", train=source, test=source.take([0]), note="")
    write_embeddings(encoder, data, tmp_path / "e.npz", part="train")
    assert read_embeddings(tmp_path / "e.npz").ids.tolist() == list(source.ids)
    with pytest.raises(TwofoldError, match="is not valid Unicode"):
        write_embeddings(encoder, data, tmp_path / "e.parquet", part="train")


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_what_was_stopped_goes_on(tmp_path, encoder, stop_after, name):
    data = open_data(IMAGES)
    write_embeddings(encoder, data, tmp_path / f"whole-{name}")
    stop_after(4, encoder, data, tmp_path / name)
    assert not (tmp_path / name).exists()
    encoder.backbone.batches.clear()
    said, told = [], []
    write_embeddings(
        encoder, data, tmp_path / name, progress=lambda *seen: told.append(seen), note=said.append
    )
    assert sum(encoder.backbone.batches) == 50 - 4 * 8  # the four shards are not encoded again
    assert told == [(8, 18), (16, 18), (18, 18)]
    assert said == []
    whole, again = (tmp_path / f"whole-{name}").read_bytes(), (tmp_path / name).read_bytes()
    assert whole == again
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("other", ["encoder", "items", "part", "precision", "preprocess"])
def test_shards_of_another_origin_are_not_taken(tmp_path, encoder, stop_after, other):
    out = tmp_path / "e.npz"
    stop_after(3, encoder, open_data(IMAGES), out)
    changed = {
        "encoder": (Encoder(Network(seed=1), encoder.preprocess), IMAGES, {}),
        "items": (encoder, IMAGES[::-1].copy(), {}),
        "part": (encoder, IMAGES, {"part": "train"}),
        "precision": (encoder, IMAGES, {"precision": "bf16"}),
        "preprocess": (Encoder(encoder.backbone, measure(IMAGES[:9])), IMAGES, {}),
    }
    network, images, how = changed[other]
    said = []
    write_embeddings(network, open_data(images), out, note=said.append, **how)
    found = out.read_bytes()
    assert said == [f"{out}.parts held embeddings of another encoder or other data: removed"]
    assert not list(tmp_path.glob("*.parts"))
    write_embeddings(network, open_data(images), out, note=said.append, **how)
    assert out.read_bytes() == found
    assert len(said) == 1


def test_a_damaged_shard_is_encoded_again(tmp_path, encoder, stop_after):
    data, out = open_data(IMAGES), tmp_path / "e.npz"
    stop_after(3, encoder, data, out)
    first, second, third = sorted(tmp_path.rglob("*.npy"))
    first.write_bytes(first.read_bytes()[:-4])
    second.write_bytes(b"")
    np.save(third, np.zeros((8, 5), np.float32))
    encoder.backbone.batches.clear()
    write_embeddings(encoder, data, out)
    assert sum(encoder.backbone.batches) == 50
    np.testing.assert_allclose(
        read_embeddings(out).embeddings, encoder.embed(IMAGES), rtol=1e-5, atol=1e-5
    )


def test_nothing_is_kept_of_an_encoder_that_moves(tmp_path):
    class Moving(Network):
        def forward(self, images):
            self.weight.data += 1
            return super().forward(images)

    with pytest.raises(TwofoldError, match="changed its own"):
        write_embeddings(Encoder(Moving(), measure(IMAGES)), open_data(IMAGES), tmp_path / "e.npz")
    assert not list(tmp_path.iterdir())


def test_a_mistake_leaves_the_shards_of_what_was_stopped(tmp_path, encoder, stop_after):
    data, out = open_data(IMAGES), tmp_path / "e.npz"
    stop_after(3, encoder, data, out)
    before = sorted(tmp_path.rglob("*"))
    colour = open_data(np.repeat(IMAGES, 3, axis=1))
    for wrong in (
        {"layer": "projector.1"},
        {"precision": "half"},
        {"batch_size": 0},
        {"part": "a"},
    ):
        with pytest.raises(TwofoldError):
            write_embeddings(encoder, data, out, **wrong)
    with pytest.raises(TwofoldError, match=r"reads \(n, 1, height, width\)"):
        write_embeddings(encoder, colour, out)
    with pytest.raises(TwofoldError, match=r"must end in \.npz or \.parquet"):
        write_embeddings(encoder, data, tmp_path / "e.csv")
    assert sorted(tmp_path.rglob("*")) == before


def test_no_more_than_a_batch_of_items_is_read_at_once(tmp_path, encoder):
    write_embeddings(encoder, open_data(IMAGES), tmp_path / "e.npz", batch_size=3)
    assert set(encoder.backbone.batches) == {3, 2}  # shards of 8 and a last one of 2


MEMORY = """
import resource, sys
import numpy as np
import torch
from torch import nn
from twofold.domains import Data, Source
from twofold.embeddings import write_embeddings
from twofold.encoder import Encoder
from twofold.preprocess import measure

class Wide(nn.Module):
    num_features = 1024
    def forward(self, images):
        return images.flatten(1).repeat(1, 64)

count = int(sys.argv[1])
one = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
items = np.broadcast_to(one, (count, 1, 4, 4))  # as many items as asked for, in 16 bytes
ids = tuple(map(str, range(count)))
train = Source(name="many", items=items, ids=ids)
data = Data(name="many", train=train, test=train.take([0]), note="")
write_embeddings(Encoder(Wide(), measure(one)), data, sys.argv[2], part="train")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_items(tmp_path):
    """Embeddings of 40,000 items take 160 MB; of 8,000, 32 MB."""

    def peak(count):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", MEMORY, str(count), str(tmp_path / "e.npz")],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(done.stdout) / 1024

    assert peak(40_000) - peak(8_000) < 48
