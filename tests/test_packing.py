"""Packing, what can go wrong with it, and training on what was packed."""

import errno
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import twofold
from twofold import packing
from twofold.domains import Source, jet, open_data, shard_maps, trajectory
from twofold.errors import TwofoldError
from twofold.folder import alone, read_metrics
from twofold.packing import pack

ITEMS = np.random.default_rng(0).integers(0, 256, (400, 1, 8, 8), dtype=np.uint8)
LABELS = np.arange(400) % 4
SMALL = {
    "encoder": "resnet-small",
    "width": 0.125,
    "epochs": 2,
    "batch_size": 64,
    "threads": 1,
    "seed": 5,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data():
    return open_data(ITEMS, labels=LABELS)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def index(folder):
    return json.loads((folder / "index.json").read_text())


def counts_of(folder):
    """Items of each shard of the training part."""
    shards = index(folder)["parts"]["train"]["shards"]
    return [shard["arrays"]["items"]["shape"][0] for shard in shards]


def test_shards_are_of_the_size_asked_for_and_the_same_every_time(tmp_path, data):
    first, again = (pack(data, tmp_path / name, shard_mb=0.0064) for name in "ab")
    assert names(first) == [
        "index.json",
        "test-00000.h5",
        "test.h5",
        *(f"train-0000{number}.h5" for number in range(4)),
        "train.h5",
    ]
    assert counts_of(first) == [100, 100, 100, 20]
    assert index(first) == index(again)
    other = pack(data, tmp_path / "c", shard_mb=0.0064, seed=1)
    assert open_data(other).train.ids[0:9] != open_data(first).train.ids[0:9]


def test_the_order_is_random(tmp_path, data):
    rows = np.array([int(name) for name in open_data(pack(data, tmp_path / "a")).train.ids])
    assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.15
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.15


def test_progress_ends_at_all_items(tmp_path, data):
    told = []
    pack(data, tmp_path / "a", shard_mb=0.0064, progress=lambda *both: told.append(both))
    assert told == [(100, 400), (200, 400), (300, 400), (320, 400), (400, 400)]


def killed_after(monkeypatch, shards):
    """Packing stops while the next shard is being written."""
    real, count = packing._Rows.write, 0

    def write(self, file):
        nonlocal count
        count += 1
        if count > shards:
            file.create_dataset("items", data=np.zeros(3))
            raise KeyboardInterrupt
        real(self, file)

    monkeypatch.setattr(packing._Rows, "write", write)


def test_what_was_stopped_is_half_packed_and_goes_on(tmp_path, data, monkeypatch):
    out, told = tmp_path / "a", []
    with monkeypatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            pack(data, out, shard_mb=0.0064)
    assert names(out) == ["index.json", "train-00000.h5", "train-00001.h5", "train.h5"]
    with pytest.raises(TwofoldError, match="is half packed; the `twofold pack` that began it"):
        open_data(out)
    before = (out / "train-00001.h5").stat().st_mtime_ns
    with pytest.raises(TwofoldError, match="is half packed with other data or settings"):
        pack(data, out, shard_mb=0.01)
    pack(data, out, shard_mb=0.0064, note=told.append)
    assert told == [f"{out} is half packed: going on after 2 shards"]
    assert (out / "train-00001.h5").stat().st_mtime_ns == before
    assert index(out) == index(pack(data, tmp_path / "b", shard_mb=0.0064))


def test_partial_files_of_a_killed_process_go(tmp_path, data):
    out = tmp_path / "a"
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            pack(data, out)
    left = out / ".train-00000.h5.99999999.partial"
    left.touch()
    pack(data, out)
    assert not left.exists()


def test_nothing_is_replaced_unasked(tmp_path, data):
    out = pack(data, tmp_path / "a", shard_mb=0.0064)
    before = contents(out)
    with pytest.raises(TwofoldError, match="is packed already; choose another --out"):
        pack(data, out)
    assert contents(out) == before
    told = []
    pack(data, out, overwrite=True, note=told.append)
    assert told == [f"the shards in {out} are replaced"]
    assert names(out) == ["index.json", "test-00000.h5", "test.h5", "train-00000.h5", "train.h5"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_place_that_holds_something_else(tmp_path, data, overwrite):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(TwofoldError, match="holds something else"):
        pack(data, tmp_path, overwrite=overwrite)
    with pytest.raises(TwofoldError, match="is a file"):
        pack(data, tmp_path / "photo.jpg", overwrite=overwrite)
    assert names(tmp_path) == ["photo.jpg"]


def test_two_processes_cannot_pack_into_one_folder(tmp_path, data):
    with (
        alone(tmp_path / "a", "packing"),
        pytest.raises(TwofoldError, match="another process is packing in"),
    ):
        pack(data, tmp_path / "a")


def test_a_disk_that_is_too_small(tmp_path, data, monkeypatch):
    full = SimpleNamespace(free=10)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: full)
    with pytest.raises(TwofoldError, match=r"the shards take 0.0 GB, and there are 0.0 GB free"):
        pack(data, tmp_path / "a")


def test_a_disk_that_fills_up_keeps_what_is_whole(tmp_path, data, monkeypatch):
    out, real = tmp_path / "a", packing._Rows.write

    def write(self, file):
        if "00002" in file.filename:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, file)

    with monkeypatch.context() as patch:
        patch.setattr(packing._Rows, "write", write)
        with pytest.raises(TwofoldError, match=r"cannot write .*train-00002.h5: .*No space left"):
            pack(data, out, shard_mb=0.0064)
    assert names(out) == ["index.json", "train-00000.h5", "train-00001.h5", "train.h5"]
    assert len(open_data(pack(data, out, shard_mb=0.0064)).train) == 320


def test_recordings_are_refused(tmp_path):
    data = open_data(np.zeros((20, 400), np.int16), domain="audio", sample_rate=8000)
    with pytest.raises(TwofoldError, match="holds recordings, whose lengths differ"):
        pack(data, tmp_path / "a")


def test_jets_and_states_know_what_they_are(tmp_path):
    jets = np.zeros((50, 16, 16, 3), np.float32)
    jets[:, 8, 8] = np.arange(1, 51)[:, None]
    data = jet.open_data(jets, labels=np.arange(50) % 2)
    opened = open_data(pack(data, tmp_path / "jets"))
    assert opened.train.domain == "jet"
    rows = [list(data.train.ids).index(name) for name in opened.train.ids]
    np.testing.assert_array_equal(opened.train.items[:], data.train.items[rows])
    orbits = np.random.default_rng(0).normal(size=(10, 6, 2)).astype(np.float32)
    states = open_data(pack(trajectory.open_data(orbits), tmp_path / "states"))
    assert (states.train.domain, len(np.unique(states.train.groups))) == ("trajectory", 8)


def test_a_group_larger_than_a_shard_is_not_cut(tmp_path):
    groups = np.repeat(["many", "a", "b", "c"], [150, 3, 3, 4])
    source = Source(
        name="a",
        items=ITEMS[:160],
        ids=list(map(str, range(160))),
        groups=groups,
        labels=np.arange(160) % 2,
        label_names=("\udcff", "ä"),
    )
    out = pack(open_data(source, test=ITEMS[:9]), tmp_path / "a", shard_mb=0.00064)
    train = open_data(out).train
    counts = counts_of(out)
    assert sorted(counts) in ([10, 150], [3, 7, 150], [4, 6, 150])
    assert sum(counts) == len(train)
    assert train.label_names == ("\udcff", "ä")


def test_names_that_are_no_unicode_and_units(tmp_path):
    names = ["b\udcff.png", "ä/日本.png", *(f"{i}.png" for i in range(18))]
    source = Source(
        name="a",
        items=np.zeros((20, 1, 4, 4)),
        ids=names,
        labels=np.linspace(0, 1, 20, dtype=np.float32),
        label_unit="GeV",
    )
    out = pack(open_data(source), tmp_path / "a")
    data = open_data(out)
    assert {*data.train.ids, *data.test.ids} == set(names)
    assert data.train.label_unit == "GeV"
    with h5py.File(out / "train-00000.h5") as file:
        assert file["labels"].attrs["unit"] == "GeV"


def trained(where, folder, **changes):
    run = twofold.pretrain("simclr", data=where, out=folder, **{**SMALL, **changes})
    steps = [line for line in read_metrics(folder) if line["kind"] == "step"]
    return run, [line["loss"] for line in steps]


@pytest.fixture(scope="module")
def packed(tmp_path_factory, data):
    return pack(data, tmp_path_factory.mktemp("packed") / "shards", shard_mb=0.0032)


@pytest.fixture
def served(packed):
    """The URL of the shards on a web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=packed)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_run_on_what_is_fetched_is_that_on_what_is_here(packed, tmp_path):
    few = {"loader_threads": 2}
    _, here = trained(packed, tmp_path / "a")
    run, there = trained(f"file://{packed}", tmp_path / "b", **few)
    assert here == there
    assert len(here) == 2 * (len(run.open().train) // 64)
    assert run.config.data.data == f"file://{packed}"
    assert run.config.data.cache_gb == 8
    found = run.evaluate(probes=["knn"], quiet=True)
    assert found["knn"]["accuracy"]["n"] == 80


def test_a_run_on_a_web_server(served, packed, tmp_path):
    pytest.importorskip("aiohttp")
    _, here = trained(packed, tmp_path / "a", epochs=1)
    _, there = trained(served, tmp_path / "b", epochs=1)
    assert here == there


def test_a_run_that_stops_within_an_epoch_goes_on_as_if_it_never_had(
    packed, tmp_path, interrupted_at
):
    _, expected = trained(f"file://{packed}", tmp_path / "a")
    with interrupted_at(3):
        trained(f"file://{packed}", tmp_path / "b")
    run = twofold.resume(tmp_path / "b", quiet=True)
    steps = [line for line in read_metrics(run.folder) if line["kind"] == "step"]
    assert [line["loss"] for line in steps] == expected


def test_a_run_whose_network_breaks_goes_on_as_if_it_never_had(packed, tmp_path, monkeypatch):
    few = {"cache_gb": 6e-5, "loader_threads": 0, "checkpoint_seconds": 1e-9}  # some five shards
    _, expected = trained(f"file://{packed}", tmp_path / "a", **few)
    real = shard_maps.Place.open

    def breaks(self, file):
        if (tmp_path / "b" / "checkpoints").exists():
            raise OSError("network is unreachable")
        return real(self, file)

    with monkeypatch.context() as patch:
        patch.setattr(shard_maps, "WAITS", (0.0,))
        patch.setattr(shard_maps.Place, "open", breaks)
        with pytest.raises(TwofoldError, match=r"network is unreachable.*--resume"):
            trained(f"file://{packed}", tmp_path / "b", **few)
    assert 0 < len(read_metrics(tmp_path / "b")) < len(expected)
    run = twofold.resume(tmp_path / "b", quiet=True)
    steps = [line for line in read_metrics(run.folder) if line["kind"] == "step"]
    assert [line["loss"] for line in steps] == expected


def test_positives_by_group_from_shards(tmp_path):
    source = Source(
        name="a", items=ITEMS, ids=list(map(str, range(400))), groups=np.arange(400) // 4
    )
    out = pack(open_data(source), tmp_path / "s", shard_mb=0.0032)
    _, losses = trained(out, tmp_path / "a", positives="group", batch_size=20, epochs=1)
    assert len(losses) == 4
    assert np.isfinite(losses).all()
