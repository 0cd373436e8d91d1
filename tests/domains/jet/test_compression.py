import tracemalloc

import h5py
import numpy as np
import pytest
from toy_jets import jets_of, make_jets, same_jets, write_jets

from twofold.domains.jet import compression, open_data, tables
from twofold.errors import TwofoldError

JETS = make_jets()[0]


def no_reading(monkeypatch):
    monkeypatch.setattr(compression, "write_sparse", None)


def test_a_file_is_read_once(jets_file, cache, monkeypatch):
    first = open_data(jets_file)
    no_reading(monkeypatch)
    assert open_data(jets_file).train.fingerprint() == first.train.fingerprint()
    assert len(list(cache.iterdir())) == 1


def test_a_changed_file_is_read_anew(jets_file, cache):
    open_data(jets_file)
    write_jets(jets_file, 3 * JETS)
    assert same_jets(open_data(jets_file), 3 * JETS)
    assert len(list(cache.iterdir())) == 2


def test_the_cache_may_be_elsewhere(jets_file, cache, tmp_path):
    open_data(jets_file, cache=tmp_path / "own")
    assert [path.name[:5] for path in (tmp_path / "own").iterdir()] == ["jets-"]
    assert list(cache.iterdir()) == []


def test_a_file_larger_than_memory_is_read_a_piece_at_a_time(tmp_path, monkeypatch):
    # 94 MB of jets, of which all but a few are empty.
    with h5py.File(tmp_path / "big.h5", "w") as file:
        jets = file.create_dataset(
            "X_jets", (500, 125, 125, 3), np.float32, chunks=(1, 125, 125, 3), compression="gzip"
        )
        for first in range(0, 500, 50):
            jets[first : first + 50] = np.zeros((50, 125, 125, 3), np.float32)
        jets[::100, 60, 61, 2] = np.arange(1, 6)
    monkeypatch.setattr(tables, "_PIECE_BYTES", 2**21)
    tracemalloc.start()
    try:
        data = open_data(tmp_path / "big.h5")
        batch = data.train.items[np.arange(4)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6
    assert batch.shape == (4, 3, 125, 125)
    assert [jets_of(data)[str(i)][2, 60, 61] for i in (0, 100, 400)] == [1, 2, 5]
    assert "jets without any energy: 495" in data.note


def test_crowded_images_are_kept_and_remarked_on():
    data = open_data(np.abs(JETS) + 1)
    assert same_jets(data, np.abs(JETS) + 1)
    assert "100 % of the cells are hit, too many to be smaller when compressed" in data.note


def test_impact_parameters_may_be_negative():
    jets = make_jets(channels=8)[0]
    jets[:, 1:3] -= 1
    assert same_jets(open_data(jets), jets)


def spoilt(position, value, channels=3):
    jets = make_jets(channels=channels)[0]
    jets[position] = value
    return jets


@pytest.mark.parametrize(
    ("jets", "message"),
    [
        (spoilt((9, 1), np.nan), r"256 values that are NaN or infinite, the first in jet 9;"),
        (spoilt((9, 1, 3, 4), np.inf), r"1 values that are NaN or infinite, the first in jet 9;"),
        (spoilt((23, 2, 3, 4), -1), r"1 negative energies, the first in jet 23; .* set them to 0"),
        (spoilt((5, 4, 3), -1, 8), r"16 negative energies, the first in jet 5;"),
        (JETS * 0, r"holds no energy: all 24 jets are empty"),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 2**26])
def test_values_that_no_jet_has_are_counted_and_found(
    tmp_path, cache, monkeypatch, jets, message, piece_bytes
):
    monkeypatch.setattr(tables, "_PIECE_BYTES", piece_bytes)
    path = write_jets(tmp_path / "jets.h5", jets)
    for data in (path, jets):
        with pytest.raises(TwofoldError, match=message) as caught:
            open_data(data)
        assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []
