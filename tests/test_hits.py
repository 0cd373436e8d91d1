"""Search: the items nearest to a query, from data or from a file of embeddings."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import twofold
from twofold.domains.image import open_data
from twofold.embeddings import Embeddings, read_embeddings, write_embeddings
from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.hits import search
from twofold.preprocess import measure

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 6, 6), dtype=np.uint8)
KINDS = np.array(["cup", "hat", "pen"] * 20)


class Network(nn.Module):
    """A linear map of the pixels."""

    num_features = 12

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(36, 12))

    def forward(self, images):
        return images.flatten(1) @ self.weight


@pytest.fixture
def encoder():
    return Encoder(Network(), measure(IMAGES))


@pytest.fixture
def data():
    return open_data(IMAGES, labels=KINDS)


def by_hand(encoder, queries, k):
    """Cosine similarities and rows of `IMAGES`, one pair at a time."""
    bank = encoder.embed(IMAGES).astype(np.float64)
    found = []
    for query in encoder.embed(queries).astype(np.float64):
        cosines = [row @ query / np.sqrt(row @ row) / np.sqrt(query @ query) for row in bank]
        found.append(sorted(zip(cosines, range(len(bank)), strict=True), reverse=True)[:k])
    return np.array(found)[..., 0], np.array(found)[..., 1].astype(int)


def test_what_is_found_is_what_is_nearest(encoder, data):
    queries = IMAGES[[5, 40]] ^ 3
    hits = search(encoder, data, queries, k=7)
    similarity, rows = by_hand(encoder, queries, 7)
    np.testing.assert_allclose(hits.similarity, similarity, atol=1e-5)
    assert hits.ids.tolist() == rows.astype(str).tolist()
    assert hits.labels.tolist() == KINDS[rows].tolist()
    assert np.array_equal(hits.items, IMAGES[rows])
    assert np.array_equal(hits.asked, queries)


def test_one_part_alone(encoder, data):
    hits = search(encoder, data, IMAGES[:1], k=12, part="test")
    assert sorted(hits.ids[0]) == sorted(data.test.ids)
    assert set(hits.bank.part) == {"test"}


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_a_file_of_embeddings_saves_encoding_them(tmp_path, encoder, data, name, monkeypatch):
    write_embeddings(encoder, data, tmp_path / name)
    expected = search(encoder, data, IMAGES[3:5], k=5)
    of_test = search(encoder, data, IMAGES[3:5], k=5, part="test")
    monkeypatch.setattr("twofold.hits.embed_items", None)
    for given in (tmp_path / name, read_embeddings(tmp_path / name)):
        hits = search(encoder, data, IMAGES[3:5], k=5, embeddings=given)
        assert str(hits) == str(expected)
        assert np.array_equal(hits.items, expected.items)
    alone = search(encoder, None, IMAGES[3:5], k=5, embeddings=tmp_path / name)
    assert str(alone) == str(expected)
    with pytest.raises(TwofoldError, match="search with their data, too"):
        alone.draw(tmp_path / "hits.png")
    part = search(encoder, data, IMAGES[3:5], k=5, embeddings=tmp_path / name, part="test")
    assert str(part) == str(of_test)


def test_items_of_two_arrays_that_count_from_0_are_told_apart(encoder):
    data = open_data(IMAGES[:40], test=IMAGES[40:])
    everything = Embeddings(
        embeddings=encoder.embed(IMAGES),
        ids=np.array([*map(str, range(40)), *map(str, range(20))]),
        part=np.array(["train"] * 40 + ["test"] * 20),
    )
    hits = search(encoder, data, IMAGES[50:51], k=4, embeddings=everything)
    assert np.array_equal(hits.items, IMAGES[by_hand(encoder, IMAGES[50:51], 4)[1]])
    unsaid = Embeddings(embeddings=everything.embeddings[40:], ids=everything.ids[40:])
    with pytest.raises(TwofoldError, match="name the part"):
        search(encoder, data, IMAGES[50:51], k=4, embeddings=unsaid)
    hits = search(encoder, data, IMAGES[50:51], k=1, embeddings=unsaid, part="test")
    assert np.array_equal(hits.items[0], IMAGES[50:51])


def test_embeddings_that_do_not_fit_are_refused(encoder, data):
    own = Embeddings(embeddings=encoder.embed(IMAGES), ids=np.arange(60).astype(str))
    other = Encoder(Network(seed=1), encoder.preprocess)
    for given, words in (
        (Embeddings(own.embeddings[:, :6], own.ids), "have 6 features and those of the query 12"),
        (Embeddings(other.embed(IMAGES), own.ids), "not this encoder's of this data"),
        (Embeddings(own.embeddings, np.array([f"{i}.png" for i in range(60)])), "does not hold"),
    ):
        with pytest.raises(TwofoldError, match=words):
            search(encoder, data, IMAGES[:1], embeddings=given)


def test_a_graph_finds_most_of_the_same(encoder, data):
    pytest.importorskip("faiss")
    exact = search(encoder, data, IMAGES[::3], k=5)
    graph = search(encoder, data, IMAGES[::3], k=5, index="hnsw")
    assert (graph.ids == exact.ids).mean() > 0.95
    np.testing.assert_allclose(graph.similarity[:, 0], 1, atol=1e-5)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"k": 0}, "k is 0; with 60 items in the bank it must be 1 to that"),
        ({"k": 61}, "k is 61"),
        ({"k": 61, "index": "hnsw"}, "k is 61"),
        ({"index": "hsnw"}, "did you mean 'hnsw'?"),
        ({"part": "tset"}, "did you mean 'test'?"),
        ({"layer": "projector.1"}, "unknown layer"),
        ({"query": np.repeat(IMAGES, 3, axis=1)}, "this encoder reads"),
        ({"data": None}, "there is nothing to search"),
    ],
)
def test_a_mistake_is_one_line(encoder, data, how, words):
    with pytest.raises(TwofoldError) as caught:
        search(encoder, **{"data": data, "query": IMAGES[:1], **how})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_faiss_a_graph_is_refused(encoder, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert search(encoder, data, IMAGES[:1], k=1).ids[0, 0] == "0"
    with pytest.raises(TwofoldError, match=r"pip install 'twofold\[search\]'"):
        search(encoder, data, IMAGES[:1], index="hnsw")


def test_the_list(encoder):
    values = np.round(np.linspace(-1, 1, 60), 3)
    hits = search(encoder, open_data(IMAGES, labels=values), IMAGES[:2], k=2)
    lines = str(hits).splitlines()
    assert [line for line in lines if line[0] != " "] == ["query 0", "query 1"]
    assert [line.split()[0] for line in lines if line[0] == " "] == ["1", "2"] * 2
    rank, similarity, part, name, label = lines[1].split()
    assert (rank, similarity, name, label) == ("1", "1.0000", "0", "-1")
    assert part in {"train", "test"}


def test_the_picture_shows_queries_beside_what_was_found(tmp_path, encoder, data):
    items = (IMAGES // 255 * 200).astype(np.uint8)
    items[7] = 255
    hits = search(encoder, open_data(items, labels=KINDS), items[7:9], k=3)
    path = hits.draw(tmp_path / "hits.png")
    with Image.open(path) as picture:
        assert picture.size[0] == 2 * 40 + 4 * 168 + 3 * 20
        pixels = np.asarray(picture.convert("L"))
    shown = (pixels == 255).sum(axis=0) > 100  # the paper is not quite white
    assert shown[60:200].all()  # the query
    assert shown[248:380].all()  # itself, the nearest
    assert not shown[440:560].any()


def test_a_run_its_folder_and_its_encoder_find_the_same(tmp_path):
    small = {"encoder": "resnet-small", "width": 0.25, "threads": 1, "batch_size": 16, "epochs": 1}
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
    run = twofold.pretrain("simclr", data=images, out=tmp_path / "run", quiet=True, **small)
    np.save(tmp_path / "query.npy", images[4])
    found = [
        twofold.search(given, images, query, k=3)
        for given in (run, tmp_path / "run", run.encoder())
        for query in (images[4:5], tmp_path / "query.npy")
    ]
    assert {hits.ids[0, 0] for hits in found} == {"4"}
    assert len({hits.ids.tobytes() for hits in found}) == 1
    assert found[1].queries == ("query.npy",)
