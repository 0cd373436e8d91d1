"""Groups from arrays, from files and from the table beside a folder."""

import h5py
import numpy as np
import pytest
from PIL import Image

from twofold.domains import Source, jet, open_data
from twofold.domains.metadata import TABLE
from twofold.errors import TwofoldError

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
PATIENTS = np.array([f"patient {i // 3}" for i in range(24)])
JETS = np.zeros((24, 16, 16, 3), np.float32)
JETS[np.arange(24), 3, np.arange(24) % 16] = 1


def groups_of(data):
    """The group of each item of both parts, by its id."""
    return {
        id: group
        for part in (data.train, data.test)
        for id, group in zip(part.ids, part.groups.tolist(), strict=True)
    }


def expected(groups):
    return {str(i): group for i, group in enumerate(np.asarray(groups).tolist())}


@pytest.mark.parametrize("groups", [PATIENTS, PATIENTS.tolist(), np.arange(24) // 3])
def test_groups_of_an_array_stay_together(groups):
    data = open_data(IMAGES, groups=groups, test_fraction=0.25)
    assert groups_of(data) == expected(groups)
    assert not set(data.train.groups) & set(data.test.groups)
    assert data.note == (
        "array: 24 images of 1x8x8 uint8, no labels, 8 groups; random split 18 + 6 (seed 0)"
    )


def test_groups_of_arrays_of_jets():
    data = jet.open_data(JETS, groups=np.arange(24) // 4, test_fraction=0.5)
    assert groups_of(data) == expected(np.arange(24) // 4)
    assert ", 6 groups; " in data.note


def write_npz(path, images=IMAGES, **arrays):
    np.savez(path, images=images, **arrays)
    return path


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    return path


@pytest.mark.parametrize("groups", [PATIENTS, np.arange(24) // 3, np.arange(24.0)[:, None] // 3])
def test_groups_in_files(tmp_path, groups):
    paths = [
        write_npz(tmp_path / "scans.npz", patient=groups),
        write_h5(tmp_path / "scans.h5", images=IMAGES, patient=groups),
        write_h5(tmp_path / "jets.h5", X_jets=JETS, patient=groups),
    ]
    for path in paths:
        data = open_data(path, group_key="patient")
        assert groups_of(data) == expected(groups.ravel())
        assert ", 8 groups; " in data.note


def test_groups_of_the_test_half_are_found_with_those_of_the_other(tmp_path):
    arrays = {"x_train": IMAGES[:16], "x_test": IMAGES[16:], "patient_train": PATIENTS[:16]}
    halves = tmp_path / "halves.npz"
    np.savez(halves, **arrays)
    data = open_data(halves, group_key="patient_train")
    assert data.train.groups.tolist() == PATIENTS[:16].tolist()
    assert data.test.groups is None
    np.savez(halves, **arrays, patient_test=PATIENTS[16:])
    data = open_data(halves, group_key="patient_train")
    assert data.test.groups.tolist() == PATIENTS[16:].tolist()
    assert data.note.endswith("given split 16 + 8; groups in both parts: 1")


def test_jets_of_several_files_have_the_groups_of_each(tmp_path):
    for name, some in (("a", slice(10)), ("b", slice(10, 24))):
        write_h5(tmp_path / f"{name}.h5", X_jets=JETS[some], event=PATIENTS[some])
    data = jet.open_data(tmp_path, group_key="event")
    found = groups_of(data)
    assert [found[f"a.h5:{i}"] for i in range(10)] == PATIENTS[:10].tolist()
    assert [found[f"b.h5:{i}"] for i in range(14)] == PATIENTS[10:].tolist()
    write_h5(tmp_path / "c.h5", X_jets=JETS)
    with pytest.raises(TwofoldError, match=r"c\.h5' has no array 'event'"):
        jet.open_data(tmp_path, group_key="event")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(23), "has 23 groups for 24 items"),
        (np.zeros((24, 2)), r"groups has shape \(24, 2\); groups must be \(n,\)"),
        (np.linspace(0, 1, 24), "groups holds fractions or NaN; groups are whole numbers"),
        (np.full(24, np.nan), "groups holds fractions or NaN"),
        (np.full(24, 1j), "groups holds complex128 values"),
        ([*["a"] * 5, "", *["b"] * 18], "groups is empty for item 5"),
    ],
)
def test_groups_that_are_none_are_refused(groups, message):
    with pytest.raises(TwofoldError, match=message):
        open_data(IMAGES, groups=groups)


def test_groups_are_given_once_and_where_there_can_be_some(tmp_path):
    source = Source(name="toy", items=IMAGES[:, None], ids=PATIENTS + np.arange(24).astype(str))
    assert open_data(source, groups=PATIENTS).train.groups is not None
    grouped = Source(name="toy", items=source.items, ids=source.ids, groups=PATIENTS)
    with pytest.raises(TwofoldError, match="'toy' has groups already; leave groups= out"):
        open_data(grouped, groups=PATIENTS)
    with pytest.raises(TwofoldError, match="'toy' is open already"):
        open_data(open_data(grouped), groups=PATIENTS)
    for data in (IMAGES, "digits"):
        with pytest.raises(TwofoldError, match=r"group_key is 'patient', but only \.npz"):
            open_data(data, group_key="patient")
    with pytest.raises(TwofoldError, match=r"column of its metadata\.csv: name it as group_key"):
        open_data(write_folder(tmp_path / "photos"), groups=PATIENTS)
    path = write_npz(tmp_path / "scans.npz", patient=PATIENTS)
    with pytest.raises(TwofoldError, match="no array 'pateint'; did you mean 'patient'"):
        open_data(path, group_key="pateint")


def test_the_fingerprint_changes_with_the_groups():
    def fingerprint(groups):
        ids = list(map(str, range(24)))
        return Source(name="a", items=IMAGES[:, None], ids=ids, groups=groups).fingerprint()

    assert len({fingerprint(g) for g in (None, PATIENTS, PATIENTS[::-1])}) == 3


def write_folder(root, count=12):
    for number in range(count):
        path = root / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[number]).save(path)
    return root


def paths_of(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))


@pytest.mark.parametrize("head", ["path,age,patient", "\ufeffid,age,patient"])
def test_a_column_of_the_table_beside_a_folder(tmp_path, head):
    paths = paths_of(write_folder(tmp_path))
    groups = {path: f"é, {i // 2}" for i, path in enumerate(paths)}
    lines = [f'{path},40,"{groups[path]}"' for path in paths[::-1]]
    (tmp_path / TABLE).write_text("\n".join([head, *lines, 'gone.png,40,"a"']), encoding="utf-8")
    data = open_data(tmp_path, group_key="patient")
    assert groups_of(data) == groups
    assert not set(data.train.groups) & set(data.test.groups)
    assert ", 2 classes, 6 groups; " in data.note


def test_the_table_speaks_of_both_parts_of_a_divided_folder(tmp_path):
    write_folder(tmp_path / "train", 8)
    write_folder(tmp_path / "test", 4)
    lines = [f"{path},{path.split('/')[0]}{i // 2}" for i, path in enumerate(paths_of(tmp_path))]
    (tmp_path / TABLE).write_text("\n".join(["path,patient", *lines]))
    data = open_data(tmp_path, group_key="patient")
    assert set(data.test.groups) == {"test0", "test1"}
    assert len(set(data.train.groups)) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: None, r"metadata\.csv' does not exist; it is the table whose column 'path'"),
        (
            lambda lines: ["file,patient", *lines[1:]],
            "has no column 'path' .* it has file, patient",
        ),
        (lambda lines: [], "has no column 'path' .* it has none"),
        (lambda lines: ["path,pateint", *lines[1:]], "did you mean 'pateint'"),
        (lambda lines: lines[:-2], "lists no file 'dog/7.png', one of 2 it leaves out"),
        (lambda lines: [*lines, lines[3]], "lists 'cat/2.png' again in line 14; list each file"),
        (lambda lines: [*lines[:4], "cat/x.png,", *lines[4:]], "has no patient in line 5; fill it"),
        (lambda lines: [*lines, "cat/x.png"], "has no patient in line 14"),
        (lambda lines: [*lines, ",3"], "has no path in line 14"),
        (lambda lines: [*lines, "x" * 200_000 + ",3"], "cannot read .* field larger than"),
    ],
)
def test_tables_that_leave_a_doubt_are_refused(tmp_path, change, message):
    paths = paths_of(write_folder(tmp_path))
    lines = change(["path,patient", *(f"{path},{i // 2}" for i, path in enumerate(paths))])
    if lines is not None:
        (tmp_path / TABLE).write_text("\n".join(lines))
    with pytest.raises(TwofoldError, match=message) as refusal:
        open_data(tmp_path, group_key="patient")
    assert "\n" not in str(refusal.value)
