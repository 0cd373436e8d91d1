"""Packed shards: mapped from a disk, fetched from elsewhere, and what can go wrong with either."""

import shutil
import threading

import fsspec
import h5py
import numpy as np
import pytest

from twofold import monitor
from twofold.domains import Source, open_data, shard_maps, split
from twofold.domains.shards import PackedIds, Shards, open_shards
from twofold.errors import TwofoldError
from twofold.evaluate.prescription import _part
from twofold.items import Shuffled, sampled
from twofold.packing import pack
from twofold.preprocess import measure

ITEMS = np.random.default_rng(0).integers(0, 256, (240, 3, 8, 8), dtype=np.uint8)
PATIENTS = np.array([f"pätient {i // 6}" for i in range(240)])
SHARD_MB = 0.005  # 26 items
FILE_GB = 1.4e-5  # a little more than the file of such a shard


@pytest.fixture
def folder(tmp_path):
    data = open_data(ITEMS, labels=np.arange(240) % 5, test_fraction=0.25)
    return pack(data, tmp_path / "shards", shard_mb=SHARD_MB)


@pytest.fixture
def memory(folder):
    """The same shards in fsspec's memory."""
    system = fsspec.filesystem("memory")
    system.put(str(folder), "/bucket/shards", recursive=True)
    yield "memory://bucket/shards"
    system.rm("/bucket", recursive=True)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(shard_maps, "WAITS", (0.0, 0.0))


def fetched(monkeypatch):
    """The names of the files that are fetched from now on."""
    names, real = [], shard_maps._copy

    def counted(place, stored, what, copy):
        names.append(stored.file)
        real(place, stored, what, copy)

    monkeypatch.setattr(shard_maps, "_copy", counted)
    return names


def test_every_item_is_there_with_all_that_belongs_to_it(folder):
    opened = open_data(folder)
    assert isinstance(opened.train.items, Shuffled)
    assert len(opened.train) + len(opened.test) == 240
    for source in (opened.train, opened.test):
        rows = np.array([int(name) for name in source.ids])
        np.testing.assert_array_equal(source.items[:], ITEMS[rows])
        np.testing.assert_array_equal(source.labels, rows % 5)
        assert source.label_names == tuple("01234")


@pytest.mark.parametrize(
    "index", [0, -1, 7, slice(None), slice(20, 90, 3), slice(5, 5), [3, 200 - 30, 3, 0], [-1, 5]]
)
def test_indexing_is_that_of_an_array(folder, index):
    items = open_data(folder).train.items
    np.testing.assert_array_equal(items[index], items[:][index])
    with pytest.raises(IndexError, match="there are 180 items"):
        items[180]


def test_neighbours_share_the_shards_and_others_are_copied(folder):
    train = open_data(folder).train
    some = train.take(np.arange(30, 100))
    assert isinstance(some.items, Shards)
    assert isinstance(some.ids, PackedIds)
    assert some.items.maps is train.items.maps
    np.testing.assert_array_equal(some.items[:], train.items[30:100])
    assert list(some.ids) == list(train.ids)[30:100]
    rows = np.array([90, 3, 150, 4])
    others = train.take(rows)
    assert isinstance(others.items, np.ndarray)
    np.testing.assert_array_equal(others.items, train.items[rows])
    assert others.ids == tuple(train.ids[i] for i in rows)


def test_a_split_takes_the_first_and_no_copy(folder):
    train = open_data(folder).train
    rest, held_out = split(train, test_fraction=0.1)
    assert (len(rest), len(held_out)) == (162, 18)
    assert isinstance(rest.items, Shards)
    assert list(held_out.ids) + list(rest.ids) == list(train.ids)


def test_groups_stay_together_in_shards_and_in_splits(tmp_path):
    times = np.arange(240.0)
    source = Source(
        name="a", items=ITEMS, ids=[f"i{i}" for i in range(240)], groups=PATIENTS, times=times
    )
    train = open_data(pack(open_data(source), tmp_path / "s", shard_mb=SHARD_MB)).train
    assert set(train.groups) <= set(PATIENTS)
    rows = np.array([int(name[1:]) for name in train.ids])
    np.testing.assert_array_equal(train.groups, PATIENTS[rows])
    np.testing.assert_array_equal(train.times, times[rows])
    runs = 1 + (train.groups[1:] != train.groups[:-1]).sum()
    assert runs == len(set(train.groups))
    for start in train.items.starts[1:-1]:
        assert train.groups[start] != train.groups[start - 1]
    rest, held_out = split(train, test_fraction=0.2)
    assert not set(rest.groups) & set(held_out.groups)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int32, bool])
def test_any_type_of_item(tmp_path, dtype):
    items = (np.random.default_rng(1).random((40, 2, 4, 4)) * 1000 - 100).clip(0).astype(dtype)
    data = open_data(items, labels=np.linspace(0, 1, 40) ** 2)
    opened = open_data(pack(data, tmp_path / "s", shard_mb=0.001))
    rows = [int(name) for name in opened.train.ids]
    assert opened.train.items.dtype == data.train.items.dtype
    np.testing.assert_array_equal(opened.train.items[:], items[rows])
    assert opened.train.items.extremes == (data.train.items.min(), data.train.items.max())
    assert opened.train.labels.dtype == np.float32


def test_a_shard_is_data_of_its_own(folder):
    with h5py.File(folder / "train-00000.h5") as file:
        assert file["items"].compression is None
    data = open_data(folder / "train-00000.h5")
    assert len(data.train) + len(data.test) == 26
    assert data.train.label_names == tuple("01234")


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_url_gives_the_same_items_in_the_same_order(folder, memory, scheme):
    here = open_data(folder).train
    there = open_data(f"file://{folder}" if scheme == "file" else memory).train
    np.testing.assert_array_equal(there.items[:], here.items[:])
    np.testing.assert_array_equal(there.labels, here.labels)
    assert list(there.ids) == list(here.ids)
    assert there.fingerprint() == here.fingerprint()
    orders = (one.items.order(20, 9, seed=3, epoch=1) for one in (here, there))
    np.testing.assert_array_equal(*(order[0:180] for order in orders))


def test_only_what_is_asked_for_is_fetched_and_old_shards_go(memory, monkeypatch, cache):
    names = fetched(monkeypatch)
    train = open_shards(memory, cache_gb=3 * FILE_GB).train
    assert names == ["train.h5", "test.h5"]
    maps = train.items.maps
    for number in range(7):
        maps[number]
        assert sum(maps.shards[n].bytes for n in maps._held) <= 3e9 * FILE_GB
    assert names[2:] == [f"train-0000{n}.h5" for n in range(7)]
    maps[6], maps[5]
    assert len(names) == 9  # they are still here
    maps[0]
    assert names[9:] == ["train-00000.h5"]
    assert not list(cache.iterdir())  # copies have no name that could be left behind


def test_an_epoch_fetches_each_shard_about_once(memory, monkeypatch):
    train = open_shards(memory, cache_gb=5 * FILE_GB).train
    names = fetched(monkeypatch)
    for epoch in range(3):
        order = train.items.order(12, 15, seed=0, epoch=epoch)
        for step in range(15):
            train.items[np.sort(order[12 * step : 12 * (step + 1)])]
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join()
    assert 3 * 7 <= len(names) <= 3 * (7 + 2)  # the first shard of an epoch may be its last


def test_groups_have_an_order_that_reads_what_lies_together(tmp_path):
    source = Source(name="a", items=ITEMS, ids=[f"i{i}" for i in range(240)], groups=PATIENTS)
    train = open_shards(
        pack(open_data(source), tmp_path / "s", shard_mb=SHARD_MB), cache_gb=5 * FILE_GB
    ).train
    names, firsts = np.unique(train.groups, return_index=True)
    order = train.items.order(4, len(names) // 4, seed=0, epoch=0, firsts=firsts)
    shown = order[0 : len(names) // 4 * 4]
    assert len(set(shown.tolist())) == len(shown)
    assert shown.max() < len(names)
    shards = np.searchsorted(train.items.starts, firsts[shown], side="right")
    assert max(len(set(shards[i : i + 8].tolist())) for i in range(0, len(shown), 8)) <= 4


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "it is cut off: copy it again"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "pack it again"),
    ],
)
def test_a_shard_that_is_gone_or_cut_off(folder, harm, says):
    harm(folder / "train-00001.h5")
    items = open_data(folder).train.items
    items[:26]
    with pytest.raises(TwofoldError, match=says) as caught:
        items[:]
    assert "train-00001.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_shard_that_changed_on_the_way_is_refused(folder):
    path = folder / "train-00001.h5"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(TwofoldError, match="has changed since it was packed"):
        open_data(f"file://{folder}").train.items[:]


def test_what_fails_for_a_moment_is_tried_again(memory, monkeypatch):
    real, failures = shard_maps.Place.open, [OSError("reset by peer"), ValueError("odd answer")]

    def flaky(self, file):
        if failures and file == "train-00002.h5":
            raise failures.pop()
        return real(self, file)

    items = open_data(memory).train.items
    monkeypatch.setattr(shard_maps.Place, "open", flaky)
    assert len(items[:]) == 180
    assert not failures


def test_what_keeps_failing_stops_in_one_line_and_may_be_asked_for_again(memory, monkeypatch):
    real, broken = shard_maps.Place.open, [True]

    def open_it(self, file):
        if broken and file == "train-00002.h5":
            raise OSError("no route to host\nat 10.0.0.1")
        return real(self, file)

    items = open_data(memory).train.items
    monkeypatch.setattr(shard_maps.Place, "open", open_it)
    with pytest.raises(TwofoldError) as caught:
        items[:]
    assert str(caught.value) == (
        "cannot read train-00002.h5 of 'memory://bucket/shards': no route to host (tried 3 "
        "times); a run goes on from its newest checkpoint with --resume"
    )
    broken.clear()
    assert len(items[:]) == 180


def test_a_cache_that_is_full_is_told_at_once(memory, monkeypatch):
    class Full:
        def write(self, piece):
            raise OSError(28, "No space left on device")

    stored = open_data(memory).train.items.maps.shards[0]
    with pytest.raises(OSError, match="the cache folder takes no more"):
        shard_maps._copy(shard_maps.Place(memory), stored, "it", Full())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://nowhere", "'memory://nowhere' holds no index.json; give the folder"),
        ("file:///nowhere/at/all", "holds no index.json"),
        ("nonsense://a/b", "Protocol not known"),
    ],
)
def test_urls_that_lead_nowhere(url, says):
    with pytest.raises(TwofoldError, match=says) as caught:
        open_data(url)
    assert "\n" not in str(caught.value)


def test_a_url_without_fsspec(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(TwofoldError, match=r"needs fsspec: pip install 'twofold\[remote\]'"):
        open_data("s3://bucket/shards")


def test_an_index_of_another_kind_is_no_shards(tmp_path, folder):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.json").write_text("[]")
    with pytest.raises(TwofoldError, match=r"holds no \.jpg"):
        open_data(tmp_path / "other")
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text.replace("shards 1", "shards 9"))
    with pytest.raises(TwofoldError, match="its format is 'twofold shards 9'"):
        open_data(f"file://{folder}")


def test_the_scale_and_samples_of_shards_need_few_of_them(tmp_path, monkeypatch):
    values = np.random.default_rng(2).normal(size=(400, 1, 4, 4)).astype(np.float32)
    folder = pack(open_data(values, labels=values[:, 0, 0, 0]), tmp_path / "s", shard_mb=0.0032)
    train = open_data(f"file://{folder}").train
    names = fetched(monkeypatch)
    scale = measure(train.items, sample=60)
    assert (scale.low, scale.high) == train.items.extremes
    assert sampled(train.items, 70).tolist() == list(range(70))
    few = _part(train.items, 0, 40)
    assert len(few) == 40
    monkeypatch.setattr(monitor, "_BANK_ITEMS", 90)
    watched = monitor.watched_items(train)
    assert len(watched) == 90
    assert (np.diff(watched.labels) >= 0).all()
    assert set(names) == {"train-00000.h5", "train-00001.h5"}  # the first hundred items


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("train-00001.h5", "../train-00001.h5"), "names a file of another folder"),
        (("|u1", "|O"), "index.json is damaged"),
        (('"offset": 4096', '"offset": 4000000'), "index.json is damaged"),
        (('"offset": 4096', '"offset": -1'), "index.json is damaged"),
        (('"offset"', '"off"'), "index.json is damaged"),
        (("{", "["), "cannot read index.json"),
        (('"digest": "', '"sum": "'), "cannot read index.json"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_index_that_is_damaged_or_made_to_do_harm(folder, change, says, scheme):
    path = folder / "index.json"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(TwofoldError, match="|".join((says, r"holds no \.jpg"))) as caught:
        open_data(f"{scheme}{folder}").train.items[:]
    assert "\n" not in str(caught.value)


def test_test_items_from_elsewhere_and_what_was_settled(folder, tmp_path):
    assert len(open_data(ITEMS, test=folder).test) == 60
    data = open_data(folder, test=ITEMS[:40])
    assert (len(data.train), len(data.test)) == (180, 40)
    with pytest.raises(TwofoldError, match=r"label_key is given, but .* are shards"):
        open_data(folder, label_key="y")
    with pytest.raises(TwofoldError, match="cache_gb is 0; it must be > 0"):
        open_data(folder, cache_gb=0)


def test_a_folder_of_shards_can_be_moved(folder, tmp_path):
    before = open_data(folder).train.fingerprint()
    shutil.move(folder, tmp_path / "moved")
    assert open_data(tmp_path / "moved").train.fingerprint() == before
