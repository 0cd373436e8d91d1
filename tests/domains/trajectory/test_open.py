"""States from arrays and files: whole orbits are held out, and each state keeps its label."""

import h5py
import numpy as np
import pytest
import torch

from twofold import TwofoldError
from twofold.domains import open_data as open_any
from twofold.domains.names import told
from twofold.domains.source import Source
from twofold.domains.trajectory import measure, observables, open_data

RNG = np.random.default_rng(0)
ORBITS, TIMES = 12, 5
STATES = RNG.normal(size=(ORBITS, TIMES, 2))
FLAT = STATES.reshape(-1, 2).astype(np.float32)
ORBIT = np.repeat(np.arange(ORBITS), TIMES)
ENERGY = np.repeat(RNG.uniform(size=ORBITS), TIMES)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs["domain"] = "trajectory"
    return path


@pytest.fixture
def path(tmp_path):
    path = write(tmp_path / "orbits.h5", X=FLAT, state=STATES.reshape(-1, 2), orbit=ORBIT)
    with h5py.File(path, "a") as file:
        file["energy"] = ENERGY
        file["energy"].attrs["unit"] = "m g l"
    return path


def check_rows(data, energies=True):
    """Every state is there once, with its own orbit and label, and no orbit on both sides."""
    assert not set(data.train.groups) & set(data.test.groups)
    seen = set()
    for part in (data.train, data.test):
        assert part.items.dtype == np.float32
        assert part.items.shape[1:] == (2, 1, 1)
        for row, orbit in enumerate(part.groups):
            original = np.flatnonzero((part.items[row, :, 0, 0] == FLAT).all(axis=1)).item()
            seen.add(original)
            assert ORBIT[original] == orbit
            if energies:
                assert part.labels[row] == pytest.approx(ENERGY[original])
    assert len(seen) == len(FLAT)


def test_a_file_says_what_it_is_and_what_belongs_to_each_state(path):
    assert told(path) == "trajectory"
    data = open_any(path)
    check_rows(data)
    assert data.train.domain == "trajectory"
    assert data.train.label_unit == "m g l"
    assert "60 states of 2x1x1 float32, labels in m g l, 12 groups" in data.note


@pytest.mark.parametrize("given", [STATES, torch.from_numpy(STATES)])
def test_the_first_axis_of_an_array_is_the_orbit(given):
    check_rows(open_data(given, labels=ENERGY[::TIMES]))


def test_a_flat_array_takes_groups():
    check_rows(open_data(FLAT, groups=ORBIT), energies=False)
    assert open_data(FLAT).train.groups is None


def test_npy_and_npz_files_hold_orbits_too(tmp_path):
    np.save(tmp_path / "a.npy", STATES)
    check_rows(open_data(tmp_path / "a.npy"), energies=False)
    np.savez(tmp_path / "b.npz", states=FLAT, m=ENERGY, which=ORBIT)
    check_rows(open_data(tmp_path / "b.npz", label_key="m", group_key="which"))


def test_parts_of_a_file_are_train_and_test(tmp_path):
    half = ORBITS // 2 * TIMES
    arrays = {"X": FLAT, "orbit": ORBIT, "energy": ENERGY}
    parts = {"train": slice(half), "test": slice(half, None)}
    named = {
        f"{name}_{part}": a[rows] for name, a in arrays.items() for part, rows in parts.items()
    }
    data = open_data(write(tmp_path / "parts.h5", **named))
    check_rows(data)
    assert (len(data.train), len(data.test)) == (half, len(FLAT) - half)


def test_a_source_comes_as_it_is():
    items = FLAT[:, :, None, None]
    source = Source(
        name="mine",
        items=items,
        ids=[str(i) for i in range(60)],
        groups=ORBIT,
        domain="trajectory",
    )
    check_rows(open_data(source), energies=False)


@pytest.mark.parametrize(
    ("given", "how", "message"),
    [
        (FLAT[:, 0], {}, r"data has shape \(60,\); states must be \(n, dim\) or \(orbits, times"),
        (STATES[:0], {}, r"shape \(0, 5, 2\)"),
        (STATES.astype(str), {}, "states must be numbers"),
        (
            np.where(FLAT > 1, np.nan, FLAT),
            {},
            r"infinite or too large numbers in \d+ of 60 states",
        ),
        (STATES * 1e300, {}, "too large numbers in 60 of 60 states"),
        (STATES[:1], {}, "data holds one orbit"),
        ([STATES], {}, r"data is a list; .*\(np.stack"),
        (FLAT, {"image_size": 8}, "image_size is 8"),
        (FLAT, {"key": "X"}, "only .npz, .h5, .hdf5 files hold arrays by name"),
        (STATES, {"groups": ORBIT}, "'array' has groups already"),
        (FLAT, {"labels": ENERGY[:3]}, "has 3 labels for 60 items"),
        ("digits", {}, "'digits' holds images, not states"),
        ("nowhere.h5", {}, "nowhere.h5"),
    ],
)
def test_what_is_no_states_is_refused(given, how, message):
    with np.errstate(over="ignore"), pytest.raises(TwofoldError, match=message) as told_:
        open_data(given, **how)
    assert "\n" not in str(told_.value)


def test_folders_and_other_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("no")
    with pytest.raises(TwofoldError, match="is a folder; states come from one file"):
        open_data(tmp_path)
    with pytest.raises(TwofoldError, match=r"opens no .txt files"):
        open_data(tmp_path / "a.txt")


def test_the_scale_is_in_deviations_and_leaves_the_origin():
    items = (FLAT * [3.0, 0.1] + [5.0, -2.0]).astype(np.float32)[:, :, None, None]
    scale = measure(items)
    np.testing.assert_allclose(
        scale.unit(items).numpy(), items / items.std(axis=0, keepdims=True), rtol=1e-4
    )
    read = scale(items).numpy()
    np.testing.assert_allclose(read.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(read.std(axis=0), 1, rtol=1e-4)
    np.testing.assert_array_equal(scale.of_views(scale.unit(items)).numpy(), read)


def test_a_coordinate_that_never_changes_is_left_at_zero():
    items = np.concatenate([FLAT, np.full((60, 1), 7.0, np.float32)], axis=1)[:, :, None, None]
    assert measure(items)(items)[:, 2].abs().max() < 1e-6


def test_the_squared_norm_is_read_off_in_any_shape():
    np.testing.assert_allclose(
        observables(FLAT[:, :, None, None])["squared_norm"], (FLAT.astype(float) ** 2).sum(axis=1)
    )
