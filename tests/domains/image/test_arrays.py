import numpy as np
import pytest
import torch

from twofold.domains.arrays import LabelColumn, checked_labels, encode_classes, is_array
from twofold.domains.image import arrays
from twofold.domains.image.arrays import open_array
from twofold.errors import TwofoldError


def items_of(array):
    (source,), _ = open_array(array)
    return source.items


def counting(*shape, dtype=np.uint8):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    "shape", [(6, 9, 8), (6, 1, 9, 8), (6, 3, 9, 8), (6, 13, 9, 9), (6, 2, 4, 4), (2, 1, 1, 1)]
)
def test_images_and_channels_first_are_taken_as_they_are(shape):
    array = counting(*shape)
    items = items_of(array)
    assert np.shares_memory(items, array)
    assert items.shape == (shape if len(shape) == 4 else (6, 1, 9, 8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_last_are_moved_and_mentioned(channels):
    array = counting(6, 9, 8, channels)
    (source,), notes = open_array(array)
    assert np.array_equal(source.items, array.transpose(0, 3, 1, 2))
    assert np.shares_memory(source.items, array)
    assert notes == (f"channels-last (6, 9, 8, {channels}) read as channels first",)


@pytest.mark.parametrize("dtype", ["u1", "u2", "?", "f2", "f4", "f8"])
def test_usual_types_are_stored_as_they_are(dtype):
    assert items_of(counting(3, 8, 8, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("values", "given", "stored"),
    [
        ([0, 255], "i8", "u1"),
        ([0, 256], "i8", "u2"),
        ([0, 65535], "i4", "u2"),
        ([0, 65536], "u8", "u4"),
        ([0, 100], "i1", "u1"),
        ([-1, 127], "i8", "i1"),
        ([-1, 128], "i8", "i2"),
        ([-1024, 3071], "i4", "i2"),
        ([-1, 2**31], "i8", "i8"),
        ([0, 2**64 - 1], "u8", "u8"),
    ],
)
def test_other_whole_numbers_are_stored_in_the_smallest_type_that_holds_them(values, given, stored):
    array = np.zeros((2, 6, 6), given)
    array[0, 0, :2] = values
    items = items_of(array)
    assert items.dtype == stored
    assert np.array_equal(items[:, 0], array)


@pytest.mark.parametrize("dtype", [">f4", ">u2", ">i8"])
def test_byte_order_becomes_native(dtype):
    array = counting(2, 6, 6, dtype=dtype)
    items = items_of(array)
    assert items.dtype.isnative
    assert np.array_equal(items[:, 0], array)


def test_tensors_are_read_where_they_are():
    tensor = torch.arange(2 * 36, dtype=torch.float32).reshape(2, 6, 6).requires_grad_()
    assert is_array(tensor)
    assert items_of(tensor).tolist() == tensor[:, None].tolist()
    with pytest.raises(TwofoldError, match=r"no type for a tensor of torch.bfloat16; .* \.float"):
        open_array(tensor.bfloat16())
    assert not is_array([1, 2])


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_nan_and_infinity_are_counted_and_found(chunk, monkeypatch):
    monkeypatch.setattr(arrays, "_CHUNK", chunk)
    array = np.zeros((9, 2, 5, 5), np.float32)
    array[3, 1, 2, 2] = np.nan
    array[3, 1, 2, 3] = np.inf
    array[7, 0, 0, 0] = -np.inf
    with pytest.raises(TwofoldError, match=r"data holds 3 values .* the first in image 3;"):
        open_array(array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 784)), r"shape \(10, 784\); images must be \(n, height, width\)"),
        (np.zeros(()), r"shape \(\)"),
        (np.zeros((2, 3, 4, 5, 6)), r"shape \(2, 3, 4, 5, 6\)"),
        (np.zeros((0, 8, 8)), "none of them 0"),
        (np.zeros((5, 1, 0, 8)), "none of them 0"),
        (np.zeros((224, 224, 3)), "looks like one image with its channels last"),
        (np.zeros((5, 64, 64, 13)), r"channels come last; .* np.moveaxis\(images, -1, 1\)"),
        (np.array([np.zeros((2, 2)), np.zeros((3, 3))], dtype=object), "type object; .* np.stack"),
        (np.array([["a"]]), "type <U1"),
        (np.zeros((3, 8, 8), complex), "type complex128"),
    ],
)
def test_what_are_not_images_is_refused_in_one_line(array, message):
    with pytest.raises(TwofoldError, match=message) as caught:
        open_array(array)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        ([7, 3, 7], [1, 0, 1], ("3", "7")),
        ([10, 9, 2], [2, 1, 0], ("2", "9", "10")),
        ([1.0, 0.0, 1.0], [1, 0, 1], ("0", "1")),
        ([True, False, True], [1, 0, 1], ("0", "1")),
        (["ü", "b", "a"], [2, 1, 0], ("a", "b", "ü")),
        ([b"b", b"a", b"b"], [1, 0, 1], ("a", "b")),
        ([[4], [5], [4]], [0, 1, 0], ("4", "5")),
    ],
)
def test_labels_become_class_numbers(labels, numbers, names):
    (found,), label_names = encode_classes([checked_labels("labels", np.array(labels))])
    assert found.dtype == np.int64
    assert (found.tolist(), label_names) == (numbers, names)


def test_labels_of_strings_in_an_object_array():
    strings = np.array(["b", b"a"], dtype=object)
    assert checked_labels("labels", strings).tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 10)), r"labels has shape \(4, 10\); labels must be \(n,\)"),
        (np.array([np.nan, 1.0]), "NaN or infinite labels"),
        (np.array([None, "a"]), "object values"),
    ],
)
def test_labels_that_are_neither_classes_nor_numbers_are_refused(labels, message):
    with pytest.raises(TwofoldError, match=message):
        checked_labels("labels", labels)


@pytest.mark.parametrize("shape", [(4,), (4, 2)])
def test_numbers_that_are_not_all_whole_are_kept_to_be_regressed(shape):
    numbers = np.random.default_rng(0).normal(size=shape)
    kept = checked_labels("labels", numbers)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, numbers.astype(np.float32))
    (source,), _ = open_array(np.zeros((4, 8, 8), np.uint8), labels=LabelColumn(kept))
    assert source.classes == 0
    np.testing.assert_array_equal(source.labels, kept)


def test_whole_numbers_are_classes_whatever_their_type():
    assert checked_labels("labels", np.array([2.0, 0.0])).tolist() == [2, 0]
