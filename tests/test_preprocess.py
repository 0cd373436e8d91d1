import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twofold import TwofoldError, preprocess
from twofold.preprocess import measure, resize

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("items", "low", "high"),
    [
        (RNG.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8), 0, 255),
        (RNG.integers(0, 4096, (20, 2, 8, 8), dtype=np.uint16), 0, 65535),
        (RNG.random((20, 1, 8, 8), dtype=np.float32), 0, 1),
        (RNG.random((20, 13, 8, 8)).astype(np.float16) * 10 - 5, None, None),
    ],
    ids=["uint8", "uint16", "unit floats", "floats"],
)
def test_training_items_end_at_zero_mean_and_unit_deviation(items, low, high):
    preprocess = measure(items)
    if low is None:
        low, high = float(items.min()), float(items.max())
    assert (preprocess.low, preprocess.high) == (low, high)
    unit = preprocess.unit(items)
    assert unit.dtype == torch.float32
    assert 0 <= unit.min() <= unit.max() <= 1
    expected = (items.astype(np.float64) - low) / (high - low)
    assert np.allclose(unit.numpy(), expected, atol=1e-6)
    ready = preprocess(items)
    assert ready.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (ready.std(dim=(0, 2, 3), unbiased=False) - 1).abs().max() < 1e-3


def test_a_constant_channel_stays_at_zero():
    items = RNG.integers(0, 256, (10, 2, 4, 4), dtype=np.uint8)
    items[:, 1] = 7
    assert measure(items)(items)[:, 1].abs().max() < 1e-6


def test_one_value_alone_is_refused():
    with pytest.raises(TwofoldError, match="nothing to learn from"):
        measure(np.full((4, 1, 8, 8), 3.5, dtype=np.float32))


def test_arrays_that_may_not_be_written_are_read_without_a_warning():
    items = RNG.integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
    expected = measure(items).unit(items)
    items.flags.writeable = False
    assert torch.equal(measure(items).unit(items), expected)


def test_resize_is_the_antialiased_one_and_takes_the_centre():
    images = torch.rand(2, 3, 40, 60)
    whole = F.interpolate(images, size=(20, 30), mode="bilinear", antialias=True)
    assert torch.equal(resize(images, 20), whole[..., 5:25])
    assert resize(images, 60).shape == (2, 3, 60, 60)
    square = torch.rand(1, 1, 8, 8)
    assert resize(square, 8) is square


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.astype(np.float32) / 255, "items are float32, but this encoder .* on uint8"),
        (lambda x: x.astype(np.int64) * 300, "items are int64 from 0 to .* trained on uint8"),
        (lambda x: x[:, :2], r"shape \(6, 2, 8, 8\); this encoder reads \(n, 3, height, width\)"),
        (lambda x: x[0], r"shape \(3, 8, 8\)"),
    ],
)
def test_items_of_another_kind_are_refused_not_misread(change, words):
    items = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    preprocess = measure(items)
    with pytest.raises(TwofoldError, match=words):
        preprocess(preprocess.stored(change(items)))


def test_a_users_array_is_brought_into_the_stored_form():
    items = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    preprocess = measure(items)
    for given in (
        items,
        torch.from_numpy(items),
        items.astype(np.int64),
        np.ascontiguousarray(np.moveaxis(items, 1, 3)),
    ):
        stored = preprocess.stored(given)
        assert stored.dtype == np.uint8
        assert np.array_equal(stored, items)
    gray = measure(items[:, :1])
    assert gray.stored(items[:, 0]).shape == (6, 1, 8, 8)


def test_mean_and_deviation_are_those_of_all_pieces(monkeypatch):
    items = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    whole = measure(items)
    unit = items / 255
    np.testing.assert_allclose(whole.mean, unit.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(whole.std, unit.std(axis=(0, 2, 3)), rtol=1e-6)
    monkeypatch.setattr(preprocess, "_PIECE", 7 * 48)
    pieces = measure(items)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(pieces.std, whole.std, rtol=1e-12)
