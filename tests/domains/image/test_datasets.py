import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from twofold.domains import cache
from twofold.domains.image import open_data
from twofold.errors import TwofoldError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(20) % 4


class Numbered(Dataset):
    """Gives what a function makes of each number."""

    def __init__(self, item, count=20):
        self.item, self.count = item, count

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        return self.item(number)


def together(data):
    """Items and labels of both parts, in the order of their ids."""
    ids = [*data.train.ids, *data.test.ids]
    order = np.argsort([int(key) for key in ids])
    parts = (data.train, data.test)
    items = np.concatenate([part.items for part in parts])[order]
    if data.train.labels is None:
        return items, None
    return items, np.concatenate([part.labels for part in parts])[order]


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_pairs_are_read_in_order_whatever_the_workers(convert, workers):
    dataset = Numbered(lambda number: (convert(IMAGES[number]), int(LABELS[number])))
    items, labels = together(open_data(dataset, workers=workers))
    assert np.array_equal(items, IMAGES)
    assert np.array_equal(labels, LABELS)


def test_torchs_own_datasets_are_read():
    whole = TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
    parts = ConcatDataset([Subset(whole, range(10, 20)), Subset(whole, range(10))])
    items, labels = together(open_data(parts))
    assert np.array_equal(items, np.roll(IMAGES, 10, axis=0))
    assert np.array_equal(labels, np.roll(LABELS, 10))


def test_images_alone_have_no_labels_and_gray_ones_one_channel():
    items, labels = together(open_data(Numbered(lambda number: IMAGES[number, 0])))
    assert labels is None
    assert np.array_equal(items[:, 0], IMAGES[:, 0])


def test_classes_go_by_the_names_that_the_dataset_has():
    dataset = Numbered(lambda number: (IMAGES[number], LABELS[number]))
    dataset.classes = ["coat", "boot", "bag", "dress"]
    data = open_data(dataset)
    names = np.array(data.train.label_names)
    assert np.array_equal(names[together(data)[1]], np.array(dataset.classes)[LABELS])


def test_numbers_are_regressed_and_given_labels_come_first():
    dataset = Numbered(lambda number: (IMAGES[number], number / 7))
    assert open_data(dataset).train.labels.dtype == np.float32
    assert open_data(dataset, labels=LABELS).train.classes == 4


def test_many_items_lie_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_MEMORY_BYTES", 10)
    data = open_data(Numbered(lambda number: IMAGES[number]))
    assert isinstance(data.train.items, np.memmap)
    assert np.array_equal(together(data)[0], IMAGES)
    assert list(tmp_path.iterdir()) == []


class Stream(IterableDataset):
    def __iter__(self):
        return iter(IMAGES)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Numbered(lambda number: Image.fromarray(IMAGES[number, 0])), "PILToTensor"),
        (Numbered(lambda number: IMAGES[number, :, : 8 - number // 7]), "item 7 .* resize or crop"),
        (Numbered(lambda number: IMAGES[number].astype(float if number else int)), "item 1"),
        (Numbered(lambda number: {"image": IMAGES[number]}), r"item 0 .* is a dict; .* pair"),
        (Numbered(lambda number: IMAGES[0], count=0), "empty Numbered"),
        (Stream(), "dataset with a length"),
        ([IMAGES[0], IMAGES[1]], "np.stack"),
    ],
    ids=["pil", "sizes", "types", "dict", "empty", "stream", "list"],
)
def test_what_cannot_be_read_is_refused_in_one_line(dataset, words):
    with pytest.raises(TwofoldError, match=words) as refusal:
        open_data(dataset)
    assert "\n" not in str(refusal.value)
