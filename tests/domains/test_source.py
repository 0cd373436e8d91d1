import numpy as np
import pytest

from twofold.domains import Data, Source, split
from twofold.domains import cache as cache_module
from twofold.domains import source as source_module
from twofold.errors import TwofoldError


def make(count=20, name="toy", **changes):
    fields = {
        "items": np.arange(count * 4, dtype=np.uint16).reshape(count, 1, 2, 2),
        "ids": [f"item {i}" for i in range(count)],
        "labels": np.arange(count) % 3,
        "label_names": ("a", "b", "c"),
    }
    return Source(name=name, **(fields | changes))


def test_take_keeps_every_field_in_step():
    source = make(groups=np.arange(20) // 2)
    taken = source.take([7, 3, 3 + 9])
    assert taken.items[:, 0, 0, 0].tolist() == [28, 12, 48]
    assert taken.ids == ("item 7", "item 3", "item 12")
    assert taken.labels.tolist() == [1, 0, 0]
    assert taken.groups.tolist() == [3, 1, 6]
    assert taken.label_names == source.label_names


def test_take_of_neighbours_is_a_view_and_of_others_a_copy():
    source = make()
    assert np.shares_memory(source.take(range(4, 9)).items, source.items)
    assert not np.shares_memory(source.take([4, 6]).items, source.items)


def test_rows_of_a_large_memory_map_go_to_disk(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(cache_module, "_MEMORY_BYTES", 10)
    monkeypatch.setattr(source_module, "_CHUNK_BYTES", 24)
    np.save(tmp_path / "items.npy", make().items)
    source = make(items=np.load(tmp_path / "items.npy", mmap_mode="r"))
    index = np.array([19, 2, 5, 7, 11, 0])
    taken = source.take(index)
    assert isinstance(taken.items, np.memmap)
    assert np.array_equal(taken.items, source.items[index])
    assert list(cache.iterdir()) == []  # the file has no name: it goes with the array


def test_the_fingerprint_follows_what_is_stored():
    prints = {make().fingerprint(), make().fingerprint(), make(name="other").fingerprint()}
    assert len(prints) == 1
    changed = make().items.copy()
    changed[13] += 1
    prints |= {
        make(items=changed).fingerprint(),
        make(items=make().items.astype(np.int32)).fingerprint(),
        make(items=make().items.reshape(20, 1, 1, 4)).fingerprint(),
        make(labels=np.arange(20) % 2).fingerprint(),
        make(labels=None).fingerprint(),
        make(19).fingerprint(),
    }
    assert len(prints) == 7


def test_split_does_not_depend_on_order():
    source = make(200)
    shuffled = source.take(np.random.default_rng(0).permutation(200))
    for seed in range(3):
        train, test = split(source, seed=seed)
        assert (len(train), len(test)) == (160, 40)
        assert set(split(shuffled, seed=seed)[1].ids) == set(test.ids)
        assert set(train.ids).isdisjoint(test.ids)
    assert set(split(source, seed=0)[1].ids) != set(split(source, seed=1)[1].ids)


def test_split_draws_every_item_alike():
    source = make(50)
    held_out = np.zeros(50)
    for seed in range(400):
        held_out += np.isin(source.ids, split(source, test_fraction=0.3, seed=seed)[1].ids)
    # Binomial(400, 0.3): mean 120, standard deviation 9.2
    assert held_out.mean() == pytest.approx(120)
    assert np.abs(held_out - 120).max() < 4.5 * 9.2


def test_split_never_separates_a_group():
    source = make(60, groups=np.repeat([f"patient {i}" for i in range(12)], 5))
    train, test = split(source, test_fraction=0.25)
    assert len(set(test.groups)) == 3
    assert set(train.groups).isdisjoint(test.groups)


@pytest.mark.parametrize("fraction", [1e-9, 0.5, 1 - 1e-9])
def test_split_leaves_neither_side_empty(fraction):
    train, test = split(make(2), test_fraction=fraction)
    assert len(train) == len(test) == 1


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, float("nan")])
def test_split_refuses_shares_out_of_range(fraction):
    with pytest.raises(TwofoldError, match=r"test_fraction is .*; it must be in \(0, 1\)"):
        split(make(), test_fraction=fraction)


def test_split_of_one_thing_is_refused():
    with pytest.raises(TwofoldError, match="'toy' has one item"):
        split(make(1))
    with pytest.raises(TwofoldError, match="'toy' has one group"):
        split(make(8, groups=np.zeros(8)))


def test_split_reads_ids_that_are_not_unicode():
    source = make(4, ids=["a\udcff", "b\udcfe", "ü", "日本"])
    train, test = split(source)
    assert sorted(train.ids + test.ids) == sorted(source.ids)
    assert source.fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": np.zeros((20, 2, 2))}, r"shape \(20, 2, 2\); they must be \(n, channels"),
        ({"items": np.zeros((20, 0, 2, 2))}, "none of them 0"),
        ({"ids": ["a", "b"]}, "has 2 ids for 20 items"),
        ({"ids": ["a"] * 20}, "the id 'a' of 'toy' occurs more than once"),
        ({"labels": np.zeros(7, np.int64)}, "has 7 labels for 20 items"),
        ({"labels": np.zeros(20, np.int32)}, "labels of 'toy' are int32"),
        ({"labels": np.full(20, 3)}, "run from 3 to 3; .* from 0 to 2"),
        ({"labels": np.full(20, -1), "label_names": ()}, "class numbers from 0"),
        ({"groups": np.zeros(3)}, "has 3 groups for 20 items"),
    ],
)
def test_mistakes_are_told_in_one_line(changes, message):
    with pytest.raises(TwofoldError, match=message) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_train_and_test_must_match():
    def pair(**changes):
        return Data(name="toy", train=make(), test=make(**changes), note="")

    assert pair().test.channels == 1
    assert pair(labels=None, label_names=()).test.labels is None
    with pytest.raises(TwofoldError, match=r"have shape \(2, 2, 1\), train items \(1, 2, 2\)"):
        pair(items=np.zeros((20, 2, 2, 1), np.uint16))
    with pytest.raises(TwofoldError, match="have type float64, train items uint16"):
        pair(items=np.zeros((20, 1, 2, 2)))
    with pytest.raises(
        TwofoldError, match=r"train has 3 \(a, b, c\), test has 5 \(a, b, c, d, ...\)"
    ):
        pair(label_names=("a", "b", "c", "d", "e"))


def test_numbers_have_one_unit():
    def numbers(unit):
        return make(labels=np.ones(20, np.float32), label_names=(), label_unit=unit)

    assert numbers("GeV").take([3]).label_unit == "GeV"
    Data(name="toy", train=numbers("GeV"), test=numbers(""), note="")
    with pytest.raises(TwofoldError, match=r"are in GeV to train on and in MeV to test on"):
        Data(name="toy", train=numbers("GeV"), test=numbers("MeV"), note="")
