import h5py
import numpy as np
import pytest
from toy_jets import make_jets, same_jets, write_jets

from twofold.domains.jet import open_data, tables
from twofold.errors import TwofoldError

JETS, CLASSES, _ = make_jets()

LAYOUTS = [
    ((24, 3, 16, 16), False),
    ((24, 16, 16, 3), True),
    ((24, 8, 16, 20), False),
    ((24, 16, 20, 8), True),
    ((24, 8, 8, 3), True),
    ((24, 3, 8, 8), False),
    ((24, 3, 3, 8), True),
]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "u1", "i2", "i4", "u8"])
@pytest.mark.parametrize("channels", [3, 8])
def test_every_number_is_kept(tmp_path, dtype, channels):
    jets = make_jets(channels=channels)[0].astype(dtype)
    data = open_data(write_jets(tmp_path / "jets.h5", jets))
    assert same_jets(data, jets)
    assert data.train.items.dtype.kind == "f"
    assert data.train.items.dtype.isnative


@pytest.mark.parametrize(("shape", "last"), LAYOUTS)
def test_channels_may_come_first_or_last(tmp_path, shape, last):
    jets = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["X_jets"] = jets
    expected = np.moveaxis(jets, 3, 1) if last else jets
    for data in (tmp_path / "jets.h5", jets):
        assert same_jets(open_data(data), expected)


def test_pieces_are_whole_chunks_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_PIECE_BYTES", 10 * JETS[0].nbytes)
    path = write_jets(tmp_path / "jets.h5", JETS)  # in chunks of 4
    (table,), _ = tables.tables_in(path)
    assert [len(piece) for piece in table.pieces()] == [8, 8, 8]
    assert np.array_equal(np.concatenate(list(table.pieces())), np.moveaxis(JETS, 1, -1))
    monkeypatch.setattr(tables, "_PIECE_BYTES", 1)
    (table,), _ = tables.tables_in(path)
    assert [len(piece) for piece in table.pieces()] == [4] * 6


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((24,), r"X_jets .* has shape \(24,\); jets must be \(n, eta, phi, channels\) or"),
        ((24, 16, 16), r"has shape \(24, 16, 16\); jets must be"),
        ((2, 24, 3, 16, 16), r"has shape .*; jets must be"),
        ((0, 3, 16, 16), r"has shape \(0, 3, 16, 16\); jets must be .* none of them 0"),
        ((24, 4, 16, 16), r"jets have 3 \(tracks, ECAL, HCAL\) or 8 \(tracks, dz,.* as images"),
        ((24, 8, 8, 8), r"whose channels may come first or last; pad the images"),
        ((24, 3, 10, 8), r"whose channels may come first or last; pad the images"),
    ],
)
def test_other_shapes_are_refused(tmp_path, shape, message):
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["X_jets"] = np.ones(shape, np.float32)
    with pytest.raises(TwofoldError, match=message) as caught:
        open_data(tmp_path / "jets.h5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [np.array([b"a", b"b"]), np.array([1j, 2])])
def test_other_types_are_refused(tmp_path, values):
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["X_jets"] = values
    with pytest.raises(TwofoldError, match=r"X_jets of .* has type .*; jets are images"):
        open_data(tmp_path / "jets.h5")


def test_rows_of_any_length_are_refused(tmp_path):
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file.create_dataset("X_jets", (3,), h5py.vlen_dtype(np.float32))
    with pytest.raises(TwofoldError, match=r"X_jets of .* has type object; jets are images"):
        open_data(tmp_path / "jets.h5")


def test_columns_of_another_length_are_refused(tmp_path):
    for name in ("y", "ids"):
        path = write_jets(tmp_path / f"{name}.h5", JETS, **{name: CLASSES[:10]})
        with pytest.raises(TwofoldError, match=r"holds 24 jets, but there are 10 (labels|ids)"):
            open_data(path)


def test_files_without_jets_say_what_they_hold(tmp_path):
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["table"] = np.zeros((5, 9))
    with pytest.raises(TwofoldError, match=r"holds no jets .* but table \(5, 9\) float64"):
        open_data(tmp_path / "table.h5")


@pytest.mark.parametrize("kept", [0, 0.02, 0.5, 0.99])
def test_truncated_files_are_refused(jets_file, cache, kept):
    content = jets_file.read_bytes()
    jets_file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(TwofoldError, match=r"cannot read '.*jets.h5': ") as caught:
        open_data(jets_file)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_damaged_chunk_is_located(jets_file, cache, monkeypatch):
    monkeypatch.setattr(tables, "_PIECE_BYTES", 1)
    with h5py.File(jets_file, "r") as file:
        place = file["X_jets"].id.get_chunk_info_by_coord((12, 0, 0, 0))
    content = bytearray(jets_file.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    jets_file.write_bytes(content)
    with pytest.raises(
        TwofoldError, match=r"X_jets of .* beyond jet 12 of 24 \(.*\); copy the file"
    ):
        open_data(jets_file)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "grouped link", "virtual", "raw"])
def test_arrays_in_other_files_are_not_followed(tmp_path, jets_file, kind):
    with h5py.File(tmp_path / "leads_away.h5", "w") as file:
        if kind == "raw":
            file.create_dataset("X_jets", JETS.shape, "f4", external=[(tmp_path / "raw", 0, 10**6)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((24, 16, 16, 3), "f4")
            layout[:] = h5py.VirtualSource(jets_file, "X_jets", (24, 16, 16, 3))
            file.create_virtual_dataset("X_jets", layout)
        else:
            name = "X_jets" if kind == "link" else "group/X_jets"
            file[name] = h5py.ExternalLink(jets_file, "X_jets")
    with pytest.raises(TwofoldError, match=r"X_jets of '.*away.h5' lies in another file"):
        open_data(tmp_path / "leads_away.h5")
