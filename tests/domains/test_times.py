"""Times of items, from arrays in files and from the table beside a folder."""

import csv
import dataclasses

import h5py
import numpy as np
import pytest
from PIL import Image

from twofold.domains import Source, jet, open_data, trajectory
from twofold.errors import TwofoldError

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
DAYS = np.random.default_rng(1).permutation(24) / 4
PATIENTS = np.arange(24) // 3


def times_of(data):
    """The time of each item of both parts, by its id."""
    return {
        id: time
        for part in (data.train, data.test)
        for id, time in zip(part.ids, part.times.tolist(), strict=True)
    }


def expected(times):
    return {str(i): time for i, time in enumerate(times.ravel().tolist())}


@pytest.mark.parametrize("days", [DAYS, DAYS[:, None], (4 * DAYS).astype(np.int32)])
def test_times_in_files(tmp_path, days):
    np.savez(tmp_path / "scans.npz", images=IMAGES, patient=PATIENTS, day=days)
    for name, key, items in (
        ("scans.h5", "images", IMAGES),
        ("jets.h5", "X_jets", np.ones((24, 8, 8, 3), np.float32)),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            file[key], file["patient"], file["day"] = items, PATIENTS, days
    for name in ("scans.npz", "scans.h5", "jets.h5"):
        data = open_data(tmp_path / name, group_key="patient", time_key="day")
        assert times_of(data) == expected(days.astype(float))
        assert data.train.times.dtype == np.float64
    assert open_data(tmp_path / "scans.npz").train.times is None


def test_the_times_of_a_test_half_are_its_own(tmp_path):
    halves = {"x_train": IMAGES[:16], "x_test": IMAGES[16:]}
    days = {"day_train": DAYS[:16], "day_test": DAYS[16:]}
    np.savez(tmp_path / "halves.npz", **halves, **days)
    data = open_data(tmp_path / "halves.npz", time_key="day_train")
    assert data.train.times.tolist() == DAYS[:16].tolist()
    assert data.test.times.tolist() == DAYS[16:].tolist()


def test_times_of_states_are_found_and_those_of_whole_orbits_counted(tmp_path):
    states = np.random.default_rng(2).normal(size=(24, 2))
    with h5py.File(tmp_path / "orbits.h5", "w") as file:
        file["X"], file["orbit"], file["t"] = states, PATIENTS, DAYS
    assert times_of(trajectory.open_data(tmp_path / "orbits.h5")) == expected(DAYS)
    data = trajectory.open_data(states.reshape(6, 4, 2))
    assert times_of(data) == expected(np.tile([0.0, 1.0, 2.0, 3.0], 6))
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file["X"], file["t"] = states.reshape(6, 4, 2), [0.0, 0.5, 2.5, 7.0]
    data = trajectory.open_data(tmp_path / "whole.h5")
    assert times_of(data) == expected(np.tile([0.0, 0.5, 2.5, 7.0], 6))


def write_folder(root, rows):
    for number in range(12):
        path = root / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[number]).save(path)
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "patient", "day"], *rows])
    return root


def test_times_of_a_folder_are_a_column_of_its_table(tmp_path):
    rows = [[f"{i}.png", i // 2, DAYS[i]] for i in range(12)]
    data = open_data(write_folder(tmp_path, rows), group_key="patient", time_key="day")
    assert times_of(data) == {f"{i}.png": DAYS[i] for i in range(12)}
    assert set(data.train.groups) | set(data.test.groups) == set(map(str, range(6)))


@pytest.mark.parametrize("day", ["monday", "nan", ""])
def test_a_table_without_numbers_is_refused(tmp_path, day):
    rows = [[f"{i}.png", i // 2, day] for i in range(12)]
    with pytest.raises(TwofoldError, match="day"):
        open_data(write_folder(tmp_path, rows), time_key="day")


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (np.full(24, np.nan), "holds NaN or infinity for 24 of 24 items"),
        (np.zeros((24, 2)), r"shape \(24, 2\) and type float64; times must be \(n,\)"),
        (PATIENTS.astype(str), "times must be"),
        (np.zeros(23), "has 23 times for 24 items"),
    ],
)
def test_times_that_are_none_are_refused(tmp_path, days, message):
    np.savez(tmp_path / "scans.npz", images=IMAGES, day=days)
    with pytest.raises(TwofoldError, match=message):
        open_data(tmp_path / "scans.npz", time_key="day")


def test_names_of_times_are_refused_where_there_are_none():
    for open_one, data in ((open_data, IMAGES), (jet.open_data, np.ones((4, 8, 8, 3)))):
        with pytest.raises(TwofoldError, match="time_key is 'day', but only"):
            open_one(data, time_key="day")


def test_times_are_taken_along_and_change_the_fingerprint():
    ids = list(map(str, range(24)))
    source = Source(name="a", items=IMAGES[:, None], ids=ids, times=DAYS)
    assert source.take([3, 1]).times.tolist() == DAYS[[3, 1]].tolist()
    assert source.fingerprint() != dataclasses.replace(source, times=None).fingerprint()
    assert source.fingerprint() != dataclasses.replace(source, times=DAYS[::-1]).fingerprint()
