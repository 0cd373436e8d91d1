import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from twofold.domains.image import builtin, open_data
from twofold.domains.image.builtin import read_idx
from twofold.errors import TwofoldError


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_small_fashion_mnist(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    written = {}
    for part, count in (("train", 30), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
        written[part] = images, labels
    return written


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A computer without Fashion-MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TWOFOLD_DATA", raising=False)
    real = builtin._is_complete
    monkeypatch.setattr(
        builtin, "_is_complete", lambda folder: Path("/usr") not in folder.parents and real(folder)
    )
    return tmp_path


def test_digits_are_scaled_to_bytes():
    data = open_data("digits")
    images, labels = load_digits(return_X_y=True)
    assert (len(data.train), len(data.test)) == (1438, 359)
    order = np.array([int(id) for id in data.test.ids])
    expected = images[order].astype(int) * 255 // 16
    assert data.test.items.dtype == np.uint8
    assert data.test.items.shape[1:] == (1, 8, 8)
    assert np.array_equal(data.test.items.reshape(-1, 64), expected)
    assert np.array_equal(data.test.labels, labels[order])
    assert data.train.items.max() == 255


@pytest.mark.parametrize("where", ["own", "own/fashion-mnist", "data/fashion-mnist"])
def test_fashion_mnist_is_found(elsewhere, monkeypatch, where):
    monkeypatch.setenv("TWOFOLD_DATA", str(elsewhere / "own"))
    written = write_small_fashion_mnist(elsewhere / where)
    data = open_data("fashion-mnist")
    for source, part in ((data.train, "train"), (data.test, "t10k")):
        images, labels = written[part]
        assert np.array_equal(source.items[:, 0], images)
        assert source.labels.tolist() == labels.tolist()
        assert source.label_names[9] == "Ankle boot"
    assert data.note.endswith("given split 30 + 10")


def test_fashion_mnist_is_downloaded_where_it_is_missing(elsewhere, cache, monkeypatch):
    import torchvision.datasets

    def download(root, *, download):
        assert download
        write_small_fashion_mnist(Path(root) / "FashionMNIST" / "raw")

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    assert len(open_data("fashion-mnist").train) == 30
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", None)  # not called again
    assert len(open_data("fashion-mnist").train) == 30
    assert len(open_data("fashion-mnist", cache=cache).test) == 10


def test_without_a_network_the_error_says_what_to_install(elsewhere, monkeypatch):
    import torchvision.datasets

    def offline(root, *, download):
        raise RuntimeError("Error downloading\nmany lines")

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", offline)
    with pytest.raises(TwofoldError, match="Debian's dataset-fashion-mnist") as caught:
        open_data("fashion-mnist")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)])
def test_idx_files_are_read_back(tmp_path, shape):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    write_idx(tmp_path / "a.gz", array)
    assert np.array_equal(read_idx(tmp_path / "a.gz"), array)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1, 2])),  # two values of nine
        gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0])),  # floats
        gzip.compress(b""),
        gzip.compress(bytes(100))[:-9],
        b"<html>not found</html>",
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(TwofoldError, match="fetch it again"):
        read_idx(tmp_path / "a.gz")
