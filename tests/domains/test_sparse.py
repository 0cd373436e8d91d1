import numpy as np
import pytest

from twofold.domains import Source, split
from twofold.domains.sparse import compress, joined, read_sparse, write_sparse
from twofold.errors import TwofoldError
from twofold.items import Items, Selectable

SHAPE = (20, 3, 6, 5)


def images(shape=SHAPE, share=0.1, dtype=np.float32, seed=0):
    generator = np.random.default_rng(seed)
    hit = generator.random(shape) < share
    return np.where(hit, generator.normal(size=shape), 0).astype(dtype)


INDICES = [
    3,
    -1,
    np.int64(7),
    slice(4, 9),
    slice(None, None, 7),
    slice(9, 4),
    np.array([19, 0, 0, 7]),
    np.array([], dtype=np.int64),
    np.arange(20) % 3 == 0,
    ...,
]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("share", [0, 0.05, 1])
def test_every_index_gives_what_the_array_gives(share, dtype):
    dense = images(share=share, dtype=dtype)
    dense[5] = 0
    items = compress(dense)
    assert (items.shape, items.dtype, items.ndim, len(items)) == (SHAPE, dense.dtype, 4, 20)
    for index in INDICES:
        found = items[index]
        assert found.dtype == dense.dtype
        assert np.array_equal(found, dense[index]), index
    assert np.array_equal(np.asarray(items), dense)
    assert np.array_equal(list(items), dense)


def test_numbers_beyond_the_end_are_refused():
    with pytest.raises(IndexError):
        compress(images())[20]


def test_channels_last_are_moved():
    dense = images()
    last = np.ascontiguousarray(np.moveaxis(dense, 1, -1))
    assert np.array_equal(compress(last, channels_last=True)[:], dense)
    assert compress(last, channels_last=True).shape == SHAPE


def test_only_what_is_not_zero_is_kept():
    dense = np.zeros(SHAPE, np.float32)
    dense[2, 1, 3, 4] = -1
    dense[3, 0, 0, 0] = -0.0
    dense[4, 2, 5, 4] = np.nan
    items = compress(dense)
    assert items.values.tolist() == [-1, pytest.approx(np.nan, nan_ok=True)]
    assert items.cells.tolist() == [1 * 30 + 3 * 5 + 4, 89]
    assert items.counts.tolist() == [0, 0, 1, 0, 1] + [0] * 15
    assert items.occupancy == 2 / dense.size
    # A hit takes a uint16 and a float32.
    assert items.compression == pytest.approx(dense.nbytes / (2 * 6))


@pytest.mark.parametrize(("side", "kind"), [(256, np.uint16), (257, np.uint32)])
def test_the_last_cell_of_a_big_image_is_counted(side, kind):
    dense = np.zeros((2, 1, side, side), np.float32)
    dense[:, 0, -1, -1] = 1
    items = compress(dense)
    assert items.cells.dtype == kind
    assert np.array_equal(items[:], dense)


def test_chosen_items_share_what_is_kept():
    dense = images()
    items = compress(dense)
    index = np.array([7, 2, 2, 19])
    chosen = items.select(index)
    assert np.array_equal(chosen[:], dense[index])
    assert np.array_equal(chosen.select(np.array([3, 0]))[:], dense[[19, 7]])
    assert np.shares_memory(chosen.values, items.values)
    assert np.shares_memory(chosen.cells, items.cells)
    assert chosen.occupancy == pytest.approx(np.mean(dense[index] != 0))


@pytest.mark.parametrize("share", [0, 0.1])
def test_pieces_become_one(tmp_path, share):
    dense = images(share=share)
    pieces = [compress(dense[start : start + 6]) for start in range(0, 20, 6)]
    write_sparse(tmp_path, iter(pieces))
    for items in (joined(pieces), read_sparse(tmp_path)):
        assert np.array_equal(items[:], dense)
        assert items.dtype == np.float32
    if share:
        assert isinstance(read_sparse(tmp_path).values, np.memmap)


@pytest.mark.parametrize("name", ["cells", "values", "counts.npy", "sparse.json"])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_copy_is_refused_in_one_line(tmp_path, name, damage):
    write_sparse(tmp_path, [compress(images())])
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if damage == "short":
        (tmp_path / name).write_bytes(content[:-2])
    with pytest.raises(
        TwofoldError, match=r"the cache '.*' is damaged \(.*\); delete it"
    ) as caught:
        read_sparse(tmp_path)
    assert "\n" not in str(caught.value)


def source(items):
    return Source(name="toy", items=items, ids=[f"id{i}" for i in range(len(items))])


def test_a_source_of_them_equals_one_of_the_array():
    items, dense = compress(images()), images()
    assert isinstance(items, Items)
    assert isinstance(items, Selectable)
    assert source(items).fingerprint() == source(dense).fingerprint()
    for index in (range(4, 9), [7, 3, 12]):
        taken = source(items).take(index)
        assert np.shares_memory(taken.items.values, items.values)
        assert np.array_equal(taken.items[:], source(dense).take(index).items)
    for sparse, plain in zip(split(source(items)), split(source(dense)), strict=True):
        assert sparse.ids == plain.ids
        assert np.array_equal(sparse.items[:], plain.items)
